"""Masks as protocols of places need them: the class of every place, and how well classes of pixels were met."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import DataError
from engine.evaluation.protocols.setting import Setting
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind

_CHUNK = 64


def read_masks(setting: Setting, records: Array, grid: tuple[int, ...]) -> tuple[Tensor, int]:
    """Return the classes of pixels (n, *size) int64, cut as the networks see them, and how many classes there are.

    Pixels of no class are numbered K. Of pictures the largest centred square is kept; of several views the first.

    Raises:
        DataError: masks have other axes than the places, or different sizes.
    """
    field = setting.dataset.schema.first(FieldKind.MASK)
    if field is None:
        raise DataError(f"{setting.dataset.info.name} has no masks.", "Import pictures with masks.")
    values = setting.dataset.read(field.name, records)
    if isinstance(values, list):
        raise DataError(f"The masks in {field.name} have different sizes.", "Import them at one size.")
    masks = torch.from_numpy(np.asarray(values).astype(np.int64))
    if masks.ndim == 4 and len(grid) == 2:
        masks = masks[:, 0]
    if masks.ndim - 1 != len(grid):
        raise DataError(
            f"{field.name} has {masks.ndim - 1} axes, the places of this network have {len(grid)}.",
            "Choose data whose masks cover what the network sees.",
        )
    if len(grid) == 2:
        side = min(masks.shape[1:])
        top, left = (round((whole - side) / 2) for whole in masks.shape[1:])
        masks = masks[:, top : top + side, left : left + side]
    classes = len(field.classes) or int(masks.max()) + 1
    return torch.where((masks >= 0) & (masks < classes), masks, classes), classes


def place_classes(masks: Tensor, grid: tuple[int, ...], classes: int, *, foreground: float = 1.0) -> Tensor:
    """Return the class that most pixels of each place have, (n, P) int64; K where most have none.

    Args:
        masks: (n, *size), 0 … K.
        grid: places along each axis.
        classes: K.
        foreground: from this share of a place's pixels on, its strongest class but for 0 and K wins over those two.
    """
    pool = F.adaptive_avg_pool2d if len(grid) == 2 else F.adaptive_avg_pool3d
    found = []
    for part in masks.split(_CHUNK):
        share = pool(F.one_hot(part, classes + 1).movedim(-1, 1).float(), grid)  # type: ignore[arg-type]
        flat = share.flatten(2)
        most, strongest = flat[:, 1:classes].max(dim=1) if classes > 1 else (flat[:, 0] * 0, flat[:, 0].long())
        found.append(torch.where(most >= foreground, strongest + 1, flat.argmax(dim=1)))
    return torch.cat(found)


def on_pixels(places: Tensor, grid: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
    """Return the classes of places (n, P) at every pixel, (n, *size)."""
    return F.interpolate(places.view(-1, 1, *grid).double(), size=size, mode="nearest")[:, 0].long()


def confusions(predicted: Tensor, truth: Tensor, classes: int) -> Array:
    """Return how often class i was taken for j in each record, (n, K, K) float64; pixels of no class do not count."""
    found = []
    for mine, true in zip(predicted, truth, strict=True):
        known = true < classes
        pairs = true[known] * classes + mine[known].clamp(max=classes - 1)
        found.append(torch.bincount(pairs, minlength=classes**2).view(classes, classes))
    return torch.stack(found).double().numpy()


def mean_iou_of(confusion: Array) -> float:
    """Return the mean over classes of intersection / union, of counts (K, K) or of the sum of (n, K, K)."""
    counts = confusion.sum(axis=0) if confusion.ndim == 3 else confusion
    hit = np.diagonal(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - hit
    return float((hit[union > 0] / union[union > 0]).mean()) if (union > 0).any() else float("nan")
