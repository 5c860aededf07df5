"""The nearest neighbours of one record, file or text: a strip below the map, and larger as a tab."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QImage
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.context import AppContext
from app.pages.data_tiles import TileCache
from app.pages.explore_near import ExploreNear
from app.pages.explore_target import ExploreTarget
from app.widgets.buttons import Button
from app.widgets.empty import EmptyState
from app.widgets.numbers import count, number
from app.widgets.panel import label
from app.widgets.picture_row import Cell, PictureRow
from engine.protocol.schema import FieldKind

COUNTS = (6, 12, 24, 48)
TILE_PX = 72
OWN_COLOURS = 12


class NeighboursStrip(QWidget):
    """`large` = the tab: several rows of larger pictures. A click makes a neighbour the query; Back returns."""

    record_wanted = Signal(int)
    qualifier_changed = Signal(str)
    records_chosen = Signal(object, str)

    def __init__(self, context: AppContext, near: ExploreNear, target: ExploreTarget, *, large: bool = False) -> None:
        super().__init__()
        theme = context.theme
        self._context, self._near, self._target, self._large = context, near, target, large
        self._way: list[int] = []
        self.tiles = TileCache(context.client, self)
        self.tiles.arrived.connect(self._show_cells)
        self.setAcceptDrops(True)
        self.count = QComboBox()
        self.count.setAccessibleName("How many neighbours")
        for amount in COUNTS:
            self.count.addItem(f"k = {amount}", amount)
        self.count.setCurrentIndex(COUNTS.index(near.k))
        self.count.activated.connect(lambda row: near.set_k(int(self.count.itemData(row))))
        self.text = QLineEdit()
        self.text.setPlaceholderText("Search by a text")
        self.text.setMinimumWidth(180)
        self.text.returnPressed.connect(self._search_text)
        self.back = Button(theme, "Back", icon="previous", kind="quiet", tip="The query before")
        self.back.clicked.connect(self._go_back)
        self.row = PictureRow(theme, columns=8 if large else 13, largest_px=132 if large else TILE_PX, lines=2)
        self.row.setAccessibleName("Nearest neighbours")
        self.row.chosen.connect(self._choose)
        self._state = EmptyState(theme, "", icon="compass")
        self.make = Button(theme, "Compute features", icon="start")
        self.make.clicked.connect(near.make_features)
        self.cancel = Button(theme, "Cancel", icon="cancel", kind="quiet")
        self.cancel.clicked.connect(near.features.cancel)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.bar.setMaximumWidth(320)
        self.said = label("", "second", wrap=True)
        self.said.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._make_message())
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        lines = QVBoxLayout(inside)
        lines.setContentsMargins(12, 8, 12, 4)
        lines.addWidget(self.row)
        lines.addStretch(1)
        inside.setProperty("kind", "scrolled")
        area.setWidget(inside)
        self._stack.addWidget(area)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._stack)
        near.changed.connect(self.show_state)
        self.show_state()

    def _make_message(self) -> QWidget:
        message = QWidget()
        column = QVBoxLayout(message)
        column.setContentsMargins(24, 6, 24, 6)
        column.addStretch(1)
        column.addWidget(self.said)
        row = QHBoxLayout()
        row.addStretch(1)
        for widget in (self.make, self.bar, self.cancel):
            row.addWidget(widget)
        row.addStretch(1)
        column.addLayout(row)
        column.addStretch(1)
        return message

    def header_widgets(self) -> list[QWidget]:
        """Return what stands in the panel's header."""
        return [self.text, self.back, self.count]

    def minimumSizeHint(self) -> QSize:
        """Return room for one row."""
        return QSize(320, 96)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def show_state(self) -> None:
        """Show the answer, or why there is none and what to do."""
        near = self._near
        self.count.setCurrentIndex(COUNTS.index(near.k) if near.k in COUNTS else 1)
        self.text.setVisible(self._takes_text())
        self.back.setVisible(bool(self._way))
        job, busy = near.features.job, near.features.is_busy
        found = near.found
        self._stack.setCurrentIndex(1 if found is not None and not busy else 0)
        self.make.setVisible(near.needs_features and not busy)
        self.bar.setVisible(busy and job is not None and job.total > 0)
        self.cancel.setVisible(busy)
        if job is not None and job.total:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * job.done / job.total))
        self.said.setText(self._sentence())
        if found is not None:
            how = "exact" if found.exact else "approximate"
            self.qualifier_changed.emit(
                f"cosine, {how}, {number(found.seconds * 1000, 0)} ms, {count(found.searched)} records searched"
                "; drop a file here to search with it"
            )
            self._show_cells()
        else:
            self.qualifier_changed.emit("drop a file here to search with it")

    def _sentence(self) -> str:
        near = self._near
        job = near.features.job
        if near.features.is_busy:
            done = f", {count(job.done)} of {count(job.total)} records" if job is not None and job.total else ""
            return f"Features of {self._target.dataset_name} are computed{done}."
        if near.is_asking:
            return "Searching…"
        if near.needs_features:
            return (
                f"To search {self._target.dataset_name}, its features under this checkpoint are needed; "
                "they are kept with the run."
            )
        if near.features.problem or near.problem:
            return near.features.problem or near.problem
        return "Click a record on the map, or drop a file here, to see what is nearest to it."

    def _takes_text(self) -> bool:
        summary = self._target.summary
        method = self._context.workspace.methods.get(summary.spec.method) if summary is not None else None
        return method is not None and any(FieldKind.TEXT in need.kinds for need in method.needs)

    def _show_cells(self) -> None:
        near, found = self._near, self._near.found
        if found is None:
            return
        info = self._context.workspace.datasets.get(found.dataset)
        classes = list(next(iter(info.labels.values()), {})) if info is not None else []
        records = ([near.query_record] if near.query_record >= 0 else []) + list(found.records)
        self.tiles.show(found.dataset, round(TILE_PX * self.devicePixelRatioF()) * (2 if self._large else 1))
        self.tiles.want(records)
        cells = []
        if near.query_record >= 0:
            cells.append(Cell(near.query_record, ("query", count(near.query_record)), is_query=True))
        for place, (record, cosine, text) in enumerate(zip(found.records, found.cosines, found.labels, strict=True)):
            known = text in classes and len(classes) <= OWN_COLOURS
            colour = classes.index(text) if known else -1 if text else None
            mutual = " ⇄" if found.mutual and found.mutual[place] else ""
            cells.append(Cell(record, (text or count(record), f"{cosine:.3f}{mutual}"), colour))
        pictures: dict[int, QImage] = {
            record: tile for record in records if (tile := self.tiles.tile(record)) is not None
        }
        self.row.show_cells(cells, pictures)

    # ── what is asked ────────────────────────────────────────────────────────────────────────────

    def _choose(self, record: int) -> None:
        if self._near.query_record >= 0 and record != self._near.query_record:
            self._way.append(self._near.query_record)
        self.record_wanted.emit(record)

    def _go_back(self) -> None:
        if self._way:
            self.record_wanted.emit(self._way.pop())
            self.show_state()

    def forget_way(self) -> None:
        """Forget the queries before."""
        self._way.clear()

    def _search_text(self) -> None:
        if self.text.text().strip():
            self._near.ask_text(self.text.text().strip())

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take one file of this computer."""
        if len(_files(event)) == 1 and self._target.run:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Search with the file."""
        files = _files(event)
        if len(files) == 1:
            event.acceptProposedAction()
            self._near.ask_path(files[0])

    def export_to(self, path: Path) -> list[Path]:
        """Write the answer as a table.

        Raises:
            OSError: it cannot be written.
        """
        found = self._near.found
        if found is None:
            return []
        lines = ["rank,record,name,label,cosine"]
        for rank, (record, name, text, cosine) in enumerate(
            zip(found.records, found.names, found.labels, found.cosines, strict=True), 1
        ):
            quoted = ['"' + word.replace('"', '""') + '"' for word in (name, text)]
            lines.append(f"{rank},{record},{quoted[0]},{quoted[1]},{cosine:.6f}")
        table = path.with_suffix(".csv")
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [table]


def _files(event: QDropEvent) -> list[str]:
    return [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
