"""PLY: ascii and binary of either byte order, vertices with any properties, faces cut into triangles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import DataError
from engine.protocol.inspections import Array

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_HEADER = 256 * 1024
_INDEX_NAMES = ("vertex_indices", "vertex_index")


@dataclass(frozen=True, slots=True)
class Property:
    """One property of an element: a number, or a list of them."""

    name: str
    dtype: str  # numpy, without byte order
    count_dtype: str = ""  # of the length of a list; "" = a single number


@dataclass(frozen=True, slots=True)
class Element:
    """Rows of one kind: vertices, faces."""

    name: str
    count: int
    properties: tuple[Property, ...]

    @property
    def has_lists(self) -> bool:
        """Whether rows differ in length."""
        return any(each.count_dtype for each in self.properties)


@dataclass(frozen=True, slots=True)
class PlyHeader:
    """What the header says, and where the data begin."""

    order: str  # "" = ascii, "<" or ">"
    elements: tuple[Element, ...]
    size: int  # bytes

    def element(self, name: str) -> Element | None:
        """Return the element called `name`, or None."""
        return next((each for each in self.elements if each.name == name), None)


def read_ply_header(head: bytes) -> PlyHeader:
    """Return what the header says.

    Args:
        head: the beginning of the file, with the whole header.

    Raises:
        DataError: this is no PLY header, or only a part of one.
    """
    end = head.find(b"end_header")
    stop = head.find(b"\n", end)
    if not head.startswith(b"ply") or end < 0 or stop < 0:
        raise DataError("not a PLY file: the header does not end" if head.startswith(b"ply") else "not a PLY file")
    order: str | None = None
    elements: list[tuple[str, int, list[Property]]] = []
    for line in head[:end].decode("latin-1").splitlines()[1:]:
        words = line.split()
        if not words or words[0] in {"comment", "obj_info"}:
            continue
        try:
            if words[0] == "format":
                order = _ORDERS[words[1]]
            elif words[0] == "element":
                elements.append((words[1], int(words[2]), []))
            elif words[0] == "property" and words[1] == "list":
                elements[-1][2].append(Property(words[4], _TYPES[words[3]], _TYPES[words[2]]))
            elif words[0] == "property":
                elements[-1][2].append(Property(words[2], _TYPES[words[1]]))
        except (IndexError, KeyError, ValueError) as error:
            raise DataError(f"the PLY header is damaged at {line.strip()[:60]!r}") from error
    if order is None or any(count < 0 for _, count, _ in elements):
        raise DataError("the PLY header is damaged")
    return PlyHeader(order, tuple(Element(name, count, tuple(each)) for name, count, each in elements), stop + 1)


def read_ply(path: Path) -> tuple[dict[str, Array], Array | None]:
    """Return the vertices' properties, name → (N,), and the faces as triangles (M, 3) int64, None without faces.

    Raises:
        DataError: the file is no PLY, or shorter than its header says.
    """
    with path.open("rb") as file:
        header = read_ply_header(file.read(_LONGEST_HEADER))
        file.seek(header.size)
        body = file.read()
    vertex = header.element("vertex")
    if vertex is None:
        raise DataError("has no vertices")
    tables = _read_ascii(body, header) if header.order == "" else _read_binary(body, header)
    face = tables.get("face", {})
    indices: Any = next((face[name] for name in _INDEX_NAMES if name in face), None)
    faces = None if indices is None or len(indices) == 0 else triangulate(indices, vertex.count)
    return tables["vertex"], faces


def triangulate(polygons: Any, vertices: int) -> Array:
    """Return polygons, (M, K) or a list of M rows of indices, as fans of triangles (T, 3) int64.

    Raises:
        DataError: an index is out of range.
    """
    if isinstance(polygons, np.ndarray):
        rows = polygons.astype(np.int64)
        fans = [rows[:, (0, place, place + 1)] for place in range(1, rows.shape[1] - 1)]
        result = np.concatenate(fans) if fans else np.zeros((0, 3), np.int64)
    else:
        triples = [(row[0], row[k], row[k + 1]) for row in polygons for k in range(1, len(row) - 1)]
        result = np.array(triples, np.int64).reshape(-1, 3)
    if result.size and (result.min() < 0 or result.max() >= vertices):
        raise DataError("a face names a vertex that is not there")
    return result


def _read_ascii(body: bytes, header: PlyHeader) -> dict[str, dict[str, Any]]:
    lines = body.split(b"\n")
    lines = [line for line in lines if line.strip()]
    tables: dict[str, dict[str, Any]] = {}
    at = 0
    for element in header.elements:
        if element.count > len(lines) - at:
            raise DataError(f"has {len(lines) - at:,} rows of {element.name}; its header says {element.count:,}")
        rows = lines[at : at + element.count]
        at += element.count
        tables[element.name] = _ascii_lists(rows, element) if element.has_lists else _ascii_rows(rows, element)
    return tables


def _ascii_rows(rows: list[bytes], element: Element) -> dict[str, Any]:
    width = len(element.properties)
    words = b" ".join(rows).split()
    if len(words) != width * len(rows):
        raise DataError(f"rows of {element.name} do not have {width} numbers each")
    try:
        values = np.array(list(map(float, words))).reshape(len(rows), width)
    except ValueError as error:
        raise DataError(f"a row of {element.name} is not made of numbers") from error
    with np.errstate(invalid="ignore"):
        return {each.name: values[:, place].astype(each.dtype) for place, each in enumerate(element.properties)}


def _ascii_lists(rows: list[bytes], element: Element) -> dict[str, Any]:
    table: dict[str, list[Any]] = {each.name: [] for each in element.properties}
    try:
        for row in rows:
            words = row.split()
            at = 0
            for each in element.properties:
                count = int(words[at]) if each.count_dtype else 1
                at += 1 if each.count_dtype else 0
                values = [float(word) for word in words[at : at + count]]
                if len(values) < count or count < 0:
                    raise DataError(f"a row of {element.name} is too short")
                table[each.name].append([int(value) for value in values] if each.count_dtype else values[0])
                at += count
    except (ValueError, IndexError, OverflowError) as error:
        raise DataError(f"a row of {element.name} is not made of numbers") from error
    return table


def _read_binary(body: bytes, header: PlyHeader) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    at = 0
    for element in header.elements:
        if not element.has_lists:
            dtype = np.dtype([(each.name, header.order + each.dtype) for each in element.properties])
            if element.count * dtype.itemsize > len(body) - at:
                raise DataError(f"is cut: its header says {element.count:,} rows of {element.name}")
            rows = np.frombuffer(body, dtype, element.count, at)
            at += element.count * dtype.itemsize
            tables[element.name] = {
                each.name: np.ascontiguousarray(rows[each.name]).astype(each.dtype) for each in element.properties
            }
            continue
        tables[element.name], at = _binary_lists(body, at, element, header.order)
    return tables


def _binary_lists(body: bytes, at: int, element: Element, order: str) -> tuple[dict[str, Any], int]:
    if element.count == 0:
        return {}, at
    lengths = _lengths_of_first(body, at, element, order)
    dtype = np.dtype(
        [
            part
            for each in element.properties
            for part in (
                ((f"{each.name} count", order + each.count_dtype), (each.name, order + each.dtype, lengths[each.name]))
                if each.count_dtype
                else ((each.name, order + each.dtype),)
            )
        ]
    )
    if element.count * dtype.itemsize <= len(body) - at:
        rows = np.frombuffer(body, dtype, element.count, at)
        if all((rows[f"{name} count"] == length).all() for name, length in lengths.items()):
            names = [each.name for each in element.properties]
            return {name: rows[name] for name in names}, at + element.count * dtype.itemsize
    return _binary_rows(body, at, element, order)


def _lengths_of_first(body: bytes, at: int, element: Element, order: str) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for each in element.properties:
        count = 1
        if each.count_dtype:
            count = int(_number(body, order + each.count_dtype, at, element.name))
            at += np.dtype(each.count_dtype).itemsize
            if not 0 <= count <= len(body):
                raise DataError(f"a row of {element.name} declares {count} items")
            lengths[each.name] = count
        at += count * np.dtype(each.dtype).itemsize
    return lengths


def _binary_rows(body: bytes, at: int, element: Element, order: str) -> tuple[dict[str, Any], int]:
    table: dict[str, list[Any]] = {each.name: [] for each in element.properties}
    if element.count > len(body) - at:
        raise DataError(f"is cut: its header says {element.count:,} rows of {element.name}")
    for _ in range(element.count):
        for each in element.properties:
            count = 1
            if each.count_dtype:
                count = int(_number(body, order + each.count_dtype, at, element.name))
                at += np.dtype(each.count_dtype).itemsize
            size = np.dtype(each.dtype).itemsize * count
            if count < 0 or at + size > len(body):
                raise DataError(f"is cut among its rows of {element.name}")
            values = np.frombuffer(body, order + each.dtype, count, at).tolist()
            table[each.name].append(values if each.count_dtype else values[0])
            at += size
    return table, at


def _number(body: bytes, dtype: str, at: int, what: str) -> Any:
    if at + np.dtype(dtype).itemsize > len(body):
        raise DataError(f"is cut among its rows of {what}")
    return np.frombuffer(body, dtype, 1, at)[0]
