"""CRC-32 of fixed blocks of a byte stream: says which part of a file is damaged, not only that some part is."""

from __future__ import annotations

import zlib

import numpy as np

from engine.protocol.inspections import Array

BLOCK_BYTES = 64 * 1024


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
            self._crc = zlib.crc32(piece[start:stop], self._crc)
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
    return zlib.crc32(stream[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]) == expected
