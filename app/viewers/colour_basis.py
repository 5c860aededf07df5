"""Colours of features that keep their meaning from one step to the next."""

from __future__ import annotations

import numpy as np

from engine.protocol.inspections import Array, FeatureMap

LOW, HIGH = 2.0, 98.0  # percentiles that are 0 and 1


class ColourBasis:
    """Turns the components of each feature map into line with those of the one before, where it has the same records.

    Components of two networks differ by a rotation and by signs, which mean nothing; an orthogonal Procrustes fit of
    the new scores to the shown ones takes that away. What is shown first stays as it came.
    """

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._scores: Array = np.zeros(0)

    def colours(self, shown: FeatureMap) -> Array:
        """Return (B, 3, *grid) in 0…1."""
        if shown.scores.size == 0:  # stored before scores were
            return shown.colours
        key = (*shown.records.tolist(), shown.grid, shown.first)
        scores = np.moveaxis(np.asarray(shown.scores, np.float64), 1, -1).reshape(-1, 3)
        if key != self._key:
            self._key, self._scores = key, scores
            return shown.colours
        scores = scores @ rotation(scores, self._scores)
        self._scores = scores
        low, high = np.percentile(scores, LOW, axis=0), np.percentile(scores, HIGH, axis=0)
        colours = np.clip((scores - low) / np.maximum(high - low, 1e-12), 0, 1)
        lay = colours.reshape(len(shown.records), *shown.grid, 3)
        return np.moveaxis(lay, -1, 1).astype(np.float32)


def rotation(scores: Array, reference: Array) -> Array:
    """Return the orthogonal R (K, K) that minimises ‖scores·R − reference‖, each centred and brought to one scale."""
    moved, fixed = scores - scores.mean(axis=0), reference - reference.mean(axis=0)
    left, _, right = np.linalg.svd(moved.T @ fixed)
    return np.asarray(left @ right)
