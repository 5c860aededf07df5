"""Features that a run keeps: computed once for a checkpoint and a dataset, read by maps, neighbours and comparisons.

    runs/NAME/features/0001200-3f2a9c01d4e5-pooled/
      manifest.json                 step, dataset, checksum, kind, width
      part-<random>.safetensors     "records" (n,) int64, "values" (n, E), of dense features (n, P, E), float32

A part is written beside its place and renamed, so that whatever ends the process leaves whole parts: the next job goes
on from there. Everything here may be deleted at any time. No torch.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from engine.durable import disk_full_named, write_atomic
from engine.errors import DataError, RunError
from engine.protocol.inspections import Array
from engine.protocol.messages import FeatureSet

SCHEMA_VERSION = 1
FOLDER = "features"
PART_BYTES = 16 * 2**20
MOST_BYTES = 16 * 2**30  # of a run; sets that were not used for the longest time are removed first
_KEY = re.compile(r"\d{7,}-[0-9a-z]{1,12}-(pooled|dense)")
_MANIFEST = "manifest.json"
Kind = Literal["pooled", "dense"]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the parts of a set are."""

    schema_version: int = SCHEMA_VERSION
    step: int
    dataset: str
    checksum: str
    kind: Kind
    width: int  # E
    places: int = 0  # P of dense features
    grid: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Held:
    """Where the features of records are: part number and row by record."""

    parts: tuple[Path, ...]
    records: Array  # (N,) int64 ascending, each once
    part: Array  # (N,)
    row: Array  # (N,)


