"""Which runs are listed, and under which headings. No widgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.pages.compare_model import settings_of
from app.pages.run_facts import dataset_name, method_title, run_title
from app.widgets.numbers import plural
from engine.protocol.messages import MethodInfo, RunSummary

Methods = Mapping[str, MethodInfo]
GROUPINGS = {
    "": "In one list",
    "method": "By method",
    "dataset": "By dataset",
    "tags": "By tags",
    "settings": "By settings, over seeds",
}
UNTAGGED = "no tag"


@dataclass(frozen=True, slots=True)
class Heading:
    """The line above the runs of a group."""

    title: str
    runs: int


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Words in lower case that must all occur, tags that must all be there, and what was put away or what was not."""

    words: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()
    archived: bool = False


def passes(run: RunSummary, wanted: RunFilter, methods: Methods) -> bool:
    """Whether a run is listed."""
    if run.archived != wanted.archived or not wanted.tags.issubset(run.tags):
        return False
    if not wanted.words:
        return True
    text = " ".join((run_title(run, methods), run.run, run.state, *run.tags)).lower()
    return all(word in text for word in wanted.words)


def group_of(run: RunSummary, grouping: str, methods: Methods) -> str:
    """Return what is the same for all runs of this run's group."""
    if grouping == "method":
        return method_title(run, methods)
    if grouping == "dataset":
        return dataset_name(run)
    if grouping == "tags":
        return ", ".join(run.tags) or UNTAGGED
    if grouping == "settings":
        settings = settings_of(run)
        settings.pop("seed", None)
        settings.pop("device", None)
        return repr(sorted((name, repr(value)) for name, value in settings.items()))
    return ""


def in_groups(
    runs: Sequence[RunSummary], groups_of: Mapping[str, str], grouping: str, methods: Methods
) -> list[str | Heading]:
    """Return run names in the order given, each group under its heading, in the order of the groups' first runs.

    `groups_of` is what `group_of` says of each run, by name.
    """
    if not grouping:
        return [run.run for run in runs]
    groups: dict[str, list[RunSummary]] = {}
    for run in runs:
        groups.setdefault(groups_of[run.run], []).append(run)
    entries: list[str | Heading] = []
    for key, group in groups.items():
        title = _settings_title(group, methods) if grouping == "settings" else key
        entries.append(Heading(title, len(group)))
        entries += [run.run for run in group]
    return entries


def _settings_title(group: Sequence[RunSummary], methods: Methods) -> str:
    first = group[0]
    seeds = sorted({run.spec.seed for run in group})
    shown = f"seed {seeds[0]}" if len(seeds) == 1 else plural(len(seeds), "seed")
    preset = f" · {first.spec.preset}" if first.spec.preset else ""
    return f"{method_title(first, methods)} · {dataset_name(first)}{preset} · {shown}"


def tag_counts(runs: Iterable[RunSummary], *, archived: bool) -> list[tuple[str, int]]:
    """Return each tag of the runs that were put away (or were not) and how many have it, the most used first."""
    counts = Counter(tag for run in runs if run.archived == archived for tag in run.tags)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0].casefold()))
