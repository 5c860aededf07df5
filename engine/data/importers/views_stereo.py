"""Two pictures of one thing without cameras: lists of pairs, `_1` and `_2`, left and right."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from engine.data.importers.image_survey import IMAGE_SUFFIXES
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.views_frames import read_side_file
from engine.errors import DataError
from engine.protocol.schema import Skipped

_LISTS = ("pairs.txt", "listing.txt")
_SIDES = (("left", "right"), ("image_2", "image_3"), ("image_0", "image_1"), ("view1", "view5"), ("im0", "im1"))
_MOST_LOOKED = 2000
_NUMBERED = re.compile(r"(.+)_([12])")
_LETTERED = re.compile(r"(.+)[_-](left|right|l|r)", re.IGNORECASE)


@dataclass(slots=True)
class Twins:
    """Pairs of pictures, with a name each, and what has no partner."""

    pairs: list[tuple[str, Entry, Entry]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)


def find_twins(listing: Listing) -> Twins:
    """Return the pairs of pictures: those that a list names, else those that names of files and folders tell."""
    images = {entry.name: entry for entry in listing.having(IMAGE_SUFFIXES)}
    twins = Twins()
    lists = listing.having({".txt"})
    for entry in lists:
        if entry.name.rpartition("/")[2] in _LISTS:
            _from_list(entry, images, twins)
    if not twins.pairs and _look_paired(list(images)):
        _from_names(images, twins)
    return twins


def _look_paired(names: list[str]) -> bool:
    """Whether some of very many names tell a side; all of few are looked at later."""
    some = names[:: max(1, len(names) // _MOST_LOOKED)]
    return len(names) <= _MOST_LOOKED or 4 * sum(_side(name)[1] >= 0 for name in some) >= len(some)


def _from_list(entry: Entry, images: dict[str, Entry], twins: Twins) -> None:
    folder = entry.name.rpartition("/")[0]
    try:
        lines = read_side_file(entry).decode("utf-8", "replace").splitlines()
    except DataError as error:
        twins.skipped.append(Skipped(path=entry.name, reason=error.message))
        return
    before = len(twins.pairs)
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        paths = words[:2] if len(words) >= 2 else [f"{words[0]}_1", f"{words[0]}_2"]
        found = [_find(path, folder, images) for path in paths]
        missing = [path for path, image in zip(paths, found, strict=True) if image is None]
        if missing:
            reason = f"there is no picture {missing[0]!r}"
            twins.skipped.append(Skipped(path=f"{entry.name} line {number}", reason=reason))
            continue
        first, second = (image for image in found if image is not None)
        twins.pairs.append((first.name, first, second))
    if len(twins.pairs) > before:
        twins.explained.add(entry.name)


def _find(path: str, folder: str, images: dict[str, Entry]) -> Entry | None:
    name = "/".join(part for part in (folder, *path.replace("\\", "/").split("/")) if part not in {"", "."})
    return next(
        (images[each] for each in (name, *(name + end for end in sorted(IMAGE_SUFFIXES))) if each in images), None
    )


def _from_names(images: dict[str, Entry], twins: Twins) -> None:
    found: dict[str, dict[int, Entry]] = {}
    for name, entry in images.items():
        key, side = _side(name)
        if side >= 0:
            found.setdefault(key, {})[side] = entry
    pairs = [(key, sides[0], sides[1]) for key, sides in sorted(found.items()) if len(sides) == 2]
    if len(pairs) < 2 or 4 * len(pairs) < len(images):  # less than half of the pictures: something else
        return
    twins.pairs = pairs
    paired = {entry.name for _, first, second in pairs for entry in (first, second)}
    twins.skipped += [
        Skipped(path=name, reason="a picture without its partner") for name in images if name not in paired
    ]


def _side(name: str) -> tuple[str, int]:
    """Return what two pictures of a pair have in common, and which of the two this is; -1 = neither."""
    folder, _, last = name.rpartition("/")
    stem = last.rpartition(".")[0]
    parts = folder.split("/") if folder else []
    for sides in _SIDES:
        for side, word in enumerate(sides):
            lower = [part.lower() for part in parts]
            if word in lower:
                place = lower.index(word)
                return "/".join([*parts[:place], *parts[place + 1 :], stem]), side
            if stem.lower() == word:
                return f"{folder}/pair".lstrip("/"), side
    match = _NUMBERED.fullmatch(stem)
    if match:
        return f"{folder}/{match[1]}".lstrip("/"), int(match[2]) - 1
    match = _LETTERED.fullmatch(stem)
    if match:
        return f"{folder}/{match[1]}".lstrip("/"), int(match[2].lower().startswith("r"))
    return name, -1
