"""What features are worth: one file per protocol, and the health of a representation without labels.

Lives here: kNN, linear probe, ranks, alignment, uniformity; each with its interval.
Must not live here: how a method trains; drawing.
"""
