"""Viewers of records: one per kind of field, and the table of which draws what."""

from __future__ import annotations

from typing import Final

from app.theme import Theme
from app.viewers.records.base import RecordViewer
from app.viewers.records.channels import ChannelsViewer
from app.viewers.records.image import ImageViewer
from app.viewers.records.points import PointsViewer
from app.viewers.records.unshown import UnshownViewer
from app.viewers.records.volume import VolumeViewer
from engine.protocol.schema import FieldKind

RECORD_VIEWERS: Final[dict[FieldKind, type[RecordViewer]]] = {
    FieldKind.IMAGE: ImageViewer,
    FieldKind.MASK: ImageViewer,
    FieldKind.CHANNELS: ChannelsViewer,
    FieldKind.VOLUME: VolumeViewer,
    FieldKind.CINE: VolumeViewer,
    FieldKind.GRID: VolumeViewer,
    FieldKind.POINTS: PointsViewer,
}


def make_record_viewer(kind: FieldKind, theme: Theme) -> RecordViewer:
    """Return a viewer for a kind of field; a kind without one gets a viewer that says so."""
    return RECORD_VIEWERS.get(kind, UnshownViewer)(theme)
