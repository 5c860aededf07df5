"""Forms made from the settings that a method declares: nothing here knows a method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from app.setting_row import LABEL_PX, SettingRow, UnbuiltRow
from app.theme import Theme
from app.widgets.buttons import Button
from app.widgets.panel import label
from engine.protocol.forms import FormField, SettingProblem, Value

SLICE_S = 0.012  # for building rows in one turn of the event loop


class _Group(QWidget):
    """The settings of one group; advanced ones behind a fold that says how many of them are changed.

    Rows are built one by one, advanced ones when the fold opens. `make` builds the row of a setting.
    """

    def __init__(
        self, theme: Theme, title: str, fields: Sequence[FormField], make: Callable[[FormField], SettingRow]
    ) -> None:
        super().__init__()
        self._make = make
        self._waiting = {
            advanced: [field for field in fields if field.advanced is advanced] for advanced in (False, True)
        }
        self.advanced = [field.name for field in fields if field.advanced]
        self._rows: list[SettingRow] = []  # behind the fold
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 8)
        self._column.setSpacing(4)
        self._column.addWidget(label(title, "second"))
        self.fold = Button(theme, "", icon="next", kind="quiet")
        self.fold.setCheckable(True)
        self.fold.setProperty("place", "fold")
        self.fold.setVisible(bool(self.advanced))
        self.fold.toggled.connect(self._toggle)
        self._folded = QHBoxLayout()
        self._folded.setContentsMargins(theme.px(LABEL_PX) + 6, 0, 0, 0)
        self._folded.addWidget(self.fold)
        self._folded.addStretch(1)
        self._column.addLayout(self._folded)

    def build_next(self) -> bool:
        """Build the next row in sight; False = all are built."""
        if not self._waiting[False]:
            return False
        row = self._make(self._waiting[False].pop(0))
        self._column.insertWidget(self._column.indexOf(self._folded), row)
        return bool(self._waiting[False])

    @property
    def is_built(self) -> bool:
        """Whether all rows in sight are there."""
        return not self._waiting[False]

    def build(self, name: str) -> None:
        """Build the rows up to a setting's."""
        if name in self.advanced:
            self._build_advanced()
        while any(field.name == name for field in self._waiting[False]):
            self.build_next()

    def show_changes(self, changed: int) -> None:
        """Say how many settings behind the fold are changed."""
        self.fold.setText(f"{len(self.advanced)} advanced" + (f", {changed} changed" if changed else ""))

    def open(self) -> None:
        """Show the advanced settings."""
        self.fold.setChecked(True)

    def _build_advanced(self) -> None:
        for field in self._waiting[True]:
            row = self._make(field)
            row.setVisible(self.fold.isChecked())
            self._column.addWidget(row)
            self._rows.append(row)
        self._waiting[True] = []

    def _toggle(self, wanted: bool) -> None:  # noqa: FBT001 - Qt calls it
        self.fold.set_icon("down" if wanted else "next")
        self._build_advanced()
        for row in self._rows:
            row.setVisible(wanted)


class _Rows(Mapping[str, SettingRow]):
    """The rows by name; one that is not built yet is built when somebody asks for it."""

    def __init__(self, form: SettingsForm) -> None:
        self._form = form

    def __getitem__(self, name: str) -> SettingRow:
        return self._form.build(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._form.settings)

    def __len__(self) -> int:
        return len(self._form.settings)


