"""Random numbers that belong to a record: a pure function of (seed, step, record), on the record's device.

Counter based (SplitMix64: Steele, Lea, Flood, OOPSLA 2014): a draw mixes the record's key with a counter, so it
depends neither on the record's neighbours in the batch nor on the batch's size, nor on any global state. Integer
arithmetic only, hence the same bits on every processor.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_WORD = (1 << 64) - 1


def _signed(value: int) -> int:
    """Return the 64-bit word `value` as the int64 with the same bits."""
    value &= _WORD
    return value - (1 << 64) if value >> 63 else value


def _mix_word(value: int) -> int:
    """Return the mixed 64-bit word (Python integers)."""
    value = (value + _GAMMA) & _WORD
    value = ((value ^ (value >> 30)) * _FIRST) & _WORD
    value = ((value ^ (value >> 27)) * _SECOND) & _WORD
    return value ^ (value >> 31)


def _shift_right(words: Tensor, bits: int) -> Tensor:
    """Shift int64 words right, filling with zeros (torch's own shift copies the sign)."""
    return (words >> bits) & ((1 << (64 - bits)) - 1)


def _mix(words: Tensor) -> Tensor:
    """Return mixed words, int64 of the same shape; the same function as `_mix_word`."""
    words = words + _signed(_GAMMA)
    words = (words ^ _shift_right(words, 30)) * _signed(_FIRST)
    words = (words ^ _shift_right(words, 27)) * _signed(_SECOND)
    return words ^ _shift_right(words, 31)


class Rng:
    """A stream of draws for each record of a batch; every draw advances it.

    Args:
        seed: of the run.
        step: of the training; any integer.
        index: (B,) int64, record numbers; the draws live on its device.
        hidden: tokens of a mask that was chosen by hand; masks take it instead of a drawn one. () = they are drawn.
    """

    def __init__(self, seed: int, step: int, index: Tensor, hidden: tuple[int, ...] = ()) -> None:
        self._index = index
        self.hidden = hidden
        self._base = _mix_word(_mix_word(seed & _WORD) ^ (step & _WORD))
        self._key = _mix(index.to(torch.int64) ^ _signed(self._base))
        self._counter = 0
        self._scalar_counter = 0

    @property
    def device(self) -> torch.device:
        """Where the draws live."""
        return self._key.device

    def __len__(self) -> int:
        """Return the number of records, B."""
        return len(self._key)

    def spawn(self, name: str | int) -> Rng:
        """Return an independent stream for the same records.

        The same name gives the same stream, and drawing from one never moves the other.
        """
        digest = hashlib.blake2b(str(name).encode(), digest_size=8).digest()
        return Rng(self._base ^ int.from_bytes(digest, "little"), 0, self._index, self.hidden)

    def words(self, *shape: int) -> Tensor:
        """Return uniform 64-bit words as int64, (B, *shape)."""
        count = math.prod(shape)
        places = torch.arange(self._counter, self._counter + count, device=self.device)
        self._counter += count
        mixed = _mix(self._key[:, None] + places * _signed(_GAMMA))
        return mixed.view(len(self), *shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return uniform numbers in [low, high), (B, *shape) float32 with 24 random bits."""
        unit = _shift_right(self.words(*shape), 40).to(torch.float32) * 2.0**-24
        return unit if (low, high) == (0.0, 1.0) else low + unit * (high - low)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers, (B, *shape) float32 (Box–Muller)."""
        radius, angle = self.uniform(2, *shape).unbind(1)
        return (-2.0 * torch.log1p(-radius)).sqrt() * torch.cos(2.0 * math.pi * angle)

    def chance(self, p: float, *shape: int) -> Tensor:
        """Return True with probability `p`, (B, *shape) bool."""
        return self.uniform(*shape) < p

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Return integers in [low, high), (B, *shape) int64.

        Raises:
            ValueError: the range is empty.
        """
        if high <= low:
            msg = f"no integer lies in [{low}, {high})"
            raise ValueError(msg)
        return low + _shift_right(self.words(*shape), 1) % (high - low)

    def permutation(self, n: int) -> Tensor:
        """Return a permutation of 0…n-1 for every record, (B, n) int64."""
        return self.words(n).argsort(dim=1)

    def scalar_uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return one number in [low, high) for the whole batch; it depends on seed and step alone."""
        word = _mix_word(self._base ^ _mix_word(~self._scalar_counter))
        self._scalar_counter += 1
        return low + (word >> 11) * 2.0**-53 * (high - low)

    def scalar_integer(self, low: int, high: int) -> int:
        """Return one integer in [low, high) for the whole batch.

        Raises:
            ValueError: the range is empty.
        """
        if high <= low:
            msg = f"no integer lies in [{low}, {high})"
            raise ValueError(msg)
        return low + int(self.scalar_uniform() * (high - low))
