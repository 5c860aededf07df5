"""All scenes with cameras among what was dropped, and the settings of their import."""

from __future__ import annotations

from typing import Annotated

import msgspec

from engine.data.importers.image_survey import IMAGE_SUFFIXES
from engine.data.importers.sources import Listing
from engine.data.importers.views_colmap import models_of, read_model
from engine.data.importers.views_frames import Scene
from engine.data.importers.views_nerf import read_transforms, transforms_of
from engine.data.importers.views_rgbd import read_scan, read_tum, scan_folders, tum_folders
from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.schema import Skipped


class ViewSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an import of pictures with cameras."""

    views: Annotated[
        int, setting("Views of a record", "How many pictures of one scene make a record.", "Import", 1, 64, "views")
    ] = 8
    stride: Annotated[
        int,
        setting(
            "Every n-th picture",
            "Of a sequence, only every n-th picture is taken. 0 = every tenth of a video, all of other scenes.",
            "Import", 0, 1000, "pictures",
        ),
    ] = 0  # fmt: skip


class ViewPairSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an import of pairs of views."""

    overlap: Annotated[
        tuple[Annotated[float, msgspec.Meta(ge=0.0, le=1.0)], Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]],
        setting(
            "Overlap",
            "Two pictures become a pair if so much of each is seen in the other, at least and at most. Measured with "
            "depth, else by shared points of the model, else at an assumed distance.",
            "Import", unit="of the picture",
        ),
    ] = (0.5, 0.95)  # fmt: skip
    partners: Annotated[
        int, setting("Partners", "At most so many pairs begin with the same picture.", "Import", 1, 20, "pairs")
    ] = 1
    reach: Annotated[
        int,
        setting(
            "Reach", "Partners are looked for among so many pictures that follow.", "Import", 1, 200, "pictures",
            advanced=True,
        ),
    ] = 16  # fmt: skip
    stride: Annotated[
        int,
        setting(
            "Every n-th picture",
            "Of a sequence, only every n-th picture is taken. 0 = every tenth of a video, all of other scenes.",
            "Import", 0, 1000, "pictures",
        ),
    ] = 0  # fmt: skip


def has_scenes(listing: Listing) -> bool:
    """Whether there are pictures with cameras, by names and first bytes."""
    suffixes = listing.suffixes()
    if not suffixes & IMAGE_SUFFIXES or not suffixes & {".json", ".txt", ".bin"}:
        return False
    return bool(transforms_of(listing) or models_of(listing) or tum_folders(listing) or scan_folders(listing))


def count_scenes(listing: Listing) -> int:
    """Return how many entries belong to pictures with cameras: pictures, poses, depths, models; 0 without cameras."""
    if not has_scenes(listing):
        return 0
    poses = sum("/pose" in f"/{entry.name}" and entry.suffix == ".txt" for entry in listing.entries)
    return sum(entry.suffix in IMAGE_SUFFIXES for entry in listing.entries) + poses + 1


def find_scenes(listing: Listing, stride: int) -> tuple[list[Scene], list[Skipped]]:
    """Return every scene with its frames, thinned, and the models that cannot be read.

    Args:
        listing: what was dropped.
        stride: every so-manieth frame; 0 = 10 of sequences, 1 of others.
    """
    scenes: list[Scene] = []
    skipped: list[Skipped] = []
    for entry in transforms_of(listing):
        try:
            scenes.append(read_transforms(entry, listing))
        except DataError as error:
            skipped.append(Skipped(path=entry.name, reason=error.message))
    for cameras, images in models_of(listing):
        try:
            scenes.append(read_model(cameras, images, listing))
        except DataError as error:
            skipped.append(Skipped(path=images.name, reason=error.message))
    for folder in tum_folders(listing):
        try:
            scenes.append(read_tum(folder, listing))
        except DataError as error:
            skipped.append(Skipped(path=f"{folder}/groundtruth.txt".lstrip("/"), reason=error.message))
    for folder, colour in scan_folders(listing).items():
        try:
            scenes.append(read_scan(folder, colour, listing))
        except DataError as error:
            skipped.append(Skipped(path=f"{folder}/pose".lstrip("/"), reason=error.message))
    for scene in scenes:
        every = stride or (10 if scene.is_sequence and len(scene.frames) >= 40 else 1)
        left = {frame.image.name for frame in scene.frames}
        left |= {frame.depth.name for frame in scene.frames if frame.depth is not None}
        scene.frames = scene.frames[::every]
        scene.explained |= left
        if every > 1:
            scene.warnings.append(f"{scene.name}: every {every}th picture of the sequence is taken.")
    return scenes, skipped
