"""A small ray caster: rooms with furniture of textured boxes and balls, seen by pinhole cameras.

Coordinates are metres: x to the right, y down, z forward, as in OpenCV; the floor is y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.data.samples.noise import enlarge
from engine.protocol.inspections import Array

TEXEL_M = 0.06
TEXELS = 64  # a texture repeats after 3.84 m
_FAR = np.float32(1e6)


@dataclass(frozen=True)
class Part:
    """A box or a ball, in its object's own coordinates (metres, y down, 0 on the floor)."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]  # half sides of a box; the radius, three times, of a ball
    texture: int
    ball: bool = False


@dataclass(frozen=True)
class Furniture:
    """An object: its class, where it stands, how it is turned about the vertical, and its parts."""

    kind: int
    place: tuple[float, float]  # x, z
    yaw: float
    parts: tuple[Part, ...]

    @cached_property
    def extent(self) -> tuple[Array, Array]:
        """Smallest and largest corner of all parts, in the object's own coordinates."""
        centres, halves = (np.array([getattr(part, name) for part in self.parts]) for name in ("centre", "half"))
        return (centres - halves).min(axis=0), (centres + halves).max(axis=0)

    @cached_property
    def reach(self) -> float:
        """How far the object reaches from where it stands, in metres along the floor."""
        low, high = self.extent
        return float(np.hypot(*np.maximum(np.abs(low), np.abs(high))[[0, 2]]))


@dataclass(frozen=True)
class Room:
    """An empty box with its corner at the origin, its furniture and its textures (n, 64, 64, 3) float32."""

    size: tuple[float, float, float]  # width, height, length
    furniture: tuple[Furniture, ...]
    textures: Array
    light: Array  # (3,) where the lamp hangs


@dataclass(frozen=True)
class Seen:
    """What cameras see: colour (V, H, W, 3) of 0…1, depth along z in metres, class and object (V, H, W)."""

    colour: Array
    depth: Array
    kind: Array  # 0 wall, 1 floor, 2 ceiling, then the kinds of furniture
    instance: Array  # 0 the room itself, then furniture in its order, counted from 1


def intrinsics(side: int, degrees: float) -> Array:
    """Return the matrix (3, 3) of a square camera with a field of view of `degrees`."""
    focal = side / 2 / np.tan(np.deg2rad(degrees) / 2)
    return np.array([[focal, 0, (side - 1) / 2], [0, focal, (side - 1) / 2], [0, 0, 1.0]])


def look(place: Array, target: Array, roll: float = 0.0) -> Array:
    """Return the pose (4, 4), camera → world, of a camera at `place` that looks at `target`."""
    forward = (target - place) / np.linalg.norm(target - place)
    right = np.cross(np.array([0.0, 1.0, 0.0]), forward)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    turned = np.cos(roll) * right + np.sin(roll) * down
    pose = np.eye(4)
    pose[:3, :3] = np.stack([turned, np.cross(forward, turned), forward], axis=1)
    pose[:3, 3] = place
    return pose


