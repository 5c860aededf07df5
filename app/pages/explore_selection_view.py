"""Right of every tab: how many records are selected, which, what they look like, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QMenu, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from app.context import AppContext
from app.pages.data_tiles import TileCache
from app.pages.explore_edits import ExploreEdits
from app.pages.explore_selection import ExploreSelection, closest_to_mean, spread_sample
from app.theme import Theme
from app.viewers.embedding import EmbeddingViewer
from app.widgets.buttons import Button
from app.widgets.empty import EmptyState
from app.widgets.numbers import count, number, share
from app.widgets.panel import ElidedLabel, label, line
from app.widgets.picture_row import Cell, PictureRow
from engine.protocol.inspections import Array, Embedding

BARS = 8
OWN_COLOURS = 12
THUMBNAILS, COLUMNS, TILE_PX = 20, 5, 64
DuplicatesOf = Callable[[Array], tuple[int, float] | None]


class ClassBars(QWidget):
    """A bar for each class: name, share of the selection, count."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.rows: tuple[tuple[str, int, int], ...] = ()  # name, records, colour
        self._total = 1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_rows(self, rows: list[tuple[str, int, int]]) -> None:
        """Show the largest classes, the others as one."""
        self._total = max(sum(row[1] for row in rows), 1)
        ordered = sorted(rows, key=lambda row: -row[1])
        kept = ordered[:BARS] if len(ordered) <= BARS else ordered[: BARS - 1]
        rest = ordered[len(kept) :]
        if rest:
            kept.append((f"other ({len(rest)} classes)", sum(row[1] for row in rest), -1))
        self.rows = tuple(kept)
        self.setAccessibleName(", ".join(f"{name} {amount}" for name, amount, _ in self.rows))
        self.updateGeometry()
        self.update()

    def _pitch(self) -> int:
        return self._theme.px(21)

    def sizeHint(self) -> QSize:
        """Return room for the rows."""
        return QSize(240, self._pitch() * len(self.rows))

    def minimumSizeHint(self) -> QSize:
        """Return room for the rows."""
        return QSize(160, self._pitch() * len(self.rows))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the rows."""
        theme = self._theme
        with QPainter(self) as painter:
            painter.setFont(theme.font("small"))
            metrics = QFontMetricsF(painter.font())
            names = min(
                max((metrics.horizontalAdvance(row[0]) for row in self.rows), default=0) + 8, self.width() * 0.4
            )
            counts = max((metrics.horizontalAdvance(count(row[1])) for row in self.rows), default=0)
            shares = metrics.horizontalAdvance("100.0 %") + 8
            bar = max(self.width() - names - counts - shares - 10, 20)
            for place, (name, amount, colour) in enumerate(self.rows):
                middle = self._pitch() * (place + 0.5)
                base = middle + metrics.ascent() / 2 - 1
                painter.setPen(theme.color("text2"))
                painter.drawText(0, int(base), metrics.elidedText(name, Qt.TextElideMode.ElideRight, names - 6))
                painter.fillRect(QRectF(names, middle - 4, bar, 8), theme.color("sunken"))
                painter.fillRect(
                    QRectF(names, middle - 4, max(bar * amount / self._total, 1.5), 8), theme.categorical(colour)
                )
                right = names + bar + 10 + counts
                painter.setPen(theme.color("text"))
                painter.drawText(int(right - metrics.horizontalAdvance(count(amount))), int(base), count(amount))
                painter.setPen(theme.color("text3"))
                text = share(amount / self._total)
                painter.drawText(int(self.width() - metrics.horizontalAdvance(text)), int(base), text)


def _mean(values: Array) -> float | None:
    """Return the mean of the finite values, None where there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


