"""Reading groups and pairs of views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.importers.units import Unit, Values
from engine.data.importers.views_frames import FrameTask, camera_for, read_depth, read_frame
from engine.data.importers.views_overlap import Seen, covisibility, small_view
from engine.data.importers.views_scenes import ViewPairSettings, ViewSettings
from engine.data.pictures import decode_picture, fit_picture, inspect_picture
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import companion


@dataclass(frozen=True, slots=True)
class Details:
    """Frames of one unit, and what they become."""

    frames: tuple[FrameTask, ...]
    px: int
    with_depth: bool
    anchors: int = 0  # the first so many frames begin pairs
    shared: tuple[tuple[int, int, float], ...] | None = None  # pairs that a model's points tell, with their overlap
    distance: float = 1.0  # assumed where there is no depth


def read_views(unit: Unit, paths: tuple[Path, ...], settings: ViewSettings) -> Iterator[Values]:  # noqa: ARG001
    """Yield the one record of a group of views.

    Raises:
        DataError: a picture or its depth cannot be read, or the pictures differ in size.
    """
    details: Details = unit.details
    read = [read_frame(task, paths, details.px) for task in details.frames]
    yield {**_record("views", read, details), "group": unit.group}


def read_view_pairs(unit: Unit, paths: tuple[Path, ...], settings: ViewPairSettings) -> Iterator[Values]:
    """Yield the pair of a unit that is one, or the pairs of pictures of a scene that overlap as asked.

    Raises:
        DataError: a picture cannot be read, or no two overlap as asked.
    """
    if isinstance(unit.details, int):
        pictures = [decode_picture(path.read_bytes(), channels=3, dtype="uint8") for path in paths]
        pictures = [fit_picture(picture, unit.details) for picture in pictures]
        if pictures[0].shape != pictures[1].shape:
            raise DataError("its two pictures differ in size; choose a size to bring them to")
        yield {"pair": np.stack(pictures)}
        return
    details: Details = unit.details
    cache: dict[int, tuple[Array, Array, Array | None]] = {}
    broken: dict[int, str] = {}
    for first, second, overlap in _overlapping(details, paths, settings, broken):
        name = f"{details.frames[first].name} + {details.frames[second].name.rpartition('/')[2]}"
        try:
            for place in (first, second):
                if place not in cache:
                    cache[place] = read_frame(details.frames[place], paths, details.px)
            values = _record("pair", [cache[first], cache[second]], details, (first, second))
        except DataError as error:
            yield {"name": name, "refused": error.message}
            continue
        yield {**values, "name": name, "group": unit.group, "covisibility": np.float32(overlap)}
    for place, reason in broken.items():
        if place < details.anchors:  # the others are named where they begin pairs
            yield {"name": details.frames[place].name, "refused": reason}


def _overlapping(
    details: Details, paths: Sequence[Path], settings: ViewPairSettings, broken: dict[int, str]
) -> Iterator[tuple[int, int, float]]:
    """Yield places of pictures that overlap as asked, for each first one those that overlap least before others.

    Pictures that cannot be looked at are put into `broken` with the reason.
    """
    low, high = settings.overlap
    looks: dict[int, Seen] = {}
    told = None if details.shared is None else {(first, second): share for first, second, share in details.shared}
    count = 0
    for first in range(min(details.anchors, len(details.frames))):
        found: list[tuple[float, int]] = []
        for second in range(first + 1, min(first + 1 + settings.reach, len(details.frames))):
            if told is not None:
                share = told.get((first, second), 0.0)
            else:
                for place in (first, second):
                    if place not in looks and place not in broken:
                        try:
                            looks[place] = _look(details, place, paths)
                        except DataError as error:
                            broken[place] = error.message
                if first in broken or second in broken:
                    continue
                share = covisibility(looks[first], looks[second])
            if low <= share <= high:
                found.append((share, second))
        for share, second in sorted(found)[: settings.partners]:
            count += 1
            yield first, second, share
    if not count:
        raise DataError(f"no two of its pictures overlap by {low:.0%} to {high:.0%}")


def _look(details: Details, place: int, paths: Sequence[Path]) -> Seen:
    task = details.frames[place]
    if task.depth >= 0:
        depth = read_depth(task, paths)
        with paths[task.image].open("rb") as file:
            header = inspect_picture(file)
        matrix = camera_for(task, header.width, header.height)
        matrix[0] *= depth.shape[1] / header.width
        matrix[1] *= depth.shape[0] / header.height
        return small_view(depth, matrix, task.pose)
    _, matrix, _ = read_frame(task, paths, 48)
    return small_view(np.full((48, 48), details.distance, np.float32), matrix, task.pose, is_measured=False)


def _record(
    field: str,
    read: Sequence[tuple[Array, Array, Array | None]],
    details: Details,
    places: Sequence[int] | None = None,
) -> dict[str, Any]:
    pictures = [picture for picture, _, _ in read]
    if len({picture.shape for picture in pictures}) > 1:
        raise DataError("its pictures differ in size; choose a size to bring them to")
    tasks = details.frames if places is None else [details.frames[place] for place in places]
    values: dict[str, Any] = {
        field: np.stack(pictures),
        companion(field, "intrinsics"): np.stack([matrix for _, matrix, _ in read]),
        companion(field, "poses"): np.stack([task.pose for task in tasks]),
    }
    if details.with_depth:
        nothing = np.zeros(pictures[0].shape[1:], np.float32)
        values[companion(field, "depth")] = np.stack([nothing if depth is None else depth for _, _, depth in read])
    return values
