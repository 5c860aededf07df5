"""Motions: a skeleton that is played, turned by dragging, with the course of the chosen joint below."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QWidget

from app.graphs import pg
from app.theme import Theme
from app.viewers.base import Canvas
from app.viewers.records.base import RecordViewer, thinned_text
from app.viewers.records.controls import PlayBar
from app.widgets import numbers
from app.widgets.panel import label
from app.widgets.plots import Plot, thin
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind

MARGIN_PX = 24.0
NEAR_PX = 14.0
START_TURN = 0.6  # radians about the upright axis
SOUND_BUCKETS = 1000
TRAIL = 12  # frames the chosen joint leaves a trace of


class MotionViewer(RecordViewer):
    """A motion (T, J, F): the first three features of a joint are its place; two: in the plane, y downwards.

    Files of motion have y or z upwards and do not say which: the one along which bodies are longer is taken, and can be
    changed. Sound and words of the same record are shown below, on the same time.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.canvas = Canvas(self._draw, QSize(240, 180))
        self.plot = Plot(theme, x_unit="s", name="Course of the chosen joint")
        self.sound = Plot(theme, x_unit="s", name="Sound")
        self.sound.setXLink(self.plot)
        self.sound.setMaximumHeight(110)
        self.words = label("", "body", wrap=True)
        self.words.setContentsMargins(12, 4, 12, 4)
        self.up = Segmented(("z", "y"), small=True)
        self.play = PlayBar(theme)
        self.joint = 0
        self._turn = START_TURN
        self._grip: QPointF | None = None
        self._stored: Array = np.zeros((0, 0, 3))  # places as they are in the file
        self._places: Array = np.zeros((0, 0, 3))  # the same with z upwards
        self._parents: Array = np.zeros(0, np.int64)
        self._times: Array = np.zeros(0)
        self._spread = (np.zeros(3), 1.0)
        self._marker = pg.InfiniteLine(angle=90, movable=False)
        self._sound_marker = pg.InfiniteLine(angle=90, movable=False)
        split = QSplitter(Qt.Orientation.Vertical)
        split.addWidget(self.canvas)
        split.addWidget(self.plot)
        split.addWidget(self.sound)
        split.setSizes([420, 150, 90])
        split.setChildrenCollapsible(False)
        self.column.addWidget(split, 1)
        self.column.addWidget(self.words)
        self.column.addWidget(self.play)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(label("Upwards", "small"), 1)
        row.addWidget(self.up)
        self.side_column.addLayout(row)
        self.up.chosen.connect(self._turn_up)
        self.play.frame_changed.connect(self._show_frame)
        self.canvas.pressed.connect(self._take)
        self.canvas.dragged.connect(self._drag)
        self.canvas.hovered.connect(self._point)
        self.canvas.on_key = self._key
        theme.changed.connect(self._draw_course)
        theme.changed.connect(self._draw_sound)
        self.setFocusProxy(self.canvas)

    def leave(self) -> None:
        """Stop playing."""
        self.play.pause()

    def qualifier(self) -> str:
        """Return frames, joints, duration and thinning."""
        if self.value is None or len(self.value.shape) != 3:
            return ""
        frames, joints, _ = self.value.shape
        text = f"{numbers.plural(frames, 'frame')} of {numbers.plural(joints, 'joint')}"
        if len(self._times) > 1 and self.plot.x_axis.unit == "s":
            text += f", {numbers.duration(float(self._times[-1]))}"
        return text + thinned_text(self.value)

    def _render(self) -> None:
        record, value = self.record, self.value
        if record is None or value is None:
            return
        motion = np.asarray(self.current_array(), np.float64)
        places = motion[..., :3]
        if places.shape[-1] < 3:  # in the plane: seen from the front, y grows downwards
            flat = np.zeros((*places.shape[:2], 3))
            flat[..., 0] = places[..., 0]
            flat[..., 2] = -places[..., 1] if places.shape[-1] > 1 else 0.0
            places = flat
        self._turn = START_TURN if motion.shape[-1] > 2 else 0.0
        self._stored = np.nan_to_num(places)
        is_solid = motion.shape[-1] > 2
        self.up.setVisible(is_solid)
        self.up.set_current(upright_axis(self._stored) if is_solid else "z")
        self._places = upright(self._stored, self.up.current())
        parents = record.companion(value.spec.name, "parents")
        right = parents is not None and parents.shape == (motion.shape[1],)
        self._parents = np.asarray(parents, np.int64) if right else np.full(motion.shape[1], -1)
        rate = record.companion(value.spec.name, "rate_hz")
        times = record.companion(value.spec.name, "times_s")
        hertz = float(rate.ravel()[0]) if rate is not None and rate.size else 0.0
        step = value.step[0] if value.step else 1
        if times is None and hertz > 0:
            times = np.arange(len(motion)) * step / hertz
        self._times = np.arange(len(motion), dtype=np.float64) if times is None else np.asarray(times)[: len(motion)]
        self.plot.x_axis.unit = "frames" if times is None else "s"
        self.joint = min(self.joint, motion.shape[1] - 1)
        self._measure()
        self._draw_course()
        self._draw_sound()
        said = next((each.text for each in record.reply.values if each.spec.kind is FieldKind.TEXT and each.text), "")
        self.words.setText(said)
        self.words.setVisible(bool(said))
        self.play.show_frames(len(motion), times)
        self.plot.fit()

    def _measure(self) -> None:
        """Note middle and extent of all places."""
        middle = (self._places.min(axis=(0, 1)) + self._places.max(axis=(0, 1))) / 2
        self._spread = middle, float(np.abs(self._places - middle).max()) or 1.0

    def _turn_up(self, axis: str) -> None:
        self._places = upright(self._stored, axis)
        self._measure()
        self.canvas.update()

    def _draw_sound(self) -> None:
        """Draw the waveform of the record on the time of the motion, if it has one."""
        record = self.record
        kinds = () if record is None else record.reply.values
        value = next((each for each in kinds if each.spec.kind is FieldKind.WAVEFORM and each.array >= 0), None)
        rate = None if record is None or value is None else record.companion(value.spec.name, "rate_hz")
        shown = rate is not None and rate.size > 0 and float(rate.ravel()[0]) > 0
        self.sound.setVisible(shown)
        item = self.sound.getPlotItem()
        item.clear()
        if not shown or record is None or value is None or rate is None:
            return
        wave = np.nan_to_num(np.asarray(record.array(value), np.float64)[0])
        step = value.step[-1] if value.step else 1
        at = np.arange(len(wave)) * step / float(rate.ravel()[0])
        item.plot(*thin(at, wave, SOUND_BUCKETS), pen=pg.mkPen(self.theme.categorical(0), width=1))
        self._sound_marker.setPen(pg.mkPen(self.theme.color("accent"), width=1, style=Qt.PenStyle.DashLine))
        item.addItem(self._sound_marker)

    def _draw_course(self) -> None:
        if not len(self._places) or self.value is None:
            return
        item = self.plot.getPlotItem()
        item.clear()
        for axis in range(3):
            pen = pg.mkPen(self.theme.categorical((6, 5, 0)[axis]), width=2)
            item.plot(self._times, self._stored[:, self.joint, axis], pen=pen)
        self._marker.setPen(pg.mkPen(self.theme.color("accent"), width=1, style=Qt.PenStyle.DashLine))
        item.addItem(self._marker)
        unit = self.value.spec.unit
        self.plot.setAccessibleName(f"x, y and z of {self._joint_name(self.joint)}{f' in {unit}' if unit else ''}")

    def _show_frame(self, frame: int) -> None:
        if frame < len(self._times):
            self._marker.setValue(float(self._times[frame]))
            self._sound_marker.setValue(float(self._times[frame]))
        self.canvas.update()

    # ── the skeleton ─────────────────────────────────────────────────────────────────────────────

    def _flat(self, places: Array, area: QRectF) -> Array:
        """Return places (…, 3) as they are seen, px (…, 2)."""
        middle, extent = self._spread
        centred = places - middle
        across = centred[..., 0] * math.cos(self._turn) - centred[..., 1] * math.sin(self._turn)
        scale = (min(area.width(), area.height()) / 2 - MARGIN_PX) / extent
        return np.stack([area.center().x() + across * scale, area.center().y() - centred[..., 2] * scale], axis=-1)

    def _draw(self, painter: QPainter, area: QRectF) -> None:
        painter.fillRect(area, self.theme.color("surface"))
        frame = self.play.frame
        if frame >= len(self._places):
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_floor(painter, area)
        flat = self._flat(self._places[frame], area)
        painter.setPen(QPen(self.theme.color("text2"), 3.0, c=Qt.PenCapStyle.RoundCap))
        for joint, parent in enumerate(self._parents):
            if 0 <= parent < len(flat):
                painter.drawLine(QPointF(*flat[joint]), QPointF(*flat[parent]))
        trail = self._flat(self._places[max(0, frame - TRAIL) : frame + 1, self.joint], area)
        painter.setPen(QPen(self.theme.color("accent", 0.6), 2.0))
        painter.drawPolyline([QPointF(*place) for place in trail])
        painter.setPen(Qt.PenStyle.NoPen)
        for joint, place in enumerate(flat):
            is_chosen = joint == self.joint
            painter.setBrush(self.theme.color("accent" if is_chosen else "text"))
            painter.drawEllipse(QPointF(*place), 6.0 if is_chosen else 3.5, 6.0 if is_chosen else 3.5)

    def _draw_floor(self, painter: QPainter, area: QRectF) -> None:
        low = self._places.min(axis=(0, 1))
        ends = self._flat(np.array([[self._spread[0][0], self._spread[0][1], low[2]]]), area)[0]
        painter.setPen(QPen(self.theme.color("line"), 1.0))
        painter.drawLine(QPointF(area.left() + MARGIN_PX, ends[1] + 8), QPointF(area.right() - MARGIN_PX, ends[1] + 8))

    def _near(self, point: QPointF) -> int:
        if self.play.frame >= len(self._places):
            return -1
        flat = self._flat(self._places[self.play.frame], QRectF(self.canvas.rect()))
        distance = np.hypot(flat[:, 0] - point.x(), flat[:, 1] - point.y())
        nearest = int(np.argmin(distance))
        return nearest if distance[nearest] <= NEAR_PX else -1

    def _take(self, point: QPointF) -> None:
        self._grip = point
        joint = self._near(point)
        if joint >= 0:
            self.joint = joint
            self._draw_course()
            self.plot.fit()
            self.canvas.update()

    def _drag(self, point: QPointF) -> None:
        if self._grip is not None:
            self._turn += (point.x() - self._grip.x()) * 0.01
            self._grip = point
            self.canvas.update()

    def _point(self, point: QPointF | None) -> None:
        joint = -1 if point is None else self._near(point)
        if joint < 0 or self.value is None:
            self.read_out.emit("")
            return
        place = ", ".join(numbers.number(float(each)) for each in self._stored[self.play.frame, joint])
        self.read_out.emit(f"{self._joint_name(joint)}: {place} {self.value.spec.unit}".strip())

    def _joint_name(self, joint: int) -> str:
        names = () if self.value is None else self.value.spec.channels
        return names[joint] if joint < len(names) and names[joint] else f"joint {joint}"

    def _key(self, event: QKeyEvent) -> bool:
        turn = {Qt.Key.Key_Left: -0.1, Qt.Key.Key_Right: 0.1}.get(Qt.Key(event.key()))
        if turn is None:
            return self.play.use_key(event.key())
        self._turn += turn
        self.canvas.update()
        return True


def upright_axis(places: Array) -> str:
    """Return "y" or "z": the axis along which the joints (T, J, 3) of a frame lie further apart; "z" if neither."""
    extents = np.ptp(places, axis=1).mean(axis=0)
    return "y" if extents[1] > extents[2] else "z"


def upright(places: Array, axis: str) -> Array:
    """Return places (…, 3) turned so that `axis` ("y" or "z") points along z; it stays a rotation."""
    if axis == "z":
        return places
    return np.stack([places[..., 0], -places[..., 2], places[..., 1]], axis=-1)
