"""Reading multi-channel pictures: a series of a TIFF file, an OME-Zarr, the planes of a site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.importers.channels_settings import (
    MOST_RECORD_BYTES,
    ChannelSettings,
    StackHeader,
    fit_plane,
    name_channels,
    settle_axes,
    stack_records,
    tiles,
)
from engine.data.importers.channels_tiff import TIFF_SUFFIXES, opened_series, opened_tiff, tiff_headers
from engine.data.importers.channels_vendors import opened_vendor
from engine.data.importers.channels_zarr import open_picture
from engine.data.importers.units import Unit, Values
from engine.data.pictures import decode_picture, inspect_picture
from engine.errors import DataError
from engine.protocol.inspections import Array


@dataclass(frozen=True, slots=True)
class ChannelJob:
    """What a reader needs to know beside the settings: how pictures are described in the whole dataset."""

    kind: str  # "tiff", "zarr", "vendor", "site"
    dtype: str
    px: int
    classes: tuple[str, ...]  # names of channels, () = all records have the same
    with_spacing: bool  # whether spacing differs by record
    well: str = ""
    planes: tuple[int, ...] = ()  # of a site: how many files each channel has
    names: tuple[str, ...] = ()  # of a site's channels
    channels: int | None = None  # of every record; None = any


def read_channels(unit: Unit, paths: tuple[Path, ...], settings: ChannelSettings) -> Iterator[Values]:
    """Yield the records of a unit: channels (C, H, W) in their own type, and what differs between records.

    Raises:
        DataError: a file is damaged, declares too large a picture, or holds colours where a plane belongs.
    """
    job: ChannelJob = unit.details
    if job.kind == "site":
        pixels, spacing = _site(paths, job, settings)
        yield from _records(unit.name, [("", pixels)], job.names, spacing, job, settings)
    elif job.kind == "zarr":
        array, header = open_picture(paths[0])
        yield from _series(unit.name, nullcontext(array), header, job, settings)
    elif job.kind == "vendor":
        with opened_vendor(paths[0]) as (array, header):
            yield from _series(unit.name, nullcontext(array), header, job, settings)
    else:
        with opened_tiff(paths[0]) as file:
            headers = tiff_headers(file)
            for number, header in enumerate(headers):
                name = f"{unit.name} series {number}" if len(headers) > 1 else unit.name
                if number and (header.axes, header.dtype) != (headers[0].axes, headers[0].dtype):
                    yield {"name": name, "refused": f"a further series with other axes ({header.axes})"}
                    continue
                yield from _series(name, opened_series(file, number), header, job, settings)


def _series(
    name: str, opened: AbstractContextManager[Any], header: StackHeader, job: ChannelJob, settings: ChannelSettings
) -> Iterator[Values]:
    settled = settle_axes(header, settings)
    with opened as source:
        records = stack_records(source, settled, settings)
        yield from _records(name, records, header.names, header.spacing_um, job, settings)


def _records(
    name: str,
    stacks: Any,
    names: Sequence[str],
    spacing_um: tuple[float, float] | None,
    job: ChannelJob,
    settings: ChannelSettings,
) -> Iterator[Values]:
    for label, whole in stacks:
        for where, pixels in tiles(whole, settings.tile_px):
            title = " ".join(part for part in (name, label, where) if part)
            if job.channels is not None and len(pixels) != job.channels:
                yield {"name": title, "refused": f"has {len(pixels)} channels; the files looked at have {job.channels}"}
                continue
            if not _fits(pixels, job.dtype):
                yield {"name": title, "refused": f"holds {pixels.dtype} values; the files looked at hold {job.dtype}"}
                continue
            fitted = fit_plane(pixels.astype(job.dtype, copy=False), job.px)
            values: dict[str, Any] = {"channels": fitted, "name": title}
            if job.classes:
                known = {each: place for place, each in enumerate(job.classes)}
                own = name_channels(names, len(pixels))
                values["channels_names"] = np.array([known.get(each, -1) for each in own], np.int64)
            if job.with_spacing:
                values["channels_spacing_mm"] = _scaled(spacing_um, pixels, fitted)
            yield values


def _fits(pixels: Array, dtype: str) -> bool:
    return np.can_cast(pixels.dtype, np.dtype(dtype), "safe") or (
        pixels.dtype.kind in "ui"
        and np.dtype(dtype).kind in "ui"
        and pixels.size > 0
        and pixels.min() >= np.iinfo(dtype).min
        and pixels.max() <= np.iinfo(dtype).max
    )


def _scaled(spacing_um: tuple[float, float] | None, pixels: Array, fitted: Array) -> Array:
    if spacing_um is None:
        return np.full(2, np.nan)
    scale = 1.0
    if fitted.shape != pixels.shape:
        scale = min(pixels.shape[1:]) / min(fitted.shape[1:])
    return np.array(spacing_um, np.float64) / 1000 * scale


def _site(
    paths: Sequence[Path], job: ChannelJob, settings: ChannelSettings
) -> tuple[Array, tuple[float, float] | None]:
    """Return the channels of a site and the spacing of its first plane."""
    channels: list[Array] = []
    spacing: tuple[float, float] | None = None
    place = 0
    for name, count in zip(job.names, job.planes, strict=True):
        files = paths[place : place + count]
        place += count
        if settings.depth == "middle plane":
            files = files[count // 2 : count // 2 + 1]
        brightest: Array | None = None
        for path in files:
            plane, own = _plane(path, settings)
            spacing = spacing or own
            if brightest is not None and plane.shape != brightest.shape:
                raise DataError(f"the planes of channel {name} differ in size")
            brightest = plane if brightest is None else np.maximum(brightest, plane)
        if brightest is None:
            raise DataError(f"channel {name} has no file")
        if channels and brightest.shape != channels[0].shape:
            raise DataError(
                f"channel {name} has {brightest.shape[1]} × {brightest.shape[0]} px, the first "
                f"{channels[0].shape[1]} × {channels[0].shape[0]}"
            )
        channels.append(brightest)
    common = np.result_type(*channels)
    return np.stack([channel.astype(common) for channel in channels]), spacing


def _plane(path: Path, settings: ChannelSettings) -> tuple[Array, tuple[float, float] | None]:
    if path.suffix.lower().lstrip(".") in TIFF_SUFFIXES:
        with opened_tiff(path) as file:
            header = tiff_headers(file)[0]
            settled = settle_axes(header, settings)
            if settled.channels != 1:
                raise DataError(f"{path.name} has {settled.channels} channels where one belongs")
            with opened_series(file, 0) as source:
                _, pixels = next(stack_records(source, settled, settings))
        return pixels[0], header.spacing_um
    with path.open("rb") as file:
        declared = inspect_picture(file)
    if declared.channels != 1:
        raise DataError(f"{path.name} has colours where one channel belongs")
    if declared.width * declared.height > MOST_RECORD_BYTES // 2:
        raise DataError(f"{path.name} declares {declared.width} × {declared.height} px")
    return decode_picture(path.read_bytes())[0], None
