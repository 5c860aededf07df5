"""Which editor a kind of setting gets: one table. Every editor tells `edited`, gives and takes a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLineEdit, QWidget

from app.theme import set_state
from app.widgets.number_box import NumberBox
from app.widgets.numbers import number, setting
from app.widgets.panel import label
from engine.protocol.forms import FormField, Value, parse_value

TEXT_PX = 150  # of a box for a text: names of networks are longer than numbers


class Editor(QWidget):
    """An editor of one setting. `inputs` are the widgets that take the focus."""

    edited = Signal()

    def __init__(self, inputs: list[QWidget], joint: str = "") -> None:
        super().__init__()
        self.inputs = inputs
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        for place, each in enumerate(inputs):
            if place and joint:
                row.addWidget(label(joint, "small"))
            row.addWidget(each)
        self.setFocusProxy(inputs[0])

    def value(self) -> Value:
        """Return what is in the editor, of the setting's type where it reads as such."""
        raise NotImplementedError

    def set_value(self, value: Any) -> None:
        """Show a value."""
        raise NotImplementedError

    def mark(self, level: str) -> None:
        """Outline the editor: "", warn or error."""
        for each in self.inputs:
            set_state(each, level=level)


class BoolEditor(Editor):
    """On or off."""

    def __init__(self, _field: FormField) -> None:
        self.box = QCheckBox()
        super().__init__([self.box])
        self.box.toggled.connect(self.edited)

    def value(self) -> Value:
        """Return whether it is on."""
        return self.box.isChecked()

    def set_value(self, value: Any) -> None:
        """Set on or off."""
        self.box.setChecked(bool(value))


class NumberEditor(Editor):
    """An integer or a float."""

    def __init__(self, field: FormField) -> None:
        self.box = NumberBox(whole=field.kind == "int", minimum=field.minimum, maximum=field.maximum)
        super().__init__([self.box])
        self.box.edited.connect(self.edited)

    def value(self) -> Value:
        """Return the number, or the text where it is none."""
        return self.box.value()

    def set_value(self, value: Any) -> None:
        """Show a number."""
        self.box.set_value(value)


class ChoiceEditor(Editor):
    """One of a few words."""

    def __init__(self, field: FormField) -> None:
        self.box = QComboBox()
        self.box.addItems(list(field.choices))
        super().__init__([self.box])
        self.box.currentTextChanged.connect(lambda _text: self.edited.emit())

    def value(self) -> Value:
        """Return the chosen word."""
        return self.box.currentText()

    def set_value(self, value: Any) -> None:
        """Choose a word."""
        self.box.setCurrentText(str(value))


class PairEditor(Editor):
    """Two numbers: from one to the other."""

    def __init__(self, field: FormField) -> None:
        whole = field.item_kind == "int"
        self.boxes = [NumberBox(whole=whole, minimum=field.minimum, maximum=field.maximum) for _ in range(2)]
        super().__init__(list(self.boxes), "to")
        for box in self.boxes:
            box.edited.connect(self.edited)

    def value(self) -> Value:
        """Return both."""
        return [box.value() for box in self.boxes]

    def set_value(self, value: Any) -> None:
        """Show both."""
        for box, each in zip(self.boxes, value or (None, None), strict=False):
            box.set_value(each)


class TextEditor(Editor):
    """A text, or several values with commas between."""

    def __init__(self, field: FormField) -> None:
        self.field = field
        self.box = QLineEdit()
        self.box.setMinimumWidth(TEXT_PX)
        super().__init__([self.box])
        self.box.textChanged.connect(lambda _text: self.edited.emit())

    def value(self) -> Value:
        """Return the text, or the list that it reads as."""
        return parse_value(self.field, self.box.text())

    def set_value(self, value: Any) -> None:
        """Show a text or a list."""
        self.box.setText("" if value is None else setting(value))
        self.box.setCursorPosition(0)


EDITORS: dict[str, Callable[[FormField], Editor]] = {
    "bool": BoolEditor,
    "int": NumberEditor,
    "float": NumberEditor,
    "choice": ChoiceEditor,
    "tuple": TextEditor,
    "str": TextEditor,
}


def make_editor(field: FormField) -> Editor:
    """Return the editor of a setting."""
    if field.kind == "tuple" and field.length == 2 and field.item_kind in {"int", "float"}:
        return PairEditor(field)
    return EDITORS[field.kind](field)


def range_text(field: FormField) -> str:
    """Return the allowed range: "0.1 to 0.9", "at least 1", "" where everything is allowed."""
    low, high = (None if end is None else _end(end) for end in (field.minimum, field.maximum))
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}" if high is not None else ""


def _end(value: float) -> str:
    return number(value) if float(value).is_integer() else setting(value)


def find_problem(field: FormField, value: Value) -> str:
    """Return what is wrong with a value as a sentence that names the limit, or ""."""
    if field.kind == "choice" and value not in field.choices:
        return f"{field.title} must be one of {', '.join(field.choices)}; {value!r} is not."
    if field.kind in {"int", "float"}:
        return _number_problem(field, value, field.kind, field.title)
    if field.kind == "tuple" and isinstance(value, list):
        if field.length is not None and len(value) != field.length:
            return f"{field.title} takes {field.length} values; there are {len(value)}."
        for place, item in enumerate(value, start=1):
            kind = field.item_kind
            if kind in {"int", "float"}:
                problem = _number_problem(field, item, kind, f"{field.title}, value {place},")
                if problem:
                    return problem
    return ""


def _number_problem(field: FormField, value: Value, kind: str, what: str) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return f"{what} needs a number."
    if isinstance(value, str | list | tuple):
        return f"{what} must be a number; {value!r} is not."
    if kind == "int" and not float(value).is_integer():
        return f"{what} must be a whole number; {setting(value)} is not."
    if field.minimum is not None and value < field.minimum:
        return f"{what} must be at least {_end(field.minimum)}; {setting(value)} is too small."
    if field.maximum is not None and value > field.maximum:
        return f"{what} must be at most {_end(field.maximum)}; {setting(value)} is too large."
    return ""
