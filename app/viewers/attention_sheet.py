"""How attention is drawn: input with the query, one head over it, all heads, and what the numbers say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainter, QPen

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import PADDING_PX, draw_text
from app.viewers.mass import draw_outline, mass_cells
from app.widgets.numbers import count
from engine.protocol.inspections import Array, Attention

GAP_PX = 10
TALL = 0.62  # height / width from which on the heads lie below the picture
FACTS_WIDTH_PX = 104
MEAN_OF_HEADS = -1


@dataclass(frozen=True, slots=True)
class Drawn:
    """What of an attention is shown."""

    inspection: Attention
    row: int  # which of its records
    head: int  # or the mean of all
    cell: tuple[int, int] | None  # the query in the slice that is shown
    query: tuple[int, ...] | None  # the query on the whole grid
    places: tuple[float, ...] = ()  # where along the axes before the last two, 0…1
    opacity: float = painting.HEAT_OPACITY
    mass: float = 0.0  # share inside of the outline; 0 = no outline

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens in a slice."""
        grid = self.inspection.grid
        return (grid[-2], grid[-1]) if len(grid) > 1 else (1, grid[0])

    def whole(self, head: int | None = None) -> Array:
        """Return the weights on the whole grid, of a head or of what is chosen."""
        head = self.head if head is None else head
        weights = self.inspection.weights[self.row]
        flat = weights.mean(axis=0) if head == MEAN_OF_HEADS else weights[head]
        return np.asarray(flat).reshape(self.inspection.grid)

    def weights(self, head: int | None = None) -> Array:
        """Return the weights (h, w) in the slice."""
        return painting.flat_grid(self.whole(head), self.places)

    def inside(self) -> Array:
        """Return the cells (h, w) of the slice that belong to those that hold `mass` of the whole."""
        return painting.flat_grid(mass_cells(self.whole(), self.mass), self.places)

    def query_text(self) -> str:
        """Return where the query is."""
        if self.query is None:
            return "class token"
        axes = (self.inspection.axes or "DHW")[-len(self.query) :]
        names = {"H": "row", "W": "col", "D": "slice", "T": "frame"}
        if len(self.query) == 1:
            return f"token {self.query[0]}"
        return ", ".join(f"{names.get(axis, axis)} {at}" for axis, at in zip(axes, self.query, strict=False))


