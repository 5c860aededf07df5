"""Which pictures make an episode: told by a table, by folders, or by the ends of names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from engine.data.importers.image_survey import IMAGE_SUFFIXES
from engine.data.importers.pairs_matching import ImageIndex
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.texts_finding import said_of_row
from engine.data.importers.texts_rows import LABEL_COLUMNS, SPLIT_COLUMNS, Row, TextTable
from engine.data.importers.texts_tables import TABLE_SUFFIXES, cut_pieces, glance_at_table, open_table
from engine.data.importers.units import Values
from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.schema import Skipped

ROLES = ("before", "after", "object")
_WORDS = {
    "before": ("before", "pre", "pregrasp", "pre_grasp", "pregrasp_image", "first", "source", "reference", "image1"),
    "after": ("after", "post", "postgrasp", "post_grasp", "postgrasp_image", "second", "target", "image2"),
    "object": ("object", "goal", "present", "outcome", "present_image", "goal_image", "item"),
}
_ENDINGS = {  # of names and folders; words that mean other things too are left to tables
    "before": ("before", "pre", "pregrasp"),
    "after": ("after", "post", "postgrasp"),
    "object": ("object", "goal", "present", "outcome"),
}
_RELATIONS = ("relation", "condition", "change", "action", "instruction")
_SUCCESS = ("success", "grasp_success", "succeeded")
_MOST_TABLES = 20
_MOST_LOOKED = 2000


class EpisodeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an import of episodes."""

    columns: Annotated[
        str,
        setting(
            "Columns",
            "Columns of the table that name the pictures before, after and (if there is one) of the object, with "
            "commas between them. Empty: found by their names.",
            "Import",
        ),
    ] = ""
    need_object: Annotated[
        bool, setting("Object needed", "Episodes without a picture of the object are left out and named.", "Import")
    ] = True


@dataclass(slots=True)
class Episode:
    """Pictures by role, and what is said of them."""

    name: str
    pictures: dict[str, Entry] = field(default_factory=dict)
    relation: str = ""
    success: int = -1  # 0, 1, or -1 = not said
    said: Values = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """All episodes of a listing."""

    episodes: list[Episode] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)
    roles: tuple[str, ...] = ROLES


def _columns_of(table: TextTable, settings: EpisodeSettings) -> dict[str, str]:
    """Return role → column; {} = the table names no episodes."""
    if settings.columns.strip():
        names = [name.strip() for name in settings.columns.split(",") if name.strip()]
        if not 2 <= len(names) <= 3:
            raise DataError(f"{settings.columns!r} are not two or three columns.", "Name before, after, object.")
        return {role: table.pick((), name) for role, name in zip(ROLES, names, strict=False)}
    found = {role: table.pick(_WORDS[role]) for role in ROLES}
    if not found["before"] or not found["after"]:
        return {}
    return {role: column for role, column in found.items() if column}


def _role_of(name: str) -> tuple[str, str]:
    """Return the key of an episode and the role that a file's name or folder tells; "" = none."""
    folder, _, last = name.rpartition("/")
    stem = last.rpartition(".")[0]
    parts = folder.split("/") if folder else []
    for role, words in _ENDINGS.items():
        if stem.lower() in words:
            return folder or ".", role
        match = re.fullmatch(rf"(.+?)[_\-.](?:{'|'.join(words)})", stem, re.IGNORECASE)
        if match:
            return f"{folder}/{match[1]}".lstrip("/"), role
        for place, part in enumerate(parts):
            if part.lower() in words:
                return "/".join([*parts[:place], *parts[place + 1 :], stem]), role
    return name, ""


def _by_names(images: Sequence[Entry]) -> dict[str, Episode]:
    found: dict[str, Episode] = {}
    for entry in images:
        key, role = _role_of(entry.name)
        if role:
            found.setdefault(key, Episode(key)).pictures.setdefault(role, entry)
    return {key: one for key, one in found.items() if one.pictures}


