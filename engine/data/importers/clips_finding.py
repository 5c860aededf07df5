"""Which of the files dropped are videos, moving GIFs, runs of numbered pictures, or tables of boxes beside a video."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from engine.data.importers.clips_dicom import count_loops
from engine.data.importers.sources import Entry, Listing

VIDEO_SUFFIXES = frozenset(
    {"mp4", "m4v", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "wmv", "flv", "ogv", "3gp", "mts", "m2ts"}
)
_PICTURE_SUFFIXES = frozenset({"png", "jpg", "jpeg", "bmp", "webp", "tif", "tiff"})
_NUMBERED = re.compile(r"(.*?)(\d{1,12})")
_FRAME_WORDS = frozenset({"frame", "frames", "frm"})
SHORTEST_RUN = 8
_WHOLE_GIF_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class FrameRun:
    """Numbered pictures of one folder, in the order of their numbers."""

    name: str
    numbers: tuple[int, ...]
    entries: tuple[Entry, ...]
    called_frames: bool  # whether their name says that they are frames


def suffix_of(name: str) -> str:
    """Return the extension in lower case without the dot; quicker than a path, for millions of names."""
    return name.rpartition(".")[2].lower()


def is_video(listing: Listing, entry: Entry) -> bool:
    """Whether a file has the name of a video and, where it can be looked into, begins like one."""
    return suffix_of(entry.name) in VIDEO_SUFFIXES and (bool(entry.member) or begins_like_video(listing.head(entry)))


def begins_like_video(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a video container."""
    return (
        head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or head[:4] in {b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"0&\xb2u", b"OggS"}
        or head[:3] == b"FLV"
        or (len(head) > 196 and head[0] == head[188] == 0x47)
        or (len(head) > 200 and head[4] == head[196] == 0x47)
    )


def is_moving_gif(listing: Listing, entry: Entry) -> bool:
    """Whether a GIF file on disk holds a second picture; of what lies in an archive nothing is known, so False."""
    if suffix_of(entry.name) != "gif" or entry.member or listing.head(entry)[:4] != b"GIF8":
        return False
    head = listing.head(entry)
    found = _pictures_of_gif(head)
    if found is None and entry.size > len(head):
        with entry.path.open("rb") as file:
            found = _pictures_of_gif(file.read(_WHOLE_GIF_BYTES))
    return found is not None and found > 1


def _pictures_of_gif(data: bytes) -> int | None:
    """Return the pictures of a GIF up to the second; None where the data ends before."""
    if len(data) < 13:
        return None
    place = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    pictures = 0
    while place < len(data):
        mark = data[place]
        if mark == 0x3B:
            return pictures
        if mark == 0x2C:
            pictures += 1
            if pictures == 2:
                return pictures
            if place + 10 >= len(data):
                return None
            packed = data[place + 9]
            place += 11 + (3 << ((packed & 7) + 1) if packed & 0x80 else 0)
        elif mark == 0x21:
            place += 2
        else:
            return pictures  # not a GIF from here on; the decoder tells
        while place < len(data) and data[place]:
            place += data[place] + 1
        place += 1
    return None


def frame_runs(listing: Listing) -> list[FrameRun]:
    """Return the folders of numbered pictures with at least `SHORTEST_RUN` of them."""
    found: dict[tuple[str, str, str], list[tuple[int, Entry]]] = defaultdict(list)
    for entry in listing.entries:
        stem, _, suffix = entry.name.rpartition(".")
        if suffix.lower() not in _PICTURE_SUFFIXES:
            continue
        folder, _, base = stem.rpartition("/")
        match = _NUMBERED.fullmatch(base)
        if match is not None:
            found[folder, match[1], suffix.lower()].append((int(match[2]), entry))
    runs = []
    for (folder, prefix, _), members in found.items():
        if len(members) < SHORTEST_RUN:
            continue
        members.sort(key=lambda each: each[0])
        numbers = tuple(number for number, _ in members)
        if len(set(numbers)) < len(numbers):
            continue  # 1.png and 001.png: not frames of one video
        called = _is_called_frames(prefix)
        name = f"{folder}/{prefix.rstrip('_-. ')}".strip("/") if prefix and not called else folder or "frames"
        runs.append(FrameRun(name, numbers, tuple(entry for _, entry in members), called))
    return sorted(runs, key=lambda run: run.name)


def count_clip_files(listing: Listing) -> int:
    """Return how many files would be read as clips.

    Numbered pictures that are not called frames count half: they are pictures first, and clips if asked for.
    """
    videos = 0
    runs: Counter[str] = Counter()
    for entry in listing.entries:
        name = entry.name
        stem, _, suffix = name.rpartition(".")
        if suffix in _PICTURE_SUFFIXES or suffix.lower() in _PICTURE_SUFFIXES:
            beginning = stem.rstrip("0123456789")
            if len(beginning) < len(stem):
                runs[beginning] += 1
        elif suffix.lower() == "gif":
            videos += is_moving_gif(listing, entry)
        else:
            videos += is_video(listing, entry)
    for beginning, count in runs.items():
        if count >= SHORTEST_RUN:
            videos += count if _is_called_frames(beginning.rpartition("/")[2]) else count // 2
    return videos + count_loops(listing)


def _is_called_frames(prefix: str) -> bool:
    return prefix.strip("_-. ").lower() in _FRAME_WORDS
