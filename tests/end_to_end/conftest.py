"""A real window on a real engine, each in a workspace of its own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.start import open_window
from engine.protocol.connection import read_connection

PATIENCE_MS = 120_000


class Desk:
    """A window that can be closed and opened again on the same workspace, and its engine that can be killed."""

    def __init__(self, qtbot: QtBot, home: Path) -> None:
        self.qtbot, self.home = qtbot, home
        self.settings = QSettings(str(home.parent / "settings.ini"), QSettings.Format.IniFormat)
        self.window: MainWindow | None = None
        self.stall = None

    def open(self, *paths: Path) -> MainWindow:
        self.window, self.stall = open_window(self.home, list(paths), settings=self.settings)
        window = self.window
        self.wait(lambda: window.workspace.loaded and window.workspace.connected and window.workspace.methods)
        return window

    def close(self) -> None:
        if self.window is not None:
            self.stall.stop()
            self.window.close()
            self.window.context.client.close()
            self.window.deleteLater()
            self.window = None

    def wait(self, condition) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    def engine(self) -> psutil.Process:
        return psutil.Process(read_connection(self.home).pid)

    def end_engine(self) -> None:
        with contextlib.suppress(Exception):
            engine = self.engine()
            family = [*engine.children(recursive=True), engine]
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=10)


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(qtbot, tmp_path / "workspace")
    yield desk
    desk.close()
    desk.end_engine()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of 40 JPEGs in two classes, and four files that are no pictures."""
    folder = tmp_path / "photos"
    draws = np.random.default_rng(0)
    for label in ("stripes", "noise"):
        (folder / label).mkdir(parents=True)
        for number in range(20):
            waves = np.sin(np.arange(48) * draws.uniform(0.2, 1.0))[None, :, None]
            pixels = waves * 100 + 128 if label == "stripes" else draws.uniform(0, 255, (48, 48, 1))
            picture = np.broadcast_to(pixels + draws.uniform(-20, 20, (48, 48, 3)), (48, 48, 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / label / f"{number:02d}.jpg")
    (folder / "noise" / "text.jpg").write_text("this is no picture")
    (folder / "noise" / "empty.jpg").write_bytes(b"")
    good = (folder / "noise" / "00.jpg").read_bytes()
    (folder / "noise" / "cut.jpg").write_bytes(good[: len(good) // 3])
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return folder
