"""The background engine's one long-lived process: sockets, queue, devices, child processes.

It always answers: nothing here computes, imports torch or opens a dataset; children do. It holds no state that
is not in the workspace, so that after a kill it rebuilds everything from there.
"""
