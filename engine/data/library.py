"""The datasets of a workspace, as the window asks for them: lists, rows, thumbnails, plans, changes. No torch."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.data.combining import plan_combine
from engine.data.edits import add_edit, edits_file
from engine.data.examination_kept import kept_file
from engine.data.exporting import plan_export
from engine.data.filters import filter_records
from engine.data.importers.peeking import peek
from engine.data.importers.planning import Planning
from engine.data.opening import open_record
from engine.data.store import Dataset
from engine.data.thumbnails import Thumbnails
from engine.errors import DataError, SelfsightError
from engine.protocol import messages
from engine.protocol.inspections import Array
from engine.protocol.schema import SPLITS, DatasetInfo, FieldKind, FieldSpec, Schema
from engine.workspace import Workspace

logger = logging.getLogger(__name__)

_MOST_ROWS = 10_000
_MOST_THUMBNAILS = 2_000
_OPEN_DATASETS = 8
_FILTERS_KEPT = 32

Answer = tuple[messages.Reply, list[Array]]


@dataclass(slots=True)
class _Opened:
    """A dataset that was asked for, as it was at `version`, and what filters of it gave."""

    dataset: Dataset
    version: int
    filtered: OrderedDict[tuple[str, ...], Array] = field(default_factory=OrderedDict)


class Library:
    """Answers every request about data that is not a job."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._opened: OrderedDict[Path, _Opened] = OrderedDict()
        self._infos: dict[Path, tuple[int, DatasetInfo]] = {}
        self._thumbnails = Thumbnails()
        self._planning = Planning(workspace)
        self._answers: dict[type[messages.Request], Callable[[Any], Answer]] = {
            messages.Peek: self._peek,
            messages.PlanImport: self._plan,
            messages.DescribeDataset: self._describe,
            messages.ListRecords: self._rows,
            messages.FetchThumbnails: self._fetch,
            messages.OpenRecord: self._open_record,
            messages.EditRecords: self._edit,
            messages.DeleteDataset: self._delete,
            messages.PlanCombine: self._plan_combine,
            messages.PlanExport: self._plan_export,
        }

    def answer(self, request: messages.Request) -> Answer:
        """Return the reply to a request and the arrays that follow it; a failure is a reply too.

        Raises:
            TypeError: the request is not one about data.
        """
        handler = self._answers.get(type(request))
        if handler is None:
            msg = f"{type(request).__name__} is not a request about data"
            raise TypeError(msg)
        try:
            return handler(request)
        except SelfsightError as error:
            return messages.Failed(id=request.id, failure=error.failure()), []
        except OSError as error:
            failure = messages.Failure(kind="data", message=f"A file could not be read or written: {error}.")
            return messages.Failed(id=request.id, failure=failure), []

    def datasets(self) -> list[DatasetInfo]:
        """Return all datasets of the workspace by name; one that cannot be opened is listed with its problem."""
        found = []
        for path in sorted(self._workspace.datasets.glob("*.h5")):
            version = _version(path)
            known = self._infos.get(path)
            if known is None or known[0] != version:
                known = self._infos[path] = version, _info(path)
            found.append(known[1])
        return found

    def _peek(self, request: messages.Peek) -> Answer:
        glance = peek(request.paths)
        return messages.Peeked(id=request.id, text=glance.text, accepted=glance.accepted, target=glance.target), []

    def _plan(self, request: messages.PlanImport) -> Answer:
        plan, previews = self._planning.plan(request.paths, request.options)
        return messages.Planned(id=request.id, plan=plan), previews

    def _plan_combine(self, request: messages.PlanCombine) -> Answer:
        options = request.options
        paths = [self._path(name) for name in options.sources]
        name = options.name or "-".join(path.stem for path in paths)
        plan = plan_combine(options, paths, self._workspace.dataset_file(name) if name else None)
        return messages.CombinePlanned(id=request.id, plan=plan), []

    def _plan_export(self, request: messages.PlanExport) -> Answer:
        dataset = self._open(request.dataset).dataset
        plan = plan_export(dataset, request.folder, request.format, where=request.where)
        return messages.ExportPlanned(id=request.id, plan=plan), []

    def _describe(self, request: messages.DescribeDataset) -> Answer:
        dataset = self._open(request.dataset).dataset
        info = dataset.info
        if request.verify:
            problems = tuple(dataset.verify())
            info = msgspec.structs.replace(dataset.info, problems=problems)
            self._infos[dataset.path] = _version(dataset.path), info
        return messages.DatasetDescribed(id=request.id, info=info), []

    def _rows(self, request: messages.ListRecords) -> Answer:
        opened = self._open(request.dataset)
        dataset = opened.dataset
        texts = _filters(request, dataset)
        if texts not in opened.filtered:
            opened.filtered[texts] = filter_records(dataset, *texts)
            while len(opened.filtered) > _FILTERS_KEPT:
                opened.filtered.popitem(last=False)
        passing = opened.filtered[texts]
        first, count = max(0, request.first), min(max(0, request.count), _MOST_ROWS)
        rows = _make_rows(dataset, passing[first : first + count])
        reply = messages.Records(
            id=request.id, dataset=request.dataset, first=first, total=len(passing), rows=tuple(rows)
        )
        return reply, []

    def _fetch(self, request: messages.FetchThumbnails) -> Answer:
        if not 8 <= request.px <= 1024 or len(request.records) > _MOST_THUMBNAILS:
            raise DataError(
                f"{len(request.records)} thumbnails of {request.px} px were asked for.",
                f"Ask for at most {_MOST_THUMBNAILS}, of 8 to 1024 px.",
            )
        opened = self._open(request.dataset)
        pictures, sizes = self._thumbnails.fetch(opened.dataset, opened.version, request.records, request.px)
        reply = messages.Thumbnails(id=request.id, dataset=request.dataset, records=request.records, px=request.px)
        return reply, [pictures, sizes]

    def _open_record(self, request: messages.OpenRecord) -> Answer:
        return open_record(self._open(request.dataset).dataset, request)

    def _edit(self, request: messages.EditRecords) -> Answer:
        dataset = self._open(request.dataset).dataset
        if any(not 0 <= record < len(dataset) for record in request.records):
            raise DataError(f"{dataset.info.name} has the records 0 to {len(dataset) - 1}.")
        if request.split is not None and request.split not in SPLITS:
            raise DataError(f"There is no split {request.split!r}.", f"There are: {', '.join(SPLITS)}.")
        add_edit(dataset.path, request.records, label=request.label, split=request.split, excluded=request.excluded)
        self._forget(dataset.path)
        return messages.Done(id=request.id), []

    def _delete(self, request: messages.DeleteDataset) -> Answer:
        path = self._path(request.dataset)
        if path.parent != self._workspace.datasets.resolve():
            raise DataError(f"{path} lies outside the workspace; it is not deleted.", "Delete the file yourself.")
        if not path.is_file():
            raise DataError(f"There is no dataset {request.dataset}.")
        self._forget(path)
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        for file in (edits_file(path), kept_file(path), path):
            if file.exists():
                file.replace(self._workspace.bin / f"{stamp}-{file.name}")
        return messages.Done(id=request.id), []

    def _path(self, dataset: str) -> Path:
        if dataset.endswith(".h5"):
            path = Path(dataset).expanduser()
            return (path if path.is_absolute() else self._workspace.datasets / path.name).resolve()
        return self._workspace.dataset_file(dataset).resolve()

    def _open(self, dataset: str) -> _Opened:
        path = self._path(dataset)
        version = _version(path)
        known = self._opened.get(path)
        if known is None or known.version != version:
            self._forget(path)
            known = self._opened[path] = _Opened(Dataset.open(path), version)
            while len(self._opened) > _OPEN_DATASETS:
                self._opened.popitem(last=False)[1].dataset.close()
        self._opened.move_to_end(path)
        return known

    def _forget(self, path: Path) -> None:
        known = self._opened.pop(path, None)
        if known is not None:
            known.dataset.close()
        self._infos.pop(path, None)


