"""Local transformations against affine maps, colorsys and the numbers of their page."""

import colorsys
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from torch.testing import assert_close

from engine.views.crops import CropRecipe, crop_views
from engine.views.local import (
    COLOURS,
    LEVELS,
    MOVES,
    LocalFields,
    LocalRecipe,
    Strengths,
    field_names,
    folded_share,
    from_hsv,
    local_recipe,
    mesh,
    paint_fields,
    places,
    sample_places,
    stretch,
    to_hsv,
)
from engine.views.random_fields import Family
from tests.engine.views.samples import PLAIN, SPEC, draws, pictures, stored

STILL = Strengths(turn=0, scale=0, shear=0, shift=0, hue=0, saturation=0, brightness=0)
ALWAYS = LocalRecipe(chance=1.0)


def constant(size: tuple[int, ...], **values: float) -> torch.Tensor:
    """Return constant fields of moves (1, F, *size); names with underscores for blanks."""
    names = field_names(len(size))[MOVES]
    theta = torch.tensor([values.get(name.replace(" ", "_"), 0.0) for name in names])
    return theta.view(1, -1, *(1,) * len(size)).expand(1, -1, *size)


def where_of(level: str, length: float, family: Family = "gaussian", count: int = 100) -> torch.Tensor:
    recipe = replace(ALWAYS, strengths=LEVELS[level], length=length, family=family)
    return places(LocalFields(draws(count), recipe, 1, (64, 64)).make(which=MOVES))


@pytest.mark.reference
@pytest.mark.parametrize(("level", "distance"), [("mild", 0.09), ("medium", 0.23), ("strong", 0.76)])
def test_that_levels_move_places_as_far_as_on_the_page(level: str, distance: float) -> None:
    moved = where_of(level, 0.25) - mesh((64, 64))
    assert float(moved.square().sum(dim=-1).mean().sqrt()) == pytest.approx(distance, rel=0.15)


@pytest.mark.reference
@pytest.mark.parametrize(
    ("level", "length", "family", "folded"),
    [
        ("mild", 0.25, "gaussian", 0.0),
        ("mild", 0.1, "gaussian", 0.013),
        ("medium", 0.25, "gaussian", 0.016),
        ("medium", 0.1, "gaussian", 0.21),
        ("strong", 0.25, "gaussian", 0.30),
        ("strong", 0.5, "gaussian", 0.13),
        ("mild", 0.25, "power law", 0.0),
        ("strong", 0.25, "power law", 0.21),
    ],
)
def test_that_levels_fold_as_often_as_on_the_page(level: str, length: float, family: Family, folded: float) -> None:
    found = float(folded_share(where_of(level, length, family)).mean())
    assert found == pytest.approx(folded, abs=0.006 + 0.2 * folded)


@pytest.mark.reference
def test_that_endless_fields_are_the_affine_map() -> None:
    images = pictures(1, 32, 32)
    turn, a, b, shear, x, y = 0.3, 0.1, -0.2, 0.15, 0.1, -0.05
    rotation = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix = rotation @ torch.tensor([[1.0, shear], [0.0, 1.0]]) @ torch.diag(torch.tensor([a, b]).exp())
    theta = torch.cat((matrix, torch.tensor([[x], [y]])), dim=1)[None]
    grid = F.affine_grid(theta, [1, 3, 32, 32], align_corners=False)
    expected = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    fields = constant((32, 32), turn=turn, scale_x=a, scale_y=b, shear=shear, shift_x=x, shift_y=y)
    assert_close(sample_places(images, places(fields)), expected, atol=1e-5, rtol=0)


@pytest.mark.reference
def test_that_very_long_fields_move_everything_alike() -> None:
    recipe = replace(ALWAYS, length=1e6, strengths=LEVELS["strong"])
    fields = LocalFields(draws(4), recipe, 1, (32, 32)).make(which=MOVES)
    assert_close(places(fields), places(fields[:, :, :1, :1].expand_as(fields)), atol=1e-3, rtol=0)


def test_that_constant_fields_of_volumes_turn_about_their_axis() -> None:
    fields = constant((6, 6, 6), turn_z=math.pi / 2)
    where = places(fields)[0]
    u = mesh((6, 6, 6))
    assert_close(where, torch.stack((-u[..., 1], u[..., 0], u[..., 2]), dim=-1), atol=1e-6, rtol=0)


def test_that_shears_of_volumes_are_an_upper_triangle() -> None:
    where = places(constant((4, 4, 4), shear_xy=0.1, shear_xz=0.2, shear_yz=0.3))[0]
    matrix = torch.tensor([[1, 0.1, 0.2], [0, 1, 0.3], [0, 0, 1.0]])
    assert_close(where, mesh((4, 4, 4)) @ matrix.T)


@pytest.mark.parametrize("space", [(24, 24), (12, 20), (8, 8, 8)])
def test_that_no_strength_changes_nothing(space: tuple[int, ...]) -> None:
    values = torch.rand(2, 3, *space, generator=torch.Generator().manual_seed(0))
    fields = torch.zeros(2, len(field_names(len(space))), *space)
    assert_close(sample_places(values, places(fields[:, MOVES])), values, atol=1e-5, rtol=0)
    assert_close(paint_fields(values, fields[:, COLOURS], torch.zeros(2, 3)), values, atol=1e-5, rtol=0)