class Sheet:
    """Draws one `Drawn` at a time; the pictures are made once for it."""

    def __init__(self, theme: Theme) -> None:
        self.theme = theme
        self.shown: Drawn | None = None
        self.heads: list[QRectF] = []
        self.is_tall = False
        self.ratio = 1.0
        self._high = 1.0
        self._images: tuple[QImage, QImage, list[QImage]] | None = None

    def take(self, shown: Drawn) -> None:
        """Make the pictures."""
        self.shown = shown
        inspection = shown.inspection
        picture = painting.flat_picture(inspection.input[shown.row], shown.places)
        colours = self.theme.colormap("attention")
        self._high = max(float(shown.whole().max()), 1e-9)
        heads = []
        for head in range(inspection.heads if inspection.heads > 1 else 0):
            weights = shown.weights(head)
            heads.append(painting.heat_over(picture, weights, colours, max(float(shown.whole(head).max()), 1e-9)))
        over = painting.heat_over(picture, shown.weights(), colours, self._high, shown.opacity)
        self._images = (painting.to_image(picture), over, heads)

    def layout(self, area: QRectF) -> tuple[QRectF, QRectF]:
        """Return the boxes of the input and of the blend; sets the boxes of the heads."""
        assert self._images is not None
        line = QFontMetricsF(self.theme.font("small")).lineSpacing()
        top, bottom = area.top() + PADDING_PX + line + 4, area.bottom() - PADDING_PX - line - 6
        facts = FACTS_WIDTH_PX if area.width() > 480 else 0
        self.is_tall = bool(self._images[2]) and area.height() > TALL * area.width()
        columns = 3.4 if self._images[2] and not self.is_tall else 2.0
        width = (area.width() - 2 * PADDING_PX - facts - 3 * GAP_PX) / columns
        height = (bottom - top) * (0.6 if self.is_tall else 1.0)
        w, h, _ = painting.fit(self._images[0].size(), width, height, self.ratio)
        first = QRectF(round(area.left() + PADDING_PX), round(top), w, h)
        second = first.translated(w + GAP_PX, 0)
        left = second.right() + GAP_PX
        room = QRectF(left, top, area.right() - PADDING_PX - facts - left, bottom - top)
        if self.is_tall:
            under = first.bottom() + 2 * GAP_PX + line
            room = QRectF(first.left(), under, area.width() - 2 * PADDING_PX, bottom - under)
        self.heads = self._place_heads(room, room.height() if self.is_tall else h)
        return first, second

    def _place_heads(self, room: QRectF, height: float) -> list[QRectF]:
        assert self._images is not None
        heads = len(self._images[2])
        aspect = self._images[0].width() / max(self._images[0].height(), 1)
        best, columns = 0.0, 1
        for wanted in range(1, heads + 1):
            rows = -(-heads // wanted)
            size = min((room.width() - 4 * (wanted - 1)) / wanted / aspect, (height - 4 * (rows - 1)) / rows)
            if size > best + 0.5:
                best, columns = size, wanted
        if best < 8:
            return []
        side_w, side_h = round(best * aspect), round(best)
        return [
            QRectF(
                round(room.left()) + (number % columns) * (side_w + 4),
                round(room.top()) + (number // columns) * (side_h + 4),
                side_w,
                side_h,
            )
            for number in range(heads)
        ]

    def paint(self, painter: QPainter, area: QRectF, *, overlay_off: bool, under_pointer: str) -> None:
        """Draw; `under_pointer` takes the place of the sentence at the bottom."""
        shown = self.shown
        if shown is None or self._images is None:
            return
        theme = self.theme
        first, second = self.layout(area)
        painter.setFont(theme.font("small"))
        heads_width = max((box.right() for box in self.heads), default=second.right()) - second.right() - GAP_PX
        for left, width, title in (
            (first.left(), first.width(), "input, click a patch"),
            (second.left(), second.width(), _way_text(shown)),
            (second.right() + GAP_PX, 0 if self.is_tall else heads_width, "all heads" if self.heads else ""),
        ):
            head = QRectF(left, area.top() + PADDING_PX - 2, max(width, 0), 20)
            draw_text(painter, head, title, theme.color("text2"), align=Qt.AlignmentFlag.AlignHCenter)
        over = self._images[0] if overlay_off else self._images[1]
        for place, image in ((first, self._images[0]), (second, over)):
            painter.fillRect(place, theme.color("mat"))
            painting.draw_picture(painter, place, image)
        if shown.mass > 0 and not overlay_off:
            draw_outline(painter, second, shown.inside())
        if shown.cell is not None:
            for place in (first, second):
                painting.draw_selected_cell(painter, place, shown.grid, shown.cell)
        for number, (place, image) in enumerate(zip(self.heads, self._images[2], strict=False)):
            painting.draw_picture(painter, place, image)
            if number == shown.head:
                painter.setPen(QPen(theme.color("accent"), 3.0))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(place)
        beside = [] if self.is_tall else self.heads
        right = max((box.right() for box in beside), default=second.right())
        if self.is_tall and self.heads:
            line = QFontMetricsF(painter.font()).lineSpacing()
            above = QRectF(first.left(), self.heads[0].top() - line - 4, 200, line)
            draw_text(painter, above, "all heads", theme.color("text2"))
        self._paint_facts(painter, shown, QRectF(right + 12, first.top(), 0, first.height()), area)
        self._paint_foot(painter, shown, area, under_pointer)

    def _paint_facts(self, painter: QPainter, shown: Drawn, place: QRectF, area: QRectF) -> None:
        width = area.right() - PADDING_PX - place.left()
        if width < 70:
            return
        whole = shown.whole()
        facts = [
            ("query", shown.query_text()),
            ("entropy", f"{painting.entropy_bits(whole.ravel()):.1f} of {np.log2(whole.size):.1f} bit"),
        ]
        if shown.query is not None:
            facts.append(("mean distance", distance_text(shown)))
        if shown.mass > 0:
            inside = int(mass_cells(whole, shown.mass).sum())
            facts.append((f"{shown.mass * 100:.0f} % lie in", f"{count(inside)} of {count(whole.size)}"))
        painter.setFont(self.theme.font("small"))
        y = place.top()
        line = QFontMetricsF(painter.font()).lineSpacing()
        foot = area.bottom() - 2 * PADDING_PX - line
        for name, value in facts:
            if y + 2 * line > foot:
                break
            for text, token in ((name, "text2"), (value, "text")):
                y += draw_text(painter, QRectF(place.left(), y, width, 20), text, self.theme.color(token)) + 1
            y += 6

    def _paint_foot(self, painter: QPainter, shown: Drawn, area: QRectF, under_pointer: str) -> None:
        theme, inspection = self.theme, shown.inspection
        painter.setFont(theme.font("small"))
        metrics = QFontMetricsF(painter.font())
        y = area.bottom() - PADDING_PX - metrics.lineSpacing() + 4
        patches = int(np.prod(inspection.grid))
        prefix = inspection.prefix[shown.row]
        rest = float(prefix.mean() if shown.head == MEAN_OF_HEADS else prefix[shown.head])
        about = f"Sum over {count(patches)} patches is {(1 - rest) * 100:.0f} %"
        if rest > 0.005:
            about += f"; {rest * 100:.0f} % goes to class and register tokens"
        high = f"{self._high * 100:.1f} % per patch"
        right = area.right() - PADDING_PX - metrics.horizontalAdvance(high)
        draw_text(painter, QRectF(right, y, 160, 20), high, theme.color("text2"))
        bar = QRectF(right - 76, y + metrics.lineSpacing() / 2 - 4, 70, 8)
        painting.draw_colour_bar(painter, bar, theme.colormap("attention"))
        low = bar.left() - 6 - metrics.horizontalAdvance("0")
        draw_text(painter, QRectF(low, y, 20, 20), "0", theme.color("text2"))
        room = QRectF(area.left() + PADDING_PX, y, low - area.left() - PADDING_PX - 12, 20)
        draw_text(painter, room, under_pointer or about, theme.color("text2"))


def _way_text(shown: Drawn) -> str:
    if shown.inspection.way == "rollout":
        return f"rollout, layers 0 to {shown.inspection.layer}"
    head = "mean of heads" if shown.head == MEAN_OF_HEADS else f"head {shown.head}"
    return f"layer {shown.inspection.layer}, {head}"


def distance_text(shown: Drawn) -> str:
    """Return the mean distance from the query, weighted by attention, in the unit that all axes of space share."""
    inspection, whole = shown.inspection, shown.whole()
    assert shown.query is not None
    axes = (inspection.axes or "DHW")[-whole.ndim :]
    space = [axis for axis, letter in enumerate(axes) if letter != "T"]
    steps, units = inspection.steps or (1.0,) * whole.ndim, inspection.units or ("",) * whole.ndim
    shared = {units[axis] for axis in space}
    if not space or len(shared) != 1:
        return "axes differ"
    total, squared = float(whole.sum()), np.zeros(whole.shape)
    for axis in space:
        cell = inspection.input.shape[2 + axis] / whole.shape[axis] * steps[axis]
        along: Any = (np.arange(whole.shape[axis]) - shown.query[axis]) * cell
        squared = squared + along.reshape([-1 if each == axis else 1 for each in range(whole.ndim)]) ** 2
    unit = shared.pop() or "px"
    return f"{float((np.sqrt(squared) * whole).sum()) / max(total, 1e-12):.0f} {unit}"
