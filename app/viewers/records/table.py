"""The table of which viewer draws which kind of field. Importing it imports pyqtgraph, but neither napari nor VTK."""

from __future__ import annotations

from typing import Final

from app.viewers.records.bag import BagViewer
from app.viewers.records.base import RecordViewer
from app.viewers.records.channels import ChannelsViewer
from app.viewers.records.clip import ClipViewer
from app.viewers.records.image import ImageViewer
from app.viewers.records.motion import MotionViewer
from app.viewers.records.points import PointsViewer
from app.viewers.records.text import TextViewer
from app.viewers.records.unshown import UnshownViewer
from app.viewers.records.views import ViewsViewer
from app.viewers.records.volume import VolumeViewer
from app.viewers.records.waveform import WaveformViewer
from engine.protocol.messages import RecordValue
from engine.protocol.schema import FieldKind

RECORD_VIEWERS: Final[dict[FieldKind, type[RecordViewer]]] = {
    FieldKind.IMAGE: ImageViewer,
    FieldKind.CHANNELS: ChannelsViewer,
    FieldKind.VOLUME: VolumeViewer,
    FieldKind.CLIP: ClipViewer,
    FieldKind.CINE: VolumeViewer,
    FieldKind.VIEWS: ViewsViewer,
    FieldKind.PAIR: ViewsViewer,
    FieldKind.POINTS: PointsViewer,
    FieldKind.GRID: VolumeViewer,
    FieldKind.TEXT: TextViewer,
    FieldKind.WAVEFORM: WaveformViewer,
    FieldKind.MOTION: MotionViewer,
    FieldKind.BAG: BagViewer,
    FieldKind.MASK: ImageViewer,
}
"""Which viewer draws which kind of field. Annotations have none: the list of facts says them."""


def viewer_of(value: RecordValue) -> type[RecordViewer]:
    """Return the viewer that draws a value; a kind without one gets a viewer that says so."""
    if value.spec.kind is FieldKind.MASK and len(value.shape) == 3:
        return VolumeViewer
    return RECORD_VIEWERS.get(value.spec.kind, UnshownViewer)
