"""napari inside our window: one canvas for all, loaded when it is first wanted, and moved to where it is needed.

Only `ViewerModel` and the vispy canvas of napari are used, never its widgets; controls, keys, colours and words are
ours. Reading napari takes seconds and happens in a thread; its canvas is made on the Qt thread, in several turns. A
second canvas is never made: every one has its own OpenGL context, and contexts are what runs out.

The canvas may go from one top-level window to another (a panel that floats): what vispy has put on the graphics card
outlives that only because contexts share it, `AA_ShareOpenGLContexts`, which `app.start` sets.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtOpenGLWidgets import QOpenGLWidget
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from app.theme import Theme
from app.tokens import COLOURS
from app.viewers.library_host import LibraryHost

GROUND: Final = COLOURS["sunken"][1]  # dark in both themes: channels add up, and nothing adds up to a light ground
GL_RENDERER: Final = 0x1F01
SOFTWARE: Final = ("llvmpipe", "softpipe", "swrast", "swiftshader", "gdi generic")
DEPTHS, MOST_DEPTH = 128.0, 0.2 / float(np.finfo(np.float32).eps)  # near and far planes, as napari sets them


class NapariHost(LibraryHost):
    """The one napari canvas of the window. `shared(theme)` finds it; `holder` has it at the moment."""

    title: ClassVar[str] = "napari"
    modules: ClassVar[tuple[str, ...]] = (
        "vispy.app",
        "napari.layers",
        "napari.components.viewer_model",
        "napari.utils.colormaps",
        "napari.utils.key_bindings",
        "napari._vispy.canvas",
        "napari._vispy.utils.qt_font",
        "napari._vispy.utils.visual",
        # what its first layers would import
        "scipy.constants",
        "scipy.sparse",
        "scipy.spatial.transform",
        "vispy.visuals.polygon",
    )
    moved = Signal(object)  # the widget that has the canvas from now on

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.viewer: Any = None  # napari's ViewerModel
        self.holder: QWidget | None = None
        self.is_software = False  # whether the processor draws, for want of a graphics card
        self.largest_texture = (2048, 256)  # largest side of a flat and of a solid texture of this graphics card
        self._canvas: Any = None  # napari's VispyCanvas

    def attach(self, holder: QWidget) -> None:
        """Put the canvas into the layout of `holder`; whoever had it before loses it, and its layers are removed."""
        if self._canvas is None or self.holder is holder:
            return
        self.clear()
        self.holder = holder
        layout = holder.layout() or QVBoxLayout(holder)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._canvas.native)
        self._canvas.native.show()
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
        return None if self._canvas is None else self._canvas.native

    # ── making ───────────────────────────────────────────────────────────────────────────────────

    def _import(self) -> None:
        # napari keeps its settings to itself: those of an installation beside ours are neither read nor written
        os.environ.setdefault("NAPARI_CONFIG", "")
        super()._import()

    def _warm_up(self) -> None:
        """Make a layer of each kind without a canvas: its units and lazy imports take a second, here in a thread."""
        from napari.layers import Image, Labels

        Image(np.zeros((2, 2, 2), np.uint8))
        Labels(np.zeros((2, 2, 2), np.int32))  # compiles what brings many labels into a texture

    def _make(self) -> Iterator[None]:
        from napari._vispy.canvas import VispyCanvas
        from napari._vispy.utils.gl import get_gl_extensions, get_max_texture_sizes
        from napari._vispy.utils.qt_font import QtFontManager
        from napari.components.viewer_model import ViewerModel
        from napari.utils.key_bindings import KeymapHandler

        self.viewer = ViewerModel()
        yield
        screen = QApplication.primaryScreen()
        # else vispy runs a program of the X server, and waits for it
        importlib.import_module("vispy").config["dpi"] = (
            round(screen.logicalDotsPerInch()) if screen is not None else 96
        )
        # asked here, with a context of vispy's own, and remembered: later, Qt's may be the current one
        get_gl_extensions()
        yield
        self.largest_texture = tuple(int(side or 256) for side in get_max_texture_sizes())  # type: ignore[assignment]
        yield
        self._canvas = VispyCanvas(
            self.viewer,
            KeymapHandler(),  # without keys: ours are
            QtFontManager(),
            QApplication.font().family(),
            size=self.viewer.canvas.size,
            config={"samples": 0},
        )
        yield
        renderer = str(importlib.import_module("vispy.gloo.gl").glGetParameter(GL_RENDERER)).lower()
        self.is_software = any(name in renderer for name in SOFTWARE)
        self._canvas.native.setAcceptDrops(False)  # files dropped here are for the page, not for napari
        self.viewer.canvas.background_color_override = GROUND
        self.viewer.layers.events.inserted.connect(self._draw_layer)
        for changed in (
            self.viewer.layers.events.inserted,
            self.viewer.layers.events.removed,
            self.viewer.dims.events.ndisplay,
        ):
            changed.connect(self._fit_depth)
        self.clear()

    def _draw_layer(self, event: Any) -> None:
        from napari._vispy.utils.visual import create_vispy_layer

        visual = create_vispy_layer(event.value, font_info=self._canvas.font_info())
        self._canvas.add_layer_visual_mapping(event.value, visual)

    def _fit_depth(self, _event: Any = None) -> None:
        """Set near and far planes so that the solid lies between them and depths are told apart."""
        if self.viewer.dims.ndisplay == 2:
            return
        extent = self.viewer.layers.extent
        sides = (extent.world[1] - extent.world[0] + extent.step)[list(self.viewer.dims.displayed)]
        depth = min(DEPTHS * float(np.linalg.norm(sides)), MOST_DEPTH)
        self._canvas.camera._3D_camera.depth_value = depth  # noqa: SLF001 - napari has no other way

    def _take_down(self) -> None:
        if self._canvas is not None:
            self.clear()
            native = self._canvas.native
            native.hide()
            native.setParent(None)
            native.deleteLater()
        self._canvas = self.viewer = self.holder = None
