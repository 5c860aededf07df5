"""One setting of a form: a row of widgets, or what stands for it until the row is built."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.editors import find_problem, make_editor, range_text
from app.theme import Theme, set_state
from app.widgets.buttons import Button
from app.widgets.numbers import setting
from app.widgets.panel import ElidedLabel, label
from engine.protocol.forms import FormField, Value

LABEL_PX = 126
RANGE_PX = 92


class UnbuiltRow:
    """A setting without widgets, with the values that its row will show."""

    def __init__(self, field: FormField) -> None:
        self.field = field
        self.preset: Any = field.default
        self.outside_problem: tuple[str, str] = ("", "")
        self._value: Any = field.default

    def value(self) -> Value:
        """Return the value."""
        kept: Value = list(self._value) if isinstance(self._value, tuple) else self._value
        return kept

    def set_value(self, value: Any) -> None:
        """Keep a value."""
        self._value = value

    def set_preset(self, value: Any) -> None:
        """Take a preset's value as the one to compare with, and keep it."""
        self.preset = self._value = value

    def is_changed(self) -> bool:
        """Whether the value differs from the preset's."""
        return _plain(self._value) != _plain(self.preset)

    def own_problem(self) -> str:
        """Return what is wrong with the value by itself."""
        return find_problem(self.field, self.value())

    def refresh(self) -> None:
        """Nothing is shown yet."""


class SettingRow(QWidget):
    """Label, editor, unit, range or way back to the preset; below it explanation and problem."""

    edited = Signal()
    focused = Signal(object)  # this row

    def __init__(self, theme: Theme, field: FormField) -> None:
        super().__init__()
        self.field, self._theme = field, theme
        self.preset: Any = field.default
        self.outside_problem: tuple[str, str] = ("", "")  # sentence, level: what the engine says
        self.title = label(field.title)
        self.title.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.title.setWordWrap(True)
        self.title.setFixedWidth(theme.px(LABEL_PX))
        self.editor = make_editor(field)
        for each in self.editor.inputs:
            each.setAccessibleName(field.title)
            each.setAccessibleDescription(field.description)
            each.installEventFilter(self)
        self.title.setBuddy(self.editor.inputs[0])
        pair = len(self.editor.inputs) > 1
        self.unit = ElidedLabel("" if pair else field.unit, "small", Qt.TextElideMode.ElideRight)
        self.range = ElidedLabel(field.unit if pair and field.unit else range_text(field), "qualifier")
        self.range.setToolTip(range_text(field))
        self.range.setMinimumWidth(theme.px(RANGE_PX))
        top = QHBoxLayout()
        top.setContentsMargins(0, 0, 0, 0)
        top.setSpacing(0)
        top.addWidget(self.title)
        top.addSpacing(12)
        top.addWidget(self.editor, 1 if field.kind == "str" else 0)
        top.addSpacing(8)
        top.addWidget(self.unit, 1)
        top.addWidget(self.range)
        self._top = top
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2)
        self._column.addLayout(top)
        self._reset: Button | None = None
        self._explanation: QFrame | None = None
        self._problem: tuple[QWidget, QLabel, QLabel] | None = None  # all of it, picture, text
        self.set_value(field.default)
        self.editor.edited.connect(self._edited)
        theme.changed.connect(self._redress)
        self.refresh()

    # ── what few rows need, made when it is needed ───────────────────────────────────────────────

    @property
    def reset(self) -> Button:
        """The way back to the preset, in the place of the range."""
        if self._reset is None:
            self._reset = Button(self._theme, "", icon="reset", kind="quiet")
            self._reset.hide()
            self._reset.clicked.connect(lambda _checked: self.set_value(self.preset))
            self._top.addWidget(self._reset)
        return self._reset

    @property
    def explanation(self) -> QFrame:
        """What the setting does, below it."""
        if self._explanation is None:
            self._explanation = _explanation(self.field.description)
            self._add_below(self._explanation, self._column.count())
        return self._explanation

    @property
    def problem(self) -> QWidget:
        """What is wrong, below the editor and above the explanation."""
        return self._made_problem()[0]

    @property
    def problem_text(self) -> QLabel:
        """What is wrong, as a sentence."""
        return self._made_problem()[2]

    def _made_problem(self) -> tuple[QWidget, QLabel, QLabel]:
        if self._problem is None:
            whole, picture, text = QWidget(), QLabel(), label("", "small", wrap=True)
            row = QHBoxLayout(whole)
            row.setContentsMargins(0, 2, 0, 2)
            row.setSpacing(6)
            row.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
            row.addWidget(text, 1)
            self._add_below(whole, 1)
            self._problem = whole, picture, text
        return self._problem

    def _add_below(self, widget: QWidget, place: int) -> None:
        widget.hide()
        indented = QHBoxLayout()
        indented.setContentsMargins(self._theme.px(LABEL_PX) + 12, 0, 0, 0)
        indented.addWidget(widget)
        self._column.insertLayout(place, indented)

    # ── value ────────────────────────────────────────────────────────────────────────────────────

    def value(self) -> Value:
        """Return what is in the editor."""
        return self.editor.value()

    def set_value(self, value: Any) -> None:
        """Show a value."""
        self.editor.set_value(value)

    def set_preset(self, value: Any) -> None:
        """Take a preset's value as the one to compare with, and show it."""
        self.preset = value
        self.set_value(value)
        self.refresh()

    def is_changed(self) -> bool:
        """Whether the value differs from the preset's."""
        return _plain(self.value()) != _plain(self.preset)

    def own_problem(self) -> str:
        """Return what is wrong with the value by itself."""
        return find_problem(self.field, self.value())

    # ── look ─────────────────────────────────────────────────────────────────────────────────────

    def refresh(self) -> None:
        """Write everything that depends on the value."""
        changed = self.is_changed()
        self.range.setVisible(not changed)
        if changed or self._reset is not None:
            preset = setting(self.preset)
            self.reset.setVisible(changed)
            self.reset.setText(f"preset: {preset if len(preset) <= 14 else preset[:13] + '…'}")
            self.reset.setToolTip(f"Set {self.field.title} back to {preset}")
        own = self.own_problem()
        text, level = (own, "error") if own else self.outside_problem
        self.editor.mark(level if text else "")
        if text or self._problem is not None:
            whole, picture, words = self._made_problem()
            whole.setVisible(bool(text))
            words.setText(text)
            words.setProperty("level", "")
            set_state(words, level=level)
            picture.setPixmap(self._theme.icon("warn" if level == "warn" else "error", level or "error").pixmap(14, 14))

    def _redress(self) -> None:
        if self._problem is not None:
            self.refresh()

    def _edited(self) -> None:
        self.outside_problem = ("", "")
        self.refresh()
        self.edited.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Tell when an input gets the focus."""
        if event.type() == QEvent.Type.FocusIn:
            self.focused.emit(self)
        return super().eventFilter(watched, event)


def _explanation(text: str) -> QFrame:
    frame = QFrame()
    frame.setProperty("kind", "explanation")
    row = QHBoxLayout(frame)
    row.setContentsMargins(8, 6, 8, 6)
    row.addWidget(label(text, "small", wrap=True))
    return frame


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return value
