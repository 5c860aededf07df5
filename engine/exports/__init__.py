"""A run's result as files for other tools: weights, graphs, tables of features, a report.

Each file here writes one kind of thing, reads it back with the tool it is for, and compares before it says done.
What must not be here: Qt, anything that trains, a format that must be unpickled.
"""
