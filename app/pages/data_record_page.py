"""One record, large: the viewer of its kind, controls and facts beside it, its neighbours one key away."""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from app.context import Client
from app.pages.data_model import DataModel
from app.pages.data_record_model import RecordModel
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.empty import EmptyState
from app.widgets.facts import FactsModel, FactsTable
from app.widgets.panel import ElidedLabel, label, line
from app.widgets.segmented import Segmented
from engine.protocol.messages import RecordRow
from engine.protocol.schema import FieldKind

if TYPE_CHECKING:
    from app.viewers.records.base import OpenedRecord, RecordViewer

MOST_TABS = 4
LINGER_MS = 800  # a dataset that stays open for so long is being looked at
ON_NAPARI = {FieldKind.VOLUME, FieldKind.CINE, FieldKind.GRID, FieldKind.CHANNELS}
ON_VTK = {FieldKind.POINTS, FieldKind.VIEWS, FieldKind.PAIR}
VIEWERS = "app.viewers.records.table"
WITHOUT_CARD = {"offscreen", "minimal"}  # platforms of Qt that draw into memory
SIDE_PX = 272


class RecordPage(QWidget):
    """Shows the record of a `RecordModel`. Viewers are made when their kind is first seen, and kept."""

    closed = Signal()
    place_changed = Signal(int)  # place in the list of the record that is shown

    def __init__(self, data: DataModel, client: Client, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = RecordModel(data, client, self)
        self.theme = theme
        self.viewers: dict[type[RecordViewer], RecordViewer] = {}
        self.viewer: RecordViewer | None = None
        self._data = data
        self._lingering = QTimer(self)
        self._lingering.setSingleShot(True)
        self._lingering.setInterval(LINGER_MS)
        self._is_read = False  # whether the viewers are imported
        self._field = ""  # the field that was chosen last, kept from record to record
        self.back_button = Button(theme, "Back", icon="previous", kind="quiet", tip="To the records (Alt+Left)")
        self.heading, self.which = ElidedLabel("", "title"), label("", "qualifier")
        self.fields = Segmented(("",), small=True)
        self.previous_button = Button(theme, "Previous", icon="previous", kind="quiet", tip="Previous record (Page up)")
        self.next_button = Button(theme, "Next", icon="next", kind="quiet", tip="Next record (Page down)")
        self.stage = QStackedWidget()
        self.message = EmptyState(theme, "", icon="info")
        self.stage.addWidget(self.message)
        self.side = QVBoxLayout()
        self.facts = FactsModel(("What", "Value"))
        self.table = FactsTable(self.facts, "What is known about the record", stretch=1)
        self.read_out, self.qualifier = ElidedLabel("", "small"), label("", "qualifier")
        self._arrange()
        self._connect()

    def _arrange(self) -> None:
        header = QHBoxLayout()
        header.setContentsMargins(8, 0, 8, 0)
        header.setSpacing(8)
        header.addWidget(self.back_button)
        header.addWidget(line(upright=True))
        header.addWidget(self.heading, 1)
        header.addWidget(self.fields)
        header.addWidget(self.which)
        header.addWidget(self.previous_button)
        header.addWidget(self.next_button)
        bar = QWidget()
        bar.setFixedHeight(40)
        bar.setLayout(header)
        below = QHBoxLayout()
        below.setContentsMargins(12, 0, 12, 0)
        below.setSpacing(12)
        below.addWidget(self.read_out, 1)
        below.addWidget(self.qualifier)
        foot = QWidget()
        foot.setFixedHeight(28)
        foot.setLayout(below)
        left = QVBoxLayout()
        left.setContentsMargins(0, 0, 0, 0)
        left.setSpacing(0)
        left.addWidget(self.stage, 1)
        left.addWidget(foot)
        controls = QScrollArea()
        controls.setWidgetResizable(True)
        controls.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.horizontalHeader().hide()
        self.table.setMinimumHeight(120)
        inside = QWidget()
        inside.setProperty("kind", "scrolled")
        right = QVBoxLayout(inside)
        right.setContentsMargins(12, 10, 12, 8)
        right.setSpacing(8)
        right.addLayout(self.side)
        right.addWidget(label("What is known", "title"))
        right.addWidget(self.table, 1)
        controls.setWidget(inside)
        controls.setFixedWidth(SIDE_PX + 24)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addLayout(left, 1)
        row.addWidget(line(upright=True))
        row.addWidget(controls)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(bar)
        column.addWidget(line())
        column.addLayout(row, 1)

    def _connect(self) -> None:
        self.model.changed.connect(self.refresh)
        self.model.arrived.connect(self._show)
        self._data.current_changed.connect(self._lingering.start)
        self._lingering.timeout.connect(self._get_ready)
        self.back_button.clicked.connect(self.leave)
        self.previous_button.clicked.connect(lambda: self.model.step(-1))
        self.next_button.clicked.connect(lambda: self.model.step(1))
        self.fields.chosen.connect(self._choose_field)
        for key, act in (
            ("Alt+Left", self.leave),
            ("Esc", self.leave),
            ("PgUp", lambda: self.model.step(-1)),
            ("PgDown", lambda: self.model.step(1)),
        ):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    def _get_ready(self) -> None:
        """Read in the background what the first record of the open dataset would wait for."""
        info = self._data.current
        if info is None or QGuiApplication.platformName() in WITHOUT_CARD:
            return
        if not self._is_read:
            self._is_read = True
            threading.Thread(target=importlib.import_module, args=(VIEWERS,), name="viewers", daemon=True).start()
        kinds = {spec.kind for spec in info.schema.fields}
        if kinds & ON_NAPARI:
            from app.viewers.napari_host import NapariHost

            NapariHost.shared(self.theme).prepare()
        elif kinds & ON_VTK:
            from app.viewers.vtk_host import VtkHost

            VtkHost.shared(self.theme).prepare()

    # ── what the user does ───────────────────────────────────────────────────────────────────────

    def open(self, place: int) -> None:
        """Open the record at a place of the list."""
        self.model.open(place)
        (self.viewer or self).setFocus()

    def leave(self) -> None:
        """Close the record; whoever owns the page shows the list again."""
        self.release()
        self.closed.emit()

    def release(self) -> None:
        """Forget the record and stop what moves."""
        self.model.close()
        if self.viewer is not None:
            self.viewer.leave()
            self.viewer.side.hide()
            self.viewer = None
        self.stage.setCurrentWidget(self.message)

    def _choose_field(self, name: str) -> None:
        self._field = name
        if self.model.record is not None:
            self._show(self.model.record)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def refresh(self) -> None:
        """Write name, place, and whether something is on its way."""
        model, row = self.model, self.model.row
        self.heading.setText(_name(row))
        self.which.setText(
            f"{numbers.count(model.place + 1)} of {numbers.count(model.count)}"
            + (", reading …" if model.loading else "")
        )
        self.previous_button.setEnabled(model.place > 0)
        self.next_button.setEnabled(model.place + 1 < model.count)
        if model.problem:
            self._tell(model.problem)
        elif model.loading and self.viewer is None:
            self._tell("Reading the record …")

    def _tell(self, text: str) -> None:
        self.message.set_text(text)
        self.stage.setCurrentWidget(self.message)
        self.qualifier.setText("")
        self.read_out.setText("")

    def _show(self, record: OpenedRecord) -> None:
        drawn = record.drawn()
        names = [value.spec.name for value in drawn[:MOST_TABS]]
        self.fields.setVisible(len(names) > 1)
        chosen = self._field if self._field in names else names[0] if names else ""
        self.fields.set_choices(names or ("",), chosen)
        self.facts.set_rows(record_facts(record, self.model.row))
        self.place_changed.emit(self.model.place)
        value = record.value(chosen)
        if value is None:
            self._tell("This record has no field that can be shown; what is known of it stands at the right.")
            return
        from app.viewers.records.table import viewer_of  # viewers are imported when a record is first opened

        self._bring(viewer_of(value))
        if self.viewer is not None:
            self.viewer.show_field(record, value)

    def _bring(self, kind: type[RecordViewer]) -> None:
        viewer = self.viewers.get(kind)
        if viewer is None:
            viewer = self.viewers[kind] = kind(self.theme)
            self.stage.addWidget(viewer)
            self.side.addWidget(viewer.side)
            viewer.side.hide()
            viewer.read_out.connect(self.read_out.setText)
            viewer.qualified.connect(self.qualifier.setText)
        if viewer is not self.viewer and self.viewer is not None:
            self.viewer.leave()
            self.viewer.side.hide()
        had_focus = self.viewer is not None and self.viewer.isAncestorOf(self.focusWidget() or self)
        self.viewer = viewer
        self.stage.setCurrentWidget(viewer)
        viewer.side.show()
        self.read_out.setText("")
        if had_focus or self.hasFocus():
            viewer.setFocus()


def record_facts(record: OpenedRecord, row: RecordRow | None) -> list[tuple[str, str]]:
    """Return everything that is known about a record besides what its viewer draws."""
    facts = [("record", f"number {numbers.count(record.reply.record)}, counted from 0")]
    if row is not None and row.excluded:
        facts.append(("used in training", "no, excluded"))
    for value in record.drawn():
        shape = " × ".join(numbers.count(side) for side in value.shape)
        facts.append((value.spec.name, f"{value.spec.kind}, {shape}" if shape else str(value.spec.kind)))
    return facts + record.facts()


def _name(row: RecordRow | None) -> str:
    if row is None:
        return ""
    return row.name or f"record {numbers.count(row.index)}"
