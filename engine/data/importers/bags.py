"""Bags: features of the patches of a slide, or of all slides of a case in several stains."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.bags_files import BAG_SUFFIXES, BagHeader, read_bag, read_bag_header
from engine.data.importers.naming import name_records
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.units import Survey, Unit, UnitImporter, Values
from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import SPLITS, FieldKind, FieldSpec, Skipped

_LOOKED_AT = 200  # files judged by their content when a drop is recognised
_HEADERS = 5000
_KNOWN_STAINS = re.compile(
    r"(?P<case>.+)[_-](?P<stain>H&?E|HER2|PGR|PR|ER|KI-?67|PAS|PASM|JMS|JONES|SILVER|TRI|TRICHROME|MT|IHC|P\d{2}|CD\d+)"
    r"(?:[_-](?P<split>train|val|test))?",
    re.IGNORECASE,
)
_PARTS = {"case": r"[^/]+?", "stain": r"[^/]+?", "split": "(?:" + "|".join(SPLITS) + ")", "any": r"[^/]*?"}


class BagSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the import of bags of features."""

    pattern: Annotated[
        str,
        setting(
            "Pattern of names",
            "Where a case has a file for each stain: how files are called, with {case}, {stain}, {split} and {any}, "
            "such as {case}_{stain}. Empty knows the usual names of stains at the end of a name.",
            "Import",
        ),
    ] = ""  # fmt: skip
    join_stains: Annotated[
        bool,
        setting("Join stains", "All stains of a case become one record; else every file is one.", "Import"),
    ] = True  # fmt: skip
    um_per_px: Annotated[
        float,
        setting(
            "µm per pixel",
            "Of the coordinates in the files, where these do not say it. 0 leaves such coordinates in pixels.",
            "Import", 0.0, 100.0, "µm/px",
        ),
    ] = 0.0  # fmt: skip


@dataclass(frozen=True, slots=True)
class BagJob:
    """What the reader puts together: which stain each file of a case is, and what all records have."""

    stains: tuple[int, ...]  # code of each file; () = no stains
    with_coordinates: bool
    scaled: bool  # whether coordinates are micrometres


@dataclass(frozen=True, slots=True)
class _Named:
    entry: Entry
    case: str
    stain: str
    split: str


