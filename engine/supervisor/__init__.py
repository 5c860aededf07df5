"""The process that always answers: socket, queue, devices, child processes.

Lives here: what one user's workspace needs while nobody looks. It holds no state that is not on disk.
Must not live here: torch, or anything that can block for longer than a moment.
"""
