"""Adding and removing method files of the user's: asked for here, tried and kept by the engine."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QWidget

from app.context import AppContext
from app.workspace_model import failure_text
from engine.protocol.inspections import Array
from engine.protocol.messages import AddMethod, Failed, Message, Methods, RemoveMethod

MOST_BYTES = 1_000_000


class MethodFiles(QObject):
    """What the buttons do."""

    def __init__(self, context: AppContext, parent: QWidget) -> None:
        super().__init__(parent)
        self._context, self._parent = context, parent

    def ask(self) -> QFileDialog:
        """Ask for a file without blocking, then have it added."""
        dialog = QFileDialog(self._parent, "Add a method file")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilter("Python files (*.py)")
        dialog.fileSelected.connect(self.add)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
        return dialog

    def add(self, path: str) -> None:
        """Have a file tried in a process of its own and kept where it works; a notice says how it went."""
        client, notices, workspace = self._context.client, self._context.notices, self._context.workspace
        name = Path(path).name
        try:
            if Path(path).stat().st_size > MOST_BYTES:
                notices.post(f"{name} was not added: it is larger than a method file may be (1 MB).", "error")
                return
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            notices.post(f"{name} was not added: it cannot be read ({error}).", "error")
            return
        before = set(workspace.methods)

        def take(reply: Message, _arrays: list[Array]) -> None:
            if not isinstance(reply, Methods):
                self._refused(f"{name} was not added", reply)
                return
            workspace.take_methods(reply)
            fresh = [method for method in reply.methods if method.id not in before]
            if fresh:
                notices.post(f"{fresh[0].title} was added from {name}.", "ok", toast=False)
                self._context.go("methods", method=fresh[0].id)
            else:
                notices.post(f"{name} was read anew.", "ok")

        notices.post(f"{name} is being tried…", toast=False)
        client.send(AddMethod(id=client.new_id(), name=name, text=text), take)

    def remove(self, method: str) -> None:
        """Have the copy of a method file deleted."""
        client, notices = self._context.client, self._context.notices

        def take(reply: Message, _arrays: list[Array]) -> None:
            if isinstance(reply, Methods):
                self._context.workspace.take_methods(reply)
                notices.post(f"{method} was removed from the methods. Its runs stay.", "ok")
            else:
                self._refused(f"{method} was not removed", reply)

        client.send(RemoveMethod(id=client.new_id(), method=method), take)

    def _refused(self, what: str, reply: Message) -> None:
        details = reply.failure.traceback if isinstance(reply, Failed) else ""
        self._context.notices.post(f"{what}: {failure_text(reply)}", "error", details=details)
