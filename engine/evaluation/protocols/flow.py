"""Flow between two views by matching features.

Recipe: the end-point error of optical flow (Baker et al. 2011, Middlebury): distance in pixels between where a place is
found by the highest cosine and where it truly moved, from depth and cameras, over places seen in both views. Nothing is
trained; as chance, that nothing moved.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.evaluation.intervals import bootstrap
from engine.evaluation.protocols.setting import Finding, Protocol, Setting, beside
from engine.evaluation.protocols.views import Matched, matched
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array

MOST_RECORDS = 200


def end_point_errors(chosen: Tensor, found: Matched) -> Array:
    """Return the mean distance in pixels of each record (n,), NaN where no place is known; `chosen` is (n, P)."""
    height, width = found.size
    x = (chosen % found.grid[1] + 0.5) * width / found.grid[1] - 0.5
    y = (chosen // found.grid[1] + 0.5) * height / found.grid[0] - 0.5
    apart = (torch.stack((x, y), dim=2).float() - found.truth.pixels).norm(dim=2).double()
    known = found.truth.known
    return ((apart * known).sum(dim=1) / known.sum(dim=1)).numpy()


def measure(setting: Setting) -> Finding:
    """Return the end-point error in pixels, the mean over records."""
    records = setting.some(setting.held_out(), MOST_RECORDS)
    found = matched(setting, records)
    still = torch.arange(found.grid[0] * found.grid[1]).expand(len(records), -1)
    errors = [end_point_errors(chosen, found) for chosen in (*found.chosen, still)]
    errors = [each[np.isfinite(each)] for each in errors]
    details = beside(
        [float(each.mean()) for each in errors], float(errors[2].mean()), chance_is="nothing moved",
        records=len(errors[0]), view_px=list(found.size),
    )  # fmt: skip
    return Finding("end-point error, pixels", float(errors[0].mean()), bootstrap(errors[0]), details)


PROTOCOL = Protocol(BY_NAME["flow"], measure)
