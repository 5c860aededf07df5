"""Which records a combination takes, in which order, with which labels, splits and tasks: known before any is written.

Only numbers are held, a few for each record; texts are read piece by piece.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from engine.data.combining_fields import Source, United
from engine.data.combining_labels import TASK, Chosen, read_records_table, relabel, split_anew, split_by_table
from engine.data.filters import filter_records
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import CombineOptions
from engine.protocol.schema import FieldKind


def choose(sources: Sequence[Source], united: United, options: CombineOptions) -> Chosen:
    """Return the records of a combination.

    Raises:
        DataError: no record is left, or filter, table, classes, group or tasks make no sense for these sources.
    """
    if options.ranges and len(sources) > 1:
        raise DataError(f"Record numbers were given for {len(sources)} datasets.", "Give them for a single one.")
    chosen = [_select(source, options) for source in sources]
    parts = [np.full(len(index), place, np.int64) for place, index in enumerate(chosen)]
    found = Chosen(source=np.concatenate(parts), record=np.concatenate(chosen))
    if not len(found):
        raise DataError("No record is left.", "Loosen the filter, or take other datasets.")
    if options.how == "stream":
        _order_tasks(found, sources, options)
    table = read_records_table(options.table) if options.table else None
    if table is not None or options.rename:
        relabel(found, sources, united, options, table)
    if table is not None and table.split:
        split_by_table(found, sources, united, table)
    if options.split_by:
        split_anew(found, sources, united, options)
    return found


def _select(source: Source, options: CombineOptions) -> Array:
    dataset = source.dataset
    try:
        passing = filter_records(dataset, options.where)
    except DataError as error:
        raise DataError(f"{source.name}: {error.message}", error.hint) from error
    keep = np.zeros(len(dataset), bool)
    keep[passing] = True
    allowed = np.zeros(len(dataset), bool)
    allowed[dataset.select(None)] = True
    if options.with_excluded:
        allowed |= dataset.excluded
    keep &= allowed
    if options.ranges:
        named = np.zeros(len(dataset), bool)
        for first, stop in options.ranges:
            if not 0 <= first < stop <= len(dataset):
                raise DataError(f"{source.name} has the records 0 to {len(dataset) - 1}, not {first} to {stop - 1}.")
            named[first:stop] = True
        keep &= named
    return np.flatnonzero(keep).astype(np.int64)


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────────


def _order_tasks(found: Chosen, sources: Sequence[Source], options: CombineOptions) -> None:
    """Number the tasks and bring the records into their order."""
    task = np.zeros(len(found), np.int64)
    names: list[str] = []
    for place, source in enumerate(sources):
        here = np.flatnonzero(found.source == place)
        local, known = _tasks_of(source, found.record[here], options)
        task[here] = local + len(names)
        names += known
    held = np.unique(task)
    tasks = [names[number] for number in held.tolist()]
    task = np.searchsorted(held, task)
    if len(tasks) < 2:
        raise DataError(
            "A stream needs two tasks or more.",
            "Take several datasets, several parts, or a label whose classes are tasks.",
        )
    order = np.argsort(task, kind="stable")
    found.source, found.record = found.source[order], found.record[order]
    found.task, found.tasks = task[order], tuple(tasks)


def _tasks_of(source: Source, index: Array, options: CombineOptions) -> tuple[Array, list[str]]:
    """Return the task of each record of one source, counted from 0, and their names."""
    schema = source.dataset.schema
    by = options.tasks_by
    known = schema.get(TASK)
    if not by and options.parts == 1 and known is not None and known.kind is FieldKind.LABEL:
        by = TASK
    if by:
        spec = schema.get(by)
        if spec is None or spec.kind is not FieldKind.LABEL:
            labels = [one.name for one in schema.fields if one.kind is FieldKind.LABEL]
            raise DataError(
                f"{source.name} has no label field {by!r} to make tasks of.", f"It has: {', '.join(labels) or 'none'}."
            )
        codes = np.asarray(source.dataset.column(by), np.int64)[index]
        if (codes < 0).any():
            raise DataError(
                f"{int((codes < 0).sum())} records of {source.name} have no {by}.", f'Leave them out: "{by} != none".'
            )
        return codes, [f"{source.name}: {name}" for name in spec.classes]
    if options.parts < 1:
        raise DataError(f"{options.parts} parts cannot be made.", "Give 1 or more.")
    if options.parts == 1:
        return np.zeros(len(index), np.int64), [source.name]
    splits = _split_column(source.dataset)[index]
    local = np.zeros(len(index), np.int64)
    for split in np.unique(splits):  # each task gets its share of every split
        members = np.flatnonzero(splits == split)
        local[members] = np.arange(len(members)) * options.parts // len(members)
    return local, [f"{source.name}, part {number + 1} of {options.parts}" for number in range(options.parts)]


def _split_column(dataset: Dataset) -> Array:
    spec = dataset.schema.first(FieldKind.SPLIT)
    return np.zeros(len(dataset), np.int64) if spec is None else np.asarray(dataset.column(spec.name), np.int64)


def runs_of(source: Array) -> list[tuple[int, int]]:
    """Return first … last + 1 of the stretches of one source."""
    breaks = (np.flatnonzero(np.diff(source) != 0) + 1).tolist()
    return list(pairwise([0, *breaks, len(source)]))


def describe_choice(options: CombineOptions) -> dict[str, str]:
    """Return what was asked for, for the provenance of the result."""
    told: dict[str, str] = {}
    if options.where:
        told["filter"] = options.where
    if options.ranges:
        told["records"] = ", ".join(f"{first} to {stop - 1}" for first, stop in options.ranges)[:2000]
    if options.table:
        told["labels from"] = Path(options.table).name
    if options.rename:
        told["labels renamed"] = json.dumps(options.rename, ensure_ascii=False)
    if options.split_by:
        shares = f"val {options.val_share:g}, test {options.test_share:g}, seed {options.seed}"
        told["divided anew"] = f"by {options.split_by}: {shares}"
    return told
