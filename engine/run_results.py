"""Evaluations kept in a run: `evaluations/PROTOCOL-DATASET-STEP.json`, one file each. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.durable import write_atomic
from engine.runs import utc_now

RESULTS = "evaluations"  # folder in a run


def keep_result(run_path: Path, result: dict[str, Any], dataset: str) -> Path:
    """Keep a result in the run as `evaluations/PROTOCOL-DATASET-STEP.json`, in place of an older one of the same."""
    folder = run_path / RESULTS
    folder.mkdir(exist_ok=True)
    path = folder / f"{result['protocol']}-{dataset}-{result['details']['step']:07d}.json"
    write_atomic(path, json.dumps(result | {"dataset": dataset, "time": utc_now()}, default=str).encode())
    return path


def kept_results(run_path: Path) -> list[dict[str, Any]]:
    """Return the newest kept result of each protocol and dataset, oldest first; what cannot be read is left out."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for path in (run_path / RESULTS).glob("*.json"):
        try:
            found = json.loads(path.read_bytes())
            key, time = (str(found["protocol"]), str(found["dataset"])), str(found["time"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if key not in newest or time > str(newest[key]["time"]):
            newest[key] = found
    return sorted(newest.values(), key=lambda found: str(found["time"]))
