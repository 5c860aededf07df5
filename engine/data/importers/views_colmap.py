"""COLMAP models, text and binary: cameras, and pictures with poses and the points they show."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.data.importers.sources import Entry, Listing
from engine.data.importers.views_frames import Frame, Scene, pinhole, pose_of, read_side_file, rotation_of
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import Skipped

# model: (number of parameters, places of fx, fy, cx, cy, first parameter of distortion)
_MODELS = {
    "SIMPLE_PINHOLE": (3, (0, 0, 1, 2)),
    "PINHOLE": (4, (0, 1, 2, 3)),
    "SIMPLE_RADIAL": (4, (0, 0, 1, 2)),
    "RADIAL": (5, (0, 0, 1, 2)),
    "OPENCV": (8, (0, 1, 2, 3)),
    "OPENCV_FISHEYE": (8, (0, 1, 2, 3)),
    "FULL_OPENCV": (12, (0, 1, 2, 3)),
    "FOV": (5, (0, 1, 2, 3)),
    "SIMPLE_RADIAL_FISHEYE": (4, (0, 0, 1, 2)),
    "RADIAL_FISHEYE": (5, (0, 0, 1, 2)),
    "THIN_PRISM_FISHEYE": (12, (0, 1, 2, 3)),
}
_NUMBERS = tuple(_MODELS)  # a binary file says the place in this order
_MOST_POINTS = 50_000_000


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera of a model."""

    model: str
    size: tuple[int, int]  # width, height
    intrinsics: Array
    distortion: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Posed:
    """One picture of a model."""

    name: str
    camera: int
    pose: Array  # camera → world
    seen: frozenset[int]


def models_of(listing: Listing) -> list[tuple[Entry, Entry]]:
    """Return the cameras and images files of every model, binary before text."""
    by_name = {entry.name: entry for entry in listing.entries if entry.suffix in {".bin", ".txt"}}
    found: list[tuple[Entry, Entry]] = []
    folders: set[str] = set()
    for suffix in (".bin", ".txt"):
        for name, entry in by_name.items():
            folder, _, last = name.rpartition("/")
            images = by_name.get(f"{folder}/images{suffix}".lstrip("/"))
            if last == f"cameras{suffix}" and images is not None and folder not in folders:
                folders.add(folder)
                found.append((entry, images))
    return found


def read_model(cameras_entry: Entry, images_entry: Entry, listing: Listing) -> Scene:
    """Return the pictures of a model that are there, camera → world.

    Raises:
        DataError: the model is damaged, or none of its pictures is there.
    """
    binary = cameras_entry.suffix == ".bin"
    cameras = (_binary_cameras if binary else _text_cameras)(read_side_file(cameras_entry))
    posed = (_binary_images if binary else _text_images)(read_side_file(images_entry))
    folder = images_entry.name.rpartition("/")[0]
    index: dict[str, list[Entry]] = {}
    for entry in listing.entries:
        index.setdefault(entry.name.rpartition("/")[2], []).append(entry)
    name = folder.removesuffix("/0").removesuffix("/sparse").removesuffix("sparse") or "scene"
    scene = Scene(name, [], "", "COLMAP model", explained={cameras_entry.name, images_entry.name})
    beside = images_entry.name.rpartition(".")[0].removesuffix("images") + "points3D" + images_entry.suffix
    scene.explained.add(beside)
    bent: set[str] = set()
    for one in sorted(posed, key=lambda each: each.name):
        camera = cameras.get(one.camera)
        found = [entry for entry in index.get(one.name.rpartition("/")[2], []) if _ends_with(entry.name, one.name)]
        found = _nearest_folder(found, folder)
        if camera is None or not found:
            reason = f"there is no picture {one.name!r}" if camera else f"there is no camera {one.camera}"
            scene.skipped.append(Skipped(path=f"{images_entry.name}: {one.name}", reason=reason))
            continue
        if any(abs(value) > 1e-12 for value in camera.distortion):
            bent.add(camera.model)
        scene.frames.append(Frame(found[0], camera.intrinsics, camera.size, one.pose, seen=one.seen))
    if not scene.frames:
        raise DataError("none of the model's pictures is among the files")
    if bent:
        scene.warnings.append(
            f"{name}: the {', '.join(sorted(bent))} lens distortion is not undone here; undistort first."
        )
    scene.warnings.append(f"{name}: poses turned from world → camera to camera → world; the scale is COLMAP's own.")
    return scene


