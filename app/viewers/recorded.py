"""Inspections that are drawn as records are: volumes on napari's canvas, points in VTK, motions as skeletons."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QScrollArea, QWidget

from app.theme import Theme
from app.viewers.base import Viewer
from app.viewers.records.base import OpenedRecord, RecordViewer
from engine.protocol.inspections import Array, Inspection
from engine.protocol.messages import RecordOpened, RecordValue
from engine.protocol.schema import FieldSpec

SIDE_PX, WIDE_PX = 232, 620


def opened(record: int, fields: Sequence[tuple[FieldSpec, Array]]) -> OpenedRecord:
    """Return arrays as a record that was opened; nothing of them is left out."""
    values = tuple(
        RecordValue(spec=spec, array=place, shape=tuple(array.shape)) for place, (spec, array) in enumerate(fields)
    )
    return OpenedRecord(
        RecordOpened(id="", dataset="", record=record, name="", values=values),
        [np.asarray(array) for _, array in fields],
    )


class Beside(QWidget):
    """A stage and a column of controls beside it, which gives way where there is no room."""

    def __init__(self, stage: QWidget, side: QWidget) -> None:
        super().__init__()
        self._scroll = QScrollArea()
        side.setProperty("kind", "scrolled")
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for box in side.findChildren(QComboBox):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(6)
        side.setMaximumWidth(SIDE_PX - 12)
        self._scroll.setWidget(side)
        self._scroll.setFixedWidth(SIDE_PX)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 8, 8)
        row.setSpacing(8)
        row.addWidget(stage, 1)
        row.addWidget(self._scroll)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out the controls in a narrow panel."""
        super().resizeEvent(event)
        self._scroll.setVisible(event.size().width() >= WIDE_PX)

    def minimumSizeHint(self) -> QSize:
        """Return what a panel may be at least."""
        return QSize(300, 180)


class RecordedViewer(Viewer):
    """Base of viewers that draw an inspection with a viewer of records. It draws only what can be seen."""

    pane_kind: ClassVar[type[RecordViewer]]
    is_drawn = False

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.pane = self.pane_kind(theme)
        self.pane.qualified.connect(lambda _text: self.qualifier_changed.emit(self.qualifier()))
        self._drawn: Inspection | None = None
        self.set_body(Beside(self.pane, self.pane.side))

    def qualifier(self) -> str:
        """Return the step and what the pane says of its field."""
        parts = [super().qualifier(), self.pane.qualifier() if self.inspection is not None else ""]
        return ", ".join(part for part in parts if part)

    @abstractmethod
    def record_of(self, inspection: Inspection) -> tuple[OpenedRecord, RecordValue]:
        """Return an inspection as a record, and the value of it that is drawn."""

    def _render(self) -> None:
        if self.inspection is not None and self.isVisible():
            self._drawn = self.inspection
            self.pane.show_field(*self.record_of(self.inspection))

    def showEvent(self, event: QShowEvent) -> None:
        """Draw what came while nobody looked."""
        super().showEvent(event)
        if self.inspection is not self._drawn:
            self._render()

    def changeEvent(self, event: QEvent) -> None:
        """Say the sentence of today to those who do not see."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.EnabledChange:
            self._describe()
