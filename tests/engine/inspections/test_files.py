"""Inspections as files: every kind gives arrays that are read again, and a picture or a table."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.inspections.diagrams import draw_matches, draw_points
from engine.inspections.files import write_inspection
from engine.protocol.inspections import (
    Attention,
    Curves,
    Gaussians,
    Inspection,
    Matches,
    Motion,
    Neighbours,
    Pictures,
    PointCloud,
    Prototypes,
    Reconstruction,
    Samples,
    TextTable,
    VolumeStack,
)
from engine.protocol.wire import load_inspection

RNG = np.random.default_rng(0)
PICTURES = RNG.random((4, 3, 16, 12), np.float32)
COMMON = {"view": "v", "title": "V", "step": 7}
DRAWN: tuple[Inspection, ...] = (
    Pictures(**COMMON, records=np.arange(2), columns=("a", "b"), pictures=PICTURES.reshape(2, 2, 3, 16, 12)),
    Curves(
        **COMMON, x=np.arange(1.0, 6.0), values=np.exp(-np.arange(10.0)).reshape(2, 5), series=("a", "b"), is_log=True
    ),
    Matches(
        **COMMON, left=PICTURES[0], right=PICTURES[1], from_px=RNG.random((5, 2)) * 12, to_px=RNG.random((5, 2)) * 12,
        scores=np.arange(5.0),
    ),
    VolumeStack(**COMMON, record=0, layers=("input", "error"), volumes=(RNG.random((6, 8, 8)), RNG.random((6, 8, 8)))),
    VolumeStack(**COMMON, record=0, layers=("film",), volumes=(RNG.random((3, 6, 8, 8)),)),
    PointCloud(**COMMON, record=0, points=RNG.normal(size=(50, 3)), columns=("e",), values=RNG.random((50, 1))),
    Gaussians(
        **COMMON, record=0, centres=RNG.normal(size=(9, 3)), scales=np.ones((9, 3)),
        rotations=np.tile([1.0, 0, 0, 0], (9, 1)), colours=RNG.random((9, 3)), opacities=np.ones(9),
    ),
    Motion(
        **COMMON, record=0, positions=RNG.normal(size=(20, 3, 3)), parents=(-1, 0, 1), joints=("a", "b", "c"),
        frames_per_s=30.0,
    ),
    Prototypes(
        **COMMON, usage=np.array([0.2, 0.8]), nearest=np.zeros((2, 2)), pictures=PICTURES.reshape(2, 2, 3, 16, 12)
    ),
    Samples(**COMMON, pictures=PICTURES[:2], nearest=PICTURES[2:], nearest_records=np.arange(2), seed=0),
    Reconstruction(  # of volumes: the middle slice
        **COMMON, records=np.arange(1), input=RNG.random((1, 1, 6, 8, 8)), mask=np.ones((1, 3, 4, 4), bool),
        output=RNG.random((1, 1, 6, 8, 8)), error=RNG.random((1, 6, 8, 8)), psnr_db=np.ones(1),
    ),
    Attention(
        **COMMON, records=np.arange(1), input=RNG.random((1, 1, 6, 8, 8)), grid=(3, 4, 4), layer=0, layers=1, heads=2,
        query=0, weights=RNG.random((1, 2, 48)), prefix=np.zeros((1, 2)),
    ),
)  # fmt: skip


@pytest.mark.parametrize("inspection", DRAWN, ids=lambda each: type(each).__name__)
def test_that_a_kind_that_is_drawn_gives_arrays_and_a_picture_with_something_on_it(
    inspection: Inspection, tmp_path: Path
) -> None:
    arrays, picture = write_inspection(inspection, tmp_path)
    assert type(load_inspection(arrays)) is type(inspection)
    assert picture.suffix == ".png"
    pixels = np.asarray(Image.open(picture))
    assert pixels.shape[2] == 3
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1


TABLES: tuple[tuple[Inspection, list[list[str]]], ...] = (
    (
        TextTable(**COMMON, columns=("word", "share"), rows=(("a, b", "0.5"),), records=np.arange(1)),
        [["word", "share"], ["a, b", "0.5"]],
    ),
    (
        Neighbours(**COMMON, metric="cosine", queries=np.array([4]), neighbours=np.array([[7, 9]]),
                   distances=np.array([[0.25, 0.5]])),
        [["query", "rank", "record", "cosine"], ["4", "1", "7", "0.25"], ["4", "2", "9", "0.5"]],
    ),
)  # fmt: skip


@pytest.mark.parametrize(("inspection", "rows"), TABLES, ids=["texts", "neighbours"])
def test_that_a_kind_that_is_a_table_is_written_as_one(
    inspection: Inspection, rows: list[list[str]], tmp_path: Path
) -> None:
    _, table = write_inspection(inspection, tmp_path)
    with table.open(newline="") as file:
        assert list(csv.reader(file)) == rows


def test_that_the_best_match_is_drawn_over_the_others() -> None:
    place = np.array([[4.0, 4.0], [4.0, 4.0]])
    black = np.zeros((1, 16, 16), np.float32)
    drawn = draw_matches(
        Matches(**COMMON, left=black, right=black, from_px=place, to_px=place, scores=np.array([0.1, 0.9]))
    )
    assert tuple(drawn[72, 300]) == (253, 231, 37)  # the bright end of viridis


def test_that_no_point_at_all_leaves_an_empty_scene() -> None:
    assert len(np.unique(draw_points(np.full((3, 3), np.nan), None).reshape(-1, 3), axis=0)) == 1
