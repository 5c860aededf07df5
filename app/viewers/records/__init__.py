"""Viewers of records: one file per kind of field; `table` says which draws what.

Lives here: what one record of a dataset looks like, its controls, what is read out under the pointer.
Must not live here: requests to the engine (pages send them), torch. Importing the package itself imports no viewer.
"""
