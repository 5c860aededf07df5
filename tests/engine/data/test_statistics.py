"""Mean and standard deviation of channels, against NumPy over all values at once."""

from __future__ import annotations

import numpy as np
import pytest

from engine.data.statistics import ChannelStatistics
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec


def of_blocks(values: Array, kind: FieldKind, parts: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of records (N, *shape) that arrive in `parts` blocks."""
    statistics = ChannelStatistics.of(FieldSpec(name="x", kind=kind, shape=values.shape[1:], dtype=str(values.dtype)))
    assert statistics is not None
    for block in np.array_split(values, parts):
        statistics.update(block)
    return statistics.result()


@pytest.mark.parametrize(("dtype", "full"), [("uint8", 255), ("uint16", 65535), ("int16", 32767), ("float32", 1)])
def test_that_statistics_of_blocks_are_those_of_all_values(dtype: str, full: int) -> None:
    drawn = np.random.default_rng(0).normal(size=(11, 3, 9, 7))
    values = (drawn * full / 20 + full / 2).astype(dtype)
    mean, deviation = of_blocks(values, FieldKind.IMAGE, 4)
    scaled = values.astype(np.float64) / full
    np.testing.assert_allclose(mean, scaled.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(deviation, scaled.std((0, 2, 3)), atol=1e-6)


def test_that_channels_behind_time_are_told_apart_and_blocks_may_be_empty() -> None:
    values = np.random.default_rng(1).integers(0, 256, (2, 4, 3, 5, 6)).astype(np.uint8)
    mean, deviation = of_blocks(values, FieldKind.CLIP, 3)  # the last of three blocks holds no record
    np.testing.assert_allclose(mean, values.mean((0, 1, 3, 4)) / 255, atol=1e-6)
    np.testing.assert_allclose(deviation, values.std((0, 1, 3, 4)) / 255, atol=1e-6)
