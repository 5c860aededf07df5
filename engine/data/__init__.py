"""Datasets: schema, store, loader, importers, samples.

Lives here: everything between a user's files and a batch on the device.
Must not live here: views (augmentation, masking), anything that knows a method or the window.
"""
