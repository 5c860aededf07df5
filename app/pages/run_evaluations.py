"""Evaluations of a run as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from app.pages.runs_model import PROTOCOLS
from app.widgets.numbers import ABSENT, interval, number, share
from engine.protocol.messages import JobSummary

COLUMNS = ("Protocol", "Metric", "Value", "95 % interval", "Untrained network", "Chance", "State")


def evaluation_rows(jobs: Sequence[JobSummary]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return columns and one row per evaluation, newest first."""
    return COLUMNS, tuple(_row(job) for job in reversed(jobs))


def _row(job: JobSummary) -> tuple[str, ...]:
    result = job.result
    protocol = str(result.get("protocol", "")) or next((name for name in PROTOCOLS if name in job.title.lower()), "")
    title = PROTOCOLS.get(protocol, protocol or job.title)
    if job.state == "failed" and job.failure is not None:
        return (title, "", ABSENT, "", "", "", f"{job.failure.message} {job.failure.hint}".strip())
    if job.state != "done":
        done = f"{number(job.done)} of {number(job.total)} {job.unit}" if job.total else job.current
        return (title, "", ABSENT, "", "", "", f"{job.state}, {done}" if done else job.state)
    value, bounds, details = result.get("value"), result.get("interval"), result.get("details", {})
    is_share = protocol != "health"
    if not isinstance(value, int | float):
        return (title, str(result.get("metric", "")), ABSENT, "", "", "", "done")
    spread = ""
    if isinstance(bounds, list | tuple) and len(bounds) == 2:
        scale = 100 if is_share else 1
        spread = interval(value * scale, (bounds[1] - bounds[0]) / 2 * scale)[1]
    untrained, chance = details.get("untrained"), details.get("chance")
    return (
        title,
        str(result.get("metric", "")),
        share(value) if is_share else number(value),
        spread,
        share(untrained) if isinstance(untrained, int | float) else ABSENT,
        share(chance) if isinstance(chance, int | float) else ABSENT,
        "done",
    )
