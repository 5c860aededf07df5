"""Place 5 of the window: runs against runs.

Groups over seeds with paired differences, any curve overlaid, the settings that differ, the same sample through each
run, and how alike their layers are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import QComboBox, QStackedWidget, QVBoxLayout, QWidget

from app.context import AppContext
from app.pages.compare_groups import Group, group_runs, mean_curve
from app.pages.compare_layers import LayerComparison
from app.pages.compare_maps import MapPair
from app.pages.compare_model import MOST_RUNS, differing_settings, unequal_budget
from app.pages.compare_pick import RunPicker
from app.pages.compare_results import NAMES, PERCENT, ResultsModel, make_results_table
from app.pages.compare_sample import SampleStrip
from app.pages.exporting import ask_export
from app.pages.handing_on import HandingOn
from app.pages.run_facts import batch_size, dataset_name
from app.theme import set_state
from app.viewers import make_viewer
from app.viewers.curve_plot import CurvePlot
from app.viewers.curves import Series, newest_pass
from app.widgets.buttons import Button
from app.widgets.empty import Banner, EmptyState
from app.widgets.numbers import plural
from app.widgets.panel import Page, Panel, label
from app.widgets.tables import TextTableModel, make_table
from app.workspace_model import RunHistoryModel

AXES = (("Against: steps", "step"), ("Against: images", "image"), ("Against: time", "time"))
SMOOTHINGS = (("As measured", 1), ("Smooth over 5", 5), ("Smooth over 20", 20), ("Smooth over 100", 100))
FIRST_METRICS = ("quality/knn", "quality/linear", "loss")
REFRESH_MS = 500
ASK_FOR_LAYERS = "How alike the layers of two runs are (linear CKA on 1 000 records): choose two runs, then Compute."


class CompareView(Page):
    """`show_item(runs=[…])` compares runs; `show_item(run=…)` adds one; `paths` are run folders."""

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(context.theme, "Compare", parent)
        self.context = context
        self.chosen: list[str] = []
        self.groups: list[Group] = []
        theme = context.theme
        self.handing_on = HandingOn(context, self)
        self.amount = label("", "small")
        self.add_button = Button(theme, "Add run", icon="add")
        self.add_menu = RunPicker(context, self)
        self.add_menu.aboutToShow.connect(lambda: self.add_menu.show_chosen(self.chosen))
        self.add_menu.wanted.connect(self._add)
        self.add_menu.unwanted.connect(self.remove)
        self.add_button.setMenu(self.add_menu)
        self.clear_button = Button(theme, "Clear", icon="clear", kind="quiet", tip="Take all runs out")
        self.clear_button.clicked.connect(lambda: self.show_item(runs=[]))
        self.report_button = Button(theme, "Report", icon="report", kind="primary", tip="One HTML file of these runs")
        self.report_button.clicked.connect(lambda: self.handing_on.ask(self.chosen, "report"))
        self.header.add_fact(self.amount)
        for button in (self.clear_button, self.add_button, self.report_button):
            self.header.add_action(button)
        self.results, self.settings = ResultsModel(self), TextTableModel(self)
        self.curves = CurvePlot(theme, "Curves of the compared runs")
        self.metrics, self.axis, self.smoothing, self.reference = (QComboBox() for _ in range(4))
        self.first, self.second = QComboBox(), QComboBox()
        named = {
            "Metric": self.metrics,
            "Horizontal axis": self.axis,
            "Smoothing": self.smoothing,
            "Reference": self.reference,
            "Layers of": self.first,
            "Layers of the other": self.second,
        }
        for name, box in named.items():
            box.setAccessibleName(name)
            set_state(box, height="small")
        for box in named.values():
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        for text, value in AXES:
            self.axis.addItem(text, value)
        for text, over in SMOOTHINGS:
            self.smoothing.addItem(text, over)
        for box in (self.metrics, self.axis, self.smoothing, self.reference):
            box.activated.connect(self.refresh)
        self.all_button = Button(theme, "Show all", icon="list", kind="quiet")
        self.all_button.setCheckable(True)
        self.all_button.toggled.connect(self.refresh)
        self.budget = Banner(theme, "", "warn", "Compare against images")
        self.budget.action_wanted.connect(self._against_images)
        self.strip = SampleStrip(context)
        self.maps = MapPair(context)
        self.layers = LayerComparison(context, self)
        self.layers.changed.connect(self._show_layers)
        self.matrix = make_viewer("similarity", theme)
        self.matrix.show_message(ASK_FOR_LAYERS)
        self.compute = Button(theme, "Compute", icon="start", kind="quiet", tip="Linear CKA between all layers")
        self.compute.clicked.connect(self._compare_layers)
        self._lay_out()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        workspace = context.workspace
        for signal in (workspace.run_changed, workspace.metrics_appended):
            signal.connect(self._dirty)
        workspace.runs_changed.connect(self._runs_changed)
        self.refresh()

    def _lay_out(self) -> None:
        theme = self.context.theme
        self.empty = EmptyState(
            theme,
            "Pick two runs or more: their curves are laid over one another, the settings that differ are listed, and "
            "the same sample goes through each.",
            icon="compare",
            action="Compare the two newest runs",
        )
        self.empty.action_wanted.connect(self._take_newest)
        self.table_stack = QStackedWidget()
        self.table_stack.addWidget(self.empty)
        self.table_stack.addWidget(make_results_table(self.results, theme))
        self.top = Panel(theme, "Results")
        self.top.add_control(self.reference)
        self.top.set_body(self.table_stack)
        self.left = Panel(theme, "Curves")
        for box in (self.axis, self.smoothing, self.metrics):
            self.left.add_control(box)
        self.left.set_body(self.curves)
        self.right = Panel(theme, "Settings that differ")
        self.right.add_control(self.all_button)
        side = QWidget()
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 8)
        column.addWidget(make_table(self.settings, theme, "Settings that differ"), 1)
        column.addWidget(self.budget)
        self.right.set_body(side)
        self.below = Panel(theme, "Same sample through each run")
        for control in self.strip.controls():
            self.below.add_control(control)
        self.below.set_body(self.strip)
        self.strip.told.connect(self.below.set_qualifier)
        self.two = Panel(theme, "Two maps")
        for control in self.maps.controls():
            self.two.add_control(control)
        self.two.set_body(self.maps)
        self.maps.told.connect(self.two.set_qualifier)
        self.alike = Panel(theme, "Layers alike")
        for control in (self.first, self.second, self.compute, *self.matrix.header_widgets()):
            self.alike.add_control(control)
        self.alike.set_body(self.matrix)
        for panel, name, table in (
            (self.top, "results", self.results),
            (self.left, "curves", None),
            (self.right, "settings", self.settings),
            (self.below, "sample", None),
            (self.two, "maps", None),
            (self.alike, "layers", None),
        ):
            panel.setObjectName(f"compare-{name}")
            if table is not None:
                copy = Button(theme, "Copy", icon="copy", kind="quiet", tip="Copy as tab-separated text")
                copy.clicked.connect(
                    lambda _checked=False, table=table: QGuiApplication.clipboard().setText(table.as_text())
                )
                panel.add_control(copy)
        for panel, name, shown in ((self.left, "curves", self.curves), (self.alike, "layers", self.matrix)):
            panel.add_export()
            panel.export_wanted.connect(partial(self._export, name, shown.export_to))
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self.top)
        self.splitDockWidget(self.top, self.left, Qt.Orientation.Vertical)
        self.splitDockWidget(self.left, self.below, Qt.Orientation.Vertical)
        self.splitDockWidget(self.left, self.right, Qt.Orientation.Horizontal)
        self.tabifyDockWidget(self.right, self.alike)
        self.tabifyDockWidget(self.below, self.two)
        self.right.raise_()

    # ── which runs ───────────────────────────────────────────────────────────────────────────────

    def show_item(
        self, runs: Sequence[str] | None = None, run: str | None = None, paths: Sequence[str] | None = None
    ) -> None:
        """Compare these runs, or add one, by name or by folder."""
        if runs is not None:
            self.chosen = []
        named = [*(runs or ()), *([run] if run else []), *(Path(path).name for path in paths or ())]
        unknown = [name for name in named if name not in self.context.workspace.runs]
        for name in named:
            if name in self.context.workspace.runs and name not in self.chosen and len(self.chosen) < MOST_RUNS:
                self.chosen.append(name)
        if unknown:
            self.context.notices.post(f"{', '.join(unknown)} is no run of this workspace.", "warn")
        self.refresh()

    def remove(self, run: str) -> None:
        """Take a run out."""
        self.chosen = [name for name in self.chosen if name != run]
        self.refresh()

    def _take_newest(self) -> None:
        known = sorted(self.context.workspace.runs.values(), key=lambda run: run.spec.created, reverse=True)
        self.show_item(runs=[run.run for run in known if run.step > 0][:2])

    def _add(self, runs: Sequence[str]) -> None:
        self.show_item(runs=[*self.chosen, *runs])

    def _runs_changed(self) -> None:
        self.chosen = [run for run in self.chosen if run in self.context.workspace.runs]
        self.refresh()

    def _dirty(self, run: str) -> None:
        if run in self.chosen and not self._timer.isActive():
            self._timer.start()

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def refresh(self) -> None:
        """Bring everything up to date."""
        workspace = self.context.workspace
        runs = [workspace.runs[name] for name in self.chosen]
        self.groups = group_runs(runs, workspace.methods)
        titles = [group.title for group in self.groups]
        data = sorted({dataset_name(run) for run in runs})
        named = f"{plural(len(self.groups), 'setting')}, " if len(self.groups) < len(runs) else ""
        self.amount.setText(f"{named}{plural(len(runs), 'run')}, data {', '.join(data)}" if runs else "")
        self.clear_button.setVisible(bool(runs))
        self.report_button.setVisible(bool(runs))
        self.table_stack.setCurrentIndex(1 if runs else 0)
        self.strip.show_runs([group.runs[0] for group in self.groups], titles)
        self.maps.show_runs([group.runs[0] for group in self.groups], titles)
        for panel, is_useful in (
            (self.left, bool(runs)),
            (self.right, bool(runs)),
            (self.below, self.strip.is_useful()),
            (self.alike, len(self.groups) > 1),
            (self.two, len(self.groups) > 1),
        ):
            panel.setVisible(is_useful)
        self.top.set_qualifier(self._how_measured())
        if not runs:
            return
        histories = {run.run: workspace.history(run.run) for run in runs}
        self._fill_references()
        self._fill_metrics([name for history in histories.values() for name in history.names()])
        newest = {name: _newest(history) for name, history in histories.items()}
        metric = self.metrics.currentData() or FIRST_METRICS[0]
        self.results.show_groups(self.groups, newest, metric, self.reference.currentData() or self.groups[0].key)
        firsts = [group.runs[0] for group in self.groups]
        table, differing, total = differing_settings(firsts, titles, show_all=self.all_button.isChecked())
        self.settings.show_rows(*table)
        self.right.set_qualifier(f"{differing} of {total}" if len(self.groups) > 1 else "add a second run to compare")
        sentence = unequal_budget(firsts, titles)
        self.budget.setVisible(bool(sentence))
        if sentence:
            self.budget.tell(sentence, "warn", "Compare against images")
        self._draw(histories)

    def _how_measured(self) -> str:
        if not self.groups:
            return ""
        several = any(len(group.runs) > 1 for group in self.groups)
        what = "the 95 % interval over seeds" if several else "the 95 % interval of the measurement"
        return f"newest measurement; ± is {what}; bold is the best mean, n.s. means the interval includes 0"

    def _fill_references(self) -> None:
        keys = [group.key for group in self.groups]
        if [self.reference.itemData(row) for row in range(self.reference.count())] != keys:
            current = self.reference.currentData()
            for box in (self.reference, self.first, self.second):
                box.clear()
                for group in self.groups:
                    box.addItem(f"Reference: {group.title}" if box is self.reference else group.title, group.key)
            self.reference.setCurrentIndex(max(0, self.reference.findData(current)))
            self.second.setCurrentIndex(min(1, self.second.count() - 1))

    def _fill_metrics(self, every: Sequence[str]) -> None:
        names = sorted(set(every), key=_metric_order)
        current = self.metrics.currentData()
        if [self.metrics.itemData(row) for row in range(self.metrics.count())] != names:
            self.metrics.clear()
            for name in names:
                self.metrics.addItem(NAMES.get(name, name), name)
            self.metrics.setCurrentIndex(max(0, self.metrics.findData(current)))

    def _draw(self, histories: dict[str, RunHistoryModel]) -> None:
        metric, axis = self.metrics.currentData(), self.axis.currentData()
        series, bands = [], {}
        for place, group in enumerate(self.groups):
            lines = [_column(histories[run.run], metric, axis, batch_size(run)) for run in group.runs]
            if len(lines) > 1 and all(len(x) for x, _ in lines):
                x, y, low, high = mean_curve(lines)
                bands[group.key] = (x, low, high)
            else:
                x, y = lines[0]
                run = group.runs[0]
                ends = [
                    _column(histories[run.run], f"{metric}_{end}", axis, batch_size(run)) for end in ("low", "high")
                ]
                if len(x) and all(len(end[0]) == len(x) for end in ends):
                    bands[group.key] = (x, ends[0][1], ends[1][1])
            series.append(Series(group.key, group.title, x, y, place))
        units = {"step": ("step", "steps"), "image": ("image", "images"), "time": ("second", "s")}
        self.curves.bands = bands
        self.curves.smoothing = int(self.smoothing.currentData() or 1)
        self.curves.set_x(*units[axis or "step"])
        self.curves.show_series(series)
        self.left.set_title(NAMES.get(metric, metric or "Curves"), "shaded 95 % interval" if bands else "")

    def _compare_layers(self) -> None:
        first, second = self.first.currentData(), self.second.currentData()
        if first and second:
            self.layers.compare(first, second)

    def _show_layers(self) -> None:
        running = self.layers.state == "running"
        self.compute.setEnabled(not running)
        if self.layers.result is not None:
            self.matrix.show_inspection(self.layers.result)
        else:
            self.matrix.show_message(self.layers.text)
        self.alike.set_qualifier(self.layers.text if self.layers.state == "done" else "")

    def _export(self, name: str, write: Callable[[Path, str], list[Path]]) -> None:
        reproduce = f"selfsight export {' '.join(self.chosen)} --format report --out comparison.html"
        ask_export(self, f"comparison-{name}", lambda path: write(path, reproduce), self.context.notices)

    def _against_images(self) -> None:
        self.axis.setCurrentIndex(self.axis.findData("image"))
        self.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Give the panels their first sizes."""
        super().showEvent(event)
        QTimer.singleShot(0, self, self._settle)

    def _settle(self) -> None:
        self.resizeDocks([self.top, self.left, self.below], [170, 290, 340], Qt.Orientation.Vertical)
        self.resizeDocks([self.left, self.right], [520, 480], Qt.Orientation.Horizontal)


def _metric_order(name: str) -> tuple[int, str]:
    return (FIRST_METRICS.index(name) if name in FIRST_METRICS else len(FIRST_METRICS), name)


def _newest(history: RunHistoryModel) -> dict[str, float]:
    found = {}
    for name in history.names():
        _, y = history.series(name)
        if len(y):
            found[name] = float(y[-1])
    return found


def _column(
    history: RunHistoryModel, metric: str | None, axis: str | None, batch: int
) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    x, y = history.series(metric or "")
    keep = newest_pass(x)
    x, y = x[keep], y[keep]
    root = (metric or "").removesuffix("_low").removesuffix("_high")
    y = y * 100 if root in PERCENT else y
    if axis == "image":
        return x * batch, y
    if axis == "time" and len(x):
        steps, seconds = history.times()
        kept = newest_pass(steps)
        return np.interp(x, steps[kept], np.maximum.accumulate(seconds[kept])), y
    return x, y
