"""Texts as JSON lines, with the pictures that they belong to; bags of features; everything else as NPZ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from engine.data.exporting_pictures import PictureFormat
from engine.data.exporting_record import Format, OneRecord, texts_of
from engine.data.layout import is_encoded, is_text
from engine.errors import DataError
from engine.protocol.schema import FieldKind, Schema


@dataclass(frozen=True)
class TextFormat(Format):
    """All texts in records.jsonl; pictures beside them as PNG or as the files that were kept."""

    id: str = "jsonl"
    title: str = "JSON lines, with pictures"
    keeps: str = "Every text, label and split; pictures without loss."
    inside: str = "images"

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the texts and the image."""
        texts = texts_of(schema)
        pictures = self._pictures(schema)
        return (*(pictures.fields(schema)[:1] if pictures else ()), *texts) if texts else ()

    @staticmethod
    def _pictures(schema: Schema) -> PictureFormat | None:
        image = schema.first(FieldKind.IMAGE)
        if image is None:
            return None
        first = PictureFormat("original" if is_encoded(image) else "png", "", "")
        return next((one for one in (first, PictureFormat("tiff", "", "")) if one.fields(schema)), None)

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write the picture, if there is one."""
        pictures = self._pictures(record.schema)
        image = record.schema.first(FieldKind.IMAGE)
        if pictures is None or image is None or not record.has(image.name):
            return []
        base.parent.mkdir(parents=True, exist_ok=True)
        return pictures.write(record, base)

    def line(self, record: OneRecord, main: str) -> dict[str, Any]:
        """Return the record's texts under the names of their fields, the picture as `image`."""
        told: dict[str, Any] = {"image": main} if main else {"name": record.name}
        told |= {name: record.text(name) for name in texts_of(record.schema)}
        return told | {key: value for key, value in (("label", record.label), ("split", record.split)) if value}


@dataclass(frozen=True)
class BagFormat(Format):
    """Bags as .h5 (features, coords) or .npz."""

    id: Literal["h5", "npz"]
    title: str
    keeps: str

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the bag."""
        spec = schema.first(FieldKind.BAG)
        return (spec.name,) if spec is not None else ()

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write features, and where they lie."""
        (name,) = self.fields(record.schema)
        if not record.has(name):
            raise DataError("it has no bag")
        features, coordinates = record.array(name), record.beside(name, "coordinates")
        stains = record.beside(name, "stains")
        spec = record.schema.get(f"{name}_coordinates")
        in_um = spec is not None and spec.unit == "µm"
        if self.id == "npz":
            told = {"features": features, "coords": coordinates, "stains": stains}
            held: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
            path = base.with_name(base.name + ".npz")
            np.savez(path, **held)
            return [path]
        path = base.with_name(base.name + ".h5")
        with h5py.File(path, "w") as file:
            file.create_dataset("features", data=features)
            if coordinates is not None:
                placed = file.create_dataset("coords", data=coordinates)
                if in_um:
                    placed.attrs["level0_mpp"] = 1.0  # the coordinates are micrometres
            if stains is not None:
                stained = file.create_dataset("stains", data=stains)
                known = record.schema.get(f"{name}_stains")
                stained.attrs["names"] = list(known.classes) if known is not None else []
        return [path]


@dataclass(frozen=True)
class GridFormat(Format):
    """Radiance grids as NPZ, axes X Y Z C as NeRF-MAE has them."""

    id: str = "grid"
    title: str = "NPZ with colour and opacity, X Y Z C"
    keeps: str = "All four channels; Z is upwards."

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the grid."""
        spec = schema.first(FieldKind.GRID)
        return (spec.name,) if spec is not None and spec.shape[0] == 4 else ()

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write one file."""
        (name,) = self.fields(record.schema)
        if not record.has(name):
            raise DataError("it has no grid")
        path = base.with_name(base.name + ".npz")
        np.savez_compressed(path, rgba=np.ascontiguousarray(record.array(name).transpose(3, 2, 1, 0)))
        return [path]


@dataclass(frozen=True)
class ArrayFormat(Format):
    """Every field of a record in one NPZ file; nothing is left out."""

    id: str = "npz-all"
    title: str = "NPZ, one file for each record"
    keeps: str = "Every field as it is stored, under its name."

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return all fields."""
        return tuple(spec.name for spec in schema.fields)

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write one file."""
        held: dict[str, Any] = {}
        for spec in record.schema.fields:
            if is_text(spec):
                held[spec.name] = np.array(record.text(spec.name))
            elif spec.is_annotation and spec.shape == ():
                held[spec.name] = np.asarray(record.dataset.read(spec.name, [record.number])[0])
            elif record.has(spec.name):
                held[spec.name] = record.array(spec.name)
        path = base.with_name(base.name + ".npz")
        np.savez(path, **held)
        return [path]
