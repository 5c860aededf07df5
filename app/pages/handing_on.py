"""Runs for other tools: asks where to, has the engine write, says where it is or why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QWidget

from app.context import AppContext
from app.workspace_model import failure_text
from engine.protocol.inspections import Array
from engine.protocol.messages import EXPORT_FORMATS, HandOn, JobAccepted, Message

TITLES = {
    "timm": "Encoder for timm (folder)…",
    "safetensors": "Weights, safetensors…",
    "onnx": "ONNX…",
    "torchscript": "TorchScript…",
    "report": "Report, one HTML file…",
    "parquet": "Features, Parquet…",
    "npz": "Features, NumPy NPZ…",
    "csv": "Features, CSV…",
    "projector": "Features, TensorFlow Projector (folder)…",
}
_KINDS = {
    "safetensors": "Weights",
    "onnx": "ONNX graph",
    "torchscript": "TorchScript graph",
    "report": "Report",
    "parquet": "Parquet",
    "npz": "NumPy arrays",
    "csv": "CSV",
}


class HandingOn(QObject):
    """Exports of one page, `parent`."""

    def __init__(self, context: AppContext, parent: QWidget) -> None:
        super().__init__(parent)
        self._context, self._parent = context, parent
        self._waiting: dict[str, str] = {}  # job → where it writes
        context.workspace.jobs_changed.connect(self._look_at_jobs)

    def ask(self, runs: Sequence[str], form: str) -> QFileDialog:
        """Ask for a place without blocking, then have these runs written there."""
        suffix = EXPORT_FORMATS[form]
        name = f"{runs[0]}-{form}{suffix}" if len(runs) == 1 else f"comparison{suffix}"
        dialog = QFileDialog(self._parent, "Export", name)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        if suffix:
            dialog.setNameFilter(f"{_KINDS[form]} (*{suffix})")
            dialog.setDefaultSuffix(suffix.removeprefix("."))
        dialog.fileSelected.connect(lambda path: self.write(runs, form, path))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
        return dialog

    def write(self, runs: Sequence[str], form: str, out: str) -> None:
        """Have runs written to `out` as a job; a notice says how it ends."""
        client, notices = self._context.client, self._context.notices

        def take(reply: Message, _arrays: list[Array]) -> None:
            if isinstance(reply, JobAccepted):
                self._waiting[reply.job] = out
                self._look_at_jobs()
            else:
                notices.post(f"{Path(out).name} was not written: {failure_text(reply)}", "error", toast=False)

        client.send(HandOn(id=client.new_id(), runs=tuple(runs), format=form, out=out), take)

    def _look_at_jobs(self) -> None:
        jobs, notices = self._context.workspace.jobs, self._context.notices
        for job, out in list(self._waiting.items()):
            summary = jobs.get(job)
            if summary is None or summary.state in {"queued", "running"}:
                continue
            del self._waiting[job]
            if summary.state == "done":
                notices.post(f"Exported {Path(out).name} to {Path(out).parent}.", "ok")
            elif summary.failure is not None:
                reason = f"{summary.failure.message} {summary.failure.hint}".strip()
                notices.post(f"{Path(out).name} was not written. {reason}", "error", toast=False)
