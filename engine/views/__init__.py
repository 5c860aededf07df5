"""Augmentation and masking of whole batches on the device: sampling grids, colour fields, masks.

All randomness comes from an `Rng` of (seed, step, record). In every mask 1 means masked.
Must not live here: I/O, weights, a method's own recipe.
"""
