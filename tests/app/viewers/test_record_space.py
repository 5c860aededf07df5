"""How stored axes become the body's, and what a thinned record says of its sizes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from app.viewers.records.base import spec_title
from app.viewers.records.space import Space, space_of
from engine.protocol.schema import FieldKind
from tests.app.viewers.records import RAS_TO_LPS, opened, volume


def with_affine(affine: np.ndarray, array: np.ndarray | None = None) -> Space:
    record = opened(
        ("ct", FieldKind.VOLUME, volume() if array is None else array), ("ct_affine", FieldKind.NUMBER, affine)
    )
    return space_of(record, record.reply.values[0])


def test_that_a_volume_without_affine_stays_as_it_is_stored() -> None:
    record = opened(("ct", FieldKind.VOLUME, volume()), spacing_mm=(3.0, 2.0, 1.0))
    space = space_of(record, record.reply.values[0])
    assert (space.order, space.flipped, space.spacing, space.is_body) == (
        (0, 1, 2),
        (False,) * 3,
        (3.0, 2.0, 1.0),
        False,
    )
    assert space.letters(0) == ("", "", "", "")


def test_that_a_volume_towards_head_back_and_left_is_shown_as_stored() -> None:
    space = with_affine(RAS_TO_LPS)
    assert (space.order, space.flipped, space.spacing) == ((0, 1, 2), (False,) * 3, (3.0, 2.0, 2.0))
    assert space.letters(0) == ("R", "L", "A", "P")
    assert space.letters(1) == ("R", "L", "S", "I")
    assert space.letters(2) == ("A", "P", "S", "I")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_that_every_way_of_storing_a_body_is_shown_the_same_way(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    body = volume()[0]
    affine = np.eye(4)
    stored = body.transpose(order)
    for axis, (place, sign) in enumerate(zip(order, signs, strict=True)):
        affine[:3, axis] = RAS_TO_LPS[:3, place] * sign
        stored = np.flip(stored, axis) if sign < 0 else stored
    space = with_affine(affine, stored[None])
    np.testing.assert_array_equal(space.arrange(stored[None])[0], body)
    assert space.spacing == (3.0, 2.0, 2.0)


def test_that_a_shown_voxel_leads_back_to_the_stored_one() -> None:
    stored = volume()[0].transpose(2, 0, 1)[::-1]
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = -RAS_TO_LPS[:3, 2], RAS_TO_LPS[:3, 0], RAS_TO_LPS[:3, 1]
    space = with_affine(affine, stored[None])
    shown = space.arrange(stored)
    index = (2, 5, 7)
    assert stored[space.stored_index(index, shown.shape)] == shown[index]


def test_that_a_place_is_written_in_the_directions_of_the_body() -> None:
    assert with_affine(RAS_TO_LPS).position_text((10, 20, 5), (20, 30, 30)) == "R 30.0, P 10.0, S 10.0 mm"


def test_that_a_tilted_volume_is_called_oblique() -> None:
    tilt = np.eye(4)
    tilt[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    assert with_affine(tilt @ RAS_TO_LPS).is_oblique
    assert not with_affine(RAS_TO_LPS).is_oblique


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_that_an_affine_that_maps_nowhere_is_not_used(affine: np.ndarray) -> None:
    assert not with_affine(affine).is_body


def test_that_thinned_voxels_are_larger() -> None:
    record = opened(("ct", FieldKind.VOLUME, volume()), step={"ct": (1, 2, 2, 2)}, spacing_mm=(3.0, 2.0, 1.0))
    value = record.reply.values[0]
    assert space_of(record, value).spacing == (6.0, 4.0, 2.0)


def test_that_names_of_companions_read_as_words() -> None:
    record = opened(("ct_spacing_mm", FieldKind.NUMBER, np.ones(3)))
    assert spec_title(record.reply.values[0]) == "ct spacing"
    assert record.facts() == [("ct spacing", "1 × 1 × 1 mm")]
