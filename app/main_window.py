"""The window: puts bars, rail, pages, palette and notices together. It decides nothing."""

from __future__ import annotations

from PySide6.QtCore import QSettings, QSize, Qt, QTimer
from PySide6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QKeySequence,
    QResizeEvent,
    QShortcut,
)
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLineEdit, QMainWindow, QVBoxLayout, QWidget

from app.actions import Action, ActionRegistry
from app.context import AppContext, Client
from app.layout import LayoutMemory
from app.notices import Notices
from app.shell import status_bar
from app.shell.drop import DropModel, DropOverlay
from app.shell.entries import collect_entries
from app.shell.help_view import HelpView
from app.shell.palette import Palette
from app.shell.places import PLACES, TITLES, Places
from app.shell.rail import Rail
from app.shell.settings_view import SettingsView
from app.shell.status_bar import StatusBar
from app.shell.top_bar import TopBar
from app.theme import Theme
from app.widgets.empty import Banner
from app.widgets.notices import NoticeList, Toasts
from app.widgets.panel import Page, Panel
from app.workspace_model import WorkspaceModel

SMALLEST = QSize(1280, 800)
FIRST_SIZE = QSize(1600, 1000)
_LOST = {"not responding": ("warn", ""), "lost": ("error", "Start engine again"), "refused": ("error", "Try again")}


