"""Linear segmentation: a logistic probe of the features of places against the class of every pixel.

Recipe: as the linear evaluation of DINOv2 (Oquab et al. 2023): one linear layer on frozen features of places, mean
intersection over union of all held-out pixels. Here the probe is fitted by LBFGS to the majority class of 8000 places
drawn at random, and its answer is brought to the pixels by the nearest place (DINOv2 interpolates scores).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from engine.evaluation.intervals import resampled
from engine.evaluation.protocols.masks import confusions, mean_iou_of, on_pixels, place_classes, read_masks
from engine.evaluation.protocols.setting import Finding, Protocol, Setting, beside
from engine.evaluation.segmentation import segmentation_probe
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind

Segmenter = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""(train (R, P, E), classes of its places (R, P), test (Q, P, E), K + 1) → class of each test place (Q, P)."""


def segment(setting: Setting, segmenter: Segmenter) -> Finding:
    """Return the mean IoU of held-out pixels."""
    train, held = setting.both_parts()
    found: list[Array] = []
    ceiling = common = 0.0
    names: tuple[str, ...] = ()
    for bank, queries in setting.places(train, held):
        masks, classes = read_masks(setting, train, bank.grid)
        truth, _ = read_masks(setting, held, bank.grid)
        places = place_classes(masks, bank.grid, classes)
        answer = segmenter(bank.features, places, queries.features, classes + 1)
        size = tuple(truth.shape[1:])
        found.append(confusions(on_pixels(answer, bank.grid, size), truth, classes))
        best = on_pixels(place_classes(truth, bank.grid, classes), bank.grid, size)
        ceiling = mean_iou_of(confusions(best, truth, classes))
        most = int(torch.bincount(masks[masks < classes], minlength=classes).argmax())
        common = mean_iou_of(confusions(torch.full_like(truth, most), truth, classes))
        field = setting.dataset.schema.first(FieldKind.MASK)
        names = field.classes if field is not None and field.classes else tuple(map(str, range(classes)))
    values = [mean_iou_of(each) for each in found]
    total = found[0].sum(axis=0)
    union = total.sum(axis=0) + total.sum(axis=1) - np.diagonal(total)
    by_class = {name: float(np.diagonal(total)[row] / union[row]) for row, name in enumerate(names) if union[row] > 0}
    details = beside(
        values, common, chance_is="the most frequent class everywhere", highest_possible=ceiling, classes=by_class,
        train_records=len(train), test_records=len(held),
    )  # fmt: skip
    interval = resampled(len(held), lambda rows: mean_iou_of(found[0][rows]))
    return Finding("mean IoU of pixels", values[0], interval, details)


def measure(setting: Setting) -> Finding:
    """Return the mean IoU of the linear probe."""
    return segment(setting, segmentation_probe)


PROTOCOL = Protocol(BY_NAME["segmentation"], measure)
