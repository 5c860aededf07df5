"""The window's own settings. They act at once; a change of workspace or computer opens a new window."""

from __future__ import annotations

import sys

from PySide6.QtCore import QProcess, QSettings, Qt, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QLineEdit, QScrollArea, QSlider, QVBoxLayout, QWidget

from app.context import AppContext
from app.theme import LARGEST_SCALE, SMALLEST_SCALE, Mode
from app.widgets.buttons import Button
from app.widgets.number_box import NumberBox
from app.widgets.panel import Page, Panel, label, line
from app.widgets.segmented import Segmented

MODES: dict[str, Mode] = {"As the system": "system", "Light": "light", "Dark": "dark"}
MOTION: dict[str, bool | None] = {"As the system": None, "Reduced": True, "Full": False}
MOST_BUDGET = 50.0


class SettingsView(Page):
    """Appearance, engine, workspace."""

    window_wanted = Signal(list)  # arguments of the new window

    def __init__(self, context: AppContext, settings: QSettings) -> None:
        super().__init__(context.theme, "Settings")
        self._context, self._settings = context, settings
        theme = context.theme
        inside = QWidget()
        inside.setProperty("kind", "scrolled")
        inside.setMaximumWidth(640)
        self._column = QVBoxLayout(inside)
        self._column.setContentsMargins(12, 12, 12, 12)
        self._column.setSpacing(10)
        self._add_appearance()
        self._column.addWidget(line())
        self._add_engine()
        self._column.addWidget(line())
        self._add_workspace()
        self._column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(inside)
        panel = Panel(theme, "Settings", "act at once and are remembered").without_frame_buttons()
        panel.setObjectName("settings-panel")
        panel.set_body(area)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, panel)
        context.workspace.devices_changed.connect(self._show_budget)
        theme.changed.connect(self._show_theme)
        self._show_theme()
        self._show_budget()

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────

    def _row(self, title: str, widget: QWidget, explanation: str) -> QLabel:
        row = QHBoxLayout()
        row.setSpacing(12)
        name = label(title)
        name.setFixedWidth(self.theme.px(126))
        name.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        name.setBuddy(widget)
        widget.setAccessibleName(title)
        row.addWidget(name)
        row.addWidget(widget)
        row.addStretch(1)
        text = label(explanation, "qualifier", wrap=True)
        text.setContentsMargins(self.theme.px(126) + 12, 0, 0, 0)
        both = QVBoxLayout()
        both.setSpacing(2)
        both.addLayout(row)
        both.addWidget(text)
        self._column.addLayout(both)
        return text

    def _add_appearance(self) -> None:
        theme = self.theme
        self._column.addWidget(label("Appearance", "h2"))
        self.mode = Segmented(list(MODES))
        self.mode.chosen.connect(lambda text: theme.set_mode(MODES[text]))
        self._row("Theme", self.mode, "As the system follows light and dark while the window is open.")
        self.scale = QSlider(Qt.Orientation.Horizontal)
        self.scale.setRange(round(SMALLEST_SCALE * 20), round(LARGEST_SCALE * 20))
        self.scale.setFixedWidth(240)
        self.scale.valueChanged.connect(self._scale_moved)
        self.scale_text = self._row("Text size", self.scale, "")
        self.motion = Segmented(list(MOTION))
        self.motion.chosen.connect(self._motion_chosen)
        self._row("Motion", self.motion, "Reduced: no transitions; play goes step by step.")

    def _add_engine(self) -> None:
        self._column.addWidget(label("Engine", "h2"))
        self.budget = NumberBox(whole=False, minimum=0, maximum=MOST_BUDGET)
        self.budget.editingFinished.connect(self._budget_typed)
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.budget)
        row.addWidget(label("% of training time", "small"))
        self.budget_text = self._row("Live views", box, "The most time that live views may take from training.")
        self.host = QLineEdit(str(self._settings.value("engine/host", "")))
        self.host.setPlaceholderText("user@computer")
        self.host.setFixedWidth(240)
        connect = Button(self.theme, "Open a window there", icon="open")
        connect.clicked.connect(self._open_host)
        place = QWidget()
        row = QHBoxLayout(place)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.host)
        row.addWidget(connect)
        text = "A computer reached by ssh without a password. Its engine starts on demand and outlives this window."
        self.host_text = self._row("Another computer", place, text)

    def _add_workspace(self) -> None:
        self._column.addWidget(label("Workspace", "h2"))
        self.path = QLineEdit()
        self.path.setReadOnly(True)
        self.path.setFixedWidth(300)
        other = Button(self.theme, "Open another", icon="open folder")
        other.clicked.connect(self._choose_workspace)
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.path)
        row.addWidget(other)
        self._row("Folder", box, "Holds datasets and runs. Another workspace opens in a window of its own.")

    # ── what is shown and chosen ─────────────────────────────────────────────────────────────────

    def _show_theme(self) -> None:
        theme = self.theme
        self.mode.set_current(next(text for text, mode in MODES.items() if mode == theme.mode))
        wanted = self._settings.value("look/motion", "As the system")
        self.motion.set_current(str(wanted))
        self.scale.blockSignals(True)  # noqa: FBT003 - Qt's signature
        self.scale.setValue(round(theme.text_scale * 20))
        self.scale.blockSignals(False)  # noqa: FBT003 - Qt's signature
        self.scale_text.setText(f"{round(theme.text_scale * 100)} % of the normal size.")

    def _show_budget(self) -> None:
        if not self.budget.hasFocus():
            self.budget.set_value(round(self._context.workspace.inspection_budget * 100, 3))
        self.path.setText(self._context.workspace.path)
        self.path.setToolTip(self._context.workspace.path)

    def _scale_moved(self, value: int) -> None:
        self.theme.set_text_scale(value / 20)

    def _motion_chosen(self, text: str) -> None:
        self._settings.setValue("look/motion", text)
        self.theme.set_reduced_motion(MOTION[text])

    def _budget_typed(self) -> None:
        value = self.budget.value()
        if isinstance(value, str) or not 0 <= value <= MOST_BUDGET:
            self.budget_text.setText(f"Live views take between 0 and {MOST_BUDGET:g} %; {value!r} is not.")
            return
        self.budget_text.setText("The most time that live views may take from training.")
        if value / 100 != self._context.workspace.inspection_budget:
            self._context.workspace.set_budget(value / 100)

    def _open_host(self) -> None:
        host = self.host.text().strip()
        if not host or host.startswith("-") or any(letter.isspace() for letter in host):
            self.host_text.setText("Write the computer as ssh knows it, for example anna@gpu-box.")
            return
        self._settings.setValue("engine/host", host)
        self._open_window(["--engine", host])

    def _choose_workspace(self) -> None:
        dialog = QFileDialog(self, "Open a workspace")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self._open_window(["--workspace", path]))
        dialog.open()

    def _open_window(self, arguments: list[str]) -> None:
        QProcess.startDetached(sys.executable, ["-m", "app", *arguments])
        self.window_wanted.emit(arguments)
