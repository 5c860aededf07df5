"""NIfTI, NRRD, MetaImage and NumPy volumes, still or over time, turned to RAS+, with the label maps beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from engine.data.importers.anatomy import (
    Placed,
    crop,
    crop_box,
    foreground,
    geometry_values,
    plane_affines,
    resample,
    to_ras,
)  # fmt: skip
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.units import Survey, Unit, UnitImporter, Values
from engine.data.importers.volumes_files import is_volume, load, says_time
from engine.data.importers.volumes_names import is_label_name
from engine.data.importers.volumes_numpy import holds_volume
from engine.data.importers.volumes_survey import Part, VolumeDetails, survey_volumes
from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import companion

_MOST_OPENED = 100  # archives that are looked into to tell what a heap of them is
_WHOLE = 0.01  # how far a label may lie from a whole number

SpacingMm = Annotated[
    float,
    setting(
        "Voxel size",
        "Volumes are resampled to voxels of this size; 0 keeps them as they are. Axes three times as coarse as the "
        "finest, as between thick slices, are never resampled.",
        "Import", 0.0, 50.0, "mm",
    ),
]  # fmt: skip
CropToBody = Annotated[
    bool,
    setting(
        "Crop to foreground",
        "Cuts each volume to the box around everything brighter than its background (Otsu's threshold).",
        "Import",
    ),
]  # fmt: skip


class VolumeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of volumes."""

    spacing_mm: SpacingMm = 0.0
    crop: CropToBody = False
    fourth: Annotated[
        Literal["channels", "first"],
        setting(
            "Fourth axis",
            "What becomes of the fourth axis of a file: its steps become channels, or only the first is read.",
            "Import",
        ),
    ] = "channels"
    label_maps: Annotated[
        bool, setting("Label maps", "Files called like label maps (_seg, labelsTr, …) become masks.", "Import")
    ] = True


class CineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of volumes over time."""

    spacing_mm: SpacingMm = 0.0
    crop: CropToBody = False

    @property
    def fourth(self) -> str:
        """The fourth axis is time."""
        return "time"

    @property
    def label_maps(self) -> bool:
        """Label maps over time are named, not read."""
        return True


def read_volumes(unit: Unit, paths: tuple[Path, ...], settings: VolumeSettings | CineSettings) -> Iterator[Values]:
    """Yield the one record of a unit; see `engine.data.importers.units.Reader`."""
    details: VolumeDetails = unit.details
    name = "cine" if details.cine else "volume"
    stacks = [load(part.header, [paths[place] for place in part.places]) for part in details.channels]
    voxels = stacks[0] if len(stacks) == 1 else np.concatenate(stacks, axis=1)  # (T, C, D, H, W)
    if not details.cine:
        flat = voxels[0] if settings.fourth == "first" else voxels.reshape(-1, *voxels.shape[2:])
        voxels = flat
    header = details.channels[0].header
    image = to_ras(Placed(voxels, header.affine), permute=not details.cine)
    label = _read_label(details.label, paths) if details.label else None
    if settings.crop:
        first = image.voxels.reshape(-1, *image.voxels.shape[-3:])[0]
        box = crop_box(first, foreground(first))
        image = crop(image, box)
        label = crop(label, box) if label else None
    image = resample(image, settings.spacing_mm)
    values: dict[str, Any] = {name: image.voxels.astype(details.dtype), **geometry_values(name, image.affine)}
    if details.cine:
        values[companion(name, "times_s")] = np.arange(header.frames) * header.frame_s
        values[companion(name, "planes")] = plane_affines(image.affine, image.voxels.shape[-3])
    if details.labelled:
        if label:
            values["mask"] = resample(label, settings.spacing_mm, labels=True).voxels
        else:
            values["mask"] = np.full(image.voxels.shape[-3:], -1, np.int16)
    yield values


def _read_label(part: Part, paths: tuple[Path, ...]) -> Placed:
    values = load(part.header, [paths[place] for place in part.places])[0, 0]
    whole: Array = np.rint(values)
    apart = np.abs(values - whole)
    if not np.isfinite(values).all() or float(apart.max()) > _WHOLE:
        odd = float(values.reshape(-1)[int(np.argmax(apart))])
        raise DataError(f"its label map holds {odd:g}, which is no label")
    if whole.min() < -1 or whole.max() > np.iinfo(np.int16).max:
        raise DataError(f"its label map holds labels from {whole.min():g} to {whole.max():g}")
    return to_ras(Placed(whole.astype(np.int16), part.header.affine))


def _recognise(listing: Listing) -> tuple[int, int]:
    """Return how many files are volumes, and how many of them speak of time."""
    found = [entry for entry in listing.entries if is_volume(listing, entry)]
    packed = [entry for entry in found if entry.suffix == ".npz"]
    if packed:  # they may hold anything; where most hold volumes, the others are named by the survey
        chosen = packed[:: -(-len(packed) // _MOST_OPENED)]
        if 2 * sum(_holds_volume(entry) for entry in chosen) <= len(chosen):
            found = [entry for entry in found if entry.suffix != ".npz"]
    moving = sum(says_time(listing, entry) and not is_label_name(entry.name) for entry in found)
    return len(found), moving


def _holds_volume(entry: Entry) -> bool:
    try:
        with entry.path.open("rb") as file:
            return holds_volume(file)
    except OSError:
        return False  # whoever reads it names it


def _recognise_volumes(listing: Listing) -> int:
    found, moving = _recognise(listing)
    return max(found - moving, min(moving, 1))


def _recognise_cines(listing: Listing) -> int:
    return _recognise(listing)[1]


def _survey_volumes(listing: Listing, options: ImportOptions, settings: VolumeSettings) -> Survey:
    return survey_volumes(listing, options, settings, cine=False)


def _survey_cines(listing: Listing, options: ImportOptions, settings: CineSettings) -> Survey:
    return survey_volumes(listing, options, settings, cine=True)


VOLUMES = UnitImporter(
    name="volume files",
    kind="volume",
    recognise_entries=_recognise_volumes,
    survey=_survey_volumes,
    read_unit=read_volumes,
    settings=VolumeSettings,
)
CINES = UnitImporter(
    name="volume files over time",
    kind="cine",
    recognise_entries=_recognise_cines,
    survey=_survey_cines,
    read_unit=read_volumes,
    settings=CineSettings,
)
