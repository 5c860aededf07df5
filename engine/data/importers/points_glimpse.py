"""What the head of one file says: whether it is a point cloud, and with which columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np

from engine.data.importers.arrays_hdf5 import MAGIC
from engine.data.importers.points_cloud import POSITION, canonical
from engine.data.importers.points_hdf5 import HdfLayout, inspect_hdf5
from engine.data.importers.points_ply import read_ply_header
from engine.data.importers.points_scans import las_columns, read_pcd_header
from engine.data.importers.points_tables import npy_columns, npy_shape, sniff_text
from engine.data.importers.sources import Entry, Listing
from engine.errors import DataError
from engine.form_fields import setting

_MESHES = frozenset({".off", ".obj", ".stl"})
_TEXTS = frozenset({".xyz", ".xyzn", ".xyzrgb", ".pts", ".asc", ".txt", ".csv"})
_HDF = frozenset({".h5", ".hdf5", ".hdf"})
_CANDIDATES = frozenset({".ply", ".pcd", ".las", ".laz", ".npy"}) | _MESHES | _TEXTS | _HDF
_PACKED = frozenset({".ply", ".pcd", ".las", ".laz", ".xyz", ".pts"}) | _MESHES  # taken by name inside archives
_MOST_SNIFFED, _MOST_OPENED = 4000, 400


class PointSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an import of point clouds."""

    features: Annotated[
        str,
        setting(
            "Features",
            "Columns kept beside x, y, z, with commas between them. Empty: those that all files have; none: no others.",
            "Import",
        ),
    ] = ""
    unit: Annotated[
        Literal["as in the file", "m", "cm", "mm", "µm", "voxel"],
        setting("Unit", "The unit of positions; LAS files are in metres, PILArNet in voxels.", "Import"),
    ] = "as in the file"
    surfaces: Annotated[
        Literal["sample", "vertices"],
        setting(
            "Surfaces", "Points of a mesh: sampled evenly on its faces with their normals, or its corners.", "Import"
        ),
    ] = "sample"
    surface_points: Annotated[
        int,
        setting("Points on a surface", "How many points are sampled on each mesh.", "Import", 16, 1_000_000, "points"),
    ] = 2048
    most_points: Annotated[
        int,
        setting(
            "Most points",
            "A cloud with more points is thinned to so many, drawn at random without repetition. 0 = all are kept.",
            "Import", 0, 100_000_000, "points",
        ),
    ] = 0  # fmt: skip
    fewest_points: Annotated[
        int, setting("Fewest points", "Clouds with fewer points are left out.", "Import", 1, 10_000_000, "points")
    ] = 1
    tile: Annotated[
        float,
        setting(
            "Tiles",
            "A large scan is cut into square columns of this side along x and y, each a record. 0 = not cut.",
            "Import", 0.0, 100_000.0, "units of position",
        ),
    ] = 0.0  # fmt: skip
    seed: Annotated[
        int, setting("Seed", "Another seed samples other points.", "Import", 0, 2**31 - 1, advanced=True)
    ] = 0


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What the head of a file says."""

    columns: tuple[str, ...]  # canonical names; () = as sampled from a surface
    points: float = 0.0
    hdf: HdfLayout | None = None
    reason: str = ""


def point_entries(listing: Listing) -> list[Entry]:
    """Return the entries that are point clouds or surfaces, in the order of the listing.

    Of very many files of one suffix, some are looked at, and the others taken for the same; what is then something
    else is named when it is read.
    """
    groups: dict[str, list[Entry]] = {}
    if not listing.suffixes() & _CANDIDATES:
        return []
    for entry in listing.entries:
        if entry.suffix in _CANDIDATES:
            groups.setdefault(entry.suffix, []).append(entry)
    taken: set[int] = set()
    for suffix, group in groups.items():
        most = _MOST_OPENED if suffix in _HDF else _MOST_SNIFFED
        if len(group) <= most:
            taken |= {id(entry) for entry in group if is_points(listing, entry)}
            continue
        some = group[:: len(group) // (most // 4)]
        if 2 * sum(is_points(listing, entry) for entry in some) > len(some):
            taken |= {id(entry) for entry in group}
    return [entry for entry in listing.entries if id(entry) in taken]


def is_points(listing: Listing, entry: Entry) -> bool:
    """Whether an entry is a point cloud or a surface, by its suffix and first bytes."""
    suffix = entry.suffix
    if suffix not in _CANDIDATES:
        return False
    if entry.member:
        return suffix in _PACKED
    head = listing.head(entry)
    sniffed: Callable[[], bool] = {
        ".ply": lambda: head.startswith(b"ply"),
        ".pcd": lambda: b"VERSION" in head[:512] or b"FIELDS" in head[:512],
        ".las": lambda: head.startswith(b"LASF"),
        ".laz": lambda: head.startswith(b"LASF"),
        ".npy": lambda: bool(npy_columns(head)),
        ".off": lambda: b"OFF" in head[:8].upper(),
        ".obj": lambda: b"v " in head,
        ".stl": lambda: head.startswith(b"solid") or len(head) >= 84,
    }.get(suffix, lambda: False)
    if suffix in _TEXTS:
        return sniff_text(head) is not None
    if suffix in _HDF:
        return head.startswith(MAGIC) and _hdf_layout(entry) is not None
    # a damaged file of a suffix that means nothing else is read, so that it is named
    return sniffed() or (suffix in {".ply", ".pcd", ".las", ".laz", ".off"})


def _hdf_layout(entry: Entry) -> HdfLayout | None:
    try:
        return inspect_hdf5(entry.path)
    except DataError:
        return None  # the importer of arrays names it


def glimpse_of(listing: Listing, entry: Entry, settings: PointSettings) -> Glimpse:
    """Return what the head of a point cloud says, or the reason why it cannot be read."""
    try:
        return _look(listing.head(entry), entry, settings)
    except DataError as error:
        return Glimpse((), reason=error.message)


def _look(head: bytes, entry: Entry, settings: PointSettings) -> Glimpse:
    if entry.size == 0:
        raise DataError("the file is empty")
    if entry.member or entry.suffix in _MESHES:
        return Glimpse(() if settings.surfaces == "sample" else POSITION, _mesh_points(entry, settings))
    if entry.suffix in _HDF:
        layout = inspect_hdf5(entry.path)
        assert layout is not None
        return Glimpse(layout.columns, layout.points, layout)
    if entry.suffix == ".ply":
        header = read_ply_header(_long_head(head, entry, b"end_header"))
        vertex, face = header.element("vertex"), header.element("face")
        if vertex is None:
            raise DataError("has no vertices")
        width = sum(np.dtype(each.dtype).itemsize for each in vertex.properties if not each.count_dtype)
        _check_size(vertex.count, width if header.order else 2 * len(vertex.properties), entry)
        if face is not None and face.count and settings.surfaces == "sample":
            return Glimpse((), float(settings.surface_points))
        return Glimpse(tuple(canonical(each.name) for each in vertex.properties), float(vertex.count))
    if entry.suffix == ".pcd":
        pcd = read_pcd_header(_long_head(head, entry, b"DATA"))
        if pcd.data != "binary_compressed":
            width = pcd.dtype.itemsize if pcd.data == "binary" else 2 * len(pcd.columns)
            _check_size(pcd.points, width, entry)
        return Glimpse(tuple(canonical(name) for name in pcd.columns), float(pcd.points))
    if entry.suffix in {".las", ".laz"}:
        columns = las_columns(head)
        if not columns:
            raise DataError("not a LAS file")
        return Glimpse(columns, entry.size / int.from_bytes(head[105:107], "little"))
    if entry.suffix == ".npy":
        found = npy_shape(head)
        return Glimpse(npy_columns(head), float(found[0][0]) if found else 0.0)
    layout_of_text = sniff_text(head)
    assert layout_of_text is not None
    return Glimpse(layout_of_text.columns, entry.size / (9 * len(layout_of_text.columns)))


def _check_size(points: int, width: int, entry: Entry) -> None:
    if points * width > entry.size:
        raise DataError(f"is cut: its header says {points:,} points, of which {entry.size:,} bytes are too few")


def _mesh_points(entry: Entry, settings: PointSettings) -> float:
    return float(settings.surface_points) if settings.surfaces == "sample" else max(1.0, entry.size / 60)


def _long_head(head: bytes, entry: Entry, end: bytes) -> bytes:
    if end in head:
        return head
    with entry.path.open("rb") as file:
        return file.read(256 * 1024)
