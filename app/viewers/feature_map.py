"""Dense features as colours: three principal components beside the input."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import Canvas, Viewer
from app.viewers.tiles import Tile, draw_tiles
from app.widgets.numbers import count
from engine.protocol.inspections import FeatureMap


class FeatureMapViewer(Viewer):
    """Pairs of input and colours; equal colours mean equal features, across the records of one step."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._tiles: list[Tile] = []
        self.canvas = Canvas(self._paint, QSize(240, 120))
        self.set_body(self.canvas)

    def qualifier(self) -> str:
        """Return step, variance explained, and what the colours were fitted on."""
        shown = self.inspection
        if not isinstance(shown, FeatureMap):
            return ""
        share = float(np.sum(shown.explained)) * 100
        return f"{super().qualifier()}, {share:.0f} % of the variance, fitted on {count(shown.fitted_on)} records"

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, FeatureMap):
            return
        self._tiles = []
        for row, record in enumerate(shown.records):
            name = shown.labels[row] if row < len(shown.labels) else f"record {count(int(record))}"
            picture = painting.flat_picture(shown.input[row])
            colours = painting.flat_picture(shown.colours[row])
            colours = colours if colours.ndim == 3 else colours[:, None, :]
            self._tiles += [
                Tile(painting.to_image(picture), name),
                Tile(painting.to_image(colours), f"{colours.shape[-2]} × {colours.shape[-1]} features"),
            ]
        self.canvas.update()

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        draw_tiles(painter, area, self._tiles, self.theme)
