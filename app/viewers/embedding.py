"""The embedding map: a canvas of up to a million points, its tools, its legend, and the line of stored steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QImage, QKeyEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers import map_export
from app.viewers.base import Viewer, compact, step_text
from app.viewers.map_canvas import MapCanvas
from app.viewers.map_columns import Column
from app.viewers.map_labels import Card
from app.viewers.map_legend import MapLegend
from app.viewers.scrubber import Scrubber
from app.viewers.table_twin import Table
from app.widgets.buttons import Button
from app.widgets.numbers import count
from app.widgets.panel import ElidedLabel
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Array, Embedding

LEGEND_WIDTH_PX = 230
TABLE_ROWS = 20_000
DEFAULT_SIZES = ((3_000, 5.0, 0.85), (30_000, 3.0, 0.6), (200_000, 2.0, 0.45))  # up to so many points: size, opacity
MODES = {"Pan": "pan", "Lasso": "lasso", "Box": "box"}


class EmbeddingViewer(Viewer):
    """Shows `Embedding`s of two or three dimensions. Records, not points, are what its signals speak of."""

    projection_chosen = Signal(str)
    record_selected = Signal(int)
    records_chosen = Signal(object, str)  # (n,) record numbers; "replace", "add" or "remove"
    columns_changed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.extra_columns: dict[str, Column] = {}
        self._columns: dict[str, Column] = {}
        self.details: Callable[[int], tuple[str, ...]] = lambda _point: ()  # more lines on the card of a point
        self.selected_record: int | None = None
        self._chosen_records: Array | None = None
        self.projections, self.colours = QComboBox(), QComboBox()
        self.projections.setAccessibleName("Projection")
        self.projections.addItem("PCA", "PCA")
        self.projections.addItem("UMAP (compute)", "UMAP")
        self.projections.activated.connect(lambda index: self.projection_chosen.emit(self.projections.itemData(index)))
        self.colours.setAccessibleName("Colour by")
        self.colours.addItem("Colour: label", "label")
        compact(self.projections, 6)
        self.colours.activated.connect(lambda _index: self._recolour())
        self.scrubber = Scrubber(theme)
        self.canvas = MapCanvas(theme)
        self.legend = MapLegend(theme)
        self.legend.setMaximumWidth(LEGEND_WIDTH_PX)
        self.legend.setMinimumWidth(120)
        self.legend.toggled.connect(self.canvas.set_hidden)
        self.canvas.clicked.connect(self._click)
        self.canvas.hovered.connect(self._hover)
        self.canvas.region_chosen.connect(self._choose)
        self.canvas.drawn.connect(self._count)
        self.canvas.mode_changed.connect(self._show_mode)
        self.canvas.views_changed.connect(self._show_views)
        self.tools = self._make_tools()
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(6)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self.canvas, 5)
        row.addWidget(self.legend, 2)
        column.addWidget(self.tools)
        column.addLayout(row, 1)
        column.addWidget(self.scrubber)
        self.set_body(body)

    def _make_tools(self) -> QWidget:
        tools = QWidget()
        row = QHBoxLayout(tools)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        self.modes = Segmented(tuple(MODES), "Pan")
        self.modes.setToolTip("What a drag does: V pan, L lasso, B box. Shift adds, Alt removes.")
        self.modes.chosen.connect(lambda text: self.canvas.set_mode(MODES[text]))  # type: ignore[arg-type]
        self.fit_button = Button(self.theme, "Fit", icon="fit", kind="quiet", tip="Show all points (Home)")
        self.back_button = Button(
            self.theme, "Previous view", icon="undo", kind="quiet", tip="Back to where the map was (Backspace)"
        )
        self.fit_button.clicked.connect(self.canvas.fit)
        self.back_button.clicked.connect(self.canvas.previous_view)
        self.back_button.setEnabled(False)
        self.counted = ElidedLabel("", "second", Qt.TextElideMode.ElideRight)
        self.counted.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for widget in (self.modes, self.fit_button, self.back_button):
            row.addWidget(widget)
        row.addWidget(self.counted, 1)
        tools.hide()
        return tools

    def show_tools(self) -> None:
        """Show the row of tools, as a page has it that shows legend, colours and line of steps elsewhere."""
        self.tools.show()
        self.legend.hide()
        self.scrubber.hide()

    def header_widgets(self) -> list[QWidget]:
        """Return the choices of projection and colour."""
        return [self.projections, self.colours]

    def qualifier(self) -> str:
        """Return projection, how many of how many, chosen how."""
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return ""
        return f"showing {count(len(shown.records))} of {count(shown.total)}, {shown.chosen}"

    def sentence(self) -> str:
        """Return what is shown as one sentence, with the variance that a PCA explains."""
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return ""
        text = f"{shown.projection} map of {step_text(shown.step)}, {self.qualifier()}"
        if len(shown.explained) >= 2:
            text += f", {sum(shown.explained[:2]) * 100:.0f} % of the variance"
        return text

    def table(self) -> Table:
        """Return a row for each point, of a large map for the first ones."""
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return (), ()
        label = self.column_named("label")
        part = slice(0, TABLE_ROWS)
        rows = tuple(
            (count(record), label.text_of(number) if label.classes else "", *(f"{value:.4g}" for value in place))
            for number, (record, place) in enumerate(
                zip(shown.records[part].tolist(), shown.points[part].tolist(), strict=True)
            )
        )
        axes = ("first axis", "second axis", "third axis")[: shown.points.shape[1]]
        return ("record", "label", *axes), rows

    def set_projection_text(self, name: str, text: str) -> None:
        """Change what a projection's entry says, e.g. "UMAP (computing, 2 of 3 parts)"."""
        self.projections.setItemText(self.projections.findData(name), text)

    def fit(self) -> None:
        """Show all points."""
        self.canvas.fit()

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def columns(self) -> dict[str, Column]:
        """Return all columns that the map can be coloured by, by name."""
        return self._columns if self.inspection is not None else {}

    def _gather_columns(self, shown: Embedding) -> None:
        points = len(shown.records)
        extra = {name: column for name, column in self.extra_columns.items() if len(column.values) == points}
        self._columns = {
            "label": Column("label", shown.labels, shown.classes),
            **extra,
            "record": Column("record", shown.records.astype(np.float64), is_category=False),
            "none": Column("none", np.full(points, -1, np.int64)),
        }

    def column_named(self, name: str) -> Column:
        """Return a column; the first one where there is none of that name.

        Raises:
            KeyError: there is no map.
        """
        columns = self.columns()
        return columns.get(name) or columns["label"]

    def set_columns(self, columns: dict[str, Column]) -> None:
        """Offer more columns, one value for each point."""
        self.extra_columns = dict(columns)
        if isinstance(self.inspection, Embedding):
            self._gather_columns(self.inspection)
            self._offer()
            self.columns_changed.emit()

    def colour_by(self, name: str) -> None:
        """Colour by a column."""
        self.colours.setCurrentIndex(max(self.colours.findData(name), 0))
        self._recolour()

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return
        index = self.projections.findData(shown.projection)
        if index >= 0:
            self.projections.setCurrentIndex(index)
        before = len(self.canvas.points)
        self._gather_columns(shown)
        self._offer()
        keeps = before == len(shown.records)
        if not keeps:
            self._dress_points(len(shown.records))
        self.canvas.set_points(shown.points, self.column_named(self.colours.currentData()), keep_view=keeps)
        self.legend.show_legend(self.canvas.legend, self.canvas.hidden)
        self.columns_changed.emit()
        self._mark()

    def _dress_points(self, points: int) -> None:
        size, opacity = next((look[1:] for look in DEFAULT_SIZES if points <= look[0]), (1.0, 0.3))
        self.canvas.set_look(size=size, opacity=opacity)

    def _offer(self) -> None:
        chosen = self.colours.currentData()
        names = list(self.columns())
        if [self.colours.itemData(at) for at in range(self.colours.count())] != names:
            self.colours.clear()
            for name in names:
                self.colours.addItem(f"Colour: {name}", name)
            self.colours.setCurrentIndex(max(self.colours.findData(chosen), 0))

    def _recolour(self) -> None:
        if self.inspection is None:
            return
        self.canvas.set_column(self.column_named(self.colours.currentData()))
        self.legend.show_legend(self.canvas.legend, self.canvas.hidden)
        self.columns_changed.emit()

    def _count(self) -> None:
        shown, picture = self.inspection, self.canvas.picture
        if not isinstance(shown, Embedding) or picture is None:
            return
        text = f"{count(len(shown.records))} of {count(shown.total)} points"
        if picture.in_sight < len(shown.records):
            text += f", {count(picture.in_sight)} in sight"
        frames = self.canvas.frames_per_second
        self.counted.setText(f"{text} · {frames:.0f} frames/s" if frames else text)

    def _show_mode(self, mode: str) -> None:
        self.modes.set_current(mode.capitalize())

    def _show_views(self) -> None:
        self.back_button.setEnabled(self.canvas.has_previous_view)

    # ── records ──────────────────────────────────────────────────────────────────────────────────

    def point_of(self, record: int) -> int:
        """Return the point of a record, or -1."""
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return -1
        found = np.flatnonzero(shown.records == record)
        return int(found[0]) if len(found) else -1

    def select_record(self, record: int | None) -> None:
        """Mark a record on the map, and tell."""
        self.mark_record(record)
        if record is not None:
            self.record_selected.emit(record)

    def mark_record(self, record: int | None) -> None:
        """Mark a record on the map; None = none."""
        self.selected_record = record
        self._mark()

    def choose_records(self, records: Array | None) -> None:
        """Show a selection of records; None or () = none."""
        self._chosen_records = records if records is not None and len(records) else None
        self._mark()

    def _mark(self) -> None:
        shown = self.inspection
        if not isinstance(shown, Embedding):
            return
        self.canvas.mark(-1 if self.selected_record is None else self.point_of(self.selected_record))
        chosen = self._chosen_records
        mask = None if chosen is None else np.isin(shown.records, chosen)
        if mask is not None or self.canvas.chosen is not None:
            self.canvas.set_chosen(mask)
        if mask is None:
            self.canvas.clear_outline()

    def _click(self, point: int) -> None:
        if isinstance(self.inspection, Embedding):
            self.select_record(int(self.inspection.records[point]))

    def _choose(self, points: Array, how: str) -> None:
        if isinstance(self.inspection, Embedding):
            self.records_chosen.emit(self.inspection.records[points], how)

    def _hover(self, point: int) -> None:
        if point >= 0 and isinstance(self.inspection, Embedding):
            self.want_pictures([int(self.inspection.records[point])])
        self._show_card()

    def take_pictures(self, pictures: dict[int, QImage]) -> None:  # type: ignore[override]
        """Take records' pictures."""
        super().take_pictures(pictures)
        self._show_card()

    def _show_card(self) -> None:
        shown, point = self.inspection, self.canvas.pointed
        if not isinstance(shown, Embedding) or not 0 <= point < len(shown.records):
            self.canvas.set_card(None)
            return
        record = int(shown.records[point])
        lines = [f"record {count(record)}"]
        column = self.canvas.column
        if column is not None and column.name not in {"label", "record", "none"}:
            lines.append(f"{column.name} {column.text_of(point)}")
        lines += self.details(point)
        self.canvas.set_card(Card(self.column_named("label").text_of(point), tuple(lines), self.pictures.get(record)))

    # ── out of the window ────────────────────────────────────────────────────────────────────────

    def export_to(self, path: Path, reproduce: str = "") -> list[Path]:
        """Write PNG at twice the size, SVG, arrays, and the sentence that reproduces them; return the files.

        Raises:
            OSError: the files cannot be written.
        """
        files = super().export_to(path, reproduce)
        if self.inspection is not None:
            image = map_export.render(self.canvas)
            image.setText("Description", f"{self.sentence()}. {reproduce}".strip())
            image.save(str(path.with_suffix(".png")))
        return files

    def write_drawings(self, path: Path, reproduce: str) -> list[Path]:
        """Write the map as SVG: points as one picture, names and legend as text.

        Raises:
            OSError: it cannot be written.
        """
        return [map_export.write_svg(self.canvas, path.with_suffix(".svg"), self.sentence(), reproduce)]

    def _key(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Escape and (self._chosen_records is not None or self.selected_record is not None):
            self.select_record(None)
            self.records_chosen.emit(np.empty(0, np.int64), "replace")
        elif event.key() == Qt.Key.Key_Space:
            self.scrubber.toggle_play()
        elif event.key() in {Qt.Key.Key_Comma, Qt.Key.Key_Period}:
            self.scrubber.step_by(1 if event.key() == Qt.Key.Key_Period else -1)
        else:
            return False
        return True

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take the keys that the canvas leaves over: Space plays, comma and full stop step, Esc clears."""
        if not self._key(event):
            super().keyPressEvent(event)
