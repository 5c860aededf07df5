"""Left of the map: which projection, how it is coloured and drawn, and the job that makes another."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QMenu,
    QProgressBar,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from app.pages.explore_maps import ExploreMaps
from app.theme import Theme, set_state
from app.viewers.embedding import EmbeddingViewer
from app.viewers.map_legend import MapLegend
from app.widgets.buttons import Button
from app.widgets.number_box import NumberBox
from app.widgets.numbers import count, duration
from app.widgets.panel import label, line
from app.widgets.segmented import Segmented
from engine.protocol.messages import TABLE_FORMATS, MapOptions

PROJECTIONS = ("PCA", "UMAP", "t-SNE", "PaCMAP")
SETTINGS = {  # option: title, whole number, smallest, largest, of which projections
    "neighbours": ("Neighbours", True, 2, 500, ("UMAP", "PaCMAP")),
    "minimum_distance": ("Min. distance", False, 0, 0.99, ("UMAP",)),
    "perplexity": ("Perplexity", False, 2, 500, ("t-SNE",)),
    "seed": ("Seed", True, 0, None, ("UMAP", "t-SNE", "PaCMAP")),
}
TABLES = {
    "csv": "CSV…",
    "parquet": "Parquet…",
    "npz": "NumPy NPZ…",
    "projector": "TensorFlow Projector (folder)…",
}
AMOUNTS = (2_000, 10_000, 100_000, 0)  # 0 = all
SIZES_PX = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


class MapPanel(QWidget):
    """Says what is wanted; the page asks for it."""

    options_changed = Signal()

    def __init__(self, theme: Theme, maps: ExploreMaps, viewer: EmbeddingViewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._maps, self._viewer = theme, maps, viewer
        self._checkpoints: list[int] = []
        self._boxes: dict[str, tuple[QWidget, NumberBox]] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(12, 12, 12, 12)
        self._column.setSpacing(8)
        self._add_projection()
        self._column.addWidget(line())
        self._add_colours()
        self._column.addWidget(line())
        self._add_look()
        self._column.addStretch(1)
        viewer.columns_changed.connect(self._show_columns)
        viewer.canvas.drawn.connect(self._show_look)
        maps.changed.connect(self.show_state)
        maps.arrived.connect(lambda *_: self.show_state())
        self._show_settings()
        self.show_state()

    # ── building ─────────────────────────────────────────────────────────────────────────────────

    def _add_projection(self) -> None:
        self.projection = QComboBox()
        self.projection.setAccessibleName("Projection")
        for name in PROJECTIONS:
            self.projection.addItem(name, name)
        self.dimensions = Segmented(("2D", "3D"), "2D")
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.projection, 1)
        row.addWidget(self.dimensions)
        self._column.addWidget(label("Projection", "second"))
        self._column.addLayout(row)
        self.how = label("", "qualifier", wrap=True)
        self._column.addWidget(self.how)
        self.more = Button(self._theme, "Settings", icon="down", kind="quiet")
        self.more.setCheckable(True)
        self._column.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        self.settings = QWidget()
        grid = QGridLayout(self.settings)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        for number, (name, (title, whole, low, high, _)) in enumerate(SETTINGS.items()):
            box = NumberBox(whole=whole, minimum=low, maximum=high)
            box.set_value(getattr(MapOptions(), name))
            box.setAccessibleName(title)
            box.edited.connect(self._changed)
            text = label(title, "second")
            grid.addWidget(text, number, 0)
            grid.addWidget(box, number, 1, Qt.AlignmentFlag.AlignRight)
            self._boxes[name] = (text, box)
        self.settings.hide()
        self.more.toggled.connect(self.settings.setVisible)
        self._column.addWidget(self.settings)
        self.amount, self.chosen = QComboBox(), QComboBox()
        self.amount.setAccessibleName("How many records")
        for value in AMOUNTS:
            self.amount.addItem(f"{count(value)} records" if value else "all records", value)
        self.amount.setCurrentIndex(1)
        self.chosen.setAccessibleName("How they are chosen")
        self.chosen.addItem("at random", "random")
        self.chosen.addItem("same number of each label", "stratified")
        self.history = QCheckBox("Every checkpoint")
        self.history.setToolTip("A map of every saved checkpoint, each turned to lie like the one before")
        for widget in (self.amount, self.chosen, self.history):
            self._column.addWidget(widget)
        self.make = Button(self._theme, "Compute", icon="recompute")
        self.make.clicked.connect(self.start)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.progress = label("", "qualifier", wrap=True)
        self.cancel = Button(self._theme, "Cancel", icon="cancel", kind="quiet")
        self.table = Button(self._theme, "Points as table", icon="export", kind="quiet")
        menu = QMenu(self.table)
        for form, title in TABLES.items():
            menu.addAction(title, partial(self._ask_table, form))
        self.table.setMenu(menu)
        self.cancel.clicked.connect(self._maps.cancel)
        working: tuple[QWidget, ...] = (self.make, self.bar, self.progress, self.cancel, self.table)
        for part in working:
            self._column.addWidget(part)
        self.projection.activated.connect(lambda _row: self._changed())
        self.dimensions.chosen.connect(lambda _text: self._changed())

    def _add_colours(self) -> None:
        self.colours = QComboBox()
        self.colours.setAccessibleName("Colour by")
        self.colours.activated.connect(lambda row: self._viewer.colour_by(self.colours.itemData(row)))
        self.legend = MapLegend(self._theme)
        self.legend.toggled.connect(self._viewer.canvas.set_hidden)
        self.show_all = Button(self._theme, "Show all", icon="show", kind="quiet")
        self.hide_all = Button(self._theme, "Hide all", icon="hide", kind="quiet")
        self.show_all.clicked.connect(self.legend.show_all)
        self.hide_all.clicked.connect(self.legend.hide_all)
        row = QHBoxLayout()
        row.addWidget(self.show_all)
        row.addWidget(self.hide_all)
        row.addStretch(1)
        for widget in (label("Colour by", "second"), self.colours, self.legend):
            self._column.addWidget(widget)
        self._column.addLayout(row)

    def _add_look(self) -> None:
        canvas = self._viewer.canvas
        self.point_size, self.size_text = self._slider("Point size", len(SIZES_PX) - 1)
        self.opacity, self.opacity_text = self._slider("Opacity", 100)
        self.opacity.setMinimum(5)
        self.point_size.valueChanged.connect(lambda at: canvas.set_look(size=SIZES_PX[at]))
        self.opacity.valueChanged.connect(lambda at: canvas.set_look(opacity=at / 100))
        self.names, self.contours = QCheckBox("Cluster names"), QCheckBox("Density contours")
        self.dims = QCheckBox("Dim what is not selected")
        self.dims.setToolTip("H")
        self.names.setChecked(True)
        self.dims.setChecked(True)
        self.names.toggled.connect(canvas.set_names)
        self.contours.toggled.connect(lambda on: canvas.set_look(contours=on))
        self.dims.toggled.connect(lambda on: canvas.set_look(dims=on))
        for box in (self.names, self.contours, self.dims):
            self._column.addWidget(box)
        self._show_look()

    def _slider(self, title: str, highest: int) -> tuple[QSlider, Any]:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(0, highest)
        slider.setAccessibleName(title)
        value = label("", "second")
        row = QHBoxLayout()
        row.addWidget(label(title, "second"))
        row.addStretch(1)
        row.addWidget(value)
        self._column.addLayout(row)
        self._column.addWidget(slider)
        return slider, value

    # ── what is wanted ───────────────────────────────────────────────────────────────────────────

    def set_checkpoints(self, steps: list[int]) -> None:
        """Say of which checkpoints there could be maps."""
        self._checkpoints = steps
        self.history.setText(f"Every checkpoint ({count(len(steps))})")
        self.history.setEnabled(len(steps) > 1)

    def start(self) -> None:
        """Make the map that the settings describe."""
        if self._problem():
            return
        steps = self._checkpoints if self.history.isChecked() and len(self._checkpoints) > 1 else ()
        self._maps.make(int(self.amount.currentData()), str(self.chosen.currentData()), steps)

    def choose(self, projection: str, dimensions: int = 2) -> None:
        """Want another projection."""
        self.projection.setCurrentIndex(self.projection.findData(projection))
        self.dimensions.set_current(f"{dimensions}D")
        self._changed()

    def _changed(self) -> None:
        values: dict[str, Any] = {
            "projection": self.projection.currentData(),
            "dimensions": 3 if self.dimensions.current() == "3D" else 2,
        }
        values |= {name: box.value() for name, (_, box) in self._boxes.items()}
        if not self._problem():
            self._maps.options = msgspec.convert(values, MapOptions)
            self.options_changed.emit()
        self._show_settings()
        self.show_state()

    def _problem(self) -> str:
        for name, (title, _whole, low, high, projections) in SETTINGS.items():
            value = self._boxes[name][1].value()
            if self.projection.currentData() not in projections:
                continue
            if isinstance(value, str) or value < low or (high is not None and value > high):
                reach = f"from {low} to {high}" if high is not None else f"of {low} or more"
                return f"{title} must be a number {reach}."
            if SETTINGS[name][1] and not isinstance(value, int):
                return f"{title} must be a whole number."
        return ""

    def _ask_table(self, form: str) -> QFileDialog:
        suffix = TABLE_FORMATS[form]
        dialog = QFileDialog(self, "Points as table", f"{self._maps.shown or 'map'}{suffix}")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        if suffix:
            dialog.setNameFilter(f"{TABLES[form].removesuffix('…')} (*{suffix})")
            dialog.setDefaultSuffix(suffix.removeprefix("."))
        dialog.fileSelected.connect(partial(self._maps.write_table, form))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
        return dialog

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def _show_settings(self) -> None:
        name = self.projection.currentData()
        for setting, (text, box) in self._boxes.items():
            uses = name in SETTINGS[setting][4]
            text.setVisible(uses)
            box.setVisible(uses)
        self.more.setVisible(name != "PCA")
        self.settings.setVisible(self.more.isChecked() and name != "PCA")
        options = self._maps.options
        self.how.setText(
            {
                "UMAP": f"neighbours {options.neighbours}, min. distance {options.minimum_distance:g}",
                "t-SNE": f"perplexity {options.perplexity:g}",
                "PaCMAP": f"neighbours {options.neighbours}",
            }.get(name, "the directions of largest variance")
        )

    def show_state(self) -> None:
        """Show how far the job is, or what the button would do."""
        maps, job = self._maps, self._maps.job
        self.make.setVisible(not maps.is_busy)
        known = maps.best()
        seconds = f", about {duration(known.seconds)}" if known is not None and known.seconds >= 1 else ""
        self.make.setText(f"Recompute{seconds}" if known is not None else "Compute map")
        problem = self._problem() or maps.problem
        self.make.setEnabled(not self._problem())
        self.table.setVisible(bool(maps.shown))
        self.bar.setVisible(job is not None and job.total > 0)
        self.cancel.setVisible(maps.is_busy)
        if job is not None:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * job.done / job.total) if job.total else 0)
            text = f"{job.current or job.state}"
            if job.total:
                text += f", {count(job.done)} of {count(job.total)} {job.unit}"
            if job.seconds_left >= 0:
                text += f", {duration(job.seconds_left)} left"
            self.progress.setText(text)
        else:
            self.progress.setText("asking the engine…" if maps.is_busy else problem or maps.note)
        set_state(self.progress, level="error" if problem and not maps.is_busy else "")
        self.progress.setVisible(bool(self.progress.text()))

    def _show_columns(self) -> None:
        viewer = self._viewer
        names = list(viewer.columns())
        if [self.colours.itemData(at) for at in range(self.colours.count())] != names:
            self.colours.clear()
            for name in names:
                self.colours.addItem(name, name)
        self.colours.setCurrentIndex(max(self.colours.findData(viewer.colours.currentData()), 0))
        legend = viewer.canvas.legend
        if legend is not self.legend.legend:
            self.legend.show_legend(legend, self._viewer.canvas.hidden)
        for widget in (self.legend, self.show_all, self.hide_all):
            widget.setVisible(legend.is_category and bool(legend.groups))

    def _show_look(self) -> None:
        look = self._viewer.canvas.look
        at = min(range(len(SIZES_PX)), key=lambda place: abs(SIZES_PX[place] - look.size))
        for slider, value in ((self.point_size, at), (self.opacity, round(look.opacity * 100))):
            slider.blockSignals(True)  # noqa: FBT003
            slider.setValue(value)
            slider.blockSignals(False)  # noqa: FBT003
        self.size_text.setText(f"{look.size:g} px")
        self.opacity_text.setText(f"{round(look.opacity * 100)} %")
