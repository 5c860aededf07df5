"""Clips: video files, moving GIFs, folders of numbered frames, and tracks cut out along boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from engine.data.importers.amounts import counted
from engine.data.importers.clips_dicom import find_loops, look_at_loops
from engine.data.importers.clips_finding import (
    VIDEO_SUFFIXES,
    FrameRun,
    count_clip_files,
    frame_runs,
    is_moving_gif,
    is_video,
    suffix_of,
)
from engine.data.importers.clips_reading import ClipJob, read_clips, run_times
from engine.data.importers.clips_settings import ClipSettings, chosen_frames, clip_place, count_clips
from engine.data.importers.clips_tracks import read_tracks, tables_beside
from engine.data.importers.clips_video import (
    Header,
    Look,
    Shape,
    look,
    read_header,
)
from engine.data.importers.dicom_headers import DicomHeader
from engine.data.importers.dicom_heap import Veil, name_units, owner_of, pseudonyms, read_names
from engine.data.importers.naming import Named, name_records
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.units import Survey, Unit, UnitImporter
from engine.data.pictures import inspect_picture
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped

_LOOKED_AT = 24  # videos whose first frame is decoded before the import
_UNIT_BYTES = 48 * 1024**2
_TRACK_PX = 128  # where no size is asked for, since boxes change theirs


@dataclass(slots=True)
class _Found:
    """The videos and folders among what was dropped, and what was seen of them."""

    videos: list[tuple[Entry, Header | None]]
    runs: list[FrameRun]
    looks: list[Look]
    skipped: list[Skipped]
    every_one_looked_at: bool
    loops: list[DicomHeader]

    @property
    def sizes(self) -> set[tuple[int, int]]:
        return {(each.height, each.width) for each in self.looks}


def survey_clips(listing: Listing, options: ImportOptions, settings: ClipSettings) -> Survey:
    """Return what clips there are, by headers and a few first frames.

    Raises:
        DataError: there is no video and no folder of numbered pictures.
    """
    found = _find(listing, options)
    if not found.videos and not found.runs and not found.loops:
        reason = f" ({found.skipped[0].path}: {found.skipped[0].reason})" if found.skipped else ""
        raise DataError(
            f"There is no video among {len(listing.entries)} files{reason}.",
            "MP4, MOV, AVI, MKV, WebM, moving GIF, DICOM loops and folders of 8 or more numbered pictures can be read.",
        )
    channels = _channels(found, settings)
    tables = tables_beside(listing, [entry for entry, _ in found.videos]) if settings.tracks else {}
    tracked = bool(tables)
    shape = Shape(options.size_px or (_TRACK_PX if tracked else 0), channels)
    strict = settings.colour == "auto" and channels == 1
    frame_bytes = _frame_bytes(found, shape)
    names = [entry.name for entry, _ in found.videos] + [run.name + "/frame" for run in found.runs]
    named = name_records(names, listing, options)
    units: list[Unit] = []
    records = 0
    skipped = list(found.skipped)
    for (entry, header), said in zip(found.videos, named, strict=False):
        if entry.name in tables:
            made, count = _track_units(entry, tables[entry.name], said, shape, settings, skipped, must_be_grey=strict)
        else:
            made, count = _video_units(entry, header, said, shape, settings, frame_bytes, must_be_grey=strict)
        units += made
        records += count
    for run, said in zip(found.runs, named[len(found.videos) :], strict=True):
        made, count = _run_units(run, said, shape, settings, frame_bytes, must_be_grey=strict)
        units += made
        records += count
    if found.loops:
        made, count, words = _loop_units(found.loops, listing, options, shape, settings, must_be_grey=strict)
        units += made
        records += count
        named += words
    frames = _usual_frames(found, settings)
    clip_bytes = frames * frame_bytes
    side = _side(found, shape)
    length = settings.clip_frames if settings.clip_frames and settings.short != "keep" else None
    labelled = options.labels != "none" and any(each.label for each in named)
    return Survey(
        units=units,
        fields=(
            FieldSpec(
                name="clip",
                kind=FieldKind.CLIP,
                shape=(length, channels, *side),
                channels=("grey",) if channels == 1 else ("red", "green", "blue"),
            ),
            FieldSpec(name="clip_times_s", kind=FieldKind.NUMBER, shape=(length,), dtype="float64", unit="s"),
            FieldSpec(name="start", kind=FieldKind.TIME, dtype="float64", unit="s"),
        ),
        records=records,
        record_bytes=clip_bytes + 8 * frames,
        noun="clip",
        recognised=_recognised(found, shape, settings, records),
        skipped=tuple(skipped),
        explained=frozenset(table.name for table in tables.values()),
        sizes=_sizes_text(found),
        warnings=_warnings(clip_bytes, found),
        labelled=labelled,
        group="identity" if tracked else "patient" if found.loops else "video",
        complete=all(header is not None for _, header in found.videos),
    )


# ── what there is ────────────────────────────────────────────────────────────────────────────────────


def _find(listing: Listing, options: ImportOptions) -> _Found:
    entries = []
    skipped = []
    for entry in listing.entries:
        suffix = suffix_of(entry.name)
        if suffix == "gif":
            entries += [entry] if is_moving_gif(listing, entry) or (entry.member and options.kind) else []
        elif suffix in VIDEO_SUFFIXES and is_video(listing, entry):
            entries.append(entry)
        elif suffix in VIDEO_SUFFIXES:
            empty = "the file is empty" if entry.size == 0 else "not a video: it does not begin like one"
            skipped.append(Skipped(path=entry.name, reason=empty))
    videos: list[tuple[Entry, Header | None]] = []
    with ThreadPoolExecutor(4, thread_name_prefix="headers") as pool:
        for entry, header in zip(entries, pool.map(_header, entries), strict=True):
            if isinstance(header, str):
                skipped.append(Skipped(path=entry.name, reason=header))
            else:
                videos.append((entry, header))
    wanted = {FieldKind.CLIP.value, CLIPS_NAME}
    runs = [run for run in frame_runs(listing) if run.called_frames or options.kind in wanted]
    looks, every = _look_at(videos, runs)
    loops = find_loops(listing)
    return _Found(videos, runs, looks + look_at_loops(loops), skipped, every and not loops, loops)


def _header(entry: Entry) -> Header | str | None:
    if entry.member:
        return None
    try:
        return read_header(entry.path)
    except DataError as error:
        return error.message
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _look_at(videos: Sequence[tuple[Entry, Header | None]], runs: Sequence[FrameRun]) -> tuple[list[Look], bool]:
    plain = [entry.path for entry, _ in videos if not entry.member]
    folders = [run.entries[0].path for run in runs if not run.entries[0].member]
    chosen = plain[:: max(1, -(-len(plain) // _LOOKED_AT))]
    looks = []
    for path in chosen:
        try:
            looks.append(look(path))
        except DataError:
            continue  # the reader names it
    for path in folders[:: max(1, -(-len(folders) // _LOOKED_AT))]:
        try:
            with path.open("rb") as file:
                picture = inspect_picture(file)
        except (DataError, OSError):
            continue  # the reader names it
        looks.append(Look(picture.width, picture.height, picture.channels == 1))
    return looks, len(looks) == len(videos) + len(runs)


def _channels(found: _Found, settings: ClipSettings) -> int:
    if settings.colour != "auto":
        return 1 if settings.colour == "grey" else 3
    return 1 if found.looks and all(each.grey for each in found.looks) else 3


def _side(found: _Found, shape: Shape) -> tuple[int | None, int | None]:
    if shape.px:
        return shape.px, shape.px
    return next(iter(found.sizes)) if len(found.sizes) == 1 and found.every_one_looked_at else (None, None)


def _frame_bytes(found: _Found, shape: Shape) -> int:
    if shape.px:
        return shape.px**2 * shape.channels
    pixels = [each.width * each.height for each in found.looks]
    pixels += [header.width * header.height for _, header in found.videos if header is not None]
    return shape.channels * (sum(pixels) // len(pixels) if pixels else 320 * 240)


def _usual_frames(found: _Found, settings: ClipSettings) -> float:
    counts = [_frames_of(header, settings) for _, header in found.videos if header is not None]
    counts += [len(run.numbers) for run in found.runs] + [len(loop.frames) for loop in found.loops]
    usual = sum(counts) / len(counts) if counts else 64.0
    return min(usual, settings.clip_frames) if settings.clip_frames else usual


def _frames_of(header: Header, settings: ClipSettings) -> int:
    if settings.frame_rate_hz > 0:
        return int(header.duration_s * settings.frame_rate_hz) + 1
    return max(1, header.frames)


# ── units ────────────────────────────────────────────────────────────────────────────────────────────


def _video_units(
    entry: Entry,
    header: Header | None,
    said: Named,
    shape: Shape,
    settings: ClipSettings,
    frame_bytes: int,
    *,
    must_be_grey: bool,
) -> tuple[list[Unit], int]:
    own = header.width * header.height * shape.channels if header and not shape.px else frame_bytes
    frames = _frames_of(header, settings) if header else 0
    clips = count_clips(frames, settings)
    per_unit = _clips_per_unit(own, frames, settings)
    starts = list(range(0, clips, per_unit))
    units = []
    for number, first in enumerate(starts):
        last = first + per_unit if number + 1 < len(starts) else None
        part = f" (part {number + 1} of {len(starts)})" if len(starts) > 1 else ""
        job = ClipJob(shape, first, last, must_be_grey=must_be_grey, title=entry.name)
        units.append(Unit(entry.name + part, (entry,), said.label, said.split, said.group or entry.name, job))
    return units, clips


def _run_units(
    run: FrameRun, said: Named, shape: Shape, settings: ClipSettings, frame_bytes: int, *, must_be_grey: bool
) -> tuple[list[Unit], int]:
    places = chosen_frames(run_times(run.numbers, settings), settings.frame_rate_hz)
    clips = count_clips(len(places), settings)
    per_unit = _clips_per_unit(frame_bytes, len(places), settings)
    units = []
    for first in range(0, clips, per_unit):
        last = min(clips, first + per_unit)
        start = int(places[clip_place(first, len(places), settings)[0]])
        stop = int(places[clip_place(last - 1, len(places), settings)[1] - 1]) + 1
        job = ClipJob(
            shape, first, last, must_be_grey=must_be_grey, title=run.name, numbers=run.numbers, offset=start,
            frames=len(places),
        )  # fmt: skip
        part = f" (from frame {run.numbers[start]})" if clips > per_unit else ""
        group = said.group or run.name
        units.append(Unit(run.name + part, run.entries[start:stop], said.label, said.split, group, job))
    return units, clips


def _track_units(
    entry: Entry,
    table: Entry,
    said: Named,
    shape: Shape,
    settings: ClipSettings,
    skipped: list[Skipped],
    *,
    must_be_grey: bool,
) -> tuple[list[Unit], int]:
    try:
        tracks = read_tracks(table)
    except DataError as error:
        skipped.append(Skipped(path=table.name, reason=error.message))
        return [], 0
    units = []
    clips = 0
    for track in tracks:
        job = ClipJob(shape, 0, None, must_be_grey=must_be_grey, title=entry.name, track=track)
        group = track.identity if track.is_global else f"{entry.name}/{track.identity}"
        units.append(Unit(f"{entry.name}/{track.identity}", (entry,), said.label, said.split, group, job))
        clips += count_clips(len(track.frames), settings)
    return units, clips


def _loop_units(
    loops: Sequence[DicomHeader],
    listing: Listing,
    options: ImportOptions,
    shape: Shape,
    settings: ClipSettings,
    *,
    must_be_grey: bool,
) -> tuple[list[Unit], int, list[Named]]:
    """Return a unit for each loop, called after pseudonyms, grouped by patient."""
    aliases = pseudonyms(loops)
    veil = Veil(loops, aliases)
    said = read_names(loops, listing, options)
    units = []
    for loop, name, words in zip(loops, name_units(loops, aliases), said, strict=True):
        job = ClipJob(shape, 0, None, must_be_grey=must_be_grey, title=name, loop=loop)
        group = words.group or aliases[owner_of(loop)]
        units.append(Unit(name, (loop.entry,), words.label, words.split, group, job, veil.over(loop.entry.name)))
    return units, sum(count_clips(len(loop.frames), settings) for loop in loops), said


def _clips_per_unit(frame_bytes: int, frames: int, settings: ClipSettings) -> int:
    length = min(settings.clip_frames or frames, frames) or 1
    return max(1, _UNIT_BYTES // max(1, frame_bytes * length))


# ── words ────────────────────────────────────────────────────────────────────────────────────────────


def _recognised(found: _Found, shape: Shape, settings: ClipSettings, records: int) -> tuple[Recognised, ...]:
    size = f"{shape.px} × {shape.px}" if shape.px else "as they are"
    length = f"clips of {settings.clip_frames} frames" if settings.clip_frames else "whole videos"
    reading = f"read as {counted(records, 'record')}: {length}, {shape.channels} × {size}"
    told = []
    if found.videos:
        headers = [header for _, header in found.videos if header is not None]
        seconds = sum(header.duration_s for header in headers)
        detail = f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.1f} seconds"
        told.append(
            Recognised(
                kind=FieldKind.CLIP.value,
                count=len(found.videos),
                text=counted(len(found.videos), "video"),
                detail=detail if headers else "",
                reading=reading,
            )
        )
    if found.loops:
        told.append(
            Recognised(
                kind=FieldKind.CLIP.value,
                count=len(found.loops),
                text=counted(len(found.loops), "DICOM loop"),
                detail=f"{sum(len(loop.frames) for loop in found.loops):,} frames",
                reading=reading,
            )
        )
    if found.runs:
        frames = sum(len(run.numbers) for run in found.runs)
        told.append(
            Recognised(
                kind=FieldKind.CLIP.value,
                count=len(found.runs),
                text=counted(len(found.runs), "folder") + " of numbered frames",
                detail=f"{frames:,} frames, {settings.folder_rate_hz:g} a second",
                reading=reading,
            )
        )
    return tuple(told)


def _sizes_text(found: _Found) -> str:
    if not found.sizes:
        return ""
    ordered = sorted(found.sizes, key=math.prod)
    ends = [f"{width} × {height}" for height, width in (ordered[0], ordered[-1])]
    return " to ".join(dict.fromkeys(ends)) + " px"


def _warnings(clip_bytes: float, found: _Found) -> tuple[str, ...]:
    warnings = []
    if clip_bytes > 64 * 1024**2:
        warnings.append(
            f"A clip takes {clip_bytes / 1e6:,.0f} MB at this size; a shorter side of 112 to 256 px is usual."
        )
    if len({each.grey for each in found.looks}) > 1:
        warnings.append("Some videos are grey and some have colour; all are kept with three channels.")
    if found.loops:
        warnings.append("Frames of DICOM loops may show names of patients; look at the previews.")
    return tuple(warnings)


CLIPS_NAME = "clips"
CLIPS = UnitImporter(
    name=CLIPS_NAME,
    kind=FieldKind.CLIP.value,
    recognise_entries=count_clip_files,
    survey=survey_clips,
    read_unit=read_clips,
    settings=ClipSettings,
    limit_s=300.0,
)
