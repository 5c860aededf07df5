"""Reading clips: of a video, of numbered pictures, along the boxes of a track."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.data.importers.clips_dicom import read_loop
from engine.data.importers.clips_finding import suffix_of
from engine.data.importers.clips_settings import ClipSettings, chosen_frames, clip_place, count_clips, fill_up
from engine.data.importers.clips_tracks import Track, crop_square
from engine.data.importers.clips_video import Index, Shape, index_frames, is_grey, read_frames, read_header
from engine.data.importers.dicom_headers import DicomHeader
from engine.data.importers.units import Unit, Values
from engine.data.pictures import decode_picture
from engine.errors import DataError
from engine.protocol.inspections import Array

_MOST_CLIP_BYTES = 1024**3
_AT_ONCE_BYTES = 128 * 1024**2
_GREY_UNEXPECTED = "shows colour, and the videos looked at first are grey; ask for colour `rgb` or `grey`"


@dataclass(frozen=True, slots=True)
class ClipJob:
    """What a reader makes of a unit: the clips `first` to `last` (None = to the end) of a video, folder or track."""

    shape: Shape
    first: int
    last: int | None
    must_be_grey: bool = False
    title: str = ""  # of the video
    numbers: tuple[int, ...] = ()  # of the pictures of a folder
    offset: int = 0  # place of the first of these pictures in the folder
    frames: int = 0  # of the whole folder
    track: Track | None = None
    loop: DicomHeader | None = None


def read_clips(unit: Unit, paths: tuple[Path, ...], settings: ClipSettings) -> Iterator[Values]:
    """Yield the clips of a unit with the true times of their frames.

    Raises:
        DataError: the video is damaged, cut, too large or shorter than its header says.
    """
    job: ClipJob = unit.details
    if job.track is not None:
        yield from _read_track(paths[0], job, settings)
    elif job.loop is not None:
        yield from _read_loop(paths[0], job.loop, job, settings)
    elif job.numbers:
        yield from _read_run(paths, job, settings)
    else:
        yield from _read_video(paths[0], job, settings)


def _read_video(path: Path, job: ClipJob, settings: ClipSettings) -> Iterator[Values]:
    index = index_frames(path)
    if len(index.stamps) == 1 and suffix_of(job.title) == "gif":
        raise DataError("a GIF of one picture; it is an image")
    places = chosen_frames(index.times_s, settings.frame_rate_hz)
    clips = count_clips(len(places), settings)
    first, last = job.first, clips if job.last is None else min(job.last, clips)
    if first >= last:
        raise DataError(f"the video is shorter than its header says: it has {len(index.stamps)} frames")
    several = clips > 1
    read = 0
    chosen = [fill_up(places[slice(*clip_place(each, len(places), settings))], settings) for each in range(first, last)]
    filled = [each for each in chosen if each is not None]
    if len(filled) < len(chosen):
        raise DataError(f"has {len(places)} frames, fewer than the {settings.clip_frames} of a clip")
    known = _read_at_once(path, index, filled, job.shape)
    for shown in filled:
        start_s = float(index.times_s[shown[0]])
        name = _name(job.title, start_s, several=several)
        try:
            frames = known or read_frames(path, index, shown.tolist(), job.shape)
            _check_colour(path, shown, job, index)
            clip = _stacked(frames, shown)
        except DataError as error:
            if not several:
                raise
            yield {"name": name, "refused": error.message}
            continue
        read += clip.nbytes
        if read > _MOST_CLIP_BYTES:
            raise DataError("too large to be read in one piece; choose a smaller size, or unpack the archive")
        yield _record(clip, index.times_s[shown], start_s, name)


def _read_at_once(path: Path, index: Index, chosen: Sequence[Array], shape: Shape) -> dict[int, Array]:
    """Return all frames of some clips, in one go where they are small; {} where that fails or they are not."""
    if len(chosen) < 2:
        return {}
    wanted = sorted({int(place) for places in chosen for place in places})
    header = read_header(path)
    pixels = shape.px**2 if shape.px else header.width * header.height
    if len(wanted) * pixels * shape.channels > _AT_ONCE_BYTES:
        return {}
    try:
        return read_frames(path, index, wanted, shape)
    except DataError:
        return {}  # then clip by clip, which tells the damaged ones


def _read_loop(path: Path, loop: DicomHeader, job: ClipJob, settings: ClipSettings) -> Iterator[Values]:
    frames, times, grey = read_loop(path, loop, job.shape, settings)
    if job.must_be_grey and not grey:
        raise DataError(_GREY_UNEXPECTED)
    places = chosen_frames(times, settings.frame_rate_hz)
    clips = count_clips(len(places), settings)
    for number in range(clips):
        start, stop = clip_place(number, len(places), settings)
        chosen = fill_up(places[start:stop], settings)
        if chosen is None:
            raise DataError(f"has {len(places)} frames, fewer than the {settings.clip_frames} of a clip")
        start_s = float(times[chosen[0]])
        yield _record(frames[chosen], times[chosen], start_s, _name(job.title, start_s, several=clips > 1))


def _check_colour(path: Path, shown: Array, job: ClipJob, index: Index) -> None:
    """Refuse a clip whose colour would be lost because the videos looked at first are grey."""
    if not job.must_be_grey or read_header(path).grey:
        return
    middle = int(shown[len(shown) // 2])
    if not is_grey(read_frames(path, index, [middle], Shape(0, 3))[middle]):
        raise DataError(_GREY_UNEXPECTED)


def _read_run(paths: Sequence[Path], job: ClipJob, settings: ClipSettings) -> Iterator[Values]:
    times = run_times(job.numbers, settings)
    places = chosen_frames(times, settings.frame_rate_hz)
    several = count_clips(len(places), settings) > 1
    decoded: dict[int, Array] = {}
    for number in range(job.first, job.last or 0):
        start, stop = clip_place(number, len(places), settings)
        chosen = fill_up(places[start:stop], settings)
        if chosen is None:
            raise DataError(f"has {len(places)} frames, fewer than the {settings.clip_frames} of a clip")
        decoded = {place: pixels for place, pixels in decoded.items() if place >= chosen.min()}
        for place in sorted(set(chosen.tolist()) - decoded.keys()):
            decoded[place] = _picture(paths[place - job.offset], job)
        start_s = float(times[chosen[0]])
        yield _record(_stacked(decoded, chosen), times[chosen], start_s, _name(job.title, start_s, several=several))


def _picture(path: Path, job: ClipJob) -> Array:
    data = path.read_bytes()
    try:
        if job.must_be_grey and not is_grey(decode_picture(data, channels=3, dtype="uint8")):
            reason = _GREY_UNEXPECTED
        else:
            return decode_picture(data, channels=job.shape.channels, px=job.shape.px, dtype="uint8")
    except DataError as error:
        reason = error.message
    raise DataError(f"{path.name}: {reason}")


def run_times(numbers: Sequence[int], settings: ClipSettings) -> Array:
    """Return when numbered pictures were taken (N,) float64, seconds from the first."""
    values = np.array(numbers, np.float64)
    return (values - values[0]) / settings.folder_rate_hz


def _read_track(path: Path, job: ClipJob, settings: ClipSettings) -> Iterator[Values]:
    track = job.track
    if track is None:
        return
    index = index_frames(path)
    known = track.frames[track.frames < len(index.stamps)]
    if len(known) < len(track.frames):
        raise DataError(f"its boxes name frame {int(track.frames.max())}; the video has {len(index.stamps)} frames")
    times = index.times_s[known]
    places = chosen_frames(times - times[0], settings.frame_rate_hz)
    clips = count_clips(len(places), settings)
    for number in range(clips):
        start, stop = clip_place(number, len(places), settings)
        chosen = fill_up(places[start:stop], settings)
        if chosen is None:
            raise DataError(f"has {len(places)} frames, fewer than the {settings.clip_frames} of a clip")
        frames = read_frames(path, index, known[chosen].tolist(), Shape(0, job.shape.channels))
        _check_colour(path, known[chosen], job, index)
        clip = np.stack([crop_square(frames[int(known[place])], track.boxes[place], job.shape.px) for place in chosen])
        start_s = float(times[chosen[0]])
        name = _name(f"{job.title}/{track.identity}", start_s, several=clips > 1)
        yield _record(clip, times[chosen], start_s, name)


def _stacked(frames: dict[int, Array], chosen: Array) -> Array:
    first = frames[int(chosen[0])]
    if first.nbytes * len(chosen) > _MOST_CLIP_BYTES:
        raise DataError(
            f"a clip of {len(chosen)} frames of {first.shape[2]} × {first.shape[1]} px would take "
            f"{first.nbytes * len(chosen):,} bytes; choose a smaller size or shorter clips"
        )
    for place in chosen.tolist():
        if frames[place].shape != first.shape:
            raise DataError(
                f"its frames differ in size: {first.shape[2]} × {first.shape[1]} and "
                f"{frames[place].shape[2]} × {frames[place].shape[1]} px"
            )
    return np.stack([frames[place] for place in chosen.tolist()])


def _record(clip: Array, times_s: Array, start_s: float, name: str) -> Values:
    return {"clip": clip, "clip_times_s": times_s - times_s[0], "start": start_s, "name": name}


def _name(title: str, start_s: float, *, several: bool) -> str:
    return f"{title} from {start_s:.2f} s" if several else title
