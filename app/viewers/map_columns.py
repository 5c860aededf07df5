"""What a map is coloured by: columns of categories or of numbers, their groups, colours and legend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.theme import Theme
from app.viewers.map_raster import Colouring
from app.widgets.numbers import number
from engine.protocol.inspections import Array

OTHER = 11
LEVELS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A value of each point: a number of `classes` (-1 = none), or, where there are no classes, a quantity."""

    name: str
    values: Array  # (N,) int or float; not finite = none
    classes: tuple[str, ...] = ()
    unit: str = ""
    is_category: bool = True

    def text_of(self, point: int) -> str:
        """Return the value of a point in words."""
        value = self.values[point]
        if not self.is_category:
            return f"{number(float(value), 3)} {self.unit}".strip() if np.isfinite(value) else "no value"
        return self.classes[int(value)] if 0 <= value < len(self.classes) else "no label"


@dataclass(frozen=True, slots=True)
class Group:
    """One entry of a map's legend."""

    name: str
    count: int
    colour: int  # index into the categorical palette; -1 = grey


@dataclass(frozen=True, slots=True)
class Legend:
    """The groups of a category, or the ends of a quantity."""

    groups: tuple[Group, ...] = ()
    low: float = 0.0
    high: float = 0.0
    unit: str = ""
    missing: int = 0  # points without a value
    is_category: bool = True


def group_labels(labels: Array, classes: tuple[str, ...]) -> tuple[Array, list[Group]]:
    """Return each point's group (N,) and the groups, with colours by class: at most 12, or 11 and "other".

    Records without a label come last as "no label".
    """
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    groups: list[Group] = []
    target = np.full(max(len(counts), 1), -1, dtype=np.int64)
    if len(classes) <= OTHER + 1:
        for label, name in enumerate(classes):
            target[label] = len(groups)
            groups.append(Group(name, int(counts[label]), label))
    else:
        largest = sorted(np.argsort(-counts, kind="stable")[:OTHER].tolist())
        for colour, label in enumerate(largest):
            target[label] = len(groups)
            groups.append(Group(classes[label], int(counts[label]), colour))
        rest = [label for label in range(len(classes)) if label not in set(largest)]
        target[rest] = len(groups)
        groups.append(Group(f"other ({len(rest)} classes)", int(counts[rest].sum()), -1))
    group = np.where(labels >= 0, target[np.clip(labels, 0, len(target) - 1)], -1)
    missing = group < 0
    if missing.any():
        group = np.where(missing, len(groups), group)
        groups.append(Group("no label" if classes else "records", int(missing.sum()), -1))
    return group, groups


def colour_by(column: Column) -> tuple[Array, Legend]:
    """Return each point's row of the palette (N,) and the legend.

    Quantities have 256 rows from the 1st to the 99th of a hundred parts, and one more for points without a value.
    """
    if column.is_category:
        group, groups = group_labels(column.values.astype(np.int64), column.classes)
        return group, Legend(tuple(groups))
    values = column.values.astype(np.float64)
    finite = np.isfinite(values)
    low, high = np.quantile(values[finite], [0.01, 0.99]).tolist() if finite.any() else (0.0, 1.0)
    span = high - low or 1.0
    level = np.clip((np.where(finite, values, low) - low) / span * LEVELS, 0, LEVELS - 1).astype(np.int64)
    missing = int(np.count_nonzero(~finite))
    return np.where(finite, level, LEVELS), Legend((), low, high, column.unit, missing, is_category=False)


def palette(legend: Legend, theme: Theme) -> Array:
    """Return the colours (G, 3) uint8 of a legend's groups, or of the levels of a quantity."""
    grey = theme.categorical(-1)
    if not legend.is_category:
        rest = np.array([[grey.red(), grey.green(), grey.blue()]], np.uint8)
        return np.concatenate([theme.colormap("scalar"), rest])
    colours = [theme.categorical(group.colour) for group in legend.groups]
    if len(colours) == 1 and legend.groups[0].colour < 0:
        colours = [theme.color("accent")]
    return np.array([(c.red(), c.green(), c.blue()) for c in colours], dtype=np.uint8).reshape(-1, 3)


def colouring_of(group: Array, legend: Legend, theme: Theme) -> Colouring:
    """Return what the renderer needs."""
    return Colouring(group, palette(legend, theme))
