"""Random clips, blocks, slices and crops: out of a dataset against out of the source files with the usual libraries.

Both sides read the very same places, on one thread, with their files in the system's cache; what they read is compared
before it is timed. "first read" counts the checksums that a dataset verifies once, "later" is every read after that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.bench.timing import in_turns, row
from engine.data.batch import Batch
from engine.data.importers import run_import
from engine.data.loader import Loader
from engine.data.store import Dataset
from engine.data.windows import Window
from engine.errors import SelfsightError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import FieldKind, Need

BATCH = 8
RUNS = 7
SEED = 0
OPTIONS = ImportOptions(labels="none", drop_duplicates=False, val_share=0.0)

Box = dict[str, tuple[int, int]]  # letter of an axis → first sample, one beyond the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way of reading parts of records, and the files to read them from."""

    title: str
    unit: str
    kind: FieldKind
    window: Mapping[str, int]
    write: Callable[[Path], None]  # the source files into an empty folder
    read: Callable[[Path, Box], Array]  # the reference: a part of a file, in the order of axes of our records
    peer: str


def bench_reads(readings: tuple[Reading, ...] | None = None) -> list[dict[str, Any]]:
    """Measure parts a second of every kind of record, at the first read and later."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as name:
            made: dict[Callable[[Path], None], tuple[Path, Path]] = {}
            rows = []
            for reading in readings or READINGS:
                if reading.write not in made:
                    made[reading.write] = _make(Path(name) / f"source{len(made)}", reading.write)
                rows += _measure(reading, *made[reading.write])
            return rows
    finally:
        torch.set_num_threads(threads)


def _make(folder: Path, write: Callable[[Path], None]) -> tuple[Path, Path]:
    folder.mkdir()
    write(folder)
    path = folder.with_suffix(".h5")
    run_import([folder], OPTIONS, path, lambda *_: None)
    return folder, path


def _measure(reading: Reading, folder: Path, path: Path) -> list[dict[str, Any]]:
    needs = (Need(kinds=(reading.kind,)),)
    window = Window(size=reading.window)
    loaders = []
    for _ in range(RUNS + 2):  # one for each first read
        dataset = Dataset.open(path)
        key = needs[0].key
        loaders.append(Loader(dataset, needs, batch_size=BATCH, seed=SEED, windows={key: window}, prefetch=0))
    files = {file.name.partition(".")[0]: file for file in folder.iterdir()}
    names = [files[Path(str(name)).name.partition(".")[0]] for name in dataset.column("name")]
    plans = [_places(loaders[0].batch(step), names) for step in range(RUNS + 1)]

    def peer_at(step: int) -> list[Array]:
        return [reading.read(file, box) for file, box in plans[step]]

    _require_same(reading.title, loaders[0].batch(0), peer_at(0))
    rows = []
    for what in ("first read", "later"):
        ours_steps, peer_steps = iter(range(RUNS + 1)), iter(range(RUNS + 1))

        def ours(what: str = what, steps: Any = ours_steps) -> object:
            step = next(steps)
            return loaders[step + 1 if what == "first read" else 0].batch(step)

        def peer(steps: Any = peer_steps) -> object:
            return torch.from_numpy(np.stack(peer_at(next(steps))))

        rows.append(row(f"{reading.title}, {what}", BATCH, reading.unit, in_turns(ours, peer, runs=RUNS), reading.peer))
    for loader in loaders:
        loader.close()
    return rows


def _places(batch: Batch, files: list[Path]) -> list[tuple[Path, Box]]:
    """Return for every record of a batch its file and where its window lies."""
    (places,) = batch.places.values()
    return [
        (
            files[record],
            {
                letter: (first, first + side)
                for letter, first, side in zip(places.axes, offset, places.size, strict=True)
            },
        )
        for record, offset in zip(batch.index.tolist(), places.offset[:, 0].tolist(), strict=True)
    ]


def _require_same(title: str, batch: Batch, reference: list[Array]) -> None:
    (ours,) = (batch[key].numpy() for key in batch.places)
    if not np.array_equal(ours, np.stack(reference)):
        raise SelfsightError(f"{title}: a dataset gives other values than the source files.", "This is a defect.")


# ── clips ────────────────────────────────────────────────────────────────────────────────────────────


def write_videos(folder: Path, count: int = 8, frames: int = 64, side: tuple[int, int] = (180, 240)) -> None:
    """Write H.264 videos of moving coarse texture, a key frame every 12 frames."""
    import av

    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        scene = np.asarray(Image.fromarray(coarse).resize((2 * side[1], side[0]), Image.Resampling.BICUBIC))
        with av.open(str(folder / f"video{number:03d}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"g": "12", "crf": "20"})
            stream.width, stream.height, stream.pix_fmt = side[1], side[0], "yuv420p"
            for frame in range(frames):
                picture = np.ascontiguousarray(np.roll(scene, 2 * frame, axis=1)[:, : side[1]])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))


def read_video(file: Path, box: Box) -> Array:
    """Return frames of a part of the picture, (T, 3, H, W): sought by time, decoded from the key frame before."""
    import av

    (first, stop), (top, bottom), (left, right) = box["T"], box["H"], box["W"]
    found = []
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        rate, base = stream.average_rate, stream.time_base
        if rate is None or base is None:
            raise SelfsightError(f"{file.name} does not say its rate.", "")
        container.seek(int(first / rate / base), stream=stream)
        for frame in container.decode(stream):
            place = round(((frame.pts or 0) - (stream.start_time or 0)) * base * rate)
            if place >= stop:
                break
            if place >= first:
                found.append(frame.to_ndarray(format="rgb24")[top:bottom, left:right].transpose(2, 0, 1))
    return np.stack(found)


# ── volumes ──────────────────────────────────────────────────────────────────────────────────────────


def write_volumes(folder: Path, count: int = 8, side: int = 144) -> None:
    """Write compressed NIfTI files of coarse, noisy int16 voxels, as scanners give them."""
    import nibabel

    for number in range(count):
        draws = np.random.default_rng(number)
        coarse = draws.integers(0, 900, (side // 24,) * 3).astype(np.int16)
        voxels = coarse.repeat(24, 0).repeat(24, 1).repeat(24, 2)
        voxels += draws.integers(0, 16, voxels.shape, dtype=np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 2.0, 1.0])), folder / f"case{number:03d}.nii.gz")


def read_volume(file: Path, box: Box) -> Array:
    """Return a block, (1, D, H, W), as nibabel slices a file."""
    import nibabel

    image: Any = nibabel.load(file)
    whole = dict(zip("WHD", image.shape, strict=True))
    part = image.dataobj[tuple(slice(*box.get(letter, (0, whole[letter]))) for letter in "WHD")]
    return np.asarray(part).transpose(2, 1, 0)[None]


# ── large pictures ───────────────────────────────────────────────────────────────────────────────────


def write_channels(folder: Path, count: int = 6, channels: int = 4, side: int = 1536) -> None:
    """Write tiled, compressed OME-TIFF files of uint16 channels."""
    import tifffile

    for number in range(count):
        draws = np.random.default_rng(number)
        planes = [
            np.asarray(Image.fromarray(draws.integers(0, 4000, (24, 24)).astype(np.float32)).resize((side, side)))
            + draws.integers(0, 64, (side, side))
            for _ in range(channels)
        ]
        metadata = {"axes": "CYX", "Channel": {"Name": [f"stain{each}" for each in range(channels)]}}
        tifffile.imwrite(
            folder / f"field{number:03d}.ome.tif",
            np.stack(planes).astype(np.uint16),
            ome=True,
            tile=(256, 256),
            compression="zlib",
            metadata=metadata,
        )


def read_channels(file: Path, box: Box) -> Array:
    """Return a crop of all channels, (C, H, W): only the tiles that it touches are decompressed."""
    import tifffile
    import zarr

    with tifffile.imread(file, aszarr=True) as store:
        image: Any = zarr.open(store, mode="r")
        return np.asarray(image[:, slice(*box["H"]), slice(*box["W"])])


def write_pictures(folder: Path, count: int = 8, side: tuple[int, int] = (1536, 2048)) -> None:
    """Write large photographs as JPEG."""
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((side[1], side[0]), Image.Resampling.BICUBIC)
        picture.save(folder / f"photo{number:03d}.jpg", quality=90)


def read_picture(file: Path, box: Box) -> Array:
    """Return a crop, (3, H, W)."""
    (top, bottom), (left, right) = box["H"], box["W"]
    with Image.open(file) as image:
        return np.asarray(image.crop((left, top, right, bottom))).transpose(2, 0, 1)


READINGS = (
    Reading(
        title="clips of 16 frames of 112 px",
        unit="clips/s",
        kind=FieldKind.CLIP,
        window={"T": 16, "H": 112, "W": 112},
        write=write_videos,
        read=read_video,
        peer="PyAV, MP4, seek",
    ),
    Reading(
        title="blocks of 64³ voxels",
        unit="blocks/s",
        kind=FieldKind.VOLUME,
        window={"D": 64, "H": 64, "W": 64},
        write=write_volumes,
        read=read_volume,
        peer="nibabel, .nii.gz",
    ),
    Reading(
        title="slices of volumes",
        unit="slices/s",
        kind=FieldKind.VOLUME,
        window={"D": 1},
        write=write_volumes,
        read=read_volume,
        peer="nibabel, .nii.gz",
    ),
    Reading(
        title="crops of 224 px, 4 channels",
        unit="crops/s",
        kind=FieldKind.CHANNELS,
        window={"H": 224, "W": 224},
        write=write_channels,
        read=read_channels,
        peer="tifffile and zarr, tiled OME-TIFF",
    ),
    Reading(
        title="crops of 224 px, photographs",
        unit="crops/s",
        kind=FieldKind.IMAGE,
        window={"H": 224, "W": 224},
        write=write_pictures,
        read=read_picture,
        peer="Pillow, JPEG",
    ),
)
