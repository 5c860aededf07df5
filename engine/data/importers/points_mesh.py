"""Surfaces: OFF, OBJ, STL; and points sampled evenly on them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from engine.data.importers.points_cloud import NORMAL, POSITION, Cloud
from engine.data.importers.points_ply import triangulate
from engine.errors import DataError
from engine.protocol.inspections import Array

_MOST_BYTES = 2 * 1024**3


def read_off(path: Path) -> tuple[Array, Array]:
    """Return vertices (N, 3) float64 and triangles (M, 3) int64 of an OFF file.

    ModelNet's files that put the counts on the first line ("OFF490 518 0") are read too.

    Raises:
        DataError: the file is damaged, or shorter than its counts say.
    """
    text = _text(path)
    if not text[:3].upper().endswith("OFF") and not text[:4].upper() == "COFF":
        raise DataError("not an OFF file")
    lines = [line.split("#")[0] for line in text.splitlines()]
    lines[0] = lines[0][lines[0].upper().index("OFF") + 3 :]
    words = [line.split() for line in lines if line.strip()]
    try:
        vertices, polygons = int(words[0][0]), int(words[0][1])
        rows = words[1 : 1 + vertices]
        faces = words[1 + vertices : 1 + vertices + polygons]
        if len(rows) < vertices or len(faces) < polygons or vertices < 0 or polygons < 0:
            raise DataError(f"is cut: it says {vertices:,} vertices and {polygons:,} faces")
        points = np.array([[float(word) for word in row[:3]] for row in rows]).reshape(-1, 3)
        indices = [[int(word) for word in row[1 : 1 + int(row[0])]] for row in faces]
    except (ValueError, IndexError) as error:
        raise DataError(f"is damaged ({str(error)[:60]})") from error
    return points, triangulate(indices, vertices)


def read_obj(path: Path) -> tuple[Array, Array]:
    """Return vertices (N, 3) float64 and triangles (M, 3) int64 of an OBJ file; materials are left aside.

    Raises:
        DataError: the file is damaged, or has no vertex.
    """
    points: list[list[float]] = []
    polygons: list[list[int]] = []
    try:
        for line in _text(path).splitlines():
            words = line.split()
            if not words:
                continue
            if words[0] == "v":
                points.append([float(word) for word in words[1:4]])
            elif words[0] == "f":
                places = [int(word.split("/")[0]) for word in words[1:]]
                polygons.append([place - 1 if place > 0 else len(points) + place for place in places])
        vertices = np.array(points).reshape(-1, 3)
    except ValueError as error:
        raise DataError(f"is damaged ({str(error)[:60]})") from error
    if not points:
        raise DataError("not an OBJ file: it has no vertex")
    return vertices, triangulate(polygons, len(points))


def read_stl(path: Path) -> tuple[Array, Array]:
    """Return vertices (3·M, 3) float64 and triangles (M, 3) int64 of an STL file, ascii or binary.

    Raises:
        DataError: the file is damaged, or shorter than its count says.
    """
    data = _bytes(path)
    declared = struct.unpack("<I", data[80:84])[0] if len(data) >= 84 else 0
    if len(data) >= 84 and len(data) == 84 + 50 * declared:
        rows = np.frombuffer(data, np.dtype([("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")]), declared, 84)
        points = rows["v"].reshape(-1, 3).astype(np.float64)
    elif data[:5] == b"solid":
        words = [line.split() for line in data.decode("latin-1").splitlines()]
        try:
            corners = [[float(word) for word in row[1:4]] for row in words if row and row[0] == "vertex"]
            points = np.array(corners).reshape(-1, 3)
        except ValueError as error:
            raise DataError(f"is damaged ({str(error)[:60]})") from error
    else:
        raise DataError(f"is no STL file, or cut: {len(data):,} bytes for {declared:,} triangles")
    if len(points) == 0 or len(points) % 3:
        raise DataError("has no whole triangle")
    return points, np.arange(len(points)).reshape(-1, 3)


def sample_surface(vertices: Array, faces: Array, count: int, seed: int) -> Cloud:
    """Return `count` points spread evenly over a surface, with the normals of their faces.

    Args:
        vertices: (N, 3).
        faces: (M, 3) indices of vertices.
        count: how many points.
        seed: the same gives the same points.

    Raises:
        DataError: the surface has no area.
    """
    corners = vertices[faces]  # (M, 3, 3)
    if not np.isfinite(corners).all():
        raise DataError("has a vertex at NaN or infinity")
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(normals, axis=1)
    ends = np.cumsum(doubled)
    if len(ends) == 0 or not ends[-1] > 0:
        raise DataError("has no surface to sample: its faces have no area")
    rng = np.random.default_rng(seed)
    picked = np.minimum(np.searchsorted(ends, rng.random(count) * ends[-1], side="right"), len(ends) - 1)
    u, v = rng.random((2, count))
    over = u + v > 1  # the other half of the parallelogram
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    first = corners[picked, 0]
    points = first + u[:, None] * (corners[picked, 1] - first) + v[:, None] * (corners[picked, 2] - first)
    unit = normals[picked] / doubled[picked, None]
    columns = {axis: points[:, place] for place, axis in enumerate(POSITION)}
    columns |= {axis: unit[:, place] for place, axis in enumerate(NORMAL)}
    return Cloud(columns)


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"is a mesh of more than {_MOST_BYTES:,} bytes")
    data = path.read_bytes()
    if not data:
        raise DataError("the file is empty")
    return data


def _text(path: Path) -> str:
    return _bytes(path).decode("latin-1")
