"""What a method claims and what was measured; its paper, where it differs, what it is good and bad at."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.pages.methods_catalogue import venue_text
from app.theme import Theme
from app.widgets import numbers
from app.widgets.buttons import Button
from app.widgets.chips import Chip
from app.widgets.facts import FactsModel, FactsTable
from app.widgets.panel import label, line
from engine.protocol.messages import ClaimInfo, MethodInfo

VERDICTS = {"shown": "ok", "not shown": "warn", "contradicted": "error"}


class ClaimView(QWidget):
    """The claim as a sentence, its arms with intervals, the verdict."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.statement = label("", "body", wrap=True)
        self.expected = label("", "small", wrap=True)
        self.verdict = Chip("")
        self.effect = label("", "small", wrap=True)
        self.arms = FactsModel(("Arm", "Mean", "95 % CI", "Seeds"), right=(1, 2, 3))
        self.table = FactsTable(self.arms, "Arms of the claim experiment")
        self.how = label("", "qualifier", wrap=True)
        self.how.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        head = QHBoxLayout()
        head.addWidget(label("Claim", "title"))
        head.addStretch(1)
        head.addWidget(self.verdict)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(8)
        column.addLayout(head)
        for widget in (self.statement, self.expected, self.effect, self.table, self.how):
            column.addWidget(widget)
        column.addStretch(1)

    def show_method(self, info: MethodInfo) -> None:
        """Show a method's claim."""
        claim = info.claim
        if claim is None:
            self.statement.setText("This method comes without a claim experiment.")
            self.verdict.show_fact("")
            for widget in (self.expected, self.effect, self.table, self.how):
                widget.hide()
            return
        self.statement.setText(claim.statement)
        self.expected.setText(f"Measured as {claim.metric}. Expected: {claim.expected}")
        for widget in (self.expected, self.table, self.how):
            widget.show()
        self._show_measured(claim)
        self.how.setText(f"selfsight claim {info.id}")

    def _show_measured(self, claim: ClaimInfo) -> None:
        measured = claim.measured
        self.effect.setVisible(measured is not None)
        if measured is None:
            self.verdict.show_fact("not measured yet")
            self.arms.set_rows([(arm, numbers.ABSENT, numbers.ABSENT, numbers.ABSENT) for arm in claim.arms])
            return
        self.verdict.show_fact(measured.verdict, VERDICTS[measured.verdict])
        low, high = measured.interval
        self.effect.setText(
            f"Effect {numbers.number(measured.effect)} (95 % CI {numbers.number(low)} to {numbers.number(high)}) in "
            f"{measured.metric}, measured in {numbers.duration(measured.seconds)}."
        )
        rows = []
        for arm in measured.arms:
            mean, half = numbers.interval(arm.mean, (arm.interval[1] - arm.interval[0]) / 2)
            rows.append((arm.name, mean, half, numbers.count(len(arm.seeds))))
        self.arms.set_rows(rows)


class PaperView(QScrollArea):
    """Paper, address, differences, strengths and weaknesses, and where the method comes from."""

    remove_wanted = Signal(str)  # method

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.paper = label("", "title", wrap=True)
        self.authors = label("", "small", wrap=True)
        self.url = label("", "small", wrap=True)
        self.copy_button = Button(theme, "Copy address", icon="copy", small=True)
        self.copy_button.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.url.text()))
        self.good, self.bad, self.differs = (label("", "body", wrap=True) for _ in range(3))
        self.source = label("", "qualifier", wrap=True)
        self.remove_button = Button(theme, "Remove from the methods", icon="delete", small=True)
        self._method = ""
        self.remove_button.clicked.connect(lambda: self.remove_wanted.emit(self._method))
        for text in (self.paper, self.authors, self.url, self.differs):
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        inside = QWidget()
        inside.setProperty("kind", "scrolled")
        column = QVBoxLayout(inside)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(6)
        address = QHBoxLayout()
        address.addWidget(self.url, 1)
        address.addWidget(self.copy_button)
        column.addWidget(self.paper)
        column.addWidget(self.authors)
        column.addLayout(address)
        column.addWidget(line())
        for title, text in (
            ("Good at", self.good),
            ("Bad at", self.bad),
            ("Where this code differs from paper or authors' code", self.differs),
        ):
            column.addWidget(label(title, "small"))
            column.addWidget(text)
            column.addSpacing(6)
        column.addWidget(self.source)
        column.addWidget(self.remove_button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(inside)

    def show_method(self, info: MethodInfo) -> None:
        """Show a method's paper."""
        self.paper.setText(info.paper)
        self.authors.setText(", ".join(part for part in (info.authors, venue_text(info)) if part))
        self.url.setText(info.url)
        self.copy_button.setVisible(bool(info.url))
        self.good.setText(info.good_at or "Nothing is said.")
        self.bad.setText(info.bad_at or "Nothing is said.")
        self.differs.setText(info.differs or "Nothing is said to differ.")
        self.source.setText(f"Source: {info.source}")
        self._method = info.id
        self.remove_button.setVisible(info.source.startswith("file "))
