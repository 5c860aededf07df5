"""Two things timed in turns, so that what else the machine does falls on both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def in_turns(
    ours: Callable[[], object], peer: Callable[[], object], *, runs: int = 7, warm_up: int = 1
) -> tuple[list[float], list[float]]:
    """Return the seconds of `runs` calls of each, alternating, after `warm_up` uncounted calls."""
    for _ in range(warm_up):
        ours()
        peer()
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(runs):
        # who goes first changes, so that neither always finds the caches warm
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            start = time.perf_counter()
            (ours, peer)[which]()
            times[which].append(time.perf_counter() - start)
    return times


def row(name: str, amount: float, unit: str, times: tuple[list[float], list[float]], peer_name: str) -> dict[str, Any]:
    """Return a result row: rates of `amount` per median time, and their ratio (> 1 = ours is faster)."""
    ours, peer = (statistics.median(one) for one in times)
    return {
        "name": name,
        "ours": amount / ours,
        "peer": amount / peer,
        "peer_name": peer_name,
        "ratio": peer / ours,
        "unit": unit,
        "runs": len(times[0]),
    }
