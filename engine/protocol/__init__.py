"""What crosses between processes: schema, forms, inspections and messages.

Lives here: plain typed records (msgspec structs, numpy arrays) and their coding into frames.
Must not live here: anything that imports torch, Qt, h5py or the rest of the engine.
"""
