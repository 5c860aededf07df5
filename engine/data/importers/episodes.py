"""Episodes: a scene before, the same after something was taken out of it, and what was taken; or two related pictures.

A record is `pregrasp`, `postgrasp` and `goal`, or `before` and `after` where no object is shown, each (3, H, W); a
table may say a relation, whether the grasp succeeded, and a label. Files are tied by a table that names them, by
folders, or by the ends of their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.data.importers.amounts import counted
from engine.data.importers.decoding import DecodeRequest, Task, decode_task
from engine.data.importers.episodes_finding import (
    EpisodeSettings,
    find_episodes,
    recognise_episodes,
    said_of_role,
)
from engine.data.importers.image_survey import survey_images
from engine.data.importers.sources import Listing
from engine.data.importers.units import Survey, Unit, UnitImporter, Values
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec

_GRASP_FIELDS = {"before": "pregrasp", "after": "postgrasp", "object": "goal"}
_OUTCOMES = ("failed", "taken")


@dataclass(frozen=True, slots=True)
class _Details:
    """What the reader of an episode needs."""

    request: DecodeRequest
    roles: tuple[str, ...]  # of the unit's files, in order
    fields: tuple[str, ...]
    relation: str
    success: int


def _field_names(roles: Sequence[str]) -> tuple[str, ...]:
    return tuple(_GRASP_FIELDS[role] for role in roles) if "object" in roles else tuple(roles)


def survey_episodes(listing: Listing, options: ImportOptions, settings: EpisodeSettings) -> Survey:
    """Tie pictures to episodes; reads tables and headers.

    Raises:
        DataError: there is no whole episode.
    """
    found = find_episodes(listing, settings)
    if not found.episodes:
        why = f"; {found.skipped[0].path}: {found.skipped[0].reason}" if found.skipped else ""
        raise DataError(
            f"There is no whole episode among {len(listing.entries)} files{why}.",
            "A table with columns before, after and object, or names that end in _before, _after, _object, tell them.",
        )
    plain = msgspec.structs.replace(options, labels="none", table="", split_by="", keep_encoded=False)
    entries = [one.pictures[role] for one in found.episodes for role in found.roles]
    pictures = survey_images(Listing(entries=list(dict.fromkeys(entries))), plain, every_header=False)
    request = DecodeRequest(3, options.size_px, "uint8", keep_encoded=False)
    side = options.size_px or None
    sizes = {(header.height, header.width) for header in pictures.headers.values()}
    sides = (side, side) if side or len(sizes) != 1 else next(iter(sizes))
    with_relation = any(one.relation for one in found.episodes)
    with_success = any(one.success >= 0 for one in found.episodes)
    colours = ("red", "green", "blue")
    fields = [
        FieldSpec(name=name, kind=FieldKind.IMAGE, shape=(3, *sides), channels=colours)
        for name in _field_names(found.roles)
    ]
    if with_relation:
        fields.append(FieldSpec(name="relation", kind=FieldKind.TEXT, dtype="str"))
    if with_success:
        fields.append(FieldSpec(name="success", kind=FieldKind.LABEL, dtype="int64", classes=_OUTCOMES))
    names = tuple(spec.name for spec in fields)
    units = [
        Unit(
            one.name,
            tuple(one.pictures[role] for role in found.roles),
            str(one.said.get("label", "")),
            str(one.said.get("split", "")),
            details=_Details(request, found.roles, names, one.relation, one.success),
        )
        for one in found.episodes
    ]
    size = pictures.bytes_needed(plain) / max(1, len(pictures.entries))
    return Survey(
        units=units,
        fields=tuple(fields),
        records=len(units),
        record_bytes=size * len(found.roles),
        noun="episode",
        recognised=(
            Recognised(kind=FieldKind.IMAGE.value, count=len(units), text=f"{counted(len(units), 'episode')}"),
        ),
        skipped=tuple(found.skipped),
        explained=frozenset(found.explained),
        sizes=" × ".join("any" if each is None else str(each) for each in sides) + " px",
        labelled=any(unit.label for unit in units) and options.labels != "none",
    )


def read_episode(unit: Unit, paths: tuple[Path, ...], settings: EpisodeSettings) -> Iterator[Values]:  # noqa: ARG001
    """Yield the one record of an episode.

    Raises:
        DataError: a picture cannot be read.
    """
    details: _Details = unit.details
    values: dict[str, Any] = {"relation": details.relation, "success": details.success}
    for role, name, path in zip(details.roles, _field_names(details.roles), paths, strict=True):
        outcome = decode_task(Task(0, str(path)), details.request)
        if outcome.reason:
            raise DataError(f"the picture {said_of_role(role)}: {outcome.reason}")
        values[name] = outcome.pixels
    yield {name: values[name] for name in details.fields}


EPISODES = UnitImporter(
    name="episodes",
    kind="episodes",
    recognise_entries=recognise_episodes,
    survey=survey_episodes,
    read_unit=read_episode,
    settings=EpisodeSettings,
)
