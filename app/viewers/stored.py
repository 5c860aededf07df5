"""The stored inspections of one run: which steps there are, and a cache of those that were read."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import Any, Protocol

import numpy as np
from PySide6.QtCore import QObject, Signal

from engine.protocol.inspections import Array, Inspection
from engine.protocol.messages import (
    Failed,
    FetchInspection,
    InspectionData,
    ListInspections,
    Message,
    StoredInspections,
)
from engine.protocol.wire import WireError, unpack_inspection

CACHE_BYTES = 256 * 2**20


class Client(Protocol):
    """The part of the engine's client that is needed here."""

    def send(self, request: Any, then: Any = None) -> None:
        """Send a request; `then(reply, arrays)` runs on the Qt thread."""
        ...

    def new_id(self) -> str:
        """Return a fresh request id."""
        ...


class StoredHistory(QObject):
    """Steps and inspections that a run has on disk. Asks the engine, keeps at most 256 MiB, answers by signals."""

    listed = Signal()  # the steps of some view changed
    loaded = Signal(str, int, object)  # view, step, Inspection
    failed = Signal(str, int, str)  # view, step, sentence

    def __init__(self, client: Client, run: str, parent: QObject | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        super().__init__(parent)
        self.run = run
        self._client = client
        self._steps: dict[str, list[int]] = {}
        self._cache: OrderedDict[tuple[str, int], Inspection] = OrderedDict()
        self._bytes = 0
        self._limit = cache_bytes
        self._asked: set[tuple[str, int]] = set()

    @property
    def views(self) -> list[str]:
        """Names of the views that have stored steps."""
        return [view for view, steps in self._steps.items() if steps]

    def steps(self, view: str) -> list[int]:
        """Return the stored steps of a view, ascending."""
        return self._steps.get(view, [])

    def refresh(self) -> None:
        """Ask the engine which steps there are."""
        self._client.send(ListInspections(id=self._client.new_id(), run=self.run), self._take_list)

    def add(self, view: str, step: int) -> None:
        """Take note of a step that was stored just now."""
        steps = self._steps.setdefault(view, [])
        self._drop(view, step)
        if step not in steps:
            steps.append(step)
            steps.sort()
        self.listed.emit()

    def at_or_before(self, view: str, step: int) -> int | None:
        """Return the newest stored step of a view that is not after `step`, else its first, else None."""
        steps = self.steps(view)
        if not steps:
            return None
        return steps[max(0, bisect_right(steps, step) - 1)]

    def cached(self, view: str, step: int) -> Inspection | None:
        """Return an inspection that was read before, or None."""
        found = self._cache.get((view, step))
        if found is not None:
            self._cache.move_to_end((view, step))
        return found

    def fetch(self, view: str, step: int) -> None:
        """Get an inspection; `loaded` or `failed` follows, at once where it is cached."""
        found = self.cached(view, step)
        if found is not None:
            self.loaded.emit(view, step, found)
            return
        if (view, step) in self._asked:
            return
        self._asked.add((view, step))
        request = FetchInspection(id=self._client.new_id(), run=self.run, view=view, step=step)
        self._client.send(request, lambda reply, arrays: self._take_data(view, step, reply, arrays))

    def _take_list(self, reply: Message, _arrays: list[Array]) -> None:
        if isinstance(reply, StoredInspections):
            self._steps = {view: sorted(steps) for view, steps in reply.steps.items()}
            self.listed.emit()
        elif isinstance(reply, Failed):
            self.failed.emit("", -1, reply.failure.message)

    def _take_data(self, view: str, step: int, reply: Message, arrays: list[Array]) -> None:
        self._asked.discard((view, step))
        if isinstance(reply, Failed):
            self.failed.emit(view, step, f"{reply.failure.message} {reply.failure.hint}".strip())
            return
        if not isinstance(reply, InspectionData):
            return
        try:
            inspection = unpack_inspection(arrays)
        except WireError as error:
            self.failed.emit(view, step, f"Step {step} of {view} cannot be read: {error}.")
            return
        self._keep(view, step, inspection)
        self.loaded.emit(view, step, inspection)

    def _keep(self, view: str, step: int, inspection: Inspection) -> None:
        self._cache[view, step] = inspection
        self._bytes += size_of(inspection)
        while self._bytes > self._limit and len(self._cache) > 1:
            _, old = self._cache.popitem(last=False)
            self._bytes -= size_of(old)

    def _drop(self, view: str, step: int) -> None:
        old = self._cache.pop((view, step), None)
        if old is not None:
            self._bytes -= size_of(old)


def size_of(inspection: Inspection) -> int:
    """Return the bytes of an inspection's arrays."""
    total = 0
    for name in inspection.__struct_fields__:
        value = getattr(inspection, name)
        arrays = value if isinstance(value, tuple) else (value,)
        total += sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
    return total
