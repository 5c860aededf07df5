"""Answers which records are nearest to a record, a file or a text, with features that the run keeps.

What was searched once stays ready in memory, so that the next question is answered at once.
"""

from __future__ import annotations

import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from engine.data.batch import Batch
from engine.data.edits import edits_file
from engine.data.importers import run_import
from engine.data.loader import Loader
from engine.data.store import Dataset
from engine.errors import DataError, FeaturesMissing, MethodError
from engine.feeding import open_loader, windows_of
from engine.inspections.embedding import choose_records
from engine.inspections.feature_cache import FeatureStore
from engine.inspections.neighbours import Index, leave_out
from engine.inspections.opened import OpenedRun
from engine.protocol.inspections import Array
from engine.protocol.messages import FeatureChoice, FindNeighbours, ImportOptions, NeighboursFound
from engine.protocol.schema import FieldKind, FieldSpec, assign

MOST_COMPARED = 10_000_000  # records × neighbours for which is told whether they are mutual
HELD = 2  # searched sets of features
Opened = Callable[[int, str], OpenedRun]


@dataclass(slots=True)
class _Bank:
    """What is searched: an index, and what its rows are."""

    index: Index
    dataset: Dataset  # with the user's changes as they were
    records: Array
    step: int
    row_of: dict[int, int] = field(default_factory=dict)


class Asker:
    """Answers questions about one run. `opened(step, dataset path)` returns the run at a checkpoint, held elsewhere."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._banks: OrderedDict[tuple[Any, ...], _Bank] = OrderedDict()

    def answer(self, question: FindNeighbours) -> NeighboursFound:
        """Return the nearest records.

        Raises:
            FeaturesMissing: the features to search are not complete.
            RunError: there is no such checkpoint.
            DataError: there is no such record, or the file cannot be read or does not fit.
            MethodError: a text is asked for, and the method embeds none.
        """
        run = self._opened(question.choice.step, question.choice.dataset)
        bank = self._bank(run, question.choice)
        began = time.monotonic()
        own = -1
        if question.text:
            query, what = _text_vector(run, question.text), f"“{question.text}”"
        elif question.path:
            query, what = _file_vector(run, Path(question.path))
        else:
            query, what, own = self._record_vector(run, bank, question.record)
        leaves_out = own >= 0 and question.exclude_self
        cosines, rows = bank.index.search(query[None], question.k + leaves_out)
        if leaves_out:
            cosines, rows = leave_out(cosines, rows, np.array([own]))
        both: tuple[bool, ...] = ()
        if own >= 0 and len(bank.records) * question.k <= MOST_COMPARED:
            theirs = bank.index.search(bank.index.bank[torch.from_numpy(rows[0])].numpy(), question.k + 1)[1]
            both = tuple((theirs == own).any(axis=1).tolist())
        records = bank.records[rows[0]]
        return NeighboursFound(
            id=question.id, run=question.run, step=bank.step, dataset=bank.dataset.info.name,
            path=str(bank.dataset.path), query=what, records=tuple(records.tolist()),
            cosines=tuple(cosines[0].tolist()), labels=_labels(bank.dataset, records),
            names=_names(bank.dataset, records), mutual=both, searched=len(bank.records), exact=bank.index.exact,
            seconds=round(time.monotonic() - began, 4),
        )  # fmt: skip

    def close(self) -> None:
        """Close the datasets."""
        for bank in self._banks.values():
            bank.dataset.close()
        self._banks.clear()

    def _bank(self, run: OpenedRun, choice: FeatureChoice) -> _Bank:
        path = run.dataset_path
        edits = edits_file(path)
        mark = edits.stat().st_mtime_ns if edits.is_file() else 0
        key = (run.step, str(path), mark, msgspec.json.encode(msgspec.structs.replace(choice, step=run.step)))
        if key in self._banks:
            self._banks.move_to_end(key)
            return self._banks[key]
        dataset = Dataset.open(path)
        chosen = choose_records(dataset, choice)
        store = FeatureStore(run.folder.path, step=run.step, checksum=dataset.info.checksum, kind="pooled")
        missing = len(store.missing(chosen.records))
        if missing:
            dataset.close()
            raise FeaturesMissing(
                f"{missing} of {len(chosen.records)} features of {dataset.info.name} at step {run.step} are not "
                "computed yet.",
                "Compute them first.",
            )
        index = Index(store.read(chosen.records))
        bank = _Bank(index, dataset, chosen.records, run.step)
        bank.row_of = {record: row for row, record in enumerate(chosen.records.tolist())}
        while len(self._banks) >= HELD:
            self._banks.popitem(last=False)[1].dataset.close()
        self._banks[key] = bank
        return bank

    def _record_vector(self, run: OpenedRun, bank: _Bank, record: int) -> tuple[Array, str, int]:
        row = bank.row_of.get(record, -1)
        what = f"record {record} of {bank.dataset.info.name}"
        if row >= 0:
            return bank.index.bank[row].numpy(), what, row
        if record >= len(bank.dataset):
            raise DataError(f"{bank.dataset.info.name} has the records 0 to {len(bank.dataset) - 1}, not {record}.")
        loader = open_loader(run.method, run.config, bank.dataset, batch_size=1, seed=run.spec.seed, split=None)
        try:
            return _embed(run, loader.at([record])), what, -1
        finally:
            loader.close()


def _embed(run: OpenedRun, batch: Batch) -> Array:
    learner: Any = run.model  # nn.Module does not know `embed`
    with torch.no_grad():
        features = learner.embed(batch.to(next(run.model.parameters()).device))
    pooled: Array = features.pooled[0].float().cpu().numpy()
    return pooled


def _text_vector(run: OpenedRun, text: str) -> Array:
    embed_text = getattr(run.model, "embed_text", None)
    if embed_text is None:
        raise MethodError(
            f"{run.method.title} does not embed texts.", "Ask for the neighbours of a record or of a file."
        )
    with torch.no_grad():
        vector: Array = embed_text((text,))[0].float().cpu().numpy()
    return vector


def _file_vector(run: OpenedRun, path: Path) -> tuple[Array, str]:
    """Return the features of a file of the kind that the run was trained on, and what it was read as."""
    if not path.exists():
        raise DataError(f"There is no file at {path}.", "It may have been moved.")
    main = next((spec for spec in assign(run.method.needs, run.schema).values() if not spec.is_annotation), None)
    with tempfile.TemporaryDirectory(prefix="selfsight-query-") as folder:
        out = Path(folder) / "query.h5"
        options = ImportOptions(name="query", kind=main.kind if main is not None else "", labels="none", val_share=0.0)
        run_import([path], options, out, lambda *_: None)
        with Dataset.open(out) as dataset:
            vector = _embed(run, _batch_of(run, dataset))
            read = next(spec for spec in dataset.schema.fields if not spec.is_annotation)
            shape = " × ".join("?" if side is None else str(side) for side in read.shape)
            return vector, f"{path.name}, read as {read.kind} {shape}".rstrip()


def _batch_of(run: OpenedRun, dataset: Dataset) -> Batch:
    """Return the first record of a dataset as a batch; texts that belong to the method's records are left empty."""
    found = assign(run.method.needs, dataset.schema)
    there = [need for need in run.method.needs if need.key in found]
    lacking = [
        need
        for need in run.method.needs
        if need.key not in found and not need.optional and FieldKind.TEXT not in need.kinds
    ]
    if lacking or not there:
        has = ", ".join(spec.kind for spec in dataset.schema.fields if not spec.is_annotation) or "nothing"
        wanted = (lacking or run.method.needs)[0].wanted
        raise DataError(f"{run.method.title} needs {wanted}; the file has {has}.", "Take another file.")
    keys = {need.key for need in there}
    windows = {key: each for key, each in windows_of(run.method, run.config, dataset.schema).items() if key in keys}
    loader = Loader(
        dataset, there, batch_size=1, seed=run.spec.seed, split=None, windows=windows,
        image_px=int(getattr(run.config, "image_px", 0)), prefetch=0,
    )  # fmt: skip
    try:
        batch = loader.at([int(loader.indices[0])])
    finally:
        loader.close()
    specs = _normalised_alike(batch.specs, assign(run.method.needs, run.schema))
    texts = {need.key: ("",) for need in run.method.needs if FieldKind.TEXT in need.kinds and not need.optional}
    return Batch(batch.fields, batch.index, specs, texts | dict(batch.texts), batch.places)


