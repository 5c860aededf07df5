"""The parts of the contract test of methods; `engine.checks` is their public face.

Lives here: example records, the paper form of a method file, how a method behaves in training and when looked at.
Must not live here: anything that knows one method by name, anything that needs pytest.
"""
