"""Ways through an inspection of more than two axes: sliders for time and slices, or the solid on napari's canvas."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.theme import Theme
from app.viewers.records.controls import SliceRow
from app.viewers.solid import Layer, SolidLook
from app.widgets.numbers import number
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Spatial

SLICES, NAPARI = "Slices", "napari"
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


class FlatOrSolid(QWidget):
    """Slices with their sliders below, or the solid on napari's canvas; `wanted` asks for layers to be seen.

    The choice between them lies below, and only where there is a solid.
    """

    wanted = Signal()
    voxel_chosen = Signal(object)

    def __init__(self, theme: Theme, canvas: QWidget, axes: LeadingAxes) -> None:
        super().__init__()
        flat = QWidget()
        below = QVBoxLayout(flat)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(2)
        below.addWidget(canvas, 1)
        below.addWidget(axes)
        self.choice = Segmented((SLICES, NAPARI), SLICES, small=True)
        self.solid = SolidLook(theme)
        self._takes = False
        self._stack = QStackedWidget()
        self._stack.addWidget(flat)
        self._stack.addWidget(self.solid)
        self._foot = QWidget()
        row = QHBoxLayout(self._foot)
        row.setContentsMargins(12, 2, 12, 6)
        row.addWidget(self.choice)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._stack, 1)
        column.addWidget(self._foot)
        self._foot.hide()
        self.choice.chosen.connect(self.choose)
        self.solid.voxel_chosen.connect(self.voxel_chosen)

    @property
    def is_solid(self) -> bool:
        """Whether the solid is chosen."""
        return self.choice.current() == NAPARI

    def choose(self, look: str) -> None:
        """Show the slices or the solid."""
        self.choice.set_current(look)
        self._stack.setCurrentIndex(int(look == NAPARI))
        if look == NAPARI:
            self._takes = True
            self.wanted.emit()
        else:
            self.solid.leave()

    def set_solid(self, *, possible: bool) -> None:
        """Say whether there is a solid; where it is chosen, its layers are asked for anew."""
        self._foot.setVisible(possible)
        if not possible and self.is_solid:
            self.choose(SLICES)
        elif possible and self.is_solid and self.isVisible():
            self.wanted.emit()

    def show_layers(self, record: int, layers: tuple[Layer, ...], spacing: tuple[float, ...]) -> None:
        """Show the layers that were asked for."""
        self.solid.show_layers(record, layers, spacing, takes=self._takes)
        self._takes = False
