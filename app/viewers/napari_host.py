"""napari inside our window: one canvas for all, loaded when it is first wanted, and moved to where it is needed.

Only `ViewerModel` and `QtViewer` of napari are used, never its main window; controls, colours and words are ours.
Reading napari takes seconds and happens in a thread; making its canvas takes half a second and must happen on the Qt
thread. A second canvas is never made: every one has its own OpenGL context, and contexts are what runs out.

The canvas must stay in one top-level window: Qt makes a new OpenGL context when it goes to another, and what vispy
has put on the old one is lost.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import threading
from typing import Any, Final, Literal

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer, Signal
from PySide6.QtOpenGLWidgets import QOpenGLWidget
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from app.theme import Theme
from app.tokens import COLOURS

logger = logging.getLogger(__name__)
State = Literal["idle", "loading", "ready", "failed"]
MODULES: Final = (
    "numpy",
    "vispy.app",
    "napari.layers",
    "napari.components.viewer_model",
    "napari.utils.colormaps",
    "napari._qt.qt_viewer",
)
GROUND: Final = COLOURS["sunken"][1]  # dark in both themes: channels add up, and nothing adds up to a light ground
GL_RENDERER: Final = 0x1F01
SOFTWARE: Final = ("llvmpipe", "softpipe", "swrast", "swiftshader", "gdi generic")
PROPAGATION: Final = Qt.ApplicationAttribute.AA_UseStyleSheetPropagationInWidgetStyles


class NapariHost(QObject):
    """The one napari canvas of the window. `shared(theme)` finds it; `holder` has it at the moment."""

    ready = Signal()
    failed = Signal(str)
    moved = Signal(object)  # the widget that has the canvas from now on
    _imported = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.state: State = "idle"
        self.problem = ""
        self.viewer: Any = None  # napari's ViewerModel
        self.holder: QWidget | None = None
        self.is_software = False  # whether the processor draws, for want of a graphics card
        self.largest_texture = (2048, 256)  # largest side of a flat and of a solid texture of this graphics card
        self._qt_viewer: Any = None
        self._thread: threading.Thread | None = None
        self._imported.connect(self._make, Qt.ConnectionType.QueuedConnection)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close)

    @staticmethod
    def shared(theme: Theme) -> NapariHost:
        """Return the host of the window with this theme; it is made on the first call."""
        found = theme.findChild(NapariHost)
        return found if isinstance(found, NapariHost) else NapariHost(theme)

    def prepare(self) -> None:
        """Begin to load napari, unless that has happened; `ready` or `failed` tells the end."""
        if self.state in {"idle", "failed"}:
            self.state, self.problem = "loading", ""
            self._thread = threading.Thread(target=self._import, name="napari", daemon=True)
            self._thread.start()

    def attach(self, holder: QWidget) -> None:
        """Put the canvas into the layout of `holder`; whoever had it before loses it, and its layers are removed."""
        if self._qt_viewer is None or self.holder is holder:
            return
        self.clear()
        self.holder = holder
        layout = holder.layout() or QVBoxLayout(holder)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._qt_viewer)
        self._qt_viewer.show()
        self.moved.emit(holder)

    def clear(self) -> None:
        """Remove every layer and every handler."""
        if self.viewer is None:
            return
        self.remove(list(self.viewer.layers))
        for callbacks in (
            self.viewer.mouse_move_callbacks,
            self.viewer.mouse_drag_callbacks,
            self.viewer.mouse_wheel_callbacks,
            self.viewer.mouse_double_click_callbacks,
        ):
            callbacks.clear()

    def remove(self, layers: list[Any]) -> None:
        """Remove layers.

        napari flushes OpenGL commands as it does so, in whatever context is current, and that may be Qt's own: the next
        picture then reads from what does not exist. Hence ours is made current around it.
        """
        if not layers:
            return
        canvas = self.canvas if self.canvas is not None and self.canvas.isValid() else None
        if canvas is not None:
            canvas.makeCurrent()
        for layer in layers:
            self.viewer.layers.remove(layer)
        if canvas is not None:
            canvas.doneCurrent()

    @property
    def canvas(self) -> QOpenGLWidget | None:
        """The widget that is drawn on."""
        return None if self._qt_viewer is None else self._qt_viewer.canvas.native

    def close(self) -> None:
        """Take everything down; the host can be prepared again."""
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()
        self._thread = None
        if self._qt_viewer is not None:
            self.clear()
            self._qt_viewer.close()
            self._qt_viewer.setParent(None)
            self._qt_viewer.deleteLater()
        self._qt_viewer = self.viewer = self.holder = None
        self.state = "idle"

    def _import(self) -> None:
        # napari keeps its settings to itself: those of an installation beside ours are neither read nor written
        os.environ.setdefault("NAPARI_CONFIG", "")
        try:
            for module in MODULES:
                importlib.import_module(module)
            warm_up()
            gc.collect()
            gc.freeze()
        except Exception as error:  # whatever its many imports raise, the viewer tells it
            logger.warning("napari cannot be imported", exc_info=True)
            self._imported.emit(f"{type(error).__name__}: {error}")
        else:
            self._imported.emit("")

    def _make(self, problem: str) -> None:
        if self.state != "loading":
            return
        if not problem:
            from napari.components.viewer_model import ViewerModel

            self.viewer = ViewerModel()
            # the canvas is made in the next turn, so that one turn is not as long as both
            QTimer.singleShot(0, self, self._make_canvas)
            return
        self.state, self.problem = "failed", problem
        self.failed.emit(problem)

    def _make_canvas(self) -> None:
        if self.state != "loading":
            return
        from napari._qt.qt_viewer import QtViewer
        from napari._vispy.utils.gl import get_gl_extensions, get_max_texture_sizes

        screen = QApplication.primaryScreen()
        # else vispy runs a program of the X server, and waits for it
        importlib.import_module("vispy").config["dpi"] = (
            round(screen.logicalDotsPerInch()) if screen is not None else 96
        )
        propagates = QApplication.testAttribute(PROPAGATION)
        try:
            self._qt_viewer = QtViewer(self.viewer, show_welcome_screen=False)
        except Exception as error:  # a graphics driver may refuse in many ways
            logger.warning("napari's canvas cannot be made", exc_info=True)
            self.viewer = None
            self.state, self.problem = "failed", f"{type(error).__name__}: {error}"
            self.failed.emit(self.problem)
            return
        finally:
            QApplication.setAttribute(PROPAGATION, propagates)  # napari sets it for the whole application
        # asked here, with a context of vispy's own, and remembered: later, Qt's may be the current one
        get_gl_extensions()
        self.largest_texture = tuple(int(side or 256) for side in get_max_texture_sizes())  # type: ignore[assignment]
        renderer = str(importlib.import_module("vispy.gloo.gl").glGetParameter(GL_RENDERER)).lower()
        self.is_software = any(name in renderer for name in SOFTWARE)
        self._qt_viewer.dims.hide()
        self._qt_viewer.setAcceptDrops(False)  # files dropped here are for the page, not for napari
        self._qt_viewer.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, on=False)
        self.clear()
        gc.freeze()  # what is there by now stays; napari collects garbage whenever a layer goes, over seconds else
        self.viewer.canvas.background_color_override = GROUND
        self.state = "ready"
        QTimer.singleShot(0, self, self.ready.emit)


def warm_up() -> None:
    """Make a layer of each kind without a canvas: its units and lazy imports take a second, here in a thread."""
    import numpy as np
    from napari.layers import Image, Labels

    Image(np.zeros((2, 2, 2), np.uint8))
    Labels(np.zeros((2, 2, 2), np.uint8))
