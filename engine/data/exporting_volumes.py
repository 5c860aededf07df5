"""Volumes and cines as NIfTI: values, affine in millimetres, time between frames; masks as label maps beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.data.exporting_record import Format, OneRecord
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, Schema

_HELD = frozenset({"uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"})
_WIDER = {"bool": "uint8", "float16": "float32"}


def nifti_affine(affine: Array) -> Array:
    """Return the affine of voxels (i, j, k) = (W, H, D) of one of voxels (D, H, W); both lead to RAS millimetres."""
    return np.asarray(affine, np.float64)[:, [2, 1, 0, 3]]


def affine_of(record: OneRecord, spec: FieldSpec) -> Array:
    """Return the affine (4, 4) of a record's voxels (D, H, W): its own, else of its spacing, else of 1 mm."""
    told = record.beside(spec.name, "affine")
    if told is not None and np.isfinite(told).all():
        return told
    spacing = record.beside(spec.name, "spacing_mm")
    sides = np.asarray(spec.spacing_mm if spacing is None else spacing, np.float64)
    if sides.size != 3 or not np.isfinite(sides).all():
        sides = np.ones(3)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = sides  # D to the head, H to the front, W to the right
    affine[3, 3] = 1.0
    return affine


@dataclass(frozen=True)
class NiftiFormat(Format):
    """One .nii.gz for each record."""

    id: str = "nifti"
    title: str = "NIfTI"
    keeps: str = "Values, position and size of the voxels, time between frames; masks as label maps."
    inside: str = ""

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the volume or cine and the masks of its shape."""
        spec = schema.first(FieldKind.VOLUME, FieldKind.CINE)
        if spec is None or spec.dtype not in {*_HELD, *_WIDER}:
            return ()
        masks = [one.name for one in schema.fields if one.kind is FieldKind.MASK and len(one.shape) == 3]
        return (spec.name, *masks)

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write volume and label maps."""
        name, *masks = self.fields(record.schema)
        spec = record.schema.get(name)
        assert spec is not None
        if not record.has(name):
            raise DataError(f"it has no {spec.kind}")
        values = record.array(name)
        affine = affine_of(record, spec)
        if spec.kind is FieldKind.CINE:
            times = record.beside(name, "times_s")
            frame_s = float(np.diff(times).mean()) if times is not None and len(times) > 1 else 1.0
            files = [_write(base, values.transpose(4, 3, 2, 0, 1), affine, frame_s, spec.unit)]
        else:
            files = [_write(base, values.transpose(3, 2, 1, 0)[:, :, :, None, :], affine, 0.0, spec.unit)]
        for mask in masks:
            labels = record.array(mask) if record.has(mask) else np.zeros((0, 0, 0))
            if labels.shape == values.shape[-3:] and (labels >= 0).any():
                ending = "seg" if len(masks) == 1 else f"{mask}_seg"
                path = base.with_name(f"{base.name}_{ending}")
                files.append(_write(path, labels.transpose(2, 1, 0)[:, :, :, None, None], affine, 0.0, ""))
        return files


def _write(base: Path, values: Array, affine: Array, frame_s: float, unit: str) -> Path:
    """Write values (W, H, D, T, C); axes of length 1 at the end are left out."""
    import nibabel as nib  # half a second, for those who need it

    stored = np.ascontiguousarray(values.astype(_WIDER.get(values.dtype.name, values.dtype.name)))
    if stored.shape[4] == 1:
        stored = stored[..., 0]
        if stored.shape[3] == 1:
            stored = stored[..., 0]
    elif stored.shape[3] == 1:
        stored = stored[:, :, :, 0]
    image = nib.Nifti1Image(stored, nifti_affine(affine), dtype=stored.dtype)
    image.set_sform(nifti_affine(affine), code="scanner")
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_slope_inter(1, 0)
    if frame_s and stored.ndim > 3:
        image.header["pixdim"][4] = frame_s
    image.header["descrip"] = unit.encode()[:79]
    path = base.with_name(base.name + ".nii.gz")
    nib.save(image, path)
    return path
