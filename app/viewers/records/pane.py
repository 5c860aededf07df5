"""A picture that is zoomed with the wheel and moved by dragging, with an overlay of its own opacity."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QImage, QKeyEvent, QMouseEvent, QPainter, QResizeEvent

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import Canvas

FACTORS = (1 / 32, 1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0,
           32.0, 48.0)  # fmt: skip
MARGIN_PX = 12


class PicturePane(Canvas):
    """Letterboxed at first; wheel zooms in whole factors, drag moves, Home or a double click fits, X hides the overlay.

    Factors are device pixels per pixel of the picture.
    """

    pointed = Signal(object)  # (x, y) of the pixel under the pointer, or None
    factor_changed = Signal(str)

    def __init__(self, theme: Theme, smallest: QSize = QSize(160, 120)) -> None:  # noqa: B008
        super().__init__(self._draw, smallest)
        self._theme = theme
        self.image = QImage()
        self.overlay = QImage()
        self.opacity = 0.5
        self._factor = 0.0  # 0 = fits
        self._centre = QPointF()
        self._grip: QPointF | None = None
        self._bare = False
        self._scaled: tuple[tuple[int, int, int], QImage] | None = None
        self.hovered.connect(self._hover)
        self.pressed.connect(self._take)
        self.dragged.connect(self._drag)
        self.released.connect(lambda _point: self._let_go())
        self.wheeled.connect(self._wheel)
        theme.changed.connect(self.update)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def set_picture(self, image: QImage, overlay: QImage | None = None) -> None:
        """Show a picture; zoom and place stay if it is as large as the one before."""
        other = image.size() != self.image.size()
        self.image, self.overlay = image, overlay or QImage()
        if other:
            self.fit()
        self.update()

    def set_opacity(self, share: float) -> None:
        """Set how much the overlay covers, 0…1."""
        self.opacity = share
        self.update()

    def fit(self) -> None:
        """Show the whole picture."""
        self._factor = 0.0
        self._centre = QPointF(self.image.width() / 2, self.image.height() / 2)
        self._changed()

    def factor_text(self) -> str:
        """Return "2×" or "at 62 %"."""
        return painting.factor_text(self._shown_factor(), self.devicePixelRatioF())

    def target(self) -> QRectF:
        """Return where the picture lies in the widget."""
        factor = self._shown_factor() / self.devicePixelRatioF()
        width, height = self.image.width() * factor, self.image.height() * factor
        middle = QRectF(self.rect()).center()
        if self._factor == 0:
            left, top = middle.x() - width / 2, middle.y() - height / 2
        else:
            left, top = middle.x() - self._centre.x() * factor, middle.y() - self._centre.y() * factor
        return QRectF(round(left), round(top), width, height)

    def pixel_at(self, point: QPointF) -> tuple[int, int] | None:
        """Return (x, y) of the picture's pixel under a point of the widget, or None."""
        cell = painting.cell_at(self.target(), (self.image.height(), self.image.width()), point)
        return None if cell is None else (cell[1], cell[0])

    def zoom(self, notches: float, at: QPointF | None = None) -> None:
        """Go to the next larger or smaller factor; what lies at `at` stays there."""
        if self.image.isNull():
            return
        now = self._shown_factor()
        larger = notches > 0
        wanted = [each for each in FACTORS if (each > now * 1.001 if larger else each < now * 0.999)]
        if not wanted:
            return
        target, ratio = self.target(), self.devicePixelRatioF()
        at = at or QRectF(self.rect()).center()
        fixed = QPointF((at.x() - target.left()) * ratio / now, (at.y() - target.top()) * ratio / now)
        self._factor = wanted[0] if larger else wanted[-1]
        middle = QRectF(self.rect()).center()
        self._centre = fixed + (middle - at) * (ratio / self._factor)
        self._changed()

    # ── pointer and keys ─────────────────────────────────────────────────────────────────────────

    def mouseDoubleClickEvent(self, _event: QMouseEvent) -> None:
        """Fit."""
        self.fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Home fits, + and − zoom, X shows the picture without overlay while it is held."""
        key = event.key()
        if key == Qt.Key.Key_Home:
            self.fit()
        elif key in {Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus}:
            self.zoom(-1 if key == Qt.Key.Key_Minus else 1)
        elif key == Qt.Key.Key_X:
            self._bare = True
            self.update()
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Show the overlay again."""
        if event.key() == Qt.Key.Key_X and not event.isAutoRepeat():
            self._bare = False
            self.update()
        super().keyReleaseEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Tell the factor at the new size."""
        super().resizeEvent(event)
        self.factor_changed.emit(self.factor_text())

    def _wheel(self, at: QPointF, notches: float) -> None:
        self.zoom(notches, at)

    def _hover(self, point: QPointF | None) -> None:
        self.pointed.emit(None if point is None else self.pixel_at(point))

    def _take(self, point: QPointF) -> None:
        self._grip = point
        if self._factor:
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def _drag(self, point: QPointF) -> None:
        if self._grip is None or not self._factor:
            return
        factor = self._factor / self.devicePixelRatioF()
        self._centre -= (point - self._grip) / factor
        self._grip = point
        self.update()

    def _let_go(self) -> None:
        self._grip = None
        self.unsetCursor()

    def _changed(self) -> None:
        self.update()
        self.factor_changed.emit(self.factor_text())

    def _shown_factor(self) -> float:
        if self._factor:
            return self._factor
        room = QRectF(self.rect()).adjusted(MARGIN_PX, MARGIN_PX, -MARGIN_PX, -MARGIN_PX)
        _, _, factor = painting.fit(self.image.size(), room.width(), room.height(), self.devicePixelRatioF())
        return factor or 1.0

    # ── drawing ──────────────────────────────────────────────────────────────────────────────────

    def _draw(self, painter: QPainter, area: QRectF) -> None:
        painter.fillRect(area, self._theme.color("mat"))
        if self.image.isNull():
            return
        target = self.target()
        factor = target.width() / self.image.width()
        seen = target.intersected(area)
        if seen.isEmpty():
            return
        if self._shown_factor() >= 1:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, on=False)
            left, top = int((seen.left() - target.left()) / factor), int((seen.top() - target.top()) / factor)
            right = min(self.image.width(), int((seen.right() - target.left()) / factor) + 1)
            bottom = min(self.image.height(), int((seen.bottom() - target.top()) / factor) + 1)
            source = QRectF(left, top, right - left, bottom - top)
            place = QRectF(
                target.left() + left * factor, target.top() + top * factor, source.width() * factor,
                source.height() * factor,
            )  # fmt: skip
            painter.drawImage(place, self.image, source)
        else:
            painter.drawImage(target, self._shrunk(target))
        if not self.overlay.isNull() and not self._bare:
            painter.setOpacity(self.opacity)
            painter.setClipRect(seen)
            painter.drawImage(target, self.overlay)

    def _shrunk(self, target: QRectF) -> QImage:
        ratio = self.devicePixelRatioF()
        size = QSize(max(1, round(target.width() * ratio)), max(1, round(target.height() * ratio)))
        key = (self.image.cacheKey(), size.width(), size.height())
        if self._scaled is None or self._scaled[0] != key:
            mode = Qt.TransformationMode.SmoothTransformation
            self._scaled = key, self.image.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, mode)
        return self._scaled[1]
