"""What kNN, linear and ridge probes have in common: train on "train", test on held-out records, count what is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from engine.evaluation.intervals import bootstrap, proportion
from engine.evaluation.protocols.setting import Finding, Setting, beside
from engine.protocol.inspections import Array

Classifier = Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, dict[str, Any]]]
"""(train (N, E), labels (N,), test (Q, E), classes) → predicted (Q,), and what is worth telling."""


def classify(setting: Setting, classifier: Classifier) -> Finding:
    """Return the top-1 accuracy of a classifier of features, and what it gains over the untrained network."""
    data = setting.labelled()
    right: list[Array] = []
    told: list[dict[str, Any]] = []
    for bank, queries in setting.pooled(data.train, data.test):
        predicted, more = classifier(bank, data.train_labels, queries, len(data.classes))
        right.append((predicted == data.test_labels).numpy())
        told.append(more)
    return accuracy_finding(setting, right, told[0])


def accuracy_finding(setting: Setting, right: list[Array], told: dict[str, Any]) -> Finding:
    """Return what follows from which test records the trained and the untrained network got right, (Q,) bool each."""
    data = setting.labelled()
    truth = data.test_labels.numpy()
    gain = right[0].astype(np.float64) - right[1]
    per_class = {
        name: {"accuracy": float(right[0][truth == number].mean()), "records": int((truth == number).sum())}
        for number, name in enumerate(data.classes)
        if bool((truth == number).any())
    }
    chance = float(np.bincount(truth, minlength=len(data.classes)).max() / len(truth))
    details = beside(
        (float(right[0].mean()), float(right[1].mean())),
        chance,
        untrained_interval=list(proportion(int(right[1].sum()), len(right[1]))),
        gain=float(gain.mean()),
        gain_interval=list(bootstrap(gain)),
        train_records=len(data.train),
        test_records=len(data.test),
        classes=per_class,
    )
    return Finding("top-1 accuracy", float(right[0].mean()), bootstrap(right[0]), told | details)
