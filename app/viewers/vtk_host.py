"""VTK inside our window: scenes drawn off screen, one window of VTK for all, and painted into the widgets they are for.

VTK's own Qt widget is a native window inside ours. It cannot be grabbed for an export, fails on Wayland, and shares
the thread's OpenGL state with Qt's and napari's canvases (pyvistaqt#445, #810, vispy#2436). So VTK draws into its own
memory here, and the picture is painted like any other; pointer and wheel are handed on to VTK's interactor.

Reading VTK takes about a second and happens in a thread, when a scene is first wanted.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np
from PySide6.QtCore import QObject, QPointF, QSize, Qt, Signal
from PySide6.QtGui import (
    QImage,
    QMouseEvent,
    QOpenGLContext,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget
from shiboken6 import getCppPointer

from app.theme import Theme
from app.tokens import COLOURS
from app.viewers.library_host import LibraryHost
from engine.protocol.inspections import Array

GROUND: Final = COLOURS["sunken"][1]  # dark in both themes, like every canvas of points
LARGEST_PX: Final = 4096
CLICK_PX: Final = 4  # a press that moves less is a click
_BUTTONS: Final = {
    Qt.MouseButton.LeftButton: "Left",
    Qt.MouseButton.MiddleButton: "Middle",
    Qt.MouseButton.RightButton: "Right",
}
Vector = tuple[float, float, float]


class VtkHost(LibraryHost):
    """The one VTK of the window, `shared(theme)` finds it. Every owner has a scene of its own, made by `take`."""

    title: ClassVar[str] = "VTK"
    modules: ClassVar[tuple[str, ...]] = (
        "vtkmodules.vtkCommonCore",
        "vtkmodules.vtkCommonDataModel",
        "vtkmodules.vtkFiltersSources",
        "vtkmodules.vtkRenderingCore",
        "vtkmodules.vtkRenderingOpenGL2",
        "vtkmodules.vtkRenderingUI",
        "vtkmodules.vtkInteractionStyle",
        "vtkmodules.util.numpy_support",
    )
    drawn = Signal()  # the picture of the scene that is up is out of date

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.owner: QObject | None = None  # whose scene is up: drawn, turned, filled
        self.renderer: Any = None  # of that scene
        self._scenes: dict[int, Any] = {}  # by the address of the owner
        self.interactor: Any = None
        self._window: Any = None

    def take(self, owner: QObject) -> None:
        """Put up an empty scene of an owner."""
        key = _address(owner)
        if key not in self._scenes:
            self._scenes[key] = _new_renderer()
            owner.destroyed.connect(partial(self._forget, key))
        self.put_up(owner)
        self.clear()

    def put_up(self, owner: QObject) -> bool:
        """Make the scene of an owner the one that is drawn and turned; return whether it has one."""
        scene = self._scenes.get(_address(owner))
        if scene is None or self._window is None:
            return False
        if self.owner is not owner:
            if self.renderer is not None:
                self._window.RemoveRenderer(self.renderer)
            self._window.AddRenderer(scene)
            self.owner, self.renderer = owner, scene
        return True

    def _forget(self, key: int, _owner: QObject | None = None) -> None:
        scene = self._scenes.pop(key, None)
        if scene is not None and scene is self.renderer and self._window is not None:
            self._window.RemoveRenderer(scene)
            self.owner = self.renderer = None

    def clear(self) -> None:
        """Remove everything from the scene."""
        if self.renderer is not None:
            self.renderer.RemoveAllViewProps()

    def render(self, size: QSize) -> QImage:
        """Return a picture of the scene of a size in device pixels; an empty one before it is ready."""
        if self._window is None or self.renderer is None or size.isEmpty():
            return QImage()
        width, height = min(size.width(), LARGEST_PX), min(size.height(), LARGEST_PX)
        current = QOpenGLContext.currentContext()
        if current is not None:
            current.doneCurrent()  # Qt must not believe its context is current while VTK's is
        from vtkmodules.vtkCommonCore import vtkUnsignedCharArray

        self._window.SetSize(width, height)
        self.interactor.SetSize(width, height)
        self.renderer.ResetCameraClippingRange()
        self._window.Render()
        pixels = vtkUnsignedCharArray()
        self._window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, pixels)
        self._window.ReleaseCurrent()
        rows = np.ascontiguousarray(_support().vtk_to_numpy(pixels).reshape(height, width, 4)[::-1])
        return QImage(rows.data, width, height, 4 * width, QImage.Format.Format_RGBX8888).copy()

    def look(self, direction: Vector, up: Vector) -> None:
        """Look along a direction at the whole scene."""
        if self.renderer is None:
            return
        camera = self.renderer.GetActiveCamera()
        focus = np.array(camera.GetFocalPoint())
        camera.SetPosition(*(focus - np.array(direction)))
        camera.SetViewUp(*up)
        self.renderer.ResetCamera()
        self.drawn.emit()

    def project(self, points: Array, width: int, height: int) -> tuple[Array, Array]:
        """Return where points (N, 3) lie in a picture: (N, 2) in pixels from the top left, and depth (N,), 0…1."""
        camera = self.renderer.GetActiveCamera()
        matrix = camera.GetCompositeProjectionTransformMatrix(width / max(1, height), 0.0, 1.0)
        table = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        clip = points.astype(np.float64) @ table[:, :3].T + table[:, 3]
        depth = np.where(clip[:, 3] > 1e-9, clip[:, 3], np.nan)
        plane = clip[:, :3] / depth[:, None]
        place = np.stack([(plane[:, 0] + 1) * 0.5 * width, (1 - plane[:, 1]) * 0.5 * height], axis=1)
        return place, plane[:, 2]

    def _make(self) -> Iterator[None]:
        from vtkmodules.vtkInteractionStyle import vtkInteractorStyleTrackballCamera
        from vtkmodules.vtkRenderingCore import vtkRenderWindow
        from vtkmodules.vtkRenderingUI import vtkGenericRenderWindowInteractor

        self._window = vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        yield
        self.renderer = _new_renderer()  # nobody's: for the first picture
        self._window.AddRenderer(self.renderer)
        self.interactor = vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self._window)
        self.interactor.SetInteractorStyle(vtkInteractorStyleTrackballCamera())
        yield
        self.interactor.Initialize()
        self.interactor.EnableRenderOff()  # the style only asks; the widget draws when it paints
        self.interactor.AddObserver("RenderEvent", lambda *_: self.drawn.emit())
        yield
        self.render(QSize(16, 16))  # makes the context, which the first picture would wait for

    def _take_down(self) -> None:
        for scene in self._scenes.values():
            scene.RemoveAllViewProps()
        self._scenes.clear()
        self.clear()
        if self._window is not None:
            self.interactor.RemoveAllObservers()
            self.interactor.SetRenderWindow(None)
            self._window.Finalize()
        self._window = self.interactor = self.renderer = self.owner = None


def _address(owner: QObject) -> int:
    return int(getCppPointer(owner)[0])  # type: ignore[index]


def _new_renderer() -> Any:
    from vtkmodules.vtkRenderingCore import vtkRenderer

    made = vtkRenderer()
    made.SetBackground(*(int(GROUND[at : at + 2], 16) / 255 for at in (1, 3, 5)))
    return made


class VtkCanvas(QWidget):
    """Shows the scene of `owner`. Left drag turns, middle drag or Shift moves, wheel and right drag zoom."""

    pointed = Signal(object)  # QPointF in device pixels from the top left, or None
    clicked = Signal(QPointF)  # without a turn
    clicked_twice = Signal(QPointF)

    def __init__(self, theme: Theme, host: VtkHost, owner: QObject) -> None:
        super().__init__()
        self._theme, self._host, self._owner = theme, host, owner
        self._picture = QImage()
        self._is_stale = True
        self._held = ""
        self._pressed_at: QPointF | None = None  # until the pointer moves
        self.setMinimumSize(200, 160)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        host.drawn.connect(self._drawn)

    @property
    def device_size(self) -> QSize:
        """Size in device pixels."""
        return self.size() * self.devicePixelRatioF()

    def refresh(self) -> None:
        """Draw the scene anew in the next paint."""
        self._is_stale = True
        self.update()

    def _drawn(self) -> None:
        if self._host.owner is self._owner:
            self.refresh()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the picture of the scene, made anew where it is out of date, and the triad of axes."""
        painter = QPainter(self)
        sharper = painter.deviceTransform().m11()
        if sharper > self.devicePixelRatioF() and self._host.put_up(self._owner):  # a picture of this widget is taken
            picture = self._host.render(self.size() * sharper)
            picture.setDevicePixelRatio(sharper)
            painter.drawImage(0, 0, picture)
            self._draw_triad(painter)
            self._is_stale = True
            return
        if self._is_stale and self._host.put_up(self._owner):
            self._is_stale = False
            self._picture = self._host.render(self.device_size)
            self._picture.setDevicePixelRatio(self.devicePixelRatioF())
        if self._picture.isNull():
            painter.fillRect(self.rect(), GROUND)
            return
        painter.drawImage(0, 0, self._picture)
        self._draw_triad(painter)

    def _draw_triad(self, painter: QPainter) -> None:
        if not self._host.put_up(self._owner):
            return
        camera = self._host.renderer.GetActiveCamera()
        forward, up = np.array(camera.GetDirectionOfProjection()), np.array(camera.GetViewUp())
        right = np.cross(forward, up)
        up = np.cross(right / max(1e-12, float(np.linalg.norm(right))), forward)
        right = right / max(1e-12, float(np.linalg.norm(right)))
        origin = QPointF(44, self.height() - 44)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._theme.font("title"))
        metrics = painter.fontMetrics()
        axes = sorted(range(3), key=lambda axis: -float(forward[axis]))
        for axis in axes[::-1]:
            colour = self._theme.categorical((6, 5, 0)[axis])
            colour = colour.lighter(150) if colour.lightnessF() < 0.4 else colour
            tip = QPointF(float(right[axis]) * 26, -float(up[axis]) * 26)
            pen = painter.pen()
            pen.setColor(colour)
            pen.setWidthF(2.0)
            painter.setPen(pen)
            painter.drawLine(origin, origin + tip)
            text = "xyz"[axis]
            at = origin + tip * 1.35
            wide = metrics.horizontalAdvance(text)
            painter.drawText(QPointF(at.x() - wide / 2, at.y() + metrics.xHeight() / 2), text)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw at the new size."""
        super().resizeEvent(event)
        self.refresh()

    # ── pointer ──────────────────────────────────────────────────────────────────────────────────

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to turn, move or zoom."""
        name = _BUTTONS.get(event.button(), "")
        if name and not self._held and self._tell(event.position(), event.modifiers()):
            self._held = name
            self._pressed_at = event.position() if name == "Left" else None
            self._host.interactor.InvokeEvent(f"{name}ButtonPressEvent")

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on turning, or tell where the pointer is."""
        if self._pressed_at is not None and (event.position() - self._pressed_at).manhattanLength() > CLICK_PX:
            self._pressed_at = None
        if self._held and self._tell(event.position(), event.modifiers()):
            self._host.interactor.InvokeEvent("MouseMoveEvent")
        elif not self._held:
            self.pointed.emit(event.position() * self.devicePixelRatioF())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Stop turning."""
        name = _BUTTONS.get(event.button(), "")
        if name and name == self._held:
            self._held = ""
            if self._tell(event.position(), event.modifiers()):
                self._host.interactor.InvokeEvent(f"{name}ButtonReleaseEvent")
            if self._pressed_at is not None:
                self._pressed_at = None
                self.clicked.emit(event.position() * self.devicePixelRatioF())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Tell where."""
        self.clicked_twice.emit(event.position() * self.devicePixelRatioF())

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom."""
        if self._tell(event.position(), event.modifiers()):
            way = "Forward" if event.angleDelta().y() > 0 else "Backward"
            self._host.interactor.InvokeEvent(f"MouseWheel{way}Event")
        event.accept()

    def leaveEvent(self, event: Any) -> None:
        """Tell that the pointer is gone."""
        self.pointed.emit(None)
        super().leaveEvent(event)

    def _tell(self, point: QPointF, modifiers: Qt.KeyboardModifier) -> bool:
        if self._host.interactor is None or not self._host.put_up(self._owner):
            return False
        at = point * self.devicePixelRatioF()
        control = bool(modifiers & Qt.KeyboardModifier.ControlModifier)
        shift = bool(modifiers & Qt.KeyboardModifier.ShiftModifier)
        self._host.interactor.SetEventInformationFlipY(round(at.x()), round(at.y()), int(control), int(shift))
        return True


def as_vtk(array: Array) -> Any:
    """Return a copy of an array as VTK's own kind of array."""
    return _support().numpy_to_vtk(array, deep=True)


def as_vtk_ids(array: Array) -> Any:
    """Return a copy of indices as VTK's own kind of array of indices."""
    return _support().numpy_to_vtkIdTypeArray(array, deep=True)


def _support() -> Any:
    return importlib.import_module("vtkmodules.util.numpy_support")
