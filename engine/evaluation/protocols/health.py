"""Health of a representation without labels.

Recipe: RankMe (Garrido et al. 2023) is the value; beside it the effective rank of centred features, α of α-ReQ, spread
of each dimension, dead dimensions, uniformity; of pictures alignment of two random crops and LiDAR; of methods with a
teacher its distance from the student, of those with prototypes the share in use. Up to 5000 records of all splits.
"""

from __future__ import annotations

from typing import Any

import torch

from engine.evaluation.health import (
    alignment,
    lidar,
    measure_health,
    prototype_use,
    rankme,
    spectrum_decay,
    teacher_gap,
)
from engine.evaluation.intervals import resampled
from engine.evaluation.protocols.setting import SEED, Finding, Protocol, Setting, beside
from engine.evaluation.random_views import embed_random_view, has_pictures
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array

MOST_RECORDS, DRAWS, MOST_RESAMPLED = 5000, 50, 1000
VIEWED_RECORDS, VIEWS = 100, 10


def measure(setting: Setting) -> Finding:
    """Return RankMe."""
    records = setting.some(setting.dataset.select(None), MOST_RECORDS)
    found = [features for (features,) in setting.pooled(records)]
    health, features = measure_health(found[0]), found[0]
    few = features[torch.randperm(len(features), generator=torch.Generator().manual_seed(SEED))[:MOST_RESAMPLED]]
    low, high = resampled(len(few), lambda rows: rankme(few[torch.from_numpy(rows)]), draws=DRAWS)
    # resampling repeats records, which lowers the rank of few ones: the interval is moved to the measured value
    shift = health.rank - rankme(few[torch.arange(len(few))]) if len(few) else 0.0
    details: dict[str, Any] = beside(
        (health.rank, measure_health(found[1]).rank), 1.0, width=features.shape[1], records=len(features),
        effective_rank=health.effective_rank, alpha_req=spectrum_decay(features), spread=health.spread_mean,
        spread_min=health.spread_min, uniformity=health.uniformity, dead=health.dead, collapsed=health.has_collapsed,
    )  # fmt: skip
    details |= _of_views(setting, records)
    gap, use = teacher_gap(setting.run.model), prototype_use(setting.run.model)
    details |= {"teacher_student_gap": gap} if gap is not None else {}
    details |= {"prototypes_in_use": use.share * use.count, "prototypes": use.count} if use is not None else {}
    interval = (min(health.rank, low + shift), max(health.rank, high + shift))
    return Finding("effective rank (RankMe)", health.rank, interval, details)


def _of_views(setting: Setting, records: Array) -> dict[str, float]:
    loader = setting.loader()
    if not has_pictures(loader):
        return {}
    chosen = records[:: max(1, len(records) // VIEWED_RECORDS)][:VIEWED_RECORDS]
    batch = loader.at(chosen)
    views = torch.stack([embed_random_view(setting.run.model, batch, view, SEED) for view in range(VIEWS)], dim=1)
    return {"alignment": alignment(views[:, 0], views[:, 1]), "lidar": lidar(views)}


PROTOCOL = Protocol(BY_NAME["health"], measure)