class SelectionPanel(QWidget):
    """Shows the one selection and acts on it."""

    record_wanted = Signal(int)

    def __init__(
        self,
        context: AppContext,
        selection: ExploreSelection,
        viewer: EmbeddingViewer,
        edits: ExploreEdits,
        duplicates_of: DuplicatesOf,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._context, self._selection, self._viewer = context, selection, viewer
        self._edits, self._duplicates_of = edits, duplicates_of
        self._chosen_points: Array = np.empty(0, np.int64)
        self._tiles: tuple[int, ...] = ()
        self._seed = -1  # of the thumbnails; -1 = closest to the mean
        self.tiles = TileCache(context.client, self)
        self.tiles.arrived.connect(self._show_tiles)
        self._stack = QStackedWidget()
        self._empty = EmptyState(
            context.theme,
            "Nothing is selected. Draw a lasso (L) or a box (B) on the map, or click a record.",
            icon="lasso",
        )
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self._make_body())
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._stack)
        selection.changed.connect(self._begin)
        viewer.columns_changed.connect(self.show_state)
        edits.saving.changed.connect(self._show_saving)
        self.show_state()

    # ── building ─────────────────────────────────────────────────────────────────────────────────

    def _make_body(self) -> QWidget:
        theme = self._context.theme
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        self.amount, self.where = label("", "figure"), label("", "second")
        head = QHBoxLayout()
        head.addWidget(self.amount)
        head.addWidget(self.where, 1, Qt.AlignmentFlag.AlignBottom)
        self.bars = ClassBars(theme)
        self.which = ElidedLabel("", "second", Qt.TextElideMode.ElideRight)
        self.shuffle = Button(theme, "Shuffle", icon="shuffle", kind="quiet", tip="Others, at random")
        self.shuffle.clicked.connect(self._reshuffle)
        self.pictures = PictureRow(theme, columns=COLUMNS, largest_px=72)
        self.pictures.setAccessibleName("Selected records")
        self.pictures.chosen.connect(self.record_wanted)
        self.shown = label("", "qualifier")
        self.agreement, self.duplicates = label("", "body", wrap=True), label("", "body", wrap=True)
        middle = QHBoxLayout()
        middle.addWidget(self.which, 1)
        middle.addWidget(self.shuffle)
        column.addLayout(head)
        column.addWidget(self.bars)
        column.addWidget(line())
        column.addLayout(middle)
        for widget in (self.pictures, self.shown, line(), self.agreement, self.duplicates):
            column.addWidget(widget)
        column.addStretch(1)
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the new dataset")
        self.name.returnPressed.connect(self._save)
        self.save_now = Button(theme, "Save", kind="primary")
        self.save_now.clicked.connect(self._save)
        self._naming = QWidget()
        naming = QHBoxLayout(self._naming)
        naming.setContentsMargins(0, 0, 0, 0)
        naming.addWidget(self.name, 1)
        naming.addWidget(self.save_now)
        self._naming.hide()
        self.saving = label("", "qualifier", wrap=True)
        self.saving.hide()
        self.save = Button(theme, "Save as subset", icon="subset", tip="Make a new dataset of these records")
        self.label_button = Button(theme, "Label…", icon="label", tip="Give these records a label")
        self.exclude = Button(theme, "Exclude", icon="exclude", tip="Leave these records out (Del); Ctrl+Z undoes")
        self.save.clicked.connect(self._ask_name)
        self.label_button.clicked.connect(self._ask_label)
        self.exclude.clicked.connect(self.exclude_all)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        for button in (self.save, self.label_button, self.exclude):
            buttons.addWidget(button)
        column.addWidget(self._naming)
        column.addWidget(self.saving)
        column.addLayout(buttons)
        return body

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._seed = -1
        self._naming.hide()
        self.show_state()

    def show_state(self) -> None:
        """Show the selection as it is."""
        chosen = self._selection.records
        self._stack.setCurrentIndex(1 if len(chosen) else 0)
        if not len(chosen):
            return
        self.amount.setText(count(len(chosen)))
        word = "record" if len(chosen) == 1 else "records"
        self.where.setText(f"{word} {self._selection.origin or 'selected'}")
        self._chosen_points = points = self._points()
        self._show_classes(points)
        self.render_facts()
        self._choose_tiles(points)
        known = self._selection.dataset in self._context.workspace.datasets
        for button in (self.save, self.label_button, self.exclude):
            button.setEnabled(known)

    def _points(self) -> Array:
        """Return which points of the map are selected."""
        shown = self._viewer.inspection
        if not isinstance(shown, Embedding):
            return np.empty(0, np.int64)
        found: Array = np.flatnonzero(np.isin(shown.records, self._selection.records))
        return found

    def _show_classes(self, points: Array) -> None:
        shown = self._viewer.inspection
        rows: list[tuple[str, int, int]] = []
        if isinstance(shown, Embedding) and shown.classes:
            labels = shown.labels[points]
            counts = np.bincount(labels[labels >= 0], minlength=len(shown.classes))
            few = len(shown.classes) <= OWN_COLOURS
            present = np.flatnonzero(counts).tolist()
            rows = [(shown.classes[at], int(counts[at]), at if few else -1) for at in present]
            missing = int(np.count_nonzero(labels < 0))
            rows += [("no label", missing, -1)] if missing else []
        self.bars.show_rows(rows)
        self.bars.setVisible(bool(rows))

    def render_facts(self) -> None:
        """Show what the map and the survey of all neighbours know of the selection."""
        column = self._viewer.columns().get("agreement")
        text = ""
        if column is not None and len(self._chosen_points) and len(self._selection):
            part, whole = _mean(column.values[self._chosen_points]), _mean(column.values)
            text = f"label agreement <b>{number(part, 2)}</b>, whole map {number(whole, 2)}"
        self.agreement.setText(text)
        self.agreement.setVisible(bool(text))
        found = self._duplicates_of(self._selection.records)
        text = f"near duplicates, cosine > {found[1]:g}: <b>{count(found[0])}</b> pairs" if found is not None else ""
        self.duplicates.setText(text)
        self.duplicates.setVisible(bool(text))

    def _choose_tiles(self, points: Array) -> None:
        shown, chosen = self._viewer.inspection, self._selection.records
        if self._seed < 0 and isinstance(shown, Embedding) and len(points):
            records = shown.records[points[closest_to_mean(shown.points[points], THUMBNAILS)]]
            self.which.setText("Closest to the mean on the map")
        else:
            records = spread_sample(chosen, THUMBNAILS, max(self._seed, 0))
            self.which.setText("Chosen at random")
        self.shown.setText(f"{count(len(records))} of {count(len(chosen))}")
        self.tiles.show(self._selection.dataset, round(TILE_PX * self.devicePixelRatioF()))
        self._tiles = tuple(records.tolist())
        self.tiles.want(self._tiles)
        self._show_tiles()

    def _show_tiles(self) -> None:
        pictures: dict[int, QImage] = {
            record: tile for record in self._tiles if (tile := self.tiles.tile(record)) is not None
        }
        query = self._selection.query
        self.pictures.show_cells([Cell(record, is_query=record == query) for record in self._tiles], pictures)

    def _reshuffle(self) -> None:
        self._seed += 1
        self._choose_tiles(self._chosen_points)

    # ── what is done ─────────────────────────────────────────────────────────────────────────────

    def _ask_name(self) -> None:
        self.name.setText(self._edits.free_name(self._selection.dataset))
        self._naming.show()
        self.name.setFocus()
        self.name.selectAll()

    def _save(self) -> None:
        name = self.name.text().strip()
        if name in self._context.workspace.datasets:
            self.saving.setText(f"There is a dataset called {name} already: choose another name.")
            self.saving.show()
            return
        self._naming.hide()
        self._edits.save(self._selection.dataset, self._selection.records, name)

    def _show_saving(self) -> None:
        saving = self._edits.saving
        text = saving.problem
        if saving.is_busy:
            job = saving.job
            text = "saving…" if job is None or not job.total else f"saving, {count(job.done)} of {count(job.total)}"
        self.saving.setText(text)
        self.saving.setVisible(bool(text))

    def label_menu(self) -> QMenu:
        """Return the labels that can be given."""
        menu = QMenu(self)
        info = self._context.workspace.datasets.get(self._selection.dataset)
        names = list(next(iter(info.labels.values()), {})) if info is not None else []
        for name in names:
            menu.addAction(name, partial(self._relabel, name))
        menu.addSeparator()
        menu.addAction("No label", partial(self._relabel, ""))
        return menu

    def _ask_label(self) -> None:
        button = self.label_button
        menu = self.label_menu()
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(button.mapToGlobal(QPoint(0, -menu.sizeHint().height())))

    def _relabel(self, name: str) -> None:
        shown = self._viewer.inspection
        before: dict[str, Array] = {}
        if isinstance(shown, Embedding):
            points = self._points()
            for value in np.unique(shown.labels[points]).tolist():
                old = shown.classes[value] if 0 <= value < len(shown.classes) else ""
                before[old] = shown.records[points[shown.labels[points] == value]]
        if before:
            self._edits.relabel(self._selection.dataset, before, name)

    def exclude_all(self) -> None:
        """Leave the selected records out."""
        if len(self._selection):
            self._edits.exclude(self._selection.dataset, self._selection.records)
