"""The canvas of a map: pan, zoom, turn, lasso, box; drawn by numpy on another thread, moved by Qt meanwhile."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from time import perf_counter

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import Theme
from app.viewers import map_labels
from app.viewers.map_camera import Camera
from app.viewers.map_columns import Column, Legend, colour_by, colouring_of
from app.viewers.map_pointer import Drag, Mode, press
from app.viewers.map_points import PlaneIndex, Scene, inside
from app.viewers.map_raster import Colouring, Frame, Look, Picture, Renderer
from app.viewers.map_worker import Newest
from engine.protocol.inspections import Array

HOVER_REACH_PX = 8.0
SETTLE_MS = 140
NAMED_GROUPS = 12
MOST_VIEWS = 50


class MapCanvas(QWidget):
    """Points are numbered 0…N-1 as they were given. Left drags by the mode, middle pans, right turns in space."""

    hovered = Signal(int)  # -1 = none
    clicked = Signal(int)
    region_chosen = Signal(object, str)  # numbers (n,), "replace", "add" or "remove"
    drawn = Signal()
    mode_changed = Signal(str)
    views_changed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.points: Array = np.empty((0, 2), np.float32)
        self.column: Column | None = None
        self.legend = Legend()
        self.look = Look()
        self.shows_names = True
        self.hidden: frozenset[int] = frozenset()
        self.chosen: Array | None = None
        self.mode: Mode = "pan"
        self.picture: Picture | None = None
        self.card: map_labels.Card | None = None
        self.pointed = -1
        self.marked = -1  # the point that is ringed for good
        self.camera: Camera | None = None  # None = all points
        self._scene: Scene | None = None
        self._group: Array = np.empty(0, np.int64)
        self._colouring: Colouring | None = None
        self.allowed: Array | None = None
        self._index: PlaneIndex | None = None
        self._index_camera: Camera | None = None
        self._views: deque[Camera | None] = deque(maxlen=MOST_VIEWS)
        self._region: Array | None = None  # what was drawn last, (k, 2) in the plane
        self._drag: Drag | None = None
        self._frames: deque[float] = deque(maxlen=30)
        self._is_keyboard_focus = False
        self._renderer = Renderer()
        self._drawing, self._sorting, self._choosing = Newest(self), Newest(self), Newest(self)
        self._drawing.finished.connect(self._take_picture)
        self._sorting.finished.connect(self._take_scene)
        self._choosing.finished.connect(self._take_region)
        self._settling = QTimer(self)
        self._settling.setSingleShot(True)
        self._settling.setInterval(SETTLE_MS)
        self._settling.timeout.connect(self._request)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        theme.changed.connect(self._redress)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest size at which a map makes sense."""
        return QSize(180, 64)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    @property
    def is_flat(self) -> bool:
        """Whether the map lies in a plane."""
        return self.points.shape[1] == 2

    @property
    def is_busy(self) -> bool:
        """Whether a picture or a selection is being calculated."""
        return self._drawing.busy or self._sorting.busy or self._choosing.busy or self._settling.isActive()

    @property
    def frames_per_second(self) -> float:
        """How many pictures a second were drawn while the map last moved; 0 = it did not yet."""
        if len(self._frames) < 3:
            return 0.0
        return (len(self._frames) - 1) / max(self._frames[-1] - self._frames[0], 1e-6)

    def set_points(self, points: Array, column: Column, *, keep_view: bool = False) -> None:
        """Show points (N, 2) or (N, 3) coloured by a column; sorting them is done on another thread."""
        if points.shape[1] != self.points.shape[1] or not keep_view:
            self.camera = None
            self._views.clear()
            self.views_changed.emit()
        self.points = np.asarray(points, dtype=np.float32)
        self.chosen = None if self.chosen is None or len(self.chosen) != len(points) else self.chosen
        self._scene, self._index, self._region = None, None, None
        self.pointed, self.card = -1, None
        self.marked = -1 if self.marked >= len(points) else self.marked
        self._colour(column)
        self._sorting.submit(partial(_sort, self.points))

    def set_column(self, column: Column) -> None:
        """Colour by another column."""
        self.hidden = frozenset()
        self._colour(column)
        self._request()

    def set_hidden(self, groups: frozenset[int]) -> None:
        """Hide groups of the legend."""
        self.hidden = groups
        self._allow()
        self._request()

    def set_chosen(self, chosen: Array | None) -> None:
        """Show a selection: (N,) bool, or None."""
        self.chosen = chosen
        self._request()

    def set_look(self, **changes: object) -> None:
        """Change how points are drawn (`Look`)."""
        self.look = replace(self.look, **changes)  # type: ignore[arg-type]
        self._request()

    def set_names(self, shown: bool) -> None:  # noqa: FBT001
        """Write the names of groups on the map, or not."""
        self.shows_names = shown
        self._request()

    def mark(self, number: int) -> None:
        """Ring a point for good; -1 = none."""
        self.marked = number
        self.update()

    def set_card(self, card: map_labels.Card | None) -> None:
        """Say what of the point that is pointed at."""
        self.card = card
        self.update()

    def _colour(self, column: Column) -> None:
        before = [group.name for group in self.legend.groups]
        self.column = column
        self._group, self.legend = colour_by(column)
        if [group.name for group in self.legend.groups] != before:
            self.hidden = frozenset()
        self._colouring = colouring_of(self._group, self.legend, self.theme)
        self._allow()

    def _allow(self) -> None:
        """Keep which points can be pointed at and chosen."""
        self.allowed = ~np.isin(self._group, list(self.hidden)) if self.hidden else None

    # ── the view ─────────────────────────────────────────────────────────────────────────────────

    def set_mode(self, mode: Mode) -> None:
        """Say what a drag does."""
        if mode != self.mode:
            self.mode = mode
            self.mode_changed.emit(mode)
        self.setCursor(Qt.CursorShape.CrossCursor if mode != "pan" else Qt.CursorShape.ArrowCursor)

    def fit(self) -> None:
        """Show all points."""
        self._remember()
        self.camera = None
        self._moved()

    def previous_view(self) -> None:
        """Go back to where the map was before it was last moved."""
        if self._views:
            self.camera = self._views.pop()
            self.views_changed.emit()
            self._moved()

    @property
    def has_previous_view(self) -> bool:
        """Whether there is a view to go back to."""
        return bool(self._views)

    def current_camera(self) -> Camera | None:
        """Return where the map is looked at from; None while there are no points."""
        if self._scene is None:
            return self.camera or (self.picture.frame.camera if self.picture else None)
        width, height, _ = self.device_size()
        return self.camera or Camera.around(self._scene.low, self._scene.high, width, height)

    def _remember(self) -> None:
        if not self._settling.isActive() and (not self._views or self._views[-1] != self.camera):
            self._views.append(self.camera)
            self.views_changed.emit()

    def look_from(self, camera: Camera) -> None:
        """Look from elsewhere; the view before can be gone back to."""
        self._remember()
        self.camera = camera
        self._moved()

    def _moved(self) -> None:
        if not self._settling.isActive():
            self._frames.clear()
        self._settling.start()
        self.pointed, self.card = -1, None
        self._request()
        self.update()

    def device_size(self) -> tuple[int, int, float]:
        """Return width and height in device pixels, and how many of them a pixel has."""
        ratio = self.devicePixelRatioF()
        return int(self.width() * ratio), int(self.height() * ratio), ratio

    # ── drawing ──────────────────────────────────────────────────────────────────────────────────

    def _request(self) -> None:
        width, height, ratio = self.device_size()
        camera = self.current_camera()
        if self._scene is None or self._colouring is None or camera is None or width < 2 or height < 2:
            self.update()
            return
        background, ink = self._background(), self.theme.color("text2")
        look = replace(
            self.look,
            background=(background.red(), background.green(), background.blue()),
            ink=(ink.red(), ink.green(), ink.blue()),
        )
        moving = self._settling.isActive()
        named = len(self.legend.groups) if self._names_fit() else 0
        frame = Frame(
            self._scene, self._colouring, camera, width, height, ratio, look, self.chosen, self.hidden,
            coarse=moving, wants_index=not moving, named=named,
        )  # fmt: skip
        self._drawing.submit(partial(self._renderer.draw, frame))

    def _names_fit(self) -> bool:
        return self.shows_names and self.legend.is_category and 1 < len(self.legend.groups) <= NAMED_GROUPS + 1

    def _take_picture(self, picture: Picture) -> None:
        self.picture = picture
        if picture.frame.coarse:
            self._frames.append(perf_counter())
        if picture.index is not None:
            self._index, self._index_camera = picture.index, picture.frame.camera
        self.update()
        self.drawn.emit()

    def _take_scene(self, result: tuple[Array, Scene]) -> None:
        points, scene = result
        if points is self.points:
            self._scene = scene
            self._request()

    def _background(self) -> QColor:
        return self.theme.color("sunken") if self.theme.dark else self.theme.color("surface")

    def _redress(self) -> None:
        if self.column is not None:
            self._colouring = colouring_of(self._group, self.legend, self.theme)
        self._request()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the newest picture where it belongs now, and what lies over it."""
        area = QRectF(self.rect())
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
            self.paint_on(painter, area)
            if self.hasFocus() and self._is_keyboard_focus:
                painter.setPen(QPen(self.theme.color("accent"), 2.0))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(area.adjusted(1, 1, -1, -1))

    def paint_on(self, painter: QPainter, area: QRectF, *, with_pointer: bool = True) -> None:
        """Draw the map; `with_pointer` also what follows the pointer."""
        painter.fillRect(area, self._background())
        picture, camera = self.picture, self.current_camera()
        if picture is None or camera is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, on=picture.frame.coarse)
        painter.drawImage(self._place_of(picture, camera), picture.image)
        painter.restore()
        if self._names_fit() and picture.frame.camera == camera and len(picture.names):
            names = [
                "" if number in self.hidden or group.colour < 0 or not group.count else group.name
                for number, group in enumerate(self.legend.groups)
            ]
            map_labels.draw_names(painter, names, picture.names / picture.frame.ratio, self.theme)
        if not self.is_flat:
            map_labels.draw_axes(painter, area, camera, self.theme)
        if not self.legend.is_category and self.column is not None:
            map_labels.draw_bar(painter, area, self.legend, self.column.name, self.theme)
        drawn = self._drag.outline if self._drag is not None else []
        outline = drawn if self._region is None else self._outline_of(self._region, camera)
        if len(outline) > 1:
            closed = self._region is not None or (self._drag is not None and self._drag.kind == "box")
            map_labels.draw_outline(painter, outline, self.theme, closed=closed)
        if with_pointer:
            self._paint_marks(painter, area, camera)

    def _outline_of(self, region: Array, camera: Camera) -> list[QPointF]:
        width, height, ratio = self.device_size()
        right, down = camera.pixels(region[:, 0], region[:, 1], width, height)
        return [QPointF(x / ratio, y / ratio) for x, y in zip(right.tolist(), down.tolist(), strict=True)]

    def _place_of(self, picture: Picture, camera: Camera) -> QRectF:
        """Return where a picture taken from elsewhere lies now."""
        taken, frame = picture.frame.camera, picture.frame
        zoom = taken.half / camera.half * self.height() * frame.ratio / max(frame.height, 1)
        width, height = frame.width / frame.ratio * zoom, frame.height / frame.ratio * zoom
        scale = self.height() / (2 * camera.half)
        x = self.width() / 2 + (taken.x - camera.x) * scale
        y = self.height() / 2 - (taken.y - camera.y) * scale
        return QRectF(x - width / 2, y - height / 2, width, height)

    def _paint_marks(self, painter: QPainter, area: QRectF, camera: Camera) -> None:
        for number, radius in ((self.marked, 7.0), (self.pointed, 5.0)):
            at = self.where(number, camera)
            if at is not None:
                map_labels.draw_mark(painter, at, self.theme, radius)
        at = self.where(self.pointed, camera)
        if at is not None and self.card is not None:
            map_labels.draw_card(painter, at, self.card, area, self.theme)

    def where(self, number: int, camera: Camera | None = None) -> QPointF | None:
        """Return where a point is seen, in pixels of the widget."""
        camera = camera or self.current_camera()
        if not 0 <= number < len(self.points) or self._scene is None or camera is None:
            return None
        if not np.isfinite(self.points[number]).all():
            return None
        width, height, ratio = self.device_size()
        x, y = self._scene.pixel_of(number, self.points, camera, width, height)
        return QPointF(x / ratio, y / ratio)

    # ── the pointer ──────────────────────────────────────────────────────────────────────────────

    def number_at(self, at: QPointF) -> int:
        """Return the point under a pixel, or -1."""
        camera = self.current_camera()
        if self._index is None or camera is None or (not self.is_flat and self._index_camera != camera):
            return -1
        width, height, ratio = self.device_size()
        x, y = camera.place(at.x() * ratio, at.y() * ratio, width, height)
        found = self._index.nearest(x, y, HOVER_REACH_PX * ratio * 2 * camera.half / height, self.allowed)
        return -1 if found is None else found

    def point_at(self, at: QPointF | None) -> None:
        """Take note of where the pointer is; None = it left."""
        found = -1 if at is None else self.number_at(at)
        if found != self.pointed:
            self.point_to(found)

    def point_to(self, number: int) -> None:
        """Point at a point; -1 = at none."""
        self.pointed, self.card = number, None
        self.hovered.emit(number)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a drag."""
        if self.picture is None:
            return
        self._drag = Drag.begin(event, self.mode, is_flat=self.is_flat)
        if self._drag is not None and self._drag.draws:
            self._region = None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Point, or go on with a drag."""
        at, drag, camera = event.position(), self._drag, self.current_camera()
        if drag is None:
            self.point_at(at)
        elif drag.draws:
            drag.draw_to(at)
            self.update()
        elif camera is not None and not drag.is_click(at):
            by, drag.last = at - drag.last, at
            if drag.kind == "turn":
                self.clear_outline()
                self.look_from(camera.turned(by.x(), by.y()))
            else:
                _, height, ratio = self.device_size()
                self.look_from(camera.moved(by.x() * ratio, by.y() * ratio, height))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End a drag; without a move it is a click."""
        drag, self._drag = self._drag, None
        if drag is None:
            return
        if drag.is_click(event.position()):
            self.clear_outline()
            self.point_at(event.position())
            if self.pointed >= 0 and event.button() == Qt.MouseButton.LeftButton:
                self.clicked.emit(self.pointed)
        elif drag.draws:
            self.choose_inside(drag.outline, drag.how)

    def choose_inside(self, outline: list[QPointF], how: str) -> None:
        """Choose the points inside an outline in pixels of the widget; `region_chosen` follows."""
        camera = self.current_camera()
        if self._scene is None or camera is None:
            return
        width, height, ratio = self.device_size()
        corners = np.array([(p.x() * ratio, p.y() * ratio) for p in outline], np.float32).reshape(-1, 2)
        self._region = np.array([camera.place(x, y, width, height) for x, y in corners.tolist()], np.float32)
        self._choosing.submit(partial(_inside, self._scene, camera, width, height, corners, self.allowed, how))
        self.update()

    def clear_outline(self) -> None:
        """Take the drawn outline away."""
        self._region = None
        self.update()

    def _take_region(self, result: tuple[Scene, Array, str]) -> None:
        scene, numbers, how = result
        if scene is self._scene:
            self.region_chosen.emit(numbers, how)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the pointer."""
        self.zoom_at(event.position(), event.angleDelta().y() / 120.0)

    def zoom_at(self, at: QPointF, notches: float) -> None:
        """Zoom about a pixel of the widget."""
        camera = self.current_camera()
        if camera is None:
            return
        width, height, ratio = self.device_size()
        x, y = camera.place(at.x() * ratio, at.y() * ratio, width, height)
        self.look_from(camera.zoomed(1.2**notches, x, y))

    def leaveEvent(self, event: QEvent) -> None:
        """Point at nothing."""
        self.point_at(None)
        super().leaveEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw in the new size."""
        super().resizeEvent(event)
        self._settling.start()
        self._request()

    # ── the keyboard ─────────────────────────────────────────────────────────────────────────────

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the map, with Ctrl from point to point; Return clicks; + − zoom; V L B modes; Home fits."""
        if not self.press(Qt.Key(event.key()), control=bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)):
            event.ignore()

    def press(self, key: Qt.Key, *, control: bool = False) -> bool:
        """Do what a key stands for; return whether it stands for anything."""
        return press(self, key, control=control)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show the ring when the keyboard came here by Tab or F6."""
        self._is_keyboard_focus = event.reason() not in {
            Qt.FocusReason.MouseFocusReason,
            Qt.FocusReason.ActiveWindowFocusReason,
        }
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Hide the ring."""
        super().focusOutEvent(event)
        self.update()


def _sort(points: Array) -> tuple[Array, Scene]:
    return points, Scene.of(points)


def _inside(
    scene: Scene, camera: Camera, width: int, height: int, outline: Array, allowed: Array | None, how: str
) -> tuple[Scene, Array, str]:
    x, y, _ = camera.plane(scene.columns)
    right, down = camera.pixels(x, y, width, height)
    numbers = scene.order[inside(right, down, outline)]
    if allowed is not None:
        numbers = numbers[allowed[numbers]]
    return scene, np.sort(numbers), how
