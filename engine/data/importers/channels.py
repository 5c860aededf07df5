"""Channels: OME-TIFF, ImageJ and multi-page TIFF, OME-Zarr, plates with one file per channel; any channel count."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.channels_plates import Site, find_sites
from engine.data.importers.channels_reading import ChannelJob, read_channels
from engine.data.importers.channels_settings import (
    ChannelSettings,
    StackHeader,
    count_stacks,
    name_channels,
    settle_axes,
    tile_places,
)
from engine.data.importers.channels_tiff import TIFF_SUFFIXES, is_channel_tiff, read_tiff_headers, siblings, tiff_fault
from engine.data.importers.channels_vendors import VENDOR_PACKAGES, missing_package, opened_vendor
from engine.data.importers.channels_zarr import open_picture, zarr_pictures, zarr_roots
from engine.data.importers.naming import name_records
from engine.data.importers.sources import ArchiveReader, Entry, Listing
from engine.data.importers.units import Survey, Unit, UnitImporter
from engine.data.pictures import inspect_picture
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped

_HEADERS = 2000  # files whose headers are read before the import; of more, as many evenly spread
_PACKED_HEADERS = 20  # of files in archives, which are unpacked for it


@dataclass(frozen=True, slots=True)
class _Source:
    """One unit to be: what it is read from, and how it was found."""

    kind: str  # "tiff", "zarr", "vendor", "site"
    name: str
    entries: tuple[Entry, ...]
    plate: str = ""
    well: str = ""
    site: Site | None = None


@dataclass(slots=True)
class _Found:
    sources: list[_Source]
    skipped: list[Skipped]
    explained: set[str]
    headers: dict[int, list[StackHeader]]  # by place in `sources`; settled
    records: int = 0


def count_channel_files(listing: Listing) -> int:
    """Return how many files would be read as multi-channel pictures.

    TIFF files that cannot be read count with those that can: they are named.
    """
    good = 0
    others: list[Entry] = []
    for entry in listing.entries:
        suffix = _suffix(entry)
        if suffix in TIFF_SUFFIXES:
            if is_channel_tiff(listing, entry):
                good += 1
            else:
                others.append(entry)
        elif suffix in VENDOR_PACKAGES:
            good += not missing_package(suffix)
    count = good + sum(not entry.member and bool(tiff_fault(entry.path)) for entry in others) if good else 0
    count += sum(len(places) for _, places in zarr_roots(listing).values())
    sites = find_sites(listing.entries, "")
    return max(count, sum(len(planes) for site in sites for planes in site.planes))


def survey_channels(listing: Listing, options: ImportOptions, settings: ChannelSettings) -> Survey:
    """Return what multi-channel pictures there are, by names and headers.

    Raises:
        DataError: there is none, or the pattern of names cannot be used.
    """
    found = _find(listing, settings)
    if not found.sources:
        reason = f" ({found.skipped[0].path}: {found.skipped[0].reason})" if found.skipped else ""
        raise DataError(
            f"There is no multi-channel picture among {len(listing.entries)} files{reason}.",
            "OME-TIFF, ImageJ and multi-page TIFF, OME-Zarr and plates with one file per channel can be read.",
        )
    _read_headers(found, settings)
    headers = [header for each in found.headers.values() for header in each]
    if not headers:
        raise DataError(
            f"None of {counted(len(found.sources), 'picture')} can be read; "
            f"{found.skipped[0].path}: {found.skipped[0].reason}."
        )
    fields, job = _fields(found, headers, options, settings)
    named = name_records([source.name for source in found.sources], listing, options)
    plates = any(source.well for source in found.sources)
    units = [
        Unit(
            source.name,
            source.entries,
            said.label if not plates else "",
            said.split,
            said.group or _group(source, settings),
            _job_of(source, job),
        )
        for source, said in zip(found.sources, named, strict=True)
    ]
    sampled = len(found.headers) < len(found.sources)
    per_source = found.records / len(found.headers)
    records = round(per_source * len(found.sources))
    usual = sum(_record_bytes(header, options, settings) for header in headers) / len(headers)
    return Survey(
        units=units,
        fields=fields,
        records=records,
        record_bytes=usual * np.dtype(job.dtype).itemsize,
        noun="picture",
        recognised=_recognised(found, headers, job, records),
        skipped=tuple(found.skipped),
        explained=frozenset(found.explained),
        sizes=_sizes_text(headers),
        warnings=_warnings(headers),
        labelled=options.labels != "none" and not plates and any(said.label for said in named),
        group=(settings.group if plates else "source"),
        complete=not sampled,
    )


# ── what there is ────────────────────────────────────────────────────────────────────────────────────


def _find(listing: Listing, settings: ChannelSettings) -> _Found:
    found = _Found([], [], set(), {})
    inside: set[int] = set()
    for root, (name, places) in zarr_roots(listing).items():
        inside.update(places)
        entries = [listing.entries[place] for place in places]
        found.explained.update(entry.name for entry in entries)
        pictures, skipped = zarr_pictures(root, name)
        found.skipped += skipped
        size = sum(entry.size for entry in entries) // max(1, len(pictures))
        changed = max(entry.changed_ns for entry in entries)
        for each in pictures:
            entry = Entry(each.name, size, each.folder, changed_ns=changed)
            found.sources.append(_Source("zarr", each.name, (entry,), each.plate, each.well))
    rest = [entry for place, entry in enumerate(listing.entries) if place not in inside]
    sites = find_sites(rest, settings.pattern)
    taken: set[str] = set()
    for site in sites:
        files = tuple(entry for planes in site.planes for entry in planes)
        taken.update(entry.name for entry in files)
        found.sources.append(_Source("site", site.name, files, site.plate, site.well, site))
    _find_files(listing, [entry for entry in rest if entry.name not in taken], found)
    return found


def _find_files(listing: Listing, entries: Sequence[Entry], found: _Found) -> None:
    by_path = {entry.path: entry for entry in entries if not entry.member}
    used: set[Path] = set()
    for entry in entries:
        suffix = _suffix(entry)
        if ".zarr/" in entry.name and entry.member:
            found.skipped.append(Skipped(path=entry.name, reason="an OME-Zarr inside an archive; unpack it"))
        elif suffix in VENDOR_PACKAGES:
            if reason := missing_package(suffix):
                found.skipped.append(Skipped(path=entry.name, reason=reason))
            else:
                found.sources.append(_Source("vendor", entry.name, (entry,)))
        elif suffix in TIFF_SUFFIXES and entry.path not in used and is_channel_tiff(listing, entry):
            _add_tiff(entry, by_path, used, found)
        elif suffix in TIFF_SUFFIXES and entry.path not in used:
            found.skipped.append(Skipped(path=entry.name, reason=_no_channels(entry)))


def _no_channels(entry: Entry) -> str:
    """Return why a TIFF file is none of multi-channel pictures."""
    if entry.size == 0:
        return "the file is empty"
    fault = "" if entry.member else tiff_fault(entry.path)
    return fault or "a picture without channels; import it as an image"


def _add_tiff(entry: Entry, by_path: dict[Path, Entry], used: set[Path], found: _Found) -> None:
    """Add a TIFF file, with the others that its OME description names."""
    others: list[Entry] = []
    if not entry.member and b"<OME" in _first_bytes(entry):
        try:
            names = siblings(entry.path)
        except DataError as error:
            found.skipped.append(Skipped(path=entry.name, reason=error.message))
            return
        missing = [name for name in names if not (entry.path.parent / PurePosixPath(name).name).is_file()]
        if missing:
            reason = f"belongs to {missing[0]}, which is not beside it"
            found.skipped.append(Skipped(path=entry.name, reason=reason))
            return
        paths = [entry.path.parent / PurePosixPath(name).name for name in names]
        used.update(paths)
        others = [by_path[path] for path in paths if path in by_path and path != entry.path]
    found.sources.append(_Source("tiff", entry.name, (entry, *others)))


def _first_bytes(entry: Entry) -> bytes:
    with entry.path.open("rb") as file:
        head = file.read(1 << 16)
        file.seek(max(0, entry.size - (1 << 16)))
        return head + file.read()


def _suffix(entry: Entry) -> str:
    return entry.name.rpartition(".")[2].lower()


def _read_headers(found: _Found, settings: ChannelSettings) -> None:
    count = len(found.sources)
    packed = any(source.entries[0].member for source in found.sources)
    most = min(count, _PACKED_HEADERS if packed else _HEADERS)
    places = np.unique(np.linspace(0, count - 1, most).astype(np.int64)).tolist()
    bad: set[int] = set()
    with ThreadPoolExecutor(4, thread_name_prefix="headers") as pool:
        looked = pool.map(lambda place: _header(found.sources[place], settings), places)
        for place, headers in zip(places, looked, strict=True):
            if isinstance(headers, str):
                found.skipped.append(Skipped(path=found.sources[place].name, reason=headers))
                bad.add(place)
            elif headers:
                found.headers[place] = headers
                found.records += sum(_records_of(header, settings) for header in headers)
    for place in bad:
        found.explained.update(entry.name for entry in found.sources[place].entries)
    if bad:
        kept = [place for place in range(count) if place not in bad]
        found.headers = {kept.index(place): headers for place, headers in found.headers.items()}
        found.sources = [found.sources[place] for place in kept]


def _header(source: _Source, settings: ChannelSettings) -> list[StackHeader] | str:
    entry = source.entries[0]
    try:
        if not entry.member:
            return _headers_of(source, entry.path, settings)
        with tempfile.TemporaryDirectory(prefix="selfsight-header-") as folder, ArchiveReader() as reader:
            file = Path(folder) / f"file.{_suffix(entry)}"
            file.write_bytes(reader.read(entry))
            return _headers_of(source, file, settings)
    except DataError as error:
        return error.message
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _headers_of(source: _Source, path: Path, settings: ChannelSettings) -> list[StackHeader]:
    if source.site is not None:
        return [_site_header(source.site, path, settings)]
    if source.kind == "zarr":
        return [settle_axes(open_picture(path)[1], settings)]
    if source.kind == "vendor":
        with opened_vendor(path) as (_, header):
            return [settle_axes(header, settings)]
    headers = read_tiff_headers(path)
    same = [each for each in headers if (each.axes, each.dtype) == (headers[0].axes, headers[0].dtype)]
    return [settle_axes(each, settings) for each in same]


def _site_header(site: Site, path: Path, settings: ChannelSettings) -> StackHeader:
    """Return what a site declares, judged by its first plane."""
    count = len(site.channels)
    if path.suffix.lower().lstrip(".") in TIFF_SUFFIXES:
        header = settle_axes(read_tiff_headers(path)[0], settings)
        shape = (count, header.height, header.width)
        return settle_axes(StackHeader("CYX", shape, header.dtype, site.channels, header.spacing_um), settings)
    with path.open("rb") as file:
        picture = inspect_picture(file)
    dtype = "uint16" if picture.bits == 16 else "uint8"
    return settle_axes(StackHeader("CYX", (count, picture.height, picture.width), dtype, site.channels), settings)


# ── what a dataset of it looks like ──────────────────────────────────────────────────────────────────


def _fields(
    found: _Found, headers: Sequence[StackHeader], options: ImportOptions, settings: ChannelSettings
) -> tuple[tuple[FieldSpec, ...], ChannelJob]:
    whole = len(found.headers) == len(found.sources)
    names = Counter(name_channels(header.names, header.channels) for header in headers)
    counts = {header.channels for header in headers}
    sites = any(source.site is not None for source in found.sources)
    site_names = {source.site.channels for source in found.sources if source.site is not None}
    if sites:
        counts |= {len(each) for each in site_names}
    same_names = len(names) == 1 and (not sites or len(site_names) == 1)
    channels = counts.pop() if len(counts) == 1 else None
    classes = () if same_names else tuple(sorted({name for each in (*names, *site_names) for name in each}))
    dtype = np.result_type(*(np.dtype(header.dtype) for header in headers)).name
    spacings = {header.spacing_um for header in headers}
    side = _side(headers, options, settings, whole=whole)
    varied = len(spacings) > 1 or (options.size_px > 0 and spacings != {None})
    spacing = next(iter(spacings))
    constant = () if varied or spacing is None else tuple(step / 1000 for step in spacing)
    fields = [
        FieldSpec(
            name="channels",
            kind=FieldKind.CHANNELS,
            shape=(channels, *side),
            dtype=dtype,
            channels=next(iter(names)) if same_names else (),
            spacing_mm=constant,
        )
    ]
    if classes:
        fields.append(
            FieldSpec(name="channels_names", kind=FieldKind.NUMBER, shape=(channels,), dtype="int64", classes=classes)
        )
    if varied:
        fields.append(
            FieldSpec(name="channels_spacing_mm", kind=FieldKind.NUMBER, shape=(2,), dtype="float64", unit="mm")
        )
    return tuple(fields), ChannelJob("", dtype, options.size_px, classes, varied, channels=channels)


def _side(
    headers: Sequence[StackHeader], options: ImportOptions, settings: ChannelSettings, *, whole: bool
) -> tuple[int | None, int | None]:
    if options.size_px:
        return options.size_px, options.size_px
    sizes = {(_cut(header.height, settings), _cut(header.width, settings)) for header in headers}
    return next(iter(sizes)) if len(sizes) == 1 and whole else (None, None)


def _cut(side: int, settings: ChannelSettings) -> int:
    return min(side, settings.tile_px) if settings.tile_px else side


def _job_of(source: _Source, job: ChannelJob) -> ChannelJob:
    planes = tuple(len(each) for each in source.site.planes) if source.site is not None else ()
    names = source.site.channels if source.site is not None else ()
    return ChannelJob(
        source.kind, job.dtype, job.px, job.classes, job.with_spacing, source.well, planes, names, job.channels
    )


def _group(source: _Source, settings: ChannelSettings) -> str:
    if source.well and settings.group == "well":
        return f"{source.plate} {source.well}".strip()
    return source.plate or source.name


def _records_of(header: StackHeader, settings: ChannelSettings) -> int:
    tile = settings.tile_px
    places = len(tile_places(header.height, tile)) * len(tile_places(header.width, tile))
    return count_stacks(header, settings) * places


def _record_bytes(header: StackHeader, options: ImportOptions, settings: ChannelSettings) -> int:
    """Return values of one record, not bytes: the type comes later."""
    if options.size_px:
        return header.channels * options.size_px**2
    return header.channels * _cut(header.height, settings) * _cut(header.width, settings)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────

_NOUNS = {"tiff": "TIFF file", "zarr": "OME-Zarr picture", "vendor": "microscope file", "site": "site"}


def _recognised(found: _Found, headers: Sequence[StackHeader], job: ChannelJob, records: int) -> tuple[Recognised, ...]:
    counts = sorted({header.channels for header in headers})
    span = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    told = []
    for kind, count in Counter(source.kind for source in found.sources).items():
        wells = len({(source.plate, source.well) for source in found.sources if source.kind == kind and source.well})
        told.append(
            Recognised(
                kind=FieldKind.CHANNELS.value,
                count=count,
                text=counted(count, _NOUNS[kind]) + (f" of {counted(wells, 'well')}" if wells else ""),
                detail=f"{span} channels, {job.dtype}",
                reading=f"read as {counted(records, 'record')} of channels",
            )
        )
    return tuple(told)


def _sizes_text(headers: Sequence[StackHeader]) -> str:
    ordered = sorted({(header.height, header.width) for header in headers}, key=math.prod)
    ends = [f"{width} × {height}" for height, width in (ordered[0], ordered[-1])]
    return " to ".join(dict.fromkeys(ends)) + " px"


def _warnings(headers: Sequence[StackHeader]) -> tuple[str, ...]:
    types = {header.dtype for header in headers}
    if len(types) > 1:
        return (f"The files hold {' and '.join(sorted(types))} values; they are kept as they are, in the wider type.",)
    return ()


CHANNELS = UnitImporter(
    name="channels",
    kind=FieldKind.CHANNELS.value,
    recognise_entries=count_channel_files,
    survey=survey_channels,
    read_unit=read_channels,
    settings=ChannelSettings,
)
