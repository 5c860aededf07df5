"""Recordings of speech and motion: which files belong together, and what their heads say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.data.importers.arrays_stores import open_arrays
from engine.data.importers.motion_bvh import read_bvh_head
from engine.data.importers.motion_sound import SOUND_SUFFIXES, is_sound
from engine.data.importers.pairs_matching import ImageIndex, image_column, key_of
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.texts_finding import texts_of
from engine.data.importers.texts_tables import TABLE_SUFFIXES, cut_pieces, open_table
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import Skipped

TRANSCRIPT_SUFFIXES = frozenset({".textgrid", ".csv", ".tsv", ".txt", ".lab"})
_HEAD_BYTES = 4 * 1024**2
_FOLDERS = frozenset({"wav", "wavs", "audio", "sound", "speech", "bvh", "motion", "motions", "mocap", "poses"})
_TEXT_FOLDERS = frozenset({"textgrid", "textgrids", "text", "texts", "transcript", "transcripts", "words", "txt"})


@dataclass(frozen=True, slots=True)
class MotionHead:
    """What the head of a motion file says."""

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    frames: int
    rate_hz: float
    height: float = 0.0  # of the skeleton at rest, in the file's units; 0 = not said
    unit: str = ""
    features: int = 3


@dataclass(slots=True)
class Recording:
    """The files of one recording."""

    name: str
    sound: Entry | None = None
    motion: Entry | None = None
    side: Entry | None = None  # JSON beside an NPY motion
    transcript: Entry | None = None
    text: str = ""  # of a table for all recordings


def find_recordings(listing: Listing) -> tuple[list[Recording], list[Skipped], set[str]]:
    """Return recordings by the names of their files, what has no partner, and the entries that need no word.

    Files belong together if their names up to the first dot agree, in one folder or in folders like wav/ and bvh/.
    """
    found: dict[str, Recording] = {}
    suffixes = listing.suffixes()
    if not suffixes & (SOUND_SUFFIXES | {".bvh"}) and not {".npy", ".json"} <= suffixes:
        return [], [], set()
    for entry in listing.entries:
        if entry.suffix == ".bvh":
            found.setdefault(_key(entry), Recording(_key(entry))).motion = entry
        elif entry.suffix in SOUND_SUFFIXES and (
            entry.member or is_sound(listing.head(entry), entry.suffix) or not entry.size
        ):
            found.setdefault(_key(entry), Recording(_key(entry))).sound = entry
    side = {_key(entry): entry for entry in listing.entries if entry.suffix == ".json"}
    for entry in listing.entries:
        key = _key(entry)
        if entry.suffix == ".npy" and (key in found or key in side):
            recording = found.setdefault(key, Recording(key))
            if recording.motion is None:
                recording.motion, recording.side = entry, side.get(key)
    skipped: list[Skipped] = []
    order = (".textgrid", ".csv", ".tsv", ".lab", ".txt")
    for entry in sorted(listing.entries, key=lambda each: order.index(each.suffix) if each.suffix in order else 9):
        one = found.get(_key(entry)) if entry.suffix in TRANSCRIPT_SUFFIXES else None
        if one is None:
            continue
        if one.transcript is None:
            one.transcript = entry
        else:
            skipped.append(Skipped(path=entry.name, reason=f"{one.transcript.name} is taken for the transcript"))
    explained = _from_table(listing, found)
    return [found[key] for key in sorted(found)], skipped, explained


def _key(entry: Entry) -> str:
    folder, stem = key_of(entry.name)
    parts = [part for part in folder.split("/") if part and part.lower() not in _FOLDERS | _TEXT_FOLDERS]
    return "/".join([*parts, stem])


def _from_table(listing: Listing, found: Mapping[str, Recording]) -> set[str]:
    """Give texts of a table for all recordings to those it names; return the table's name."""
    sounds = {one.sound.name: one for one in found.values() if one.sound is not None}
    taken = {one.transcript.name for one in found.values() if one.transcript is not None}
    index = ImageIndex(one.sound for one in found.values() if one.sound is not None)
    for entry in listing.entries:
        if entry.suffix not in TABLE_SUFFIXES or entry.member or entry.name in taken or not sounds:
            continue
        try:
            table = open_table(entry.path)
            columns = table.text_columns()
            column = image_column(table, index)
            if not columns or not column:
                continue
            for _, rows in cut_pieces(entry.path, table, 10_000):
                for row in rows:
                    sound = index.find(str(row.get(column) or ""))
                    texts = texts_of(row.get(columns[0]))
                    if not isinstance(sound, str) and texts:
                        sounds[sound.name].text = " ".join(texts)
        except DataError:
            continue  # some other table; it is listed as not loaded
        return {entry.name}
    return set()


