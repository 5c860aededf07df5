"""The job that makes maps of embeddings: features, points, orientation, columns; of one checkpoint or of several."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.errors import ConfigError
from engine.inspections.embedding import Progress, choose_records, run_features
from engine.inspections.map_columns import Columns, map_columns
from engine.inspections.maps import StoredMap, list_maps, load_map, save_map
from engine.inspections.opened import OpenedRun
from engine.inspections.projectors import Projected, place, project
from engine.protocol.inspections import Array
from engine.protocol.messages import FeatureChoice, MapInfo, MapOptions
from engine.runs import utc_now


@dataclass(frozen=True, slots=True)
class Frame:
    """shown = raw @ turn + offset: the place and orientation of a map; distances keep their proportions."""

    turn: Array  # (D, D)
    offset: Array  # (D,)

    @classmethod
    def of(cls, raw: Array) -> Frame:
        """Return the frame in which points are centred with a mean square distance of 1 from their centre."""
        centre = raw.mean(axis=0, dtype=np.float64)
        size = float(np.sqrt(((raw - centre) ** 2).sum(axis=1).mean()))
        scale = 1.0 / size if size > 1e-12 else 1.0
        return cls(np.eye(raw.shape[1]) * scale, -centre * scale)

    def apply(self, raw: Array) -> Array:
        """Return raw points (n, D) as shown, float32."""
        return (raw @ self.turn + self.offset).astype(np.float32)

    def toward(self, shown: Array, reference: Array) -> Frame:
        """Return this frame turned or mirrored so that `shown` (n, D) lies as near to `reference` as it can."""
        here, there = shown.mean(axis=0, dtype=np.float64), reference.mean(axis=0, dtype=np.float64)
        u, _, vt = np.linalg.svd((shown - here).T.astype(np.float64) @ (reference - there).astype(np.float64))
        turn = u @ vt
        return Frame(self.turn @ turn, (self.offset - here) @ turn + there)


def make_maps(
    run_path: Path,
    choice: FeatureChoice,
    options: MapOptions,
    progress: Progress,
    *,
    steps: tuple[int, ...] = (),
    onto: str = "",
    dataset_path: str = "",
) -> dict[str, Any]:
    """Make a map for each of `steps` (or of `choice.step`), store it in the run, and return `run` and `keys`.

    `dataset_path` "" is the run's own data. With `onto` the records are placed into that stored map.

    Raises:
        RunError: a checkpoint or the map `onto` is missing.
        ConfigError: a setting does not fit the records.
        DataError: the data does not fit the method, or has no such records.
    """
    if onto and steps:
        raise ConfigError("A map is placed onto one of the same checkpoint.", "Leave out the list of steps.")
    keys: list[str] = []
    wanted = steps or (choice.step,)
    for number, step in enumerate(wanted):

        def tell(
            done: float, total: float, unit: str, current: str, prefix: str = _prefix(step, number, wanted)
        ) -> None:
            progress(done, total, unit, prefix + current)

        if onto:
            keys.append(_place_onto(run_path, choice, onto, tell, dataset_path))
        else:
            this = msgspec.structs.replace(choice, step=step)
            keys.append(_make(run_path, this, options, tell, dataset_path, after=keys[-1] if keys else ""))
    return {"run": run_path.name, "keys": keys}


def _prefix(step: int, number: int, wanted: tuple[int, ...]) -> str:
    return f"step {step} ({number + 1} of {len(wanted)}): " if len(wanted) > 1 else ""


def _opened(run_path: Path, step: int, dataset_path: str) -> OpenedRun:
    return OpenedRun(run_path, step=None if step < 0 else step, dataset_path=dataset_path)


def _make(
    run_path: Path, choice: FeatureChoice, options: MapOptions, progress: Progress, dataset_path: str, *, after: str
) -> str:
    """Make and store one map; `after` is the key of the one before it in a history, "" = none."""
    began = time.monotonic()
    with _opened(run_path, choice.step, dataset_path) as run:
        chosen = choose_records(run.dataset, choice)
        features = finite(run_features(run, chosen.records, progress))
        begun_at = after if options.projection != "PCA" else ""  # which has no choice where to begin
        info = _info(run, choice, options, len(chosen.records), chosen.total, chosen.how, started_from=begun_at)
        before = load_map(run_path, after) if after else _earlier(run_path, info)
        made = project(features, options, progress, start=before.points if begun_at and before is not None else None)
        frame = Frame.of(made.points)
        if before is not None:
            mine, theirs = _common(chosen.records, before.records)
            if len(mine) > options.dimensions:
                frame = frame.toward(frame.apply(made.points)[mine], before.points[theirs])
                info = msgspec.structs.replace(info, aligned_with=before.info.key)
        columns = map_columns(run.dataset, chosen.records, features, progress)
        info = msgspec.structs.replace(info, explained=made.explained)
        _store(run_path, info, made, frame, chosen.records, columns, began)
    return info.key


def _place_onto(run_path: Path, choice: FeatureChoice, onto: str, progress: Progress, dataset_path: str) -> str:
    began = time.monotonic()
    base = load_map(run_path, onto, with_fit=True)
    if base.info.onto:  # placed itself: the axes are those of the map below
        onto = base.info.onto
        base = load_map(run_path, onto, with_fit=True)
    known = Projected(base.fit["raw"], base.fit)
    frame = Frame(base.fit["turn"], base.fit["offset"])
    with _opened(run_path, base.info.step, dataset_path) as run:
        chosen = choose_records(run.dataset, choice)
        features = finite(run_features(run, chosen.records, progress))

        def of_the_map() -> Array:
            with _opened(run_path, base.info.step, base.info.path) as other:
                return finite(run_features(other, base.records, progress))

        points = place(features, base.info.options, known, of_the_map, progress)
        info = _info(run, choice, base.info.options, len(chosen.records), chosen.total, chosen.how, onto=onto)
        columns = map_columns(run.dataset, chosen.records, features, progress)
        info = msgspec.structs.replace(info, explained=base.info.explained)
        _store(run_path, info, Projected(points), frame, chosen.records, columns, began)
    return info.key


def finite(features: Array) -> Array:
    """Return features with 0 in the place of what is not finite: a diverged network still has a map."""
    return features if np.isfinite(features).all() else np.nan_to_num(features, posinf=0.0, neginf=0.0)


def _info(
    run: OpenedRun, choice: FeatureChoice, options: MapOptions, shown: int, total: int, how: str, *,
    onto: str = "", started_from: str = "",
) -> MapInfo:  # fmt: skip
    data = run.dataset.info
    asked = msgspec.json.encode(
        (msgspec.structs.replace(choice, step=run.step), options, data.checksum, onto, started_from)
    )
    kind = f"{options.projection.lower()}-{options.dimensions}d".replace("t-sne", "tsne")
    return MapInfo(
        key=f"{run.step:07d}-{kind}-{hashlib.sha256(asked).hexdigest()[:10]}",
        run=run.folder.name, step=run.step, dataset=data.name, path=str(run.dataset_path), checksum=data.checksum,
        split=choice.split, shown=shown, total=total, chosen=how, options=options, onto=onto, created=utc_now(),
        started_from=started_from,
    )  # fmt: skip


def _earlier(run_path: Path, info: MapInfo) -> StoredMap | None:
    """Return the map to lie like: the newest of the same data, projection and dimensions."""
    for one in list_maps(run_path):
        same_data = one.checksum == info.checksum and not one.onto
        if same_data and (one.options.projection, one.options.dimensions) == (
            info.options.projection,
            info.options.dimensions,
        ):
            return load_map(run_path, one.key)
    return None


def _common(first: Array, second: Array) -> tuple[Array, Array]:
    _, mine, theirs = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return mine, theirs


def _store(
    run_path: Path, info: MapInfo, made: Projected, frame: Frame, records: Array, columns: Columns, began: float
) -> None:
    seconds = round(time.monotonic() - began, 3)
    info = msgspec.structs.replace(info, columns=columns.specs, agreement=columns.agreement, seconds=seconds)
    fit = {**made.fit, "raw": made.points, "turn": frame.turn, "offset": frame.offset}
    save_map(run_path, StoredMap(info, frame.apply(made.points), records, columns.arrays, fit))
