"""Evaluation protocols: what a run's features are worth, always beside the same network untrained.

Lives here: one file per protocol, with its recipe as published; what several of them share. Must not live here: the
measures themselves (`engine.evaluation`), how protocols are called and what they need (`engine.protocol.evaluations`).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from engine.errors import ConfigError, DataError
from engine.evaluation.protocols.setting import Progress, Protocol, Setting
from engine.inspections.opened import OpenedRun
from engine.protocol.evaluations import BY_NAME, unfit
from engine.run_results import keep_result

__all__ = ["PROTOCOLS", "evaluate_run", "find_protocol"]

PROTOCOLS = tuple(BY_NAME)


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its name; its file is called like it.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in BY_NAME:
        raise ConfigError(f"There is no protocol {name!r}.", f"Known: {', '.join(PROTOCOLS)}.")
    module = importlib.import_module(f"engine.evaluation.protocols.{name.replace('-', '_')}")
    protocol: Protocol = module.PROTOCOL
    return protocol


def evaluate_run(
    run_path: Path,
    protocol: str,
    dataset_path: str = "",
    progress: Progress | None = None,
    *,
    device: str = "auto",
    step: int | None = None,
) -> dict[str, Any]:
    """Evaluate a run's newest checkpoint; return `{run, protocol, metric, value, interval, details}`.

    `details` holds the same measurement of the network before its first step ("untrained"), chance, and counts.

    Raises:
        ConfigError: the protocol is unknown, or not for this method.
        DataError: the data lack what the protocol needs.
        RunError: the run has no checkpoint.
    """
    chosen = find_protocol(protocol)
    with OpenedRun(run_path, step=step, dataset_path=dataset_path, device=device) as run:
        reason = unfit(chosen.info, run.method.needs, run.method.families, run.dataset.info)
        if reason:
            error = ConfigError if chosen.info.pairs or chosen.info.generates else DataError
            raise error(reason, "`selfsight evaluate RUN --protocol list` says which protocols fit.")
        found = chosen.measure(Setting(run, progress or (lambda *_: None)))
        result = {
            "run": run.folder.name,
            "protocol": protocol,
            "metric": found.metric,
            "value": float(found.value),
            "interval": [float(bound) for bound in found.interval],
            "details": {"step": run.step, **found.details},
        }
        keep_result(run.folder.path, result, run.dataset.info.name)
        return result
