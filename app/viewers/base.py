"""What every viewer is: a widget that shows inspections of one kind, or says why there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import QEvent, QMetaMethod, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QStackedLayout, QWidget

from app.theme import Theme, set_state
from app.viewers.drawing import picture_of, write_drawings
from app.viewers.table_twin import Table, TableTwin
from app.widgets.numbers import count
from engine.protocol.inspections import Choice, Inspection
from engine.protocol.wire import save_inspection

PADDING_PX = 10
MOST_PICTURES = 1024
ROOMY_PX = QSize(820, 440)  # from this size on, controls lie beside the picture
Paint = Callable[[QPainter, QRectF], None]


class Canvas(QWidget):
    """A drawn surface: calls `paint` to draw, reports pointer and keys, rings itself when the keyboard is on it."""

    pressed = Signal(QPointF)
    dragged = Signal(QPointF)
    released = Signal(QPointF)
    hovered = Signal(object)  # QPointF, or None when the pointer leaves
    wheeled = Signal(QPointF, float)  # where, and how many notches upwards

    def __init__(self, paint: Paint, smallest: QSize, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paint = paint
        self.on_key: Callable[[QKeyEvent], bool] | None = None  # returns whether it used the key
        self._smallest = smallest
        self._ring = QColor(0, 0, 0, 0)
        self.overlay_off = False  # X is held: show the picture without what lies over it
        self._is_keyboard_focus = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def set_ring(self, colour: QColor) -> None:
        """Set the colour of the focus ring and draw anew."""
        self._ring = colour
        self.update()

    def minimumSizeHint(self) -> QSize:
        """Return the smallest size at which the drawing makes sense."""
        return self._smallest

    def sizeHint(self) -> QSize:
        """Return the smallest size; a canvas takes all it gets."""
        return self._smallest

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        self._paint(painter, QRectF(self.rect()))
        if self.hasFocus() and self._is_keyboard_focus:
            painter.setPen(QPen(self._ring, 2.0))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Report a press of the left button."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.pressed.emit(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Report where the pointer is."""
        self.hovered.emit(event.position())
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.dragged.emit(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Report the release of the left button."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.released.emit(event.position())

    def leaveEvent(self, event: QEvent) -> None:
        """Report that the pointer left."""
        self.hovered.emit(None)
        super().leaveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take X, offer another key to the viewer; what it does not use goes on to the page."""
        if event.key() == Qt.Key.Key_X and not event.modifiers():
            self._set_overlay_off(off=True)
            return
        event.setAccepted(self.on_key is not None and self.on_key(event))

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Show what lies over the picture again when X is let go."""
        if event.key() == Qt.Key.Key_X and not event.isAutoRepeat():
            self._set_overlay_off(off=False)
            return
        super().keyReleaseEvent(event)

    def _set_overlay_off(self, *, off: bool) -> None:
        if off != self.overlay_off:
            self.overlay_off = off
            self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Report the wheel, where somebody listens."""
        if not self.isSignalConnected(QMetaMethod.fromSignal(self.wheeled)):
            event.ignore()
            return
        self.wheeled.emit(event.position(), event.angleDelta().y() / 120.0)

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
        self.overlay_off = False
        self.update()


class Viewer(QWidget):
    """Base of the viewers. A viewer calls `set_body` once, implements `_render`, and keeps the last picture.

    `choice_changed` says what the user wants to see instead; whoever owns the viewer asks the engine for it.
    """

    choice_changed = Signal(object)  # Choice
    qualifier_changed = Signal(str)
    pictures_wanted = Signal(object)  # tuple of record numbers; the answer comes by `take_pictures`
    is_drawn: ClassVar[bool] = True  # with a painter; what OpenGL renders has no lines and text to keep

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.inspection: Inspection | None = None
        self.choice = Choice()
        self.pictures: dict[int, QImage] = {}
        self._body: QWidget | None = None
        self._page: QWidget = self  # body and side, once there is a body
        self.side: QWidget | None = None  # controls beside the picture, where there is room for them
        self._stack = QStackedLayout(self)
        self._message = QLabel()
        self._message.setWordWrap(True)
        self._message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._message.setMargin(24)
        set_state(self._message, role="qualifier")
        self._stack.addWidget(self._message)
        self.twin = TableTwin(self, self._stack, theme, self.table)
        theme.changed.connect(self._redress)

    def set_body(self, body: QWidget, side: QWidget | None = None) -> None:
        """Put in what is shown when there is something to show, and controls beside it, hidden until there is room."""
        self._body = body
        self._page = body if side is None else _beside(body, side)
        self._stack.addWidget(self._page)
        self.side = side
        self._make_room(self.size())
        self._redress()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show the controls beside the picture where the view is large, as in Explore."""
        super().resizeEvent(event)
        self._make_room(event.size())

    def _make_room(self, size: QSize) -> None:
        if self.side is not None:
            self.side.setVisible(size.width() >= ROOMY_PX.width() and size.height() >= ROOMY_PX.height())

    @property
    def message(self) -> str:
        """The sentence shown instead of a picture, or ""."""
        return self._message.text() if self._stack.currentIndex() == 0 else ""

    def header_widgets(self) -> list[QWidget]:
        """Return the controls for the panel's header, left to right."""
        return []

    def show_message(self, text: str) -> None:
        """Say why there is nothing to see, and what makes something to see."""
        self.inspection = None
        self._message.setText(text)
        self._message.setAccessibleName(text)
        self._stack.setCurrentIndex(0)
        self.qualifier_changed.emit("")

    def show_waiting(self, text: str) -> None:
        """Keep the old picture and say what is on its way; without an old picture say so in the middle."""
        if self.inspection is None:
            self.show_message(text)
        else:
            self.qualifier_changed.emit(f"showing {step_text(self.inspection.step)}, {text}")

    def show_inspection(self, inspection: Inspection) -> None:
        """Show an inspection of this viewer's kind."""
        self.inspection = inspection
        self._render()
        if self.twin.is_shown:
            self.twin.refresh()
        elif self._body is not None:
            self._stack.setCurrentWidget(self._page)
        self.qualifier_changed.emit(self.qualifier())
        self._describe()

    def table(self) -> Table:
        """Return the numbers behind the picture as names of columns and rows, for `T`; no rows = there is no table."""
        return (), ()

    def want_pictures(self, records: Iterable[int]) -> None:
        """Ask for the pictures of records that are not known yet."""
        unknown = tuple(sorted({int(record) for record in records} - set(self.pictures)))
        if unknown:
            self.pictures_wanted.emit(unknown)

    def take_pictures(self, pictures: Mapping[int, QImage]) -> None:
        """Take records' pictures; the oldest go when there are too many."""
        self.pictures.update(pictures)
        for old in list(self.pictures)[:-MOST_PICTURES]:
            del self.pictures[old]
        for canvas in self.findChildren(Canvas):
            canvas.update()

    def qualifier(self) -> str:
        """Return the one line that qualifies what is shown: which step, how many of how many."""
        return "" if self.inspection is None else step_text(self.inspection.step)

    def sentence(self) -> str:
        """Return what is shown as one sentence, for those who do not see it."""
        return "" if self.inspection is None else f"{self.inspection.title}, {self.qualifier()}"

    def snapshot(self) -> QImage:
        """Return what is shown at twice the resolution of the screen."""
        return picture_of(self._body or self, self.theme.color("surface"))

    def export_to(self, path: Path, reproduce: str = "") -> list[Path]:
        """Write what is shown as PNG, SVG and PDF, the arrays as .npz, and what reproduces them; return the files.

        Raises:
            OSError: the files cannot be written.
        """
        if self.inspection is None:
            return []
        picture = path.with_suffix(".png")
        image = self.snapshot()
        image.setText("Description", f"{self.sentence()}. {reproduce}".strip())
        if not image.save(str(picture)):
            msg = f"{picture} could not be written"
            raise OSError(msg)
        arrays = path.with_suffix(".npz")
        save_inspection(arrays, self.inspection)
        text = path.with_suffix(".txt")
        text.write_text(f"{self.sentence()}.\n{self.inspection.note}\n{reproduce}\n", encoding="utf-8")
        return [picture, *self.write_drawings(path, reproduce), arrays, text]

    def write_drawings(self, path: Path, reproduce: str) -> list[Path]:
        """Write what is shown for print, where lines and text can be told from pixels; return the files.

        Raises:
            OSError: the files cannot be written.
        """
        if not self.is_drawn:
            return []
        return write_drawings(self._body or self, self.theme.color("surface"), path, self.sentence(), reproduce)

    def _render(self) -> None:
        """Bring `self.inspection` into the widgets."""

    def _redress(self) -> None:
        """Take the colours of the theme."""
        if isinstance(self._body, Canvas):
            self._body.set_ring(self.theme.color("accent"))
        for canvas in self.findChildren(Canvas):
            canvas.set_ring(self.theme.color("accent"))

    def _describe(self) -> None:
        for widget in (self, *self.findChildren(Canvas)):
            widget.setAccessibleName(self.sentence())


def _beside(body: QWidget, side: QWidget) -> QWidget:
    both = QWidget()
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(0)
    row.addWidget(side)
    row.addWidget(body, 1)
    return both


def step_text(step: int) -> str:
    """Return "step 1 200"."""
    return f"step {count(step)}"


def draw_text(
    painter: QPainter, box: QRectF, text: str, colour: QColor, *, align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft
) -> float:
    """Draw one line at the top of a box, elided to its width; return the height of the line."""
    metrics = QFontMetricsF(painter.font())
    painter.setPen(colour)
    shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, box.width())
    line = QRectF(box.left(), box.top(), box.width(), metrics.lineSpacing())
    painter.drawText(line, align | Qt.AlignmentFlag.AlignVCenter, shown)
    return float(metrics.lineSpacing())


def compact(box: QComboBox, characters: int) -> None:
    """Let a list in a header be narrow; its popup still shows whole entries."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(characters)
    widest = max((box.fontMetrics().horizontalAdvance(box.itemText(row)) for row in range(box.count())), default=0)
    box.view().setMinimumWidth(widest + 40)
