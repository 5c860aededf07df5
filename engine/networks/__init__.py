"""Tokenisers, encoders, heads, decoders, teachers.

timm's blocks where they do; shapes and axes are said at every step (B batch, N tokens, E embedding).
Must not live here: losses, views, a method's own wiring.
"""
