"""A dataset that is to be made of others: which, how, which of their records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from PySide6.QtCore import QObject

from app.context import Client
from app.pages.data_job import PlannedJob
from engine.protocol.messages import (
    CombineOptions,
    CombinePlan,
    CombinePlanned,
    JobSummary,
    Message,
    PlanCombine,
    RecordRow,
    Request,
    StartCombine,
)
from engine.protocol.schema import DatasetInfo, FieldKind

_OR = re.compile(r'\s+or\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', re.IGNORECASE)


class CombineModel(PlannedJob):
    """The options, and what the engine says would come out."""

    def __init__(
        self,
        client: Client,
        jobs: Callable[[], Iterable[JobSummary]],
        datasets: Callable[[], Mapping[str, DatasetInfo]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(client, jobs, parent)
        self._datasets = datasets
        self.options = CombineOptions(sources=())
        self.plan: CombinePlan | None = None
        self._own_name = False

    # ── facts ────────────────────────────────────────────────────────────────────────────────────

    @property
    def datasets(self) -> Mapping[str, DatasetInfo]:
        """All datasets that can be taken."""
        return self._datasets()

    @property
    def groups(self) -> tuple[str, ...]:
        """Group fields of the chosen datasets."""
        chosen = (self.datasets[name] for name in self.options.sources if name in self.datasets)
        found = (spec.name for info in chosen for spec in info.schema.fields if spec.kind is FieldKind.GROUP)
        return tuple(dict.fromkeys(found))

    @property
    def problem(self) -> str:
        """Why it cannot be made, or ""."""
        if self.options.name in self.datasets:
            return f"There is a dataset called {self.options.name} already: choose another name."
        return " ".join(self.plan.problems) if self.plan is not None else ""

    @property
    def can_start(self) -> bool:
        """Whether records come out and nothing is wrong."""
        return self.plan is not None and self.plan.records > 0 and not self.problem

    # ── what the user does ───────────────────────────────────────────────────────────────────────

    def open(self, sources: Sequence[str], *, where: str = "", ranges: tuple[tuple[int, int], ...] = ()) -> None:
        """Plan a dataset of these, or of a part of one."""
        self.options = CombineOptions(sources=tuple(sources), where=where, ranges=ranges)
        self._own_name = False
        self._suggest_name()
        self.open_plan()
        self.changed.emit()

    def change(self, **options: Any) -> None:
        """Change options; the plan is made anew shortly after the last change."""
        changed = msgspec.structs.replace(self.options, **options)
        if changed == self.options:
            return
        self._own_name |= bool(options.get("name"))
        self.options = changed
        self._suggest_name()
        if changed.sources:
            self.ask_soon()
        else:
            self.plan = None
            self.state = "planning"
            self.changed.emit()

    def take_dataset(self, name: str, *, on: bool) -> None:
        """Take a dataset in behind the others, or leave it out."""
        kept = tuple(each for each in self.options.sources if each != name)
        sources = (*kept, name) if on else kept
        self.change(sources=sources, ranges=self.options.ranges if len(sources) == 1 else ())

    def _suggest_name(self) -> None:
        if self._own_name:
            return
        options = self.options
        base = "+".join(options.sources[:3])[:60] or "new"
        if options.how == "stream":
            base += "-stream"
        elif len(options.sources) == 1:
            base += "-part" if options.where or options.ranges else "-new"
        name, number = base, 2
        while name in self.datasets:
            name, number = f"{base}-{number}", number + 1
        self.options = msgspec.structs.replace(options, name=name)

    # ── the job ──────────────────────────────────────────────────────────────────────────────────

    def planning(self) -> Request | None:
        """Return the question what would come out."""
        if not self.options.sources:
            return None
        options = msgspec.structs.replace(self.options, name=self.options.name if self._name_is_safe() else "")
        return PlanCombine(id=self.client.new_id(), options=options)

    def _name_is_safe(self) -> bool:
        return re.fullmatch(r"[\w][\w .+-]{0,99}", self.options.name) is not None

    def starting(self) -> Request:
        """Return the request that starts it."""
        return StartCombine(id=self.client.new_id(), options=self.options)

    def take_plan(self, reply: Message) -> None:
        """Keep what would come out."""
        if isinstance(reply, CombinePlanned):
            self.plan = reply.plan

    def forget_plan(self) -> None:
        """Let go of the plan."""
        self.plan = None


def ranges_of(rows: Iterable[RecordRow]) -> tuple[tuple[int, int], ...]:
    """Return the numbers of some rows as first … last + 1 of their stretches."""
    found: list[tuple[int, int]] = []
    for number in sorted({row.index for row in rows}):
        if found and found[-1][1] == number:
            found[-1] = found[-1][0], number + 1
        else:
            found.append((number, number + 1))
    return tuple(found)


def whole_filter(words: str, split: str, label: str, label_field: str = "label") -> str:
    """Return one filter of what was written and chosen; what is chosen holds for every alternative."""
    chosen = [f'{field} = "{_quoted(value)}"' for field, value in (("split", split), (label_field, label)) if value]
    if not words.strip():
        return " and ".join(chosen)
    return " or ".join(" and ".join([part, *chosen]) for part in _OR.split(words.strip()))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