def make_texture(random: np.random.Generator) -> Array:
    """Return a texture (64, 64, 3) float32 of noise, checks or stripes in two colours with fine grain; it tiles."""
    down, across = np.meshgrid(np.arange(TEXELS), np.arange(TEXELS), indexing="ij")
    style = random.integers(0, 3)
    if style == 0:
        knots = random.standard_normal((11, 11), np.float32)
        weight = 1 / (1 + np.exp(-3 * enlarge(knots, (TEXELS, TEXELS))))
    elif style == 1:
        check = int(random.choice([4, 8, 16]))
        weight = ((down // check + across // check) % 2).astype(np.float32)
    else:
        along, wave = (down, across)[int(random.integers(0, 2))], int(random.choice([4, 8, 16]))
        weight = ((along // (wave // 2)) % 2).astype(np.float32)
    first, second = random.uniform(0.05, 0.95, (2, 3))
    grain = 0.08 * random.standard_normal((TEXELS, TEXELS, 1), np.float32)
    blotch = 0.12 * enlarge(random.standard_normal((9, 9), np.float32), (TEXELS, TEXELS))[..., None]
    texture = first + (second - first) * weight[..., None] + grain + blotch
    return np.clip(texture, 0.02, 1.0).astype(np.float32)


def cast(room: Room, poses: Array, matrix: Array, side: int) -> Seen:
    """Return what cameras of square pictures see of a room.

    Args:
        room: what there is.
        poses: (V, 4, 4) camera → world.
        matrix: (3, 3), the same for all cameras.
        side: of the pictures in px.
    """
    row, column = np.divmod(np.arange(side * side), side)
    local = np.linalg.inv(matrix) @ np.stack([column, row, np.ones(side * side)])  # z = 1: distances are depths
    ray = (poses[:, :3, :3] @ local).swapaxes(1, 2).reshape(-1, 3).astype(np.float32)
    start = np.repeat(poses[:, :3, 3], side * side, axis=0).astype(np.float32)
    hit = _walls(room, start, ray)
    for number, piece in enumerate(room.furniture):
        _furnish(hit, room, piece, number + 1, start, ray)
    shape = len(poses), side, side
    return Seen(
        colour=hit["colour"].reshape(*shape, 3),
        depth=hit["depth"].reshape(shape),
        kind=hit["kind"].reshape(shape),
        instance=hit["instance"].reshape(shape),
    )


def _walls(room: Room, start: Array, ray: Array) -> dict[str, Array]:
    """Return what rays from inside hit of the room itself."""
    width, height, length = room.size
    low = np.array([0, -height, 0], np.float32)
    high = np.array([width, 0, length], np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(ray > 0, (high - start) / ray, np.where(ray < 0, (low - start) / ray, _FAR))
    axis = distance.argmin(axis=1)
    depth = distance[np.arange(len(ray)), axis]
    place = start + depth[:, None] * ray
    ahead = ray[np.arange(len(ray)), axis] > 0
    kind = np.where(axis == 1, np.where(ahead, 1, 2), 0).astype(np.uint8)
    surface = axis * 2 + ahead  # textures 0 … 5
    normal = np.zeros_like(ray)
    normal[np.arange(len(ray)), axis] = np.where(ahead, -1, 1)
    return {
        "depth": depth,
        "colour": _shade(room, surface, _flat(place, axis), place, normal),
        "kind": kind,
        "instance": np.zeros(len(ray), np.uint8),
    }


def _flat(place: Array, axis: Array) -> Array:
    """Return the two coordinates (n, 2) that lie in the surface across `axis`."""
    others = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    return np.take_along_axis(place, others, axis=1)


def _shade(room: Room, texture: Array | int, flat: Array, place: Array, normal: Array) -> Array:
    """Return the colour (n, 3) of places with a texture, lit by the room's lamp."""
    texel = np.floor(flat / TEXEL_M).astype(np.int64) % TEXELS
    colour = room.textures[texture, texel[:, 0], texel[:, 1]]
    towards = room.light.astype(np.float32) - place
    away = np.sqrt(_dot(towards, towards))
    facing = np.clip(_dot(towards, normal) / away, 0, 1)
    return colour * (0.45 + 0.6 * facing / (1 + 0.06 * away * away))[:, None]


def _furnish(hit: dict[str, Array], room: Room, piece: Furniture, number: int, start: Array, ray: Array) -> None:
    """Let an object cover what lies behind it."""
    low, high = piece.extent
    cos, sin = np.cos(piece.yaw), np.sin(piece.yaw)
    turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], np.float32)  # world → object
    origin = np.array([piece.place[0], 0.0, piece.place[1]], np.float32)
    middle = turn.T @ ((low + high) / 2).astype(np.float32) + origin
    to_middle = middle - start
    along = _dot(to_middle, ray) / _dot(ray, ray)
    aside = to_middle - along[:, None] * ray
    apart = _dot(aside, aside)
    near = np.flatnonzero(apart <= np.square((high - low) / 2).sum())  # rays through the object's bounding ball
    if not len(near):
        return
    own_start, own_ray = turn @ (start[near] - origin).T, turn @ ray[near].T  # (3, rays)
    own_ray = np.where(np.abs(own_ray) < 1e-9, np.float32(1e-9), own_ray)
    inverse = 1 / own_ray
    before = hit["depth"][near]
    for part in piece.parts:
        centre, half = (np.array(each, np.float32)[:, None] for each in (part.centre, part.half))
        to_start = own_start - centre
        distance = _meet_ball(half[0], to_start, own_ray) if part.ball else _meet_box(half, to_start, inverse)
        front = np.flatnonzero(distance < before)
        if not len(front):
            continue
        chosen, reached = near[front], distance[front]
        before[front] = reached
        offset = (to_start[:, front] + reached * own_ray[:, front]).T
        if part.ball:
            normal, flat = offset / half[0], offset[:, :2]
        else:
            which = (np.abs(offset) - half[:, 0]).argmax(axis=1)
            normal = np.zeros_like(offset)
            normal[np.arange(len(front)), which] = np.sign(offset[np.arange(len(front)), which])
            flat = _flat(offset + centre[:, 0], which)
        place = start[chosen] + reached[:, None] * ray[chosen]
        hit["depth"][chosen] = reached
        hit["kind"][chosen] = piece.kind
        hit["instance"][chosen] = number
        hit["colour"][chosen] = _shade(room, part.texture, flat, place, normal @ turn)


def _dot(a: Array, b: Array) -> Array:
    return np.einsum("ij,ij->i", a, b)


def _meet_box(half: Array, to_start: Array, inverse: Array) -> Array:
    """Return how far along each ray a box begins (far away = not met); all arrays are (3, rays)."""
    one, other = (-half - to_start) * inverse, (half - to_start) * inverse
    entry, leave = np.minimum(one, other), np.maximum(one, other)
    begin = np.maximum(np.maximum(entry[0], entry[1]), entry[2])
    end = np.minimum(np.minimum(leave[0], leave[1]), leave[2])
    return np.where((begin < end) & (begin > 1e-3), begin, _FAR)


def _meet_ball(radius: Array, to_start: Array, ray: Array) -> Array:
    """Return how far along each ray a ball begins (far away = not met); arrays are (3, rays)."""
    a, b, c = (np.einsum("ij,ij->j", *pair) for pair in ((ray, ray), (to_start, ray), (to_start, to_start)))
    inside = b * b - a * (c - radius**2)
    begin = (-b - np.sqrt(np.maximum(inside, 0))) / a
    return np.where((inside > 0) & (begin > 1e-3), begin, _FAR)


def covisibility(depth: Array, poses: Array, matrix: Array, *, first_only: bool = False) -> Array:
    """Return for each pair (i, j) the share of view i's pixels that view j sees too, within 5 % of depth: (V, V).

    Args:
        depth: (V, H, H) in metres.
        poses: (V, 4, 4) camera → world.
        matrix: (3, 3), the same for all cameras.
        first_only: leave pairs out in which the first view is not; 0 stands there.
    """
    count, side, _ = depth.shape
    row, column = np.divmod(np.arange(side * side), side)
    local = np.linalg.inv(matrix) @ np.stack([column, row, np.ones(side * side)])
    shares = np.eye(count)
    for i in range(count):
        world = poses[i, :3, :3] @ (local * depth[i].reshape(-1)) + poses[i, :3, 3:]
        for j in range(count):
            if i == j or (first_only and 0 not in {i, j}):
                continue
            there = poses[j, :3, :3].T @ (world - poses[j, :3, 3:])
            ahead = there[2] > 1e-3
            pixel = np.rint((matrix @ (there / np.where(ahead, there[2], 1.0)))[:2]).astype(np.int64)
            inside = ahead & (pixel >= 0).all(axis=0) & (pixel < side).all(axis=0)
            x, y = np.clip(pixel, 0, side - 1)
            shares[i, j] = (inside & (np.abs(depth[j, y, x] / np.where(ahead, there[2], 1.0) - 1) < 0.05)).mean()
    return shares
