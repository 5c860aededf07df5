"""Views and pairs: their pictures side by side; with cameras, where they stand and what depth says lies before them."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QCheckBox, QStackedWidget, QWidget

from app.theme import Theme
from app.viewers.base import Canvas, draw_text
from app.viewers.painting import draw_picture, fit, mapped, rgb_image
from app.viewers.records.base import OpenedRecord, RecordViewer, spatial_step, thinned_text
from app.viewers.records.controls import SliderRow
from app.viewers.records.image import picture_of
from app.viewers.records.points import ColourScale
from app.viewers.records.scene import lines_actor, picture_actor, points_actor
from app.viewers.records.vtk_stage import SceneStage
from app.viewers.records.window_slider import WindowSlider
from app.viewers.vtk_host import Vector
from app.widgets import numbers
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Array
from engine.protocol.messages import RecordValue
from engine.protocol.schema import FieldKind

PICTURES, DEPTH, SCENE = "Pictures", "Depth", "Scene"
# OpenCV's axes: x to the right, y down, z forward
DIRECTIONS: Final[dict[str, tuple[Vector, Vector]]] = {
    "Corner": ((0.45, 0.35, 1.0), (0.0, -1.0, 0.0)),
    "Top": ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "Front": ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0)),
    "Side": ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
}
GAP_PX, LINE_PX = 10.0, 18.0
MOST_POINTS = 400_000
FAR_PERCENTILE = 98.0


class ViewsViewer(RecordViewer):
    """Views (V, C, H, W), or a pair of them."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.canvas = Canvas(self._draw, QSize(240, 180))
        self.stage = SceneStage(theme, DIRECTIONS)
        self.choice = Segmented((PICTURES,), small=True)
        self.middle = QStackedWidget()
        self.middle.addWidget(self.canvas)
        self.middle.addWidget(self.stage)
        self.window_slider = WindowSlider(theme)
        self.scale = ColourScale(theme)
        self.with_pictures, self.with_points = QCheckBox("Pictures in the cameras"), QCheckBox("Points from depth")
        self.point_size = SliderRow("Point size", lambda value: f"{value} px", high=12, value=2)
        self.images: list[QImage] = []
        self.boxes: list[QRectF] = []
        self._is_stale = False
        self.column.addWidget(self.middle, 1)
        self.side_column.addWidget(self.choice)
        for box in (self.with_pictures, self.with_points):
            box.setChecked(True)
            box.toggled.connect(lambda _on: self._fill_soon())
        for widget in (self.window_slider, self.scale, self.with_pictures, self.with_points, self.point_size):
            self.side_column.addWidget(widget)
        self.choice.chosen.connect(self.show_part)
        self.window_slider.moved.connect(lambda _low, _high: self._make_images())
        self.point_size.moved.connect(lambda _value: self._fill_soon())
        self.canvas.hovered.connect(self._point)
        self.stage.host.ready.connect(self._fill)
        theme.changed.connect(self._make_images)

    def is_busy(self) -> bool:
        """Whether the scene is still on its way."""
        return self._is_stale

    def leave(self) -> None:
        """Empty the scene."""
        self._is_stale = False
        self.record = self.value = None
        self.stage.points = np.zeros((0, 3))
        self.stage.leave()

    def qualifier(self) -> str:
        """Return how many views there are, their size, and thinning."""
        if self.value is None or len(self.value.shape) != 4:
            return ""
        count, _, height, width = self.value.shape
        what = "pair" if self.value.spec.kind is FieldKind.PAIR else numbers.plural(count, "view")
        text = f"{what}, {numbers.count(width)} × {numbers.count(height)} px{thinned_text(self.value)}"
        if self.choice.current() == SCENE and len(self.stage.points):
            text += f", {numbers.plural(len(self.stage.points), 'point')} from depth"
        return text

    def _render(self) -> None:
        record, value = self.record, self.value
        if record is None or value is None:
            return
        self.window_slider.set_values(self.current_array()[:, :3], value.spec.unit)
        parts = [PICTURES]
        if record.companion(value.spec.name, "depth") is not None:
            parts.append(DEPTH)
        if cameras_of(record, value) is not None:
            parts.append(SCENE)
        was = self.choice.current()
        self.choice.set_choices(parts, was if was in parts else PICTURES)
        self.choice.setVisible(len(parts) > 1)
        self.show_part(self.choice.current())

    def show_part(self, name: str) -> None:
        """Show "Pictures", "Depth" or "Scene"."""
        self.choice.set_current(name)
        in_scene = name == SCENE
        self.middle.setCurrentWidget(self.stage if in_scene else self.canvas)
        self.window_slider.setVisible(name == PICTURES)
        self.scale.setVisible(name == DEPTH)
        for widget in (self.with_pictures, self.with_points, self.point_size):
            widget.setVisible(in_scene)
        self._make_images()
        if in_scene:
            self._fill_soon(reset=True)
        self.qualified.emit(self.qualifier())

    # ── pictures ─────────────────────────────────────────────────────────────────────────────────

    def _make_images(self) -> None:
        record, value = self.record, self.value
        if record is None or value is None:
            return
        depth = record.companion(value.spec.name, "depth")
        if self.choice.current() == DEPTH and depth is not None:
            known = depth[np.isfinite(depth) & (depth > 0)]
            low, high = (float(each) for each in np.percentile(known, (1, 99))) if known.size else (0.0, 1.0)
            self.scale.show_range(low, high, "m")
            ground = self.theme.color("sunken")
            self.images = []
            for plane in depth:
                pixels = mapped(plane, self.theme.colormap("scalar"), low, high)
                pixels[~(np.isfinite(plane) & (plane > 0))] = (ground.red(), ground.green(), ground.blue())
                self.images.append(rgb_image(pixels))
        else:
            window = self.window_slider.low, self.window_slider.high
            self.images = [picture_of(view, window) for view in self.current_array()]
        self.canvas.setAccessibleName(self.sentence())
        self.canvas.update()

    def _draw(self, painter: QPainter, area: QRectF) -> None:
        painter.fillRect(area, self.theme.color("mat"))
        self.boxes = []
        if not self.images:
            return
        size, ratio = self.images[0].size(), painter.device().devicePixelRatioF()
        columns = best_columns(len(self.images), area.size().toSize(), size)
        rows = math.ceil(len(self.images) / columns)
        width = (area.width() - GAP_PX * (columns + 1)) / columns
        height = (area.height() - GAP_PX * (rows + 1)) / rows - LINE_PX
        painter.setFont(self.theme.font("small"))
        for number, image in enumerate(self.images):
            left = area.left() + GAP_PX + (number % columns) * (width + GAP_PX)
            top = area.top() + GAP_PX + (number // columns) * (height + LINE_PX + GAP_PX)
            wide, high, _ = fit(image.size(), width, height, ratio)
            box = QRectF(round(left + (width - wide) / 2), round(top + (height - high) / 2), wide, high)
            draw_picture(painter, box, image)
            self.boxes.append(box)
            draw_text(painter, QRectF(box.left(), box.bottom() + 2, width, LINE_PX), self._name(number),
                      self.theme.color("text2"))  # fmt: skip

    def _name(self, number: int) -> str:
        is_pair = self.value is not None and self.value.spec.kind is FieldKind.PAIR
        return ("first", "second")[number] if is_pair and number < 2 else f"view {number + 1}"

    def _point(self, point: QPointF | None) -> None:
        if point is None or self.record is None or self.value is None:
            self.read_out.emit("")
            return
        for number, box in enumerate(self.boxes):
            if box.contains(point):
                view = self.current_array()[number]
                x = min(int((point.x() - box.left()) / box.width() * view.shape[2]), view.shape[2] - 1)
                y = min(int((point.y() - box.top()) / box.height() * view.shape[1]), view.shape[1] - 1)
                values = ", ".join(numbers.number(float(each)) for each in view[:, y, x])
                text = f"{self._name(number)}, x {x}, y {y}: {values}"
                depth = self.record.companion(self.value.spec.name, "depth")
                if depth is not None and depth.shape[1:] == view.shape[1:]:
                    text += f", depth {numbers.number(float(depth[number, y, x]))} m"
                self.read_out.emit(text)
                return
        self.read_out.emit("")

    # ── the scene ────────────────────────────────────────────────────────────────────────────────

    def _fill_soon(self, *, reset: bool = False) -> None:
        if self.choice.current() == SCENE:
            self._is_stale = True
            self._fill(reset=reset)

    def _fill(self, *, reset: bool = True) -> None:
        record, value = self.record, self.value
        if not self._is_stale or record is None or value is None or not self.stage.want():
            return
        self._is_stale = False
        cameras = cameras_of(record, value)
        if cameras is None:
            return
        inverse, poses = cameras
        views = self.current_array()
        points, colours = points_of(record, value, views)
        self.stage.points = points if self.with_points.isChecked() else np.zeros((0, 3))
        if len(points) and self.with_points.isChecked():
            self.stage.add(points_actor(points, colours, float(max(1, self.point_size.value))))
        size = frustum_size(poses, points)
        for number, (matrix, pose) in enumerate(zip(inverse, poses, strict=True)):
            corners = frustum(matrix, pose, views.shape[-1], views.shape[-2], size)
            shade = self.theme.categorical(number)
            rgb = (shade.redF(), shade.greenF(), shade.blueF())
            edges = np.array([[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]])
            self.stage.add(lines_actor(corners, edges, rgb))
            if self.with_pictures.isChecked():
                self.stage.add(picture_actor(corners[1:], to_rgb(self.images[number])))
        if reset:
            self.stage.reset()
        self.stage.canvas.refresh()
        self.qualified.emit(self.qualifier())


def cameras_of(record: OpenedRecord, value: RecordValue) -> tuple[Array, Array] | None:
    """Return inverse intrinsics (V, 3, 3) of the pixels that were sent, and poses (V, 4, 4); None = not known."""
    intrinsics = record.companion(value.spec.name, "intrinsics")
    poses = record.companion(value.spec.name, "poses")
    count = value.shape[0]
    if intrinsics is None or poses is None or intrinsics.shape != (count, 3, 3) or poses.shape != (count, 4, 4):
        return None
    rows, columns = spatial_step(value, 2)
    matrices = np.asarray(intrinsics, np.float64) * np.array([1.0 / columns, 1.0 / rows, 1.0])[:, None]
    if (
        not (np.isfinite(matrices).all() and np.isfinite(poses).all())
        or (np.abs(np.linalg.det(matrices)) < 1e-12).any()
    ):
        return None
    return np.linalg.inv(matrices), np.asarray(poses, np.float64)


def points_of(record: OpenedRecord, value: RecordValue, views: Array) -> tuple[Array, Array]:
    """Return the places (N, 3) that depth gives to pixels, in world coordinates, and their colours (N, 3) uint8."""
    nothing = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    depth, cameras = record.companion(value.spec.name, "depth"), cameras_of(record, value)
    if depth is None or cameras is None or depth.shape != (views.shape[0], *views.shape[2:]):
        return nothing
    every = max(1, math.ceil((depth.size / MOST_POINTS) ** 0.5))
    rows, columns = np.mgrid[0 : depth.shape[1] : every, 0 : depth.shape[2] : every]
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1).reshape(-1, 3).astype(np.float64)
    places, colours = [], []
    for plane, view, inverse, pose in zip(depth, views, *cameras, strict=True):
        far = np.asarray(plane[::every, ::every], np.float64).reshape(-1)
        good = np.isfinite(far) & (far > 0)
        local = (rays[good] @ inverse.T) * far[good, None]
        places.append(local @ pose[:3, :3].T + pose[:3, 3])
        pixels = to_rgb(picture_of(view))[::every, ::every].reshape(-1, 3)
        colours.append(pixels[good])
    return np.concatenate(places), np.concatenate(colours)


