"""Ridge probe: the live probe of the quality curve, as a protocol.

Recipe: ridge regression of ±1 targets on standardised features in closed form; the penalty with the smallest
leave-one-out error on the training records.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from engine.evaluation.linear import ridge_probe
from engine.evaluation.protocols.classification import classify
from engine.evaluation.protocols.setting import Finding, Protocol, Setting
from engine.protocol.evaluations import BY_NAME


def _predict(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> tuple[Tensor, dict[str, Any]]:
    predicted, penalty = ridge_probe(train, labels, test, classes)
    return predicted, {"penalty": penalty, "solver": "closed form", "features": "standardised"}


def measure(setting: Setting) -> Finding:
    """Return the top-1 accuracy."""
    return classify(setting, _predict)


PROTOCOL = Protocol(BY_NAME["ridge"], measure)
