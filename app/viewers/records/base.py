"""What every viewer of a record is: a stage that draws one field, and a side with its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from app.theme import Theme
from app.widgets import numbers
from engine.protocol.inspections import Array
from engine.protocol.messages import RecordOpened, RecordValue
from engine.protocol.schema import COMPANIONS, FieldKind, companion

# how many of the last axes of a kind lie in space
SPATIAL_AXES = {
    FieldKind.IMAGE: 2,
    FieldKind.CHANNELS: 2,
    FieldKind.PAIR: 2,
    FieldKind.VIEWS: 2,
    FieldKind.CLIP: 2,
    FieldKind.MASK: 2,
    FieldKind.VOLUME: 3,
    FieldKind.CINE: 3,
    FieldKind.GRID: 3,
}


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """A record as the engine sent it."""

    reply: RecordOpened
    arrays: Sequence[Array] = field(default_factory=list)

    def value(self, name: str) -> RecordValue | None:
        """Return the value of a field, or None where the record has none (it may be damaged)."""
        return next((value for value in self.reply.values if value.spec.name == name), None)

    def array(self, value: RecordValue | None) -> Array | None:
        """Return the array of a value, or None for a text."""
        return None if value is None or value.array < 0 else self.arrays[value.array]

    def companion(self, name: str, what: str) -> Array | None:
        """Return what a companion field (a key of `COMPANIONS`) says of the field `name`, or None."""
        return self.array(self.value(companion(name, what)))

    def spacing(self, value: RecordValue) -> tuple[float, ...]:
        """Return the distance in mm of the samples that were sent along each spatial axis; () = unknown."""
        axes = SPATIAL_AXES.get(value.spec.kind, 0)
        if value.spec.kind is FieldKind.MASK:
            axes = len(value.shape)
        own = self.companion(value.spec.name, "spacing_mm")
        whole = tuple(float(each) for each in own.ravel()) if own is not None else value.spec.spacing_mm
        if len(whole) != axes or not all(np.isfinite(whole)) or min(whole, default=0.0) <= 0:
            return ()
        return tuple(each * step for each, step in zip(whole, spatial_step(value, axes), strict=True))

    def mask_of(self, value: RecordValue) -> RecordValue | None:
        """Return the mask that lies over a value: the first one with its spatial shape."""
        space = tuple(value.shape[-SPATIAL_AXES.get(value.spec.kind, 2) :])
        masks = (each for each in self.reply.values if each.spec.kind is FieldKind.MASK)
        return next((mask for mask in masks if tuple(mask.shape) == space), None)

    def drawn(self) -> tuple[RecordValue, ...]:
        """Return the values that have a viewer of their own; masks only where nothing else is there."""
        found = tuple(value for value in self.reply.values if not value.spec.is_annotation)
        return found or tuple(value for value in self.reply.values if value.spec.kind is FieldKind.MASK)

    def facts(self) -> list[tuple[str, str]]:
        """Return every annotation as a name and a text; companions and masks with their shape."""
        return [(spec_title(value), self._fact(value)) for value in self.reply.values if value.spec.is_annotation]

    def _fact(self, value: RecordValue) -> str:
        if value.array < 0:
            return value.text or "none"
        array, spec = np.asarray(self.arrays[value.array]), value.spec
        if spec.kind is FieldKind.MASK or array.size > 9:
            return f"{shape_text(value.shape)} values"
        if spec.kind in {FieldKind.LABEL, FieldKind.SPLIT} and array.size == 1:
            place = int(array.ravel()[0])
            return spec.classes[place] if 0 <= place < len(spec.classes) else "none"
        if array.size and not np.isfinite(array.astype(np.float64)).any():
            return "unknown"
        texts = (numbers.number(float(each)) for each in array.ravel())
        suffix = _suffix(spec.name)
        unit = spec.unit or {"spacing_mm": "mm", "times_s": "s", "rate_hz": "Hz"}.get(suffix, "")
        return f"{(' × ' if suffix == 'spacing_mm' else ', ').join(texts)} {unit}".strip()


class RecordViewer(QWidget):
    """Base of the viewers of records. `stage` is the viewer itself, `side` the column of its controls."""

    read_out = Signal(str)  # what lies under the pointer, "" = nothing
    qualified = Signal(str)  # how large, how much of it is shown

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.record: OpenedRecord | None = None
        self.value: RecordValue | None = None
        self.side = QWidget(self)
        self.side.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.side_column = QVBoxLayout(self.side)
        self.side_column.setContentsMargins(0, 0, 0, 0)
        self.side_column.setSpacing(8)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.qualified.connect(lambda _text: self.setAccessibleName(self.sentence()))

    def show_field(self, record: OpenedRecord, value: RecordValue) -> None:
        """Show a field of a record; the record before is forgotten."""
        self.record, self.value = record, value
        self._render()
        self.qualified.emit(self.qualifier())

    def leave(self) -> None:
        """Stop what moves and give back what is shared; the viewer is out of sight from now on."""

    def qualifier(self) -> str:
        """Return the size of what is shown, and how it was thinned out."""
        value = self.value
        if value is None:
            return ""
        return f"{shape_text(value.shape)}{thinned_text(value)}"

    def sentence(self) -> str:
        """Return what is shown as one sentence, for those who do not see it."""
        if self.record is None or self.value is None:
            return ""
        kind, name = str(self.value.spec.kind), self.value.spec.name
        what = kind if kind == name else f"{kind} {name}"
        return f"{what} of record {self.record.reply.record}, {self.qualifier()}"

    def sizeHint(self) -> QSize:
        """Return a size at which every viewer can be used."""
        return QSize(640, 480)

    def current_array(self) -> Array:
        """Return the array of the field that is shown.

        Raises:
            ValueError: nothing is shown, or the field is a text.
        """
        array = self.record.array(self.value) if self.record is not None else None
        if array is None:
            msg = "no array is shown"
            raise ValueError(msg)
        return array

    def _render(self) -> None:
        """Bring `self.value` into the widgets."""


def spatial_step(value: RecordValue, axes: int) -> tuple[int, ...]:
    """Return the step along the last `axes` axes with which a value was sent."""
    return tuple(value.step[-axes:]) if value.step else (1,) * axes


def shape_text(shape: Sequence[int]) -> str:
    """Write a shape: "1 × 96 × 176 × 176"."""
    return " × ".join(numbers.count(side) for side in shape) or "one value"


def thinned_text(value: RecordValue) -> str:
    """Return ", every 2nd value along 3 axes" where the engine left values out, or ""."""
    steps = [step for step in value.step if step > 1]
    if not steps:
        return ""
    every = {2: "2nd", 3: "3rd"}.get(max(steps), f"{max(steps)}th")
    axes = f" along {len(steps)} axes" if len(steps) > 1 else ""
    return f", every {every} value{axes} is shown"


def spec_title(value: RecordValue) -> str:
    """Return the name of a field as people read it: "image_spacing_mm" → "image spacing"."""
    name = value.spec.name
    suffix = _suffix(name)
    plain = suffix.removesuffix("_mm").removesuffix("_s").removesuffix("_hz")
    return f"{name[: -len(suffix)]}{plain}".replace("_", " ") if suffix else name


def _suffix(name: str) -> str:
    return next((what for what in COMPANIONS if name.endswith(f"_{what}")), "")
