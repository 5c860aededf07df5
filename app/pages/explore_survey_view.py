"""What all neighbours together tell: hubs, surprising pairs, near duplicates, outliers; each can be selected."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QProgressBar, QScrollArea, QVBoxLayout, QWidget

from app.context import AppContext
from app.pages.data_tiles import TileCache
from app.pages.explore_near import ExploreNear
from app.pages.explore_target import ExploreTarget
from app.widgets.buttons import Button
from app.widgets.numbers import count, number, share
from app.widgets.panel import label, line
from app.widgets.picture_row import Cell, PictureRow
from engine.protocol.inspections import Array

LISTS = ("Hubs", "Surprising", "Duplicates", "Outliers")
SHOWN = 40
TILE_PX = 64
MEANING = {
    "Hubs": "Records that are a neighbour of unusually many others, with how often.",
    "Surprising": "Pairs of near neighbours with different labels, the nearest first.",
    "Duplicates": "Pairs that are nearly the same to the network.",
    "Outliers": "Records far from all their neighbours, with their mean distance.",
}


class SurveyPanel(QWidget):
    """A job makes the survey; it is kept with the run."""

    record_wanted = Signal(int)
    records_chosen = Signal(object, str)

    def __init__(self, context: AppContext, near: ExploreNear, target: ExploreTarget) -> None:
        super().__init__()
        theme = context.theme
        self._near, self._target = near, target
        self._records: tuple[int, ...] = ()
        self.tiles = TileCache(context.client, self)
        self.tiles.arrived.connect(self._show_tiles)
        self._cells: list[Cell] = []
        self.said = label("", "second", wrap=True)
        self.make = Button(theme, "Survey all neighbours", icon="start")
        self.make.clicked.connect(near.make_survey)
        self.cancel = Button(theme, "Cancel", icon="cancel", kind="quiet")
        self.cancel.clicked.connect(near.survey.cancel)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.facts = label("", "body", wrap=True)
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        self.which = QComboBox()  # four words beside each other are wider than the panel
        self.which.addItems(LISTS)
        self.which.setAccessibleName("What of the survey")
        self.which.currentIndexChanged.connect(self._show_list)
        self.meaning = label("", "qualifier", wrap=True)
        self.row = PictureRow(theme, columns=4, largest_px=64, lines=2)
        self.row.setAccessibleName("Records of the survey")
        self.row.chosen.connect(self.record_wanted)
        self.select = Button(theme, "Select these", icon="lasso", kind="quiet")
        self.select.clicked.connect(self._select)
        self._body = QWidget()
        rows = QVBoxLayout(self._body)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(8)
        for widget in (line(), self.facts, self.which, self.meaning, self.row):
            rows.addWidget(widget)
        rows.addWidget(self.select, 0, Qt.AlignmentFlag.AlignLeft)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        buttons = QHBoxLayout()
        buttons.addWidget(self.make)
        buttons.addWidget(self.cancel)
        buttons.addStretch(1)
        for widget_ in (self.said, self.bar):
            column.addWidget(widget_)
        column.addLayout(buttons)
        column.addWidget(self._body)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside.setProperty("kind", "scrolled")
        area.setWidget(inside)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(area)
        near.changed.connect(self.show_state)
        self.show_state()

    def show_state(self) -> None:
        """Show what is known, or what makes it known."""
        survey, told = self._near.survey, self._near.told
        job = survey.job
        self.make.setVisible(not survey.is_busy)
        self.make.setText("Survey all neighbours" if told is None else "Survey again")
        self.cancel.setVisible(survey.is_busy)
        self.bar.setVisible(job is not None and job.total > 0)
        if job is not None and job.total:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * job.done / job.total))
        if survey.is_busy:
            text = f"{job.current or job.state}" if job is not None else "asking the engine…"
        elif survey.problem:
            text = survey.problem
        elif told is None:
            text = (
                f"Not surveyed yet: a job compares every record of {self._target.dataset_name or 'the data'} with its "
                "nearest ones and finds hubs, near duplicates, surprising pairs and outliers."
            )
        else:
            info = told[0]
            exact = "exact" if info.exact else f"approximate, finds {share(info.recall)} of the true neighbours"
            text = f"{count(info.shown)} of {count(info.total)} records, {info.chosen}, k = {info.k}, {exact}"
        self.said.setText(text)
        self._body.setVisible(told is not None)
        if told is not None:
            info = told[0]
            lines = [
                f"hubness (skewness) <b>{number(info.hubness, 2)}</b>{', there are hubs' if info.hubness > 1 else ''}",
                f"nobody's neighbour <b>{share(info.orphans)}</b>",
                f"neighbours both ways <b>{share(info.mutual)}</b>",
            ]
            if info.agreement >= 0:
                lines.append(f"neighbours with the same label <b>{share(info.agreement)}</b>")
            lines.append(f"near duplicates, cosine > {info.duplicates_above:g}: <b>{count(info.duplicates)}</b> pairs")
            self.facts.setText("<br>".join(lines))
            self._show_list()

    def duplicates_within(self, records: Array) -> tuple[int, float] | None:
        """Return how many near duplicates both lie in a selection, and above which cosine; None = not surveyed."""
        if self._near.told is None:
            return None
        info, arrays = self._near.told
        pairs = arrays[9]
        return int(np.isin(pairs, records).all(axis=1).sum()) if len(pairs) else 0, info.duplicates_above

    def _show_list(self) -> None:
        if self._near.told is None:
            return
        info, arrays = self._near.told
        which = self.which.currentText()
        self.meaning.setText(MEANING[which])
        self._cells = _cells(which, arrays)
        self._records = tuple(dict.fromkeys(cell.record for cell in self._cells))
        self.tiles.show(info.dataset, round(TILE_PX * self.devicePixelRatioF()))
        self.tiles.want(self._records)
        self.select.setEnabled(bool(self._cells))
        if not self._cells:
            self.meaning.setText(f"{MEANING[which]} There are none.")
        self._show_tiles()

    def _show_tiles(self) -> None:
        pictures: dict[int, QImage] = {
            record: tile for record in self._records if (tile := self.tiles.tile(record)) is not None
        }
        self.row.show_cells(self._cells, pictures)

    def _select(self) -> None:
        if self._near.told is None:
            return
        arrays = self._near.told[1]
        which = self.which.currentText()
        records = {"Surprising": arrays[7], "Duplicates": arrays[9], "Outliers": arrays[11]}.get(which)
        if records is None:
            records = np.array(self._records, np.int64)
        self.records_chosen.emit(np.unique(records), which.lower())


def _cells(which: str, arrays: list[Array]) -> list[Cell]:
    """Return the first records of a list, pairs beside one another."""
    records = arrays[0]
    if which == "Hubs":
        order = np.argsort(-arrays[3], kind="stable")[:SHOWN]
        return [Cell(int(records[at]), (count(int(records[at])), f"{int(arrays[3][at])} ×")) for at in order]
    if which == "Outliers":
        far = {int(record): float(value) for record, value in zip(records, arrays[5], strict=True)}
        return [Cell(int(one), (count(int(one)), number(far.get(int(one)), 3))) for one in arrays[11][:SHOWN]]
    pairs, cosines = (arrays[7], arrays[8]) if which == "Surprising" else (arrays[9], arrays[10])
    return [
        Cell(int(record), (count(int(record)), f"{float(cosine):.3f}"))
        for pair, cosine in zip(pairs[: SHOWN // 2], cosines, strict=False)
        for record in pair
    ]
