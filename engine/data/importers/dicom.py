"""DICOM: series as volumes, slices over time as cines, radiographs and stills as images; patients under pseudonyms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from engine.data.importers.anatomy import (
    Placed,
    check_affine,
    crop,
    crop_box,
    foreground,
    geometry_values,
    plane_affines,
    resample,
    to_ras,
)  # fmt: skip
from engine.data.importers.dicom_heap import count_kinds
from engine.data.importers.dicom_pictures import PictureDetails, survey_pictures
from engine.data.importers.dicom_pixels import read_picture, read_stack
from engine.data.importers.dicom_survey import StackDetails, survey_stacks
from engine.data.importers.sources import Listing
from engine.data.importers.units import Survey, Unit, UnitImporter, Values
from engine.data.importers.volumes import CropToBody, SpacingMm
from engine.form_fields import setting
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import companion


class DicomVolumeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of series of slices."""

    spacing_mm: SpacingMm = 0.0
    crop: CropToBody = False
    gaps: Annotated[
        Literal["fill", "split", "leave out"],
        setting(
            "Missing slices",
            "What becomes of a stack with a gap: it is interpolated where at most a tenth of the slices is missing, "
            "it is divided there, or it is left out.",
            "Import",
        ),
    ] = "fill"
    least_slices: Annotated[
        int, setting("Fewest slices", "Stacks of fewer slices are left out.", "Import", 1, 1000, "slices")
    ] = 1


class DicomCineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of slices over time."""

    spacing_mm: SpacingMm = 0.0
    crop: CropToBody = False
    join: Annotated[
        bool,
        setting(
            "Join slices",
            "Parallel slices that came as a series each, as breath-holds of the short axis do, become one stack.",
            "Import",
        ),
    ] = True


class DicomImageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of radiographs and stills."""

    values: Annotated[
        Literal["window", "stored"],
        setting(
            "Grey values",
            "Grey values after the window of the file (or the 0.5th to 99.5th percentile) in 8 bit, or as stored.",
            "Import",
        ),
    ] = "window"
    screenshots: Annotated[
        bool,
        setting(
            "Secondary captures",
            "Screenshots and scans are read too. They may show names, which are not removed.",
            "Import",
        ),
    ] = False


def read_dicom_stack(
    unit: Unit, paths: tuple[Path, ...], settings: DicomVolumeSettings | DicomCineSettings
) -> Iterator[Values]:
    """Yield the one record of a stack; see `engine.data.importers.units.Reader`."""
    details: StackDetails = unit.details
    check_affine(details.plan.affine)
    stack = read_stack(details.plan, paths)
    name = "cine" if details.cine else "volume"
    voxels = stack.voxels[:, None] if details.cine else stack.voxels  # (T, 1, D, H, W) or (1, D, H, W)
    placed = to_ras(Placed(voxels, stack.affine), permute=not details.cine)
    if settings.crop:
        first = placed.voxels.reshape(-1, *placed.voxels.shape[-3:])[0]
        placed = crop(placed, crop_box(first, foreground(first)))
    placed = resample(placed, settings.spacing_mm)
    values: dict[str, Any] = {name: placed.voxels.astype(details.dtype), **geometry_values(name, placed.affine)}
    if details.cine:
        values[companion(name, "times_s")] = np.array(details.times_s)
        values[companion(name, "planes")] = plane_affines(
            placed.affine, placed.voxels.shape[-3], details.plan.affine, details.plan.departures
        )
    yield values


def read_dicom_picture(unit: Unit, paths: tuple[Path, ...], settings: DicomImageSettings) -> Iterator[Values]:
    """Yield the one record of a picture; see `engine.data.importers.units.Reader`."""
    details: PictureDetails = unit.details
    picture = read_picture(paths[0], details.rows, details.columns, windowed=settings.values == "window")
    if len(picture) == 1 and details.channels == 3:
        picture = np.repeat(picture, 3, axis=0)
    wanted = np.dtype(details.dtype)
    if picture.dtype.kind in "iuf" and wanted.kind == "f":
        picture = picture.astype(wanted)
    elif picture.dtype.kind == "f" and wanted.kind in "iu":
        picture = np.rint(picture).astype(np.int64)
    yield {"image": picture, companion("image", "spacing_mm"): np.array(details.spacing_mm)}


def _count_volumes(listing: Listing) -> int:
    return count_kinds(listing)[0]


def _count_cines(listing: Listing) -> int:
    return count_kinds(listing)[1]


def _count_images(listing: Listing) -> int:
    return count_kinds(listing)[2]


def _survey_volumes(listing: Listing, options: ImportOptions, settings: DicomVolumeSettings) -> Survey:
    return survey_stacks(listing, options, settings, cine=False)


def _survey_cines(listing: Listing, options: ImportOptions, settings: DicomCineSettings) -> Survey:
    return survey_stacks(listing, options, settings, cine=True)


DICOM_VOLUMES = UnitImporter(
    name="DICOM series",
    kind="volume",
    recognise_entries=_count_volumes,
    survey=_survey_volumes,
    read_unit=read_dicom_stack,
    settings=DicomVolumeSettings,
)
DICOM_CINES = UnitImporter(
    name="DICOM series over time",
    kind="cine",
    recognise_entries=_count_cines,
    survey=_survey_cines,
    read_unit=read_dicom_stack,
    settings=DicomCineSettings,
)
DICOM_IMAGES = UnitImporter(
    name="DICOM images",
    kind="image",
    recognise_entries=_count_images,
    survey=survey_pictures,
    read_unit=read_dicom_picture,
    settings=DicomImageSettings,
)
