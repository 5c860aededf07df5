"""Headers of NRRD files: .nrrd, and .nhdr with the values in files beside it."""

from __future__ import annotations

import math
import re
from typing import BinaryIO

import numpy as np

from engine.data.importers.anatomy import LPS_TO_RAS
from engine.data.importers.volumes_header import VolumeHeader, make_header
from engine.errors import DataError
from engine.protocol.inspections import Array

_TYPES = {
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i1": ("signed char", "int8", "int8_t", "char"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_CODES = {name: code for code, names in _TYPES.items() for name in names}
_ENCODINGS = {
    "raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2", "text": "text", "txt": "text",
    "ascii": "text",
}  # fmt: skip
_SPACES = {
    "left-posterior-superior": LPS_TO_RAS, "lps": LPS_TO_RAS,
    "right-anterior-superior": np.eye(4), "ras": np.eye(4),
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0, 1.0]), "las": np.diag([-1.0, 1.0, 1.0, 1.0]),
}  # fmt: skip
_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "μm": 0.001, "micron": 0.001}
_SPATIAL_KINDS = frozenset({"domain", "space", "???", "none", ""})
_LONGEST_HEADER = 1024 * 1024


def is_nrrd(head: bytes) -> bool:
    """Whether a file starts like NRRD."""
    return head[:7] == b"NRRD000"


def look_at_nrrd(file: BinaryIO, _name: str) -> VolumeHeader:
    """Return the header of a file opened at its start.

    Raises:
        DataError: it is not NRRD, damaged, or of a kind that is not read.
    """
    fields, at = _fields(file)
    sizes = [int(number) for number in _words(fields, "sizes")]
    if len(sizes) != int(fields.get("dimension", "0") or 0) or not 2 <= len(sizes) <= 5:
        raise DataError(f"says it has {fields.get('dimension', 'no')} axes, and {len(sizes)} sizes")
    kind = fields.get("type", "").lower()
    if kind not in _CODES:
        raise DataError(f"holds values of the type {kind!r}, which is not read")
    encoding = fields.get("encoding", "").lower()
    if encoding not in _ENCODINGS:
        raise DataError(f"is encoded as {encoding!r}, which is not read")
    letters, space = _axes(fields, sizes)
    files = _data_files(fields)
    skip = int(fields.get("byte skip", "0"))
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    raw = _ENCODINGS[encoding] == "raw"
    start = 0 if files else at
    return make_header(
        dict(zip(letters, sizes, strict=True)),
        "".join(reversed(letters)),
        order + _CODES[kind],
        _affine(fields, letters, space),
        encoding=_ENCODINGS[encoding],
        at=-1 if raw and skip == -1 else start + (max(skip, 0) if raw else 0),
        skip=0 if raw else max(skip, 0),
        lines=int(fields.get("line skip", "0")),
        data_files=files,
        frame_s=_frame_s(fields, letters),
        doubt=_doubt(fields.get("space", "")),
        labels="segment0_id" in fields or "segment0_labelvalue" in fields,
    )


def _doubt(space: str) -> str:
    if not space:
        return "it does not name its space; left-posterior-superior is assumed"
    known = space.lower().removesuffix("-time") in _SPACES
    return "" if known else f"its space {space[:40]!r} says nothing of the patient; left and right are a guess"


def _fields(file: BinaryIO) -> tuple[dict[str, str], int]:
    """Return field → text in lower-case keys, and where the header ends."""
    if not is_nrrd(file.readline(64)):
        raise DataError("is not an NRRD file")
    fields: dict[str, str] = {}
    while file.tell() < _LONGEST_HEADER:
        line = file.readline(_LONGEST_HEADER)
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            return fields, file.tell()
        if text.startswith("#"):
            continue
        key, sign, value = text.partition(":=") if ":=" in text and ": " not in text else text.partition(":")
        if not sign:
            raise DataError(f"its header is damaged at {text[:40]!r}")
        name = key.strip().lower()
        if name in {"data file", "datafile"} and value.strip().upper().startswith("LIST"):
            names = [each.decode("utf-8", "replace").strip() for each in file.read(_LONGEST_HEADER).splitlines()]
            fields["data file"] = "\n".join(each for each in names if each)
            return fields, file.tell()
        fields["data file" if name == "datafile" else name] = value.strip()
    raise DataError("its header has no end")


