"""The panels of a run's live page: which there are, and where they lie at first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import QCoreApplication, QSettings, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox, QDockWidget, QPlainTextEdit, QWidget

from app.pages.run_pictures import MAP_KIND
from app.theme import Theme, set_state
from app.viewers import make_viewer
from app.viewers.base import Viewer
from app.viewers.embedding import EmbeddingViewer
from app.viewers.events import EventsTable
from app.viewers.loss_chart import LossChart
from app.viewers.quality import QualityStrip
from app.viewers.scrubber import Scrubber
from app.viewers.step_time import StepTime
from app.widgets.buttons import Button
from app.widgets.panel import Page, Panel
from app.widgets.tables import TextTableModel, make_table
from engine.protocol.messages import ViewInfo

AREA = Qt.DockWidgetArea.LeftDockWidgetArea
ACROSS, DOWN = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
LAYOUT_VERSION = 1
USUAL_KINDS = ("embedding", "reconstruction", "attention", "attention", "feature-map")
STOCK_MS = 20  # between two viewers that are made before they are wanted


class StripDock(QDockWidget):
    """A dock without header, for the quality cards; it moves and closes from the Views menu."""

    def __init__(self, title: str, body: QWidget, parent: QWidget) -> None:
        super().__init__(title, parent)
        self.setTitleBarWidget(QWidget())
        self.setFeatures(QDockWidget.DockWidgetFeature.DockWidgetClosable)
        self.setWidget(body)


class RunDocks:
    """Owns the panels of one page. `viewers` are those of the method's views, by view name."""

    def __init__(self, page: Page, theme: Theme) -> None:
        self._page, self._theme = page, theme
        self._unsized: tuple[list[QDockWidget], list[QDockWidget]] | None = None
        self.viewers: dict[str, Viewer] = {}
        self.infos: dict[str, ViewInfo] = {}
        self.panels: dict[str, QDockWidget] = {}
        self._stock: list[tuple[str, Viewer]] = []
        self.loss, self.quality = LossChart(theme), QualityStrip(theme)
        self.time, self.events = StepTime(theme), EventsTable(theme)
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setFont(theme.font("mono"))
        self.log.setAccessibleName("End of the log")
        self.evaluations = TextTableModel()
        self.open_log = Button(theme, "Open log", icon="log", kind="quiet")
        self.advice = Button(theme, "Advice", icon="advice", kind="quiet")
        self.advice.clicked.connect(self.time.toggle_advice)
        self.explore = Button(theme, "Open in Explore", icon="open", kind="quiet")
        self._add_fixed()

    def _add_fixed(self) -> None:
        self._add("loss", "Loss terms", self.loss, self.loss.header_widgets(), exports=True)
        self.panels["quality"] = StripDock("Quality", self.quality, self._page)
        self._add("time", "Where a step goes", self.time, [self.advice])
        self._add("events", "Events", self.events, [self.events.filter, self.open_log])
        self._add("log", "Log", self.log, [])
        self._add("evaluations", "Evaluations", make_table(self.evaluations, self._theme, "Evaluations"), [])
        for name, dock in self.panels.items():
            dock.setObjectName(f"run-{name}")

    def _add(
        self, name: str, title: str, body: QWidget, controls: Iterable[QWidget], *, exports: bool = False
    ) -> Panel:
        panel = Panel(self._theme, title, parent=self._page)  # from the start: Qt dresses all that changes its parent
        panel.hide()
        panel.setObjectName(f"run-{name}")
        panel.set_body(body)
        for control in controls:
            if isinstance(control, QComboBox):
                set_state(control, height="small")
            panel.add_control(control)
        if exports:
            panel.add_export()
        self.panels[name] = panel
        return panel

    @staticmethod
    def panel_name(view: str) -> str:
        """Return the name of a view's panel."""
        return f"view-{view}"

    def scrubbers(self) -> list[Scrubber]:
        """Return the lines of steps: those of the maps."""
        return [viewer.scrubber for viewer in self.viewers.values() if isinstance(viewer, EmbeddingViewer)]

    def is_in_sight(self, view: str) -> bool:
        """Return whether a view's panel can be seen."""
        return self.panels[self.panel_name(view)].isVisible()

    def stock_up(self, kinds: Sequence[str] = USUAL_KINDS) -> None:
        """Make viewers that most methods want before a run is opened, one a turn; together they hold the window up."""
        if not kinds or self.infos:
            return
        self._stock.append((kinds[0], make_viewer(kinds[0], self._theme)))
        QTimer.singleShot(STOCK_MS, self._page, lambda: self.stock_up(kinds[1:]))

    def _viewer(self, kind: str) -> Viewer:
        """Return a viewer that was made before, or a new one."""
        for place, (stocked, viewer) in enumerate(self._stock):
            if stocked == kind:
                del self._stock[place]
                return viewer
        return make_viewer(kind, self._theme)

    def set_views(self, infos: Iterable[ViewInfo]) -> bool:
        """Make a panel for every view; return whether anything changed."""
        wanted = {info.name: info for info in infos}
        if wanted == self.infos:
            return False
        for view in list(self.viewers):
            panel = self.panels.pop(self.panel_name(view))
            self._page.removeDockWidget(panel)
            panel.deleteLater()
        self.infos, self.viewers = wanted, {}
        for info in wanted.values():
            viewer = self._viewer(info.kind)
            controls = viewer.header_widgets()
            is_map = info.kind == MAP_KIND
            if is_map:
                self.explore = Button(self._theme, "Open in Explore", icon="open", kind="quiet")
                controls = [*controls, self.explore]
            panel = self._add(self.panel_name(info.name), info.title, viewer, controls, exports=True)
            panel.setToolTip(info.description)
            viewer.qualifier_changed.connect(panel.set_qualifier)
            self.viewers[info.name] = viewer
        for _, viewer in self._stock:
            viewer.deleteLater()
        self._stock.clear()
        return True

    def slots(self) -> tuple[list[str], list[str]]:
        """Return the panels shown at first (map, top right, bottom right), and the others."""
        maps = [view for view, info in self.infos.items() if info.kind == MAP_KIND]
        others = [view for view in self.infos if view not in maps]
        first = [view for view in others if self.infos[view].kind == "reconstruction"] + others
        top = first[:1]
        rest = [view for view in others if view not in top]
        attention = [view for view in rest if self.infos[view].kind == "attention"]
        second = [*(view for view in attention if view == "attention"), *attention, *rest]
        shown = [*maps[:1], *top, *second[:1]]
        return shown, [view for view in self.infos if view not in shown]

    def arrange(self) -> None:
        """Lay everything out as at first."""
        page, panels = self._page, self.panels
        for dock in panels.values():
            page.removeDockWidget(dock)
            dock.setFloating(False)
        shown, others = self.slots()
        maps = [view for view in shown if self.infos[view].kind == MAP_KIND]
        right = [panels[self.panel_name(view)] for view in shown if view not in maps]
        left = [panels["loss"], *(panels[self.panel_name(view)] for view in maps)]
        page.addDockWidget(AREA, left[0])
        for above, below in zip(
            [*left, panels["quality"]], [*left[1:], panels["quality"], panels["time"]], strict=True
        ):
            page.splitDockWidget(above, below, DOWN)
        for beside, dock in zip(left, right, strict=False):
            page.splitDockWidget(beside, dock, ACROSS)
        if len(right) > len(left):
            page.splitDockWidget(right[-2], right[-1], DOWN)
        page.splitDockWidget(panels["time"], panels["events"], ACROSS)
        for name in ("log", "evaluations"):
            page.tabifyDockWidget(panels["events"], panels[name])
        anchor = right[-1] if right else left[-1]
        for view in others:
            page.tabifyDockWidget(anchor, panels[self.panel_name(view)])
        closed = {"log", "evaluations", *(self.panel_name(view) for view in others)}
        for name, dock in panels.items():
            dock.setVisible(name not in closed)
        self._unsized = (left, right)
        QTimer.singleShot(0, page, self.settle)

    def settle(self) -> None:
        """Give the panels their first sizes, once the page has one itself."""
        page, panels = self._page, self.panels
        if self._unsized is None or not page.isVisible():
            return
        (left, right), self._unsized = self._unsized, None
        column = [*left, panels["quality"], panels["time"]]
        heights = ([368, 232] if len(left) > 1 else [600]) + [90, 146]
        page.resizeDocks(column, heights, DOWN)
        width = max(page.width() - 32, 900)
        for beside, dock in zip(left, right, strict=False):
            page.resizeDocks([beside, dock], [width * 6 // 11, width * 5 // 11], ACROSS)
        page.resizeDocks([panels["time"], panels["events"]], [width * 4 // 11, width * 7 // 11], ACROSS)
        QTimer.singleShot(0, page, page.layout_history.begin)

    # ── remembered ───────────────────────────────────────────────────────────────────────────────

    def _key(self) -> str:
        screen = QGuiApplication.primaryScreen()
        size = screen.size() if screen else self._page.size()
        return f"layout/run/{size.width()}x{size.height()}/{'+'.join(sorted(self.infos))}"

    def remember(self) -> None:
        """Keep the layout for the next time."""
        if not QCoreApplication.organizationName():
            return  # a program without a name has no settings to keep this in
        QSettings().setValue(self._key(), self._page.saveState(LAYOUT_VERSION))

    def restore(self) -> None:
        """Lay out as it was left, or as at first."""
        self.arrange()
        state = QSettings().value(self._key()) if QCoreApplication.organizationName() else None
        if state is None:
            return
        if self._page.restoreState(state, LAYOUT_VERSION):
            self._unsized = None
            QTimer.singleShot(0, self._page, self._page.layout_history.begin)
        else:
            self.arrange()
