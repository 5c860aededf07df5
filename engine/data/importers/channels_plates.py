"""Plates with one file per channel: what their file names say, by the habits of microscopes or a user's pattern."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from engine.data.importers.naming import natural
from engine.data.importers.sources import Entry
from engine.errors import DataError

PLANE_SUFFIXES = frozenset({"tif", "tiff", "png", "jpg", "jpeg", "bmp", "jp2"})
_PARTS = {
    "plate": r"[^/]+?",
    "well": r"[A-Pa-p]\d{1,2}|[A-Z]{2}\d{2}|r\d{2}c\d{2}",
    "field": r"[^/]+?",
    "channel": r"[^/]+?",
    "z": r"\d+",
    "time": r"\d+",
    "any": r"[^/]*?",
}
_HABITS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Opera Phenix, Operetta
        r"(?P<well>r\d{2}c\d{2})f(?P<field>\d+)(?:p(?P<z>\d+))?-ch(?P<channel>\d+)(?:sk(?P<time>\d+))?.*",
        # ImageXpress, RxRx
        r"(?:(?P<plate>.+)_)?(?P<well>[A-P]\d{2})_s(?P<field>\d+)(?:_z(?P<z>\d+))?_w(?P<channel>\d)(?:[0-9A-F-]{36})?",
        # CellVoyager
        r"(?:(?P<plate>.+)_)?(?P<well>[A-P]\d{2})_T(?P<time>\d{4})F(?P<field>\d{3})L\d{2}A\d{2}Z(?P<z>\d{2})C(?P<channel>\d{2})",
        # ArrayScan
        r"(?:(?P<plate>.+)_)?(?P<well>[A-P]\d{2})f(?P<field>\d{2,3})d(?P<channel>\d)",
        # IN Cell
        r"(?P<well>[A-P] - \d{1,2})\(fld (?P<field>\d+)(?: z (?P<z>\d+))? wv (?P<channel>[^)]*)\)",
        # Micro-Manager
        r"img_channel(?P<channel>\d+)_position(?P<field>\d+)_time(?P<time>\d+)_z(?P<z>\d+)",
        # ScanR and others: A01_f1_DAPI, plate_A01_1_GFP
        r"(?:(?P<plate>.+)_)?(?P<well>[A-P]\d{1,2})_(?:f|s|field|site)?(?P<field>\d{1,4})_(?P<channel>(?!\d+$)[A-Za-z0-9-]+)",
        # Human Protein Atlas
        r"(?P<field>.+)_(?P<channel>red|green|blue|yellow)",
    )
)


@dataclass(frozen=True, slots=True)
class Site:
    """Planes of one place: the same well, field and time; a plane for each channel and depth."""

    name: str
    plate: str
    well: str
    channels: tuple[str, ...]  # in order
    planes: tuple[tuple[Entry, ...], ...]  # for each channel, by depth


def find_sites(entries: Sequence[Entry], pattern: str) -> list[Site]:
    """Return the sites of a plate, sorted by name; [] if the names do not follow the pattern or no known habit.

    Args:
        entries: files.
        pattern: of the user; "" = habits of microscopes, where at least two channels of one site must be there.

    Raises:
        DataError: the pattern cannot be used.
    """
    if pattern:
        rule = _rule(pattern)
        depth = pattern.count("/") + 1
        return _sites(((entry, rule.fullmatch(_tail(entry.name, depth))) for entry in entries), least=1)
    candidates = [entry for entry in entries if entry.name.rpartition(".")[2].lower() in PLANE_SUFFIXES]
    for habit in _HABITS:
        if not any(habit.fullmatch(_tail(entry.name, 1)) for entry in candidates[:200]):
            continue
        sites = _sites(((entry, habit.fullmatch(_tail(entry.name, 1))) for entry in candidates), least=2)
        if sites:
            return sites
    return []


def _rule(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", pattern.strip("/"))
    unknown = [name for name in parts[1::2] if name not in _PARTS]
    if unknown:
        known = ", ".join("{" + name + "}" for name in _PARTS)
        raise DataError(f"The pattern has {{{unknown[0]}}}, which means nothing.", f"There are {known}.")
    if "channel" not in parts[1::2]:
        raise DataError("The pattern of names has no {channel}.", "Say where the channel stands in a file's name.")
    rule = ""
    used: set[str] = set()
    for place, part in enumerate(parts):
        if place % 2 == 0:
            rule += re.escape(part)
        elif part == "any":
            rule += f"(?:{_PARTS[part]})"
        else:
            rule += f"(?P={part})" if part in used else f"(?P<{part}>{_PARTS[part]})"
            used.add(part)
    return re.compile(rule)


def _tail(name: str, depth: int) -> str:
    """Return the last parts of a name, without the extension."""
    stem = name.rpartition(".")[0] or name
    return "/".join(stem.split("/")[-depth:])


def _sites(matches: object, *, least: int) -> list[Site]:
    found: dict[tuple[str, str, str, str, str], dict[str, dict[int, Entry]]] = defaultdict(lambda: defaultdict(dict))
    for entry, match in matches:  # type: ignore[attr-defined]
        if match is None:
            continue
        said = {key: value or "" for key, value in match.groupdict().items()}
        folder = entry.name.rpartition("/")[0]
        key = (folder, said.get("plate", ""), said.get("well", ""), said.get("field", ""), said.get("time", ""))
        found[key][said["channel"]][int(said.get("z") or 0)] = entry
    if not found or max(len(channels) for channels in found.values()) < least:
        return []
    order = sorted({channel for channels in found.values() for channel in channels}, key=natural)
    sites = []
    for (folder, plate, well, field, time), channels in sorted(found.items()):
        there = tuple(channel for channel in order if channel in channels)
        planes = tuple(tuple(entry for _, entry in sorted(channels[channel].items())) for channel in there)
        parts = [part for part in (plate, well, field and f"field {field}", time and f"time {time}") if part]
        name = "/".join(part for part in (folder, " ".join(parts)) if part)
        sites.append(Site(name, plate or folder.rpartition("/")[2], well, there, planes))
    return sites
