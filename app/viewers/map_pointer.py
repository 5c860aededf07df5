"""What pointer and keys do to a map: drags that pan, turn, draw a lasso or a box; the keys that stand for the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QMouseEvent

if TYPE_CHECKING:
    from app.viewers.map_canvas import MapCanvas

Mode = Literal["pan", "lasso", "box"]
CLICK_PX = 4.0
REACH_PX, STEP_PX = 400, 6  # how far Ctrl and an arrow look for the next point, and in which steps
_DIRECTIONS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}
_MODES: dict[Qt.Key, Mode] = {Qt.Key.Key_V: "pan", Qt.Key.Key_L: "lasso", Qt.Key.Key_B: "box"}


@dataclass(slots=True)
class Drag:
    """A button that is held: what it does, where it began, and the outline that it draws."""

    kind: str  # pan, turn, lasso or box
    how: str  # what is inside an outline replaces the selection, is added to it, or removed
    start: QPointF
    last: QPointF
    outline: list[QPointF] = field(default_factory=list)

    @classmethod
    def begin(cls, event: QMouseEvent, mode: Mode, *, is_flat: bool) -> Drag | None:
        """Return the drag that a press begins: left by the mode, middle pans, right turns a map in space."""
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        alt = bool(event.modifiers() & Qt.KeyboardModifier.AltModifier)
        how = "add" if shift else "remove" if alt else "replace"
        at, button = event.position(), event.button()
        if button == Qt.MouseButton.LeftButton:
            kind = mode if mode != "pan" or is_flat or shift else "turn"
        elif button == Qt.MouseButton.MiddleButton:
            kind = "pan"
        elif button == Qt.MouseButton.RightButton and not is_flat:
            kind = "turn"
        else:
            return None
        return cls(kind, how, at, at, [at] if kind in {"lasso", "box"} else [])

    @property
    def draws(self) -> bool:
        """Whether it draws an outline."""
        return self.kind in {"lasso", "box"}

    def is_click(self, at: QPointF) -> bool:
        """Return whether the button was hardly moved."""
        return (at - self.start).manhattanLength() < CLICK_PX

    def draw_to(self, at: QPointF) -> None:
        """Lead the outline on."""
        if self.kind == "box":
            self.outline = [self.start, QPointF(at.x(), self.start.y()), at, QPointF(self.start.x(), at.y())]
        elif (at - self.outline[-1]).manhattanLength() >= 2:
            self.outline.append(at)


def press(canvas: MapCanvas, key: Qt.Key, *, control: bool) -> bool:
    """Do what a key stands for; return whether it stands for anything."""
    camera = canvas.current_camera()
    if key in _MODES and not control:
        canvas.set_mode(_MODES[key])
    elif key == Qt.Key.Key_Home:
        canvas.fit()
    elif key == Qt.Key.Key_Backspace:
        canvas.previous_view()
    elif key in _DIRECTIONS and camera is not None:
        right, down = _DIRECTIONS[key]
        if control:
            _point_towards(canvas, right, down)
        else:
            height = canvas.device_size()[1]
            canvas.look_from(camera.moved(-right * height / 12, -down * height / 12, height))
    elif key in {Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus}:
        canvas.zoom_at(QPointF(canvas.rect().center()), -1.0 if key == Qt.Key.Key_Minus else 1.0)
    elif key in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and canvas.pointed >= 0:
        canvas.clicked.emit(canvas.pointed)
    elif key == Qt.Key.Key_A and control:
        everything = np.arange(len(canvas.points))
        canvas.region_chosen.emit(everything if canvas.allowed is None else everything[canvas.allowed], "replace")
    else:
        return False
    return True


def _point_towards(canvas: MapCanvas, right: int, down: int) -> None:
    """Point at the next point in a direction, from the one pointed at or from the middle."""
    here = canvas.where(canvas.pointed) or QPointF(canvas.rect().center())
    for reach in range(STEP_PX, REACH_PX, STEP_PX):
        found = canvas.number_at(here + QPointF(right, down) * (reach + STEP_PX))
        if found >= 0 and found != canvas.pointed:
            canvas.point_to(found)
            return