class SettingsForm(QScrollArea):
    """A form over any settings. `values` are complete, `changes` what differs from the preset."""

    values_changed = Signal()

    def __init__(
        self, theme: Theme, fields: Sequence[FormField] = (), parent: QWidget | None = None, *, is_whole: bool = False
    ) -> None:
        """Make a form that scrolls; `is_whole`: that is as tall as its rows, inside something else that scrolls."""
        super().__init__(parent)
        self._theme, self._is_whole = theme, is_whole
        self.settings: dict[str, SettingRow | UnbuiltRow] = {}
        self.rows = _Rows(self)
        self._groups: list[_Group] = []
        self._open: SettingRow | None = None
        self._wanted: SettingRow | None = None
        self._loading = False
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(30)
        self._later.timeout.connect(self._explain)
        self._builder = QTimer(self)
        self._builder.setInterval(0)
        self._builder.timeout.connect(self._build_some)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        if is_whole:
            self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.set_fields(fields)

    def set_fields(self, fields: Sequence[FormField], preset: Mapping[str, Any] | None = None) -> None:
        """Show other settings; `preset` holds what differs from their defaults."""
        self.settings = {field.name: UnbuiltRow(field) for field in fields}
        self._groups, self._open, self._wanted = [], None, None
        inside = QWidget()
        inside.setProperty("kind", "scrolled")
        inside.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.MinimumExpanding)
        inside.setMaximumWidth(520)
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(4)
        for group in dict.fromkeys(field.group for field in fields):
            made = _Group(self._theme, group, [field for field in fields if field.group == group], self._make_row)
            self._groups.append(made)
            column.addWidget(made)
        column.addStretch(1)
        self.setWidget(inside)
        if self._is_whole:
            inside.installEventFilter(self)
        self.set_preset(preset or {})
        if self.isVisible():
            self._build_some()

    # ── building, a little in every turn of the event loop ───────────────────────────────────────

    def build(self, name: str) -> SettingRow:
        """Return the row of a setting, building it if need be.

        Raises:
            KeyError: there is no such setting.
        """
        if isinstance(self.settings[name], UnbuiltRow):
            for group in self._groups:
                group.build(name)
        row = self.settings[name]
        if not isinstance(row, SettingRow):
            raise KeyError(name)
        return row

    @property
    def is_built(self) -> bool:
        """Whether all rows that are in sight are built."""
        return all(group.is_built for group in self._groups)

    def showEvent(self, event: QShowEvent) -> None:
        """Build rows once somebody looks."""
        super().showEvent(event)
        if not self.is_built:
            self._builder.start()

    def sizeHint(self) -> QSize:
        """Return the size of all rows, where the form shows them all."""
        inside = self.widget()
        return inside.sizeHint() if self._is_whole and inside is not None else super().sizeHint()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Grow with the rows."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def finish(self) -> None:
        """Build all rows that are in sight."""
        for group in self._groups:
            while group.build_next():
                pass
        self._builder.stop()

    def _build_some(self) -> None:
        began = time.monotonic()
        for group in self._groups:
            while group.build_next():
                if time.monotonic() - began > SLICE_S:
                    self._builder.start()
                    return
            if time.monotonic() - began > SLICE_S and not self.is_built:
                self._builder.start()
                return
        self._builder.stop()

    def _make_row(self, field: FormField) -> SettingRow:
        plan = self.settings[field.name]
        row = SettingRow(self._theme, field)
        row.set_preset(plan.preset)
        if plan.is_changed():
            row.set_value(plan.value())
        row.outside_problem = plan.outside_problem
        row.refresh()
        row.edited.connect(self._edited)
        row.focused.connect(self._focus)
        self.settings[field.name] = row
        return row

    # ── values ───────────────────────────────────────────────────────────────────────────────────

    def set_preset(self, preset: Mapping[str, Any]) -> None:
        """Show a preset: its values, defaults for the rest."""
        self._loading = True
        for name, row in self.settings.items():
            row.outside_problem = ("", "")
            row.set_preset(preset.get(name, row.field.default))
        self._loading = False
        self._edited()

    def values(self) -> dict[str, Value]:
        """Return all values."""
        return {name: row.value() for name, row in self.settings.items()}

    def changes(self) -> dict[str, Value]:
        """Return the values that differ from the preset."""
        return {name: row.value() for name, row in self.settings.items() if row.is_changed()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show values; the preset to compare with stays."""
        self._loading = True
        for name, value in values.items():
            if name in self.settings:
                self.settings[name].set_value(value)
        self._loading = False
        self._edited()

    def reset(self) -> None:
        """Go back to the preset."""
        self.set_values({name: row.preset for name, row in self.settings.items()})

    @property
    def problems(self) -> list[SettingProblem]:
        """What is wrong, in the order of the form; warnings are left out."""
        found = []
        for name, row in self.settings.items():
            text = row.own_problem() or (row.outside_problem[0] if row.outside_problem[1] == "error" else "")
            if text:
                found.append(SettingProblem(name=name, message=text))
        return found

    def show_problem(self, name: str, message: str, level: str = "error") -> bool:
        """Show at a setting what the engine says of it, until it is edited; False = there is no such setting."""
        row = self.settings.get(name)
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
        name = problems[0].name
        row = self.build(name)
        for group in self._groups:
            if name in group.advanced:
                group.open()
        self.ensureWidgetVisible(row)
        row.editor.inputs[0].setFocus(Qt.FocusReason.OtherFocusReason)
        return True

    def _edited(self) -> None:
        if self._loading:
            return
        for group in self._groups:
            group.show_changes(sum(self.settings[name].is_changed() for name in group.advanced))
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