def test_that_the_stretch_of_an_affine_map_is_its_determinant() -> None:
    where = places(constant((16, 16), scale_x=0.2, scale_y=0.3, turn=0.5, shear=0.4))
    assert_close(stretch(where), torch.full((1, 16, 16), math.exp(0.5)), atol=1e-4, rtol=0)


def test_that_folds_are_prevented_by_shortening_displacements() -> None:
    fields = LocalFields(draws(20), replace(ALWAYS, strengths=LEVELS["medium"]), 1, (32, 32)).make(which=MOVES)
    free, guarded = places(fields), places(fields, prevents_folds=True)
    assert float(stretch(free).min()) < 0
    assert float(stretch(guarded).min()) >= 0.1 - 1e-4
    unfolded = stretch(free).flatten(1).amin(dim=1) >= 0.1
    assert_close(guarded[unfolded], free[unfolded])


def test_that_hsv_equals_the_standard_library() -> None:
    colours = pictures(1, 5, 5)
    colours[0, :, 0, 0] = 0.4
    found = to_hsv(colours)
    for row in range(5):
        for column in range(5):
            expected = colorsys.rgb_to_hsv(*colours[0, :, row, column].tolist())
            assert_close(found[0, :, row, column], torch.tensor(expected), atol=1e-5, rtol=0)
    assert_close(from_hsv(found), colours, atol=1e-6, rtol=0)


def test_that_a_constant_hue_is_torchvisions() -> None:
    images = pictures(2, 8, 8)
    fields = torch.zeros(2, 3, 8, 8)
    fields[:, 0] = 0.2
    assert_close(paint_fields(images, fields, torch.zeros(2, 3)), TF.adjust_hue(images, 0.2), atol=1e-5, rtol=0)


def test_that_grey_stays_grey() -> None:
    grey = pictures(2, 8, 8, channels=1).expand(-1, 3, -1, -1)
    fields = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    painted = paint_fields(grey, fields, torch.ones(2, 3))
    assert_close(painted[:, 0], painted[:, 1])
    assert_close(painted[:, 0], painted[:, 2])


def test_that_the_mean_brightness_can_be_kept() -> None:
    recipe = replace(ALWAYS, strengths=replace(STILL, brightness=0.5), length=0.1)
    fields = LocalFields(draws(500), recipe, 1, (16, 16)).make(which=COLOURS)
    values, sigma = torch.full((500, 1, 16, 16), 0.1), torch.full((500, 3), 0.5)
    assert float(paint_fields(values, fields, sigma).mean()) == pytest.approx(0.1 * math.exp(0.125), rel=0.03)
    assert float(paint_fields(values, fields, sigma, keeps_mean=True).mean()) == pytest.approx(0.1, rel=0.03)


def test_that_fields_without_bounds_are_multiplied_and_not_clipped() -> None:
    values = torch.full((1, 3, 4, 4), -7.0)
    fields = torch.full((1, 3, 4, 4), math.log(2.0))
    assert_close(paint_fields(values, fields, torch.zeros(1, 3), is_bounded=False), torch.full((1, 3, 4, 4), -14.0))


def test_that_gradients_can_be_kept_when_the_length_changes() -> None:
    near, far = (
        LocalFields(draws(1), replace(ALWAYS, length=length, keeps_gradient=True), 1, (8, 8)).sigma
        for length in (0.25, 0.5)
    )
    assert_close(far, 2 * near)


def test_that_chances_are_those_of_views_and_of_each_change() -> None:
    fields = LocalFields(draws(2000), replace(ALWAYS, chance=0.5, each_chance=0.5), 2, (8, 8))
    assert float((fields.sigma[:, 0] > 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(fields.sigma[:, 1] > 0, fields.sigma[:, 2] > 0)  # both scales are one change
    assert torch.equal(fields.is_changed, (fields.sigma > 0).any(dim=1))


def test_that_views_that_are_not_chosen_stay_as_they_are() -> None:
    plain = CropRecipe(size_px=16, jitter=(0.4, 0.4, 0.4, 0.1))
    images = stored(20, 24, 24)
    before = crop_views(images, draws(20), plain, 2, spec=SPEC)
    after = crop_views(images, draws(20), replace(plain, local=local_recipe("medium", 0.25, 0.5)), 2, spec=SPEC)
    same = (before == after).flatten(2).all(dim=2)
    assert 5 < int(same.sum()) < 35
    assert_close(before[same], after[same])


def test_that_locally_changed_views_stay_within_their_bounds() -> None:
    recipe = CropRecipe(size_px=16, local=local_recipe("strong", 0.25, 1.0))
    views = crop_views(stored(6, 24, 24), draws(6), recipe, 2, spec=PLAIN)
    assert float(views.min()) >= 0
    assert float(views.max()) <= 1


def test_that_volumes_are_changed_locally() -> None:
    volumes = stored(3, 12, 12, channels=12).unsqueeze(1)
    recipe = CropRecipe(size_px=8)
    local = replace(recipe, local=local_recipe("mild", 0.25, 1.0))
    plain, changed = (crop_views(volumes, draws(3), each, 2, spec=PLAIN) for each in (recipe, local))
    assert changed.shape == (2, 3, 1, 8, 8, 8)
    assert 0.01 < float((plain - changed).abs().mean()) < 0.3


def test_that_a_level_that_is_off_asks_for_nothing() -> None:
    assert local_recipe("off") is None
