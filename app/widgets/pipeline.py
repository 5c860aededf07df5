"""A method's figure: boxes by role, arrows, data as small pictures. Painted, never a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPainterPath, QPen, QPolygonF

from app.theme import Theme
from engine.protocol.messages import PipelineEdge, PipelineNode

ROLES: Final = {"encoder": 0, "decoder": 1, "target": 2, "predictor": 3, "loss": 4, "other": 7}
BOX_HEIGHT: Final = 24.0
TALL_BOX: Final = 34.0  # with two lines
ONE_LINE: Final = 52.0  # what is wider becomes two lines, if it has a space
PICTURE: Final = 40.0
GAP: Final = 16.0
SMALLEST_GAP: Final = 9.0


class Figure:
    """The places of nodes in a rectangle."""

    def __init__(self, nodes: Sequence[PipelineNode], rect: QRectF, theme: Theme) -> None:
        self.nodes = nodes
        self.font = theme.font("tick")
        self._metrics = QFontMetricsF(self.font)
        self._picture = min(PICTURE, rect.height() / max(1, self._stacked()) - 4)
        self.boxes = self._place(rect)

    def _stacked(self) -> int:
        columns: dict[float, int] = {}
        for node in self.nodes:
            if node.role == "data":
                columns[node.column] = columns.get(node.column, 0) + 1
        return max(columns.values(), default=1)

    def _width(self, node: PipelineNode) -> float:
        if node.role == "data":
            return self._picture
        return max(self._metrics.horizontalAdvance(line) for line in lines_of(node.text, self._metrics)) + 14

    def _height(self, node: PipelineNode) -> float:
        if node.role == "data":
            return self._picture
        return TALL_BOX if len(lines_of(node.text, self._metrics)) > 1 else BOX_HEIGHT

    def _place(self, rect: QRectF) -> dict[str, QRectF]:
        columns = sorted({node.column for node in self.nodes})
        rows = sorted({node.row for node in self.nodes})
        if not columns:
            return {}
        widths = {at: max(self._width(node) for node in self.nodes if node.column == at) for at in columns}
        natural, gaps = sum(widths.values()), max(1, len(columns) - 1)
        gap = min(GAP * 1.5, max(SMALLEST_GAP, (rect.width() - natural) / gaps))
        room = rect.width() - gap * (len(columns) - 1)
        shrink = min(1.0, room / natural) if natural else 1.0
        used = natural * shrink + gap * (len(columns) - 1)
        left, lefts = rect.left() + (rect.width() - used) / 2, {}
        for at in columns:
            lefts[at] = left
            left += widths[at] * shrink + gap
        span = (rows[-1] - rows[0]) or 1.0
        tallest = max(self._height(node) for node in self.nodes)
        height = max(0.0, min(rect.height() - tallest, 40.0 * span)) if len(rows) > 1 else 0.0
        boxes = {}
        for node in self.nodes:
            centre = rect.center().y() + ((node.row - rows[0]) / span - 0.5) * height if height else rect.center().y()
            size = self._height(node)
            width = min(self._width(node), widths[node.column]) * shrink
            width = min(width, self._picture) if node.role == "data" else width
            x = lefts[node.column] + (widths[node.column] * shrink - width) / 2
            boxes[node.id] = QRectF(x, centre - size / 2, width, size)
        return boxes


def lines_of(text: str, metrics: QFontMetricsF) -> tuple[str, ...]:
    """Return a node's text in one line, or in the two that are narrowest together."""
    words = text.split()
    if len(words) < 2 or metrics.horizontalAdvance(text) <= ONE_LINE:
        return (text,)
    splits = [(" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words))]
    return min(splits, key=lambda lines: max(metrics.horizontalAdvance(line) for line in lines))


def paint_pipeline(
    painter: QPainter,
    rect: QRectF,
    nodes: Sequence[PipelineNode],
    edges: Sequence[PipelineEdge],
    theme: Theme,
    kind: str = "image",
) -> None:
    """Paint the figure into `rect`. `kind` is the kind of field that its data boxes show."""
    figure = Figure(nodes, rect, theme)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for edge in edges:
        source, target = figure.boxes.get(edge.source), figure.boxes.get(edge.target)
        if source is not None and target is not None:
            others = [box for name, box in figure.boxes.items() if name not in {edge.source, edge.target}]
            _paint_edge(painter, source, target, others, theme, dashed=edge.dashed)
    painter.setFont(figure.font)
    for number, node in enumerate(nodes):
        box = figure.boxes[node.id]
        if node.role == "data":
            paint_data(painter, box, theme, kind, node.text, number)
        else:
            _paint_box(painter, box, node, theme)
    painter.restore()


def _paint_box(painter: QPainter, box: QRectF, node: PipelineNode, theme: Theme) -> None:
    colour = theme.categorical(ROLES[node.role])
    soft = QColor(colour)
    soft.setAlphaF(0.16)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.color("surface"))
    painter.drawRoundedRect(box, 4, 4)
    painter.setPen(QPen(colour, 1.5))
    painter.setBrush(soft)
    painter.drawRoundedRect(box, 4, 4)
    painter.setPen(theme.color("text"))
    metrics = QFontMetricsF(painter.font())
    lines = lines_of(node.text, metrics)
    shown = "\n".join(metrics.elidedText(line, Qt.TextElideMode.ElideRight, box.width() - 4) for line in lines)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, shown)