def count_bag_files(listing: Listing) -> int:
    """Return how many files hold features of patches; of many, judged by 200.

    Where most do, the others count too: they are damaged, and are named.
    """
    candidates = [entry for entry in listing.entries if _suffix(entry.name) in BAG_SUFFIXES and not entry.member]
    chosen = candidates[:: max(1, -(-len(candidates) // _LOOKED_AT))]
    good = sum(not isinstance(_header(entry), str) for entry in chosen)
    return len(candidates) if 2 * good > len(chosen) else good


def survey_bags(listing: Listing, options: ImportOptions, settings: BagSettings) -> Survey:
    """Return which bags there are, by what their files declare.

    Raises:
        DataError: there is none, or the pattern cannot be used.
    """
    entries = [entry for entry in listing.entries if _suffix(entry.name) in BAG_SUFFIXES]
    headers, skipped = _headers(entries)
    rule = _rule(settings.pattern)
    bad = {each.path for each in skipped}
    named = [_named(entry, rule) for entry in entries if entry.name not in bad]
    if rule is not None and settings.pattern:
        skipped += [
            Skipped(path=each.entry.name, reason="its name does not follow the pattern")
            for each in named
            if not each.case
        ]
        named = [each for each in named if each.case]
    if not named or not headers:
        reason = f" ({skipped[0].path}: {skipped[0].reason})" if skipped else ""
        raise DataError(
            f"There is no bag of features among {len(listing.entries)} files{reason}.",
            "HDF5, NPZ and PyTorch files with `features` (members, features) and `coords` can be read.",
        )
    cases, stains = _cases(named, settings)
    width = _width(headers)
    with_coordinates = any(header.has_coordinates for header in headers.values())
    scaled = with_coordinates and (
        settings.um_per_px > 0 or any(header.um_per_px > 0 for header in headers.values() if header.has_coordinates)
    )
    said = name_records(list(cases), listing, options)
    units = []
    for (case, members), words in zip(cases.items(), said, strict=True):
        codes = tuple(stains.index(each.stain) if each.stain else -1 for each in members) if stains else ()
        split = next((each.split for each in members if each.split), words.split)
        job = BagJob(codes, with_coordinates, scaled)
        group = words.group or members[0].case or case
        units.append(Unit(case, tuple(each.entry for each in members), words.label, split, group, job))
    members_usual = sum(header.members for header in headers.values()) / len(headers)
    dtype = np.result_type(*(np.dtype(header.dtype) for header in headers.values())).name
    per_case = sum(len(each) for each in cases.values()) / len(cases)
    return Survey(
        units=units,
        fields=_fields(width, dtype, stains, with_coordinates=with_coordinates, scaled=scaled),
        records=len(units),
        record_bytes=members_usual * per_case * (width * np.dtype(dtype).itemsize + 16),
        noun="case" if stains else "bag",
        recognised=_recognised(named, cases, stains, headers, width),
        skipped=tuple(skipped),
        sizes=_sizes_text(headers),
        warnings=_warnings(headers, width, scaled=scaled),
        labelled=options.labels != "none" and any(each.label for each in said),
        group="case",
        complete=len(headers) + len(skipped) >= len(entries),
    )


def read_bags(unit: Unit, paths: tuple[Path, ...], settings: BagSettings) -> Iterator[Values]:
    """Yield the bag of a case: bag (N, D), where its members lie (N, 2) and which stain each has (N,).

    Raises:
        DataError: a file is damaged, or its features are not as wide as the first one's.
    """
    job: BagJob = unit.details
    features: list[Array] = []
    places: list[Array] = []
    stains: list[Array] = []
    for number, (entry, path) in enumerate(zip(unit.sources, paths, strict=True)):
        where = f"{entry.name}: " if len(paths) > 1 else ""
        try:
            own, coordinates = read_bag(path)
            places.append(_micrometres(path, coordinates, len(own), job, settings))
        except DataError as error:
            raise DataError(where + error.message) from error
        if features and own.shape[1] != features[0].shape[1]:
            raise DataError(f"{where}features are {own.shape[1]} wide, the first ones {features[0].shape[1]}")
        features.append(own)
        if job.stains:
            stains.append(np.full(len(own), job.stains[number], np.int64))
    values: dict[str, object] = {"bag": np.concatenate(features)}
    if job.with_coordinates:
        values["bag_coordinates"] = np.concatenate(places)
    if job.stains:
        values["bag_stains"] = np.concatenate(stains)
    yield values


def _micrometres(path: Path, coordinates: Array | None, count: int, job: BagJob, settings: BagSettings) -> Array:
    if coordinates is None:
        return np.full((count, 2), np.nan)
    values = coordinates.astype(np.float64)
    if not job.scaled:
        return values
    um = read_bag_header(path).um_per_px or settings.um_per_px
    if not um:
        raise DataError("does not say how many µm a pixel of its coordinates is; set `µm per pixel`")
    return values * um


# ── what there is ────────────────────────────────────────────────────────────────────────────────────


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _headers(entries: Sequence[Entry]) -> tuple[dict[str, BagHeader], list[Skipped]]:
    headers: dict[str, BagHeader] = {}
    skipped = []
    chosen = entries[:: max(1, -(-len(entries) // _HEADERS))]
    with ThreadPoolExecutor(4, thread_name_prefix="headers") as pool:
        for entry, header in zip(chosen, pool.map(_header, chosen), strict=True):
            if isinstance(header, str):
                skipped.append(Skipped(path=entry.name, reason=header))
            else:
                headers[entry.name] = header
    return headers, skipped


def _header(entry: Entry) -> BagHeader | str:
    if entry.member:
        return "lies in an archive; unpack it"
    try:
        return read_bag_header(entry.path)
    except DataError as error:
        return error.message
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _rule(pattern: str) -> re.Pattern[str]:
    if not pattern:
        return _KNOWN_STAINS
    parts = re.split(r"\{(\w+)\}", pattern)
    names = parts[1::2]
    unknown = [name for name in names if name not in _PARTS]
    if unknown or "case" not in names or len(set(names) - {"any"}) < len([name for name in names if name != "any"]):
        wrong = f"{{{unknown[0]}}} means nothing" if unknown else "{case} must stand in it, and each part once"
        raise DataError(
            f"The pattern {pattern!r} cannot be used: {wrong}.", "There are {case}, {stain}, {split}, {any}."
        )
    rule = ""
    for place, part in enumerate(parts):
        named = f"(?:{_PARTS[part]})" if part == "any" else f"(?P<{part}>{_PARTS.get(part, '')})"
        rule += re.escape(part) if place % 2 == 0 else named
    return re.compile(rule)


def _named(entry: Entry, rule: re.Pattern[str]) -> _Named:
    folder, _, base = entry.name.rpartition("/")
    match = rule.fullmatch(base.rpartition(".")[0])
    if match is None:
        return _Named(entry, "", "", "")
    said = match.groupdict()
    case = "/".join(part for part in (folder, said["case"]) if part)
    return _Named(entry, case, (said.get("stain") or "").upper(), said.get("split") or "")


def _cases(named: Sequence[_Named], settings: BagSettings) -> tuple[dict[str, list[_Named]], tuple[str, ...]]:
    """Return case → its files by stain, and the stains, H&E first; every file its own case where there are none."""
    stains = {each.stain for each in named if each.stain}
    if len(stains) < 2 and not settings.pattern:
        return {each.entry.name: [each] for each in named}, ()
    order = sorted(stains, key=lambda stain: (stain not in {"HE", "H&E"}, stain))
    if not settings.join_stains:
        return {each.entry.name: [each] for each in named}, tuple(order)
    cases: dict[str, list[_Named]] = defaultdict(list)
    for each in sorted(named, key=lambda one: order.index(one.stain) if one.stain else -1):
        cases[each.case or each.entry.name].append(each)
    return dict(sorted(cases.items())), tuple(order)


def _width(headers: dict[str, BagHeader]) -> int:
    widths = [header.width for header in headers.values()]
    return max(set(widths), key=widths.count)


def _fields(
    width: int, dtype: str, stains: tuple[str, ...], *, with_coordinates: bool, scaled: bool
) -> tuple[FieldSpec, ...]:
    fields = [FieldSpec(name="bag", kind=FieldKind.BAG, shape=(None, width), dtype=dtype)]
    if with_coordinates:
        unit = "µm" if scaled else "px"
        fields.append(
            FieldSpec(name="bag_coordinates", kind=FieldKind.NUMBER, shape=(None, 2), dtype="float64", unit=unit)
        )
    if stains:
        fields.append(FieldSpec(name="bag_stains", kind=FieldKind.NUMBER, shape=(None,), dtype="int64", classes=stains))
    return tuple(fields)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────


def _recognised(
    named: Sequence[_Named],
    cases: dict[str, list[_Named]],
    stains: tuple[str, ...],
    headers: dict[str, BagHeader],
    width: int,
) -> tuple[Recognised, ...]:
    members = sorted(header.members for header in headers.values())
    text = counted(len(named), "bag") + (f" of {counted(len(cases), 'case')}" if stains else "")
    detail = f"{members[0]:,} to {members[-1]:,} members, {width} features each"
    return (
        Recognised(
            kind=FieldKind.BAG.value,
            count=len(named),
            text=text,
            detail=detail + (f"; stains {', '.join(stains)}" if stains else ""),
            reading=f"read as {counted(len(cases), 'record')} (members, {width})",
        ),
    )


def _sizes_text(headers: dict[str, BagHeader]) -> str:
    members = sorted(header.members for header in headers.values())
    return f"{members[0]:,} to {members[-1]:,} members"


def _warnings(headers: dict[str, BagHeader], width: int, *, scaled: bool) -> tuple[str, ...]:
    warnings = []
    if others := sum(header.width != width for header in headers.values()):
        warnings.append(f"{counted(others, 'file')} with other than {width} features will be left out.")
    if not scaled and any(header.has_coordinates for header in headers.values()):
        warnings.append("The files do not say how many µm a pixel is; coordinates stay in pixels of the slide.")
    return tuple(warnings)


BAGS = UnitImporter(
    name="bags",
    kind=FieldKind.BAG.value,
    recognise_entries=count_bag_files,
    survey=survey_bags,
    read_unit=read_bags,
    settings=BagSettings,
)
