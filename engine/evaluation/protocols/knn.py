"""k-nearest-neighbour classification of frozen features.

Recipe: Caron et al. 2021 (DINO): cosine, votes weighted by exp(cosine / 0.07), k = 20; 10, 100 and 200 beside it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from engine.evaluation.knn import knn_predict_each
from engine.evaluation.protocols.classification import classify
from engine.evaluation.protocols.setting import Finding, Protocol, Setting
from engine.protocol.evaluations import BY_NAME

K, OTHERS, TEMPERATURE = 20, (10, 100, 200), 0.07


def _predict(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> tuple[Tensor, dict[str, Any]]:
    ks = (K, *(k for k in OTHERS if k <= len(train)))
    found = knn_predict_each(test, train, labels, classes, ks=ks, temperature=TEMPERATURE)
    agree = {str(k): float((found[k] == found[K]).float().mean()) for k in ks}
    return found[K], {"k": K, "temperature": TEMPERATURE, "distance": "cosine", "same_answer_with_k": agree}


def measure(setting: Setting) -> Finding:
    """Return the top-1 accuracy."""
    return classify(setting, _predict)


PROTOCOL = Protocol(BY_NAME["knn"], measure)
