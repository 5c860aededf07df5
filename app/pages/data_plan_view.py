"""The import plan: what was recognised, what is left out, a preview, and what may be changed before it is written."""

from __future__ import annotations

import msgspec
from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QPixmap
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from app.dressing import HOLDER
from app.pages.data_model import failure_sentence
from app.pages.data_plan import PlanModel
from app.pages.data_plan_form import PlanForm
from app.pages.data_plan_job import ImportProgress
from app.pages.data_tiles import to_image
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.chips import Chip, FlowLayout
from app.widgets.empty import Banner, FailedState, LoadingState
from app.widgets.panel import ElidedLabel, label, line
from app.widgets.sheet import sheet_head
from engine.protocol.messages import ImportPlan, Recognised
from engine.protocol.schema import Skipped

PREVIEW_PX, SMALL_PREVIEW_PX = 108, 84
SHOWN_PREVIEWS = 8
SHOWN_SKIPPED = 8


class PlanView(QWidget):
    """One `PlanModel`, in whatever state it is."""

    dataset_wanted = Signal(str)

    def __init__(self, model: PlanModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self.theme = model, theme
        self.title = ElidedLabel("", "title")
        self.facts = ElidedLabel("", "small")
        self.written = Chip("nothing written yet")
        self.banner = Banner(theme, "", "error")
        self.stack = QStackedWidget()
        self.loading = LoadingState(theme, rows=6)
        self.failed = FailedState(theme, "", action="Read again", run=model.check)
        self.details = QWidget()
        self.details.setProperty("kind", "scrolled")
        self.form = PlanForm(model, theme)
        self.progress = ImportProgress(model, theme)
        self.progress.dataset_wanted.connect(self.dataset_wanted)
        self.discard_button = Button(theme, "Discard")
        self.check_button = Button(theme, "Only check", tip="Read everything again and write nothing")
        self.start_button = Button(theme, "Import", icon="import", kind="primary", tip="Ctrl+Enter")
        self._groups = QVBoxLayout()
        self._shown: tuple[object, ...] = ()
        self._arrange()
        self.discard_button.clicked.connect(model.discard)
        self.check_button.clicked.connect(model.check)
        self.start_button.clicked.connect(model.start)
        model.changed.connect(self.refresh)
        theme.changed.connect(self._forget)
        self.refresh()

    def _arrange(self) -> None:
        head = sheet_head(self.title, self.facts, self.written)
        column = QVBoxLayout(self.details)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(8)
        self._groups.setSpacing(6)
        column.addLayout(self._groups)
        column.addWidget(line())
        column.addWidget(self.form)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.details)
        self.plan_scroll = scroll
        for page in (scroll, self.loading, self.failed, self.progress):
            self.stack.addWidget(page)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.discard_button)
        buttons.addStretch(1)
        buttons.addWidget(self.check_button)
        buttons.addWidget(self.start_button)
        self.setProperty(HOLDER, True)  # noqa: FBT003
        outer = QVBoxLayout(self)
        outer.setContentsMargins(12, 12, 4, 12)
        outer.setSpacing(10)
        head_row = QHBoxLayout()
        head_row.setContentsMargins(0, 0, 8, 0)
        head_row.addWidget(head)
        outer.addLayout(head_row)
        outer.addWidget(self.banner)
        outer.addWidget(self.stack, 1)
        buttons.setContentsMargins(0, 0, 8, 0)
        outer.addLayout(buttons)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────

    def refresh(self) -> None:
        """Write everything that the state says."""
        model, plan = self.model, self.model.plan
        busy = model.state in {"importing", "done"}
        self.title.setText(_name(model))
        self.facts.setText(_facts(model))
        written = "" if busy else "checked, nothing written" if model.checked else "nothing written yet"
        self.written.show_fact(written)
        shown = None if plan is None else (_without_counts(plan), len(model.previews))
        if plan is not None and shown is not None and shown != self._shown:
            self._shown = shown
            self._fill_groups(plan)
        if model.state == "failed" and model.failure is not None:
            self.failed.set_failure(failure_sentence(model.failure), model.failure.traceback)
        refused = model.failure is not None and model.state == "planned"
        self.banner.setVisible(refused)
        if refused and model.failure is not None:
            self.banner.tell(failure_sentence(model.failure), "error")
        page = self.progress if busy else self.failed if model.state == "failed" else self.plan_scroll
        self.stack.setCurrentWidget(self.loading if plan is None and model.state == "planning" else page)
        self.details.setEnabled(model.state in {"planned", "planning"})
        self.form.refresh()
        self.progress.refresh()
        self._render_buttons()

    def _render_buttons(self) -> None:
        model, plan = self.model, self.model.plan
        busy = model.state in {"importing", "done"}
        self.discard_button.setText("Close" if busy or model.state == "failed" else "Discard")
        self.check_button.setVisible(not busy)
        self.check_button.setEnabled(model.state in {"planned", "failed"})
        self.start_button.setVisible(not busy)
        enough = plan is not None and plan.records > 0 and not self.form.name_problem()
        self.start_button.setEnabled(model.state == "planned" and enough)
        noun = plan.recognised[0].kind if plan is not None and plan.recognised else ""
        amount = "" if plan is None else numbers.plural(plan.records, noun or "record")
        self.start_button.setText(f"Import {amount}".strip() if not model.stale else "Planning …")

    def _forget(self) -> None:
        self._shown = ()
        self.refresh()

    def _fill_groups(self, plan: ImportPlan) -> None:
        _empty(self._groups)
        self._groups.addWidget(label("What was recognised", "small"))
        for group in plan.recognised:
            self._groups.addWidget(self._recognised(group))
        if plan.duplicates:
            count = len(plan.duplicates)
            first = ", ".join(_file(path) for path in plan.duplicates[0])
            more = f" and {numbers.plural(count - 1, 'more pair')}" if count > 1 else ""
            kept = "the second is left out" if plan.options.drop_duplicates else "both are kept"
            text = f"{numbers.plural(2 * count, 'file')} have the same content"
            self._groups.addWidget(
                self._recognised(
                    Recognised(kind="", count=count, text=text, detail=first + more, reading=kept, level="warn")
                )
            )
        for warning in plan.warnings:
            self._groups.addWidget(self._recognised(Recognised(kind="", count=0, text=warning, level="warn")))
        if plan.skipped:
            self._groups.addWidget(LeftOut(plan.skipped, self.theme))
        if self.model.previews:
            self._groups.addWidget(line())
            self._groups.addWidget(self._preview(plan))

    def _recognised(self, group: Recognised) -> QWidget:
        box = QWidget()
        picture = QLabel()
        picture.setPixmap(self.theme.icon(group.level, group.level).pixmap(QSize(16, 16)))
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        texts = QVBoxLayout()
        texts.setSpacing(0)
        first = QHBoxLayout()
        first.addWidget(label(group.text, "title", wrap=len(group.text) > 30), 1)
        first.addWidget(ElidedLabel(group.reading, "qualifier"))
        texts.addLayout(first)
        if group.detail:
            texts.addWidget(ElidedLabel(group.detail, "small"))
        row.addLayout(texts, 1)
        return box

    def _preview(self, plan: ImportPlan) -> QWidget:
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(ElidedLabel(f"Preview: {plan.schema_text or plan.sizes}", "small"))
        pictures = QWidget()
        flow = FlowLayout(pictures, gap=8)
        shown = list(zip(plan.preview_names, self.model.previews, strict=False))[:SHOWN_PREVIEWS]
        px = PREVIEW_PX if len(shown) <= 3 else SMALL_PREVIEW_PX
        ratio = self.devicePixelRatioF()
        for name, array in shown:
            one = QWidget()
            inside = QVBoxLayout(one)
            inside.setContentsMargins(0, 0, 0, 0)
            inside.setSpacing(2)
            side = round(px * ratio)
            image = to_image(array)
            mode = Qt.TransformationMode.SmoothTransformation
            if max(image.width(), image.height()) * 2 <= side:
                mode = Qt.TransformationMode.FastTransformation
            pixmap = QPixmap.fromImage(image.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio, mode))
            pixmap.setDevicePixelRatio(ratio)
            picture = QLabel()
            picture.setPixmap(pixmap)
            picture.setAccessibleName(f"Preview of {name}")
            caption = ElidedLabel(name, "small")
            caption.setFixedWidth(px)
            inside.addWidget(picture)
            inside.addWidget(caption)
            flow.addWidget(one)
        column.addWidget(pictures)
        return box


