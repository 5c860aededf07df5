"""Numbers behind curves: one pass over the steps, and thinning that keeps spikes and gaps. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.protocol.inspections import Array


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a plot. `invalid` are the x at which the value was not finite."""

    key: str
    name: str
    x: Array  # (N,) ascending
    y: Array  # (N,) NaN = not finite
    colour: int

    @property
    def invalid(self) -> Array:
        """Where the value was not finite."""
        return self.x[~np.isfinite(self.y)]

    def at(self, x: float) -> float | None:
        """Return the value at the point nearest to x, None if there is none."""
        if len(self.x) == 0:
            return None
        place = int(np.clip(np.searchsorted(self.x, x), 1, max(len(self.x) - 1, 1)))
        place = min(place, len(self.x) - 1)
        if place > 0 and abs(self.x[place - 1] - x) <= abs(self.x[place] - x):
            place -= 1
        return float(self.y[place])


def newest_pass(x: Array) -> Array:
    """Return which of x (N,) to keep so that x ascends: what was done again after a resume counts, not the first go."""
    if len(x) == 0:
        return np.zeros(0, dtype=bool)
    later = np.minimum.accumulate(x[::-1])[::-1]
    keep = np.ones(len(x), dtype=bool)
    keep[:-1] = x[:-1] < later[1:]
    return keep


def thin_line(x: Array, y: Array, buckets: int) -> tuple[Array, Array]:
    """Return at most 2 × `buckets` points: of every bucket its lowest and highest, in order of x.

    A spike never disappears. A bucket that holds a value that is not finite ends in NaN, so that the gap shows.
    """
    if len(x) <= 2 * buckets:
        return x, y
    starts = np.unique(np.linspace(0, len(x), buckets, endpoint=False).astype(np.int64))
    stops = np.concatenate([starts[1:], [len(x)]])
    finite = np.isfinite(y)
    low = np.minimum.reduceat(np.where(finite, y, np.inf), starts)
    high = np.maximum.reduceat(np.where(finite, y, -np.inf), starts)
    broken = np.logical_or.reduceat(~finite, starts)
    with np.errstate(invalid="ignore"):
        is_rising = y[stops - 1] >= y[starts]
    out_x, out_y = np.empty(2 * len(starts)), np.empty(2 * len(starts))
    out_x[0::2], out_x[1::2] = x[starts], x[stops - 1]
    out_y[0::2], out_y[1::2] = np.where(is_rising, low, high), np.where(is_rising, high, low)
    out_y[1::2][broken] = np.nan
    out_y[~np.isfinite(out_y)] = np.nan
    return out_x, out_y


def thin_band(x: Array, low: Array, high: Array, buckets: int) -> tuple[Array, Array, Array]:
    """Return x, lowest low and highest high of at most `buckets` buckets."""
    if len(x) <= buckets:
        return x, low, high
    starts = np.unique(np.linspace(0, len(x), buckets, endpoint=False).astype(np.int64))
    lowest = np.minimum.reduceat(np.where(np.isfinite(low), low, np.inf), starts)
    highest = np.maximum.reduceat(np.where(np.isfinite(high), high, -np.inf), starts)
    gap = ~(np.isfinite(lowest) & np.isfinite(highest))
    return x[starts], np.where(gap, np.nan, lowest), np.where(gap, np.nan, highest)
