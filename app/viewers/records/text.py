"""Texts: as they stand or as a table of their lines, with a search that counts, or that picks the rows."""

from __future__ import annotations

import msgspec
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut, QTextCharFormat, QTextCursor, QTextDocument
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPlainTextEdit,
    QStackedWidget,
    QTableView,
    QTextEdit,
    QWidget,
)

from app.theme import Theme
from app.viewers.records.base import RecordViewer
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.panel import label
from app.widgets.segmented import Segmented
from app.widgets.tables import TextTableModel

MOST_MARKS = 1000
AS_TEXT, AS_TABLE = "Text", "Table"
MOST_CHARACTERS = 2_000_000


class TextViewer(RecordViewer):
    """A text, read only. Ctrl+F searches; Enter goes to the next place; T shows its lines as a table.

    A text that is a JSON list, as several captions of one picture are kept, is a table of its members by itself.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.edit = QPlainTextEdit()
        self.edit.setReadOnly(True)
        self.edit.setAccessibleName("Text")
        self.edit.setFrameShape(QPlainTextEdit.Shape.NoFrame)
        self.edit.setStyleSheet("QPlainTextEdit { border: none; border-radius: 0px; padding: 6px 12px; }")
        self.rows = TextTableModel(self)
        self.table = QTableView()
        self.table.setModel(self.rows)
        self.table.setAccessibleName("Lines of the text")
        self.table.setShowGrid(False)
        self.table.setWordWrap(True)
        self.table.setFrameShape(QTableView.Shape.NoFrame)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().hide()
        self.choice = Segmented((AS_TEXT, AS_TABLE), small=True)
        self.stage = QStackedWidget()
        self.stage.addWidget(self.edit)
        self.stage.addWidget(self.table)
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
        self._asked = AS_TEXT
        top = QHBoxLayout()
        top.setContentsMargins(12, 8, 12, 0)
        top.setSpacing(6)
        top.addWidget(self.words, 1)
        for widget in (self.found, self.previous_button, self.next_button):
            top.addWidget(widget)
        self.column.addLayout(top)
        self.column.addWidget(self.stage, 1)
        self.side_column.addWidget(self.choice)
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
        for holder in (self.edit, self.table):
            toggle = QShortcut(QKeySequence("T"), holder)
            toggle.setContext(Qt.ShortcutContext.WidgetShortcut)
            toggle.activated.connect(self._toggle)
        self.choice.chosen.connect(self.show_as)
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
        members = members_of(text)
        if members:
            return f"{numbers.plural(len(members), 'text')} in one record"
        shown = f", the first {numbers.count(MOST_CHARACTERS)} are shown" if len(text) > MOST_CHARACTERS else ""
        return ", ".join(counts) + shown

    def _render(self) -> None:
        if self.value is not None:
            self.edit.setPlainText(self.value.text[:MOST_CHARACTERS])
            self.edit.setPlaceholderText("This record's text is empty.")
            self._search()
            self.show_as(AS_TABLE if members_of(self.value.text) else self._asked)

    def show_as(self, how: str) -> None:
        """Show the text as it stands ("Text") or a table of its lines ("Table")."""
        if self.value is not None and not members_of(self.value.text):
            self._asked = how
        self.choice.set_current(how)
        self.stage.setCurrentWidget(self.table if how == AS_TABLE else self.edit)
        for widget in (self.mono, self.wrap):
            widget.setVisible(how == AS_TEXT)
        self._search()

    def _toggle(self) -> None:
        self.show_as(AS_TEXT if self.choice.current() == AS_TABLE else AS_TABLE)
        (self.table if self.choice.current() == AS_TABLE else self.edit).setFocus()

    def _pick_rows(self) -> None:
        """Show the rows that have the words."""
        text = "" if self.value is None else self.value.text
        parts = members_of(text) or text[:MOST_CHARACTERS].splitlines()
        words = self.words.text().casefold()
        rows = [
            (numbers.count(place + 1), part, numbers.count(len(part)))
            for place, part in enumerate(parts)
            if part.strip() and words in part.casefold()
        ]
        self.rows.show_rows(("row", "text", "characters"), tuple(rows))
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.found.setText(f"{numbers.count(len(rows))} of {numbers.plural(len(parts), 'row')}" if words else "")
        for button in (self.previous_button, self.next_button):
            button.setEnabled(False)

    def _dress(self) -> None:
        self.edit.setFont(self.theme.font("mono" if self.mono.isChecked() else "body"))
        self.edit.setLineWrapMode(
            QPlainTextEdit.LineWrapMode.WidgetWidth if self.wrap.isChecked() else QPlainTextEdit.LineWrapMode.NoWrap
        )
        self._mark()

    # ── search ───────────────────────────────────────────────────────────────────────────────────

    def _search(self) -> None:
        if self.choice.current() == AS_TABLE:
            self._pick_rows()
            return
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


def members_of(text: str) -> list[str]:
    """Return the texts of a JSON list of texts; nothing if the text is anything else."""
    if not text.startswith("["):
        return []
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        return []
