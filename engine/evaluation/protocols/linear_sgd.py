"""Linear probe by stochastic gradient descent, thirteen learning rates at once.

Recipe: Oquab et al. 2023 (DINOv2, arXiv 2304.07193): momentum 0.9, no weight decay, cosine to 0, a head per learning
rate on the same batches. As He et al. 2022 (MAE), features are standardised. The rate is chosen on a held-out fifth of
the training records (DINOv2 takes the best on the test part, which flatters), then fitted on all of them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from engine.evaluation.linear_sgd import sgd_probe
from engine.evaluation.protocols.classification import classify
from engine.evaluation.protocols.setting import Finding, Protocol, Setting
from engine.protocol.evaluations import BY_NAME


def _predict(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> tuple[Tensor, dict[str, Any]]:
    found = sgd_probe(train, labels, test, classes)
    sweep = {f"{rate:g}": accuracy for rate, accuracy in found.sweep.items()}
    return found.predicted, {
        "learning_rate": found.rate, "held_out_accuracy_by_rate": sweep, "solver": "SGD", "features": "standardised",
    }  # fmt: skip


def measure(setting: Setting) -> Finding:
    """Return the top-1 accuracy."""
    return classify(setting, _predict)


PROTOCOL = Protocol(BY_NAME["linear-sgd"], measure)
