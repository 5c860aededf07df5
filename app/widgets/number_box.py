"""A box for a number that lets a person finish typing: what is wrong is said, never silently clamped."""

from __future__ import annotations

import math

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QAbstractSpinBox, QWidget

from app.widgets.numbers import read_number, setting


class NumberBox(QAbstractSpinBox):
    """An integer or a float, with arrows; floats may be written "1.5e-4"."""

    edited = Signal()

    def __init__(
        self,
        *,
        whole: bool,
        minimum: float | None = None,
        maximum: float | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.whole, self.minimum, self.maximum = whole, minimum, maximum
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.lineEdit().textChanged.connect(lambda _text: self.edited.emit())

    def value(self) -> int | float | str:
        """Return the number, or the text itself where it is none."""
        text = self.lineEdit().text()
        try:
            number = read_number(text)
        except ValueError:
            return text.strip()
        return int(number) if self.whole and number == int(number) else number

    def set_value(self, value: object) -> None:
        """Show a value."""
        self.lineEdit().setText("" if value is None else setting(value))

    def sizeHint(self) -> QSize:
        """Return a width for nine digits."""
        hint = super().sizeHint()
        return QSize(self.fontMetrics().horizontalAdvance("0") * 7 + 40, hint.height())

    def minimumSizeHint(self) -> QSize:
        """Return the same: numbers do not give way."""
        return self.sizeHint()

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:  # type: ignore[override]
        """Let everything be typed; the form says what is wrong."""
        return QValidator.State.Acceptable, text, place

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        """Return which arrows do something."""
        value = self.value()
        flags = QAbstractSpinBox.StepEnabledFlag.StepNone
        if isinstance(value, str):
            return flags
        if self.maximum is None or value < self.maximum:
            flags |= QAbstractSpinBox.StepEnabledFlag.StepUpEnabled
        if self.minimum is None or value > self.minimum:
            flags |= QAbstractSpinBox.StepEnabledFlag.StepDownEnabled
        return flags

    def stepBy(self, steps: int) -> None:
        """Go on by the last shown digit; over several powers of ten by 1, 2, 5, 10 and so on."""
        value = self.value()
        if isinstance(value, str):
            return
        new = value + steps if self.whole else self._stepped(float(value), steps)
        if self.minimum is not None:
            new = max(new, self.minimum)
        if self.maximum is not None:
            new = min(new, self.maximum)
        self.set_value(int(new) if self.whole else new)
        self.selectAll()

    def _stepped(self, value: float, steps: int) -> float:
        if self._spans_powers() and value > 0:
            for _ in range(abs(steps)):
                value = _next_125(value, up=steps > 0)
            return value
        span = self.maximum - self.minimum if self.maximum is not None and self.minimum is not None else abs(value) or 1
        step = 10.0 ** round(math.log10(span) - 1.5)
        return round(value + steps * step, 12)

    def _spans_powers(self) -> bool:
        if self.minimum is not None and self.maximum is not None and self.minimum > 0:
            return self.maximum / self.minimum >= 1000
        value = self.value()
        return not isinstance(value, str) and 0 < value < 1e-3


def _next_125(value: float, *, up: bool) -> float:
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    ladder = [power * factor for factor in (0.5, 1, 2, 5, 10)]
    if up:
        return float(f"{next(each for each in ladder if each > value * (1 + 1e-6)):.3g}")
    return float(f"{next(each for each in reversed(ladder) if each < value * (1 - 1e-6)):.3g}")
