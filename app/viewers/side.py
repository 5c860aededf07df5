"""Controls beside a view: which record, which settings of its computation."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from app.editors import Editor, find_problem, make_editor
from app.widgets.number_box import NumberBox
from app.widgets.panel import label, line
from engine.protocol.forms import FormField

SIDE_PX = 248
SETTLE_MS = 350  # after the last key before a number is taken
Settings = tuple[tuple[str, bool | int | float | str], ...]


class SideColumn(QScrollArea):
    """Titled groups of controls, one below the other."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedWidth(SIDE_PX)
        self.setWidgetResizable(True)
        content = QWidget()
        content.setProperty("kind", "scrolled")
        self._column = QVBoxLayout(content)
        self._column.setContentsMargins(12, 12, 12, 12)
        self._column.setSpacing(8)
        self._column.addStretch(1)
        self.setWidget(content)

    def add(self, *widgets: QWidget, title: str = "") -> None:
        """Add widgets at the bottom, under a title."""
        if title:
            if self._column.count() > 1:
                self._insert(line())
            self._insert(label(title, "title"))
        for widget in widgets:
            self._insert(widget)

    def _insert(self, widget: QWidget) -> None:
        self._column.insertWidget(self._column.count() - 1, widget)


class Titled(QWidget):
    """A control with its name above it."""

    def __init__(self, title: str, control: QWidget) -> None:
        super().__init__()
        self.title = label(title, "small")
        control.setAccessibleName(title)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.title)
        column.addWidget(control)


class WholeNumber(Titled):
    """A whole number that is taken a moment after it was typed."""

    taken = Signal(int)

    def __init__(self, title: str, *, minimum: int = 0, maximum: int | None = None) -> None:
        self.box = NumberBox(whole=True, minimum=minimum, maximum=maximum)
        super().__init__(title, self.box)
        self._shown: object = None
        self._minimum, self._maximum = minimum, maximum
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._take)
        self.box.edited.connect(self._settle.start)

    def show_value(self, value: int | None) -> None:
        """Show a number without telling anyone, unless one is being typed."""
        if self._settle.isActive():
            return
        self._shown = value
        self.box.set_value(value)
        self._settle.stop()

    def _take(self) -> None:
        value = self.box.value()
        if not isinstance(value, int) or value == self._shown or value < self._minimum:
            return
        if self._maximum is not None and value > self._maximum:
            return
        self._shown = value
        self.taken.emit(value)


class Steering(QWidget):
    """Editors of the settings that a view lets its watcher steer; `changed` tells all that differ from the run's."""

    changed = Signal(object)  # Settings

    def __init__(self) -> None:
        super().__init__()
        self._fields: dict[str, FormField] = {}
        self._editors: dict[str, Editor] = {}
        self._used: dict[str, Any] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._take)

    def show_fields(self, fields: tuple[FormField, ...]) -> None:
        """Show the settings that an inspection was computed with."""
        if {field.name for field in fields} != set(self._fields):
            while self._column.count():
                item = self._column.takeAt(0)
                if item is not None and (widget := item.widget()) is not None:
                    widget.deleteLater()
            self._editors = {field.name: make_editor(field) for field in fields}
            for field in fields:
                editor = self._editors[field.name]
                editor.setToolTip(field.description)
                editor.edited.connect(self._settle.start)
                unit = f", {field.unit}" if field.unit else ""
                self._column.addWidget(Titled(f"{field.title}{unit}", editor))
        self._fields = {field.name: field for field in fields}
        if not self._settle.isActive():
            for name, field in self._fields.items():
                if self._editors[name].value() != field.default:
                    self._editors[name].set_value(field.default)
            self._used = {name: field.default for name, field in self._fields.items()}
            self._settle.stop()
        self.setVisible(bool(fields))

    def _take(self) -> None:
        chosen = {}
        for name, editor in self._editors.items():
            value = editor.value()
            wrong = find_problem(self._fields[name], value)
            editor.mark("error" if wrong else "")
            if wrong:
                return
            chosen[name] = value
        if chosen != self._used:
            self._used = chosen
            self.changed.emit(tuple(chosen.items()))
