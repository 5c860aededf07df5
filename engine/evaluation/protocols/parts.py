"""Part correspondence: the place of another record that resembles a part most should be the same part.

Recipe: as Amir et al. 2021 (arXiv 2112.05814): each place of a part is sent to the place of the other record with the
highest cosine. Right if the parts of both are the same, counted over parts that the other record has, and not over the
background (class 0); a part is where it covers a quarter of a place. Records are paired with the next of their class.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import DataError
from engine.evaluation.intervals import bootstrap
from engine.evaluation.protocols.masks import place_classes, read_masks
from engine.evaluation.protocols.setting import Finding, Protocol, Setting, beside
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array

FOREGROUND = 0.25  # share of a place that a part must cover to be there


def partners(labels: Array) -> Array:
    """Return for each position of labels (n,) that of the next of the same label, the last meets the first; (n,)."""
    found = np.arange(len(labels))
    for each in np.unique(labels):
        rows = np.flatnonzero(labels == each)
        found[rows] = np.roll(rows, -1)
    return found


def part_hits(first: Tensor, second: Tensor, parts: Tensor, others: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return accuracy and chance (n,) float64 of pairs of records; NaN where no part occurs in both.

    Args:
        first: (n, P, E).
        second: (n, P, E), the other record of each pair.
        parts: (n, P), classes of the places of the first; 0 = background, `classes` = none.
        others: (n, P), of the second.
        classes: K.
    """
    nearest = (F.normalize(first, dim=2) @ F.normalize(second, dim=2).mT).argmax(dim=2)
    there = F.one_hot(others, classes + 1).double().mean(dim=1)  # (n, K + 1) share of the other's places
    share = there.gather(1, parts)
    asked = (parts > 0) & (parts < classes) & (share > 0)
    hit = (others.gather(1, nearest) == parts) & asked
    count = asked.sum(dim=1).double()
    return hit.sum(dim=1) / count, (share * asked).sum(dim=1) / count


def measure(setting: Setting) -> Finding:
    """Return the share of places whose nearest place is the same part."""
    held, label = setting.some(setting.held_out(), 300), setting.label()
    labels = np.asarray(setting.dataset.column(label.name))[held] if label else np.zeros(len(held), np.int64)
    other = torch.from_numpy(partners(labels))
    found, chances = [], []
    for (places,) in setting.places(held):
        masks, classes = read_masks(setting, held, places.grid)
        parts = place_classes(masks, places.grid, classes, foreground=FOREGROUND)
        hits, chance = part_hits(places.features, places.features[other], parts, parts[other], classes)
        real = (other != torch.arange(len(other))) & hits.isfinite()
        found.append(hits[real].numpy())
        chances.append(chance[real].numpy())
    if len(found[0]) == 0:
        raise DataError(
            f"No two held-out records of {setting.dataset.info.name} have a part in common.",
            "Take data whose masks name parts.",
        )
    details = beside([float(each.mean()) for each in found], float(chances[0].mean()), pairs=len(found[0]))
    return Finding("places sent to the same part", float(found[0].mean()), bootstrap(found[0]), details)


PROTOCOL = Protocol(BY_NAME["parts"], measure)
