"""Point clouds and Gaussians in scenes of VTK."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import numpy as np
from PySide6.QtCore import QPointF, Signal
from PySide6.QtWidgets import QComboBox, QWidget

from app.theme import Theme
from app.viewers.recorded import RecordedViewer, opened
from app.viewers.records.base import OpenedRecord, RecordViewer
from app.viewers.records.points import OWN_COLOURS, PointsViewer
from app.viewers.records.scene import ellipsoids_actor
from app.viewers.side import WholeNumber
from engine.protocol.inspections import Array, Gaussians, Inspection, PointCloud
from engine.protocol.messages import RecordValue
from engine.protocol.schema import FieldKind, FieldSpec

AXES = ("x", "y", "z")
COLOURS = ("red", "green", "blue")
MOST_ELLIPSOIDS = 20_000
SIGMAS = 2.0


class CloudPane(PointsViewer):
    """Points that can be chosen by a click."""

    point_chosen = Signal(int)  # number in the cloud

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.record_number = WholeNumber("Record")
        self.side_column.insertWidget(0, self.record_number)
        self.stage.canvas.clicked.connect(self._choose)

    def _choose(self, place: QPointF) -> None:
        number = self.stage.point_at(place)
        if number >= 0:
            self.point_chosen.emit(int(np.flatnonzero(self._good)[number]))


class PointCloudViewer(RecordedViewer):
    """Points, in their own colours or coloured by a column. A click asks for the token of a point."""

    pane_kind: ClassVar[type[RecordViewer]] = CloudPane

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.layers = QComboBox()
        self.layers.setAccessibleName("Layer")
        self.layers.activated.connect(lambda layer: self._ask(layer=layer))
        assert isinstance(self.pane, CloudPane)
        self.pane.point_chosen.connect(self.choose_point)
        self.pane.side_column.insertWidget(1, self.layers)
        self.pane.record_number.taken.connect(lambda record: self._ask(records=(record,)))

    def choose_point(self, number: int) -> None:
        """Ask for what the token over a point says."""
        shown = self.inspection
        if isinstance(shown, PointCloud) and number < len(shown.tokens):
            self._ask(query=int(shown.tokens[number]))

    def _ask(self, **chosen: Any) -> None:
        self.choice = msgspec.structs.replace(self.choice, **chosen)
        self.choice_changed.emit(self.choice)

    def qualifier(self) -> str:
        """Return the step, the points, and which token asks."""
        shown = self.inspection
        asks = f", token {shown.query}, click a point" if isinstance(shown, PointCloud) and len(shown.tokens) else ""
        return f"{super().qualifier()}{asks}"

    def record_of(self, inspection: Inspection) -> tuple[OpenedRecord, RecordValue]:
        """Return places and columns as one field of points."""
        assert isinstance(inspection, PointCloud)
        table = np.concatenate([np.asarray(inspection.points, np.float64), _columns(inspection)], axis=1)
        spec = FieldSpec(
            name="points", kind=FieldKind.POINTS, unit=inspection.unit, channels=(*AXES, *inspection.columns)
        )
        record = opened(inspection.record, ((spec, table),))
        return record, record.reply.values[0]

    def _render(self) -> None:
        is_first = self.pane.value is None
        super()._render()
        shown = self.inspection
        if isinstance(shown, PointCloud) and isinstance(self.pane, CloudPane):
            self.pane.record_number.show_value(shown.record)
            if self.layers.count() != shown.layers:
                self.layers.clear()
                self.layers.addItems([f"Layer {layer}" for layer in range(shown.layers)])
            self.layers.setCurrentIndex(shown.layer if shown.layers else -1)
            self.layers.setVisible(shown.layers > 1)
        if is_first and isinstance(shown, PointCloud) and shown.columns and isinstance(self.pane, PointsViewer):
            has_colours = self.pane.by.findText(OWN_COLOURS) >= 0
            self.pane.by.setCurrentText(OWN_COLOURS if has_colours else shown.columns[0])
            self.pane.repaint_points()


def _columns(cloud: PointCloud) -> Array:
    return np.asarray(cloud.values, np.float64).reshape(len(cloud.points), len(cloud.columns))


class GaussiansPane(PointsViewer):
    """Gaussians as ellipsoids of two standard deviations, in their colours and opacities; points where too many."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.gaussians: Gaussians | None = None

    def qualifier(self) -> str:
        """Return how many, and what is drawn of them."""
        text = super().qualifier().replace(" points", " Gaussians")
        if self.gaussians is None or not text:
            return text
        how = "as points" if len(self.gaussians.centres) > MOST_ELLIPSOIDS else f"at {SIGMAS:g} sd"
        return f"{text}, {how}"

    def _make_actor(self, places: Array, size: float) -> Any:
        shown = self.gaussians
        if shown is None or len(places) > MOST_ELLIPSOIDS or len(places) != len(shown.centres):
            return super()._make_actor(places, size)
        rgba = np.concatenate([shown.colours, shown.opacities[:, None]], axis=1)
        return ellipsoids_actor(places, SIGMAS * shown.scales, shown.rotations, rgba)


class GaussiansViewer(RecordedViewer):
    """Gaussian splats."""

    pane_kind: ClassVar[type[RecordViewer]] = GaussiansPane

    def record_of(self, inspection: Inspection) -> tuple[OpenedRecord, RecordValue]:
        """Return centres, colours and opacity as one field of points."""
        assert isinstance(inspection, Gaussians)
        assert isinstance(self.pane, GaussiansPane)
        self.pane.gaussians = inspection
        columns = [inspection.centres, inspection.colours, inspection.opacities[:, None], inspection.scales]
        names = (*AXES, *COLOURS, "opacity", "scale 1", "scale 2", "scale 3")
        table = np.concatenate([np.asarray(each, np.float64) for each in columns], axis=1)
        record = opened(
            inspection.record, ((FieldSpec(name="Gaussians", kind=FieldKind.POINTS, channels=names), table),)
        )
        return record, record.reply.values[0]
