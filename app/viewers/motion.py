"""Motions: a skeleton that is played."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from app.viewers.recorded import RecordedViewer, opened
from app.viewers.records.base import OpenedRecord, RecordViewer
from app.viewers.records.motion import MotionViewer as MotionPane
from engine.protocol.inspections import Inspection, Motion
from engine.protocol.messages import RecordValue
from engine.protocol.schema import FieldKind, FieldSpec, companion


class MotionViewer(RecordedViewer):
    """Joint positions over time."""

    pane_kind: ClassVar[type[RecordViewer]] = MotionPane

    def record_of(self, inspection: Inspection) -> tuple[OpenedRecord, RecordValue]:
        """Return positions, parents and rate as a record."""
        assert isinstance(inspection, Motion)
        name = "motion"
        record = opened(
            inspection.record,
            (
                (FieldSpec(name=name, kind=FieldKind.MOTION, channels=inspection.joints), inspection.positions),
                (
                    FieldSpec(name=companion(name, "parents"), kind=FieldKind.NUMBER),
                    np.asarray(inspection.parents, np.int64),
                ),
                (
                    FieldSpec(name=companion(name, "rate_hz"), kind=FieldKind.NUMBER),
                    np.asarray(inspection.frames_per_s, np.float64),
                ),
            ),
        )
        return record, record.reply.values[0]
