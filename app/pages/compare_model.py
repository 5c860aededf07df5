"""Runs against runs, as data: settings that differ, whether the budgets are equal. No widgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.pages.run_facts import batch_size, run_title
from app.widgets.numbers import count, setting
from engine.protocol.messages import MethodInfo, RunSummary

MOST_RUNS = 8
Rows = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
_IGNORED = frozenset({"name", "created", "versions", "copied_from", "schema_version", "dataset_checksum"})


def short_titles(runs: Sequence[RunSummary], methods: Mapping[str, MethodInfo]) -> list[str]:
    """Return titles that tell the runs apart: the shared parts are left out where that stays unique."""
    full = [run_title(run, methods) for run in runs]
    short = [title.split(" · ", 1)[0] for title in full]
    if len(set(short)) == len(short):
        return short
    return full if len(set(full)) == len(full) else [run.run for run in runs]


def settings_of(run: RunSummary) -> dict[str, Any]:
    """Return all settings of a run by name: method, data, then those of method and training."""
    spec = run.spec
    own = {name: getattr(spec, name) for name in spec.__struct_fields__ if name not in _IGNORED}
    config, training = own.pop("config"), own.pop("training")
    return own | config | {f"training.{name}": value for name, value in training.items()}


def differing_settings(runs: Sequence[RunSummary], titles: Sequence[str], *, show_all: bool) -> tuple[Rows, int, int]:
    """Return the table of settings that differ (or all), how many differ, and how many there are."""
    tables = [settings_of(run) for run in runs]
    names = list(dict.fromkeys(name for table in tables for name in table))
    absent = object()
    rows, differing = [], 0
    for name in names:
        values = [table.get(name, absent) for table in tables]
        differs = any(value != values[0] for value in values[1:])
        differing += differs
        if differs or show_all:
            texts = ["none" if value is absent else setting(value) for value in values]
            rows.append((name.removeprefix("training.").replace("_", " "), *texts))
    return (("setting", *titles), tuple(rows)), differing, len(names)


def images_seen(run: RunSummary) -> int:
    """Return how many records a run has been shown."""
    return run.step * batch_size(run)


def unequal_budget(runs: Sequence[RunSummary], titles: Sequence[str]) -> str:
    """Return a sentence if the runs have seen different numbers of records (by more than 2 %), else ""."""
    seen = [images_seen(run) for run in runs]
    if len(seen) < 2 or max(seen) <= 1.02 * min(seen):
        return ""
    parts = ", ".join(f"{title} {count(amount)}" for title, amount in zip(titles, seen, strict=True))
    return f"Not the same number of records seen: {parts}."
