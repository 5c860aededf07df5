"""Retrieval of records that belong together: same class, or same identity where groups name one.

Recipe: every held-out record searches among all others by cosine. R@k: a right one is among the first k; mean average
precision. As in re-identification (Zheng et al. 2015, Market-1501), records of the same identity that were taken by
the same camera (video, slide, …) are left out of a query's gallery; R@1 is then Rank-1.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from engine.errors import DataError
from engine.evaluation.intervals import bootstrap
from engine.evaluation.protocols.setting import Finding, Protocol, Setting, beside
from engine.evaluation.retrieval import ranked_scores
from engine.protocol.evaluations import BY_NAME, TAKEN_BY, identity_of
from engine.protocol.inspections import Array

MOST_RECORDS = 5000
KS = (1, 5, 10)


def _numbers(setting: Setting, field: str, records: Array) -> Array:
    column = setting.dataset.column(field)
    return np.unique(np.asarray(column, dtype=object).astype(str)[records], return_inverse=True)[1]


def measure(setting: Setting) -> Finding:
    """Return the mean average precision over queries that have something to find."""
    schema = setting.dataset.schema
    identity = identity_of(schema)
    if identity is None:
        raise DataError(
            f"{setting.dataset.info.name} has neither labels nor groups that say what belongs together.",
            "Import with labels, or use --protocol health.",
        )
    records = setting.some(setting.held_out(), MOST_RECORDS)
    same = torch.from_numpy(_numbers(setting, identity.name, records))
    taken = next((name for name in TAKEN_BY if name != identity.name and schema.get(name) is not None), "")
    by = torch.from_numpy(_numbers(setting, taken, records)) if taken else torch.arange(len(records))
    found = []
    for (features,) in setting.pooled(records):
        unit = F.normalize(features, dim=1)
        found.append(ranked_scores(unit, unit, same, same, by, by))
    scores = found[0]
    if len(scores.precision) == 0:
        raise DataError(
            f"No held-out record of {setting.dataset.info.name} has another of the same {identity.name}"
            f"{f' and another {taken}' if taken else ''}.",
            "Take data with more records of each.",
        )
    values = [float(each.precision.mean()) for each in found]
    recall = {f"R@{k}": float((scores.rank < k).float().mean()) for k in KS}
    first = (scores.rank < 1).numpy()
    details = beside(
        values, float(scores.share.mean()), **recall, **{"R@1_interval": list(bootstrap(first))},
        **{"untrained_R@1": float((found[1].rank < 1).float().mean())},
        together=identity.name, left_out=f"same {identity.name} and same {taken}" if taken else "the query itself",
        queries=len(first), gallery=len(records),
    )  # fmt: skip
    return Finding(
        f"mean average precision, same {identity.name}", values[0], bootstrap(scores.precision.numpy()), details
    )


PROTOCOL = Protocol(BY_NAME["retrieval"], measure)
