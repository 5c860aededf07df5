"""What viewers of VTK's scene share: waiting for it, the buttons of the camera, pointing at points."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers.vtk_host import Vector, VtkCanvas, VtkHost
from app.widgets.buttons import Button
from app.widgets.empty import EmptyState
from engine.protocol.inspections import Array

LOADING = "Loading VTK, which draws points. This happens once and takes a second or two."
NEAR_PX = 8.0


class SceneStage(QWidget):
    """A canvas with camera buttons. `want` makes an empty scene, to be filled with `add`."""

    def __init__(self, theme: Theme, directions: dict[str, tuple[Vector, Vector]]) -> None:
        super().__init__()
        self.host = VtkHost.shared(theme)
        self.canvas = VtkCanvas(theme, self.host, self)
        self.message = EmptyState(theme, LOADING, icon="clock")
        self.middle = QStackedWidget()
        self.middle.addWidget(self.message)
        self.middle.addWidget(self.canvas)
        self.points: Array = np.zeros((0, 3))
        self._directions = directions
        bar = QHBoxLayout()
        bar.setContentsMargins(12, 6, 12, 0)
        bar.setSpacing(4)
        for name in directions:
            button = Button(theme, name, small=True, tip=f"Look from this side ({name.lower()})")
            button.clicked.connect(lambda _on=False, name=name: self.look(name))
            bar.addWidget(button)
        reset = Button(theme, "Reset", icon="fit", small=True, tip="Show everything (Home)")
        reset.clicked.connect(self.reset)
        bar.addWidget(reset)
        bar.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(bar)
        column.addWidget(self.middle, 1)
        self.bar = bar
        self.host.failed.connect(self._failed)

    def want(self) -> bool:
        """Make a scene if VTK is there, and return whether it is; else begin to load it."""
        if self.host.state == "ready":
            self.host.take(self)
            self.middle.setCurrentWidget(self.canvas)
            return True
        self.message.set_text(LOADING)
        self.middle.setCurrentWidget(self.message)
        self.host.prepare()
        return False

    def leave(self) -> None:
        """Empty the scene."""
        if self.host.put_up(self):
            self.host.clear()
            self.canvas.refresh()

    def add(self, actor: object) -> None:
        """Put an actor into the scene."""
        if self.host.put_up(self):
            self.host.renderer.AddActor(actor)
            self.canvas.refresh()

    def look(self, name: str) -> None:
        """Look from a side."""
        if self.host.put_up(self):
            self.host.look(*self._directions[name])

    def reset(self) -> None:
        """Look as at first."""
        self.look(next(iter(self._directions)))

    def point_at(self, place: QPointF) -> int:
        """Return the number of the nearest point within 8 px that is in front, or -1."""
        if not len(self.points) or not self.host.put_up(self):
            return -1
        size = self.canvas.device_size
        flat, depth = self.host.project(self.points, size.width(), size.height())
        distance = np.hypot(flat[:, 0] - place.x(), flat[:, 1] - place.y())
        near = np.flatnonzero(distance <= NEAR_PX * self.canvas.devicePixelRatioF())
        return int(near[np.argmin(depth[near])]) if len(near) else -1

    def _failed(self, problem: str) -> None:
        self.message.set_text(f"VTK cannot draw here: {problem}. Everything else goes on without it.")
