"""A row of joined buttons of which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QWidget


class Segmented(QWidget):
    """One of a few choices, all in sight. Arrow keys move the choice."""

    chosen = Signal(str)  # by the user

    def __init__(
        self, choices: Sequence[str], current: str = "", *, small: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(0)
        self._small = small
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._group.buttonClicked.connect(lambda button: self.chosen.emit(button.text()))
        self.set_choices(choices, current)

    def set_choices(self, choices: Sequence[str], current: str = "") -> None:
        """Offer other choices."""
        for old in self._group.buttons():
            self._group.removeButton(old)
            self._row.removeWidget(old)
            old.deleteLater()
        for number, text in enumerate(choices):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setProperty("kind", "segment")
            only, last = len(choices) == 1, number == len(choices) - 1
            place = "only" if only else "first" if number == 0 else "last" if last else "middle"
            button.setProperty("place", place)
            if self._small:
                button.setProperty("room", "small")
            self._group.addButton(button, number)
            self._row.addWidget(button)
        self.set_current(current or (choices[0] if choices else ""))

    def current(self) -> str:
        """Return the chosen text."""
        button = self._group.checkedButton()
        return button.text() if button else ""

    def set_current(self, text: str) -> None:
        """Choose without telling anyone."""
        for button in self._group.buttons():
            if button.text() == text:
                button.setChecked(True)

    def choose(self, text: str) -> None:
        """Choose as if the user had clicked."""
        self.set_current(text)
        self.chosen.emit(text)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the choice by arrow keys."""
        buttons = self._group.buttons()
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()), 0)
        if step and buttons:
            index = min(max(self._group.checkedId() + step, 0), len(buttons) - 1)
            buttons[index].setFocus()
            self.choose(buttons[index].text())
            return
        super().keyPressEvent(event)
