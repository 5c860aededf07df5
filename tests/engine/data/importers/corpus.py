"""Five hundred files of many formats, one folder for each kind, of which 26 are bad; written by reference libraries."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
import h5py
import nibabel
import numpy as np
import soundfile
import tifffile

from engine.protocol.inspections import Array
from tests.engine.data.importers.dicom_files import uid, write_series
from tests.engine.data.making import encoded


@dataclass(slots=True)
class Heap:
    """A folder of one kind: how many files and records it should give, and the bad files with a word of the reason."""

    folder: Path
    importer: str
    files: int = 0
    records: int = 0
    bad: dict[str, str] = field(default_factory=dict)  # path as it is named → part of the reason

    def spoil(self, name: str, data: bytes, reason: str) -> None:
        """Write a file that cannot be read."""
        (self.folder / name).write_bytes(data)
        self.bad[name] = reason
        self.files += 1


def write_corpus(root: Path) -> Mapping[str, Heap]:
    """Write all of it; returns the heaps by their names."""
    heaps = {}
    for name, (importer, write) in _WRITERS.items():
        heaps[name] = Heap(root / name, importer)
        heaps[name].folder.mkdir(parents=True)
        write(heaps[name])
    return heaps


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _halved(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: len(data) // 2]


def _png_bomb() -> bytes:
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    for chunk in (b"IHDR" + header, b"IDAT" + zlib.compress(bytes(1000)), b"IEND"):
        data += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data


def _images(heap: Heap) -> None:
    kinds = {"jpg": "JPEG", "png": "PNG", "bmp": "BMP", "webp": "WEBP", "tif": "TIFF"}
    for number in range(160):
        suffix = list(kinds)[number % 5]
        (heap.folder / f"{number:03d}.{suffix}").write_bytes(encoded(number, kinds[suffix], (48, 36)))
    (heap.folder / "other-suffix.jpg").write_bytes(encoded(500, "PNG", (48, 36)))  # read by its content
    heap.files = heap.records = 161
    heap.spoil("cut.jpg", encoded(501, "JPEG", (200, 200))[:900], "truncated")
    heap.spoil("cut.png", _halved(heap.folder / "001.png"), "truncated")
    heap.spoil("zero.png", b"", "empty")
    heap.spoil("text.jpg", b"this is not a picture", "not an image")
    heap.spoil("bomb.png", _png_bomb(), "decompression bomb")


def _dicom(heap: Heap) -> None:
    for number in range(5):
        voxels = _random(number).integers(0, 2000, (12, 16, 18)).astype(np.int16)
        write_series(heap.folder, voxels, names=f"mixed-{number}-{{level:02d}}.dcm", PatientID=f"MRN-{number}",
                     SeriesInstanceUID=uid(f"s{number}"))  # fmt: skip
    gaps = [0, 1, 2, 7, 8, 9, 10, 11]  # four slices in a row are missing
    write_series(heap.folder, _random(9).integers(0, 2000, (8, 16, 18)).astype(np.int16), names="gap-{level:02d}.dcm",
                 SeriesInstanceUID=uid("gap"), levels=[float(level) for level in gaps])  # fmt: skip
    heap.files, heap.records = 68, 5
    heap.bad["gap-00.dcm and 7 more files"] = "4 slices missing"
    good = (heap.folder / "mixed-0-00.dcm").read_bytes()
    heap.spoil("zero.dcm", b"", "is not a DICOM file")
    heap.spoil("text.dcm", b"not DICOM" * 40, "is not a DICOM file")
    heap.spoil("cut.dcm", good[:200], "has no picture")
    large = write_series(heap.folder, np.zeros((1, 4, 4), np.int16), names="bomb.dcm", SeriesInstanceUID=uid("bomb"),
                         Rows=65_535, Columns=65_535, NumberOfFrames=60_000)  # fmt: skip
    heap.spoil("bomb.dcm", large[0].read_bytes(), "are the most")


def _volumes(heap: Heap) -> None:
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    for number in range(50):
        voxels = _random(number).integers(0, 900, (14, 12, 10)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, affine), heap.folder / f"case{number:02d}.nii.gz")
    heap.files = heap.records = 50
    broken = _random(60).normal(size=(14, 12, 10)).astype(np.float32)
    broken[2, 3, 4] = np.nan
    nibabel.save(nibabel.Nifti1Image(broken, affine), heap.folder / "nan.nii.gz")
    heap.spoil("nan.nii.gz", (heap.folder / "nan.nii.gz").read_bytes(), "NaN")
    packed = bytearray((heap.folder / "case00.nii.gz").read_bytes())
    packed[len(packed) // 2] ^= 0xFF
    heap.spoil("gzip.nii.gz", bytes(packed), "damaged")
    heap.spoil("cut.nii.gz", _halved(heap.folder / "case01.nii.gz"), "truncated")
    header = bytearray(gzip.decompress((heap.folder / "case02.nii.gz").read_bytes()))
    header[42:48] = struct.pack("<hhh", 30_000, 30_000, 30_000)
    heap.spoil("bomb.nii.gz", gzip.compress(bytes(header)), "are the most")


def _videos(heap: Heap) -> None:
    for number in range(12):
        with av.open(str(heap.folder / f"clip{number:02d}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            for picture in _random(number).integers(0, 256, (12, 4, 6, 3), np.uint8).repeat(8, 1).repeat(8, 2):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    heap.files = heap.records = 12
    heap.spoil("cut.mp4", _halved(heap.folder / "clip00.mp4"), "not a video")
    heap.spoil("text.mp4", b"not a video at all", "not a video")


def _channels(heap: Heap) -> None:
    for number in range(40):
        planes = _random(number).integers(0, 4096, (4, 24, 28)).astype(np.uint16)
        tifffile.imwrite(heap.folder / f"cell{number:02d}.ome.tif", planes, ome=True, metadata={"axes": "CYX"})
    heap.files = heap.records = 40
    heap.spoil("cut.ome.tif", _halved(heap.folder / "cell00.ome.tif"), "cut")
    heap.spoil("zero.ome.tif", b"", "empty")


def _ply(rows: Array, count: int | None = None) -> bytes:
    names = "".join(f"property float {name}\n" for name in ("x", "y", "z", "intensity"))
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows) if count is None else count}\n{names}"
    return head.encode() + b"end_header\n" + rows.astype("<f4").tobytes()


def _points(heap: Heap) -> None:
    for number in range(50):
        (heap.folder / f"cloud{number:02d}.ply").write_bytes(_ply(_random(number).normal(size=(60 + number, 4))))
    heap.files = heap.records = 50
    rows = _random(99).normal(size=(40, 4))
    heap.spoil("bomb.ply", _ply(rows, 4_000_000_000), "is cut")
    heap.spoil("cut.ply", _ply(rows)[:-7], "is cut")
    rows[3, 1] = np.nan
    heap.spoil("nan.ply", _ply(rows), "NaN")


def _arrays(heap: Heap) -> None:
    for number in range(40):
        with h5py.File(heap.folder / f"part{number:02d}.h5", "w") as file:
            file["x"] = _random(number).integers(0, 256, (3, 12, 12, 3), np.uint8)
            file["y"] = np.arange(3)
    heap.files, heap.records = 40, 120
    with h5py.File(heap.folder / "outside.h5", "w") as file:
        file["x"] = h5py.ExternalLink("part00.h5", "/x")
        file["y"] = np.arange(3)
    heap.spoil("outside.h5", (heap.folder / "outside.h5").read_bytes(), "link to another file")
    with h5py.File(heap.folder / "raw.h5", "w") as file:
        file.create_dataset("x", (3, 12, 12, 3), "u1", external=[("part00.h5", 0, 1296)])
        file["y"] = np.arange(3)
    heap.spoil("raw.h5", (heap.folder / "raw.h5").read_bytes(), "in another file")
    heap.spoil("cut.h5", _halved(heap.folder / "part00.h5"), "truncated")


def _stacks(heap: Heap) -> None:
    for number in range(20):
        np.savez(heap.folder / f"set{number:02d}.npz", x=_random(number).integers(0, 256, (4, 10, 10, 3), np.uint8))
    heap.files, heap.records = 20, 80
    np.savez(heap.folder / "pickled.npz", x=np.array([{}, {}], dtype=object))
    heap.spoil("pickled.npz", (heap.folder / "pickled.npz").read_bytes(), "never loaded")


def _texts(heap: Heap) -> None:
    for number in range(20):
        rows = [f"{row},a sentence with the number {row} of file {number}" for row in range(5)]
        (heap.folder / f"notes{number:02d}.csv").write_text("\n".join(["id,text", *rows]) + "\n")
    heap.files, heap.records = 20, 100
    heap.spoil("binary.csv", b"id,text\n1,abc\0def\n", "zero bytes")


def _bags(heap: Heap) -> None:
    for number in range(10):
        with h5py.File(heap.folder / f"slide{number:02d}.h5", "w") as file:
            file["features"] = _random(number).normal(size=(20 + number, 16)).astype(np.float32)
            file["coords"] = _random(number).integers(0, 9000, (20 + number, 2))
    heap.files = heap.records = 10


def _motion(heap: Heap) -> None:
    for number in range(4):
        lines = ["HIERARCHY", "ROOT hips", "{", "OFFSET 0 0 0",
                 "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation", "JOINT head", "{",
                 "OFFSET 0 10 0", "CHANNELS 3 Zrotation Xrotation Yrotation", "End Site", "{", "OFFSET 0 5 0", "}", "}",
                 "}", "MOTION", "Frames: 120", "Frame Time: 0.033333"]  # fmt: skip
        lines += [" ".join(f"{value:.3f}" for value in row) for row in _random(number).normal(size=(120, 9))]
        (heap.folder / f"talk{number}.bvh").write_text("\n".join(lines) + "\n")
        soundfile.write(heap.folder / f"talk{number}.wav", _random(number).normal(size=64_000) * 0.1, 16_000)
    heap.files, heap.records = 8, 4


_WRITERS: dict[str, tuple[str, Callable[[Heap], None]]] = {
    "images": ("images", _images),
    "dicom": ("DICOM series", _dicom),
    "volumes": ("volume files", _volumes),
    "videos": ("clips", _videos),
    "channels": ("channels", _channels),
    "points": ("points", _points),
    "arrays": ("arrays", _arrays),
    "stacks": ("arrays", _stacks),
    "texts": ("texts", _texts),
    "bags": ("bags", _bags),
    "motion": ("speech and motion", _motion),
}
HEAPS = tuple(_WRITERS)
