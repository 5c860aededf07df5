"""Two posed views of a record: features of the places of both, and where the places of the first truly lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.batch import Batch
from engine.errors import DataError
from engine.evaluation.correspondence import TrueMatches, true_matches
from engine.evaluation.protocols.setting import Setting
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec

VIEWS = (FieldKind.PAIR, FieldKind.VIEWS)


@dataclass(frozen=True, slots=True)
class Matched:
    """Matches by features, and the true ones."""

    chosen: tuple[Tensor, Tensor]  # (n, P) of the trained and of the untrained network
    truth: TrueMatches
    grid: tuple[int, int]
    size: tuple[int, int]  # of the views in pixels

    def of(self, row: int) -> TrueMatches:
        """Return the true matches of one record."""
        return TrueMatches(self.truth.pixels[row : row + 1], self.truth.known[row : row + 1])


def views_field(setting: Setting) -> FieldSpec:
    """Return the field with the views.

    Raises:
        DataError: there is none.
    """
    field = setting.dataset.schema.first(*VIEWS)
    if field is None:
        raise DataError(f"{setting.dataset.info.name} has no pairs of views.", "Import posed views.")
    return field


def companion_of(setting: Setting, suffix: str, records: Array) -> Tensor:
    """Return what the data say of the views ("depth", "poses", …), (n, V, …)."""
    values = setting.dataset.read(f"{views_field(setting).name}_{suffix}", records)
    return torch.from_numpy(np.asarray(values))


def swapped(batch: Batch) -> Batch:
    """Return the same batch with its first two views exchanged."""
    fields = dict(batch.fields)
    for key, spec in batch.specs.items():
        value = fields.get(key)
        if spec.kind in VIEWS and isinstance(value, Tensor):
            order = torch.arange(value.shape[1], device=value.device)
            order[:2] = order[:2].flip(0)
            fields[key] = value[:, order]
    return replace(batch, fields=fields)


def matched(setting: Setting, records: Array) -> Matched:
    """Return for every place of the first view the place of the second with the highest cosine.

    Raises:
        DataError: the places do not lie on a grid of two axes, or no match is known.
    """
    firsts, seconds = setting.places(records), setting.places(records, change=swapped)
    grid = firsts[0][0].grid
    if len(grid) != 2:
        raise DataError("The places of this network lie on no grid of two axes.", "Choose another protocol.")
    chosen = []
    for (first,), (second,) in zip(firsts, seconds, strict=True):
        pairs = zip(first.features.split(16), second.features.split(16), strict=True)
        nearest = [(F.normalize(a, dim=2) @ F.normalize(b, dim=2).mT).argmax(dim=2) for a, b in pairs]
        chosen.append(torch.cat(nearest))
    depth = companion_of(setting, "depth", records)
    cameras = [companion_of(setting, suffix, records)[:, :2] for suffix in ("intrinsics", "poses")]
    rows, columns = grid
    truth = true_matches(depth[:, :2], cameras[0], cameras[1], (rows, columns))
    if not bool(truth.known.any()):
        raise DataError(f"No place of {setting.dataset.info.name} is seen in both views.", "Take data that overlap.")
    return Matched((chosen[0], chosen[1]), truth, (rows, columns), (depth.shape[-2], depth.shape[-1]))
