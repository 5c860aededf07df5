"""One record: its picture, large, and everything that is known about it."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.context import Client
from app.pages.data_model import DataModel
from app.pages.data_tiles import TileCache
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.facts import FactsModel, FactsTable
from app.widgets.panel import ElidedLabel, label
from engine.protocol.messages import RecordRow

PICTURE_PX = 384


class RecordView(QWidget):
    """The chosen record of the open dataset."""

    open_wanted = Signal()

    def __init__(self, model: DataModel, client: Client, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.row: RecordRow | None = None
        self.tiles = TileCache(client, self)
        self.heading = ElidedLabel("", "h2")
        self.picture = _Picture(theme, self.tiles)
        self.scale = label("", "qualifier")
        self.open_button = Button(theme, "Open", icon="enlarge", small=True, tip="Open it (Enter, double click)")
        self.facts = FactsModel(("What", "Value"))
        self.table = FactsTable(self.facts, "Facts about the record", stretch=1)
        self.table.horizontalHeader().hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        column.addWidget(self.heading)
        column.addWidget(self.picture)
        below = QHBoxLayout()
        below.addWidget(self.scale, 1)
        below.addWidget(self.open_button)
        column.addLayout(below)
        column.addWidget(self.table, 1)
        self.tiles.arrived.connect(self._tile_arrived)
        self.open_button.clicked.connect(self.open_wanted)
        model.records.dataChanged.connect(lambda *_: self._follow_edits())

    def show_record(self, row: RecordRow | None) -> None:
        """Show another record."""
        self.row = row
        info = self.model.current
        if row is None or info is None:
            return
        self.heading.setText(row.name or f"record {numbers.count(row.index)}")
        self.tiles.show(info.name, PICTURE_PX)
        self.tiles.want([row.index])
        self.picture.show_record(row.index)
        facts = [
            ("record", f"number {numbers.count(row.index)}, counted from 0"),
            ("label", row.label or "none"),
            ("split", row.split or "none"),
            ("used in training", "no, excluded" if row.excluded else "yes"),
        ]
        facts += [(name, _text(value)) for name, value in row.values.items()]
        self.facts.set_rows(facts)
        self._tile_arrived()

    def _tile_arrived(self) -> None:
        self.picture.update()
        self.scale.setText(self.picture.describe())

    def _follow_edits(self) -> None:
        row = self.row
        if row is None:
            return
        for place in range(*self._known_places()):
            found = self.model.records.row(place)
            if found is not None and found.index == row.index and found != row:
                self.show_record(found)
                return

    def _known_places(self) -> tuple[int, int]:
        assert self.row is not None
        if not any(self.model.records.filter):
            return self.row.index, self.row.index + 1
        return 0, min(self.model.records.rowCount(), 4096)


class _Picture(QWidget):
    def __init__(self, theme: Theme, tiles: TileCache) -> None:
        super().__init__()
        self._theme, self._tiles, self._record = theme, tiles, -1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(PICTURE_PX, 300)

    def show_record(self, record: int) -> None:
        self._record = record
        self.setAccessibleName(f"Picture of record {record}")
        self.update()

    def describe(self) -> str:
        image = self._tiles.tile(self._record)
        if image is None:
            return "no picture" if self._tiles.is_missing(self._record) else "reading …"
        factor = self._factor(image.width(), image.height())
        if factor >= 1:
            return f"{image.width()} × {image.height()} px, shown {factor:.0f}×"
        return f"a preview of {image.width()} × {image.height()} px, made smaller"

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._theme.color("mat"))
        image = self._tiles.tile(self._record)
        if image is None:
            return
        factor = self._factor(image.width(), image.height())
        place = QRect(0, 0, round(image.width() * factor), round(image.height() * factor))
        place.moveCenter(self.rect().center())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, on=factor < 1)
        painter.drawImage(place, image)

    def _factor(self, width: int, height: int) -> float:
        fit = min(self.width() / max(1, width), self.height() / max(1, height))
        return float(int(fit)) if fit >= 1 else fit


def _text(value: object) -> str:
    if isinstance(value, float):
        return numbers.number(value)
    return numbers.count(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)
