"""Opens, floats, docks and closes records on real napari and VTK canvases, in a process of its own.

`ROUNDS` is the argument.

A crash of a graphics library ends this process, not the tests. It writes one JSON line.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np
import psutil
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDockWidget, QMainWindow, QVBoxLayout, QWidget

from app.start import make_application
from app.theme import Theme
from app.viewers.napari_host import NapariHost
from app.viewers.records.base import OpenedRecord, RecordViewer
from app.viewers.records.table import viewer_of
from app.viewers.vtk_host import VtkHost
from app.widgets.plots import Plot
from engine.protocol.schema import FieldKind
from tests.app.viewers.records import RAS_TO_LPS, opened, volume

WAIT_MS = 5
PATIENCE = 12_000  # turns of WAIT_MS
SETTLED = 5  # rounds after which memory is compared


class Window(QMainWindow):
    """A window with one viewer in sight, in a dock."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.viewers: dict[type[RecordViewer], RecordViewer] = {}
        inside = QWidget()
        self.column = QVBoxLayout(inside)
        self.dock = QDockWidget("Viewer")
        self.dock.setWidget(inside)
        self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self.setCentralWidget(Plot(theme))
        self.resize(720, 480)

    def move_dock(self) -> None:
        """Float the dock, bring it back, close it and open it."""
        for act in (
            lambda: self.dock.setFloating(True),
            lambda: self.dock.setFloating(False),
            self.dock.close,
            self.dock.show,
        ):
            act()
            QTest.qWait(WAIT_MS)

    def open(self, record: OpenedRecord) -> Any:
        value = record.reply.values[0]
        kind = viewer_of(value)
        if kind not in self.viewers:
            self.viewers[kind] = kind(self.theme)
            self.column.addWidget(self.viewers[kind], 1)
        for each in self.viewers.values():
            each.setVisible(each is self.viewers[kind])
        viewer: Any = self.viewers[kind]
        viewer.show_field(record, value)
        for _ in range(PATIENCE):
            if not viewer.is_busy():
                break
            QTest.qWait(WAIT_MS)
        QTest.qWait(WAIT_MS)
        return viewer


def records(rng: np.random.Generator) -> list[OpenedRecord]:
    """Return a volume with a mask, a cine, channels and points."""
    return [
        opened(
            ("ct", FieldKind.VOLUME, volume(12, 16, 20)),
            ("ct_affine", FieldKind.NUMBER, RAS_TO_LPS),
            ("organs", FieldKind.MASK, rng.integers(0, 3, (12, 16, 20))),
            unit="HU",
        ),
        opened(("cine", FieldKind.CINE, rng.normal(size=(4, 1, 8, 12, 14)).astype(np.float32))),
        opened(("stain", FieldKind.CHANNELS, rng.integers(0, 4000, (3, 32, 32)).astype(np.uint16))),
        opened(("points", FieldKind.POINTS, rng.normal(size=(500, 4)).astype(np.float32))),
    ]


def main(rounds: int) -> None:
    """Open every record once a round and write what was seen."""
    at_start = [name for name in ("napari", "vispy", "vtkmodules.vtkRenderingCore") if name in sys.modules]
    make_application([])
    sheet = QApplication.instance().styleSheet()  # type: ignore[union-attr]
    theme = Theme("light")
    theme.apply()
    window = Window(theme)
    window.show()
    process, rng = psutil.Process(), np.random.default_rng(1)
    memory: list[int] = []
    kept = True  # whether viewers showed as many colours after they had floated
    found: dict[str, Any] = {"at start": at_start}
    for number in range(rounds):
        for record in records(rng):
            viewer = window.open(record)
            if number == 0:
                examine(viewer, record, found)
            shown = picture(viewer)
            window.move_dock()
            kept = kept and picture(viewer) > shown / 2
            viewer.leave()
        found["kept"] = kept
        memory.append(process.memory_info().rss)
    napari, vtk = NapariHost.shared(theme), VtkHost.shared(theme)
    found |= {
        "opened": 4 * rounds,
        "layers": len(napari.viewer.layers),
        "growth": memory[-1] / memory[min(SETTLED, rounds - 1)] - 1.0,
        "memory MB": [memory[min(SETTLED, rounds - 1)] >> 20, memory[-1] >> 20],
        "sheet": QApplication.instance().styleSheet() == sheet,  # type: ignore[union-attr]
    }
    napari.close()
    vtk.close()
    QTest.qWait(WAIT_MS)
    found["closed"] = napari.canvas is None and vtk.state == "idle"
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)  # graphics libraries end as they like; what is tested has been written


def picture(viewer: QWidget) -> int:
    """Return how many different colours a viewer shows."""
    image = viewer.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    return len(np.unique(np.frombuffer(image.constBits(), np.uint32)))


def examine(viewer: Any, record: OpenedRecord, found: dict[str, Any]) -> None:
    """Note what a viewer shows of its first record."""
    kind = record.reply.values[0].spec.kind
    if kind is FieldKind.VOLUME:
        viewer._click((12.0, 20.0, 14.0))
        found["voxel"], found["read-out"] = viewer.voxel, viewer.describe(viewer.voxel)
        viewer.layers.choose_preset("Lung")
        found["window"] = [float(each) for each in viewer.host.viewer.layers[0].contrast_limits]
        viewer.host.largest_texture = (2048, 8)
        viewer.show_direction("3D")
        found["coarse"], found["coarse text"] = viewer.coarse, viewer.qualifier()
        found["coarse shape"] = list(viewer.host.viewer.layers[0].data.shape)
        viewer.show_direction("Coronal")
        viewer.show_direction("4-up")
        QTest.qWait(WAIT_MS)
        masks = [layer for layer in viewer.host.viewer.layers if layer.name == "organs"]
        QTest.keyPress(viewer, Qt.Key.Key_X)
        found["held"] = [layer.visible for layer in masks]
        QTest.keyRelease(viewer, Qt.Key.Key_X)
        found["released"] = [layer.visible for layer in masks]
        viewer.quad.panes[2].stepped.emit(3)
        QTest.qWait(WAIT_MS)
        found["four"] = [pane.text.text() for pane in viewer.quad.panes], viewer.quad.note.full_text()
        viewer.show_direction("Coronal")
        found["orders"] = [int(axis) for axis in viewer.host.viewer.dims.order]
        found["whole shape"] = list(viewer.host.viewer.layers[0].data.shape)
    elif kind is FieldKind.CINE:
        viewer.play.step(2)
        found["frame"] = int(viewer.host.viewer.dims.current_step[0])
    elif kind is FieldKind.CHANNELS:
        found["channels"] = [layer.name for layer in viewer.host.viewer.layers]
    elif kind is FieldKind.POINTS:
        viewer.stage.look("Top")
        size = viewer.stage.canvas.device_size
        image = viewer.stage.host.render(size)
        flat, _ = viewer.stage.host.project(viewer.stage.points, size.width(), size.height())
        x, y = (round(float(each)) for each in flat[0])
        found["drawn"] = image.pixelColor(x, y) != image.pixelColor(1, 1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
