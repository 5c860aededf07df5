"""Where to write what a panel shows: asks for a file, writes, and says where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

from app.notices import Notices

Write = Callable[[Path], list[Path]]


def ask_export(parent: QWidget, name: str, write: Write, notices: Notices) -> QFileDialog:
    """Ask for a file without blocking, then write picture and arrays there."""
    dialog = QFileDialog(parent, "Export", name)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setNameFilter("Picture, drawings and arrays (*.png *.svg *.pdf *.npz)")
    dialog.fileSelected.connect(lambda path: export(Path(path), write, notices))
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()
    return dialog


def export(path: Path, write: Write, notices: Notices) -> None:
    """Write, and tell where the files are or why there are none."""
    try:
        files = write(path)
    except OSError as error:
        notices.post(f"{path.name} was not exported: {error}. Choose another folder.", "error", toast=False)
        return
    if files:
        names = ", ".join(file.name for file in files)
        notices.post(f"Exported {names} to {path.parent}.", "ok")
    else:
        notices.post("Nothing was exported: this panel shows nothing yet.", "warn")
