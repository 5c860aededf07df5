"""Speed side by side with peers, in the same run, as ratios of medians; `selfsight bench`.

Lives here: what is measured, against which peer, with the same work on both sides. Peers are development
dependencies, imported where they are measured. Must not live here: absolute promises.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from engine.errors import ConfigError

BENCHMARKS = {
    "views": "engine.bench.views:bench_views",
    "loader": "engine.bench.loading:bench_loader",
    "imports": "engine.bench.imports:bench_imports",
    "reads": "engine.bench.reads:bench_reads",
    "steps": "engine.bench.steps:bench_steps",
    "live": "engine.bench.live:bench_live_views",
    "evaluation": "engine.bench.evaluation:bench_evaluation",
}
"""Name → function that returns rows {name, ours, peer, peer_name, ratio, unit, runs}; ratio > 1 = ours is better."""


def run_benchmarks(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Measure the named benchmarks (all, if none is named).

    Raises:
        ConfigError: a name is unknown, or the peer is not installed.
    """
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise ConfigError(f"There is no benchmark {unknown[0]!r}.", f"Known: {', '.join(BENCHMARKS)}.")
    rows: list[dict[str, Any]] = []
    for name in names or BENCHMARKS:
        module, _, function = BENCHMARKS[name].partition(":")
        try:
            rows += getattr(importlib.import_module(module), function)()
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"The benchmark {name!r} needs the package {error.name!r}, which is not installed.",
                "pip install 'selfsight[dev]'",
            ) from error
    return rows
