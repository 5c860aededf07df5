"""Small pictures of records of every kind: none is empty, none depends on what it must not depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.store import Dataset, DatasetWriter
from engine.data.thumbnails import Thumbnails, as_rgb, draw_values, fit_picture
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, Schema

PX = 48
RNG = np.random.default_rng(5)
TIMES = np.linspace(0, 12, 400)
PARENTS = np.array([-1, 0, 1, 1])
VALUES: dict[FieldKind, Any] = {
    FieldKind.POINTS: RNG.normal(size=(500, 4)).astype(np.float32),
    FieldKind.TEXT: "The quick brown fox.\nIt jumps over the lazy dog, again and again and again.",
    FieldKind.WAVEFORM: np.stack([np.sin(TIMES), np.cos(2 * TIMES)]).astype(np.float32),
    FieldKind.MOTION: RNG.normal(size=(9, 4, 3)).astype(np.float32),
    FieldKind.BAG: RNG.normal(size=(120, 8)).astype(np.float32),
    FieldKind.VIEWS: RNG.integers(0, 256, (3, 3, 20, 30)).astype(np.uint8),
    FieldKind.CHANNELS: RNG.integers(0, 4000, (5, 20, 30)).astype(np.uint16),
    FieldKind.VOLUME: RNG.normal(size=(1, 8, 20, 30)).astype(np.float32),
    FieldKind.CINE: RNG.normal(size=(4, 1, 8, 20, 30)).astype(np.float32),
    FieldKind.GRID: RNG.random((4, 8, 20, 30)).astype(np.float32),
    FieldKind.CLIP: RNG.integers(0, 256, (6, 1, 20, 30)).astype(np.uint8),
    FieldKind.PAIR: RNG.integers(0, 256, (2, 3, 20, 30)).astype(np.uint8),
}


def spec_of(kind: FieldKind, value: Any) -> FieldSpec:
    if kind is FieldKind.TEXT:
        return FieldSpec(name="data", kind=kind, dtype="str")
    return FieldSpec(name="data", kind=kind, shape=value.shape, dtype=str(value.dtype))


def drawn(kind: FieldKind, value: Any, *beside: tuple[FieldSpec, Array]) -> Array:
    schema = Schema(fields=(spec_of(kind, value), *(spec for spec, _ in beside)))
    picture = draw_values(schema, {"data": value} | {spec.name: array for spec, array in beside}, PX)
    assert picture is not None
    return picture


@pytest.mark.parametrize("kind", VALUES)
def test_that_every_kind_of_field_has_a_picture_that_shows_something(kind: FieldKind) -> None:
    picture = drawn(kind, VALUES[kind])
    assert picture.dtype == np.uint8
    assert picture.shape[0] == 3
    assert max(picture.shape[1:]) == PX
    assert picture.std() > 4


@pytest.mark.parametrize("kind", VALUES)
def test_that_a_stored_record_has_the_picture_of_its_values(kind: FieldKind, tmp_path: Path) -> None:
    schema = Schema(fields=(spec_of(kind, VALUES[kind]),))
    with DatasetWriter(tmp_path / "one.h5", schema, name="one") as writer:
        writer.append({"data": VALUES[kind]})
        writer.finish()
    pictures, sizes = Thumbnails().fetch(Dataset.open(tmp_path / "one.h5"), 0, (0,), PX)
    height, width = sizes[0]
    top, left = (PX - height) // 2, (PX - width) // 2
    np.testing.assert_array_equal(pictures[0, :, top : top + height, left : left + width], drawn(kind, VALUES[kind]))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (FieldKind.POINTS, np.zeros((0, 3), np.float32)),
        (FieldKind.POINTS, np.full((5, 3), np.nan, np.float32)),
        (FieldKind.POINTS, np.ones((1, 3), np.float32)),
        (FieldKind.TEXT, ""),
        (FieldKind.WAVEFORM, np.zeros((0, 10), np.float32)),
        (FieldKind.WAVEFORM, np.full((2, 10), np.nan, np.float32)),
        (FieldKind.WAVEFORM, np.ones((12, 1), np.float32)),
        (FieldKind.MOTION, np.zeros((1, 1, 2), np.float32)),
        (FieldKind.BAG, np.zeros((0, 4), np.float32)),
        (FieldKind.BAG, np.ones((1, 1), np.float32)),
    ],
)
def test_that_empty_and_odd_values_have_a_plain_picture(kind: FieldKind, value: Any) -> None:
    assert drawn(kind, value).shape == (3, PX, PX)


def test_that_a_point_cloud_looks_the_same_wherever_it_lies() -> None:
    points = VALUES[FieldKind.POINTS].astype(np.float64)
    moved = points + np.array([1000.0, -500.0, 20.0, 0.0])
    assert np.mean(drawn(FieldKind.POINTS, points) != drawn(FieldKind.POINTS, moved)) < 0.01


def test_that_a_skeleton_has_bones_where_parents_are_known() -> None:
    motion = VALUES[FieldKind.MOTION]
    parents = FieldSpec(name="data_parents", kind=FieldKind.NUMBER, shape=(4,), dtype="int64")
    with_bones = drawn(FieldKind.MOTION, motion, (parents, PARENTS))
    assert (with_bones != drawn(FieldKind.MOTION, motion)).any()


def test_that_members_of_a_bag_lie_at_their_coordinates() -> None:
    bag = RNG.normal(size=(4, 3)).astype(np.float32)
    spec = FieldSpec(name="data_coordinates", kind=FieldKind.NUMBER, shape=(4, 2), dtype="float64")
    row = np.array([[0.0, 0.0], [100.0, 0.0], [200.0, 0.0], [300.0, 0.0]])
    picture = drawn(FieldKind.BAG, bag, (spec, row))
    used = (picture != picture[:, :1, :1]).any(axis=0)
    assert used.sum(axis=0).max() <= PX // 3
    assert used.any(axis=0).sum() > PX * 0.8


def test_that_a_picture_is_preferred_to_the_text_beside_it() -> None:
    image = np.full((3, 10, 10), 200, np.uint8)
    schema = Schema(
        fields=(
            FieldSpec(name="report", kind=FieldKind.TEXT, dtype="str"),
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 10, 10)),
        )
    )
    picture = draw_values(schema, {"report": "words", "image": image}, 20)
    assert picture is not None
    assert (picture == 200).all()


def test_that_an_outlier_does_not_darken_a_volume() -> None:
    volume = np.linspace(0, 1, 8 * 20 * 20).reshape(1, 8, 20, 20)
    volume[0, 4, 0, 0] = 1e6
    assert as_rgb(volume, FieldKind.VOLUME).mean() > 100


def test_that_only_annotations_have_no_picture() -> None:
    schema = Schema(fields=(FieldSpec(name="age", kind=FieldKind.NUMBER, dtype="float64"),))
    assert draw_values(schema, {"age": 3.0}, PX) is None


def test_that_a_fitted_picture_keeps_its_proportions() -> None:
    assert fit_picture(np.zeros((3, 100, 200), np.uint8), 50).shape == (3, 25, 50)


def test_that_a_slice_of_a_volume_is_drawn_with_its_front_up_and_its_right_on_the_left() -> None:
    volume = np.zeros((1, 3, 4, 4), np.float32)
    volume[0, 1, 3, 3] = 1.0  # front and right
    picture = as_rgb(volume, FieldKind.VOLUME)
    assert np.unravel_index(picture[0].argmax(), (4, 4)) == (0, 0)
