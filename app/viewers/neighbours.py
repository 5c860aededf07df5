"""Nearest neighbours of a few queries, one row per query."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from app.theme import Theme
from app.viewers.base import Canvas, Viewer
from app.viewers.table_twin import Table
from app.viewers.tiles import Tile, draw_tiles
from app.widgets.numbers import count, number
from engine.protocol.inspections import Neighbours

SHOWN_QUERIES = 4
SHOWN_NEIGHBOURS = 8


class NeighboursViewer(Viewer):
    """The query first, then its neighbours with their distances; pictures come from the dataset."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.canvas = Canvas(self._paint, QSize(240, 120))
        self.set_body(self.canvas)

    def qualifier(self) -> str:
        """Return step and metric."""
        shown = self.inspection
        return f"{super().qualifier()}, {shown.metric}" if isinstance(shown, Neighbours) else ""

    def table(self) -> Table:
        """Return a row for each neighbour of each query."""
        shown = self.inspection
        if not isinstance(shown, Neighbours):
            return (), ()
        rows = tuple(
            (count(query), str(rank + 1), count(record), number(distance, 4))
            for query, near, distances in zip(
                shown.queries.tolist(), shown.neighbours.tolist(), shown.distances.tolist(), strict=True
            )
            for rank, (record, distance) in enumerate(zip(near, distances, strict=True))
        )
        return ("query", "rank", "record", shown.metric), rows

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Neighbours):
            return
        rows = slice(0, SHOWN_QUERIES)
        near = shown.neighbours[rows, :SHOWN_NEIGHBOURS].ravel().tolist()
        self.want_pictures([*shown.queries[rows].tolist(), *near])
        self.canvas.update()

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        shown = self.inspection
        if not isinstance(shown, Neighbours):
            return
        tiles = []
        columns = min(SHOWN_NEIGHBOURS, shown.neighbours.shape[1])
        for row, query in enumerate(shown.queries[:SHOWN_QUERIES].tolist()):
            name = shown.labels[row] if row < len(shown.labels) else ""
            tiles.append(Tile(self.pictures.get(query), name or "query", f"query {count(query)}", "accent"))
            for record, distance in zip(
                shown.neighbours[row, :columns].tolist(), shown.distances[row, :columns].tolist(), strict=True
            ):
                tiles.append(Tile(self.pictures.get(record), count(record), number(distance, 3)))
        draw_tiles(painter, area, tiles, self.theme, columns=columns + 1, largest_px=112)
