"""Files over the window: what a drop will do is said before it is done."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QMimeData, QObject, QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from app.context import Answer, Arrays, Client
from app.theme import Theme
from app.workspace_model import failure_text
from engine.protocol import messages
from engine.protocol.messages import Message, Peeked

READING = "reading…"


class DropModel(QObject):
    """What lies over the window, and what the engine says a drop of it would do."""

    changed = Signal()

    def __init__(self, client: Client, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self.paths: tuple[str, ...] = ()
        self.text = ""
        self.refused = False
        self.target = "import"
        self._asked = ""

    def begin(self, data: QMimeData) -> None:
        """Take what came over the window and ask the engine about it."""
        self.paths = paths_of(data)
        self.refused, self.target, self.text = False, "import", READING
        if not self.paths:
            self._refuse("Only files and folders of this computer can be dropped here.")
        elif self._client.state != "connected":
            self._refuse(f"The engine does not answer now. {self._client.detail}")
        else:
            self._asked = self._client.new_id()
            self._client.send(messages.Peek(id=self._asked, paths=self.paths), self._take(self._asked))
        self.changed.emit()

    def end(self) -> None:
        """Forget it; answers that still come are ignored."""
        self.paths, self.text, self._asked = (), "", ""
        self.changed.emit()

    def _refuse(self, reason: str) -> None:
        self.refused, self.text, self.target = True, reason, "none"

    def _take(self, asked: str) -> Answer:
        def take(reply: Message, _arrays: Arrays) -> None:
            if asked != self._asked:
                return
            if isinstance(reply, Peeked):
                self.text, self.refused, self.target = reply.text, not reply.accepted, reply.target
            else:
                self._refuse(failure_text(reply) or "The engine cannot read this.")
            self.changed.emit()

        return take


def paths_of(data: QMimeData) -> tuple[str, ...]:
    """Return the local files and folders that are dragged."""
    return tuple(str(Path(url.toLocalFile())) for url in data.urls() if url.isLocalFile())


class DropOverlay(QWidget):
    """Dims the page, outlines it, and carries a pill at the pointer."""

    def __init__(self, theme: Theme, model: DropModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme, self._model, self._over = theme, model, parent
        self._pointer = QPoint()
        self._target = QRect()
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        model.changed.connect(self._changed)
        self.hide()

    def show_at(self, pointer: QPoint, target: QRect) -> None:
        """Lie over the window; `target` is outlined."""
        self._pointer, self._target = pointer, target
        self.setGeometry(self._over.rect())
        if not self.isVisible():
            self.show()
            self.raise_()
        self.update()

    def _changed(self) -> None:
        self.setAccessibleName(self._model.text)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw veil, outline and pill."""
        theme, refused = self._theme, self._model.refused
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), theme.color("window", 0.72))
        pen = QPen(theme.color("error" if refused else "accent"), 2)
        pen.setDashPattern([4, 3])
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(QRectF(self._target).adjusted(9, 9, -9, -9), 6, 6)
        self._paint_pill(painter)

    def _paint_pill(self, painter: QPainter) -> None:
        theme, refused = self._theme, self._model.refused
        painter.setFont(theme.font("title"))
        widest = min(520, self.width() - 24)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextWordWrap
        text_box = painter.fontMetrics().boundingRect(QRect(0, 0, widest - 56, 400), flags, self._model.text)
        width, height = text_box.width() + 58, max(36, text_box.height() + 18)
        x = min(max(self._pointer.x() + 18, 12), self.width() - width - 12)
        y = min(max(self._pointer.y() + 14, 12), self.height() - height - 12)
        box = QRectF(x, y, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        for spread in range(6):
            painter.setBrush(theme.color("text", 0.02) if not theme.dark else Qt.GlobalColor.transparent)
            painter.drawRoundedRect(box.adjusted(-spread, 2 - spread, spread, 4 + spread), 18 + spread, 18 + spread)
        painter.setPen(QPen(theme.color("error" if refused else "accent"), 1))
        painter.setBrush(theme.color("error_soft" if refused else "raised"))
        painter.drawRoundedRect(box, min(18.0, height / 2), min(18.0, height / 2))
        icon = theme.icon("refused", "error") if refused else theme.icon("import", "accent")
        icon.paint(painter, QRect(int(x) + 14, int(y + height / 2) - 9, 18, 18))
        painter.setPen(theme.color("error" if refused else "text"))
        painter.drawText(QRectF(x + 42, y, text_box.width() + 4, height), flags, self._model.text)
