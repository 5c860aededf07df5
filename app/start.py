"""Starts the window: display, application, theme, client."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QSettings, Qt, QTimer
from PySide6.QtGui import QIcon, QSurfaceFormat
from PySide6.QtWidgets import QApplication

from app.ahead import Ahead
from app.client import EngineClient
from app.crash import CrashReporter
from app.launcher import Local, Ssh
from app.main_window import MainWindow
from app.shell.places import PLACES
from app.shell.settings_view import MOTION
from app.theme import RESOURCES, Theme, read_colormap
from app.tokens import COLOUR_MAPS
from app.widgets.stall import StallMonitor

logger = logging.getLogger(__name__)


class NoDisplay(RuntimeError):  # noqa: N818 - it names the situation
    """There is no display to open a window on; the text says what to do."""


def check_display(environment: dict[str, str], system: str = sys.platform) -> None:
    """Qt ends the process without a display; find out before.

    Raises:
        NoDisplay: a window cannot be opened.
    """
    wanted = environment.get("QT_QPA_PLATFORM", "")
    if wanted or system in {"win32", "darwin"}:
        return
    if not environment.get("DISPLAY") and not environment.get("WAYLAND_DISPLAY"):
        msg = (
            "There is no display to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set). "
            "Use the commands instead (selfsight --help), connect with ssh -X, "
            "or run the window on your own computer with: selfsight --engine HOST"
        )
        raise NoDisplay(msg)


def make_application(arguments: list[str]) -> QApplication:
    """Return the application, its surface format set before it exists (napari and VTK need that)."""
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    surface = QSurfaceFormat()
    surface.setRenderableType(QSurfaceFormat.RenderableType.OpenGL)
    surface.setVersion(3, 2)
    surface.setProfile(QSurfaceFormat.OpenGLContextProfile.CoreProfile)
    surface.setDepthBufferSize(24)
    surface.setStencilBufferSize(8)
    surface.setSwapBehavior(QSurfaceFormat.SwapBehavior.DoubleBuffer)
    QSurfaceFormat.setDefaultFormat(surface)
    # a canvas in a panel that floats keeps what it has on the graphics card
    QCoreApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)
    QCoreApplication.setOrganizationName("Selfsight")
    QCoreApplication.setApplicationName("Selfsight")
    application = QApplication([sys.argv[0], *arguments])
    application.setWindowIcon(QIcon(str(RESOURCES / "icons" / "selfsight.svg")))
    return application


def make_theme(settings: QSettings) -> Theme:
    """Return the theme as the user left it."""
    mode: Any = settings.value("look/mode", "system")
    try:
        scale = float(str(settings.value("look/text scale", 1.0)))
    except ValueError:
        scale = 1.0
    theme = Theme(mode if mode in {"system", "light", "dark"} else "system", scale)
    theme.set_reduced_motion(MOTION.get(str(settings.value("look/motion", "")), None))
    return theme


def open_window(
    workspace: Path | None, paths: list[Path] | None = None, engine: str = "", settings: QSettings | None = None
) -> tuple[MainWindow, StallMonitor]:
    """Open the window on a workspace of this computer, or on the engine of the computer `engine`.

    Raises:
        NoDisplay: there is nothing to open it on.
    """
    check_display(dict(os.environ))
    application = make_application([])
    settings = settings or QSettings()
    theme = make_theme(settings)
    theme.apply()
    launcher = Ssh(engine, workspace=str(workspace or "")) if engine else Local(workspace or default_workspace())
    client = EngineClient(launcher)
    window = MainWindow(client, theme, settings, place=launcher.place)
    client.setParent(window)
    theme.setParent(window)
    crash = CrashReporter(window.notices, window)
    crash.install()
    stall = StallMonitor(parent=window)
    # What happens before the event loop turns is the start, not a stall.
    QTimer.singleShot(0, stall, stall.start)
    application.aboutToQuit.connect(stall.stop)
    window.show()
    window.go("data")
    window.open_paths([str(path.resolve()) for path in paths or []])
    client.start()
    ahead = get_ready(window)
    application.aboutToQuit.connect(ahead.stop)
    QTimer.singleShot(0, ahead, ahead.start)
    return window, stall


def get_ready(window: MainWindow) -> Ahead:
    """Import and build the other pages while nobody asks for them.

    Explore reads pictures of the newest run as soon as it is there, so it is built by whoever wants to see them.
    """
    modules = [(name, f"app.pages.{name}_view") for name, _, _ in PLACES]
    found = [(name, module) for name, module in modules if importlib.util.find_spec(module) is not None]

    def build(place: str) -> None:
        if place != "explore":
            window.places.build(place)

    return Ahead(found, build, read_tables, window.theme.is_dressing, window)


def read_tables() -> None:
    """Read what the first picture and the first YAML would wait for."""
    importlib.import_module("yaml")
    for maps in COLOUR_MAPS.values():
        for name in maps:
            read_colormap(name)


def default_workspace() -> Path:
    """Return the workspace to open where none is named."""
    from engine.workspace import Workspace

    return Workspace.default().root
