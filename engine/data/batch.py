"""A batch of records on its way to a method: tensors by need, ragged fields as flat data and lengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.protocol.schema import FieldSpec


@dataclass(frozen=True, slots=True)
class Ragged:
    """Records of different length: their rows one after another, and how many rows each has."""

    data: Tensor  # (sum of lengths, …)
    lengths: Tensor  # (B,) int64

    def to(self, device: torch.device | str) -> Ragged:
        """Return the same on `device`."""
        return Ragged(self.data.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True))


@dataclass(frozen=True, slots=True)
class Batch:
    """Raw records as stored (integers stay integers), by the keys of the needs: "image", "clip_times_s".

    A GROUP comes twice: as text, and in `fields` as numbers, equal for records of one group.
    """

    fields: Mapping[str, Tensor | Ragged]
    index: Tensor  # (B,) int64, record numbers in the dataset
    specs: Mapping[str, FieldSpec] = field(default_factory=dict)  # by the same keys
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # text fields, groups and names

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.index)

    def __contains__(self, key: object) -> bool:
        """Return whether the records have this field: an optional one may be missing."""
        return key in self.fields or key in self.texts

    def __getitem__(self, key: str) -> Tensor:
        """Return a dense field.

        Raises:
            TypeError: the field is ragged; take it from `ragged`.
        """
        value = self.fields[key]
        if isinstance(value, Ragged):
            msg = f"{key} has a different length in every record; use Batch.ragged({key!r})"
            raise TypeError(msg)
        return value

    def ragged(self, key: str) -> Ragged:
        """Return a ragged field; a dense one becomes ragged with equal lengths."""
        value = self.fields[key]
        if isinstance(value, Ragged):
            return value
        lengths = torch.full((len(value),), value.shape[1], dtype=torch.int64, device=value.device)
        return Ragged(value.flatten(0, 1), lengths)

    def to(self, device: torch.device | str) -> Batch:
        """Return the same on `device`."""
        moved = {
            key: value.to(device) if isinstance(value, Ragged) else value.to(device, non_blocking=True)
            for key, value in self.fields.items()
        }
        return Batch(moved, self.index.to(device, non_blocking=True), self.specs, self.texts)
