"""CRC-32 of fixed blocks of a byte stream: says which part of a file is damaged, not only that some part is."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import imagecodecs
import numpy as np

from engine.protocol.inspections import Array

BLOCK_BYTES = 64 * 1024
_crc32: Callable[..., int] = zlib.crc32
if imagecodecs.DEFLATE.available:  # ten times faster
    _crc32 = imagecodecs.deflate_crc32


class BlockChecksums:
    """Checksums of a stream that arrives in pieces of any length."""

    def __init__(self) -> None:
        self._done: list[int] = []
        self._crc = 0
        self._filled = 0

    def update(self, piece: memoryview) -> None:
        """Take the next bytes of the stream."""
        start = 0
        while start < len(piece):
            stop = min(len(piece), start + BLOCK_BYTES - self._filled)
            self._crc = _crc32(piece[start:stop], self._crc)
            self._filled += stop - start
            start = stop
            if self._filled == BLOCK_BYTES:
                self._close_block()

    def finish(self) -> Array:
        """Return the checksum of every block, (blocks,) uint32; the last block may be short."""
        if self._filled:
            self._close_block()
        return np.array(self._done, np.uint32)

    def _close_block(self) -> None:
        self._done.append(self._crc)
        self._crc = self._filled = 0


def count_blocks(size: int) -> int:
    """Return how many blocks a stream of `size` bytes has."""
    return -(-size // BLOCK_BYTES)


def block_is_good(stream: memoryview, block: int, expected: int) -> bool:
    """Return whether block number `block` of `stream` has the checksum `expected`."""
    return _crc32(stream[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]) == expected


def byte_ranges(shape: Sequence[int], box: Sequence[tuple[int, int]], item: int) -> tuple[Array, Array]:
    """Return where the elements of a box of a C-ordered array lie: first and stop bytes of ranges, (n,) int64 each.

    Ranges are joined across gaps smaller than a block, which a check would read anyway.

    Args:
        shape: of the array.
        box: (first, stop) along each axis.
        item: bytes of an element.
    """
    if any(stop <= first for first, stop in box):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    inner = item * np.cumprod([1, *shape[:0:-1]], dtype=np.int64)[::-1]  # bytes of one step along each axis
    along = next((axis for axis in range(len(shape)) if inner[axis] <= BLOCK_BYTES), len(shape) - 1)
    starts = np.zeros(1, np.int64)
    for axis in range(along):
        first, stop = box[axis]
        starts = (starts[:, None] + np.arange(first, stop) * inner[axis]).ravel()
    first, stop = box[along]
    return starts + first * inner[along], starts + stop * inner[along]
