"""All of one record for a viewer, thinned out evenly where it is too large to send."""

from __future__ import annotations

import numpy as np

from engine.data.layout import is_encoded, is_text
from engine.data.pictures import decode_picture
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import OpenRecord, RecordOpened, RecordValue
from engine.protocol.schema import FieldKind, FieldSpec

# how many of the last axes of a kind may be thinned out: those that lie in space or time
_THINNED = {
    FieldKind.IMAGE: 2,
    FieldKind.CHANNELS: 2,
    FieldKind.VOLUME: 3,
    FieldKind.CINE: 3,
    FieldKind.VIEWS: 2,
    FieldKind.PAIR: 2,
    FieldKind.GRID: 3,
    FieldKind.WAVEFORM: 1,
    FieldKind.CLIP: 2,
    FieldKind.MASK: 2,
}


def open_record(dataset: Dataset, request: OpenRecord) -> tuple[RecordOpened, list[Array]]:
    """Return a record and the arrays of its fields.

    A field larger than `request.most_bytes` is thinned out: every second, third, … value along its axes in space;
    of points and bag members every so-manieth row. Damaged fields, and those that the record lacks, are left out.

    Raises:
        DataError: there is no such record, or `most_bytes` is too small to send anything.
    """
    if not 0 <= request.record < len(dataset):
        raise DataError(f"{dataset.info.name} has the records 0 to {len(dataset) - 1}, not {request.record}.")
    if request.most_bytes < 4096:
        raise DataError(f"{request.most_bytes} bytes are too few for a record.", "Ask for 4096 or more.")
    values: list[RecordValue] = []
    arrays: list[Array] = []
    for spec in dataset.schema.fields:
        if is_text(spec):
            values.append(RecordValue(spec=spec, text=dataset.texts(spec.name, np.array([request.record]))[0]))
            continue
        if not dataset.intact(spec.name, [request.record]).all() or not dataset.present(spec.name)[request.record]:
            continue
        whole = _read(dataset, spec, request.record)
        step = _step(spec, whole, request.most_bytes)
        sent = whole[tuple(slice(None, None, each) for each in step)] if step else whole
        values.append(RecordValue(spec=spec, array=len(arrays), shape=whole.shape, step=step))
        arrays.append(np.ascontiguousarray(sent))
    name = next((value.text for value in values if value.spec.kind is FieldKind.NAME), str(request.record))
    reply = RecordOpened(id=request.id, dataset=request.dataset, record=request.record, name=name, values=tuple(values))
    return reply, arrays


def _read(dataset: Dataset, spec: FieldSpec, record: int) -> Array:
    if spec.is_annotation and spec.shape == ():
        return np.asarray(dataset.column(spec.name))[[record]]
    if is_encoded(spec):
        return decode_picture(dataset.encoded(spec.name, [record])[0])
    return np.asarray(dataset.read(spec.name, [record])[0])


def _step(spec: FieldSpec, whole: Array, most_bytes: int) -> tuple[int, ...]:
    """Return the step along each axis with which the value fits into `most_bytes`; () = it fits whole."""
    if whole.nbytes <= most_bytes:
        return ()
    spatial = _THINNED.get(spec.kind, 0)
    if not spatial:  # rows: points, members of a bag, frames of a motion
        return (-(-whole.nbytes // most_bytes), *(1 for _ in whole.shape[1:]))
    every = 1
    while whole.nbytes / every**spatial > most_bytes:
        every += 1
    return (*(1 for _ in whole.shape[:-spatial]), *(every for _ in range(spatial)))
