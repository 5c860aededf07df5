"""Views of scenes with cameras (NeRF's transforms.json, COLMAP, TUM RGB-D, ScanNet), and pairs of views.

`views` (V, 3, H, W) or `pair` (2, 3, H, W), with intrinsics, poses (camera → world, OpenCV) and depth beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.data.importers.amounts import counted
from engine.data.importers.image_survey import IMAGE_SUFFIXES
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.units import Survey, Unit, UnitImporter
from engine.data.importers.views_frames import Frame, FrameTask, Scene
from engine.data.importers.views_overlap import shared_points, usual_distance
from engine.data.importers.views_reading import Details, read_view_pairs, read_views
from engine.data.importers.views_scenes import ViewPairSettings, ViewSettings, count_scenes, find_scenes
from engine.data.importers.views_stereo import Twins, find_twins
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped, companion

_ANCHORS = 12  # frames of a unit that pairs begin with
_COLOURS = ("red", "green", "blue")


def survey_views(listing: Listing, options: ImportOptions, settings: ViewSettings) -> Survey:
    """Find scenes and group their pictures; reads cameras and poses, no picture.

    Raises:
        DataError: there is no scene with cameras.
    """
    scenes, skipped = find_scenes(listing, settings.stride)
    scenes = [scene for scene in scenes if scene.frames]
    _require(scenes, skipped, listing)
    with_depth = any(frame.depth is not None for scene in scenes for frame in scene.frames)
    units: list[Unit] = []
    for scene in scenes:
        for start in range(0, len(scene.frames), settings.views):
            frames = scene.frames[start : start + settings.views]
            if len(frames) < settings.views:
                if start:  # the last group is filled with the pictures before it
                    frames = scene.frames[-settings.views :]
                else:
                    reason = (
                        f"has {counted(len(frames), 'usable picture')}, fewer than the {settings.views} of a record"
                    )
                    skipped.append(Skipped(path=scene.name, reason=reason))
                    continue
            names = f"{frames[0].image.name} to {frames[-1].image.name.rpartition('/')[2]}"
            units.append(_unit(names, scene, frames, options.size_px, with_depth=with_depth))
    if not units:
        raise DataError(f"No scene has {settings.views} pictures with cameras.", "Take fewer views for a record.")
    return _survey(scenes, skipped, units, options, FieldKind.VIEWS, settings.views, with_depth=with_depth)


def survey_view_pairs(listing: Listing, options: ImportOptions, settings: ViewPairSettings) -> Survey:
    """Find pairs that are given, or scenes whose pictures become pairs by their overlap when they are read.

    Raises:
        DataError: there are neither.
    """
    if settings.overlap[0] > settings.overlap[1]:
        raise DataError("The overlap ends below where it begins.", "Give the smaller share first.")
    scenes, skipped = find_scenes(listing, settings.stride)
    scenes = [scene for scene in scenes if len(scene.frames) > 1]
    if not scenes:
        return _survey_twins(find_twins(listing), listing, options, skipped)
    with_depth = any(frame.depth is not None for scene in scenes for frame in scene.frames)
    units: list[Unit] = []
    for scene in scenes:
        distance = usual_distance(scene.frames)
        for start in range(0, len(scene.frames) - 1, _ANCHORS):
            frames = scene.frames[start : start + _ANCHORS + settings.reach]
            anchors = _ANCHORS if start + _ANCHORS < len(scene.frames) - 1 else len(frames)
            name = f"{frames[0].image.name} and what follows"
            units.append(
                _unit(
                    name, scene, frames, options.size_px, with_depth=with_depth,
                    anchors=anchors, shared=shared_points(frames, anchors), distance=distance,
                )
            )  # fmt: skip
    return _survey(scenes, skipped, units, options, FieldKind.PAIR, 2, with_depth=with_depth)


def _require(scenes: Sequence[Scene], skipped: Sequence[Skipped], listing: Listing) -> None:
    if not scenes:
        first = f"; {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"There are no pictures with cameras among {len(listing.entries)} files{first}.",
            "transforms.json, COLMAP models, TUM RGB-D sequences and ScanNet's export can be read.",
        )


def _unit(name: str, scene: Scene, frames: Sequence[Frame], px: int, *, with_depth: bool, **more: Any) -> Unit:
    sources: list[Entry] = []
    tasks: list[FrameTask] = []
    for frame in frames:
        sources.append(frame.image)
        place = len(sources) - 1
        if frame.depth is not None:
            sources.append(frame.depth)
        depth = len(sources) - 1 if frame.depth is not None else -1
        scale, matrix = frame.depth_scale, frame.intrinsics
        tasks.append(FrameTask(frame.image.name, place, depth, scale, matrix, frame.size, frame.pose))
    details = Details(tuple(tasks), px, with_depth, **more)
    return Unit(name, tuple(sources), group=scene.name, details=details)


def _survey(
    scenes: Sequence[Scene],
    skipped: list[Skipped],
    units: Sequence[Unit],
    options: ImportOptions,
    kind: FieldKind,
    views: int,
    *,
    with_depth: bool,
) -> Survey:
    px = options.size_px
    records = len(units) if kind is FieldKind.VIEWS else sum(unit.details.anchors for unit in units)
    sides = px * px if px else _pixels(scenes)
    units_of_length = {scene.unit for scene in scenes}
    length = units_of_length.pop() if len(units_of_length) == 1 else ""
    skipped += [each for scene in scenes for each in scene.skipped]
    text = ", ".join(f"{scene.what} {scene.name} ({counted(len(scene.frames), 'picture')})" for scene in scenes[:5])
    return Survey(
        units=units,
        fields=_fields(kind.value, kind, views, px, length, with_depth=with_depth),
        records=records,
        record_bytes=float(views * sides * (3 + (4 if with_depth else 0)) + views * 200),
        noun="group of views" if kind is FieldKind.VIEWS else "group of pictures",
        recognised=(Recognised(kind=kind.value, count=records, text=text[:500]),),
        skipped=tuple(skipped),
        explained=frozenset(name for scene in scenes for name in scene.explained),
        sizes=f"{px} × {px} px" if px else "as the pictures are",
        warnings=tuple(dict.fromkeys(warning for scene in scenes for warning in scene.warnings))[:20],
        group="scene",
    )


def _pixels(scenes: Sequence[Scene]) -> int:
    width, height = scenes[0].frames[0].size
    return width * height if width > 0 else 640 * 480


def _fields(name: str, kind: FieldKind, views: int, px: int, length: str, *, with_depth: bool) -> tuple[FieldSpec, ...]:
    side = px or None
    number = FieldKind.NUMBER
    matrices, poses = companion(name, "intrinsics"), companion(name, "poses")
    fields = [
        FieldSpec(name=name, kind=kind, shape=(views, 3, side, side), channels=_COLOURS),
        FieldSpec(name=matrices, kind=number, shape=(views, 3, 3), dtype="float64", unit="px"),
        FieldSpec(name=poses, kind=number, shape=(views, 4, 4), dtype="float64", unit=length),
    ]
    if with_depth:
        shape = (views, side, side)
        depth = companion(name, "depth")
        fields.append(FieldSpec(name=depth, kind=FieldKind.NUMBER, shape=shape, dtype="float32", unit=length or "m"))
    if kind is FieldKind.PAIR:
        fields.append(FieldSpec(name="covisibility", kind=FieldKind.NUMBER, dtype="float32"))
    return tuple(fields)


def _survey_twins(twins: Twins, listing: Listing, options: ImportOptions, skipped: list[Skipped]) -> Survey:
    if not twins.pairs:
        raise DataError(
            f"There are no pairs of pictures among {len(listing.entries)} files.",
            "A list pairs.txt, names that end in _1 and _2, or folders left and right tell pairs.",
        )
    units = [Unit(name, (first, second), details=options.size_px) for name, first, second in twins.pairs]
    side = options.size_px or None
    size = sum(unit.size for unit in units) / len(units)
    return Survey(
        units=units,
        fields=(FieldSpec(name="pair", kind=FieldKind.PAIR, shape=(2, 3, side, side), channels=_COLOURS),),
        records=len(units),
        record_bytes=6.0 * side * side if side else 12.0 * size,
        noun="pair",
        recognised=(Recognised(kind=FieldKind.PAIR.value, count=len(units), text=counted(len(units), "pair")),),
        skipped=(*skipped, *twins.skipped),
        explained=frozenset(twins.explained),
    )


def recognise_view_pairs(listing: Listing) -> int:
    """Return how many entries are pictures of pairs, with the lists that name them; of scenes those with cameras."""
    posed = count_scenes(listing)
    if posed:
        return posed
    if len(listing.having(IMAGE_SUFFIXES)) < 2:
        return 0
    twins = find_twins(listing)
    return 2 * len(twins.pairs) + 2 * len(twins.explained)


_LIMIT_S = 300.0

VIEWS = UnitImporter(
    name="views",
    kind=FieldKind.VIEWS.value,
    recognise_entries=count_scenes,
    survey=survey_views,
    read_unit=read_views,
    settings=ViewSettings,
    limit_s=_LIMIT_S,
)

VIEW_PAIRS = UnitImporter(
    name="pairs of views",
    kind=FieldKind.PAIR.value,
    recognise_entries=recognise_view_pairs,
    survey=survey_view_pairs,
    read_unit=read_view_pairs,
    settings=ViewPairSettings,
    limit_s=_LIMIT_S,
)
