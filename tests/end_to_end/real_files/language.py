"""Texts, images with texts, speech with motion, and arrays of any layout."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import zarr
from PIL import Image

from engine.protocol.schema import FieldKind
from tests.end_to_end.real_files.making import RealFiles, photograph, sample

HEAD = """HIERARCHY
ROOT Hips
{
  OFFSET 0 95 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Spine
  {
    OFFSET 0 45 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT Head
    {
      OFFSET 0 22 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 0 18 0
      }
    }
%s  }
%s}
MOTION
Frames: %d
Frame Time: 0.04
%s
"""
LIMB = """    JOINT {side}{upper}
    {{
      OFFSET {x} {y} 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      JOINT {side}{lower}
      {{
        OFFSET {dx} {dy} 0
        CHANNELS 3 Zrotation Xrotation Yrotation
        End Site
        {{
          OFFSET {dx} {dy} 0
        }}
      }}
    }}
"""


def text_tables(folder: Path) -> None:
    """Write texts as CSV, JSON lines and Parquet."""
    texts = [str(text) for text in sample("sentences")["text"][:300]]
    (folder / "a.csv").write_text("text,topic\n" + "".join(f'"{text}",{n % 3}\n' for n, text in enumerate(texts[:100])))
    (folder / "b.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts[100:200]))
    pq.write_table(pa.table({"text": texts[200:]}), folder / "c.parquet")


def plain_text(folder: Path) -> None:
    """Write reports as plain text, one a file."""
    for number, text in enumerate(sample("reports")["report"][:12]):
        (folder / f"report{number:02d}.txt").write_text(f"FINDINGS\n\n{text}\n\nIMPRESSION\n\nSee above.\n" * 6)


def images_with_texts(folder: Path) -> None:
    """Write images with captions beside them."""
    for name, text in (
        ("coffee.png", "A cup of coffee with milk foam on a saucer.\nAn espresso spoon beside a cup."),
        ("astronaut.png", "A woman in an orange space suit smiles.\nA portrait before a flag and a shuttle."),
        ("rocket.jpg", "A rocket stands on its pad at dusk.\nA launch tower with lightning masts."),
    ):
        Image.fromarray(photograph(name)).save(folder / f"{Path(name).stem}.png")
        (folder / f"{Path(name).stem}.txt").write_text(text)


def webdataset(folder: Path) -> None:
    """Write a WebDataset shard."""
    columns = sample("captions")
    with tarfile.open(folder / "shard-000.tar", "w") as archive:
        for number in range(30):
            image = io.BytesIO()
            Image.fromarray(columns["image"][number].transpose(1, 2, 0)).resize((128, 128)).save(image, "PNG")
            parts = {"png": image.getvalue(), "txt": str(columns["text"][number]).encode()}
            for suffix, data in parts.items():
                member = tarfile.TarInfo(f"{number:06d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def bvh(seconds: float, seed: int) -> str:
    """Return a body that walks on the spot and waves, at 25 Hz."""
    arms = "".join(LIMB.format(side=side, upper="Arm", lower="Hand", x=8 * way, y=10, dx=28 * way, dy=0)
                   for side, way in (("Right", -1), ("Left", 1)))  # fmt: skip
    legs = "".join(LIMB.format(side=side, upper="Leg", lower="Foot", x=9 * way, y=-4, dx=0, dy=-44)
                   for side, way in (("Right", -1), ("Left", 1)))  # fmt: skip
    time = np.arange(round(seconds * 25)) / 25
    # root: place, turn; spine; head; right arm, hand; left arm, hand; right leg, foot; left leg, foot
    angles = np.zeros((len(time), 6 + 3 * 10))
    angles[:, 1] = 2 * np.abs(np.sin(2 * np.pi * time))
    angles[:, 12] = 60 + 20 * np.sin(2 * np.pi * 0.7 * time + seed)
    angles[:, 15] = 40 * np.sin(2 * np.pi * 1.5 * time)
    angles[:, 18] = -30 - 50 * (np.sin(2 * np.pi * 0.5 * time) > 0) * np.abs(np.sin(2 * np.pi * 0.5 * time))
    angles[:, 21] = 50 * np.sin(2 * np.pi * 2.0 * time)
    angles[:, 25], angles[:, 31] = 25 * np.sin(2 * np.pi * time), -25 * np.sin(2 * np.pi * time)
    angles[:, 28], angles[:, 34] = 20 + 20 * np.sin(2 * np.pi * time), 20 - 20 * np.sin(2 * np.pi * time)
    rows = "\n".join(" ".join(f"{value:.4f}" for value in row) for row in angles)
    return HEAD % (arms, legs, len(time), rows)


def speech(seconds: float, seed: int, rate: int = 16_000) -> np.ndarray[Any, Any]:
    """Return syllables (n,) in ±1."""
    time = np.arange(round(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 25 * np.sin(2 * np.pi * 0.6 * time + seed)) / rate
    voice = sum(np.sin(number * pitch) / number for number in range(1, 9))
    loudness = np.clip(np.sin(2 * np.pi * 1.6 * time + seed), 0, 1) ** 0.5
    return np.asarray(0.3 * voice * loudness, np.float32)


def talks(folder: Path) -> None:
    """Write sound, motion and a transcript of each talk."""
    for number in range(2):
        soundfile.write(folder / f"talk{number}.wav", speech(8.0, number), 16_000)
        (folder / f"talk{number}.bvh").write_text(bvh(8.0, number))
        words = ["we", "lift", "both", "hands", "and", "then", "we", "wave", "to", "the", "people"]
        rows = [f"{0.3 + 0.6 * n:.2f},{0.75 + 0.6 * n:.2f},{word}" for n, word in enumerate(words)]
        (folder / f"talk{number}.csv").write_text("start,end,word\n" + "\n".join(rows))


def any_hdf5(folder: Path) -> None:
    """Write a layout of nobody's standard."""
    columns = sample("captions")
    with h5py.File(folder / "mine.h5", "w") as file:
        file["stuff/pictures"] = columns["image"][:60].transpose(0, 2, 3, 1)
        file["stuff/answer"] = columns["label"][:60]


def any_zarr(folder: Path) -> None:
    """Write a Zarr group of volumes."""
    group = zarr.open_group(str(folder / "mine.zarr"), mode="w", zarr_format=2)
    values = sample("phantoms")["volume"][:6, 0]
    stored = group.create_array("scans", shape=values.shape, chunks=(1, *values.shape[1:]), dtype=values.dtype)
    stored[...] = values


LANGUAGE = (
    RealFiles("text-tables", FieldKind.TEXT, text_tables, "TextViewer", asked="text", fast=True),
    RealFiles("reports", FieldKind.TEXT, plain_text, "TextViewer", asked="text", settings={"divide": "file"}),
    RealFiles("images-texts", FieldKind.IMAGE, images_with_texts, "ImageViewer"),
    RealFiles("webdataset", FieldKind.IMAGE, webdataset, "ImageViewer"),
    RealFiles("talks", FieldKind.WAVEFORM, talks, "WaveformViewer", fast=True),
    RealFiles("hdf5", FieldKind.IMAGE, any_hdf5, "ImageViewer", asked="arrays"),
    RealFiles("zarr", FieldKind.VOLUME, any_zarr, "VolumeViewer", asked="arrays"),
)
