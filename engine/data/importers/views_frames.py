"""Pictures with cameras: what is known of one, how it is read at a size, and how much two of them see in common."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from engine.data.importers.sources import ArchiveReader, Entry
from engine.data.pictures import decode_picture, fit_picture
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import Skipped

MOST_DEPTH_M = 1000.0
IN_WIDTHS = (-1, -1)
"""In place of a size: focal lengths are in picture widths, the centre in shares of width and height."""
_LARGEST_SIDE_FILE = 512 * 1024**2


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture with its camera."""

    image: Entry
    intrinsics: Array  # (3, 3) float64 for pictures of `size`; the centre of the first pixel is (0.5, 0.5)
    size: tuple[int, int]  # width and height that the intrinsics are for; (0, 0) = the picture's own; or IN_WIDTHS
    pose: Array  # (4, 4) float64: camera → world, OpenCV
    depth: Entry | None = None
    depth_scale: float = 1000.0  # stored values of one metre
    seen: frozenset[int] = frozenset()  # points of a model that the picture shows


@dataclass(slots=True)
class Scene:
    """Pictures of one place, in order."""

    name: str
    frames: list[Frame]
    unit: str  # of positions: "m", or "" = any
    what: str  # "COLMAP model"
    is_sequence: bool = False  # neighbours are nearly alike
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class FrameTask:
    """What the reading process knows of a frame: the places of its files, and its camera."""

    name: str
    image: int
    depth: int  # -1 = none
    depth_scale: float
    intrinsics: Array
    size: tuple[int, int]
    pose: Array


def read_side_file(entry: Entry) -> bytes:
    """Return a small file beside the pictures, out of an archive too.

    Raises:
        DataError: it cannot be read, or is not small.
    """
    if entry.size > _LARGEST_SIDE_FILE:
        raise DataError(f"{entry.name} is larger than {_LARGEST_SIDE_FILE:,} bytes")
    if entry.member:
        with ArchiveReader() as reader:
            return reader.read(entry)
    try:
        return entry.path.read_bytes()
    except OSError as error:
        raise DataError(f"{entry.name} cannot be read: {error.strerror or error}") from error


def rotation_of(quaternion: Sequence[float]) -> Array:
    """Return the rotation (3, 3) of a quaternion (w, x, y, z), which need not have length 1.

    Raises:
        DataError: its length is 0, or not finite.
    """
    length = float(np.linalg.norm(quaternion))
    if not 1e-9 < length < np.inf:
        raise DataError("a rotation of length 0")
    w, x, y, z = (float(part) / length for part in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def pose_of(rotation: Array, position: Sequence[float] | Array) -> Array:
    """Return a pose (4, 4) of a rotation (3, 3) and a position (3,)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, position
    return pose


def is_pose(matrix: Array) -> bool:
    """Whether a matrix is finite and turns without bending, up to a scale."""
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        return False
    gram = matrix[:3, :3].T @ matrix[:3, :3]
    scale = float(np.trace(gram)) / 3
    return scale > 1e-12 and bool(np.abs(gram / scale - np.eye(3)).max() < 0.02) and np.linalg.det(matrix[:3, :3]) > 0


def pinhole(fx: float, fy: float, cx: float, cy: float) -> Array:
    """Return intrinsics (3, 3)."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def camera_for(task: FrameTask, width: int, height: int) -> Array:
    """Return the intrinsics (3, 3) for a picture of this size, whatever size they were given for."""
    matrix = task.intrinsics.copy()
    if task.size == IN_WIDTHS:
        matrix[:2, :2] *= width
        matrix[:2, 2] *= width, height
    elif task.size != (0, 0):
        matrix[0] *= width / task.size[0]
        matrix[1] *= height / task.size[1]
    return matrix


def nearest_pixels(values: Array, height: int, width: int) -> Array:
    """Return (H, W) values at another size, each the nearest one."""
    rows = np.minimum(((np.arange(height) + 0.5) * values.shape[0] / height).astype(np.int64), values.shape[0] - 1)
    columns = np.minimum(((np.arange(width) + 0.5) * values.shape[1] / width).astype(np.int64), values.shape[1] - 1)
    return values[rows][:, columns]


def read_frame(task: FrameTask, paths: Sequence[Path], px: int) -> tuple[Array, Array, Array | None]:
    """Return picture (3, H, W), intrinsics for it (3, 3), and depth (H, W) float32 in metres or None.

    Args:
        task: the frame.
        paths: the files of its unit.
        px: shorter side brought to this, centre square cut out; 0 = the picture's own size.

    Raises:
        DataError: picture or depth cannot be read.
    """
    try:
        picture = decode_picture(paths[task.image].read_bytes(), channels=3, dtype="uint8")
    except DataError as error:
        raise DataError(f"{task.name}: {error.message}") from error
    height, width = picture.shape[1:]
    matrix = camera_for(task, width, height)
    depth = None if task.depth < 0 else read_depth(task, paths)
    if depth is not None and depth.shape != (height, width):
        depth = nearest_pixels(depth, height, width)
    if px:
        side = min(height, width)
        matrix[0, 2] -= (width - side) / 2
        matrix[1, 2] -= (height - side) / 2
        matrix[:2] *= px / side
        picture = fit_picture(picture, px)
        if depth is not None:
            top, left = (height - side) // 2, (width - side) // 2
            depth = nearest_pixels(depth[top : top + side, left : left + side], px, px)
    return picture, matrix, depth


def read_depth(task: FrameTask, paths: Sequence[Path]) -> Array:
    """Return the depth (H, W) float32 in metres of a frame; 0 = unknown.

    Raises:
        DataError: it cannot be read.
    """
    path = paths[task.depth]
    data = path.read_bytes()
    try:
        if data[:6] == b"\x93NUMPY":
            stored = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        elif data[:4] == b"\x89PNG":
            stored = _png(data)
        else:
            stored = decode_picture(data)[0]
    except (DataError, ValueError) as error:
        raise DataError(f"the depth of {task.name}: {error}") from error
    if stored.ndim != 2 or stored.dtype.kind not in "fiu":
        raise DataError(f"the depth of {task.name} is {stored.dtype} with {stored.ndim} axes, not one value a pixel")
    metres = stored.astype(np.float32) / np.float32(task.depth_scale)
    known = np.isfinite(metres) & (metres > 0) & (metres < MOST_DEPTH_M)
    return np.where(known, metres, np.float32(0)).astype(np.float32)


def _png(data: bytes) -> Array:
    """Return 16-bit values as they are stored; Pillow's mode I would do as well, but only for grey."""
    if data[24:25] == b"\x10":
        return decode_picture(data)[0]
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        if image.mode not in {"L", "I", "I;16"}:
            raise DataError(f"is a colour picture ({image.mode}), not depth")
    return decode_picture(data)[0]
