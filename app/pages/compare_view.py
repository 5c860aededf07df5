"""Place 5 of the window: runs against runs. Newest metrics, any curve overlaid, and the settings that differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import QComboBox, QMenu, QStackedWidget, QVBoxLayout, QWidget

from app.context import AppContext
from app.pages.compare_model import MOST_RUNS, differing_settings, result_rows, short_titles, unequal_budget
from app.pages.run_facts import batch_size, dataset_name, run_title
from app.theme import set_state
from app.viewers.curve_plot import CurvePlot
from app.viewers.curves import Series, newest_pass
from app.widgets.buttons import Button
from app.widgets.empty import Banner, EmptyState
from app.widgets.numbers import plural
from app.widgets.panel import Page, Panel, label
from app.widgets.tables import TextTableModel, make_table
from app.workspace_model import RunHistoryModel
from engine.protocol.messages import RunSummary

AXES = (("Against: steps", "step"), ("Against: images", "image"), ("Against: time", "time"))
FIRST_METRICS = ("quality/knn", "quality/linear", "loss")
NAMES = {"quality/knn": "kNN, %", "quality/linear": "Linear probe, %", "quality/rank": "Effective rank", "loss": "Loss"}
PERCENT = frozenset({"quality/knn", "quality/linear", "quality/chance"})
REFRESH_MS = 500
NOT_YET = "The same sample through each run, and paired differences over seeds, are not here yet."


class CompareView(Page):
    """`show_item(runs=[…])` compares runs; `show_item(run=…)` adds one; `paths` are run folders."""

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(context.theme, "Compare", parent)
        self.context = context
        self.chosen: list[str] = []
        theme = context.theme
        self.amount = label("", "small")
        self.add_button = Button(theme, "Add run", icon="add")
        self.add_menu = QMenu(self)
        self.add_menu.aboutToShow.connect(self._fill_menu)
        self.add_button.setMenu(self.add_menu)
        self.clear_button = Button(theme, "Clear", icon="clear", kind="quiet", tip="Take all runs out")
        self.clear_button.clicked.connect(lambda: self.show_item(runs=[]))
        self.header.add_fact(self.amount)
        self.header.add_action(self.clear_button)
        self.header.add_action(self.add_button)
        self.results, self.settings = TextTableModel(self), TextTableModel(self)
        self.curves = CurvePlot(theme, "Curves of the compared runs")
        self.metrics, self.axis = QComboBox(), QComboBox()
        self.metrics.setAccessibleName("Metric")
        self.axis.setAccessibleName("Horizontal axis")
        for text, value in AXES:
            self.axis.addItem(text, value)
        for box in (self.metrics, self.axis):
            set_state(box, height="small")
            box.activated.connect(self.refresh)
        self.all_button = Button(theme, "Show all", icon="list", kind="quiet")
        self.all_button.setCheckable(True)
        self.all_button.toggled.connect(self.refresh)
        self.budget = Banner(theme, "", "warn", "Compare against images")
        self.budget.action_wanted.connect(self._against_images)
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
            "Pick two runs or more: their curves are laid over one another and the settings that differ are listed.",
            icon="compare",
            action="Compare the two newest runs",
        )
        self.empty.action_wanted.connect(self._take_newest)
        self.table_stack = QStackedWidget()
        self.table_stack.addWidget(self.empty)
        self.table_stack.addWidget(make_table(self.results, theme, "Results"))
        self.top = Panel(theme, "Results")
        self.top.set_body(self.table_stack)
        self.left = Panel(theme, "Curves")
        self.left.add_control(self.axis)
        self.left.add_control(self.metrics)
        self.left.set_body(self.curves)
        self.right = Panel(theme, "Settings that differ")
        self.right.add_control(self.all_button)
        side = QWidget()
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 8)
        column.addWidget(make_table(self.settings, theme, "Settings that differ"), 1)
        column.addWidget(self.budget)
        column.addWidget(label(f"  {NOT_YET}", "qualifier", wrap=True))
        self.right.set_body(side)
        for panel, name, table in (
            (self.top, "results", self.results),
            (self.left, "curves", None),
            (self.right, "settings", self.settings),
        ):
            panel.setObjectName(f"compare-{name}")
            if table is not None:
                copy = Button(theme, "Copy", icon="copy", kind="quiet", tip="Copy as tab-separated text")
                copy.clicked.connect(
                    lambda _checked=False, table=table: QGuiApplication.clipboard().setText(table.as_text())
                )
                panel.add_control(copy)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self.top)
        self.splitDockWidget(self.top, self.left, Qt.Orientation.Vertical)
        self.splitDockWidget(self.left, self.right, Qt.Orientation.Horizontal)

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

    def _fill_menu(self) -> None:
        self.add_menu.clear()
        workspace = self.context.workspace
        known = sorted(workspace.runs.values(), key=lambda run: run.spec.created, reverse=True)
        for summary in known[:40]:
            action = self.add_menu.addAction(f"{run_title(summary, workspace.methods)}, {summary.state}")
            action.setCheckable(True)
            action.setChecked(summary.run in self.chosen)
            action.triggered.connect(
                lambda checked, name=summary.run: self.show_item(run=name) if checked else self.remove(name)
            )

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
        titles = short_titles(runs, workspace.methods)
        histories = [workspace.history(run.run) for run in runs]
        data = sorted({dataset_name(run) for run in runs})
        self.amount.setText(f"{plural(len(runs), 'run')}, data {', '.join(data)}" if runs else "")
        self.clear_button.setVisible(bool(runs))
        self.table_stack.setCurrentIndex(1 if runs else 0)
        self.left.setVisible(bool(runs))
        self.right.setVisible(bool(runs))
        self.top.set_qualifier("newest measurement of each run; ± is its 95 % interval" if runs else "")
        if not runs:
            return
        newest = [_newest(history) for history in histories]
        self.results.show_rows(*result_rows(runs, titles, newest))
        table, differing, total = differing_settings(runs, titles, show_all=self.all_button.isChecked())
        self.settings.show_rows(*table)
        self.right.set_qualifier(f"{differing} of {total}" if len(runs) > 1 else "add a second run to compare")
        sentence = unequal_budget(runs, titles)
        self.budget.setVisible(bool(sentence))
        if sentence:
            self.budget.tell(sentence, "warn", "Compare against images")
        self._draw(runs, titles, histories)

    def _draw(self, runs: list[RunSummary], titles: list[str], histories: list[RunHistoryModel]) -> None:
        names = sorted({name for history in histories for name in history.names()}, key=_metric_order)
        current = self.metrics.currentData()
        if [self.metrics.itemData(row) for row in range(self.metrics.count())] != names:
            self.metrics.clear()
            for name in names:
                self.metrics.addItem(NAMES.get(name, name), name)
            self.metrics.setCurrentIndex(max(0, self.metrics.findData(current)))
        metric, axis = self.metrics.currentData(), self.axis.currentData()
        series, bands = [], {}
        for place, (run, title, history) in enumerate(zip(runs, titles, histories, strict=True)):
            x, y = _column(history, metric, axis, batch_size(run))
            series.append(Series(run.run, title, x, y, place))
            low, high = (_column(history, f"{metric}_{end}", axis, batch_size(run)) for end in ("low", "high"))
            if len(low[0]) == len(x) and len(x):
                bands[run.run] = (x, low[1], high[1])
        units = {"step": ("step", "steps"), "image": ("image", "images"), "time": ("second", "s")}
        self.curves.bands = bands
        self.curves.set_x(*units[axis or "step"])
        self.curves.show_series(series)
        self.left.set_title(NAMES.get(metric, metric or "Curves"), "shaded 95 % interval" if bands else "")

    def _against_images(self) -> None:
        self.axis.setCurrentIndex(self.axis.findData("image"))
        self.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Give the panels their first sizes."""
        super().showEvent(event)
        QTimer.singleShot(0, self, self._settle)

    def _settle(self) -> None:
        self.resizeDocks([self.top, self.left], [200, 600], Qt.Orientation.Vertical)
        self.resizeDocks([self.left, self.right], [500, 400], Qt.Orientation.Horizontal)


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
