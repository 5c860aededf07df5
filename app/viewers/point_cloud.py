"""Point clouds and Gaussians in scenes of VTK."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from app.theme import Theme
from app.viewers.recorded import RecordedViewer, opened
from app.viewers.records.base import OpenedRecord, RecordViewer
from app.viewers.records.points import PointsViewer
from app.viewers.records.scene import ellipsoids_actor
from engine.protocol.inspections import Array, Gaussians, Inspection, PointCloud
from engine.protocol.messages import RecordValue
from engine.protocol.schema import FieldKind, FieldSpec

AXES = ("x", "y", "z")
COLOURS = ("red", "green", "blue")
MOST_ELLIPSOIDS = 20_000
SIGMAS = 2.0


class PointCloudViewer(RecordedViewer):
    """Points, coloured by any of their columns; the first column at first."""

    pane_kind: ClassVar[type[RecordViewer]] = PointsViewer

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
        if is_first and isinstance(shown, PointCloud) and shown.columns and isinstance(self.pane, PointsViewer):
            self.pane.by.setCurrentText(shown.columns[0])
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
