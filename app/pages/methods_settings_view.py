"""The inspector of the Methods page: settings with presets, claim, paper, YAML, dry run, and the ways to start."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QPlainTextEdit,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.dressing import HOLDER, NEXT_TURN_MS
from app.forms import SettingsForm
from app.pages.data_model import failure_sentence
from app.pages.methods_about_view import ClaimView, PaperView
from app.pages.methods_catalogue import venue_text
from app.pages.methods_dry_run_view import DryRunView
from app.pages.methods_model import LOOP, MethodsModel, form_values
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.chips import Chip
from app.widgets.empty import Banner, EmptyState, FailedState
from app.widgets.panel import ElidedLabel, Tabs, holder, label
from app.widgets.segmented import Segmented
from engine.protocol.forms import FormField

LARGEST_SEED = 2**31 - 1
FORMS_KEPT = 6


class SettingsView(QWidget):
    """One method of a `MethodsModel`."""

    start_wanted = Signal()
    queue_wanted = Signal()
    data_wanted = Signal()

    def __init__(self, model: MethodsModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self.theme = model, theme
        self.paper_line = ElidedLabel("", "small", Qt.TextElideMode.ElideRight)
        self.presets = Segmented(())
        self.changed_text = Chip("", "accent")
        self.reset_button = Button(theme, "Reset", icon="reset", kind="quiet")
        self.form = SettingsForm(theme)
        self.form_stack = QStackedWidget()
        self.seed = QSpinBox()
        self.seed.setRange(0, LARGEST_SEED)
        self.seed.setAccessibleName("Seed")
        self.device = QComboBox()
        self.device.setAccessibleName("Device")
        self.device.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.device.setMinimumContentsLength(12)  # names of processors are long, and must not widen the panel
        self.banner = Banner(theme, "", "warn")
        self.yaml = QPlainTextEdit()
        self.yaml.setReadOnly(True)
        self.yaml.setFont(theme.font("mono"))
        self.yaml.setAccessibleName("Settings as YAML")
        self.copy_yaml_button = Button(theme, "Copy", icon="copy", small=True)
        self.claim, self.paper = ClaimView(), PaperView(theme)
        self.tabs = Tabs()
        self.dry_run = DryRunView(model.dry_run, theme)
        self.command_button = Button(theme, "Copy as command", icon="command", tip="Ctrl+Shift+C")
        self.queue_button = Button(theme, "Add to queue", icon="queue")
        self.start_button = Button(theme, "Start", icon="start", kind="primary", tip="Ctrl+Enter")
        self.broken = FailedState(theme, "", action="Remove from the methods")
        self.nothing = EmptyState(theme, "Choose a method to see its settings.", icon="methods")
        self.stack = QStackedWidget()
        self._forms: dict[str, tuple[tuple[FormField, ...], SettingsForm]] = {}  # of the methods shown last
        self._unplaced = ""  # problems of no setting in the form
        self._arrange()
        self._connect()
        self._first = QTimer(self)  # what is chosen already is shown in a turn of its own: its form takes as long
        self._first.setSingleShot(True)
        self._first.timeout.connect(self.refresh_method)
        if model.info is not None:
            self.stack.setCurrentWidget(self.working)
            self._first.start(NEXT_TURN_MS)

    def _arrange(self) -> None:
        top = QVBoxLayout()
        top.setContentsMargins(12, 10, 12, 0)
        top.setSpacing(8)
        top.addWidget(self.paper_line)
        presets = QHBoxLayout()
        presets.setSpacing(10)
        presets.addWidget(label("Preset", "small"))
        presets.addWidget(self.presets)
        presets.addWidget(self.changed_text)
        presets.addStretch(1)
        presets.addWidget(self.reset_button)
        top.addLayout(presets)
        top.addWidget(self.banner)
        settings = holder()
        column = QVBoxLayout(settings)
        column.setContentsMargins(12, 8, 4, 0)
        column.setSpacing(6)
        self.form_stack.addWidget(self.form)
        column.addWidget(self.form_stack, 1)
        last = QHBoxLayout()
        last.setContentsMargins(0, 0, 8, 4)
        last.setSpacing(8)
        last.addWidget(label("Seed", "small"))
        last.addWidget(self.seed)
        self.seed.setFixedWidth(110)
        self.seed.setAlignment(Qt.AlignmentFlag.AlignRight)
        last.addSpacing(12)
        last.addWidget(label("Device", "small"))
        last.addWidget(self.device, 1)
        column.addLayout(last)
        yaml_page = QWidget()
        yaml_column = QVBoxLayout(yaml_page)
        yaml_column.setContentsMargins(12, 8, 12, 8)
        yaml_column.addWidget(self.yaml, 1)
        yaml_column.addWidget(self.copy_yaml_button, 0, Qt.AlignmentFlag.AlignRight)
        for page, name in ((settings, "Settings"), (self.claim, "Claim"), (self.paper, "Paper"), (yaml_page, "YAML")):
            self.tabs.addTab(page, name)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.command_button)
        buttons.addStretch(1)
        buttons.addWidget(self.queue_button)
        buttons.addWidget(self.start_button)
        bottom = QVBoxLayout()
        bottom.setContentsMargins(12, 6, 12, 12)
        bottom.setSpacing(10)
        bottom.addWidget(self.dry_run)
        bottom.addLayout(buttons)
        working = holder()
        whole = QVBoxLayout(working)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(4)
        whole.addLayout(top)
        whole.addWidget(self.tabs, 1)
        whole.addLayout(bottom)
        self.working = working
        for page in (self.nothing, working, self.broken):
            self.stack.addWidget(page)
        self.setProperty(HOLDER, True)  # noqa: FBT003
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.stack)

    def _connect(self) -> None:
        model = self.model
        model.method_changed.connect(self.refresh_method)
        model.contents_changed.connect(self.refresh_state)
        model.checked.connect(self._show_check)
        # in a turn of its own: it takes as long as everything else that a change of the theme does at once
        self.theme.changed.connect(lambda: QTimer.singleShot(NEXT_TURN_MS, self, self._renew_forms))
        self.presets.chosen.connect(model.choose_preset)
        self.reset_button.clicked.connect(self.reset)
        self.seed.valueChanged.connect(lambda _value: self._take())
        self.device.activated.connect(lambda _place: self._take())
        self.dry_run.run_wanted.connect(lambda: self._unless_wrong(model.measure))
        self.start_button.clicked.connect(lambda: self._unless_wrong(self.start_wanted.emit))
        self.queue_button.clicked.connect(lambda: self._unless_wrong(self.queue_wanted.emit))
        self.command_button.clicked.connect(self.copy_command)
        self.copy_yaml_button.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.yaml.toPlainText()))
        self.banner.action_wanted.connect(self.data_wanted)
        model.workspace.devices_changed.connect(self._fill_devices)
        self._fill_devices()

    # ── what the user does ───────────────────────────────────────────────────────────────────────

    def reset(self) -> None:
        """Go back to the preset."""
        self.model.prefilled = None
        self.form.reset()

    def copy_command(self) -> None:
        """Put the exact command line that starts this run on the clipboard."""
        QGuiApplication.clipboard().setText(self.model.command)

    def _unless_wrong(self, do: Callable[[], object]) -> None:
        if self.form.problems:
            self.tabs.setCurrentIndex(0)
            self.form.jump_to_first_error()
        else:
            do()

    def start(self) -> None:
        """Start if everything is right, else show what is wrong."""
        if self.start_button.isEnabled():
            self.start_button.click()

    def _take(self) -> None:
        self.model.take_settings(self.form.values(), self.seed.value(), self.device.currentData() or "auto")
        self.refresh_state()

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def refresh_method(self) -> None:
        """Write another method, or another preset of it."""
        self._first.stop()
        model, info = self.model, self.model.info
        if info is None:
            self.stack.setCurrentWidget(self.nothing)
            return
        if info.broken is not None:
            self.broken.set_failure(
                f"{info.title or info.id} could not be loaded. {failure_sentence(info.broken)}", info.broken.traceback
            )
            self.broken.action.setVisible(info.source.startswith("file "))
            self.stack.setCurrentWidget(self.broken)
            return
        self.stack.setCurrentWidget(self.working)
        self.paper_line.setText(f"{info.paper}, {info.authors}, {venue_text(info)}")
        self.presets.set_choices(model.presets(), model.preset)
        self.claim.show_method(info)
        self.paper.show_method(info)
        self._unplaced = ""
        self._open_form(info.id, model.form_fields())
        with QSignalBlocker(self.form), QSignalBlocker(self.seed):
            self.form.set_preset(model.preset_values())
            if model.prefilled is not None:
                self.form.set_values(form_values(model.prefilled.config, model.prefilled.training))
            self.seed.setValue(model.seed)
        self._fill_devices()
        self._take()

    def _open_form(self, method: str, fields: tuple[FormField, ...]) -> None:
        """Show a method's form; the last ones are kept, because making one takes longer than a blink."""
        kept = self._forms.pop(method, None)
        if kept is None or kept[0] != fields:
            kept = fields, SettingsForm(self.theme, fields)
            kept[1].values_changed.connect(self._take)
            self.form_stack.addWidget(kept[1])
        self._forms[method] = kept
        self.form = kept[1]
        self.form_stack.setCurrentWidget(self.form)
        self._forget_forms(FORMS_KEPT)

    def _renew_forms(self) -> None:
        """After a change of the theme: rows made anew in slices hold the window up less than dressing them at once."""
        info = self.model.info
        if info is None or info.id not in self._forms:
            return
        values = self.form.values()
        self._forget_forms(0)
        self._open_form(info.id, self.model.form_fields())
        with QSignalBlocker(self.form):
            self.form.set_preset(self.model.preset_values())
            self.form.set_values(values)

    def _forget_forms(self, kept: int) -> None:
        """Let go of the forms shown longest ago."""
        while len(self._forms) > kept:
            old = self._forms.pop(next(iter(self._forms)))[1]
            self.form_stack.removeWidget(old)
            old.deleteLater()

    def refresh_state(self) -> None:
        """Write what depends on settings, data and check."""
        model, changed = self.model, len(self.form.changes())
        origin = model.prefilled.name if model.prefilled is not None else ""
        self.changed_text.show_fact(f"{numbers.plural(changed, 'setting')} changed" if changed else "", "accent")
        self.changed_text.setToolTip(f"Copied from {origin}" if origin else "")
        self.reset_button.setVisible(changed > 0)
        refusal = self._refusal()
        failure = failure_sentence(model.start_failure) if model.start_failure else self._unplaced
        self.banner.tell(
            refusal or failure, "warn" if refusal else "error", "Choose data" if model.data is None else ""
        )
        self.banner.setVisible(bool(refusal or failure))
        possible = not refusal and not model.starting and model.info is not None
        for button in (self.start_button, self.queue_button):
            button.setEnabled(possible)
        self.start_button.setToolTip(refusal or "Ctrl+Enter")
        self.dry_run.run_button.setEnabled(not refusal)
        self.command_button.setEnabled(bool(model.command))
        self.yaml.setPlainText(model.as_yaml())

    def _refusal(self) -> str:
        model, entry = self.model, self.model.entry
        if model.data is None:
            return "Choose data first: a run needs a dataset."
        reason = entry.misfit if entry else ""
        reason = reason or model.misfit
        if reason:
            return f"{model.info.title if model.info else 'This method'} {reason}."
        if model.check_failure is not None:
            return f"The settings could not be checked. {failure_sentence(model.check_failure)}"
        return ""

    def _show_check(self) -> None:
        self._unplaced = " ".join(
            message
            for name, message in self.model.problems
            if not self.form.show_problem(name, message) and not self.form.show_problem(LOOP + name, message)
        )
        self.refresh_state()

    def _fill_devices(self) -> None:
        wanted = [("best that is free", "auto")]
        wanted += [(f"{device.name} ({device.id})", device.id) for device in self.model.workspace.devices]
        if [self.device.itemData(place) for place in range(self.device.count())] != [data for _, data in wanted]:
            self.device.clear()
            for text, data in wanted:
                self.device.addItem(text, data)
        self.device.setCurrentIndex(max(0, self.device.findData(self.model.device)))
