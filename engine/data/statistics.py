"""Mean and standard deviation of each channel, over records that arrive one block at a time."""

from __future__ import annotations

import numpy as np
from PIL import Image

from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec

_AT_ONCE = 65_536  # values as floats stay in the processor's cache
_CHANNEL_AXIS = {
    FieldKind.IMAGE: 0,
    FieldKind.CHANNELS: 0,
    FieldKind.VOLUME: 0,
    FieldKind.GRID: 0,
    FieldKind.CLIP: 1,
    FieldKind.CINE: 1,
    FieldKind.VIEWS: 1,
    FieldKind.PAIR: 1,
}


class ChannelStatistics:
    """Sums over values scaled to 0…1 (integers) or as they are (floats)."""

    def __init__(self, axis: int, channels: int) -> None:
        self._axis = axis
        self._count = 0
        self._sum = np.zeros(channels)
        self._square = np.zeros(channels)

    @classmethod
    def of(cls, spec: FieldSpec) -> ChannelStatistics | None:
        """Return statistics for a field, or None where it has no channels or an unknown number of them."""
        axis = _CHANNEL_AXIS.get(spec.kind)
        if axis is None or axis >= len(spec.shape):
            return None
        channels = spec.shape[axis]
        return None if channels is None else cls(axis, channels)

    def update(self, values: Array) -> None:
        """Take several records, stacked along axis 0."""
        by_channel = np.moveaxis(values, self._axis + 1, 0).reshape(len(self._sum), -1)
        if values.dtype == np.uint8:
            levels = np.arange(256) / 255
            for channel, row in enumerate(by_channel):
                counts = _counts(row)
                self._sum[channel] += counts @ levels
                self._square[channel] += counts @ levels**2
        else:
            scale = 1.0 / np.iinfo(values.dtype).max if values.dtype.kind in "ui" else 1.0
            for channel, row in enumerate(by_channel):
                for start in range(0, len(row), _AT_ONCE):
                    exact = row[start : start + _AT_ONCE].astype(np.float64)
                    self._sum[channel] += scale * exact.sum()
                    self._square[channel] += scale**2 * np.dot(exact, exact)
        self._count += by_channel.shape[1]

    def result(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel, rounded to 6 digits; empty without any value."""
        if self._count == 0:
            return (), ()
        mean = self._sum / self._count
        deviation = np.sqrt(np.maximum(self._square / self._count - mean**2, 0.0))
        return tuple(round(float(x), 6) for x in mean), tuple(round(float(x), 6) for x in deviation)


def _counts(row: Array) -> Array:
    """Return how often each of the 256 levels is in `row` (n,) uint8: exact, and much faster than `np.bincount`."""
    if row.size == 0:
        return np.zeros(256, np.int64)
    row = np.ascontiguousarray(row)
    return np.array(Image.frombuffer("L", (row.size, 1), row, "raw", "L", 0, 1).histogram(), np.int64)
