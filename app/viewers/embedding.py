"""The embedding map: an own point layer, a legend with counts, zoom and pan, hover, and the line of stored steps."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetricsF, QImage, QKeyEvent, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers import points as layer
from app.viewers.base import Canvas, Viewer, compact, draw_text, step_text
from app.viewers.scrubber import Scrubber
from app.viewers.table_twin import Table
from app.widgets.numbers import count
from engine.protocol.inspections import Array, Embedding

LEGEND_WIDTH_PX = 230
HOVER_REACH_PX = 8.0
SETTLE_MS = 150
MOVING_POINTS = 200_000  # drawn while panning and zooming, evenly chosen; all of them as soon as the map rests
SMALL_MAP = 5_000  # up to so many points are drawn larger
NAMED_GROUPS = 12


class EmbeddingViewer(Viewer):
    """Shows `Embedding`s; drag pans, the wheel zooms, Home fits, a click selects a record."""

    projection_chosen = Signal(str)
    record_selected = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._window: layer.Window | None = None
        self._group: Array = np.empty(0, np.int64)
        self.groups: list[layer.Group] = []
        self.hidden: set[int] = set()
        self._image: QImage | None = None
        self._pixels: Array = np.empty((0, 2))
        self._painted: tuple[object, ...] = ()
        self._drag_from: QPointF | None = None
        self._settling = QTimer(self)  # runs while the map moves: fewer points are drawn until it rests
        self._settling.setSingleShot(True)
        self._settling.setInterval(SETTLE_MS)
        self.hovered: int | None = None
        self.selected_record: int | None = None
        self._legend_boxes: list[QRectF] = []
        self.projections, self._colours = QComboBox(), QComboBox()
        self.projections.setAccessibleName("Projection")
        self.projections.addItem("PCA", "PCA")
        self.projections.addItem("UMAP (compute)", "UMAP")
        self.projections.activated.connect(lambda index: self.projection_chosen.emit(self.projections.itemData(index)))
        self._colours.setAccessibleName("Colour by")
        for text, value in (("Colour: label", "label"), ("Colour: record", "record"), ("Colour: none", "none")):
            self._colours.addItem(text, value)
        compact(self.projections, 6)
        self._colours.activated.connect(self._regroup)
        self.scrubber = Scrubber(theme)
        self.canvas = Canvas(self._paint, QSize(180, 64))
        self.legend = Canvas(self._paint_legend, QSize(110, 48))
        self.legend.setMaximumWidth(LEGEND_WIDTH_PX)
        self.legend.setMinimumWidth(120)
        self.canvas.pressed.connect(self._press)
        self.canvas.dragged.connect(self._drag)
        self.canvas.released.connect(self._release)
        self.canvas.hovered.connect(self._hover)
        self._settling.timeout.connect(self.canvas.update)
        self.canvas.wheeled.connect(self._wheel)
        self.canvas.on_key = self._key
        self.legend.pressed.connect(self._press_legend)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(6)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self.canvas, 5)
        row.addWidget(self.legend, 2)
        column.addLayout(row, 1)
        column.addWidget(self.scrubber)
        self.set_body(body)

    def header_widgets(self) -> list[QWidget]:
        """Return the choices of projection and colour."""
        return [self.projections, self._colours]

    def qualifier(self) -> str:
        """Return projection, how many of how many, chosen how."""
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return ""
        return f"showing {count(len(shown.records))} of {count(shown.total)}, {shown.chosen}"

    def sentence(self) -> str:
        """Return what is shown as one sentence, with the variance that a PCA explains."""
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return ""
        text = f"{shown.projection} map of {step_text(shown.step)}, {self.qualifier()}"
        if len(shown.explained) >= 2:
            text += f", {sum(shown.explained[:2]) * 100:.0f} % of the variance"
        return text

    def table(self) -> Table:
        """Return a row for each point."""
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return (), ()
        names = [shown.classes[label] if 0 <= label < len(shown.classes) else "" for label in shown.labels.tolist()]
        rows = tuple(
            (count(record), name, f"{x:.4g}", f"{y:.4g}")
            for record, name, (x, y) in zip(shown.records.tolist(), names, shown.points.tolist(), strict=True)
        )
        return ("record", "label", "first axis", "second axis"), rows

    def set_projection_text(self, name: str, text: str) -> None:
        """Change what a projection's entry says, e.g. "UMAP (computing, 2 of 3 parts)"."""
        self.projections.setItemText(self.projections.findData(name), text)

    def fit(self) -> None:
        """Show all points."""
        self._window = None
        self.canvas.update()

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return
        index = self.projections.findData(shown.projection)
        if index >= 0:
            self.projections.setCurrentIndex(index)
        self._regroup()

    def _regroup(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return
        by = self._colours.currentData()
        if by == "label":
            self._group, self.groups = layer.group_labels(shown.labels, shown.classes)
        elif by == "record":
            order = np.argsort(np.argsort(shown.records))
            self._group = (order * 256 // max(len(order), 1)).astype(np.int64)
            self.groups = []
        else:
            self._group = np.zeros(len(shown.records), np.int64)
            self.groups = [layer.Group("records", len(shown.records), -1)]
        self._painted = ()
        self.canvas.update()
        self.legend.update()

    def _palette(self) -> Array:
        if not self.groups:
            return self.theme.colormap("order")
        colours = [self.theme.categorical(group.colour) for group in self.groups]
        if self._colours.currentData() == "none":
            colours = [self.theme.color("accent")]
        return np.array([(c.red(), c.green(), c.blue()) for c in colours], dtype=np.uint8)

    def _ensure_image(self, area: QRectF) -> QImage | None:
        shown = self.inspection
        ratio = self.canvas.devicePixelRatioF()
        width, height = int(area.width() * ratio), int(area.height() * ratio)
        if not isinstance(shown, Embedding) or width < 2 or height < 2:
            return None
        window = self._window or layer.Window.around(shown.points, width, height)
        every = max(1, len(shown.records) // MOVING_POINTS) if self._settling.isActive() else 1
        look = (frozenset(self.hidden), self.theme.dark, self._colours.currentData())
        state = (id(shown), window, width, height, every, *look)
        if state != self._painted or self._image is None:
            self._painted = state
            self._pixels = layer.to_pixels(shown.points, window, width, height)
            group = self._group
            if self.hidden:
                group = np.where(np.isin(group, list(self.hidden)), -1, group)
            few = len(shown.records) <= SMALL_MAP
            self._image = layer.paint_points(
                self._pixels[::every],
                group[::every],
                self._palette(),
                width=width,
                height=height,
                size=max(1, round((3 if few else 1) * ratio)),
                opacity=0.9 if few else 0.35,
            )
            self._image.setDevicePixelRatio(ratio)
        return self._image

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        theme = self.theme
        painter.fillRect(area, theme.color("sunken") if theme.dark else theme.color("surface"))
        image = self._ensure_image(area)
        if image is None:
            return
        painter.drawImage(area.topLeft(), image)
        self._paint_names(painter)
        self._paint_card(painter, area)

    def _paint_names(self, painter: QPainter) -> None:
        if self._colours.currentData() != "label" or len(self.groups) > NAMED_GROUPS:
            return
        theme = self.theme
        ratio = self.canvas.devicePixelRatioF()
        painter.setFont(theme.font("small"))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics = QFontMetricsF(painter.font())
        taken: list[QRectF] = []
        for number, group in enumerate(self.groups):
            members = self._pixels[self._group == number]
            if number in self.hidden or group.colour < 0 or len(members) == 0:
                continue
            x, y = np.nanmedian(members, axis=0) / ratio
            width = metrics.horizontalAdvance(group.name)
            box = QRectF(x - width / 2, y - metrics.height() / 2, width, metrics.height())
            if any(box.intersects(other) for other in taken):
                continue
            taken.append(box)
            path = QPainterPath()
            path.addText(QPointF(box.left(), box.top() + metrics.ascent()), painter.font(), group.name)
            halo = theme.color("sunken" if theme.dark else "surface")
            pen = QPen(halo, 3.0)
            pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
            painter.strokePath(path, pen)
            painter.fillPath(path, theme.color("text"))

    def _paint_card(self, painter: QPainter, area: QRectF) -> None:
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return
        theme = self.theme
        ratio = self.canvas.devicePixelRatioF()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        marks = [self.hovered]
        if self.selected_record is not None:
            marks += np.flatnonzero(shown.records == self.selected_record)[:1].tolist()
        for mark in marks:
            if mark is None or mark >= len(self._pixels):
                continue
            centre = QPointF(*(self._pixels[mark] / ratio))
            for colour, width in ((theme.color("surface"), 4.0), (theme.color("text"), 1.5)):
                painter.setPen(QPen(colour, width))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawEllipse(centre, 5.0, 5.0)
        if self.hovered is None or self.hovered >= len(self._pixels):
            return
        record, label = int(shown.records[self.hovered]), int(shown.labels[self.hovered])
        name = shown.classes[label] if 0 <= label < len(shown.classes) else "no label"
        picture = self.pictures.get(record)
        box = QRectF(0, 0, 190 if picture is not None else 130, 64 if picture is not None else 44)
        at = QPointF(*(self._pixels[self.hovered] / ratio)) + QPointF(12, 8)
        box.moveTo(min(at.x(), area.right() - box.width()), min(at.y(), area.bottom() - box.height()))
        painter.setPen(QPen(theme.color("line"), 1.0))
        painter.setBrush(theme.color("raised"))
        painter.drawRoundedRect(box, 4, 4)
        left = box.left() + 8
        if picture is not None:
            painter.drawImage(QRectF(left, box.top() + 8, 48, 48), picture)
            left += 56
        painter.setFont(theme.font("title"))
        y = box.top() + 5
        y += draw_text(painter, QRectF(left, y, box.right() - left - 6, 20), name, theme.color("text"))
        painter.setFont(theme.font("small"))
        draw_text(painter, QRectF(left, y, box.right() - left - 6, 20), f"record {count(record)}", theme.color("text2"))

    def _paint_legend(self, painter: QPainter, area: QRectF) -> None:
        theme = self.theme
        painter.setFont(theme.font("small"))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        quiet = theme.color("text2")
        if not self.groups:
            draw_text(painter, area, "colour: record number, first to last", quiet)
            return
        draw_text(painter, area, "label" if self._colours.currentData() == "label" else "", quiet)
        draw_text(painter, area, "shown", quiet, align=Qt.AlignmentFlag.AlignRight)
        height = 20.0
        rows = max(1, int((area.height() - 20) // height))
        wide = area.width() > 200 and len(self.groups) > 5
        columns = 2 if wide or len(self.groups) > rows else 1
        per_column = -(-len(self.groups) // columns)
        width = (area.width() - 12 * (columns - 1)) / columns
        self._legend_boxes = []
        for number, group in enumerate(self.groups):
            x = area.left() + (number // per_column) * (width + 12)
            box = QRectF(x, area.top() + 20 + (number % per_column) * height, width, height)
            self._legend_boxes.append(box)
            is_hidden = number in self.hidden
            painter.setPen(QPen(theme.color("control") if is_hidden else theme.categorical(group.colour), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush if is_hidden else theme.categorical(group.colour))
            painter.drawEllipse(QPointF(box.left() + 5, box.center().y()), 4.0, 4.0)
            shown = count(group.count)
            reserved = QFontMetricsF(painter.font()).horizontalAdvance(shown) + 6
            ink = theme.color("text3" if is_hidden else "text")
            draw_text(painter, QRectF(box.left() + 16, box.top() + 2, width - 16 - reserved, 18), group.name, ink)
            draw_text(painter, box.translated(0, 2), shown, quiet, align=Qt.AlignmentFlag.AlignRight)

    # ── pointer and keys ─────────────────────────────────────────────────────────────────────────

    def _size(self) -> tuple[int, int, float]:
        ratio = self.canvas.devicePixelRatioF()
        return int(self.canvas.width() * ratio), int(self.canvas.height() * ratio), ratio

    def _current_window(self) -> layer.Window:
        width, height, _ = self._size()
        assert isinstance(self.inspection, Embedding)
        return self._window or layer.Window.around(self.inspection.points, width, height)

    def _wheel(self, at: QPointF, notches: float) -> None:
        if self.inspection is None:
            return
        width, height, ratio = self._size()
        window = self._current_window()
        x, y = layer.from_pixel(at.x() * ratio, at.y() * ratio, window, width, height)
        self._window = window.zoomed(1.2**notches, x, y)
        self._settling.start()
        self.canvas.update()

    def _press(self, at: QPointF) -> None:
        self._drag_from = at

    def _drag(self, at: QPointF) -> None:
        if self._drag_from is None or self.inspection is None:
            return
        _, height, ratio = self._size()
        window = self._current_window()
        scale = 2 * window.half / height * ratio
        moved = at - self._drag_from
        self._window = layer.Window(window.x - moved.x() * scale, window.y + moved.y() * scale, window.half)
        self._drag_from = at
        self._settling.start()
        self.hovered = None
        self.canvas.update()

    def _release(self, at: QPointF) -> None:
        self._drag_from = None
        shown = self.inspection
        _, _, ratio = self._size()
        near = layer.nearest(self._pixels, at.x() * ratio, at.y() * ratio, HOVER_REACH_PX * ratio)
        if isinstance(shown, Embedding) and near is not None and near == self.hovered:
            self.select_record(int(shown.records[near]))

    def select_record(self, record: int | None) -> None:
        """Mark a record on the map."""
        self.selected_record = record
        self.canvas.update()
        if record is not None:
            self.record_selected.emit(record)

    def _hover(self, at: QPointF | None) -> None:
        _, _, ratio = self._size()
        found = None
        if at is not None:
            found = layer.nearest(self._pixels, at.x() * ratio, at.y() * ratio, HOVER_REACH_PX * ratio)
        if found != self.hovered:
            self.hovered = found
            shown = self.inspection
            if isinstance(shown, Embedding) and found is not None:
                self.want_pictures([int(shown.records[found])])
            self.canvas.update()

    def _press_legend(self, at: QPointF) -> None:
        for number, box in enumerate(self._legend_boxes):
            if box.contains(at):
                self.hidden ^= {number}
                self.canvas.update()
                self.legend.update()

    def _key(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Home:
            self.fit()
        elif event.key() == Qt.Key.Key_Escape and self.selected_record is not None:
            self.select_record(None)
        elif event.key() == Qt.Key.Key_Space:
            self.scrubber.toggle_play()
        elif event.key() in {Qt.Key.Key_Comma, Qt.Key.Key_Period}:
            self.scrubber.step_by(1 if event.key() == Qt.Key.Key_Period else -1)
        else:
            return False
        return True

    def _redress(self) -> None:
        super()._redress()
        self._painted = ()