def _paint_edge(
    painter: QPainter, source: QRectF, target: QRectF, others: Sequence[QRectF], theme: Theme, *, dashed: bool
) -> None:
    start, end = _anchors(source, target)
    painter.setPen(QPen(theme.color("text3"), 1.3, Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    line = QLineF(start, end)
    middle = line.center()
    crossed = [box for box in others if _crosses(line, box.adjusted(-1, -1, 1, 1))]
    if crossed:
        above = min(box.top() for box in [*crossed, source, target]) - 7
        start, end = QPointF(source.center().x(), source.top()), QPointF(target.center().x(), target.top())
        path = QPainterPath(start)
        path.cubicTo(QPointF(start.x(), above - 6), QPointF(end.x(), above - 6), end)
        painter.drawPath(path)
        direction = QLineF(QPointF(end.x(), end.y() - 10), end)
    else:
        painter.drawLine(line)
        direction = QLineF(middle, end)
    _paint_head(painter, direction, theme.color("text3"))


def _anchors(source: QRectF, target: QRectF) -> tuple[QPointF, QPointF]:
    if target.left() >= source.right():
        return QPointF(source.right() + 1, source.center().y()), QPointF(target.left() - 1, target.center().y())
    if target.right() <= source.left():
        return QPointF(source.left() - 1, source.center().y()), QPointF(target.right() + 1, target.center().y())
    if target.top() >= source.bottom():
        return QPointF(source.center().x(), source.bottom() + 1), QPointF(target.center().x(), target.top() - 1)
    return QPointF(source.center().x(), source.top() - 1), QPointF(target.center().x(), target.bottom() + 1)


def _crosses(line: QLineF, box: QRectF) -> bool:
    """Whether a part of the line lies in the box (Liang and Barsky's clipping)."""
    first, last = 0.0, 1.0
    for start, way, low, high in (
        (line.x1(), line.dx(), box.left(), box.right()),
        (line.y1(), line.dy(), box.top(), box.bottom()),
    ):
        if way == 0:
            if not low < start < high:
                return False
            continue
        enter, leave = sorted(((low - start) / way, (high - start) / way))
        first, last = max(first, enter), min(last, leave)
    return first < last


def _paint_head(painter: QPainter, direction: QLineF, colour: QColor) -> None:
    if direction.length() < 1:
        return
    unit = direction.unitVector()
    dx, dy, tip = unit.dx(), unit.dy(), direction.p2()
    back = QPointF(tip.x() - 6 * dx, tip.y() - 6 * dy)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawPolygon(
        QPolygonF([tip, QPointF(back.x() - 3 * dy, back.y() + 3 * dx), QPointF(back.x() + 3 * dy, back.y() - 3 * dx)])
    )


# ── data boxes ───────────────────────────────────────────────────────────────────────────────────────

_HIDDEN_WORDS: Final = ("mask", "visible", "corrupt")
_HIDDEN: Final = frozenset({1, 2, 4, 7, 8, 9, 11, 14})


def paint_data(painter: QPainter, box: QRectF, theme: Theme, kind: str, text: str, number: int) -> None:
    """Paint a small picture of one record; patches are hatched where the text says that some are hidden."""
    hides = any(word in text.casefold() for word in _HIDDEN_WORDS)
    if kind in {"points", "bag"}:
        _paint_points(painter, box, theme, hides=hides)
    elif kind in {"text", "waveform", "motion"}:
        _paint_lines(painter, box, theme, kind)
    elif kind in {"clip", "cine", "volume", "grid", "views"}:
        side = min(box.width(), box.height()) * 0.78
        for layer in (2, 1, 0):
            shift = layer * (min(box.width(), box.height()) - side) / 2
            place = QRectF(box.left() + shift, box.bottom() - side - shift, side, side)
            _paint_patches(painter, place, theme, number, hides=hides and layer == 0, grey=kind in {"volume", "cine"})
    else:
        side = min(box.width(), box.height())
        place = QRectF(box.center().x() - side / 2, box.center().y() - side / 2, side, side)
        _paint_patches(painter, place, theme, number, hides=hides)


def _paint_patches(
    painter: QPainter, box: QRectF, theme: Theme, number: int, *, hides: bool, grey: bool = False
) -> None:
    table = theme.colormap("intensity" if grey else "density")
    side = box.width() / 4
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
    for place in range(16):
        row, column = divmod(place, 4)
        patch = QRectF(box.left() + column * side, box.top() + row * side, side + 0.5, side + 0.5)
        if hides and place in _HIDDEN:
            painter.fillRect(patch, theme.color("sunken"))
            _hatch(painter, patch, theme)
        else:
            wave = (3 * row + 5 * column + 4 * number + (row * column) % 3 * 2) % 14
            red, green, blue = (int(value) for value in table[30 + wave * 15])
            painter.fillRect(patch, QColor(red, green, blue))
    painter.setPen(QPen(theme.color("line"), 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(box)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)


def _hatch(painter: QPainter, patch: QRectF, theme: Theme) -> None:
    painter.save()
    painter.setClipRect(patch)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(theme.color("control"), 1))
    shift = -patch.height()
    while shift < patch.width():
        start = QPointF(patch.left() + shift, patch.bottom())
        painter.drawLine(start, QPointF(start.x() + patch.height(), patch.top()))
        shift += 5
    painter.restore()


def _paint_points(painter: QPainter, box: QRectF, theme: Theme, *, hides: bool) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    for place in range(48):
        x, y = (place * 0.618) % 1, (place * 0.381 + (place * place) % 7 / 19) % 1
        hidden = hides and x + y > 1.05
        painter.setBrush(theme.color("line" if hidden else "text3"))
        painter.drawEllipse(QPointF(box.left() + x * box.width(), box.top() + y * box.height()), 1.3, 1.3)


def _paint_lines(painter: QPainter, box: QRectF, theme: Theme, kind: str) -> None:
    painter.setPen(QPen(theme.color("text3"), 1.5))
    if kind == "text":
        for row in range(5):
            y = box.top() + (row + 0.7) * box.height() / 5.4
            painter.drawLine(QPointF(box.left() + 3, y), QPointF(box.right() - (3 + (row * 7) % 13), y))
        return
    path = QPainterPath(QPointF(box.left(), box.center().y()))
    for step in range(1, 13):
        swing = ((step * 5) % 7 / 3 - 1) * box.height() * 0.35
        path.lineTo(QPointF(box.left() + step * box.width() / 12, box.center().y() + swing))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPath(path)
