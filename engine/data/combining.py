"""New datasets made of existing ones: put together, joined, ordered into tasks, a part of one, labelled anew.

Records stream through in pieces of bounded size, so that memory does not grow with the datasets. The result remembers
its sources with their checksums, and an interrupted combination goes on where it stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.combining_choice import choose, describe_choice, runs_of
from engine.data.combining_columns import Source, Taken
from engine.data.combining_fields import United, unite
from engine.data.combining_labels import MODALITY, SOURCE, TASK, Chosen, codes_of, main_label
from engine.data.combining_values import take
from engine.data.layout import is_encoded, is_fixed, is_text
from engine.data.store import Dataset
from engine.data.writer import DatasetWriter
from engine.errors import ConfigError, DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import CombineOptions, CombinePlan
from engine.protocol.schema import SPLITS, DatasetInfo, FieldKind, FieldSpec, Skipped

Progress = Callable[[float, float, str, str], None]

_PIECE_BYTES = 32 * 1024**2
_PIECE_RECORDS = 4096
_TEXT_BYTES = 64  # of a text field, roughly
_MOST_SKIPPED = 1000


@dataclass(frozen=True, slots=True)
class _Work:
    """A combination, worked out."""

    sources: tuple[Source, ...]
    united: United
    chosen: Chosen | None
    problems: tuple[str, ...]


def plan_combine(options: CombineOptions, paths: Sequence[Path], out: Path | None = None) -> CombinePlan:
    """Return what a combination would be, without writing anything.

    Args:
        options: `sources` are only names here.
        paths: the dataset files, in their order.
        out: where it would be written.

    Raises:
        DataError: a file is no dataset.
        ConfigError: there is no file, or one is given twice.
    """
    with ExitStack() as stack:
        work = _work_out(options, _open(paths, stack))
        folder = out.parent if out is not None else None
        chosen = work.chosen
        taken = tuple(0 if chosen is None else int((chosen.source == place).sum()) for place in range(len(paths)))
        return CombinePlan(
            options=options,
            records=sum(taken),
            taken=taken,
            fields=work.united.fields,
            splits={} if chosen is None else _count(_splits(work), SPLITS),
            labels={} if chosen is None else _labels(work),
            tasks={} if chosen is None or chosen.task is None else _count(chosen.task, chosen.tasks, every=True),
            notes=(*work.united.notes, *(chosen.notes if chosen is not None else ())),
            problems=work.problems,
            will_write=str(out or ""),
            will_take_bytes=_bytes_of(work),
            free_bytes=shutil.disk_usage(folder).free if folder is not None and folder.is_dir() else 0,
        )


def combine(options: CombineOptions, paths: Sequence[Path], out: Path, progress: Progress | None = None) -> DatasetInfo:
    """Make the dataset file `out`.

    A combination that is cancelled (`progress` raises, or Ctrl+C) leaves nothing; one that is killed or finds the disk
    full goes on where it stopped when it is started again.

    Args:
        options: `sources` are only names here.
        paths: the dataset files, in their order.
        out: path of the new file, ending in .h5; there must be none.
        progress: called with (records done, records in all, "records", source); may raise to cancel.

    Raises:
        DataError: the datasets do not fit together, nothing is left, or a file is no dataset.
        ConfigError: `out` exists, there is no source, or one is given twice.
        DiskFull: there is no space left.
    """
    out = Path(out)
    if out.exists():
        raise ConfigError(f"{out} exists already.", "Choose another name, or remove it first.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        work = _work_out(options, _open(paths, stack))
        if work.problems or work.chosen is None:
            raise DataError(" ".join(work.problems), "Nothing was written.")
        provenance = _provenance(options, work)
        writer = stack.enter_context(
            DatasetWriter(out, work.united.schema, name=out.stem, provenance=provenance, expected_bytes=_bytes_of(work))
        )
        try:
            skipped = _write(work, work.chosen, writer, progress)
            return writer.finish(skipped)
        except Exception:
            raise  # what was written stays: it is gone on with
        except BaseException:  # cancelled
            writer.discard()
            raise


def _open(paths: Sequence[Path], stack: ExitStack) -> tuple[Source, ...]:
    if not paths:
        raise ConfigError("There is nothing to combine.", "Name at least one dataset.")
    if len({Path(path).resolve() for path in paths}) < len(paths):
        raise ConfigError("A dataset is named twice.", "Name each once.")
    found: list[Source] = []
    for path in paths:
        dataset = stack.enter_context(Dataset.open(path))
        name, number = dataset.info.name, 2
        while name in {source.name for source in found}:
            name, number = f"{dataset.info.name} {number}", number + 1
        found.append(Source(name, dataset))
    return tuple(found)


def _work_out(options: CombineOptions, sources: tuple[Source, ...]) -> _Work:
    united = unite(sources, joined=options.how == "join")
    problems = list(united.problems)
    if options.how == "join" and len(sources) < 2:
        problems.append("Joining needs two datasets or more.")
    chosen = None
    if not problems:
        try:
            chosen = choose(sources, united, options)
        except DataError as error:
            problems.append(f"{error.message} {error.hint}".strip())
    if chosen is not None:
        united = _with_added(united, sources, options, chosen)
    return _Work(sources, united, chosen, tuple(problems))


def _with_added(united: United, sources: tuple[Source, ...], options: CombineOptions, chosen: Chosen) -> United:
    """Return the fields with those that a combination changes or adds."""
    fields = list(united.fields)
    taken = [dict(one) for one in united.taken]
    if chosen.task is not None:
        fields = [spec for spec in fields if spec.name != TASK]
        fields.append(FieldSpec(name=TASK, kind=FieldKind.LABEL, dtype="int64", classes=chosen.tasks))
    if chosen.label is not None:
        label = united.schema.get(chosen.label_field)
        told = FieldSpec(name=chosen.label_field, kind=FieldKind.LABEL, dtype="int64", classes=chosen.classes)
        fields = [told if spec is label else spec for spec in fields] if label else [*fields, told]
    if chosen.split is not None and united.schema.first(FieldKind.SPLIT) is None:
        fields.append(FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS))
    if len(sources) > 1:
        _add_constant(fields, taken, SOURCE, [source.name for source in sources])
    if options.how == "join":
        kinds = [
            next((str(spec.kind) for spec in source.dataset.schema.fields if not spec.is_annotation), "none")
            for source in sources
        ]
        _add_constant(fields, taken, MODALITY, kinds)
    return replace(united, fields=tuple(fields), taken=tuple(taken))


def _add_constant(fields: list[FieldSpec], taken: list[dict[str, Taken]], name: str, values: Sequence[str]) -> None:
    """Add a label that is the same for all records of a source; sources that have it already keep theirs."""
    known = next((spec for spec in fields if spec.name == name and spec.kind is FieldKind.LABEL), None)
    if known is None and any(spec.name == name for spec in fields):
        return  # a field of that name says something else
    has = [bool(one.get(name, Taken()).field) for one in taken]
    told = [value for value, own in zip(values, has, strict=True) if not own]
    classes = tuple(dict.fromkeys((*(known.classes if known else ()), *told)))
    spec = FieldSpec(name=name, kind=FieldKind.LABEL, dtype="int64", classes=classes)
    if known is None:
        fields.append(spec)
    else:
        fields[fields.index(known)] = spec
    for one, value, own in zip(taken, values, has, strict=True):
        if not own:
            one[name] = Taken(constant=np.array(classes.index(value), np.int64))


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────


def _write(work: _Work, chosen: Chosen, writer: DatasetWriter, progress: Progress | None) -> list[Skipped]:
    """Append every chosen record behind those that are written already; return those that are damaged."""
    done = int(writer.note.get("next", 0))
    skipped = [Skipped(path=path, reason=reason) for path, reason in writer.note.get("skipped", [])]
    total = float(len(chosen))
    for place, first, stop in _pieces(work, chosen, done):
        source = work.sources[place]
        if progress is not None:
            progress(float(first), total, "records", source.name)
        index = chosen.record[first:stop]
        good = np.ones(len(index), bool)
        for taken in work.united.taken[place].values():
            if taken.field:
                good &= source.dataset.intact(taken.field, index)
        skipped += [
            Skipped(path=f"{source.name}, record {record}", reason="it is damaged") for record in index[~good].tolist()
        ]
        columns = _columns(work, chosen, place, np.arange(first, stop)[good])
        note = {"next": stop, "skipped": [[one.path, one.reason] for one in skipped[:_MOST_SKIPPED]]}
        writer.extend(columns, note)
    if progress is not None:
        progress(total, total, "records", "")
    return skipped


def _columns(work: _Work, chosen: Chosen, place: int, at: Array) -> dict[str, Array | list[Any]]:
    """Return the values of the records `at` (places in the result) of one source."""
    source, index = work.sources[place], chosen.record[at]
    changed = {
        spec.name: values[at]
        for spec in work.united.fields
        if (values := _changed(spec, chosen)) is not None
    }  # fmt: skip
    columns: dict[str, Array | list[Any]] = {}
    for spec in work.united.fields:
        taken = work.united.taken[place].get(spec.name, Taken())
        if spec.name in changed:
            columns[spec.name] = changed[spec.name]
        elif not taken.field and taken.constant is None and spec.kind is FieldKind.NAME:
            columns[spec.name] = [f"{source.name} {record}" for record in index.tolist()]
        elif not taken.field and taken.constant is None and spec.kind is FieldKind.GROUP:
            name = source.dataset.schema.first(FieldKind.NAME)
            own = source.dataset.texts(name.name, index) if name else index.tolist()
            columns[spec.name] = [f"{source.name} {one}" for one in own]
        else:
            columns[spec.name] = take(source.dataset, spec, taken, index)
    return columns


def _changed(spec: FieldSpec, chosen: Chosen) -> Array | None:
    if spec.kind is FieldKind.SPLIT:
        return chosen.split
    if spec.name == TASK and chosen.task is not None:
        return chosen.task
    return chosen.label if spec.name == chosen.label_field else None


def _pieces(work: _Work, chosen: Chosen, done: int) -> Iterator[tuple[int, int, int]]:
    """Yield (source, first, last + 1) of pieces of the result that are small enough to hold."""
    for start, stop in runs_of(chosen.source):
        if stop <= done:
            continue
        first = max(start, done)
        place = int(chosen.source[start])
        bytes_of_each = _record_bytes(work, place, chosen.record[first:stop])
        ends = np.cumsum(bytes_of_each)
        at = 0
        while at < stop - first:
            before = int(ends[at - 1]) if at else 0
            count = int(np.searchsorted(ends, before + _PIECE_BYTES, "right")) - at
            count = min(max(count, 1), _PIECE_RECORDS, stop - first - at)
            yield place, first + at, first + at + count
            at += count


def _record_bytes(work: _Work, place: int, index: Array) -> Array:
    """Return about how many bytes each record of a source takes in the result, (n,) int64."""
    dataset = work.sources[place].dataset
    total = np.zeros(len(index), np.int64)
    for spec in work.united.fields:
        taken = work.united.taken[place].get(spec.name, Taken())
        if is_text(spec):
            total += _TEXT_BYTES
        elif not taken.field:
            total += int(np.prod([side or 0 for side in spec.shape])) if is_fixed(spec) else 0
        elif is_encoded(spec):
            total += max(1, dataset.info.size_bytes // max(1, len(dataset)))
        else:
            values = dataset.sizes(taken.field)[index].astype(np.int64).prod(axis=1)
            total += values * np.dtype(spec.dtype).itemsize * max(1, taken.repeat)
    return total


def _bytes_of(work: _Work) -> int:
    if work.chosen is None:
        return 0
    chosen = work.chosen
    return sum(
        int(_record_bytes(work, place, chosen.record[chosen.source == place]).sum())
        for place in range(len(work.sources))
    )


# ── what is told of the result ───────────────────────────────────────────────────────────────────────


def _splits(work: _Work) -> Array:
    assert work.chosen is not None
    if work.chosen.split is not None:
        return work.chosen.split
    spec = work.united.schema.first(FieldKind.SPLIT)
    if spec is None:
        return np.zeros(len(work.chosen), np.int64)
    return codes_of(work.chosen, work.sources, work.united, spec.name)


def _labels(work: _Work) -> dict[str, int]:
    assert work.chosen is not None
    name = main_label(work.united.schema)
    spec = work.united.schema.get(name)
    if spec is None:
        return {}
    codes = work.chosen.label
    if codes is None:
        codes = codes_of(work.chosen, work.sources, work.united, name)
    return _count(codes, spec.classes, every=True)


def _count(codes: Array, names: Sequence[str], *, every: bool = False) -> dict[str, int]:
    counts = np.bincount(codes[codes >= 0], minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=False) if count or every}


def _provenance(options: CombineOptions, work: _Work) -> dict[str, str]:
    """Return where the result comes from: sources with checksums, what was done, and what the sources say."""
    chosen = work.chosen
    assert chosen is not None
    names = [source.name for source in work.sources]
    several = {"concatenate": "put together from", "join": "joined from", "stream": "a stream of tasks from"}
    how = several[options.how] if len(names) > 1 or options.how == "stream" else "taken from"
    told = {"made": f"{how} {', '.join(names)}", "source": ", ".join(names)}
    for place, source in enumerate(work.sources):
        info = source.dataset.info
        key = f"source {place + 1}"
        count = int((chosen.source == place).sum())
        told[key] = f"{source.name}: {count} of {info.records} records of {source.dataset.path.name}"
        told[f"{key} checksum"] = info.checksum
        told[f"{key} from"] = "; ".join(
            f"{name}: {value}" for name, value in info.provenance.items() if name not in {"fingerprint", "options"}
        )[:4000]
        if changes := source.dataset.changes:
            told[f"{key} changes"] = f"{changes} changes of its records by hand are taken over"
    if chosen.tasks:
        told["tasks"] = ", ".join(chosen.tasks)
    licences = {source.dataset.info.provenance.get("licence", "") for source in work.sources} - {""}
    if licences:
        told["licence"] = "; ".join(sorted(licences))
    return told | describe_choice(options)