def _version(path: Path) -> int:
    """Return a number that changes with the file or its overlay; 0 where there is no file."""
    stamps = []
    for file in (path, edits_file(path)):
        try:
            status = file.stat()
        except FileNotFoundError:
            stamps.append((0, 0))
        else:
            stamps.append((status.st_mtime_ns, status.st_size))
    return hash(tuple(stamps))


def _info(path: Path) -> DatasetInfo:
    try:
        with Dataset.open(path) as dataset:
            return dataset.info
    except DataError as error:
        logger.warning("%s", error)
        size = path.stat().st_size
        return DatasetInfo(
            name=path.stem, path=str(path), records=0, schema=Schema(fields=()), size_bytes=size, problems=(str(error),)
        )


def _filters(request: messages.ListRecords, dataset: Dataset) -> tuple[str, ...]:
    label, split = dataset.schema.first(FieldKind.LABEL), dataset.schema.first(FieldKind.SPLIT)
    parts = [request.filter.strip()]
    for spec, name, value in ((split, "split", request.split), (label, "label", request.label)):
        if value:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{spec.name if spec else name} = "{escaped}"')
    return tuple(part for part in parts if part)


def _make_rows(dataset: Dataset, records: Array) -> list[messages.RecordRow]:
    shown = [spec for spec in dataset.schema.fields if spec.is_annotation and spec.shape == ()]
    label, split = dataset.schema.first(FieldKind.LABEL), dataset.schema.first(FieldKind.SPLIT)
    name = dataset.schema.first(FieldKind.NAME)
    columns = {spec.name: _texts(spec, dataset.column(spec.name), records) for spec in shown}
    excluded = dataset.excluded[records].tolist()
    taken = {spec.name for spec in (label, split, name) if spec is not None}
    others = [spec.name for spec in shown if spec.name not in taken]
    return [
        messages.RecordRow(
            index=record,
            name=columns[name.name][place] if name else str(record),
            label=columns[label.name][place] if label else "",
            split=columns[split.name][place] if split else "train",
            excluded=excluded[place],
            values={other: columns[other][place] for other in others},
        )
        for place, record in enumerate(records.tolist())
    ]


def _texts(spec: FieldSpec, column: Array | list[str], records: Array) -> list[Any]:
    if isinstance(column, list):
        return [column[record] for record in records.tolist()]
    values = np.asarray(column)[records].tolist()
    if spec.kind in {FieldKind.LABEL, FieldKind.SPLIT}:
        return [spec.classes[value] if 0 <= value < len(spec.classes) else "" for value in values]
    return values
