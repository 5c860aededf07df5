"""Which layers a volume, cine or grid is drawn as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.theme import Theme
from app.viewers.records.layers_panel import ramp_to
from engine.protocol.inspections import Array
from engine.protocol.messages import RecordValue
from engine.protocol.schema import FieldKind

PRIMARIES = (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255)))


@dataclass(frozen=True, slots=True)
class Plane:
    """A layer to be: values (D, H, W) or (T, D, H, W) in a colour ramp (256, 3) uint8."""

    name: str
    values: Array
    ramp: Array
    adds: bool  # whether its light is added to that of the others
    visible: bool = True
    window: tuple[float, float] | None = None  # None = by itself


def planes_of(value: RecordValue, shown: Array, theme: Theme) -> list[Plane]:
    """Return the layers of an array (T, C, D, H, W).

    Of a radiance grid the colours are weighted with the opacity, so that what is empty is dark; the opacity itself is
    a layer that is hidden at first. Other channels each get a colour of their own.
    """
    frames, count = shown.shape[:2]
    each = [shown[:, place] if frames > 1 else shown[0, place] for place in range(count)]
    if value.spec.kind is FieldKind.GRID and count == 4:
        opacity = np.clip(np.nan_to_num(each[3]), 0.0, 1.0)
        planes = [
            Plane(name, each[place] * opacity, ramp_to(*colour), adds=True, window=(0.0, 1.0))
            for place, (name, colour) in enumerate(PRIMARIES)
        ]
        gray = theme.colormap("gray")
        return [*planes, Plane("opacity", opacity, gray, adds=True, visible=False, window=(0.0, 1.0))]
    if count == 1:
        return [Plane(value.spec.name, each[0], theme.colormap("gray"), adds=False)]
    planes = []
    for place, values in enumerate(each):
        names, colour = value.spec.channels, theme.categorical(place)
        name = names[place] if place < len(names) and names[place] else f"channel {place + 1}"
        planes.append(Plane(name, values, ramp_to(colour.red(), colour.green(), colour.blue()), adds=True))
    return planes
