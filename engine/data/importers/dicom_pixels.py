"""Pixels of DICOM files: decoded, scaled frame by frame, stacked; or windowed into a picture."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.data.importers.anatomy import Placed, check_size
from engine.errors import DataError
from engine.protocol.inspections import Array

if TYPE_CHECKING:
    from pydicom import Dataset

AIR_HU = -1024
_SATURATED = (0.5, 99.5)  # percentiles


@dataclass(frozen=True, slots=True)
class StackPlan:
    """How a stack is put together from its files."""

    frames: tuple[tuple[tuple[int, int], ...], ...]  # [time][slice]: place of the file, frame in it
    scales: tuple[tuple[tuple[float, float], ...], ...]  # [time][slice]: slope, intercept
    rows: int
    columns: int
    frames_of: tuple[int, ...]  # number of frames of each file
    dtype: str
    hounsfield: bool  # padding becomes air
    affine: Array  # (4, 4): slice, row, column → RAS mm, of slices that were shifted but not yet evened
    heights: tuple[float, ...] = ()  # along the normal, where slices are missing or uneven; () = even
    shifts: tuple[tuple[float, float], ...] = ()  # rows and columns by which each slice is moved; () = none
    departures: Array | None = None  # (D, 3) RAS mm from where `affine` puts each slice to where it was taken


def read_stack(plan: StackPlan, paths: Sequence[Path]) -> Placed:
    """Return the voxels (T, D, H, W) of a stack.

    Raises:
        DataError: a file cannot be decoded or is not as its header says.
    """
    times, depth = len(plan.frames), len(plan.frames[0])
    check_size((times, depth, plan.rows, plan.columns), np.dtype(plan.dtype).itemsize)
    voxels = np.zeros((times, depth, plan.rows, plan.columns), plan.dtype)
    wanted: dict[int, list[tuple[int, int, int]]] = {}
    for time, row in enumerate(plan.frames):
        for level, (place, frame) in enumerate(row):
            wanted.setdefault(place, []).append((time, level, frame))
    for place, uses in wanted.items():
        found, stored = decode(paths[place], plan.rows, plan.columns, plan.frames_of[place])
        padded = _padding(found, stored) if plan.hounsfield else None
        for time, level, frame in uses:
            slope, inter = plan.scales[time][level]
            values = stored[frame] * slope + inter if (slope, inter) != (1.0, 0.0) else stored[frame]
            if plan.hounsfield:
                values = np.maximum(values.astype(np.int32), AIR_HU)
                if padded is not None:
                    values = np.where(padded[frame], AIR_HU, values)
            voxels[time, level] = _cast(values, plan.dtype)
    affine = plan.affine
    if plan.shifts:
        voxels = _shifted(voxels, plan)
    if plan.heights:
        voxels, affine = _even(voxels, plan.heights, affine)
    return Placed(voxels, affine)


def decode(path: Path, rows: int, columns: int, frames: int) -> tuple[Dataset, Array]:
    """Return the file and its stored values (frames, rows, columns[, samples]).

    Raises:
        DataError: with the reason, which names the compression where it is that.
    """
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values of unimportant elements
            found = dcmread(path, force=True)
            _require_pixels(found)
            samples = int(found.get("SamplesPerPixel", 1))
            check_size((frames, rows, columns, samples), max(1, int(found.get("BitsAllocated", 16)) // 8))
            values = np.asarray(found.pixel_array)
    except (DataError, MemoryError, OSError):
        raise
    except (RuntimeError, NotImplementedError) as error:
        syntax = found.file_meta.get("TransferSyntaxUID", None)
        name = getattr(syntax, "name", syntax) or "unknown"
        raise DataError(f"is compressed as {name}, which cannot be decoded: {_first_line(error)}") from error
    except Exception as error:  # (decoders raise anything over damaged files; the file is named)
        raise DataError(f"its pixels cannot be decoded: {_first_line(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what decoders written in Rust raise, no Exception
            raise
        raise DataError(f"its pixels cannot be decoded: {_first_line(error)}") from error
    shape = (frames, rows, columns, *((samples,) if samples > 1 else ()))
    if values.size != math.prod(shape):
        raise DataError(f"has {values.size:,} pixel values; its header says {math.prod(shape):,}")
    return found, values.reshape(shape)


def _require_pixels(found: Dataset) -> None:
    if not any(name in found for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise DataError("has no pixels")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _padding(found: Dataset, stored: Array) -> Array | None:
    """Return where pixels are padding, which stands for no measurement."""
    value = found.get("PixelPaddingValue")
    if value is None:
        return None
    end = found.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if end is None else end)))
    return (stored >= low) & (stored <= high)


def _cast(values: Array, dtype: str) -> Array:
    wanted = np.dtype(dtype)
    if wanted.kind not in "iu":
        return values.astype(wanted)
    low, high, limits = values.min(), values.max(), np.iinfo(wanted)
    if low < limits.min or high > limits.max:
        raise DataError(f"holds values from {low:g} to {high:g}, more than {wanted} can")
    return (np.rint(values) if values.dtype.kind == "f" else values).astype(wanted)


def _shifted(voxels: Array, plan: StackPlan) -> Array:
    """Move every slice within its plane, so that a sheared stack becomes upright."""
    from scipy import ndimage

    empty = AIR_HU if plan.hounsfield else float(voxels.min())
    out = np.empty_like(voxels)
    for time in range(len(voxels)):
        for level, shift in enumerate(plan.shifts):
            source = voxels[time, level].astype(np.float32)
            moved = ndimage.shift(source, shift, order=1, mode="constant", cval=empty)
            out[time, level] = np.rint(moved) if voxels.dtype.kind in "iu" else moved
    return out


def _even(voxels: Array, heights: tuple[float, ...], affine: Array) -> tuple[Array, Array]:
    """Interpolate between slices at uneven heights, so that they lie evenly."""
    given = np.array(heights)
    spacing = float(np.median(np.diff(given)))
    count = round(float(given[-1] - given[0]) / spacing) + 1
    wanted = np.linspace(given[0], given[-1], count)
    above = np.clip(np.searchsorted(given, wanted, side="right"), 1, len(given) - 1)
    weight = ((wanted - given[above - 1]) / (given[above] - given[above - 1])).astype(np.float32)
    out = np.empty((len(voxels), count, *voxels.shape[2:]), voxels.dtype)
    for level in range(count):
        low, high = voxels[:, above[level] - 1], voxels[:, above[level]]
        mixed = low * (1 - weight[level]) + high * weight[level]
        out[:, level] = np.rint(mixed) if voxels.dtype.kind in "iu" else mixed
    changed = affine.copy()
    changed[:3, 0] *= (len(given) - 1) / (count - 1)
    return out, changed


# ── single pictures ──────────────────────────────────────────────────────────────────────────────────


def read_picture(path: Path, rows: int, columns: int, *, windowed: bool) -> Array:
    """Return a picture (C, H, W): uint8 after its window, or its values as float32 or uint8/uint16.

    MONOCHROME1 is inverted, so that bone is always bright. Without a window of its own, the 0.5th to 99.5th
    percentile of what is not padding fills the range.

    Raises:
        DataError: it cannot be decoded.
    """
    found, stored = decode(path, rows, columns, 1)
    picture = stored[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _coloured(found, picture) if _is_coloured(found) else _grey(found, picture, windowed=windowed)
        except (ValueError, AttributeError, KeyError, NotImplementedError) as error:
            raise DataError(f"its tables of values are damaged: {_first_line(error)}") from error


def _is_coloured(found: Dataset) -> bool:
    return int(found.get("SamplesPerPixel", 1)) > 1 or found.get("PhotometricInterpretation") == "PALETTE COLOR"


def _coloured(found: Dataset, picture: Array) -> Array:
    if found.get("PhotometricInterpretation") == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        picture = np.asarray(apply_color_lut(picture, found))[..., :3]
    if picture.dtype.itemsize > 1:  # the highest byte of what is there
        bits = int(found.get("BitsStored", 8)) if int(found.get("SamplesPerPixel", 1)) > 1 else 16
        picture = (picture >> max(0, bits - 8)).astype(np.uint8)
    return np.ascontiguousarray(picture.astype(np.uint8).transpose(2, 0, 1))


def _grey(found: Dataset, picture: Array, *, windowed: bool) -> Array:
    from pydicom.pixels import apply_modality_lut

    padded = _padding(found, picture)
    inverted = str(found.get("PhotometricInterpretation", "")).upper() == "MONOCHROME1"
    if not windowed:
        values = np.asarray(apply_modality_lut(picture, found)) if "ModalityLUTSequence" not in found else picture
        if inverted and values.dtype.kind == "u":
            values = ((1 << int(found.get("BitsStored", 16))) - 1 - values.astype(np.int64)).clip(0)
        elif inverted:
            values = float(values.max()) + float(values.min()) - values
        return values[None]
    values = np.asarray(apply_modality_lut(picture, found), np.float64)
    share = _windowed(found, values, padded)
    if inverted:
        share = 1.0 - share
    if padded is not None:
        share = np.where(padded, 0.0, share)
    return np.rint(share * 255).astype(np.uint8)[None]


def _windowed(found: Dataset, values: Array, padded: Array | None) -> Array:
    """Return values as shares of the shown range, 0…1."""
    if "VOILUTSequence" in found:
        from pydicom.pixels import apply_voi

        bits = int(found.VOILUTSequence[0].LUTDescriptor[2])
        return np.asarray(np.clip(np.asarray(apply_voi(values.astype(np.int64), found)) / (2**bits - 1), 0.0, 1.0))
    centre, width = _first_number(found.get("WindowCenter")), _first_number(found.get("WindowWidth"))
    function = str(found.get("VOILUTFunction", "LINEAR")).upper()
    if math.isfinite(centre) and width > 0:
        if function == "SIGMOID":
            return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700, 700))))
        if function == "LINEAR_EXACT":
            return np.asarray(np.clip((values - centre) / width + 0.5, 0.0, 1.0))
        return np.asarray(np.clip((values - (centre - 0.5)) / max(width - 1.0, 1e-9) + 0.5, 0.0, 1.0))
    counted = values if padded is None or padded.all() else values[~padded]
    low, high = np.percentile(counted, _SATURATED)
    if high <= low:
        low, high = float(counted.min()), float(counted.max())
    return np.asarray(np.clip((values - low) / max(float(high - low), 1e-9), 0.0, 1.0))


def _first_number(value: Any) -> float:
    try:
        return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
    except (TypeError, ValueError, IndexError):
        return math.nan
