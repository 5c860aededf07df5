"""Conditional retrieval: a reference and words that change it; which picture of a gallery is meant?

Recipe: Vaze et al. 2023 (GeneCIS, arXiv 2306.07969): for each template the target is ranked among its distractors by
cosine; R@1, 2, 3. The query is the model's own combination, `condition_vectors(batch)` of references whose text is the
condition; of a model without one GeneCIS's baseline: the mean of the unit vectors of picture and words. Beside it: the
picture alone and the words alone. Equal scores count against the query.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import DataError
from engine.evaluation.intervals import bootstrap
from engine.evaluation.protocols.pairs import BATCH, pair_vectors, text_key
from engine.evaluation.protocols.setting import Finding, Protocol, Setting, beside
from engine.evaluation.retrieval import best_ranks
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array

KS = (1, 2, 3)
REFERENCE, TARGET = "reference", "target"


def template_members(template: Array, role: Array, roles: tuple[str, ...]) -> list[tuple[int, int, Array]]:
    """Return reference, target and distractors of each complete template, as positions.

    Args:
        template: (n,) str, "" = none.
        role: (n,) int64.
        roles: names of the roles; those beside "reference" and "target" are distractors.
    """
    first, second = roles.index(REFERENCE), roles.index(TARGET)
    found = []
    for name in np.unique(template):
        rows = np.flatnonzero(template == name)
        reference, target = rows[role[rows] == first], rows[role[rows] == second]
        others = rows[(role[rows] != first) & (role[rows] != second) & (role[rows] >= 0)]
        if name != "" and len(reference) == 1 and len(target) == 1 and len(others):
            found.append((int(reference[0]), int(target[0]), others))
    return found


def template_ranks(queries: Tensor, gallery: Tensor, members: list[tuple[int, int, Array]]) -> Array:
    """Return the rank of each template's target (t,), 0 = first, for queries (t, E) among vectors (n, E)."""
    ranks = []
    for query, (_, target, others) in zip(queries, members, strict=True):
        rows = torch.from_numpy(np.concatenate([[target], others]))
        is_right = torch.zeros(1, len(rows), dtype=torch.bool)
        is_right[0, 0] = True
        ranks.append(int(best_ranks((query @ gallery[rows].T)[None], is_right)[0]))
    return np.array(ranks, np.int64)


def measure(setting: Setting) -> Finding:
    """Return R@1 over templates."""
    dataset, held = setting.dataset, setting.held_out()
    role = dataset.schema.get("role")
    if role is None or not {REFERENCE, TARGET} <= set(role.classes):
        raise DataError(
            f"{dataset.info.name} has no roles {REFERENCE!r} and {TARGET!r}.",
            "Conditional retrieval needs templates: fields template, role and condition, as the sample relations has.",
        )
    template = np.asarray(dataset.column("template"), dtype=object).astype(str)[held]
    members = template_members(template, np.asarray(dataset.column("role"), np.int64)[held], role.classes)
    if not members:
        raise DataError(f"No template of {dataset.info.name} is complete among its held-out records.", "")
    key, loader = text_key(setting), setting.loader()
    references = np.array([reference for reference, _, _ in members])
    found: list[dict[str, Array]] = []
    for which in (0, 1):
        model: Any = setting.network(which)
        gallery = torch.cat([pair_vectors(setting, which, batch)[0] for batch in loader.in_order(held, BATCH)])
        gallery = F.normalize(gallery, dim=1)
        words, combined = [], []
        for batch in loader.in_order(held[references], BATCH):
            texts = tuple(dataset.texts("condition", batch.index.numpy()))
            asked = replace(batch, texts={**batch.texts, key: texts})
            words.append(F.normalize(pair_vectors(setting, which, asked)[1], dim=1))
            if hasattr(model, "condition_vectors"):
                with torch.no_grad():
                    combined.append(model.condition_vectors(asked.to(setting.device)).float().cpu())
        text, image = torch.cat(words), gallery[references]
        both = F.normalize(torch.cat(combined) if combined else image + text, dim=1)
        found.append(
            {
                "both": template_ranks(both, gallery, members),
                "picture alone": template_ranks(image, gallery, members),
                "words alone": template_ranks(text, gallery, members),
            }
        )
        setting.report(which + 1, 2, "networks", "templates")
    first = found[0]["both"] < 1
    chance = float(np.mean([1 / (1 + len(others)) for _, _, others in members]))
    details = beside(
        [float(first.mean()), float((found[1]["both"] < 1).mean())], chance, templates=len(members),
        combination="the model's" if hasattr(setting.network(0), "condition_vectors") else "mean of picture and words",
        **{f"R@{k}": {name: float((ranks < k).mean()) for name, ranks in found[0].items()} for k in KS},
    )  # fmt: skip
    return Finding("R@1 over templates", float(first.mean()), bootstrap(first), details)


PROTOCOL = Protocol(BY_NAME["conditional-retrieval"], measure)
