"""Texts: wrapped or not, in letters of one width or not, with a search that counts."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut, QTextCharFormat, QTextCursor, QTextDocument
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLineEdit, QPlainTextEdit, QTextEdit, QWidget

from app.theme import Theme
from app.viewers.records.base import RecordViewer
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.panel import label

MOST_MARKS = 1000
MOST_CHARACTERS = 2_000_000


class TextViewer(RecordViewer):
    """A text, read only. Ctrl+F searches; Enter goes to the next place."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.edit = QPlainTextEdit()
        self.edit.setReadOnly(True)
        self.edit.setAccessibleName("Text")
        self.edit.setFrameShape(QPlainTextEdit.Shape.NoFrame)
        self.words = QLineEdit()
        self.words.setPlaceholderText("Search in the text")
        self.words.setClearButtonEnabled(True)
        self.words.setAccessibleName("Search in the text")
        self.found = label("", "small")
        self.previous_button = Button(theme, "", icon="up", kind="quiet", tip="Previous place (Shift+Enter)")
        self.next_button = Button(theme, "", icon="down", kind="quiet", tip="Next place (Enter)")
        self.mono, self.wrap = QCheckBox("Letters of one width"), QCheckBox("Wrap lines")
        self.wrap.setChecked(True)
        self._places: list[tuple[int, int]] = []
        top = QHBoxLayout()
        top.setContentsMargins(12, 8, 12, 0)
        top.setSpacing(6)
        top.addWidget(self.words, 1)
        for widget in (self.found, self.previous_button, self.next_button):
            top.addWidget(widget)
        self.column.addLayout(top)
        self.column.addWidget(self.edit, 1)
        self.side_column.addWidget(self.mono)
        self.side_column.addWidget(self.wrap)
        self.words.textChanged.connect(lambda _text: self._search())
        self.words.returnPressed.connect(lambda: self._go(1))
        self.next_button.clicked.connect(lambda: self._go(1))
        self.previous_button.clicked.connect(lambda: self._go(-1))
        self.mono.toggled.connect(lambda _on: self._dress())
        self.wrap.toggled.connect(lambda _on: self._dress())
        theme.changed.connect(self._dress)
        shortcut = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(self.words.setFocus)
        back = QShortcut(QKeySequence("Shift+Return"), self.words)
        back.setContext(Qt.ShortcutContext.WidgetShortcut)
        back.activated.connect(lambda: self._go(-1))
        self.setFocusProxy(self.edit)
        self._dress()

    def qualifier(self) -> str:
        """Return how many characters, words and lines there are."""
        if self.value is None:
            return ""
        text = self.value.text
        counts = (
            numbers.plural(len(text), "character"),
            numbers.plural(len(text.split()), "word"),
            numbers.plural(text.count("\n") + 1, "line"),
        )
        shown = f", the first {numbers.count(MOST_CHARACTERS)} are shown" if len(text) > MOST_CHARACTERS else ""
        return ", ".join(counts) + shown

    def _render(self) -> None:
        if self.value is not None:
            self.edit.setPlainText(self.value.text[:MOST_CHARACTERS])
            self.edit.setPlaceholderText("This record's text is empty.")
            self._search()

    def _dress(self) -> None:
        self.edit.setFont(self.theme.font("mono" if self.mono.isChecked() else "body"))
        self.edit.setLineWrapMode(
            QPlainTextEdit.LineWrapMode.WidgetWidth if self.wrap.isChecked() else QPlainTextEdit.LineWrapMode.NoWrap
        )
        self._mark()

    # ── search ───────────────────────────────────────────────────────────────────────────────────

    def _search(self) -> None:
        words, document = self.words.text(), self.edit.document()
        self._places = []
        cursor = QTextCursor(document)
        while words and len(self._places) < MOST_MARKS:
            cursor = document.find(words, cursor, QTextDocument.FindFlag(0))
            if cursor.isNull():
                break
            self._places.append((cursor.selectionStart(), cursor.selectionEnd()))
        self._mark()
        if self._places:
            self._select(0)
        else:
            self.found.setText("not found" if words else "")
        for button in (self.previous_button, self.next_button):
            button.setEnabled(bool(self._places))

    def _go(self, by: int) -> None:
        if not self._places:
            return
        at = self.edit.textCursor().selectionStart()
        now = next((number for number, (start, _) in enumerate(self._places) if start >= at), 0)
        self._select((now + by) % len(self._places))

    def _select(self, number: int) -> None:
        start, end = self._places[number]
        cursor = QTextCursor(self.edit.document())
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        self.edit.setTextCursor(cursor)
        self.edit.ensureCursorVisible()
        more = " or more" if len(self._places) == MOST_MARKS else ""
        self.found.setText(f"{numbers.count(number + 1)} of {numbers.count(len(self._places))}{more}")

    def _mark(self) -> None:
        form = QTextCharFormat()
        form.setBackground(self.theme.color("warn_soft"))
        marks = []
        for start, end in self._places:
            mark = QTextEdit.ExtraSelection()
            cursor = QTextCursor(self.edit.document())
            cursor.setPosition(start)
            cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
            mark.cursor, mark.format = cursor, form
            marks.append(mark)
        self.edit.setExtraSelections(marks)
