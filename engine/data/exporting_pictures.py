"""Pictures out: PNG, JPEG, TIFF or the files that were kept; pairs as left and right; channels as OME-TIFF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile
from PIL import Image

from engine.data.exporting_record import Format, OneRecord
from engine.data.layout import is_encoded
from engine.data.pictures import sniff
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, Schema

_JPEG_QUALITY = 95
_SUFFIXES = {"jpeg": ".jpg", "tiff": ".tif"}


def write_png(path: Path, values: Array) -> Path:
    """Write a picture (C, H, W) or (H, W) of 8 or 16 bits, without loss.

    Raises:
        DataError: it has other values or channels.
    """
    plain = np.ascontiguousarray(values[0] if values.ndim == 3 and len(values) == 1 else values)
    if plain.ndim == 3:
        plain = np.ascontiguousarray(plain.transpose(1, 2, 0))
    if plain.ndim == 3 and plain.shape[2] not in {3, 4}:
        raise DataError(f"has {plain.shape[2]} channels, which PNG cannot hold")
    if plain.dtype == np.uint8:
        Image.fromarray(plain).save(path, "PNG")
        return path
    if plain.dtype != np.uint16:
        raise DataError(f"holds {plain.dtype} values, which PNG cannot hold")
    if plain.ndim == 2:
        Image.fromarray(plain).save(path, "PNG")
        return path
    import imagecodecs

    path.write_bytes(imagecodecs.png_encode(plain))
    return path


@dataclass(frozen=True)
class PictureFormat(Format):
    """Images as files of one kind, in folders of their splits and classes; masks as PNG beside them."""

    id: Literal["original", "png", "jpeg", "tiff"]
    title: str
    keeps: str
    inside: str = "images"

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the image and the masks of its plane."""
        image = schema.first(FieldKind.IMAGE)
        if image is None or not self._holds(image):
            return ()
        return (image.name, *(spec.name for spec in schema.fields if _is_flat_mask(spec)))

    def _holds(self, image: FieldSpec) -> bool:
        if self.id == "original":
            return is_encoded(image)
        if self.id == "tiff":
            return True
        deep = image.dtype == "uint16" and self.id == "png"
        return (image.dtype in {"uint8", "bytes"} or deep) and image.shape[0] in {1, 3}

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write the picture and its masks."""
        image, *masks = self.fields(record.schema)
        if not record.has(image):
            raise DataError("it has no picture")
        files = [self._write_image(record, image, base)]
        for name in masks:
            if record.has(name):
                folder = record.root / name / base.parent.relative_to(record.root / self.inside)
                folder.mkdir(parents=True, exist_ok=True)
                files.append(_write_mask(folder / f"{base.name}.png", record.array(name)))
        return files

    def _write_image(self, record: OneRecord, field: str, base: Path) -> Path:
        if self.id == "original":
            data = record.dataset.encoded(field, [record.number])[0]
            kind = sniff(data[:32])
            path = base.with_name(base.name + _SUFFIXES.get(kind, f".{kind or 'bin'}"))
            path.write_bytes(data)
            return path
        values = record.array(field)
        if self.id == "png":
            return write_png(base.with_name(base.name + ".png"), values)
        if self.id == "tiff":
            path = base.with_name(base.name + ".tif")
            plain = values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))
            photometric = "rgb" if len(values) in {3, 4} else "minisblack"
            tifffile.imwrite(path, plain, photometric=photometric, compression="deflate", metadata=None)
            return path
        plain = values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))
        path = base.with_name(base.name + ".jpg")
        Image.fromarray(plain).save(path, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        return path


def _is_flat_mask(spec: FieldSpec) -> bool:
    return spec.kind is FieldKind.MASK and len(spec.shape) == 2


def _write_mask(path: Path, values: Array) -> Path:
    lowest, highest = int(values.min(initial=0)), int(values.max(initial=0))
    if lowest < 0 or highest > 65535:
        raise DataError(f"its mask holds {lowest if lowest < 0 else highest}, which PNG cannot hold")
    return write_png(path, values.astype(np.uint8 if highest < 256 else np.uint16))


@dataclass(frozen=True)
class PairFormat(Format):
    """Pairs of pictures as left and right."""

    id: str = "png"
    title: str = "PNG files, left and right"
    keeps: str = "Both pictures, without loss."
    inside: str = ""

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the pair."""
        pair = schema.first(FieldKind.PAIR)
        fits = pair is not None and pair.dtype in {"uint8", "uint16"} and pair.shape[1] in {1, 3}
        return (pair.name,) if pair is not None and fits else ()

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write both pictures."""
        (name,) = self.fields(record.schema)
        if not record.has(name):
            raise DataError("it has no pair")
        left, right = record.array(name)
        return [
            write_png(base.with_name(f"{base.name}_left.png"), left),
            write_png(base.with_name(f"{base.name}_right.png"), right),
        ]


@dataclass(frozen=True)
class ChannelsFormat(Format):
    """Channels as OME-TIFF with their names and the size of a pixel."""

    id: str = "ome-tiff"
    title: str = "OME-TIFF"
    keeps: str = "Values, names of the channels and the size of a pixel."
    inside: str = ""

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the channels."""
        spec = schema.first(FieldKind.CHANNELS)
        return (spec.name,) if spec is not None and spec.dtype != "float16" else ()

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write one file."""
        (field,) = self.fields(record.schema)
        if not record.has(field):
            raise DataError("it has no channels")
        values = record.array(field)
        spec = record.schema.get(field)
        assert spec is not None
        path = base.with_name(base.name + ".ome.tif")
        metadata: dict[str, object] = {"axes": "CYX", "Channel": {"Name": self._names(record, spec, len(values))}}
        spacing = record.beside(field, "spacing_mm")
        sizes = np.asarray(spec.spacing_mm if spacing is None else spacing, np.float64)
        if sizes.size >= 2 and np.isfinite(sizes[-2:]).all():
            metadata |= {"PhysicalSizeY": 1000 * float(sizes[-2]), "PhysicalSizeYUnit": "µm"}
            metadata |= {"PhysicalSizeX": 1000 * float(sizes[-1]), "PhysicalSizeXUnit": "µm"}
        stored = values.astype(np.uint8) if values.dtype == np.bool_ else values
        tifffile.imwrite(path, stored, ome=True, photometric="minisblack", compression="deflate", metadata=metadata)
        return [path]

    @staticmethod
    def _names(record: OneRecord, spec: FieldSpec, count: int) -> list[str]:
        told = record.beside(spec.name, "names")
        if told is None:
            return list(spec.channels) or [f"channel {number}" for number in range(count)]
        companion_spec = record.schema.get(f"{spec.name}_names")
        classes = companion_spec.classes if companion_spec is not None else ()
        return [
            classes[code] if 0 <= code < len(classes) else f"channel {place}"
            for place, code in enumerate(told.tolist())
        ]
