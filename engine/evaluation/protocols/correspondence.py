"""Correspondence of posed views: features alone should find a place again in the other view.

Recipe: as El Banani et al. 2024 (Probe3D, arXiv 2404.08636): nearest places by cosine, true matches from depth and
cameras; right within one place. Counted over places that are seen in both views.
"""

from __future__ import annotations

import numpy as np

from engine.evaluation.correspondence import chance_of_match, match_accuracy
from engine.evaluation.intervals import bootstrap
from engine.evaluation.protocols.setting import Finding, Protocol, Setting, beside
from engine.evaluation.protocols.views import matched
from engine.protocol.evaluations import BY_NAME

MOST_RECORDS = 200


def measure(setting: Setting) -> Finding:
    """Return the share of places found again, the mean over records."""
    records = setting.some(setting.held_out(), MOST_RECORDS)
    found = matched(setting, records)
    rows = [row for row in range(len(records)) if bool(found.truth.known[row].any())]
    shares = [
        np.array([float(match_accuracy(chosen[r : r + 1], found.of(r), found.grid, found.size)) for r in rows])
        for chosen in found.chosen
    ]
    chance = float(chance_of_match(found.truth, found.grid, found.size))
    details = beside([float(each.mean()) for each in shares], chance, records=len(rows), grid=list(found.grid))
    return Finding("places found within one place", float(shares[0].mean()), bootstrap(shares[0]), details)


PROTOCOL = Protocol(BY_NAME["correspondence"], measure)
