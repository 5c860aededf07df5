"""Whole-Heart against a naive reading of its positions, masks and loss, and the size of its network."""

import dataclasses
import math

import msgspec
import numpy as np
import pytest
import torch
from timm.models.vision_transformer import Block
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.data.batch import Batch
from engine.data.samples.hearts import HEARTS, make_subjects
from engine.methods.whole_heart import METHOD, WholeHeart, WholeHeartConfig, draw_mask, prepare_planes
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema, assign
from engine.views.rng import Rng

UK_BIOBANK = Schema(
    fields=tuple(
        FieldSpec(name=name, kind=FieldKind.CINE, shape=(50, 1, planes, 160, 160), dtype="float32")
        for name, planes in (("sax", 9), ("lax", 3))
    )
)


def built(**changes: object) -> tuple[Subject, WholeHeart, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    subject = dataclasses.replace(subject, config=msgspec.structs.replace(subject.config, **changes))
    model = subject.models()[0]
    assert isinstance(model, WholeHeart)
    return subject, model.eval(), dict(subject.views(subject.stages[0], subject.batch(6)))


def built_for_hearts() -> tuple[WholeHeartConfig, WholeHeart]:
    torch.manual_seed(0)
    config = Subject.of(METHOD).config
    return config, WholeHeart(config, HEARTS.schema).eval()


def hearts(count: int) -> Batch:
    """Return a batch of beating hearts."""
    columns = make_subjects(np.random.default_rng(0), count)
    specs = assign(METHOD.needs, HEARTS.schema)
    fields = {key: torch.from_numpy(np.asarray(columns[spec.name])) for key, spec in specs.items()}
    return Batch(fields, torch.arange(count), specs)


@pytest.mark.reference
def test_that_positions_are_group_plane_time_row_and_column_as_the_code_has_them() -> None:
    with torch.device("meta"):
        meta = WholeHeart(WholeHeartConfig(), UK_BIOBANK)
    assert meta.encoder.grid == (9, 2, 16, 16)
    assert meta.encoder.pos_embed.shape == (1, 1 + 4608, 1025)
    _, model, _ = built()
    table = model.encoder.pos_embed[0]
    assert_close(table[0], torch.zeros(65))
    grid = model.encoder.grid
    long = grid[0] - 3
    rng = np.random.default_rng(0)
    for _ in range(40):
        plane, time, row, column = (int(rng.integers(side)) for side in grid)
        found = table[1 + np.ravel_multi_index((plane, time, row, column), grid)]
        expected = [0.0 if plane < long else 1.0]
        for place in (plane if plane < long else plane - long, time, row, column):
            angles = [place * 10_000 ** (-k / 8) for k in range(8)]  # 64 numbers: four codes of 8 sines and 8 cosines
            expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
        assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.reference
def test_that_the_loss_is_the_squared_error_of_every_pixel_of_every_present_plane() -> None:
    _, model, views = built()
    with torch.no_grad():
        step = model.step(views, 0.0)
        painted = model.paint(model.predict(views))
    total, count = 0.0, 0
    for record in range(6):
        for plane in range(painted.shape[1]):
            if views["present"][record, plane]:
                difference = painted[record, plane] - views["planes"][record, plane]
                total += float((difference**2).sum())
                count += difference.numel()
    assert int((~views["present"]).sum()) > 0  # the example records lack planes
    assert_close(float(step.loss), total / count, rtol=1e-5, atol=1e-7)
    assert_close(float(step.monitors["PSNR, dB"]), -10 * math.log10(total / count), rtol=1e-5, atol=1e-5)


@pytest.mark.reference
def test_that_thirty_percent_of_the_tokens_of_all_planes_stay_visible() -> None:
    config = WholeHeartConfig()
    present = torch.ones(3, 9, dtype=torch.bool)
    mask = draw_mask(config, Rng(0, 0, torch.arange(3)), present)
    assert mask.keep.shape == (3, int(4608 * 0.3))  # 1382 and the class token: "1383 visible tokens"
    by_plane = (~mask.mask).view(3, 9, -1).sum(dim=2)
    assert int(by_plane.min()) > 100  # uniform over the joint sequence: 154 of 512 a plane, give or take


@pytest.mark.reference
def test_that_the_paper_preset_has_as_many_parameters_as_the_released_network() -> None:
    config, problems = apply_settings(WholeHeartConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = WholeHeart(config, UK_BIOBANK)
        blocks = torch.nn.ModuleList([Block(1025, 5, 4, qkv_bias=True) for _ in range(8)])
    count = sum(parameter.numel() for parameter in blocks.parameters())
    count += 25 * 8 * 8 * 1025 + 1025 + 1025 + 2 * 1025  # patches, class token, norm
    count += 1025 * 1025 + 1025 + 1025 + 2 * 1025 + 1025 * 1600 + 1600  # into the decoder, mask token, norm, pixels
    assert problems == []
    assert sum(parameter.numel() for parameter in model.parameters()) == count == METHOD.paper.parameters["paper"]


@pytest.mark.reference
@pytest.mark.slow
def test_that_the_paper_preset_makes_one_finite_step() -> None:
    torch.manual_seed(0)
    model = WholeHeart(WholeHeartConfig(), UK_BIOBANK)
    present = torch.ones(1, 9, dtype=torch.bool)
    mask = draw_mask(WholeHeartConfig(), Rng(0, 0, torch.arange(1)), present)
    views = {"planes": torch.rand(1, 9, 50, 128, 128), "present": present}
    step = model.step(views | {"mask": mask.mask, "keep": mask.keep, "restore": mask.restore}, 0.0)
    step.loss.backward()
    assert torch.isfinite(step.loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_that_missing_planes_are_hidden_first_and_a_chosen_plane_next() -> None:
    subject, _, _ = built(plane_mask_chance=1.0)
    present = torch.ones(64, 10, dtype=torch.bool)
    present[:, 7] = False
    mask = draw_mask(subject.config, Rng(0, 0, torch.arange(64)), present).mask.view(64, 10, -1)
    hidden = mask.all(dim=2)
    assert bool(hidden[:, 7].all())
    assert torch.equal(hidden.sum(dim=1), torch.full((64,), 2))
    assert len(hidden.nonzero()[:, 1].unique()) == 10  # every present plane is chosen for some record
    assert len(mask.sum(dim=(1, 2)).unique()) == 1


def test_that_nothing_seen_of_a_missing_plane_changes_the_features() -> None:
    subject, model, _ = built()
    planes, present = prepare_planes(subject.batch(3), subject.config)
    present[:, 1] = False
    with torch.no_grad():
        found = model.encode(planes, present)
        planes[:, 1] = 0.7
        again = model.encode(planes, present)
        fewer = model.encode(planes, present & (torch.arange(planes.shape[1]) != 2))
    assert_close(found.pooled, again.pooled)
    assert_close(found.dense, again.dense)
    assert not torch.allclose(found.pooled, fewer.pooled, atol=1e-3)


def test_that_planes_come_long_axes_first_and_fill_0_to_1() -> None:
    config, _ = built_for_hearts()
    batch = hearts(4)
    planes, present = prepare_planes(batch, config)
    assert planes.shape == (4, 5, 8, 32, 32)
    assert torch.equal(present[:, :2], batch["lax_present"] > 0)
    for record in range(4):
        there = planes[record][present[record]]
        assert_close(there.amin(), torch.tensor(0.0))
        assert_close(there.amax(), torch.tensor(1.0))
    whole = torch.corrcoef(torch.stack([planes[0, 2].flatten(), batch["sax"][0, :, 0, 0].float().flatten()]))
    assert float(whole[0, 1]) > 0.999


def test_that_short_axes_alone_are_used_where_asked() -> None:
    _, model, views = built(uses="short axis")
    assert model.encoder.planes == views["planes"].shape[1] == 3
    assert bool((model.encoder.pos_embed[0, 1:, 0] == 1).all())


def test_that_planes_are_said_to_cross_where_they_do() -> None:
    config, model = built_for_hearts()
    batch = hearts(3)
    look = next(look for look in METHOD.inspections if look.name == "crossing")
    with torch.no_grad():
        shown = look.compute(model, batch, Choice(), config, Rng(0, 0, batch.index))
    lines = dict(zip(shown.layers, shown.volumes, strict=True))["crossing lines"][0]  # (S, H, W)
    assert lines[1].sum() == 0  # the asking plane is the last long axis
    # a long axis crosses a short axis in a line across the whole picture
    assert all(28 <= lines[plane].sum() <= 60 for plane in (2, 3, 4))


def test_that_missing_planes_need_three_records_to_be_compared() -> None:
    config, model = built_for_hearts()
    look = next(look for look in METHOD.inspections if look.name == "missing-planes")
    batch = hearts(3)
    with torch.no_grad():
        shown = look.compute(model, batch, Choice(), config, Rng(0, 0, batch.index))
    assert [row[0] for row in shown.rows] == ["long 1", "long 2", "short 1", "short 2", "short 3"]
    assert all(-1 <= float(row[1]) <= 1 for row in shown.rows)
