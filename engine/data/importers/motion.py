"""Speech and motion: WAV or FLAC, BVH or NPY, and transcripts, cut into spans that lie at the same time.

A record is `waveform` (1, T), `motion` (T, J, 3) in metres, and `text`, as far as the recordings have them;
`motion_parents` says the skeleton, `waveform_rate_hz` and `motion_rate_hz` how fast the samples follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.motion_reading import SHORTEST_S, Details, MotionSettings, read_motion, span_starts
from engine.data.importers.motion_recordings import (
    MotionHead,
    Recording,
    find_recordings,
    look_at_motion,
    metres_of,
)
from engine.data.importers.motion_sound import SoundHeader, inspect_sound
from engine.data.importers.naming import Named, name_records
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.units import Survey, Unit, UnitImporter
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped, companion


@dataclass(slots=True)
class _Looked:
    """A recording and what its heads say."""

    recording: Recording
    header: SoundHeader | None = None
    head: MotionHead | None = None

    @property
    def seconds(self) -> float:
        """Length of what all have in common, about."""
        lengths = [self.header.seconds] if self.header is not None else []
        lengths += [self.head.frames / self.head.rate_hz] if self.head is not None else []
        return min(lengths)


def recognise_motion(listing: Listing) -> int:
    """Return how many entries are sounds, motions, and their transcripts."""
    recordings, _, _ = find_recordings(listing)
    parts = [(one.sound, one.motion, one.side, one.transcript) for one in recordings]
    return sum(entry is not None for each in parts for entry in each)


def survey_motion(listing: Listing, options: ImportOptions, settings: MotionSettings) -> Survey:
    """Tie files together and look at their heads.

    Raises:
        DataError: there is neither sound nor motion.
    """
    recordings, skipped, explained = find_recordings(listing)
    looked = _look_at_all(recordings, listing, settings, skipped)
    if not looked:
        why = f"; {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"There is neither sound nor motion among {len(listing.entries)} files{why}.",
            "WAV, FLAC, BVH and NPY files can be read, with transcripts of the same names.",
        )
    with_sound = any(one.header is not None for one in looked)
    with_motion = any(one.head is not None for one in looked)
    looked = _complete(looked, skipped, with_sound=with_sound, with_motion=with_motion)
    if not looked:
        raise DataError("No recording has both sound and motion.", "Files that belong together have the same name.")
    with_text = any(one.recording.transcript is not None or one.recording.text for one in looked)
    heads = [one.head for one in looked if one.head is not None]
    joints = Counter(head.joints for head in heads).most_common(1)[0][0] if heads else ()
    first = next((head for head in heads if head.joints == joints), None)
    sound_hz = settings.sound_hz or next((one.header.rate for one in looked if one.header is not None), 0)
    motion_hz = settings.motion_hz or (first.rate_hz if first is not None else 0.0)
    warnings = []
    units = []
    named = _names(looked, listing, options)
    for one, said in zip(looked, named, strict=True):
        metres, unit = _metres(one, settings)
        if one.head is not None and settings.unit == "automatic" and not one.head.unit:
            warnings.append(f"Motion is taken to be in {unit}." if unit else "The unit of the motion is not known.")
        units.append(_unit(one, said, joints, sound_hz, motion_hz, metres, with_text=with_text))
    records = sum(len(span_starts(one.seconds, settings)) for one in looked)
    seconds = settings.window_s or float(np.mean([one.seconds for one in looked]))
    fields = _fields(first, joints, sound_hz, motion_hz, settings, with_text=with_text)
    text = f"{counted(len(looked), 'recording')}, {sum(one.seconds for one in looked):,.0f} s"
    return Survey(
        units=units,
        fields=fields,
        records=records,
        record_bytes=4 * seconds * (sound_hz + motion_hz * len(joints) * (first.features if first else 0)) + 200,
        noun="recording",
        recognised=(Recognised(kind=fields[0].kind.value, count=records, text=text),),
        skipped=tuple(skipped),
        explained=frozenset(explained),
        sizes=f"{seconds:.1f} s each",
        warnings=tuple(dict.fromkeys(warnings)),
        labelled=any(unit.label for unit in units),
        group=options.split_by or "recording" if options.split_by != "label" else "recording",
    )


def _look_at_all(
    recordings: Sequence[Recording], listing: Listing, settings: MotionSettings, skipped: list[Skipped]
) -> list[_Looked]:
    looked = []
    for one in recordings:
        try:
            header = None
            if one.sound is not None:
                header = _look_at_sound(one.sound)
            head = look_at_motion(one, listing, settings.motion_hz) if one.motion is not None else None
            looked.append(_Looked(one, header, head))
        except DataError as error:
            entry = one.sound or one.motion
            skipped.append(Skipped(path=entry.name if entry is not None else one.name, reason=error.message))
    return looked


def _look_at_sound(entry: Entry) -> SoundHeader:
    if entry.member:
        raise DataError("a sound inside an archive; unpack it")
    if not entry.size:
        raise DataError("the file is empty")
    return inspect_sound(entry.path)


def _complete(
    looked: Sequence[_Looked], skipped: list[Skipped], *, with_sound: bool, with_motion: bool
) -> list[_Looked]:
    """Return the recordings that have what others have too."""
    complete = []
    for one in looked:
        entry = one.recording.sound or one.recording.motion
        name = entry.name if entry is not None else one.recording.name
        if with_sound and one.header is None:
            skipped.append(Skipped(path=name, reason="has no sound of the same name"))
        elif with_motion and one.head is None:
            skipped.append(Skipped(path=name, reason="has no motion of the same name"))
        elif one.seconds < SHORTEST_S:
            skipped.append(Skipped(path=name, reason=f"is {one.seconds:.2f} s long"))
        else:
            complete.append(one)
    return complete


def _names(looked: Sequence[_Looked], listing: Listing, options: ImportOptions) -> list[Named]:
    entries = [one.recording.sound or one.recording.motion for one in looked]
    named = name_records([entry.name if entry is not None else "" for entry in entries], listing, options)
    folders = {"wav", "wavs", "audio", "sound", "speech", "bvh", "motion", "motions", "mocap"}
    return [Named("" if said.label.lower() in folders else said.label, said.split, said.group) for said in named]


def _metres(one: _Looked, settings: MotionSettings) -> tuple[float, str]:
    if one.head is None:
        return 1.0, ""
    return metres_of(one.head.height, one.head.unit if settings.unit == "automatic" else settings.unit)


def _unit(
    one: _Looked,
    said: Named,
    joints: tuple[str, ...],
    sound_hz: int,
    motion_hz: float,
    metres: float,
    *,
    with_text: bool,
) -> Unit:
    recording = one.recording
    sources: list[Entry] = []
    places = {}
    for what in ("sound", "motion", "transcript"):
        entry = getattr(recording, what)
        places[what] = len(sources) if entry is not None else -1
        sources += [entry] if entry is not None else []
    if recording.side is not None:
        sources.append(recording.side)
    details = Details(
        joints, **places, text=recording.text, with_text=with_text, header=one.header, head=one.head,
        sound_hz=sound_hz, motion_hz=motion_hz, metres=metres,
    )  # fmt: skip
    return Unit(recording.name, tuple(sources), said.label, said.split, said.group or recording.name, details)


def _fields(
    head: MotionHead | None,
    joints: tuple[str, ...],
    sound_hz: int,
    motion_hz: float,
    settings: MotionSettings,
    *,
    with_text: bool,
) -> tuple[FieldSpec, ...]:
    window = settings.window_s
    fields = []
    if sound_hz:
        length = round(window * sound_hz) if window else None
        fields.append(FieldSpec(name="waveform", kind=FieldKind.WAVEFORM, shape=(1, length), dtype="float32"))
        name = companion("waveform", "rate_hz")
        fields.append(FieldSpec(name=name, kind=FieldKind.NUMBER, dtype="float64", unit="Hz"))
    if head is not None:
        length = round(window * motion_hz) if window else None
        shape = (length, len(joints), head.features)
        fields += [
            FieldSpec(name="motion", kind=FieldKind.MOTION, shape=shape, dtype="float32", unit="m", channels=joints),
            FieldSpec(name=companion("motion", "rate_hz"), kind=FieldKind.NUMBER, dtype="float64", unit="Hz"),
            FieldSpec(name=companion("motion", "parents"), kind=FieldKind.NUMBER, shape=(len(joints),), dtype="int64"),
        ]
    if with_text:
        fields.append(FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str"))
    return tuple(fields)


MOTIONS = UnitImporter(
    name="speech and motion",
    kind=FieldKind.MOTION.value,
    recognise_entries=recognise_motion,
    survey=survey_motion,
    read_unit=read_motion,
    settings=MotionSettings,
)
