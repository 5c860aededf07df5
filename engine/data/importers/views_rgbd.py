"""Sequences of colour and depth with poses: in the manner of TUM RGB-D, and of ScanNet's export."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np

from engine.data.importers.image_survey import IMAGE_SUFFIXES
from engine.data.importers.naming import natural
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.views_frames import Frame, Scene, is_pose, pinhole, pose_of, read_side_file, rotation_of
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import Skipped

_COLOUR_FOLDERS = ("color", "colour", "rgb", "image", "images")
_LATEST_S = 0.02  # between a picture and its pose or depth
_TUM_CAMERAS = {  # of the three sensors, by what folders are called
    "freiburg1": pinhole(517.3, 516.5, 318.6, 255.3),
    "freiburg2": pinhole(520.9, 521.0, 325.1, 249.7),
    "freiburg3": pinhole(535.4, 539.2, 320.1, 247.6),
}
_TUM_DEFAULT = pinhole(525.0, 525.0, 319.5, 239.5)


def tum_folders(listing: Listing) -> list[str]:
    """Return the folders with the lists of TUM RGB-D."""
    names = {entry.name for entry in listing.entries if entry.suffix == ".txt"}
    folders = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] == "groundtruth.txt"}
    return sorted(folder for folder in folders if _join(folder, "rgb.txt") in names)


def scan_folders(listing: Listing) -> dict[str, str]:
    """Return the folders that hold pose/, and what the folder of colour beside it is called."""
    found: dict[str, set[str]] = {}
    for entry in listing.entries:
        parts = entry.name.split("/")
        if len(parts) >= 2 and parts[-2] in {"pose", "poses", *_COLOUR_FOLDERS}:
            found.setdefault("/".join(parts[:-2]), set()).add(parts[-2])
    colours = {
        folder: next((name for name in _COLOUR_FOLDERS if name in inside), "") for folder, inside in found.items()
    }
    return {
        folder: colours[folder] for folder, inside in found.items() if inside & {"pose", "poses"} and colours[folder]
    }


def read_tum(folder: str, listing: Listing) -> Scene:
    """Return the pictures of a sequence that have a pose at most 20 ms away.

    Raises:
        DataError: a list is damaged, or no picture has a pose.
    """
    entries = {entry.name: entry for entry in listing.entries}
    lists = [_join(folder, name) for name in ("rgb.txt", "depth.txt", "groundtruth.txt", "accelerometer.txt")]
    colour = _timed(entries[lists[0]])
    depth = _timed(entries[lists[1]]) if lists[1] in entries else []
    poses = _timed(entries[lists[2]])
    matrix = next((each for name, each in _TUM_CAMERAS.items() if name in folder.lower()), None)
    scene = Scene(folder or "scene", [], "m", "TUM RGB-D sequence", is_sequence=True, explained=set(lists))
    if matrix is None:
        scene.warnings.append(f"{scene.name}: the camera is not known; a focal length of 525 pixels is assumed.")
    used: set[str] = set()
    for time, words in colour:
        image = entries.get(_join(folder, words[0]))
        if image is None:
            scene.skipped.append(Skipped(path=_join(folder, words[0]), reason="is listed in rgb.txt, but not there"))
            continue
        used.add(image.name)
        pose = _nearest(poses, time)
        if pose is None:
            scene.skipped.append(Skipped(path=image.name, reason="has no pose within 20 ms"))
            continue
        near = _nearest(depth, time)
        found = entries.get(_join(folder, near[0])) if near else None
        try:
            numbers = [float(word) for word in pose[:7]]
            rotation = rotation_of([numbers[6], *numbers[3:6]])
        except (ValueError, IndexError, DataError):
            scene.skipped.append(Skipped(path=image.name, reason="its pose is damaged"))
            continue
        own = pose_of(rotation, numbers[:3])
        scene.frames.append(Frame(image, _TUM_DEFAULT if matrix is None else matrix, (640, 480), own, found, 5000.0))
    if not scene.frames:
        raise DataError("no picture has a pose")
    return scene


def read_scan(folder: str, colour: str, listing: Listing) -> Scene:
    """Return the pictures of a scan with finite poses; depth in millimetres.

    Raises:
        DataError: no picture has a pose, or the camera is not said.
    """
    inside = [entry for entry in listing.entries if entry.name.startswith(folder + "/" if folder else "")]
    entries = {entry.name: entry for entry in inside}
    by_folder: dict[str, dict[str, Entry]] = {}
    for entry in inside:
        parts = entry.name[len(folder) :].lstrip("/").split("/")
        if len(parts) == 2:
            by_folder.setdefault(parts[0], {})[PurePosixPath(parts[1]).stem] = entry
    poses = by_folder.get("pose") or by_folder.get("poses") or {}
    depth = by_folder.get("depth", {})
    scene = Scene(folder or "scene", [], "m", "RGB-D scan", is_sequence=True)
    matrix, size, name = _scan_camera(folder, entries)
    scene.explained |= {name, *(entry.name for entry in poses.values())}
    scene.explained |= {entry.name for entry in by_folder.get("intrinsic", {}).values()}
    images = {stem: entry for stem, entry in by_folder[colour].items() if entry.suffix in IMAGE_SUFFIXES}
    for stem, image in sorted(images.items(), key=lambda each: natural(each[0])):
        if stem not in poses:
            scene.skipped.append(Skipped(path=image.name, reason="has no pose"))
            continue
        try:
            pose = _matrix(poses[stem])
        except DataError as error:
            scene.skipped.append(Skipped(path=image.name, reason=f"its pose: {error.message}"))
            continue
        if not is_pose(pose):
            scene.skipped.append(Skipped(path=image.name, reason="its pose is not finite, or no rotation and position"))
            continue
        scene.frames.append(Frame(image, matrix, size, pose, depth.get(stem), 1000.0))
    if not scene.frames:
        raise DataError("no picture has a usable pose")
    return scene


def _scan_camera(folder: str, entries: Mapping[str, Entry]) -> tuple[Array, tuple[int, int], str]:
    for name in ("intrinsic/intrinsic_color.txt", "intrinsic/intrinsic_depth.txt", "intrinsics.txt", "intrinsic.txt"):
        entry = entries.get(_join(folder, name))
        if entry is not None:
            matrix = _matrix(entry)
            if matrix.shape not in {(3, 3), (4, 4)} or not matrix[0, 0] > 0:
                raise DataError(f"{entry.name} is no camera of 3 × 3 or 4 × 4 numbers")
            return matrix[:3, :3], (640, 480) if name.endswith("depth.txt") else (0, 0), entry.name
    raise DataError("the camera is not said: there is no intrinsic/intrinsic_color.txt or intrinsics.txt")


def _matrix(entry: Entry) -> Array:
    try:
        rows = [[float(word) for word in line.split()] for line in read_side_file(entry).decode().splitlines()]
        return np.array([row for row in rows if row], np.float64)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{entry.name} is no matrix of numbers") from error


def _timed(entry: Entry) -> list[tuple[float, list[str]]]:
    found = []
    try:
        for line in read_side_file(entry).decode("utf-8", "replace").splitlines():
            words = line.split()
            if words and not line.startswith("#"):
                found.append((float(words[0]), words[1:]))
    except ValueError as error:
        raise DataError(f"{entry.name} is no list of times and files") from error
    return sorted(found, key=lambda each: each[0])


def _nearest(rows: list[tuple[float, list[str]]], time: float) -> list[str] | None:
    place = bisect.bisect_left(rows, time, key=lambda each: each[0])
    near = [row for row in rows[max(0, place - 1) : place + 1] if abs(row[0] - time) <= _LATEST_S and row[1]]
    return min(near, key=lambda row: abs(row[0] - time))[1] if near else None


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
