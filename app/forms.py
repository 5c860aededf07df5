"""Forms made from the settings that a method declares: nothing here knows a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from app.editors import find_problem, make_editor, range_text
from app.theme import Theme
from app.widgets.buttons import Button
from app.widgets.numbers import setting
from app.widgets.panel import ElidedLabel, label
from engine.protocol.forms import FormField, SettingProblem, Value

LABEL_PX = 126
RANGE_PX = 92


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
        self.reset = Button(theme, "", icon="reset", kind="quiet")
        self.reset.clicked.connect(lambda _checked: self.set_value(self.preset))
        top = QHBoxLayout()
        top.setContentsMargins(0, 0, 0, 0)
        top.setSpacing(0)
        top.addWidget(self.title)
        top.addSpacing(12)
        top.addWidget(self.editor, 1 if field.kind == "str" else 0)
        top.addSpacing(8)
        top.addWidget(self.unit, 1)
        top.addWidget(self.range)
        top.addWidget(self.reset)
        self.explanation = _explanation(field.description)
        self.problem_text = label("", "small", wrap=True)
        self.problem_icon = QLabel()
        self.problem = QWidget()
        problem_row = QHBoxLayout(self.problem)
        problem_row.setContentsMargins(0, 2, 0, 2)
        problem_row.setSpacing(6)
        problem_row.addWidget(self.problem_icon, 0, Qt.AlignmentFlag.AlignTop)
        problem_row.addWidget(self.problem_text, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(top)
        for below in (self.problem, self.explanation):
            indented = QHBoxLayout()
            indented.setContentsMargins(theme.px(LABEL_PX) + 12, 0, 0, 0)
            indented.addWidget(below)
            column.addLayout(indented)
            below.hide()
        self.set_value(field.default)
        self.editor.edited.connect(self._edited)
        theme.changed.connect(self.refresh)
        self.refresh()

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
        self.reset.setVisible(changed)
        self.range.setVisible(not changed)
        preset = setting(self.preset)
        self.reset.setText(f"preset: {preset if len(preset) <= 14 else preset[:13] + '…'}")
        self.reset.setToolTip(f"Set {self.field.title} back to {preset}")
        own = self.own_problem()
        text, level = (own, "error") if own else self.outside_problem
        self.problem.setVisible(bool(text))
        self.editor.mark(level if text else "")
        if text:
            self.problem_text.setText(text)
            self.problem_text.setStyleSheet(f"color: {self._theme.hex(level)}")
            self.problem_icon.setPixmap(self._theme.icon("warn" if level == "warn" else "error", level).pixmap(14, 14))

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


class _Group(QWidget):
    """The settings of one group; advanced ones behind a fold that says how many of them are changed."""

    def __init__(self, theme: Theme, title: str, rows: Sequence[SettingRow]) -> None:
        super().__init__()
        self.rows = [row for row in rows if not row.field.advanced]
        self.advanced = [row for row in rows if row.field.advanced]
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 8)
        column.setSpacing(4)
        column.addWidget(label(title, "second"))
        for row in self.rows:
            column.addWidget(row)
        self.fold = Button(theme, "", icon="next", kind="quiet")
        self.fold.setCheckable(True)
        self.fold.setProperty("place", "fold")
        self.fold.setVisible(bool(self.advanced))
        self.fold.toggled.connect(self._toggle)
        folded = QHBoxLayout()
        folded.setContentsMargins(theme.px(LABEL_PX) + 6, 0, 0, 0)
        folded.addWidget(self.fold)
        folded.addStretch(1)
        column.addLayout(folded)
        for row in self.advanced:
            column.addWidget(row)
            row.hide()
        self.refresh()

    def refresh(self) -> None:
        """Count what is changed behind the fold."""
        changed = sum(row.is_changed() for row in self.advanced)
        words = f"{len(self.advanced)} advanced" + (f", {changed} changed" if changed else "")
        self.fold.setText(words)

    def open(self) -> None:
        """Show the advanced settings."""
        self.fold.setChecked(True)

    def _toggle(self, wanted: bool) -> None:  # noqa: FBT001 - Qt calls it
        self.fold.set_icon("down" if wanted else "next")
        for row in self.advanced:
            row.setVisible(wanted)


class SettingsForm(QScrollArea):
    """A form over any settings. `values` are complete, `changes` what differs from the preset."""

    values_changed = Signal()

    def __init__(self, theme: Theme, fields: Sequence[FormField] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.rows: dict[str, SettingRow] = {}
        self._groups: list[_Group] = []
        self._open: SettingRow | None = None
        self._wanted: SettingRow | None = None
        self._loading = False
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(30)
        self._later.timeout.connect(self._explain)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.set_fields(fields)

    def set_fields(self, fields: Sequence[FormField], preset: Mapping[str, Any] | None = None) -> None:
        """Show other settings; `preset` holds what differs from their defaults."""
        self.rows, self._groups, self._open, self._wanted = {}, [], None, None
        inside = QWidget()
        inside.setProperty("kind", "scrolled")
        inside.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.MinimumExpanding)
        inside.setMaximumWidth(520)
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(4)
        for group in dict.fromkeys(field.group for field in fields):
            rows = [SettingRow(self._theme, field) for field in fields if field.group == group]
            for row in rows:
                self.rows[row.field.name] = row
                row.edited.connect(self._edited)
                row.focused.connect(self._focus)
            made = _Group(self._theme, group, rows)
            self._groups.append(made)
            column.addWidget(made)
        column.addStretch(1)
        self.setWidget(inside)
        self.set_preset(preset or {})

    def set_preset(self, preset: Mapping[str, Any]) -> None:
        """Show a preset: its values, defaults for the rest."""
        self._loading = True
        for name, row in self.rows.items():
            row.outside_problem = ("", "")
            row.set_preset(preset.get(name, row.field.default))
        self._loading = False
        self._edited()

    def values(self) -> dict[str, Value]:
        """Return all values."""
        return {name: row.value() for name, row in self.rows.items()}

    def changes(self) -> dict[str, Value]:
        """Return the values that differ from the preset."""
        return {name: row.value() for name, row in self.rows.items() if row.is_changed()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show values; the preset to compare with stays."""
        self._loading = True
        for name, value in values.items():
            if name in self.rows:
                self.rows[name].set_value(value)
        self._loading = False
        self._edited()

    def reset(self) -> None:
        """Go back to the preset."""
        self.set_values({name: row.preset for name, row in self.rows.items()})

    @property
    def problems(self) -> list[SettingProblem]:
        """What is wrong, in the order of the form; warnings are left out."""
        found = []
        for name, row in self.rows.items():
            text = row.own_problem() or (row.outside_problem[0] if row.outside_problem[1] == "error" else "")
            if text:
                found.append(SettingProblem(name=name, message=text))
        return found

    def show_problem(self, name: str, message: str, level: str = "error") -> bool:
        """Show at a setting what the engine says of it, until it is edited; False = there is no such setting."""
        row = self.rows.get(name)
        if row is None:
            return False
        row.outside_problem = (message, level)
        row.refresh()
        return True

    def jump_to_first_error(self) -> bool:
        """Bring the first wrong setting into view and give it the focus; False = nothing is wrong."""
        problems = self.problems
        if not problems:
            return False
        row = self.rows[problems[0].name]
        for group in self._groups:
            if row in group.advanced:
                group.open()
        self.ensureWidgetVisible(row)
        row.editor.inputs[0].setFocus(Qt.FocusReason.OtherFocusReason)
        return True

    def _edited(self) -> None:
        if self._loading:
            return
        for group in self._groups:
            group.refresh()
        self.values_changed.emit()

    def _focus(self, row: SettingRow) -> None:
        self._wanted = row
        self._later.start()

    def _explain(self) -> None:
        if QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._later.start()  # rows must not move between press and release
            return
        if self._open is not None:
            self._open.explanation.hide()
        self._open = self._wanted
        if self._open is not None:
            self._open.explanation.show()
