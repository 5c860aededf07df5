"""How rows of the Data page are painted: datasets, thumbnails, records as a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QPointF, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QImage, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.pages.data_list import Entry, EntryRole, describe_data, main_field
from app.pages.data_records import RowRole
from app.theme import Theme
from app.widgets import numbers
from engine.protocol.messages import JobSummary, RecordRow

Index = QModelIndex | QPersistentModelIndex
ROW_HEIGHT: Final = 50
GAP: Final = 10
CAPTION: Final = 22
_LEFT: Final = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT: Final = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_SELECTED: Final = QStyle.StateFlag.State_Selected
_HOVERED: Final = QStyle.StateFlag.State_MouseOver
_FOCUSED: Final = QStyle.StateFlag.State_HasFocus


class DatasetDelegate(QStyledItemDelegate):
    """Two lines: name and records; what it is, or how far its import is, with *Cancel* in the row."""

    cancel_wanted = Signal(str)  # job

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:  # noqa: ARG002
        """Return the height of two lines."""
        return QSize(200, self._theme.px(ROW_HEIGHT))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint one row."""
        entry: Entry = index.data(EntryRole)
        theme, rect = self._theme, QRect(option.rect)
        painter.save()
        selected = bool(option.state & _SELECTED)
        if selected or option.state & _HOVERED:
            painter.fillRect(rect, theme.color("accent_soft" if selected else "hover"))
        if selected:
            painter.fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), theme.color("accent"))
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), theme.color("line"))
        inner = rect.adjusted(12, 6, -12, -7)
        icon = theme.icon(_icon(entry), "accent" if selected else "text2")
        icon.paint(painter, QRect(inner.left(), inner.top() + 2, 16, 16))
        lines = inner.adjusted(26, 0, 0, 0)
        half = lines.height() // 2
        upper = QRect(lines.left(), lines.top(), lines.width(), half)
        lower = QRect(lines.left(), lines.top() + half, lines.width(), half)
        amount = entry.info.records if entry.info else entry.job.total if entry.job else 0
        amount_text = numbers.count(amount) if amount else ""
        _write(painter, theme, upper, amount_text, "small", "text2", _RIGHT)
        width = upper.width() - QFontMetrics(theme.font("small")).horizontalAdvance(amount_text) - 8
        _write(painter, theme, QRect(upper.left(), upper.top(), width, half), entry.title, "title", "text")
        if entry.job is not None:
            self._paint_job(painter, entry.job, rect, lower)
        elif entry.info is not None:
            left_out = len(entry.info.skipped)
            note = f"{numbers.count(left_out)} left out" if left_out else ""
            note = f"{len(entry.info.problems)} damaged" if entry.info.problems else note
            token = "error" if entry.info.problems else "warn"
            _write(painter, theme, lower, note, "small", token, _RIGHT)
            note_width = QFontMetrics(theme.font("small")).horizontalAdvance(note)
            if note:
                place = QRect(lower.right() - note_width - 20, lower.top() + (lower.height() - 14) // 2, 14, 14)
                theme.icon("warn", token).paint(painter, place)
                note_width += 28
            rest = lower.adjusted(0, 0, -note_width, 0)
            _write(painter, theme, rest, describe_data(entry.info), "small", "text3")
        if option.state & _FOCUSED:
            _focus_ring(painter, theme, rect)
        painter.restore()

    def _paint_job(self, painter: QPainter, job: JobSummary, rect: QRect, lower: QRect) -> None:
        theme = self._theme
        _write(painter, theme, self.cancel_rect(rect), "Cancel", "title", "accent", _RIGHT)
        rest = lower.adjusted(0, 0, -56, 0)
        _write(painter, theme, rest, describe_progress(job), "small", "text3")
        if job.total > 0:
            track = QRect(lower.left(), rect.bottom() - 5, lower.width(), 3)
            painter.fillRect(track, theme.color("line"))
            track.setWidth(round(track.width() * min(1.0, job.done / job.total)))
            painter.fillRect(track, theme.color("accent"))

    @staticmethod
    def cancel_rect(rect: QRect) -> QRect:
        """Return where *Cancel* is in a row."""
        return QRect(rect.right() - 68, rect.top() + rect.height() // 2 - 4, 56, 26)

    def editorEvent(self, event: QEvent, model: object, option: QStyleOptionViewItem, index: Index) -> bool:
        """Cancel a job when its word is clicked."""
        entry: Entry = index.data(EntryRole)
        if (
            entry.job is not None
            and isinstance(event, QMouseEvent)
            and event.type() == QEvent.Type.MouseButtonRelease
            and self.cancel_rect(QRect(option.rect)).contains(event.position().toPoint())
        ):
            self.cancel_wanted.emit(entry.job.job)
            return True
        return super().editorEvent(event, model, option, index)  # type: ignore[arg-type]


class ThumbnailDelegate(QStyledItemDelegate):
    """A picture in its box and below it the label with its colour; as a list, one line with all that is known."""

    def __init__(
        self,
        theme: Theme,
        tile: Callable[[int], QImage | None],
        is_missing: Callable[[int], bool],
        label_number: Callable[[str], int],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme, self._tile, self._is_missing, self._label_number = theme, tile, is_missing, label_number
        self.side = 64
        self.as_list = False

    def cell(self) -> QSize:
        """Return the size of a cell; width 0 = as wide as the view."""
        if self.as_list:
            return QSize(0, self._theme.px(34))
        return QSize(self.side + GAP + 5, self.side + self._theme.px(CAPTION) + 5)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint one record."""
        row: RecordRow | None = index.data(RowRole)
        painter.save()
        rect = QRect(option.rect)
        if self.as_list:
            self._paint_line(painter, option, rect, row)
        else:
            box = QRect(rect.left() + 3, rect.top() + 3, self.side, self.side)
            self._paint_picture(painter, box, row)
            if row is not None:
                caption = QRect(box.left(), box.bottom() + 1, rect.width() - 6, self._theme.px(CAPTION))
                self._paint_caption(painter, caption, row)
            self._paint_marks(painter, option, box)
        painter.restore()

    def _paint_picture(self, painter: QPainter, box: QRect, row: RecordRow | None) -> None:
        theme = self._theme
        image = None if row is None else self._tile(row.index)
        painter.fillRect(box, theme.color("mat" if image is not None else "sunken"))
        if image is not None:
            size = image.size().scaled(box.size(), Qt.AspectRatioMode.KeepAspectRatio)
            place = QRect(box.topLeft(), size)
            place.moveCenter(box.center())
            painter.setOpacity(0.35 if row is not None and row.excluded else 1.0)
            painter.drawImage(place, image)
            painter.setOpacity(1.0)
        elif row is not None and self._is_missing(row.index):
            _write(painter, theme, box, "no picture", "tick", "text3", Qt.AlignmentFlag.AlignCenter)

    def _paint_caption(self, painter: QPainter, rect: QRect, row: RecordRow) -> None:
        theme = self._theme
        text = "excluded" if row.excluded else row.label or row.name
        left = rect.left()
        if row.label and not row.excluded:
            self._paint_dot(painter, QPointF(left + 4.5, rect.center().y() + 0.5), row.label)
            left += 13
        place = QRect(left, rect.top(), rect.right() - left, rect.height())
        _write(painter, theme, place, text, "small", "warn" if row.excluded else "text2")

    def _paint_dot(self, painter: QPainter, centre: QPointF, label: str) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.categorical(other(self._label_number(label))))
        painter.drawEllipse(centre, 4, 4)

    def _paint_marks(self, painter: QPainter, option: QStyleOptionViewItem, box: QRect) -> None:
        theme = self._theme
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
        if option.state & _SELECTED:
            painter.setPen(QPen(theme.color("surface"), 2))
            painter.drawRect(box.adjusted(2, 2, -2, -2))
            painter.setPen(QPen(theme.color("accent"), 3))
            painter.drawRect(box.adjusted(0, 0, 0, 0))
        elif option.state & _FOCUSED:
            painter.setPen(QPen(theme.color("accent"), 2, Qt.PenStyle.DotLine))
            painter.drawRect(box)

    def _paint_line(self, painter: QPainter, option: QStyleOptionViewItem, rect: QRect, row: RecordRow | None) -> None:
        theme = self._theme
        if option.state & _SELECTED:
            painter.fillRect(rect, theme.color("accent_soft"))
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), theme.color("line"))
        box = QRect(rect.left() + 4, rect.top() + 3, rect.height() - 7, rect.height() - 7)
        self._paint_picture(painter, box, row)
        if row is None:
            return
        rest = rect.adjusted(rect.height() + 8, 0, -8, 0)
        columns = ((numbers.count(row.index), 0.0, 0.11), (row.name, 0.13, 0.4))
        for text, start, share in columns:
            place = QRect(
                rest.left() + round(start * rest.width()), rest.top(), round(share * rest.width()), rest.height()
            )
            _write(painter, theme, place, text, "body", "text", _RIGHT if start == 0 else _LEFT)
        label = QRect(rest.left() + round(0.56 * rest.width()), rest.top(), round(0.2 * rest.width()), rest.height())
        if row.label:
            self._paint_dot(painter, QPointF(label.left() + 5, label.center().y() + 0.5), row.label)
        _write(painter, theme, label.adjusted(16, 0, 0, 0), row.label, "body", "text2")
        end = QRect(rest.left() + round(0.78 * rest.width()), rest.top(), round(0.22 * rest.width()), rest.height())
        text, token = ("excluded", "warn") if row.excluded else (row.split, "text2")
        _write(painter, theme, end, text, "body", token)
        if option.state & _FOCUSED:
            _focus_ring(painter, theme, rect)


def other(number: int) -> int:
    """Return the colour of label `number`: the 11 first have their own, further ones are grey."""
    return number if 0 <= number <= 11 else -1


def describe_progress(job: JobSummary) -> str:
    """Return "importing, 61 %, 3 min left"."""
    verb = "importing" if job.kind == "import" else "making"
    if job.state == "queued":
        return f"waiting, {verb} next"
    parts = [verb]
    if job.total > 0:
        parts.append(numbers.share(job.done / job.total, 0))
    if job.seconds_left >= 0:
        parts.append(f"{numbers.duration(job.seconds_left)} left")
    elif job.current:
        parts.append(job.current)
    return ", ".join(parts)


def _icon(entry: Entry) -> str:
    if entry.info is None:
        return "import"
    field = main_field(entry.info)
    return "data" if field is None else "grid" if field.kind == "grid" else str(field.kind)


def _write(
    painter: QPainter,
    theme: Theme,
    rect: QRect,
    text: str,
    role: str,
    token: str,
    alignment: Qt.AlignmentFlag = _LEFT,
) -> None:
    if not text or rect.width() <= 0:
        return
    font = theme.font(role)
    painter.setFont(font)
    painter.setPen(theme.color(token))
    shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideMiddle, rect.width())
    painter.drawText(rect, alignment, shown)


def _focus_ring(painter: QPainter, theme: Theme, rect: QRect) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(theme.color("accent"), 2))
    painter.drawRect(rect.adjusted(1, 1, -1, -1))