def look_at_motion(recording: Recording, listing: Listing, rate_hz: float) -> MotionHead:
    """Return what the head of a recording's motion says.

    Args:
        recording: with a motion.
        listing: that it is of.
        rate_hz: frames a second of NPY files that do not say it; 0 = unknown.

    Raises:
        DataError: it is damaged, or does not say how fast its frames follow.
    """
    entry = recording.motion
    assert entry is not None
    if entry.suffix == ".npy":
        return _look_at_npy(recording, rate_hz)
    if entry.member:
        raise DataError("a BVH file inside an archive; unpack it")
    head = listing.head(entry)
    if not head:
        raise DataError("the file is empty")
    if b"Frame Time:" not in head:
        with entry.path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    said = read_bvh_head(head.decode("utf-8", "replace").lstrip("\ufeff").split())
    skeleton = said.skeleton
    parents = tuple(skeleton.parents.tolist())
    return MotionHead(skeleton.names, parents, said.frames, 1.0 / said.seconds, skeleton.height)


def _look_at_npy(recording: Recording, rate_hz: float) -> MotionHead:
    entry = recording.motion
    assert entry is not None
    said: dict[str, Any] = {}
    if recording.side is not None:
        try:
            loaded = json.loads(recording.side.path.read_bytes())
            said = loaded if isinstance(loaded, dict) else {}
        except (ValueError, OSError, RecursionError) as error:
            raise DataError(f"{recording.side.name} beside it is damaged") from error
    with open_arrays(entry.path) as stored:
        shape = stored.arrays["array"].shape
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(f"is {' × '.join(map(str, shape))}, not frames × joints × values")
    rate = said.get("fps", said.get("rate_hz", rate_hz))
    if not isinstance(rate, int | float) or not 0.1 <= rate <= 10_000:
        raise DataError("does not say how many frames a second it has; a JSON file beside it says fps, or the setting")
    names = said.get("joints", said.get("joint_names"))
    joints = tuple(map(str, names)) if isinstance(names, list) else tuple(f"joint {n}" for n in range(shape[1]))
    parents = said.get("parents")
    if not isinstance(parents, list) or not all(isinstance(each, int) for each in parents):
        parents = [-1] * shape[1]
    if len(joints) != shape[1] or len(parents) != shape[1] or any(not -1 <= each < shape[1] for each in parents):
        raise DataError(f"has {shape[1]} joints; the JSON file beside it says others")
    return MotionHead(joints, tuple(parents), shape[0], float(rate), 0.0, str(said.get("unit", "")), shape[2])


def metres_of(height: float, unit: str) -> tuple[float, str]:
    """Return how many metres a unit of a motion is, and the unit's name: as said, else judged by a body's height.

    Args:
        height: of the skeleton at rest in its units; 0 = unknown.
        unit: "m", "cm", "mm", "inch", or "" = not said.
    """
    known = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}
    if unit in known:
        return known[unit], unit
    for name, low, high in (("m", 0.4, 3.0), ("inch", 50.0, 76.0), ("cm", 76.0, 400.0), ("mm", 400.0, 4000.0)):
        if low <= height < high:
            return known[name], name
    return 1.0, ""


def in_order(values: Array, joints: Sequence[str], wanted: Sequence[str]) -> Array:
    """Return a motion (T, J, F) with its joints in another order.

    Raises:
        DataError: a joint is missing.
    """
    missing = [name for name in wanted if name not in joints]
    if missing:
        raise DataError(f"its skeleton has no {', '.join(missing[:5])}")
    return values[:, [list(joints).index(name) for name in wanted]] if tuple(joints) != tuple(wanted) else values


def at_times(values: Array, rate_hz: float, times: Array) -> Array:
    """Return a motion (T, J, F) at other times, on straight lines between its frames.

    Args:
        values: (T, J, F), the first frame at 0 s.
        rate_hz: frames a second.
        times: (S,) seconds.
    """
    place = np.clip(times * rate_hz, 0, len(values) - 1)
    first = np.minimum(place.astype(np.int64), max(0, len(values) - 2))
    share = (place - first)[:, None, None]
    second = np.minimum(first + 1, len(values) - 1)
    return (1 - share) * values[first] + share * values[second]