def _words(fields: dict[str, str], name: str) -> list[str]:
    return fields.get(name, "").split()


def _vectors(text: str) -> list[list[float] | None]:
    """Return the vectors (x, y, z) of a line such as `(1,0,0) none (0,1,0)`; z is 0 where it is not given."""
    found: list[list[float] | None] = []
    for part in re.findall(r"none|\([^)]*\)", text.lower()):
        vector = None if part == "none" else [float(number) for number in part[1:-1].split(",")]
        if vector is not None and len(vector) not in {2, 3}:
            raise DataError(f"its geometry is damaged at {part}")
        found.append(vector if vector is None else [*vector, 0.0][:3])
    return found


def _axes(fields: dict[str, str], sizes: list[int]) -> tuple[list[str], list[list[float] | None]]:
    """Return a letter for each axis in the order of the file, fastest first, and the direction of each."""
    kinds = [word.lower() for word in re.findall(r'"[^"]*"|\S+', fields.get("kinds", ""))] or [""] * len(sizes)
    vectors = _vectors(fields.get("space directions", ""))
    if (vectors and len(vectors) != len(sizes)) or len(kinds) != len(sizes):
        raise DataError("its header contradicts itself about the number of axes")
    if vectors:
        spatial = [vector is not None for vector in vectors]
    else:
        spatial = [kind in _SPATIAL_KINDS for kind in kinds]
        if sum(spatial) > 3:  # nothing is said: the first three are space
            spatial = [place < 3 for place in range(len(sizes))]
    if not 2 <= sum(spatial) <= 3:
        raise DataError(f"has {sum(spatial)} axes in space, not 3")
    letters: list[str] = []
    space = iter("WHD")
    others: list[str] = []
    for place, kind in enumerate(kinds):
        if spatial[place]:
            letters.append(next(space))
            continue
        letters.append("T" if kind == "time" or (kind in _SPATIAL_KINDS and not vectors) else "C")
        others.append(letters[-1])
    if len(set(others)) != len(others):
        raise DataError("has several axes that are neither space nor time")
    return letters, vectors or [None] * len(sizes)


def _affine(fields: dict[str, str], letters: list[str], vectors: list[list[float] | None]) -> Array:
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    spacings = [float(number) for number in _words(fields, "spacings")] or [1.0] * len(letters)
    for place, letter in enumerate(letters):
        if letter not in "DHW":
            continue
        vector = vectors[place]
        if vector is None:
            vector = [0.0, 0.0, 0.0]
            distance = spacings[place] if place < len(spacings) and math.isfinite(spacings[place]) else 1.0
            vector["WHD".index(letter)] = distance
        affine[:3, "DHW".index(letter)] = vector
    if "D" not in letters:
        normal = np.cross(affine[:3, 2], affine[:3, 1])
        affine[:3, 0] = normal / max(float(np.linalg.norm(normal)), 1e-9)
    origin = _vectors(fields.get("space origin", ""))
    if origin and origin[0] is not None:
        affine[:3, 3] = origin[0]
    unit = fields.get("space units", "").replace('"', " ").split()
    affine[:3] *= _MM.get(unit[0].lower(), 1.0) if unit else 1.0
    space = fields.get("space", "").lower().removesuffix("-time")
    if space and space not in _SPACES:
        return affine
    return np.asarray(_SPACES.get(space, LPS_TO_RAS) @ affine)


def _frame_s(fields: dict[str, str], letters: list[str]) -> float:
    spacings = _words(fields, "spacings")
    if "T" not in letters or len(spacings) != len(letters):
        return math.nan
    spaced = float(spacings[letters.index("T")])
    return spaced if spaced > 0 else math.nan


def _data_files(fields: dict[str, str]) -> tuple[str, ...]:
    text = fields.get("data file", "")
    if "%" in text:
        raise DataError("numbers its data files by a pattern, which is not read")
    return tuple(text.split("\n")) if text else ()