def _ends_with(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith("/" + wanted) or "/" not in wanted


def _nearest_folder(found: list[Entry], folder: str) -> list[Entry]:
    """Put the picture of the same scene first: the one that shares most of the model's folders."""
    wanted = folder.split("/")

    def shared(entry: Entry) -> int:
        pairs = zip(entry.name.split("/")[:-1], wanted, strict=False)
        return sum(1 for own, asked in pairs if own == asked)

    return sorted(found, key=lambda entry: (-shared(entry), len(entry.name)))


def _camera(model: str, width: int, height: int, values: tuple[float, ...]) -> Camera:
    count, places = _MODELS[model]
    if len(values) != count or width < 1 or height < 1:
        raise DataError(f"a {model} camera has {len(values)} parameters and {width} × {height} pixels")
    fx, fy, cx, cy = (values[place] for place in places)
    return Camera(model, (width, height), pinhole(fx, fy, cx, cy), values[max(places) + 1 :])


def _text_cameras(data: bytes) -> dict[int, Camera]:
    cameras = {}
    try:
        for line in data.decode().splitlines():
            words = line.split()
            if words and not line.startswith("#"):
                values = tuple(float(word) for word in words[4:])
                cameras[int(words[0])] = _camera(words[1], int(words[2]), int(words[3]), values)
    except (ValueError, KeyError, IndexError) as error:
        raise DataError("its cameras.txt is damaged, or has a camera of an unknown model") from error
    return cameras


def _text_images(data: bytes) -> list[Posed]:
    lines = [line for line in data.decode("utf-8", "replace").split("\n") if not line.startswith("#")]
    while lines and not lines[-1].strip():
        lines.pop()
    posed = []
    try:
        for place in range(0, len(lines), 2):  # a line of the picture, a line of its points, which may be empty
            words = lines[place].split(maxsplit=9)
            rotation = rotation_of([float(word) for word in words[1:5]])
            position = np.array([float(word) for word in words[5:8]])
            points = lines[place + 1].split()[2::3] if place + 1 < len(lines) else []
            seen = frozenset(int(word) for word in points if word != "-1")
            posed.append(Posed(words[9].strip(), int(words[8]), _inverse(rotation, position), seen))
    except (ValueError, IndexError) as error:
        raise DataError("its images.txt is damaged") from error
    return posed


def _binary_cameras(data: bytes) -> dict[int, Camera]:
    cameras = {}
    try:
        (count,) = struct.unpack_from("<Q", data)
        at = 8
        for _ in range(min(count, len(data))):
            number, model, width, height = struct.unpack_from("<iiQQ", data, at)
            name = _NUMBERS[model]
            values = struct.unpack_from(f"<{_MODELS[name][0]}d", data, at + 24)
            cameras[number] = _camera(name, width, height, values)
            at += 24 + 8 * len(values)
    except (struct.error, IndexError) as error:
        raise DataError("its cameras.bin is cut, or has a camera of an unknown model") from error
    return cameras


def _binary_images(data: bytes) -> list[Posed]:
    return list(_each_binary_image(data))


def _each_binary_image(data: bytes) -> Iterator[Posed]:
    try:
        (count,) = struct.unpack_from("<Q", data)
        at = 8
        for _ in range(min(count, len(data))):
            values = struct.unpack_from("<i7di", data, at)
            end = data.index(b"\0", at + 64)
            name = data[at + 64 : end].decode("utf-8", "replace")
            (points,) = struct.unpack_from("<Q", data, end + 1)
            at = end + 9
            if points > _MOST_POINTS or points * 24 > len(data) - at:
                raise DataError(f"its images.bin is cut: {name} has {points:,} points")
            rows = np.frombuffer(data, np.dtype([("x", "<f8"), ("y", "<f8"), ("id", "<i8")]), points, at)
            at += points * 24
            seen = frozenset(rows["id"][rows["id"] >= 0].tolist())
            yield Posed(name, values[8], _inverse(rotation_of(values[1:5]), np.array(values[5:8])), seen)
    except (struct.error, ValueError) as error:
        raise DataError("its images.bin is cut") from error


def _inverse(rotation: Array, position: Array) -> Array:
    """Return camera → world of world → camera."""
    if not np.isfinite(position).all():
        raise DataError("a pose is not finite")
    return pose_of(rotation.T, -rotation.T @ position)
