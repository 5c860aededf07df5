"""Sliders through the axes of an inspection before the last two: time, slices."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.viewers.records.controls import SliceRow
from app.widgets.numbers import number
from engine.protocol.inspections import Spatial

TITLES = {"T": "Frame", "D": "Slice", "H": "Row"}


class LeadingAxes(QWidget):
    """A slider for each axis before the last two, in steps of a grid over it; hidden where there is none."""

    moved = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[SliceRow] = []
        self._cells: list[int] = []
        self._sides: tuple[int, ...] = ()
        self._shown: Spatial | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 6)
        self._column.setSpacing(2)
        self.hide()

    def show_axes(self, shown: Spatial, grid: tuple[int, ...], start: tuple[int, ...] = ()) -> None:
        """Offer the leading axes of a grid over an inspection; where the grid is new, begin at `start`."""
        sides = tuple(grid[:-2])
        self._shown = shown
        if sides != self._sides:
            self._sides = sides
            self._cells = list(start or (side // 2 for side in sides))
            while len(self._rows) < len(sides):
                row = SliceRow("Slice")
                row.moved.connect(partial(self.go, len(self._rows)))
                self._rows.append(row)
                self._column.addWidget(row)
            self.setVisible(bool(sides))
        for axis, row in enumerate(self._rows):
            row.setVisible(axis < len(sides) and sides[axis] > 1)
        self._write()

    def cells(self) -> tuple[int, ...]:
        """Return which cell of the grid is shown along each axis."""
        return tuple(self._cells)

    def places(self) -> tuple[float, ...]:
        """Return the same as places in 0…1, in the middle of the cells."""
        return tuple((cell + 0.5) / side for cell, side in zip(self._cells, self._sides, strict=True))

    def go(self, axis: int, place: int) -> None:
        """Show another cell along an axis."""
        place = min(max(place, 0), self._sides[axis] - 1)
        if place != self._cells[axis]:
            self._cells[axis] = place
            self._write()
            self.moved.emit()

    def _write(self) -> None:
        shown = self._shown
        if shown is None:
            return
        letters = (shown.axes or "TDHW")[-len(self._sides) - 2 :]
        for axis, (side, cell) in enumerate(zip(self._sides, self._cells, strict=True)):
            title = TITLES.get(letters[axis], letters[axis])
            where = ""
            if axis < len(shown.steps) and shown.units[axis]:
                samples = getattr(shown, "input").shape[2 + axis]  # noqa: B009 every spatial kind has one
                where = f", {number((cell + 0.5) * samples / side * shown.steps[axis])} {shown.units[axis]}"
            self._rows[axis].show_place(title, side, cell, f"{cell + 1} of {side}{where}")
