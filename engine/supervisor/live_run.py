"""A run that has a process: what is shown of it, and what is written when the process ends too early."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.protocol import messages as m
from engine.protocol.inspections import Choice
from engine.runs import utc_now
from engine.supervisor.children import Child, explain_exit

ENDED = frozenset({"finished", "stopped", "failed"})
ACTIVE = frozenset({"starting", "training", "paused", "stopping"})


@dataclass(slots=True)
class LiveRun:
    """A run with a process."""

    child: Child
    device: str
    has_spoken: bool = False  # a state of its own has come
    stopping: bool = False
    resume_after: bool = False  # asked for while it was stopping
    silent: bool = False
    failure: m.Failure | None = None
    told: dict[str, Choice] = field(default_factory=dict)  # views it was told to compute
    refreshed: float = 0.0
    due: bool = False


def as_live(row: m.RunSummary, live: LiveRun) -> m.RunSummary:
    """Return the row of a run that has a process: its state and device are what we see, not what it last wrote."""
    state: m.RunState = row.state if live.has_spoken else "starting"
    if state in ENDED or (live.stopping and state != "interrupted"):
        state = "stopping"  # until its process is gone and its device free
    failure = None if state in ACTIVE else row.failure
    if live.silent and state in ACTIVE:
        failure = m.Failure(
            kind="not-responding",
            message=f"The process of {row.run} does not respond.",
            hint="It may be in a long computation. Kill ends it; the last checkpoint stays.",
        )
    return msgspec.structs.replace(row, state=state, failure=failure, device=live.device)


def state_event(state: str, step: int, text: str) -> m.RunEvent:
    """Return the event that says a run is in another state."""
    level: Any = "warn" if state == "interrupted" else "info"
    return m.RunEvent(time=utc_now(), step=step, kind="state", level=level, text=text, data={"state": state})


def interruption(row: m.RunSummary) -> str:
    """Return what is said of a run whose process died with the engine or the computer."""
    where = f"Resume goes on from step {row.saved_step}." if row.saved_step >= 0 else "Resume begins again at step 0."
    return f"The engine or the computer stopped while this run was training. {where}"


def last_event(
    row: m.RunSummary,
    live: LiveRun,
    code: int,
    tail: str,
    engine_stops: bool,  # noqa: FBT001
) -> m.RunEvent:
    """Return the event that says why a run's process ended before the run did, with the end of its log."""
    if live.child.killed or engine_stops:
        why = live.child.killed or "the engine stopped"
        where = f"step {row.saved_step}" if row.saved_step >= 0 else "the start"
        return state_event(
            "interrupted", row.step, f"The run was ended at step {row.step}: {why}. Resume: from {where}."
        )
    text, hint = explain_exit(code, "")
    failure = live.failure or m.Failure(
        kind="crash", message=f"The process of {row.run} failed at step {row.step}. {text}", hint=hint, traceback=tail
    )
    match = re.search(r"SIG[A-Z]+", text)
    data = {
        "state": "failed",
        "kind": failure.kind,
        "message": failure.message,
        "hint": failure.hint,
        "traceback": failure.traceback,
        "exit_code": code,
        "signal": match[0] if match else "",
        "log_tail": tail,
    }
    return m.RunEvent(time=utc_now(), step=row.step, kind="failure", level="error", text=failure.message, data=data)
