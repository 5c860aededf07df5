"""Rooms at random: their size, textures, lamp and furniture of six kinds."""

from __future__ import annotations

import numpy as np

from engine.data.samples.raycast import Furniture, Part, Room, make_texture
from engine.protocol.inspections import Array

KINDS = ("wall", "floor", "ceiling", "table", "chair", "bed", "cupboard", "lamp", "plant")
FIRST_KIND = 3
_WALL_TEXTURES = 6


def make_textures(random: np.random.Generator, count: int) -> Array:
    """Return a store of textures (count, 64, 64, 3) float32 to furnish rooms with."""
    return np.stack([make_texture(random) for _ in range(count)])


def make_room(random: np.random.Generator, store: Array, fewest: int = 4, most: int = 7) -> Room:
    """Return a room with furniture that does not overlap; no texture of `store` comes twice in it."""
    size = (random.uniform(3.6, 5.5), random.uniform(2.4, 3.0), random.uniform(3.6, 5.5))
    furniture: list[Furniture] = []
    textures = _WALL_TEXTURES
    for _ in range(int(random.integers(fewest, most + 1))):
        kind = int(random.integers(FIRST_KIND, len(KINDS)))
        parts = _PARTS[KINDS[kind]](random, textures)
        piece = _place(random, size, kind, parts, furniture)
        if piece is not None:
            furniture.append(piece)
            textures += 2
    chosen = random.permutation(len(store))[:textures]
    colours = store[chosen][..., random.permutation(3)]
    light = np.array([size[0] * random.uniform(0.3, 0.7), -size[1] + 0.2, size[2] * random.uniform(0.3, 0.7)])
    return Room(size=size, furniture=tuple(furniture), textures=colours, light=light)


def boxes_of(room: Room) -> Array:
    """Return class, centre (x, y, z), size (x, y, z) in metres and yaw of each object, (n, 8) float32."""
    rows = []
    for piece in room.furniture:
        low, high = piece.extent
        middle = (low + high) / 2
        cos, sin = np.cos(piece.yaw), np.sin(piece.yaw)
        x, z = cos * middle[0] + sin * middle[2], -sin * middle[0] + cos * middle[2]
        centre = (x + piece.place[0], middle[1], z + piece.place[1])
        rows.append((piece.kind, *centre, *(high - low), piece.yaw))
    return np.array(rows, np.float32).reshape(-1, 8)


def _place(
    random: np.random.Generator,
    size: tuple[float, float, float],
    kind: int,
    parts: tuple[Part, ...],
    others: list[Furniture],
) -> Furniture | None:
    """Return an object where there is room for it, or None."""
    yaw = float(random.uniform(0, 2 * np.pi))
    wide = Furniture(kind=kind, place=(0.0, 0.0), yaw=yaw, parts=parts).reach
    for _ in range(20):
        x, z = (float(random.uniform(wide, side - wide)) for side in (size[0], size[2]))
        if all(np.hypot(x - o.place[0], z - o.place[1]) > wide + o.reach for o in others):
            return Furniture(kind=kind, place=(x, z), yaw=yaw, parts=parts)
    return None


def _table(random: np.random.Generator, texture: int) -> tuple[Part, ...]:
    x, z, height = random.uniform(0.4, 0.65), random.uniform(0.3, 0.45), random.uniform(0.6, 0.8)
    top = Part((0, -height, 0), (x, 0.04, z), texture)
    legs = (
        Part((a * (x - 0.06), -height / 2, b * (z - 0.06)), (0.05, height / 2, 0.05), texture + 1)
        for a in (-1, 1)
        for b in (-1, 1)
    )
    return (top, *legs)


def _chair(random: np.random.Generator, texture: int) -> tuple[Part, ...]:
    side, height, back = random.uniform(0.2, 0.26), random.uniform(0.4, 0.5), random.uniform(0.35, 0.55)
    return (
        Part((0, -height, 0), (side, 0.04, side), texture),
        Part((0, -height - back / 2, -side + 0.03), (side, back / 2, 0.03), texture),
        *(
            Part((a * (side - 0.04), -height / 2, b * (side - 0.04)), (0.035, height / 2, 0.035), texture + 1)
            for a in (-1, 1)
            for b in (-1, 1)
        ),
    )


def _bed(random: np.random.Generator, texture: int) -> tuple[Part, ...]:
    x, z, height = random.uniform(0.4, 0.6), random.uniform(0.75, 0.9), random.uniform(0.35, 0.5)
    return (
        Part((0, -height / 2, 0), (x, height / 2, z), texture),
        Part((0, -height - 0.05, -z + 0.22), (x * 0.7, 0.06, 0.16), texture + 1),
        Part((0, -height * 1.1, -z), (x, height * 1.1, 0.04), texture + 1),
    )


def _cupboard(random: np.random.Generator, texture: int) -> tuple[Part, ...]:
    x, height, z = random.uniform(0.35, 0.55), random.uniform(1.3, 1.9), random.uniform(0.2, 0.3)
    return (
        Part((0, -height / 2, 0), (x, height / 2, z), texture),
        Part((0, -height * 0.55, z), (0.03, 0.12, 0.03), texture + 1),
    )


def _lamp(random: np.random.Generator, texture: int) -> tuple[Part, ...]:
    height, radius = random.uniform(1.1, 1.6), random.uniform(0.18, 0.28)
    return (
        Part((0, -0.03, 0), (0.18, 0.03, 0.18), texture + 1),
        Part((0, -height / 2, 0), (0.035, height / 2, 0.035), texture + 1),
        Part((0, -height, 0), (radius,) * 3, texture, ball=True),
    )


def _plant(random: np.random.Generator, texture: int) -> tuple[Part, ...]:
    pot, leaf = random.uniform(0.15, 0.22), random.uniform(0.2, 0.3)
    spread = random.normal(0, 0.4 * leaf, (3, 3))
    balls = (Part((x, y - 2 * pot - leaf * 1.3, z), (leaf,) * 3, texture, ball=True) for x, y, z in spread.tolist())
    return (Part((0, -pot, 0), (pot, pot, pot), texture + 1), *balls)


_PARTS = {"table": _table, "chair": _chair, "bed": _bed, "cupboard": _cupboard, "lamp": _lamp, "plant": _plant}