def frustum(inverse: Array, pose: Array, width: int, height: int, size: float) -> Array:
    """Return a camera's centre and the corners of its picture at depth `size`, in world coordinates (5, 3)."""
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64)
    local = np.concatenate([np.zeros((1, 3)), corners @ inverse.T * size])
    return local @ pose[:3, :3].T + pose[:3, 3]


def frustum_size(poses: Array, points: Array) -> float:
    """Return how deep a frustum is drawn: a fifth of the scene."""
    centres = poses[:, :3, 3]
    extent = float(np.ptp(centres, axis=0).max()) if len(centres) > 1 else 0.0
    if len(points):
        low, high = np.percentile(points, (100 - FAR_PERCENTILE, FAR_PERCENTILE), axis=0)
        extent = max(extent, float((high - low).max()))
    return 0.2 * extent if extent > 0 else 1.0


def best_columns(count: int, area: QSize, picture: QSize) -> int:
    """Return the number of columns at which pictures of one size are largest."""

    def factor(columns: int) -> float:
        rows = math.ceil(count / columns)
        wide = (area.width() - GAP_PX * (columns + 1)) / columns / max(1, picture.width())
        high = ((area.height() - GAP_PX * (rows + 1)) / rows - LINE_PX) / max(1, picture.height())
        return min(wide, high)

    return max(range(1, count + 1), key=factor)


def to_rgb(image: QImage) -> Array:
    """Return the pixels (H, W, 3) uint8 of an image."""
    plain = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(plain.constBits(), np.uint8).reshape(plain.height(), plain.bytesPerLine())
    return rows[:, : plain.width() * 3].reshape(plain.height(), plain.width(), 3).copy()
