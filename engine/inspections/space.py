"""A field of records as pictures of as many axes as it has: what viewers of volumes, clips and cines draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.data.batch import Batch
from engine.errors import MethodError
from engine.protocol.schema import AXES, FieldKind, FieldSpec
from engine.views.pixels import to_float

LARGEST_SIDE = 128  # of what has three axes or more; taken more coarsely beyond
_SHOWN = frozenset(AXES) - {FieldKind.POINTS, FieldKind.BAG, FieldKind.MOTION, FieldKind.WAVEFORM}
_SECONDS, _MILLIMETRES = "s", "mm"


@dataclass(frozen=True, slots=True)
class Space:
    """The values of some records in 0…1 and what their axes are."""

    values: Tensor  # (B, C, *space) float32
    axes: str  # letters of the space: "HW", "DHW", "THW", "TDHW"
    steps: tuple[float, ...]  # from one sample to the next along each axis
    units: tuple[str, ...]  # of the steps; "" = samples
    note: str  # how values were brought to 0…1, "" where they are shown as they are


def shown_key(batch: Batch) -> tuple[str, FieldSpec]:
    """Return key and spec of the first field that can be drawn as a picture, a volume or a clip.

    Raises:
        MethodError: the batch holds none.
    """
    for key, spec in batch.specs.items():
        if spec.kind in _SHOWN and isinstance(batch.fields.get(key), Tensor):
            return key, spec
    raise MethodError("This view shows pictures, volumes or clips, and the data has none.", "Choose another view.")


def space_of(batch: Batch, key: str, count: int = 0) -> Space:
    """Return a dense field of a batch as pictures of `count` axes (0 = all that it has).

    Of more axes the first sample is shown: the first view of several, the first window.

    Args:
        batch: raw records.
        key: of the field.
        count: axes of the space.

    Raises:
        MethodError: it has fewer axes.
    """
    spec, raw = batch.specs[key], batch[key]
    letters = AXES[spec.kind]
    while raw.ndim > len(letters) + 1:
        raw = raw[:, 0]
    values = raw.movedim(1 + letters.index("C"), 1)
    letters = letters.replace("C", "")
    count = count or len(letters)
    if count > len(letters):
        raise MethodError(f"A grid of {count} axes does not lie on {spec.kind}, which has {len(letters)}.", "")
    while len(letters) > count:
        values, letters = values[:, :, 0], letters[1:]
    every = [max(1, -(-side // LARGEST_SIDE)) if count > 2 else 1 for side in values.shape[2:]]
    for axis, step in enumerate(every):
        values = values.index_select(2 + axis, torch.arange(0, values.shape[2 + axis], step, device=values.device))
    steps, units = _steps(batch, key, spec, letters, every)
    shown, note = _scaled(values, spec)
    return Space(shown, letters, steps, units, note)


def _scaled(values: Tensor, spec: FieldSpec) -> tuple[Tensor, str]:
    """Return values in 0…1, and how they got there; channels other than 1 or 3 show their first."""
    values = values[:, :1] if values.shape[1] == 2 else values[:, :3]
    if values.dtype == torch.uint8:
        return to_float(values, spec), ""
    values = torch.nan_to_num(values.float())
    low, high = float(values.min()), float(values.max())
    if spec.unit == "" and values.dtype.is_floating_point and low >= 0 and high <= 1:
        return values, ""
    flat = values.flatten(1)
    if flat.shape[1] > 2**20:
        flat = flat[:, :: flat.shape[1] // 2**20]
    cuts = torch.quantile(flat, torch.tensor([0.005, 0.995], device=flat.device), dim=1)  # (2, B)
    first, span = (each.view(-1, *(1,) * (values.ndim - 1)) for each in (cuts[0], cuts[1] - cuts[0]))
    note = f"Grey values of each record from its 0.5th to its 99.5th percentile{f', in {spec.unit}' * bool(spec.unit)}."
    return ((values - first) / span.clamp_min(1e-6)).clamp(0, 1), note


def _steps(
    batch: Batch, key: str, spec: FieldSpec, letters: str, every: list[int]
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    space = [letter for letter in letters if letter in "DHW"]
    spacing = dict(zip(reversed(space), reversed(spec.spacing_mm), strict=False))
    places = batch.places.get(key)
    steps, units = [], []
    for letter, step in zip(letters, every, strict=True):
        times = batch.fields.get(f"{key}_times_s")
        cut = float(places.step[0, places.axes.index(letter)]) if places and letter in places.axes else 1.0
        if letter == "T" and isinstance(times, Tensor) and times.shape[-1] > 1:
            row: Any = times.reshape(-1, times.shape[-1])[0].double()
            steps.append(float((row[-1] - row[0]) / (len(row) - 1)) * step)
            units.append(_SECONDS)
        elif letter in spacing:
            steps.append(spacing[letter] * step * cut)
            units.append(_MILLIMETRES)
        else:
            steps.append(step * cut)
            units.append("")
    return tuple(steps), tuple(units)


def as_array(values: Tensor) -> np.ndarray[Any, Any]:
    """Return values on the CPU as float32."""
    return values.float().cpu().numpy()
