"""Where and when each frame of a DICOM file was taken, whether it holds one or, as enhanced files do, thousands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

_MOST_FRAMES = 100_000
_ROUNDED = 0.02  # by how much directions may depart from upright unit vectors, as rounded text does
_LONGEST_MM = 1e4


@dataclass(frozen=True, slots=True)
class Frame:
    """Where and when one frame was taken, and how its numbers are scaled."""

    position: tuple[float, ...] = ()  # (x, y, z) LPS millimetres of the first pixel; () = unknown
    orientation: tuple[float, ...] = ()  # direction of a row, then of a column; LPS
    spacing: tuple[float, ...] = ()  # between rows, between columns; millimetres
    slope: float = 1.0
    inter: float = 0.0
    times: tuple[float, ...] = ()  # temporal position, trigger, acquisition, time of day, instance; NaN = unknown
    kind: tuple[Any, ...] = ()  # image type, echo, b-value: frames of different kinds are never in one stack


def read_frames(found: Dataset) -> tuple[Frame, ...]:
    """Return what is known of every frame of a file.

    Raises:
        DataError: the file says it has none, or more than there can be.
    """
    count = int(read_number(found, "NumberOfFrames", 1)) or 1
    if not 1 <= count <= _MOST_FRAMES:
        raise DataError(f"says it has {count} frames")
    kind = (
        read_words(found, "ImageType")[:4],
        read_number(found, "EchoTime", -1),
        read_number(found, "DiffusionBValue", -1),
    )
    whole = Frame(
        read_numbers(found, "ImagePositionPatient", 3),
        _directions(found),
        _pixel_mm(found, "PixelSpacing") or _pixel_mm(found, "ImagerPixelSpacing"),
        read_number(found, "RescaleSlope", 1.0),
        read_number(found, "RescaleIntercept", 0.0),
        (
            read_number(found, "TemporalPositionIdentifier", math.nan),
            read_number(found, "TriggerTime", math.nan),
            read_number(found, "AcquisitionNumber", math.nan),
            read_seconds(read_text(found, "AcquisitionTime") or read_text(found, "ContentTime")),
            read_number(found, "InstanceNumber", math.nan),
        ),
        kind,
    )
    each = found.get("PerFrameFunctionalGroupsSequence") or ()
    shared = (found.get("SharedFunctionalGroupsSequence") or (None,))[0]
    if not each and shared is None:
        return (whole,) * count
    return tuple(
        _functional(whole, shared, each[place] if place < len(each) else None, place) for place in range(count)
    )


def _functional(whole: Frame, shared: Any, own: Any, place: int) -> Frame:
    """Return a frame of an enhanced file: what it says itself goes before what all of its frames share."""

    def group(name: str) -> Any:
        for source in (own, shared):
            items = source.get(name) if source is not None else None
            if items:
                return items[0]
        return {}

    measures, scaling, content = (
        group("PixelMeasuresSequence"),
        group("PixelValueTransformationSequence"),
        group("FrameContentSequence"),
    )
    trigger = read_number(group("CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime", math.nan)
    echo = read_number(group("MREchoSequence"), "EffectiveEchoTime", whole.kind[1])
    b_value = read_number(group("MRDiffusionSequence"), "DiffusionBValue", whole.kind[2])
    frame_types = group("MRImageFrameTypeSequence") or group("CTImageFrameTypeSequence")
    return Frame(
        read_numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3) or whole.position,
        _directions(group("PlaneOrientationSequence")) or whole.orientation,
        _pixel_mm(measures, "PixelSpacing") or whole.spacing,
        read_number(scaling, "RescaleSlope", whole.slope),
        read_number(scaling, "RescaleIntercept", whole.inter),
        (
            read_number(content, "TemporalPositionIndex", math.nan),
            trigger,
            read_number(content, "FrameAcquisitionNumber", math.nan),
            read_seconds(read_text(content, "FrameAcquisitionDateTime")[8:]),
            float(place),
        ),
        (read_words(frame_types, "FrameType")[:4] or whole.kind[0], echo, b_value),
    )


def _directions(found: Any) -> tuple[float, ...]:
    """Return the directions of rows and columns; () where they are not two upright unit vectors."""
    numbers = read_numbers(found, "ImageOrientationPatient", 6)
    if not numbers:
        return ()
    right, down = numbers[:3], numbers[3:]
    lengths = [math.sqrt(sum(each * each for each in vector)) for vector in (right, down)]
    slanted = abs(sum(one * other for one, other in zip(right, down, strict=True)))
    return numbers if all(abs(length - 1) < _ROUNDED for length in lengths) and slanted < _ROUNDED else ()


def _pixel_mm(found: Any, name: str) -> tuple[float, ...]:
    """Return the distances between rows and between columns; () where they are not lengths."""
    numbers = read_numbers(found, name, 2)
    return numbers if all(0 < each < _LONGEST_MM for each in numbers) else ()


def read_text(found: Any, name: str) -> str:
    """Return an element as text without blanks around it; "" where it is missing."""
    value = found.get(name)
    return "" if value is None else str(value).strip()


def read_words(found: Any, name: str) -> tuple[str, ...]:
    """Return the words of an element in upper case; () where it is missing."""
    value = found.get(name)
    if value is None:
        return ()
    parts = [value] if isinstance(value, str) else list(value)
    return tuple(str(part).strip().upper() for part in parts)


def read_number(found: Any, name: str, default: float) -> float:
    """Return the first number of an element; `default` where it is missing, empty or no number."""
    value = found.get(name)
    try:
        return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
    except (TypeError, ValueError, IndexError):
        return default  # empty, or no number: as if it were not there


def read_numbers(found: Any, name: str, count: int) -> tuple[float, ...]:
    """Return the numbers of an element; () unless it has exactly `count` finite ones."""
    value = found.get(name)
    try:
        numbers = tuple(float(each) for each in value) if value is not None else ()
    except (TypeError, ValueError):
        return ()
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else ()


def read_seconds(text: str) -> float:
    """Return the seconds of the day of a DICOM time, HHMMSS.FFFFFF; NaN = none."""
    digits = text.replace(":", "")
    try:
        return int(digits[0:2]) * 3600.0 + int(digits[2:4]) * 60.0 + float(digits[4:])
    except ValueError:
        return math.nan
