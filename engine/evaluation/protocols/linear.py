"""Linear probe: multinomial logistic regression on standardised frozen features.

Recipe: Kornblith et al. 2019 (arXiv 1805.08974): LBFGS, the L2 penalty by a sweep on a held-out fifth of the training
records, then a fit on all of them. All penalties are fitted at once.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from engine.evaluation.linear import logistic_probe
from engine.evaluation.protocols.classification import classify
from engine.evaluation.protocols.setting import Finding, Protocol, Setting
from engine.protocol.evaluations import BY_NAME


def _predict(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> tuple[Tensor, dict[str, Any]]:
    predicted, penalty = logistic_probe(train, labels, test, classes)
    return predicted, {"penalty": penalty, "solver": "LBFGS", "features": "standardised"}


def measure(setting: Setting) -> Finding:
    """Return the top-1 accuracy."""
    return classify(setting, _predict)


PROTOCOL = Protocol(BY_NAME["linear"], measure)