class FeatureStore:
    """The features of one dataset under one checkpoint, one kind."""

    def __init__(self, run_path: Path, *, step: int, checksum: str, kind: Kind) -> None:
        self.key = f"{step:07d}-{re.sub('[^0-9a-z]', '', checksum.lower())[:12] or 'unknown'}-{kind}"
        self.folder = run_path / FOLDER / self.key
        self._step, self._checksum, self._kind = step, checksum, kind
        self._held: _Held | None = None

    @property
    def manifest(self) -> Manifest | None:
        """What is kept; None = nothing, or something that this version cannot read."""
        found = _read_manifest(self.folder)
        return found if found is not None and found.checksum == self._checksum else None

    def missing(self, records: Array) -> Array:
        """Return those of `records` whose features are not kept, in their order."""
        held = self._look()
        return records if held is None else records[~np.isin(records, held.records)]

    def read(self, records: Array) -> Array:
        """Return the features of `records`, (n, E) or (n, P, E) float32, in their order.

        Raises:
            RunError: not all of them are kept.
        """
        manifest, held = self.manifest, self._look()
        if manifest is None or held is None or len(self.missing(records)):
            raise RunError(f"Not all of the {len(records)} features are kept.", "Compute the features first.")
        inner = (manifest.places, manifest.width) if manifest.kind == "dense" else (manifest.width,)
        out = np.empty((len(records), *inner), np.float32)
        place = np.searchsorted(held.records, records)
        part, row = held.part[place], held.row[place]
        for number in np.unique(part).tolist():
            here = np.flatnonzero(part == number)
            out[here] = _load(held.parts[number])["values"][row[here]]
        self._touch()
        return out

    def append(self, manifest: Manifest, records: Array, values: Array) -> None:
        """Keep the features `values` (n, E) or (n, P, E) of `records` (n,).

        Raises:
            DiskFull: there is no space; what was kept before stands.
            DataError: they are not as wide as those that are kept already.
        """
        from safetensors.numpy import save_file

        known = self.manifest
        if known is not None and (known.width, known.places) != (manifest.width, manifest.places):
            raise DataError(
                f"Features of {manifest.places} × {manifest.width} do not go with the {known.places} × {known.width} "
                f"of {self.folder}.",
                "Delete the kept features.",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if known is None:
            write_atomic(self.folder / _MANIFEST, msgspec.json.encode(manifest))
        path = self.folder / f"part-{secrets.token_hex(8)}.safetensors"
        partial = path.with_name(path.name + ".part")
        arrays: dict[str, Array] = {
            "records": records.astype(np.int64),
            "values": np.ascontiguousarray(values, np.float32),
        }
        try:
            with disk_full_named(partial, values.nbytes):
                save_file(arrays, partial)
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        self._held = None

    def describe(self) -> FeatureSet | None:
        """Return what is kept, or None."""
        return _describe(self.folder)

    def _touch(self) -> None:
        os.utime(self.folder / _MANIFEST)

    def _look(self) -> _Held | None:
        if self.manifest is None:
            return None
        if self._held is None:
            parts = tuple(sorted(self.folder.glob("part-*.safetensors")))
            held = [_load(path)["records"] for path in parts]
            records = np.concatenate(held) if held else np.zeros(0, np.int64)
            number = np.repeat(np.arange(len(parts)), [len(each) for each in held])
            row = np.concatenate([np.arange(len(each)) for each in held]) if held else np.zeros(0, np.int64)
            unique, first = np.unique(records, return_index=True)
            self._held = _Held(parts, unique, number[first], row[first])
        return self._held


def _load(path: Path) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise RunError(
            f"The kept features {path} cannot be read: {error}", "Delete them; they are made again."
        ) from error


def _read_manifest(folder: Path) -> Manifest | None:
    try:
        manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return None
    return manifest if manifest.schema_version == SCHEMA_VERSION else None


def _describe(folder: Path) -> FeatureSet | None:
    manifest = _read_manifest(folder)
    if manifest is None:
        return None
    size = sum(path.stat().st_size for path in folder.iterdir())
    each = 8 + 4 * manifest.width * max(manifest.places, 1)
    parts = list(folder.glob("part-*.safetensors"))
    held = sum(max(0, path.stat().st_size - 8 - _header_bytes(path)) for path in parts)
    return FeatureSet(
        key=folder.name, step=manifest.step, dataset=manifest.dataset, checksum=manifest.checksum, kind=manifest.kind,
        width=manifest.width, records=held // each, bytes=size,
    )  # fmt: skip


def _header_bytes(path: Path) -> int:
    with path.open("rb") as file:
        return int.from_bytes(file.read(8), "little")


def list_features(run_path: Path) -> tuple[FeatureSet, ...]:
    """Return what a run keeps, by key."""
    folder = run_path / FOLDER
    folders = sorted(folder.iterdir()) if folder.is_dir() else []
    return tuple(found for each in folders if _KEY.fullmatch(each.name) and (found := _describe(each)) is not None)


def delete_features(run_path: Path, key: str = "") -> None:
    """Remove the set `key`, or all ("").

    Raises:
        RunError: there is no such set.
    """
    folder = run_path / FOLDER
    if not key:
        if folder.is_dir():
            shutil.rmtree(folder)
        return
    if not _KEY.fullmatch(key) or not (folder / key).is_dir():
        raise RunError(f"{run_path.name} keeps no features called {key!r}.", "They may have been deleted already.")
    shutil.rmtree(folder / key)


def make_room(run_path: Path, wanted_bytes: int, *, keep: str, most_bytes: int = MOST_BYTES) -> None:
    """Remove sets that were not used for the longest time until `wanted_bytes` more stay within `most_bytes`.

    Also removes what a killed process left unfinished in the set `keep`, which is never removed itself.

    Raises:
        DataError: they would not fit even alone.
    """
    if wanted_bytes > most_bytes:
        raise DataError(
            f"These features take {wanted_bytes / 2**30:.1f} GB; a run keeps at most {most_bytes / 2**30:.0f} GB.",
            "Take fewer records, or pooled features.",
        )
    folder = run_path / FOLDER
    if (folder / keep).is_dir():
        for partial in (folder / keep).glob("*.safetensors.part"):
            partial.unlink(missing_ok=True)
    sets = [found for found in list_features(run_path) if found.key != keep]
    sets.sort(key=lambda found: (folder / found.key / _MANIFEST).stat().st_mtime)
    held = sum(found.bytes for found in list_features(run_path))
    while sets and held + wanted_bytes > most_bytes:
        oldest = sets.pop(0)
        shutil.rmtree(folder / oldest.key)
        held -= oldest.bytes
