"""What places of a picture are worth: a linear probe of dense features against the class of every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.evaluation.knn import knn_predict
from engine.evaluation.linear import logistic_probe
from engine.method import ClaimData, Features

_CHUNK = 128


@dataclass(frozen=True, slots=True)
class PlaceLabels:
    """The class that most pixels of each place have."""

    labels: Tensor  # (B, N) int64
    purity: Tensor  # (B, N) float32, share of the place's pixels that have that class


def place_labels(masks: Tensor, grid: tuple[int, int], classes: int) -> PlaceLabels:
    """Return the majority class of each place of the largest centred square, as `evaluation_view` shows it.

    Args:
        masks: (B, H, W) integers, the class of each pixel.
        grid: rows and columns of places.
        classes: K.
    """
    height, width = masks.shape[-2:]
    side = min(height, width)
    top, left = round((height - side) / 2), round((width - side) / 2)
    square = masks[:, top : top + side, left : left + side].long()
    shares = torch.cat(
        [
            F.adaptive_avg_pool2d(F.one_hot(part, classes).permute(0, 3, 1, 2).float(), grid)
            for part in square.split(_CHUNK)
        ]
    )
    purity, labels = shares.flatten(2).max(dim=1)
    return PlaceLabels(labels, purity)


def class_iou(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Return intersection / union of each class (K,), float64, of class numbers (…); NaN for classes in neither."""
    confusion = torch.bincount(truth.flatten() * classes + predicted.flatten(), minlength=classes**2)
    confusion = confusion.view(classes, classes).double()
    hit = confusion.diagonal()
    return hit / (confusion.sum(dim=0) + confusion.sum(dim=1) - hit)


def mean_iou(predicted: Tensor, truth: Tensor, classes: int) -> float:
    """Return the mean of `class_iou` over the classes that occur."""
    return float(class_iou(predicted, truth, classes).nanmean())


def labelled_places(
    model: nn.Module,
    data: ClaimData,
    part: Literal["train", "test"],
    records: int,
    *,
    classes: int,
    field: str = "mask",
) -> tuple[Tensor, PlaceLabels]:
    """Return the dense features (B, N, E) of the first `records` of a part, on the CPU, and the classes of the places.

    Args:
        model: with `embed`.
        data: of a claim.
        part: which records.
        records: how many.
        classes: K.
        field: that holds the class of every pixel.
    """
    learner: Any = model
    found: list[Features] = [learner.embed(batch) for batch in data.batches(part, records)]
    dense = torch.cat([features.dense.float().cpu() for features in found if features.dense is not None])
    rows, columns = found[0].grid
    return dense, place_labels(data.field(field, part, records), (rows, columns), classes)


def segmentation_probe(
    train: Tensor, train_labels: Tensor, test: Tensor, classes: int, *, places: int = 8000, seed: int = 0
) -> Tensor:
    """Return the class (Q, N) that a logistic probe gives each place of `test` (Q, N, E).

    It is trained on `places` places chosen at random among those of `train` (R, N, E), with `train_labels` (R, N).
    """
    chosen = _choose(train_labels.numel(), places, seed)
    predicted, _ = logistic_probe(
        train.flatten(0, 1)[chosen], train_labels.flatten()[chosen], test.flatten(0, 1), classes
    )
    return predicted.view(test.shape[:2])


def place_neighbours(
    train: Tensor, train_labels: Tensor, test: Tensor, classes: int, *, places: int = 8000, k: int = 20, seed: int = 0
) -> Tensor:
    """Return the class (Q, N) of each place of `test` (Q, N, E) by its nearest places among `places` of `train`."""
    chosen = _choose(train_labels.numel(), places, seed)
    predicted = knn_predict(
        test.flatten(0, 1), train.flatten(0, 1)[chosen], train_labels.flatten()[chosen], classes, k=k
    )
    return predicted.view(test.shape[:2])


def _choose(count: int, places: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:places]
