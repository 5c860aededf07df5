"""Pictures: photographs, channels, slides, bags of features, episodes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from PIL import Image

from engine.protocol.schema import FieldKind
from tests.end_to_end.real_files.making import RealFiles, photograph, sample, shipped
from tests.engine.data.importers.test_channels import ome, write_zarr

MICROMETRES = {
    "PhysicalSizeX": 0.5,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeY": 0.5,
    "PhysicalSizeYUnit": "µm",
}
STAINS = ("DNA", "ER", "RNA", "AGP")


def photographs(folder: Path) -> None:
    """Copy photographs that scikit-image ships, in two classes."""
    for label, names in {"people": ("astronaut.png",), "things": ("coffee.png", "rocket.jpg", "coins.png")}.items():
        (folder / label).mkdir()
        for name in names:
            shutil.copy(shipped("skimage", "data", name), folder / label / name)


def cells(seed: int, count: int = 4) -> np.ndarray[Any, Any]:
    """Return a field (C, H, W) uint16 of the cells of the sample `cells`, 12 × 12 of them."""
    images = [image[:4] for image in sample("cells")["image"] if len(image) >= 4]
    chosen = np.random.default_rng(seed).choice(len(images), 144)
    picked = np.stack([np.asarray(images[number], np.float32) for number in chosen]).reshape(12, 12, 4, 32, 32)
    field = picked.transpose(2, 0, 3, 1, 4).reshape(4, 384, 384)[:count]
    return (field / max(1.0, float(field.max())) * 4095).astype(np.uint16)


def ome_tiff(folder: Path) -> None:
    """Write OME-TIFF."""
    for number in range(2):
        ome(folder / f"field{number}.ome.tif", cells(number), names=STAINS, **MICROMETRES)


def imagej_tiff(folder: Path) -> None:
    """Write ImageJ hyperstacks."""
    for number in range(2):
        tifffile.imwrite(folder / f"field{number}.tif", cells(number, 3), imagej=True, metadata={"axes": "CYX"})


def ome_zarr(folder: Path) -> None:
    """Write OME-Zarr of both versions."""
    for version in ("0.4", "0.5"):
        write_zarr(folder / f"field_{version}.ome.zarr", cells(int(version[-1]), 2)[:, None], version, levels=2)


def plate(folder: Path) -> None:
    """Write a plate with one file per channel."""
    for well in ("A01", "B02"):
        for channel, values in enumerate(cells(ord(well[0]))):
            tifffile.imwrite(folder / f"exp_{well}_s1_w{channel + 1}.tif", values)


def slide(folder: Path) -> None:
    """Write a slide as Aperio does: glass with tissue of the stained section that scikit-image ships."""
    section = np.tile(photograph("ihc.png"), (4, 5, 1))
    height, width = section.shape[:2]
    y, x = np.mgrid[:height, :width]
    inside = ((x - 1300) / 1000) ** 2 + ((y - 1000) / 800) ** 2 < 1
    pixels = np.where(inside[..., None], section, np.uint8(244))
    options: dict[str, Any] = {"tile": (256, 256), "photometric": "rgb", "metadata": None}
    name = "Aperio Image Library v12.0.15\n"
    with tifffile.TiffWriter(folder / "section.svs", bigtiff=True) as file:
        said = f"{name}{width}x{height} (256x256) |AppMag = 20|MPP = 0.5"
        file.write(pixels, description=said, **options)
        file.write(pixels[::8, ::8], photometric="rgb", metadata=None, description=name)
        file.write(pixels[::4, ::4], description=f"{name}{width}x{height} -> {width // 4}x{height // 4}", **options)


def bags(folder: Path) -> None:
    """Write features and places of patches as TRIDENT and CLAM do, for two stains of each case."""
    columns = sample("stains")
    for number in range(2):
        values, where = columns["bag"][number], columns["bag_coordinates"][number]
        stain = columns["bag_stains"][number]
        for place, name in enumerate(("HE", "KI67")):
            chosen = stain == place
            if not chosen.any():
                continue
            with h5py.File(folder / f"case{number}_{name}.h5", "w") as file:
                file["features"] = values[chosen].astype(np.float32)
                coords = file.create_dataset("coords", data=np.rint(where[chosen] / 0.5).astype(np.int64))
                coords.attrs.update({"patch_size": 256, "mpp": 0.5})


def episodes(folder: Path) -> None:
    """Write pictures before, after and of the object: a cup is taken from a table."""
    table, cup = photograph("brick.png")[:192, :256], photograph("coffee.png")[60:180, 240:400]
    for number in range(3):
        before = table.copy()
        before[30 : 30 + cup.shape[0], 20 + 30 * number : 20 + 30 * number + cup.shape[1]] = cup
        for end, pixels in (("before", before), ("after", table), ("object", cup)):
            Image.fromarray(pixels).save(folder / f"scene{number}_{end}.png")


FLAT = (
    RealFiles("photographs", FieldKind.IMAGE, photographs, "ImageViewer", fast=True),
    RealFiles("ome-tiff", FieldKind.CHANNELS, ome_tiff, "ChannelsViewer"),
    RealFiles("imagej-tiff", FieldKind.CHANNELS, imagej_tiff, "ChannelsViewer", asked="channels"),
    RealFiles("ome-zarr", FieldKind.CHANNELS, ome_zarr, "ChannelsViewer"),
    RealFiles("plate", FieldKind.CHANNELS, plate, "ChannelsViewer"),
    RealFiles("slide", FieldKind.IMAGE, slide, "ImageViewer", settings={"tile_px": 256, "um_per_px": 0.5}),
    RealFiles("bags", FieldKind.BAG, bags, "BagViewer", fast=True),
    RealFiles("episodes", FieldKind.IMAGE, episodes, "ImageViewer", asked="episodes"),
)
