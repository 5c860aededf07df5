"""Training: the loop (one page), checkpoints, optimisers and schedules, distribution.

Lives here: everything between a batch and a saved step.
Must not live here: a method's name; sockets; Qt.
"""
