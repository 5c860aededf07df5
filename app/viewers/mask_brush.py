"""A mask that is painted by hand: the brush, and the controls around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers.side import WholeNumber
from app.widgets.buttons import Button
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Array

HIDE, REVEAL = "Hide", "Reveal"


class MaskBrush(QWidget):
    """Seed of a drawn mask, or a mask that is painted; `chosen` tells which tokens are hidden, () = it is drawn."""

    chosen = Signal(object)  # tuple of token indices
    seed_chosen = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.painted: Array | None = None  # (*grid) bool, the mask that is being painted
        self._start: Array | None = None
        self._told: tuple[int, ...] = ()
        self.seed = WholeNumber("Seed of the mask")
        self.seed.taken.connect(self._draw_with)
        self.paints = QCheckBox("Paint the mask")
        self.paints.setToolTip("Drag over the input: patches become hidden, or visible again")
        self.paints.toggled.connect(self._set_painting)
        self.brush = Segmented((HIDE, REVEAL), HIDE, small=True)
        self.through = QCheckBox("Through all slices")
        self.through.setChecked(True)
        self.again = Button(theme, "Draw it again", icon="refresh", kind="quiet", small=True, tip="As the method does")
        self.again.clicked.connect(self.forget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        for widget in (self.seed, self.paints, self.brush, self.through, self.again):
            column.addWidget(widget)

    @property
    def is_on(self) -> bool:
        """Whether the pointer paints."""
        return self.paints.isChecked() and self.painted is not None

    def show_mask(self, mask: Array, seed: int, *, takes_mask: bool) -> None:
        """Begin with the mask (*grid) of what is shown."""
        self._start = mask
        self.seed.show_value(seed)
        if self.painted is not None and self.painted.shape != mask.shape:
            self.forget()
        self.paints.setVisible(takes_mask)
        self._show_controls()

    def paint(self, row: int, column: int, slices: tuple[int, ...]) -> None:
        """Hide or reveal a token of the slice that is shown, or of all."""
        if self.painted is None:
            return
        leading: tuple[Any, ...] = slices
        if self.through.isChecked():
            leading = (slice(None),) * (self.painted.ndim - 2)
        self.painted[(*leading, row, column) if self.painted.ndim > 1 else (column,)] = self.brush.current() == HIDE

    def take(self) -> None:
        """Tell the painted mask, if it hides something and leaves something."""
        if self.painted is None or not self.paints.isChecked():
            return
        hidden = tuple(int(place) for place in np.flatnonzero(self.painted))
        if 0 < len(hidden) < self.painted.size and hidden != self._told:
            self._told = hidden
            self.chosen.emit(hidden)

    def forget(self) -> None:
        """Let the method draw its mask again."""
        was_painted = bool(self._told)
        self.painted, self._told = None, ()
        self.paints.setChecked(False)
        if was_painted:
            self.chosen.emit(())

    def _draw_with(self, seed: int) -> None:
        self.painted, self._told = None, ()
        self.paints.setChecked(False)
        self.seed_chosen.emit(seed)

    def _set_painting(self, on: bool) -> None:  # noqa: FBT001
        if on and self.painted is None and self._start is not None:
            self.painted = np.array(self._start, bool)
        self._show_controls()

    def _show_controls(self) -> None:
        self.brush.setVisible(self.paints.isChecked())
        self.again.setVisible(self.paints.isChecked())
        self.through.setVisible(self.paints.isChecked() and self._start is not None and self._start.ndim > 2)
