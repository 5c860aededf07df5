"""Speech and motion out: BVH where there is a skeleton, else NPY with a JSON beside it; sound as WAV; words as text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from engine.data.exporting_record import Format, OneRecord, texts_of
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, Schema

_RATE_HZ = 30.0  # of a motion that does not say it
_SOUND_HZ = 16_000
_PCM = {"uint8": "PCM_U8", "int16": "PCM_16", "int32": "PCM_32", "float64": "DOUBLE"}


@dataclass(frozen=True)
class MotionFormat(Format):
    """Files of one name: NAME.bvh or NAME.npy and NAME.json, NAME.wav, NAME.txt."""

    id: Literal["bvh", "npy", "wav"]
    title: str
    keeps: str

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return motion, sound and words."""
        motion, sound = schema.first(FieldKind.MOTION), schema.first(FieldKind.WAVEFORM)
        has_skeleton = motion is not None and schema.get(f"{motion.name}_parents") is not None
        if self.id == "bvh" and (motion is None or not has_skeleton or motion.shape[2] != 3):
            return ()
        if (self.id == "npy" and motion is None) or (self.id == "wav" and (sound is None or motion is not None)):
            return ()
        return (*(spec.name for spec in (motion, sound) if spec is not None), *texts_of(schema))

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write what the record has."""
        files: list[Path] = []
        motion, sound = (record.schema.first(kind) for kind in (FieldKind.MOTION, FieldKind.WAVEFORM))
        if motion is not None and record.has(motion.name):
            files += self._write_motion(record, motion, base)
        if sound is not None and record.has(sound.name):
            files.append(_write_sound(record, sound, base.with_name(base.name + ".wav")))
        if not files:
            raise DataError("it has neither motion nor sound")
        for place, name in enumerate(texts_of(record.schema)):
            text = record.text(name)
            if text:
                path = base.with_name(f"{base.name}.txt" if place == 0 else f"{base.name}.{name}.txt")
                path.write_text(text, encoding="utf-8")
                files.append(path)
        return files

    def _write_motion(self, record: OneRecord, spec: FieldSpec, base: Path) -> list[Path]:
        values = record.array(spec.name)
        joints = list(spec.channels) or [f"joint {number}" for number in range(values.shape[1])]
        parents = record.beside(spec.name, "parents")
        known = np.full(len(joints), -1, np.int64) if parents is None else parents
        rate = record.beside(spec.name, "rate_hz")
        rate_hz = _RATE_HZ if rate is None or not np.isfinite(rate) else float(rate)
        if self.id == "bvh":
            path = base.with_name(base.name + ".bvh")
            write_bvh(path, values, joints, known.tolist(), rate_hz)
            return [path]
        path = base.with_name(base.name + ".npy")
        np.save(path, values, allow_pickle=False)
        side = {"rate_hz": rate_hz, "joints": joints, "parents": known.tolist(), "unit": spec.unit}
        beside = base.with_name(base.name + ".json")
        beside.write_text(json.dumps(side, ensure_ascii=False, indent=1), encoding="utf-8")
        return [path, beside]


def write_bvh(path: Path, positions: Array, joints: list[str], parents: list[int], rate_hz: float) -> None:
    """Write positions (T, J, 3) as BVH whose joints all have positions for channels, relative to their parents.

    Raises:
        DataError: the skeleton has no root, or is no tree.
    """
    children: dict[int, list[int]] = {}
    for joint, parent in enumerate(parents):
        children.setdefault(parent, []).append(joint)
    names = [_word(name) for name in joints]
    if len(set(names)) < len(names):
        names = [f"{name}_{number}" for number, name in enumerate(names)]
    lines = ["HIERARCHY"]
    order: list[int] = []

    def describe(joint: int, depth: int) -> None:
        pad = "  " * depth
        order.append(joint)
        lines.extend(
            [
                f"{pad}{'JOINT' if depth else 'ROOT'} {names[joint]}",
                f"{pad}{{",
                f"{pad}  OFFSET 0 0 0",
                f"{pad}  CHANNELS 3 Xposition Yposition Zposition",
            ]
        )
        for child in children.get(joint, []):
            describe(child, depth + 1)
        if joint not in children:
            lines.extend([f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET 0 0 0", f"{pad}  }}"])
        lines.append(f"{pad}}}")

    roots = children.get(-1, [])
    if len(roots) != 1:
        raise DataError(f"its skeleton has {len(roots)} roots; BVH holds one")
    describe(roots[0], 0)
    if len(order) != len(joints):
        raise DataError("its skeleton is not one tree")
    wide = positions.astype(np.float64)
    held = [wide[:, joint] - (wide[:, parents[joint]] if parents[joint] >= 0 else 0.0) for joint in order]
    rows = np.concatenate(held, axis=1)
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1.0 / rate_hz!r}"]
    lines += [" ".join(map(repr, row)) for row in rows.tolist()]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _word(name: str) -> str:
    return "_".join(name.split()) or "joint"


def _write_sound(record: OneRecord, spec: FieldSpec, path: Path) -> Path:
    import soundfile

    values = record.array(spec.name)
    rate = record.beside(spec.name, "rate_hz")
    rate_hz = _SOUND_HZ if rate is None or not np.isfinite(rate) else round(float(rate))
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    soundfile.write(path, values.T, rate_hz, subtype=_PCM.get(values.dtype.name, "FLOAT"), format="WAV")
    return path
