"""Prototypes: how much each is used, and the records nearest to it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QComboBox, QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import Canvas, Viewer
from app.viewers.table_twin import Table
from app.viewers.tiles import Tile, draw_tiles
from app.widgets.numbers import count, share
from engine.protocol.inspections import Prototypes

DEAD_SHARE = 1e-4
SHOWN = 24


class PrototypesViewer(Viewer):
    """The most used prototypes, the least used, or the dead ones."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._tiles: list[Tile] = []
        self._order = QComboBox()
        self._order.setAccessibleName("Which prototypes")
        self._order.addItems(["Most used", "Least used", "Dead only"])
        self._order.currentIndexChanged.connect(self._render)
        self.canvas = Canvas(self._paint, QSize(240, 120))
        self.set_body(self.canvas)

    def header_widgets(self) -> list[QWidget]:
        """Return the choice of which prototypes."""
        return [self._order]

    def qualifier(self) -> str:
        """Return step, how many are shown of how many, and how many are dead."""
        shown = self.inspection
        if not isinstance(shown, Prototypes):
            return ""
        dead = int((shown.usage < DEAD_SHARE).sum())
        amount = f"{count(len(self._tiles))} of {count(len(shown.usage))} prototypes"
        return f"{super().qualifier()}, {amount}, {count(dead)} dead (< 0.01 %)"

    def table(self) -> Table:
        """Return a row for each prototype, most used first."""
        shown = self.inspection
        if not isinstance(shown, Prototypes):
            return (), ()
        rows = tuple(
            (
                count(at),
                f"{float(shown.usage[at]) * 100:.3f}",
                ", ".join(count(each) for each in shown.nearest[at].tolist()),
            )
            for at in np.argsort(-shown.usage, kind="stable").tolist()
        )
        return ("prototype", "use, %", "nearest records"), rows

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Prototypes):
            return
        order = np.argsort(-shown.usage, kind="stable")
        which = self._order.currentText()
        if which == "Least used":
            order = order[::-1]
        elif which == "Dead only":
            order = order[shown.usage[order] < DEAD_SHARE]
        self._tiles = [
            Tile(
                self._card(shown, int(number)),
                f"prototype {count(int(number))}",
                f"{share(float(shown.usage[number]), 2)} of use",
                "warn" if shown.usage[number] < DEAD_SHARE else "",
            )
            for number in order[:SHOWN]
        ]
        self.qualifier_changed.emit(self.qualifier())
        self.canvas.update()

    def _card(self, shown: Prototypes, number: int) -> painting.QImage | None:
        """Return up to nine nearest pictures as one image."""
        pictures = shown.pictures[number][:9]
        if len(pictures) == 0:
            return None
        side = int(np.ceil(np.sqrt(len(pictures))))
        channels, height, width = pictures.shape[-3:]
        sheet = np.ones((channels, side * height, side * width), np.float32)
        for place, picture in enumerate(pictures):
            top, left = place // side * height, place % side * width
            sheet[:, top : top + height, left : left + width] = picture
        return painting.to_image(sheet)

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        draw_tiles(painter, area, self._tiles, self.theme)
