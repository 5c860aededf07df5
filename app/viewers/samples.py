"""Generated pictures, each beside its nearest training record, so that copying is seen."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import Canvas, Viewer
from app.viewers.tiles import Tile, draw_tiles
from app.widgets.numbers import count
from engine.protocol.inspections import Samples


class SamplesViewer(Viewer):
    """Pairs: what was generated, and the nearest real record."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._tiles: list[Tile] = []
        self.canvas = Canvas(self._paint, QSize(240, 120))
        self.set_body(self.canvas)

    def qualifier(self) -> str:
        """Return step and seed."""
        shown = self.inspection
        return f"{super().qualifier()}, seed {shown.seed}" if isinstance(shown, Samples) else ""

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Samples):
            return
        self._tiles = []
        for picture, real, record in zip(shown.pictures, shown.nearest, shown.nearest_records, strict=True):
            self._tiles += [
                Tile(painting.to_image(painting.flat_picture(picture)), "generated"),
                Tile(painting.to_image(painting.flat_picture(real)), f"nearest, record {count(int(record))}"),
            ]
        self.canvas.update()

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        draw_tiles(painter, area, self._tiles, self.theme)
