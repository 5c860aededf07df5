"""BVH: a skeleton and its motion, as positions of joints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import DataError
from engine.protocol.inspections import Array

_LARGEST_BYTES = 1024**3
_MOST_JOINTS = 2000
_POSITIONS = {"xposition": 0, "yposition": 1, "zposition": 2}
_ROTATIONS = {"xrotation": 0, "yrotation": 1, "zrotation": 2}


@dataclass(frozen=True, slots=True)
class Joint:
    """One joint of a skeleton."""

    name: str
    parent: int  # -1 = root
    offset: tuple[float, float, float]
    channels: tuple[str, ...]  # in the order of the file, lower case
    first: int  # place of its first channel in a row


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The joints of a BVH file, parents before children; ends of limbs are left out."""

    joints: tuple[Joint, ...]
    channels: int  # in a row
    height: float  # of the skeleton at rest, in the units of the file

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the joints."""
        return tuple(joint.name for joint in self.joints)

    @property
    def parents(self) -> Array:
        """(J,) int64: each joint's parent, -1 = root."""
        return np.array([joint.parent for joint in self.joints], np.int64)


@dataclass(frozen=True, slots=True)
class BvhHead:
    """What stands before the rows of numbers."""

    skeleton: Skeleton
    frames: int
    seconds: float  # of one frame
    rows_at: int  # place of the first row in the file's words


def read_bvh_head(words: list[str]) -> BvhHead:
    """Return skeleton, number of frames and time of a frame.

    Args:
        words: of the file.

    Raises:
        DataError: this is no BVH file, or its hierarchy is damaged.
    """
    if not words or words[0].upper() != "HIERARCHY":
        raise DataError("not a BVH file: it does not begin with HIERARCHY")
    try:
        return _head(words)
    except (IndexError, ValueError, StopIteration) as error:
        raise DataError("its hierarchy is cut or damaged") from error


def _head(words: list[str]) -> BvhHead:
    joints: list[Joint] = []
    rest: list[Array] = []
    ends: list[Array] = []
    stack: list[int] = []
    at = 1
    while words[at].upper() != "MOTION":
        word = words[at].upper()
        if word in {"ROOT", "JOINT"} and words[at + 2] == "{" and len(joints) < _MOST_JOINTS:
            parent = stack[-1] if stack else -1
            first = joints[-1].first + len(joints[-1].channels) if joints else 0
            joint, at = _joint(words, at + 3, words[at + 1], parent, first)
            stack.append(len(joints))
            joints.append(joint)
            rest.append(np.array(joint.offset) + (rest[parent] if parent >= 0 else 0.0))
        elif word == "END" and [words[at + 2], words[at + 3].upper(), words[at + 7]] == ["{", "OFFSET", "}"]:
            ends.append(rest[stack[-1]] + _triple(words, at + 4))
            at += 8
        elif word == "}":
            stack.pop()
            at += 1
        else:
            raise ValueError(word)
    if not joints or stack:
        raise ValueError(at)
    if [each.upper() for each in (words[at + 1], words[at + 3], words[at + 4])] != ["FRAMES:", "FRAME", "TIME:"]:
        raise ValueError(at)
    frames, seconds = int(words[at + 2]), _number(words[at + 5])
    if frames < 1 or not 1e-5 < seconds < 10:
        raise DataError(f"says {frames} frames of {seconds} s each")
    points = np.array([*rest, *ends])
    height = float((points.max(axis=0) - points.min(axis=0)).max())
    channels = joints[-1].first + len(joints[-1].channels)
    return BvhHead(Skeleton(tuple(joints), channels, height), frames, seconds, at + 6)


def _joint(words: list[str], at: int, name: str, parent: int, first: int) -> tuple[Joint, int]:
    """Return the joint whose OFFSET stands at `at`, and the place after its channels."""
    if words[at].upper() != "OFFSET":
        raise ValueError(words[at])
    x, y, z = _triple(words, at + 1).tolist()
    at += 4
    channels: tuple[str, ...] = ()
    if words[at].upper() == "CHANNELS":
        count = int(words[at + 1])
        channels = tuple(word.lower() for word in words[at + 2 : at + 2 + count])
        if not 0 <= count <= 12 or any(channel not in _POSITIONS | _ROTATIONS for channel in channels):
            raise ValueError(count)
        at += 2 + count
    return Joint(name, parent, (x, y, z), channels, first), at


def _triple(words: list[str], at: int) -> Array:
    return np.array([_number(word) for word in words[at : at + 3]]).reshape(3)


def _number(word: str) -> float:
    return float(word.replace(",", "."))


def read_bvh(path: Path) -> tuple[BvhHead, Array]:
    """Return the head of a BVH file and the positions of its joints (T, J, 3) float64, in the file's units.

    Raises:
        DataError: the file is damaged, or has fewer rows than it says.
    """
    if path.stat().st_size > _LARGEST_BYTES:
        raise DataError(f"is larger than {_LARGEST_BYTES:,} bytes")
    words = path.read_bytes().decode("utf-8", "replace").lstrip("\ufeff").split()
    head = read_bvh_head(words)
    width = head.skeleton.channels
    numbers = words[head.rows_at : head.rows_at + head.frames * width]
    if len(numbers) < head.frames * width:
        raise DataError(f"has {len(numbers) // max(1, width):,} frames; it says {head.frames:,}")
    try:
        rows = np.array([_number(word) for word in numbers]).reshape(head.frames, width)
    except ValueError as error:
        raise DataError("a frame is not made of numbers") from error
    if not np.isfinite(rows).all():
        raise DataError("a frame holds NaN or infinite values")
    return head, positions_of(head.skeleton, rows)


def positions_of(skeleton: Skeleton, rows: Array) -> Array:
    """Return the positions of all joints (T, J, 3) float64.

    Rotations apply in the order of the CHANNELS line, each about the axes that those before have turned:
    "Zrotation Xrotation Yrotation" is R = Rz Rx Ry.

    Args:
        skeleton: joints.
        rows: (T, channels), degrees and units of length.
    """
    turned: list[Array] = []
    places: list[Array] = []
    for joint, rotation, shift in _local(skeleton, rows):
        local = np.asarray(joint.offset) + shift
        if joint.parent < 0:
            turned.append(rotation)
            places.append(local)
            continue
        turned.append(turned[joint.parent] @ rotation)
        places.append(places[joint.parent] + (turned[joint.parent] @ local[..., None])[..., 0])
    return np.stack(places, axis=1)


def _local(skeleton: Skeleton, rows: Array) -> Iterator[tuple[Joint, Array, Array]]:
    for joint in skeleton.joints:
        rotation = np.tile(np.eye(3), (len(rows), 1, 1))
        shift = np.zeros((len(rows), 3))
        for place, channel in enumerate(joint.channels, joint.first):
            if channel in _POSITIONS:
                shift[:, _POSITIONS[channel]] = rows[:, place]
            else:
                rotation = rotation @ _turn(_ROTATIONS[channel], rows[:, place])
        yield joint, rotation, shift


def _turn(axis: int, degrees: Array) -> Array:
    """Return rotations (T, 3, 3) about one axis."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    result = np.zeros((len(angle), 3, 3))
    result[:, axis, axis] = 1.0
    result[:, first, first] = result[:, second, second] = cos
    result[:, first, second], result[:, second, first] = -sin, sin
    return result
