"""Evaluations of a run: which protocols fit it, and results as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.widgets.numbers import ABSENT, count, interval, number, share
from engine.protocol.evaluations import BY_NAME, EVALUATIONS, unfit
from engine.protocol.messages import JobSummary, MethodInfo
from engine.protocol.schema import DatasetInfo

COLUMNS = ("Protocol", "Metric", "Value", "95 % interval", "Untrained", "Chance", "Data", "Step", "State")


def protocol_reasons(method: MethodInfo | None, data: DatasetInfo | None) -> dict[str, str]:
    """Return protocol → why it does not fit a run's method and data, "" where it does, in the order to be shown.

    What is not known yet fits: the engine has the last word.
    """
    if method is None or data is None:
        return {info.name: "" for info in EVALUATIONS}
    return {info.name: unfit(info, method.needs, method.families, data) for info in EVALUATIONS}


def evaluation_rows(
    jobs: Sequence[JobSummary], kept: Sequence[Mapping[str, Any]] = ()
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return columns and one row per evaluation: what runs or failed, then results, each part newest first.

    Args:
        jobs: evaluations that the engine of today was asked for, oldest first.
        kept: results kept in the run, oldest first; what a job found stands there too, and is shown once.
    """
    known = {_identity(result) for result in kept}
    rows = [_job_row(job) for job in reversed(jobs) if job.state != "done" or not job.result]
    rows += [
        _result_row(job.result, "done")
        for job in reversed(jobs)
        if job.state == "done" and job.result and _identity(job.result) not in known
    ]
    rows += [_result_row(result, _when(str(result.get("time", "")))) for result in reversed(kept)]
    return COLUMNS, tuple(rows)


def _identity(result: Mapping[str, Any]) -> tuple[object, ...]:
    return result.get("protocol"), _step(result), result.get("value")


def _step(result: Mapping[str, Any]) -> object:
    details = result.get("details")
    return details.get("step") if isinstance(details, Mapping) else None


def _when(time: str) -> str:
    try:
        return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d}"
    except ValueError:
        return "done"


def _job_row(job: JobSummary) -> tuple[str, ...]:
    protocol = str(job.result.get("protocol", "")) or job.title.rpartition(": ")[2]
    info = BY_NAME.get(protocol)
    title = info.title if info else protocol or job.title
    state: str = job.state
    if job.state == "failed" and job.failure is not None:
        state = f"{job.failure.message} {job.failure.hint}".strip()
    elif job.state != "done":
        done = f"{number(job.done)} of {number(job.total)} {job.unit}" if job.total else job.current
        state = f"{job.state}, {done}" if done else job.state
    return (title, "", ABSENT, "", "", "", "", "", state)


def _result_row(result: Mapping[str, Any], state: str) -> tuple[str, ...]:
    protocol, metric = str(result.get("protocol", "")), str(result.get("metric", ""))
    info = BY_NAME.get(protocol)
    title = info.title if info else protocol
    value, bounds, details = result.get("value"), result.get("interval"), result.get("details")
    details = details if isinstance(details, Mapping) else {}
    is_share = info is None or info.form == "share"

    def shown(found: object) -> str:
        if not isinstance(found, int | float):
            return ABSENT
        return share(found) if is_share else number(found)

    spread = ""
    if isinstance(value, int | float) and isinstance(bounds, list | tuple) and len(bounds) == 2:
        scale = 100 if is_share else 1
        spread = interval(value * scale, (bounds[1] - bounds[0]) / 2 * scale)[1]
    step = _step(result)
    return (
        title,
        f"{metric}, lower is better" if info is not None and info.lower_is_better else metric,
        shown(value),
        spread,
        shown(details.get("untrained")),
        shown(details.get("chance")),
        str(result.get("dataset", "")),
        count(step) if isinstance(step, int) else "",
        state,
    )
