"""Help: the pages of resources/help, rendered in the theme."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QListWidget, QTextBrowser

from app.context import AppContext
from app.theme import RESOURCES
from app.widgets.panel import Page, Panel

FOLDER = RESOURCES / "help"
FIRST = "welcome.md"


def help_pages() -> dict[str, str]:
    """Return file name → title of every help page, the first one first."""
    files = sorted(FOLDER.glob("*.md"), key=lambda file: (file.name != FIRST, file.name != "manual.md", file.name))
    return {file.name: _title(file) for file in files}


def _title(file: Path) -> str:
    with file.open(encoding="utf-8") as lines:
        for each in lines:
            if each.startswith("# "):
                return each[2:].strip()
    return file.stem


class HelpView(Page):
    """Pages on the left, text on the right."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context.theme, "Help")
        self._names = list(help_pages())
        self.list = QListWidget()
        self.list.addItems(list(help_pages().values()))
        self.list.setAccessibleName("Help pages")
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.currentRowChanged.connect(self._open_row)
        self.text = QTextBrowser()
        self.text.setOpenLinks(False)
        self.text.anchorClicked.connect(self._follow)
        self.text.setAccessibleName("Help text")
        side = Panel(context.theme, "Pages").without_frame_buttons()
        side.setObjectName("help-pages")
        side.set_body(self.list)
        main = Panel(context.theme, "Text").without_frame_buttons()
        main.setObjectName("help-text")
        main.set_body(self.text, 12)
        self._main = main
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, side)
        self.splitDockWidget(side, main, Qt.Orientation.Horizontal)
        self.resizeDocks([side, main], [240, 1000], Qt.Orientation.Horizontal)
        context.theme.changed.connect(self._dress)
        self._shown = ""
        self.show_item(page=FIRST)

    def show_item(self, page: str = FIRST, section: str = "") -> None:
        """Show a page, at a section where one is named."""
        file = FOLDER / page
        if page not in self._names or not file.is_file():
            self.text.setPlainText(f"There is no help page {page!r}.")
            return
        self._shown = page
        self._dress()
        row = self._names.index(page)
        if self.list.currentRow() != row:
            self.list.blockSignals(True)  # noqa: FBT003 - Qt's signature
            self.list.setCurrentRow(row)
            self.list.blockSignals(False)  # noqa: FBT003 - Qt's signature
        self._main.set_title(help_pages()[page])
        if section:
            self.text.find(section)
            self.text.ensureCursorVisible()

    def _open_row(self, row: int) -> None:
        if row >= 0:
            self.show_item(page=self._names[row])

    def _follow(self, url: QUrl) -> None:
        name = url.path().rsplit("/", 1)[-1]
        if name in self._names and not url.scheme():
            self.show_item(page=name)
        elif url.scheme() in {"http", "https"}:
            QDesktopServices.openUrl(url)

    def _dress(self) -> None:
        if not self._shown:
            return
        theme = self.theme
        document = self.text.document()
        document.setDefaultFont(theme.font("body"))
        document.setDefaultStyleSheet(f"a {{ color: {theme.hex('accent')}; }}")
        self.text.setMarkdown((FOLDER / self._shown).read_text(encoding="utf-8"))