class MainWindow(QMainWindow):
    """Top bar, rail, pages, status bar; over them palette, toasts and the drop overlay."""

    def __init__(self, client: Client, theme: Theme, settings: QSettings, place: str = "this computer") -> None:
        super().__init__()
        self.theme, self._settings, self._memory = theme, settings, LayoutMemory(settings)
        self.notices, self.actions_ = Notices(self), ActionRegistry(self)
        self.workspace = WorkspaceModel(client, self)
        self.context = AppContext(client, self.workspace, theme, self.actions_, self.notices, self.go)
        self.setWindowTitle("Selfsight")
        self.top_bar = TopBar(theme, self.notices)
        self.rail = Rail(theme, PLACES, bottom=("settings",))
        self.places = Places(self.context, self._memory, {"settings": self._settings_view, "help": self._help_view})
        self.status_bar = StatusBar(theme, self.workspace, place)
        self.banner = Banner(theme)
        self._lay_out()
        self.palette_ = Palette(theme, lambda: collect_entries(self.context), self)
        self.notice_list = NoticeList(theme, self.notices, self)
        self.toasts = Toasts(theme, self.notices, self, status_bar.HEIGHT)
        self.drop = DropModel(client, self)
        self.overlay = DropOverlay(theme, self.drop, self)
        self.setAcceptDrops(True)
        over = (self.palette_, self.notice_list, self.overlay)
        for piece in (self.top_bar, self.rail, self.status_bar, self._banner_margin, *over):
            theme.dress(piece)
        self._shortcuts: dict[tuple[str, str], QShortcut] = {}
        self._connect()
        self._add_actions()
        self._render_engine()
        self._fit_screen()

    # ── building ─────────────────────────────────────────────────────────────────────────────────

    def _lay_out(self) -> None:
        middle, row = QWidget(), QHBoxLayout()
        right = QVBoxLayout()
        banner = QHBoxLayout()
        self._banner_margin = QWidget()
        self._banner_margin.setLayout(banner)
        banner.setContentsMargins(12, 8, 12, 0)
        banner.addWidget(self.banner)
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(0)
        right.addWidget(self._banner_margin)
        right.addWidget(self.places, 1)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.rail)
        row.addLayout(right, 1)
        middle.setLayout(row)
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for each, stretch in ((self.top_bar, 0), (middle, 1), (self.status_bar, 0)):
            column.addWidget(each, stretch)
        whole.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setCentralWidget(whole)
        whole.setFocus()  # else Qt gives the focus, and its ring, to the first button

    def _settings_view(self) -> QMainWindow:
        view = SettingsView(self.context, self._settings)
        view.window_wanted.connect(lambda _arguments: self.notices.post("Another window opens.", "info"))
        return view

    def _help_view(self) -> QMainWindow:
        return HelpView(self.context)

    def _connect(self) -> None:
        workspace = self.workspace
        self.rail.chosen.connect(self.go)
        self.places.opened.connect(self._opened)
        self.top_bar.palette_wanted.connect(self.palette_.open)
        self.top_bar.help_wanted.connect(self.show_help)
        self.top_bar.notices_wanted.connect(self.toggle_notices)
        self.status_bar.engine_clicked.connect(self._tell_engine)
        self.palette_.refused.connect(lambda reason: self.notices.post(reason, "warn"))
        self.banner.action_wanted.connect(self.context.client.start)
        self.theme.changed.connect(self._keep_look)
        workspace.connection_changed.connect(self._render_engine)
        workspace.engine_stopping.connect(lambda reason: self.notices.post(reason, "warn"))
        for signal in (workspace.runs_changed, workspace.run_changed):
            signal.connect(self._render_runs)
        for signal in (
            workspace.runs_changed,
            workspace.datasets_changed,
            workspace.methods_changed,
            self.actions_.changed,
        ):
            signal.connect(self.palette_.invalidate)
        workspace.devices_changed.connect(self._render_place)
        self.actions_.changed.connect(self._bind_shortcuts)

    def _add_actions(self) -> None:
        add = self.actions_.add
        for name, title, keys in PLACES:
            add(Action(f"go.{name}", f"Go to {title}", lambda name=name: self.go(name), "", name, keys))  # type: ignore[misc]
        add(
            Action("window.palette", "Find anything", self.palette_.open, "", "find", "Ctrl+K", listed=False),
            Action("window.add", "Add files or folder", lambda: self.go("data", add=True), "Data", "add", "Ctrl+O"),
            Action("window.back", "Back", self.places.back, "", "previous", "Alt+Left"),
            Action("window.next-panel", "Next panel", lambda: self._step_panel(1), "", "next", "F6"),
            Action("window.previous-panel", "Previous panel", lambda: self._step_panel(-1), "", "previous", "Shift+F6"),
            Action("window.export", "Export panel", self._export_panel, "", "export", "Ctrl+E", self._no_panel),
            Action("window.filter", "Filter this page", self._focus_filter, "", "filter", "Ctrl+F"),
            Action("window.help", "Help", self.show_help, "", "help", "F1"),
            Action("window.notices", "Show notices", self.toggle_notices, "", "notices"),
            Action("window.layout", "Reset layout", self.places.reset_layout, "", "layout"),
            Action("window.light", "Light theme", lambda: self.theme.set_mode("light"), "Settings", "light"),
            Action("window.dark", "Dark theme", lambda: self.theme.set_mode("dark"), "Settings", "dark"),
            Action("window.system", "Theme as the system", lambda: self.theme.set_mode("system"), "Settings", "system"),
            Action("window.engine", "Start engine again", self.context.client.start, "", "refresh", "", self._answers),
            Action("window.escape", "Close what lies over the page", self._escape, "", "close", "Esc", listed=False),
        )

    def _bind_shortcuts(self) -> None:
        """Give every action with keys a shortcut: of its page where it has one, else of the window."""
        for action in self.actions_:
            holder = next((page for name, page in self.places.pages.items() if TITLES[name] == action.place), None)
            key = (action.name, action.shortcut)
            if not action.shortcut or key in self._shortcuts:
                continue
            shortcut = QShortcut(
                QKeySequence(action.shortcut), holder if holder and "window." not in action.name else self
            )
            if holder and "window." not in action.name:
                shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(lambda name=action.name: self._trigger(name))
            self._shortcuts[key] = shortcut

    def _fit_screen(self) -> None:
        available = self.screen().availableGeometry().size()
        self.setMinimumSize(SMALLEST.boundedTo(available))
        if not self._memory.restore_window(self):
            self.resize(FIRST_SIZE.boundedTo(available))

    # ── what it does ─────────────────────────────────────────────────────────────────────────────

    def go(self, place: str, **item: object) -> None:
        """Open a place and show an item there: `go("runs", run="…")`."""
        self.places.go(place, **item)

    def open_paths(self, paths: list[str]) -> None:
        """Do as if files were dropped on the window."""
        if paths:
            self.go("data", paths=tuple(paths))

    def show_help(self) -> None:
        """Open the help that fits the page."""
        topic = TITLES.get(self.places.place, "")
        if self.places.place in {"", "help", "settings"}:
            self.go("help")
        else:
            self.go("help", page="manual.md", section=topic)

    def toggle_notices(self) -> None:
        """Show or hide the list of notices."""
        if self.notice_list.isVisible():
            self.notice_list.hide()
            return
        self._place_notices()
        self.notice_list.show()
        self.notice_list.raise_()
        self.notices.mark_read()

    def _trigger(self, name: str) -> None:
        reason = self.actions_.trigger(name)
        if reason:
            self.notices.post(reason, "warn")

    def _escape(self) -> None:
        for each in (self.palette_, self.notice_list):
            if each.isVisible():
                each.hide()
                return
        clear = getattr(self.places.currentWidget(), "clear_selection", None)
        if clear is not None:
            clear()

    def _tell_engine(self) -> None:
        self.notices.post(self.context.client.detail, "info")

    def _answers(self) -> str:
        return "The engine answers." if self.workspace.connected else ""

    # ── panels of the open page ──────────────────────────────────────────────────────────────────

    def _panels(self) -> list[Panel]:
        page = self.places.currentWidget()
        return page.panels() if isinstance(page, Page) else []

    def _panel_in_focus(self) -> Panel | None:
        widget = QApplication.focusWidget()
        return next((panel for panel in self._panels() if widget is not None and panel.isAncestorOf(widget)), None)

    def _no_panel(self) -> str:
        return "" if self._panel_in_focus() is not None else "No panel has the focus (F6 gives it to the next)."

    def _export_panel(self) -> None:
        panel = self._panel_in_focus()
        if panel is not None:
            panel.export_wanted.emit()

    def _step_panel(self, step: int) -> None:
        panels = self._panels()
        if not panels:
            return
        here = self._panel_in_focus()
        start = panels.index(here) if here in panels else (-1 if step > 0 else 0)
        panel = panels[(start + step) % len(panels)]
        inside = [w for w in panel.findChildren(QWidget) if w.focusPolicy() & Qt.FocusPolicy.TabFocus and w.isVisible()]
        body = [w for w in inside if panel.body is not None and panel.body.isAncestorOf(w)]
        for target in (body or inside)[:1]:
            target.setFocus(Qt.FocusReason.TabFocusReason)

    def _focus_filter(self) -> None:
        page = self.places.currentWidget()
        for field in page.findChildren(QLineEdit) if page is not None else []:
            if field.isVisible() and field.placeholderText().startswith(("Filter", "Search")):
                field.setFocus(Qt.FocusReason.ShortcutFocusReason)
                return

    # ── what it shows ────────────────────────────────────────────────────────────────────────────

    def _opened(self, place: str) -> None:
        self.rail.show_place(place)
        self._render_place()

    def _render_place(self) -> None:
        self.top_bar.show_place(self.workspace.name, TITLES.get(self.places.place, ""))
        self.setWindowTitle(f"{self.workspace.name} — Selfsight" if self.workspace.name else "Selfsight")

    def _render_runs(self) -> None:
        self.rail.items["runs"].set_badge(len(self.workspace.running()), "running")

    def _render_engine(self) -> None:
        client = self.context.client
        level, action = _LOST.get(client.state, ("", ""))
        self._banner_margin.setVisible(bool(level))
        if level:
            self.banner.tell(client.detail or "The engine is not reachable.", level, action)

    def _keep_look(self) -> None:
        self._settings.setValue("look/mode", self.theme.mode)
        self._settings.setValue("look/text scale", self.theme.text_scale)

    def _place_notices(self) -> None:
        self.notice_list.resize(420, min(560, self.height() - 120))
        self.notice_list.move(self.width() - 432, 48)

    # ── events of the window ─────────────────────────────────────────────────────────────────────

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep what lies over the page in its place."""
        super().resizeEvent(event)
        self._place_notices()
        self.overlay.setGeometry(self.rect())

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Ask the engine what a drop would do."""
        if not event.mimeData().hasUrls():
            event.ignore()
            return
        self.drop.begin(event.mimeData())
        self._drag_over(event)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """Carry the pill along."""
        self._drag_over(event)

    def _drag_over(self, event: QDragMoveEvent) -> None:
        self.overlay.show_at(event.position().toPoint(), self.places.geometry().translated(0, self.top_bar.height()))
        event.acceptProposedAction()
        if self.drop.refused:
            event.ignore()

    def dragLeaveEvent(self, _event: QDragLeaveEvent) -> None:
        """Forget the drag."""
        self.overlay.hide()
        self.drop.end()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the plan of an import, a run to compare, or settings to load."""
        paths, target, refused, reason = self.drop.paths, self.drop.target, self.drop.refused, self.drop.text
        self.overlay.hide()
        self.drop.end()
        if refused or not paths:
            event.ignore()
            self.notices.post(reason or "Nothing was dropped.", "warn")
            return
        event.acceptProposedAction()
        # The source of a drag waits until this returns: open the page afterwards.
        QTimer.singleShot(0, self, lambda: self._dropped(paths, target))

    def _dropped(self, paths: tuple[str, ...], target: str) -> None:
        if target == "run":
            self.go("compare", paths=paths)
        elif target == "settings":
            self.go("methods", settings=paths[0])
        else:
            self.go("data", paths=paths)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the layout and let go of the engine, which goes on."""
        self.places.keep_layouts()
        self._memory.keep_window(self)
        self.context.client.close()
        super().closeEvent(event)
