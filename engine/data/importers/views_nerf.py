"""Posed pictures of `transforms.json`, as NeRF, instant-ngp and nerfstudio write them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.data.importers.image_survey import IMAGE_SUFFIXES
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.views_frames import IN_WIDTHS, Frame, Scene, is_pose, pinhole, read_side_file
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import Skipped

_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # y up and z back → y down and z forward
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


def transforms_of(listing: Listing) -> list[Entry]:
    """Return the entries that are transforms, by name and first bytes."""
    return [
        entry
        for entry in listing.entries
        if entry.suffix == ".json"
        and entry.name.rpartition("/")[2].lower().startswith("transforms")
        and (bool(entry.member) or any(word in listing.head(entry) for word in (b"frames", b"camera_angle_x", b"fl_x")))
    ]


def read_transforms(entry: Entry, listing: Listing) -> Scene:
    """Return the pictures that a file of transforms names, with their cameras in OpenCV's convention.

    Raises:
        DataError: it is damaged, or names no picture that is there.
    """
    try:
        said = json.loads(read_side_file(entry))
        frames = said["frames"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError("is not a readable transforms.json") from error
    if not isinstance(frames, list):
        raise DataError("its frames are no list")
    folder = entry.name.rpartition("/")[0]
    entries = {each.name: each for each in listing.entries}
    scene = Scene(_name(entry), [], "", "transforms.json", explained={entry.name})
    for number, frame in enumerate(frames):
        try:
            scene.frames.append(_frame(frame, said, folder, entries))
        except DataError as error:
            scene.skipped.append(Skipped(path=f"{entry.name} frame {number}", reason=error.message))
    if not scene.frames:
        first = scene.skipped[0].reason if scene.skipped else "it has none"
        raise DataError(f"no frame can be used: {first}")
    bent = [key for key in _DISTORTION if any(_number(each, key, 0.0) for each in (said, *frames[:1]))]
    if bent:
        scene.warnings.append(f"{entry.name} says lens distortion ({', '.join(bent)}), which is not undone here.")
    scene.warnings.append(f"{entry.name}: poses turned from OpenGL's axes to OpenCV's; positions keep their scale.")
    return scene


def _name(entry: Entry) -> str:
    folder, _, last = entry.name.rpartition("/")
    kind = last.removesuffix(".json").removeprefix("transforms").strip("_")
    return "/".join(part for part in (folder, kind) if part) or "scene"


def _frame(frame: Any, said: Mapping[str, Any], folder: str, entries: Mapping[str, Entry]) -> Frame:
    if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
        raise DataError("names no picture")
    image = _find(frame["file_path"], folder, entries)
    if image is None:
        raise DataError(f"there is no picture {frame['file_path']!r}")
    try:
        pose = np.array(frame["transform_matrix"], np.float64)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError("has no pose of 4 × 4 numbers") from error
    if pose.shape == (3, 4):
        pose = np.vstack([pose, [0.0, 0.0, 0.0, 1.0]])
    if not is_pose(pose):
        raise DataError("its pose is no rotation and position")
    matrix, size = _intrinsics({**said, **frame})
    depth = frame.get("depth_file_path")
    found = _find(depth, folder, entries) if isinstance(depth, str) else None
    scale = 1.0 / _number(said, "depth_unit_scale_factor", 0.001)
    return Frame(image, matrix, size, pose @ _FROM_OPENGL, found, scale)


def _find(path: str, folder: str, entries: Mapping[str, Entry]) -> Entry | None:
    parts: list[str] = folder.split("/") if folder else []
    for part in path.replace("\\", "/").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(part)
    name = "/".join(parts)
    return next(
        (entries[each] for each in (name, *(name + end for end in sorted(IMAGE_SUFFIXES))) if each in entries), None
    )


def _intrinsics(said: Mapping[str, Any]) -> tuple[Array, tuple[int, int]]:
    width, height = int(_number(said, "w", 0)), int(_number(said, "h", 0))
    focal = _number(said, "fl_x", 0.0)
    if focal > 0 and width > 0 and height > 0:
        fy = _number(said, "fl_y", focal)
        return pinhole(focal, fy, _number(said, "cx", width / 2), _number(said, "cy", height / 2)), (width, height)
    angle = _number(said, "camera_angle_x", 0.0)
    if not 0 < angle < math.pi:
        raise DataError("neither focal length nor camera_angle_x is said")
    if width > 0 and height > 0:
        focal = 0.5 * width / math.tan(0.5 * angle)
        return pinhole(focal, focal, width / 2, height / 2), (width, height)
    # of unknown size: a focal length in widths, which the reader brings to the picture's own
    focal = 0.5 / math.tan(0.5 * angle)
    return pinhole(focal, focal, 0.5, 0.5), IN_WIDTHS


def _number(said: Mapping[str, Any], key: str, default: float) -> float:
    value = said.get(key, default)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else default
