"""Evaluations of a run: which protocols fit it, and results as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from app.widgets.numbers import ABSENT, interval, number, share
from engine.protocol.evaluations import BY_NAME, EVALUATIONS, unfit
from engine.protocol.messages import JobSummary, MethodInfo
from engine.protocol.schema import DatasetInfo

COLUMNS = ("Protocol", "Metric", "Value", "95 % interval", "Untrained network", "Chance", "State")


def protocol_reasons(method: MethodInfo | None, data: DatasetInfo | None) -> dict[str, str]:
    """Return protocol → why it does not fit a run's method and data, "" where it does, in the order to be shown.

    What is not known yet fits: the engine has the last word.
    """
    if method is None or data is None:
        return {info.name: "" for info in EVALUATIONS}
    return {info.name: unfit(info, method.needs, method.families, data) for info in EVALUATIONS}


def evaluation_rows(jobs: Sequence[JobSummary]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return columns and one row per evaluation, newest first."""
    return COLUMNS, tuple(_row(job) for job in reversed(jobs))


def _row(job: JobSummary) -> tuple[str, ...]:
    result = job.result
    protocol = str(result.get("protocol", "")) or job.title.rpartition(": ")[2]
    info = BY_NAME.get(protocol)
    title = info.title if info else protocol or job.title
    if job.state == "failed" and job.failure is not None:
        return (title, "", ABSENT, "", "", "", f"{job.failure.message} {job.failure.hint}".strip())
    if job.state != "done":
        done = f"{number(job.done)} of {number(job.total)} {job.unit}" if job.total else job.current
        return (title, "", ABSENT, "", "", "", f"{job.state}, {done}" if done else job.state)
    value, bounds, details = result.get("value"), result.get("interval"), result.get("details", {})
    is_share = info is None or info.form == "share"
    if not isinstance(value, int | float):
        return (title, str(result.get("metric", "")), ABSENT, "", "", "", "done")
    spread = ""
    if isinstance(bounds, list | tuple) and len(bounds) == 2:
        scale = 100 if is_share else 1
        spread = interval(value * scale, (bounds[1] - bounds[0]) / 2 * scale)[1]

    def shown(found: object) -> str:
        if not isinstance(found, int | float):
            return ABSENT
        return share(found) if is_share else number(found)

    metric = str(result.get("metric", ""))
    return (
        title,
        f"{metric}, lower is better" if info is not None and info.lower_is_better else metric,
        shown(value),
        spread,
        shown(details.get("untrained")),
        shown(details.get("chance")),
        "done",
    )
