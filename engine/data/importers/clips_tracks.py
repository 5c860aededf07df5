"""Tracks: tables of boxes and identities beside a video (CSV or JSON), and cutting squares out along them."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from engine.data.importers.clips_finding import suffix_of
from engine.data.importers.sources import Entry, Listing
from engine.errors import DataError
from engine.protocol.inspections import Array

_LARGEST_TABLE_BYTES = 512 * 1024**2
_FRAME = ("frame", "frame_number", "frame_id", "frame_index")
_GLOBAL = ("identity", "person", "subject")
_LOCAL = ("track", "track_id", "id", "object_id")
_EDGES = (
    (("x", "left", "bb_left"), ("y", "top", "bb_top"), ("width", "w", "bb_width"), ("height", "h", "bb_height")),
    (("x1", "xmin"), ("y1", "ymin"), ("x2", "xmax"), ("y2", "ymax")),
)


@dataclass(frozen=True)
class Track:
    """One identity's way through a video: frame numbers from 0 (N,) int64, boxes (N, 4) float64 x, y, width, height."""

    identity: str
    is_global: bool  # the same name in another video means the same one
    frames: Array
    boxes: Array


def tables_beside(listing: Listing, videos: Sequence[Entry]) -> dict[str, Entry]:
    """Return video → its table: a .csv or .json of the same name that speaks of frames."""
    stems = {video.name.rpartition(".")[0]: video.name for video in videos if not video.member}
    found: dict[str, Entry] = {}
    for entry in listing.entries:
        stem = entry.name.rpartition(".")[0]
        if stem in stems and suffix_of(entry.name) in {"csv", "json"} and not entry.member:
            head = listing.head(entry).decode("utf-8", "replace").lower()
            if "frame" in head:
                found[stems[stem]] = entry
    return found


def read_tracks(table: Entry) -> list[Track]:
    """Return the tracks of a table, in the order of their identities.

    Columns (or keys of a list of objects): `frame` counted from 0; `identity` (the same in every video) or `track_id`
    (of this video only); `x`, `y`, `width`, `height`, or `x1`, `y1`, `x2`, `y2`, in pixels of the upright picture.

    Raises:
        DataError: columns are missing, or a value is none.
    """
    if table.size > _LARGEST_TABLE_BYTES:
        raise DataError(f"larger than {_LARGEST_TABLE_BYTES:,} bytes")
    try:
        text = table.path.read_text("utf-8-sig")
        rows: Iterable[Mapping[str, object]]
        if suffix_of(table.name) == "json":
            loaded = json.loads(text)
            if not isinstance(loaded, list) or not all(isinstance(row, dict) for row in loaded):
                raise DataError("not a list of objects with frame, identity and box")
            rows = loaded
        else:
            rows = list(csv.DictReader(text.splitlines()))
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"not a table of boxes: {error}") from error
    return _tracks([{str(key).strip().lower(): value for key, value in row.items()} for row in rows])


def _tracks(rows: Sequence[Mapping[str, object]]) -> list[Track]:
    if not rows:
        raise DataError("has no rows")
    frame = _pick(rows[0], _FRAME)
    shared, own = _pick(rows[0], _GLOBAL), _pick(rows[0], _LOCAL)
    edges = next((found for kind in _EDGES if all(found := [_pick(rows[0], names) for names in kind])), None)
    if not frame or not (shared or own) or edges is None:
        raise DataError(f"lacks a column frame, identity or box; it has {', '.join(rows[0])}")
    corners = edges[2] in {"x2", "xmax"}
    ways: dict[str, dict[int, tuple[float, ...]]] = defaultdict(dict)
    for number, row in enumerate(rows, 2):
        try:
            place = int(str(row[frame]))
            box = tuple(float(str(row[edge])) for edge in edges)
        except (KeyError, ValueError) as error:
            raise DataError(f"row {number} has no number where one belongs: {error}") from error
        if corners:
            box = (box[0], box[1], box[2] - box[0], box[3] - box[1])
        if place < 0 or not np.isfinite(box).all() or box[2] <= 0 or box[3] <= 0:
            raise DataError(f"row {number} has no box of positive size in a frame from 0 on")
        ways[str(row[shared or own])][place] = box
    tracks = []
    for identity, boxes in sorted(ways.items()):
        frames = sorted(boxes)
        values = np.array([boxes[place] for place in frames], np.float64)
        tracks.append(Track(identity, bool(shared), np.array(frames, np.int64), values))
    return tracks


def _pick(row: Mapping[str, object], names: Iterable[str]) -> str:
    return next((name for name in names if name in row), "")


def crop_square(picture: Array, box: Array, px: int) -> Array:
    """Return the square around a box at `px` a side, (C, px, px) uint8; black where it reaches beyond the picture.

    Args:
        picture: (C, H, W) uint8.
        box: x, y, width, height in pixels; the square has its centre and its longer side.
        px: side of the result.

    Raises:
        DataError: the box lies wholly outside the picture.
    """
    side = max(1, round(max(box[2], box[3])))
    left, top = round(box[0] + box[2] / 2 - side / 2), round(box[1] + box[3] / 2 - side / 2)
    height, width = picture.shape[1:]
    rows = slice(max(0, top), min(height, top + side))
    columns = slice(max(0, left), min(width, left + side))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise DataError("a box lies outside the picture")
    if side > 4 * max(height, width):
        raise DataError("a box is far larger than the picture")
    square = np.zeros((len(picture), side, side), np.uint8)
    square[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = picture[
        :, rows, columns
    ]
    if side == px:
        return square
    smooth = Image.Resampling.BOX if side > px else Image.Resampling.BICUBIC
    planes = [np.asarray(Image.fromarray(plane).resize((px, px), smooth)) for plane in square]
    return np.stack(planes)