def recognise_episodes(listing: Listing) -> int:
    """Return how many entries are pictures of episodes, and the tables that name them."""
    images = listing.having(IMAGE_SUFFIXES)
    if len(images) < 2:
        return 0
    tables = [entry for entry in listing.having(TABLE_SUFFIXES) if not entry.member]
    index: ImageIndex | None = None
    for entry in tables[:_MOST_TABLES]:
        table = glance_at_table(listing.head(entry), entry.suffix)
        columns = _columns_of(table, EpisodeSettings()) if table is not None else {}
        if table is None or not columns:
            continue
        index = index or ImageIndex(images)
        values = [str(row.get(columns["before"]) or "") for row in table.head]
        if any(not isinstance(index.find(value), str) for value in values):
            return len(images) + 2
    some = images[:: max(1, len(images) // _MOST_LOOKED)]
    if 2 * sum(_role_of(entry.name)[1] != "" for entry in some) <= len(some):
        return 0
    whole = [one for one in _by_names(images).values() if {"before", "after"} <= one.pictures.keys()]
    count = sum(len(one.pictures) for one in whole)
    return len(images) + 1 if 2 * count > len(images) else 0


def find_episodes(listing: Listing, settings: EpisodeSettings) -> Found:
    """Return the whole episodes, and what is lacking of others.

    Raises:
        DataError: columns asked for are not in the only table.
    """
    images = listing.having(IMAGE_SUFFIXES)
    result = Found()
    index = ImageIndex(images)
    tables = [entry for entry in listing.having(TABLE_SUFFIXES) if not entry.member]
    for entry in tables:
        try:
            table = open_table(entry.path)
            columns = _columns_of(table, settings)
            if columns:
                _from_table(entry, table, columns, index, result)
        except DataError as error:
            if settings.columns and len(tables) == 1:
                raise
            result.skipped.append(Skipped(path=entry.name, reason=error.message))
    if not result.episodes and not result.explained:
        result.episodes = list(_by_names(images).values())
    shown = Counter(role for one in result.episodes for role in one.pictures)
    result.roles = ROLES if shown["object"] else ROLES[:2]
    _leave_out(result, settings, images)
    return result


def _from_table(entry: Entry, table: TextTable, columns: Mapping[str, str], index: ImageIndex, result: Found) -> None:
    label, split = table.pick(LABEL_COLUMNS), table.pick(SPLIT_COLUMNS)
    relation, success = table.pick(_RELATIONS), table.pick(_SUCCESS)
    number = 0
    for _, rows in cut_pieces(entry.path, table, 10_000):
        for row in rows:
            number += 1
            where = f"{entry.name} row {number}"
            if "" in row:
                result.skipped.append(Skipped(path=where, reason=str(row[""])))
                continue
            found = {role: index.find(str(row[column])) for role, column in columns.items() if row.get(column)}
            missing = next((reason for reason in found.values() if isinstance(reason, str)), "")
            if missing:
                result.skipped.append(Skipped(path=where, reason=missing))
                continue
            pictures = {role: image for role, image in found.items() if not isinstance(image, str)}
            said = said_of_row(row, label, split, "")
            one = Episode(where, pictures, str(row.get(relation) or "") if relation else "", said=said)
            one.success = _outcome(row, success)
            result.episodes.append(one)
    result.explained.add(entry.name)


def _outcome(row: Row, column: str) -> int:
    word = str(row.get(column, "")).strip().lower() if column else ""
    if word in {"1", "1.0", "true", "yes", "success", "taken"}:
        return 1
    return 0 if word in {"0", "0.0", "false", "no", "failure", "failed"} else -1


def _leave_out(result: Found, settings: EpisodeSettings, images: Sequence[Entry]) -> None:
    """Keep the episodes that are whole; name the others by what they lack, and pictures of none."""
    needed = result.roles if settings.need_object else ROLES[:2]
    whole: list[Episode] = []
    used: set[str] = set()
    for one in result.episodes:
        used |= {entry.name for entry in one.pictures.values()}
        lacking = [role for role in needed if role not in one.pictures]
        if lacking:
            named = next((one.pictures[role].name for role in ROLES if role in one.pictures), one.name)
            path = one.name if " row " in one.name else named
            reason = f"the episode has no picture {' and '.join(said_of_role(role) for role in lacking)}"
            result.skipped.append(Skipped(path=path, reason=reason))
        else:
            whole.append(one)
    result.episodes = whole
    if not settings.need_object and any("object" not in one.pictures for one in whole):
        result.roles = ROLES[:2]
    alone = [entry.name for entry in images if entry.name not in used]
    result.skipped += [Skipped(path=name, reason="a picture of no episode") for name in alone]
    result.explained |= used


def said_of_role(role: str) -> str:
    """Return which picture is meant, for a reason."""
    return "of the object" if role == "object" else role
