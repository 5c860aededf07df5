"""Zero-shot classification: the class whose name, as a text, fits a record best.

Recipe: Radford et al. 2021 (CLIP, arXiv 2103.00020): the mean of the unit vectors of a name in several sentences is
the class; the nearest by cosine is the answer. Nothing is trained.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from engine.evaluation.protocols.classification import accuracy_finding
from engine.evaluation.protocols.pairs import all_vectors, text_vectors
from engine.evaluation.protocols.setting import Finding, Protocol, Setting
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array

TEMPLATES = ("{}", "a {}", "a picture of a {}", "this shows a {}")


def measure(setting: Setting) -> Finding:
    """Return the top-1 accuracy."""
    data = setting.labelled()
    prompts = [template.format(name) for name in data.classes for template in TEMPLATES]
    right: list[Array] = []
    for which in (0, 1):
        records, _ = all_vectors(setting, which, data.test)
        texts = text_vectors(setting, which, prompts, int(data.test[0]))
        classes = F.normalize(F.normalize(texts, dim=1).view(len(data.classes), len(TEMPLATES), -1).mean(dim=1), dim=1)
        answer = torch.argmax(F.normalize(records, dim=1) @ classes.T, dim=1)
        right.append((answer == data.test_labels).numpy())
    return accuracy_finding(setting, right, {"sentences": list(TEMPLATES)})


PROTOCOL = Protocol(BY_NAME["zero-shot"], measure)
