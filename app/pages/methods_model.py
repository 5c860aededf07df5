"""The state of the Methods page: the data, the chosen method, its settings, their check, the dry run, the start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from app.context import Client
from app.pages.methods_catalogue import CatalogueModel, MethodEntry
from app.pages.methods_dry_run import DryRunModel
from app.workspace_model import WorkspaceModel
from engine.protocol.forms import FormField
from engine.protocol.messages import (
    CheckSettings,
    Failed,
    Failure,
    Message,
    MethodInfo,
    RunAccepted,
    RunSpec,
    SettingsChecked,
    StartRun,
)
from engine.protocol.schema import DatasetInfo

CHECK_MS: Final = 350
LOOP: Final = "training."
LARGEST_SPEC_BYTES: Final = 1 << 20
PRESETS: Final = ("tiny", "small", "paper")


class MethodsModel(QObject):
    """Facts and intents of the Methods page. The form writes `config` and `training`; this decides the rest."""

    contents_changed = Signal()  # methods, datasets or runs
    method_changed = Signal()  # another method, or another preset of it
    checked = Signal()  # problems, misfit, command or failure
    started = Signal(str)  # run

    def __init__(self, client: Client, workspace: WorkspaceModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client, self.workspace = client, workspace
        self.catalogue = CatalogueModel(self)
        self.dry_run = DryRunModel(client, lambda: list(workspace.jobs.values()), self)
        self.dataset = ""
        self.method = ""
        self.preset = ""
        self.prefilled: RunSpec | None = None
        """A run whose settings the form starts from (Duplicate)."""
        self.config: dict[str, Any] = {}
        self.training: dict[str, Any] = {}
        self.seed = 0
        self.device = "auto"
        self.problems: tuple[tuple[str, str], ...] = ()
        self.misfit = ""
        self.command = ""
        self.check_failure: Failure | None = None
        self.start_failure: Failure | None = None
        self.checking = False
        self.starting = False
        self._question = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(CHECK_MS)
        self._timer.timeout.connect(self._check)
        for changed in (workspace.methods_changed, workspace.datasets_changed, workspace.runs_changed):
            changed.connect(self._update)
        workspace.jobs_changed.connect(self.dry_run.follow)
        self._update()

    # ── what there is ────────────────────────────────────────────────────────────────────────────

    @property
    def data(self) -> DatasetInfo | None:
        """The chosen dataset."""
        return self.workspace.datasets.get(self.dataset)

    @property
    def info(self) -> MethodInfo | None:
        """The chosen method."""
        return self.workspace.methods.get(self.method)

    @property
    def entry(self) -> MethodEntry | None:
        """The chosen method's entry in the catalogue."""
        return self.catalogue.entry(self.method)

    def presets(self) -> tuple[str, ...]:
        """Return the presets of the chosen method, the usual three first."""
        names = self.info.presets if self.info else {}
        return tuple(name for name in PRESETS if name in names) + tuple(name for name in names if name not in PRESETS)

    def _update(self) -> None:
        datasets = self.workspace.datasets
        if self.dataset not in datasets:
            self.dataset = next(iter(datasets), "")
        self._fill()
        first = self.catalogue.first()
        if self.method not in self.workspace.methods and first is not None:
            self.choose(first.info.id)
        self.contents_changed.emit()

    def _fill(self) -> None:
        data = self.data
        self.catalogue.set_contents(
            self.workspace.methods.values(), data.schema if data else None, self.workspace.runs.values()
        )

    # ── what the user decides ────────────────────────────────────────────────────────────────────

    def choose_data(self, name: str) -> None:
        """Show which methods fit another dataset; `name` may also be its path."""
        known = self.workspace.datasets.values()
        found = next((info.name for info in known if name in {info.name, info.path}), "")
        if found and found != self.dataset:
            self.dataset = found
            self._fill()
            self.contents_changed.emit()
            self._settings_changed()

    def choose(self, method: str) -> None:
        """Show another method with its settings."""
        if method == self.method:
            return
        self.method, self.prefilled = method, None
        presets = self.presets()
        fitting = "small" if any(device.id != "cpu" for device in self.workspace.devices) else "tiny"
        self.preset = fitting if fitting in presets else presets[0] if presets else ""
        self._new_form()

    def choose_preset(self, name: str) -> None:
        """Start from another preset."""
        self.preset, self.prefilled = name, None
        self._new_form()

    def prefill(self, spec: RunSpec) -> None:
        """Start from the settings of a run."""
        self.choose_data(spec.dataset)
        self.method, self.preset, self.prefilled = spec.method, spec.preset, spec
        self.seed, self.device = spec.seed, spec.device
        self._new_form()

    def form_fields(self) -> tuple[FormField, ...]:
        """Return the settings of method and loop; a method may have one of the same name as the loop."""
        info = self.info
        if info is None:
            return ()
        return info.form + tuple(msgspec.structs.replace(field, name=LOOP + field.name) for field in info.training_form)

    def preset_values(self) -> dict[str, Any]:
        """Return what the chosen preset sets, of method and loop together."""
        info = self.info
        preset = info.presets.get(self.preset) if info else None
        return form_values(preset.config, preset.training) if preset else {}

    def take_settings(self, values: Mapping[str, Any], seed: int, device: str) -> None:
        """Take what the form says; it is checked shortly after the last change."""
        self.config = {name: value for name, value in values.items() if not name.startswith(LOOP)}
        self.training = {name.removeprefix(LOOP): value for name, value in values.items() if name.startswith(LOOP)}
        self.seed, self.device = seed, device
        self._settings_changed()

    def spec(self) -> RunSpec | None:
        """Return the run that the settings describe, or None while something is missing."""
        data = self.data
        if self.info is None or data is None:
            return None
        return RunSpec(
            method=self.method,
            dataset=data.path,
            dataset_checksum=data.checksum,
            preset=self.preset,
            config=self.config,
            training=self.training,
            seed=self.seed,
            device=self.device,
            copied_from=self.prefilled.name if self.prefilled else "",
        )

    def start(self) -> None:
        """Queue the run."""
        self._send_start()

    def measure(self) -> None:
        """Do a dry run with these settings."""
        spec = self.spec()
        if spec is not None:
            self.dry_run.start(spec)

    def _send_start(self) -> None:
        spec = self.spec()
        if spec is None or self.starting:
            return
        self.starting, self.start_failure = True, None

        def take(reply: Message, _arrays: list[Any]) -> None:
            self.starting = False
            if isinstance(reply, RunAccepted):
                self.started.emit(reply.run)
            elif isinstance(reply, Failed):
                self.start_failure = reply.failure
            self.checked.emit()

        self._client.send(StartRun(id=self._client.new_id(), spec=spec), take)
        self.checked.emit()

    # ── the check ────────────────────────────────────────────────────────────────────────────────

    def _new_form(self) -> None:
        self.config, self.training = {}, {}
        self.problems, self.misfit, self.command = (), "", ""
        self.check_failure = self.start_failure = None
        self.dry_run.clear()
        self.method_changed.emit()

    def _settings_changed(self) -> None:
        self._question += 1
        self.start_failure = None
        self.dry_run.compare(self.spec())
        self._timer.start()

    def _check(self) -> None:
        spec = self.spec()
        if spec is None or (self.info is not None and self.info.broken is not None):
            return
        question = self._question
        self.checking = True

        def take(reply: Message, _arrays: list[Any]) -> None:
            if question != self._question:
                return
            self.checking = False
            if isinstance(reply, SettingsChecked):
                self.problems, self.misfit, self.command = reply.problems, reply.misfit, reply.command
                self.check_failure = None
            elif isinstance(reply, Failed):
                self.check_failure = reply.failure
            self.checked.emit()

        self._client.send(CheckSettings(id=self._client.new_id(), spec=spec), take)

    def as_yaml(self) -> str:
        """Return the settings as the run.yaml that `selfsight train --config` reads."""
        spec = self.spec()
        if spec is None:
            return ""
        values = msgspec.to_builtins(spec)
        return msgspec.yaml.encode(
            {name: value for name, value in values.items() if value not in ("", {}, None)}
        ).decode()


def form_values(config: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of method and loop under the names that the form gives them."""
    return {**config, **{LOOP + name: value for name, value in training.items()}}


def read_spec(path: str) -> RunSpec:
    """Return the settings of a run.yaml file.

    Raises:
        ValueError: the file is missing, too large or holds no settings; the text is a sentence.
    """
    file = Path(path)
    try:
        if file.stat().st_size > LARGEST_SPEC_BYTES:
            msg = f"it is larger than {LARGEST_SPEC_BYTES // 1024} kB, which no file of settings is."
            raise ValueError(msg)
        return msgspec.yaml.decode(file.read_bytes(), type=RunSpec)
    except OSError as error:
        msg = f"it cannot be read ({error.strerror})."
        raise ValueError(msg) from error
    except msgspec.MsgspecError as error:
        msg = f"it holds no settings of a run ({error})."
        raise ValueError(msg) from error
