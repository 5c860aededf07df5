"""A batch of records on its way to a method: tensors by need, ragged fields as flat data and lengths."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.protocol.schema import FieldSpec


@dataclass(frozen=True, slots=True)
class Ragged:
    """Records of different length: their rows one after another, and how many rows each has."""

    data: Tensor  # (sum of lengths, …)
    lengths: Tensor  # (B,) int64
    sizes: tuple[int, ...] = ()  # the lengths as plain numbers, known without waiting for a device

    def __post_init__(self) -> None:
        """Read the lengths once, where they are not given."""
        if not self.sizes:
            object.__setattr__(self, "sizes", tuple(self.lengths.tolist()))

    @property
    def owner(self) -> Tensor:
        """Which record of the batch each row belongs to, (sum of lengths,) int64."""
        records = torch.arange(len(self.sizes), device=self.data.device)
        return torch.repeat_interleave(records, self.lengths, output_size=sum(self.sizes))

    def padded(self, fill: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return the rows as (B, longest, …), filled up with `fill`, and where rows are: (B, longest) bool."""
        most = max(self.sizes, default=0)
        inside = torch.arange(most, device=self.data.device) < self.lengths[:, None]
        owner = self.owner
        starts = self.lengths.cumsum(0) - self.lengths
        slot = torch.arange(len(self.data), device=self.data.device) - starts[owner]
        rows = self.data.new_full((len(self.sizes), most, *self.data.shape[1:]), fill)
        return rows.index_put((owner, slot), self.data), inside

    def to(self, device: torch.device | str) -> Ragged:
        """Return the same on `device`."""
        moved = self.data.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True)
        return Ragged(*moved, self.sizes)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the windows of a field lie in their records: K windows of B records along A axes."""

    axes: str  # letters, in the order of the array: "THW"
    size: tuple[int, ...]  # samples of a window along each
    offset: Tensor  # (B, K, A) int64, the first stored sample
    step: Tensor  # (B, A) float32, stored samples from one taken sample to the next
    extent: Tensor  # (B, K, A) int64, samples that hold data; what follows is filled up
    whole: Tensor  # (B, A) int64, samples of the record

    def inside(self) -> Tensor:
        """Return where windows hold data, (B, K, *size) bool."""
        masks = [
            torch.arange(side, device=self.extent.device) < self.extent[:, :, axis, None]
            for axis, side in enumerate(self.size)
        ]
        found = masks[0]
        for mask in masks[1:]:
            found = found[..., None] & mask.view(*mask.shape[:2], *(1,) * (found.ndim - 2), -1)
        return found

    def to(self, device: torch.device | str) -> Places:
        """Return the same on `device`."""
        tensors = (self.offset, self.step, self.extent, self.whole)
        return Places(self.axes, self.size, *(tensor.to(device, non_blocking=True) for tensor in tensors))


@dataclass(frozen=True, slots=True)
class Batch:
    """Raw records as stored (integers stay integers), by the keys of the needs: "image", "clip_times_s".

    A GROUP comes twice: as text, and in `fields` as numbers, equal for records of one group.
    """

    fields: Mapping[str, Tensor | Ragged]
    index: Tensor  # (B,) int64, record numbers in the dataset
    specs: Mapping[str, FieldSpec] = field(default_factory=dict)  # by the same keys
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # text fields, groups and names
    places: Mapping[str, Places] = field(default_factory=dict)  # of fields of which windows were cut
    # so many more records of the same data, for views that fit something on them
    others: Callable[[int], Iterator[Batch]] | None = field(default=None, repr=False, compare=False)
    # what views computed of these records with a model that stands still, for the next view; None = forget it
    remembered: dict[Hashable, Any] | None = field(default=None, repr=False, compare=False)

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
        return Ragged(value.flatten(0, 1), lengths, (value.shape[1],) * len(value))

    def to(self, device: torch.device | str) -> Batch:
        """Return the same on `device`."""
        moved = {
            key: value.to(device) if isinstance(value, Ragged) else value.to(device, non_blocking=True)
            for key, value in self.fields.items()
        }
        places = {key: value.to(device) for key, value in self.places.items()}
        return Batch(moved, self.index.to(device, non_blocking=True), self.specs, self.texts, places)
