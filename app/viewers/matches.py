"""Correspondences between two pictures as lines, best first."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize
from PySide6.QtGui import QColor, QFontMetricsF, QImage, QPainter, QPen
from PySide6.QtWidgets import QComboBox, QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import PADDING_PX, Canvas, Viewer, draw_text
from app.viewers.table_twin import Table
from app.widgets.numbers import count, number
from engine.protocol.inspections import Array, Matches

GAP_PX = 24
AMOUNTS = (10, 25, 50, 100, 200)
NEAR_PX = 12.0
DOT_PX = 3.0


class MatchesViewer(Viewer):
    """Lines coloured by score. Pointing at an end lights its line, a click pins it; X, held, hides the lines."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.lit = -1  # the match under the pointer
        self.pinned = -1
        self._order: Array = np.zeros(0, np.int64)  # matches, best first
        self._colours: list[QColor] = []
        self._images: tuple[QImage, QImage] | None = None
        self._amounts = QComboBox()
        self._amounts.setAccessibleName("How many matches")
        for amount in AMOUNTS:
            self._amounts.addItem(f"{amount} best", amount)
        self._amounts.setCurrentIndex(2)
        self._amounts.activated.connect(lambda _row: self._render())
        self.canvas = Canvas(self._paint, QSize(300, 140))
        self.canvas.hovered.connect(self._hover)
        self.canvas.pressed.connect(self._press)
        self.set_body(self.canvas)

    def header_widgets(self) -> list[QWidget]:
        """Return the choice of how many."""
        return [self._amounts]

    def qualifier(self) -> str:
        """Return step and how many of how many are drawn."""
        shown = self.inspection
        if not isinstance(shown, Matches):
            return ""
        return f"{super().qualifier()}, {count(len(self._order))} of {count(len(shown.scores))} matches"

    def table(self) -> Table:
        """Return a row for each match that is drawn, best first."""
        shown = self.inspection
        if not isinstance(shown, Matches):
            return (), ()
        rows = tuple(
            (
                *(f"{float(each):.1f}" for each in (*shown.from_px[at], *shown.to_px[at])),
                number(float(shown.scores[at])),
            )
            for at in self._order
        )
        return ("left x, px", "left y, px", "right x, px", "right y, px", "score"), rows

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Matches):
            return
        scores = np.asarray(shown.scores, np.float64)
        finite = np.flatnonzero(np.isfinite(scores))
        ranked = finite[np.argsort(-scores[finite], kind="stable")]
        self._order = ranked[: int(self._amounts.currentData())]
        kept = scores[self._order]
        low, high = (float(kept.min()), float(kept.max())) if kept.size else (0.0, 1.0)
        rgb = painting.mapped(kept[None], self.theme.colormap("scalar"), low, high)[0]
        self._colours = [QColor(*(int(part) for part in row)) for row in rgb]
        self._images = painting.to_image(shown.left), painting.to_image(shown.right)
        self.lit = self.pinned = -1
        self.canvas.update()

    def boxes(self, area: QRectF) -> tuple[QRectF, QRectF]:
        """Return where the two pictures are drawn."""
        assert self._images is not None
        line = QFontMetricsF(self.theme.font("small")).lineSpacing()
        left, right = self._images
        height = area.height() - 2 * PADDING_PX - line - 8
        width = (area.width() - 2 * PADDING_PX - GAP_PX) / 2
        ratio = self.devicePixelRatioF()
        sizes = [painting.fit(image.size(), width, height, ratio)[:2] for image in (left, right)]
        start = area.left() + max(PADDING_PX, (area.width() - sizes[0][0] - sizes[1][0] - GAP_PX) / 2)
        first = QRectF(round(start), area.top() + PADDING_PX, *sizes[0])
        return first, QRectF(round(first.right() + GAP_PX), area.top() + PADDING_PX, *sizes[1])

    def ends(self, match: int, area: QRectF) -> QLineF:
        """Return the line of a match on the canvas."""
        shown = self.inspection
        assert isinstance(shown, Matches)
        first, second = self.boxes(area)
        points = []
        for box, picture, place in (
            (first, shown.left, shown.from_px[match]),
            (second, shown.right, shown.to_px[match]),
        ):
            x = box.left() + (float(place[0]) + 0.5) * box.width() / picture.shape[-1]
            y = box.top() + (float(place[1]) + 0.5) * box.height() / picture.shape[-2]
            points.append(QPointF(x, y))
        return QLineF(*points)

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        shown = self.inspection
        if not isinstance(shown, Matches) or self._images is None:
            return
        theme = self.theme
        for box, image in zip(self.boxes(area), self._images, strict=True):
            painter.fillRect(box, theme.color("mat"))
            painting.draw_picture(painter, box, image)
        chosen = self.lit if self.lit >= 0 else self.pinned
        if not self.canvas.overlay_off:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            for place in reversed(range(len(self._order))):  # the best on top
                self._draw(painter, self.ends(int(self._order[place]), area), self._colours[place], chosen, place)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)  # noqa: FBT003
        self._paint_foot(painter, area, shown, chosen)

    def _draw(self, painter: QPainter, line: QLineF, colour: QColor, chosen: int, place: int) -> None:
        is_chosen = place == chosen
        faded = QColor(colour)
        faded.setAlphaF(1.0 if is_chosen else 0.25 if chosen >= 0 else 0.8)
        painter.setPen(QPen(faded, 3.0 if is_chosen else 1.3))
        painter.drawLine(line)
        painter.setBrush(faded)
        for end in (line.p1(), line.p2()):
            painter.drawEllipse(end, DOT_PX, DOT_PX)

    def _paint_foot(self, painter: QPainter, area: QRectF, shown: Matches, chosen: int) -> None:
        theme = self.theme
        painter.setFont(theme.font("small"))
        metrics = QFontMetricsF(painter.font())
        y = area.bottom() - PADDING_PX - metrics.lineSpacing() + 4
        scores = np.asarray(shown.scores, np.float64)[self._order]
        low, high = (number(float(end(scores))) for end in (np.min, np.max)) if len(scores) else ("", "")
        right = area.right() - PADDING_PX - metrics.horizontalAdvance(high)
        draw_text(painter, QRectF(right, y, 80, 20), high, theme.color("text2"))
        painting.draw_colour_bar(
            painter, QRectF(right - 76, y + metrics.lineSpacing() / 2 - 4, 70, 8), theme.colormap("scalar")
        )
        start = right - 82 - metrics.horizontalAdvance(low)
        draw_text(painter, QRectF(start, y, 80, 20), low, theme.color("text2"))
        if chosen >= 0:
            match = int(self._order[chosen])
            (x, top), (u, v) = shown.from_px[match], shown.to_px[match]
            text = f"{x:.0f}, {top:.0f} → {u:.0f}, {v:.0f}: {number(float(shown.scores[match]))}"
        else:
            text = shown.note or "Point at an end to see its partner; a click keeps it."
        room = QRectF(area.left() + PADDING_PX, y, start - area.left() - PADDING_PX - 12, 20)
        draw_text(painter, room, text, theme.color("text2"))

    def match_at(self, point: QPointF) -> int:
        """Return the place in the ranking of the match whose end is nearest to a point, -1 if none is near."""
        area = QRectF(self.canvas.rect())
        best, found = NEAR_PX, -1
        for place, match in enumerate(self._order):
            line = self.ends(int(match), area)
            near = min(QLineF(point, end).length() for end in (line.p1(), line.p2()))
            if near < best:
                best, found = near, place
        return found

    def _hover(self, point: QPointF | None) -> None:
        lit = -1 if point is None or not isinstance(self.inspection, Matches) else self.match_at(point)
        if lit != self.lit:
            self.lit = lit
            self.canvas.update()

    def _press(self, point: QPointF) -> None:
        if isinstance(self.inspection, Matches):
            found = self.match_at(point)
            self.pinned = -1 if found == self.pinned else found
            self.canvas.update()

    def _redress(self) -> None:
        super()._redress()
        self._render()