def _normalised_alike(specs: Mapping[str, FieldSpec], searched: Mapping[str, FieldSpec]) -> dict[str, FieldSpec]:
    """Return specs with the mean and spread of the searched data: a single record has none of its own."""
    found = dict(specs)
    for key, spec in specs.items():
        ours = searched.get(key)
        if ours is not None and len(ours.mean) == len(spec.mean) and is_integer(ours) == is_integer(spec):
            found[key] = msgspec.structs.replace(spec, mean=ours.mean, std=ours.std)
    return found


def is_integer(spec: FieldSpec) -> bool:
    """Whether a field's mean is that of values scaled to 0…1."""
    return spec.dtype.startswith(("int", "uint"))


def _labels(dataset: Dataset, records: Array) -> tuple[str, ...]:
    spec = dataset.schema.first(FieldKind.LABEL)
    if spec is None or spec.shape != ():
        return tuple("" for _ in records)
    codes = np.asarray(dataset.column(spec.name), np.int64)[records].tolist()
    return tuple(spec.classes[code] if code >= 0 else "" for code in codes)


def _names(dataset: Dataset, records: Array) -> tuple[str, ...]:
    spec = dataset.schema.first(FieldKind.NAME)
    if spec is None:
        return tuple(str(record) for record in records.tolist())
    return tuple(dataset.texts(spec.name, records))