class LeftOut(QFrame):
    """Files that will be left out, each with its reason, and *Copy list*."""

    def __init__(self, skipped: tuple[Skipped, ...], theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.skipped = skipped
        self.setProperty("kind", "banner")
        self.setProperty("level", "error")
        picture = QLabel()
        picture.setPixmap(theme.icon("error", "error").pixmap(QSize(16, 16)))
        self.copy_button = Button(theme, "Copy list", kind="link")
        self.copy_button.clicked.connect(self.copy)
        head = QHBoxLayout()
        head.addWidget(picture)
        head.addWidget(label(f"{numbers.plural(len(skipped), 'file')} will be left out", "title"), 1)
        head.addWidget(self.copy_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 6, 12, 8)
        column.setSpacing(2)
        column.addLayout(head)
        for one in skipped[:SHOWN_SKIPPED]:
            row = QHBoxLayout()
            row.setContentsMargins(24, 0, 0, 0)
            row.addWidget(ElidedLabel(_file(one.path), "small"), 2)
            row.addWidget(ElidedLabel(one.reason, "small", Qt.TextElideMode.ElideRight), 4)
            column.addLayout(row)
        if len(skipped) > SHOWN_SKIPPED:
            more = label(f"and {numbers.count(len(skipped) - SHOWN_SKIPPED)} more; the list has them all", "small")
            more.setContentsMargins(24, 0, 0, 0)
            column.addWidget(more)

    def copy(self) -> None:
        """Put every file and reason on the clipboard."""
        QGuiApplication.clipboard().setText("\n".join(f"{one.path}\t{one.reason}" for one in self.skipped))


def _name(model: PlanModel) -> str:
    if not model.paths:
        return ""
    first = _file(model.paths[0])
    return first if len(model.paths) == 1 else f"{first} and {numbers.count(len(model.paths) - 1)} more"


def _facts(model: PlanModel) -> str:
    plan = model.plan
    if plan is None:
        return "reading …" if model.state == "planning" else "could not be read"
    parts = [numbers.plural(plan.files, "file"), numbers.size(plan.bytes)]
    return ", ".join(parts) + (" so far; still counting" if plan.counting else "")


def _without_counts(plan: ImportPlan) -> ImportPlan:
    """Return a plan without what changes every second while files are being counted."""
    return msgspec.structs.replace(plan, files=0, bytes=0, counting=False)


def _file(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or path


def _empty(layout: QVBoxLayout) -> None:
    while layout.count():
        item = layout.takeAt(0)
        if item is not None and (widget := item.widget()) is not None:
            widget.hide()
            widget.deleteLater()
