"""Random field augmentations against the sentences and numbers of their page; the fields have tests of their own."""

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.methods.random_field_augmentations import (
    METHOD,
    Laboratory,
    RandomFieldConfig,
    RandomFieldContrast,
    field_recipe,
    heat,
)
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.pixels import denormalise
from engine.views.rng import Rng

RGB = Schema(fields=(FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 224, 224)),))


def built(**changes: object) -> tuple[Subject, RandomFieldContrast, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    config = msgspec.structs.replace(subject.config, **changes)
    subject = Subject(METHOD, config, subject.schema, subject.stages)
    model = subject.models()[0]
    assert isinstance(model, RandomFieldContrast)
    return subject, model, dict(subject.views(subject.stages[0], subject.batch(4)))


def laboratory(**changes: object) -> Laboratory:
    subject, _, _ = built(**changes)
    batch = subject.batch(3)
    return Laboratory(batch, subject.config, Rng(0, 0, batch.index))


@pytest.mark.reference
def test_that_the_loss_is_nt_xent_of_the_two_views() -> None:
    _, model, views = built()
    model.train()
    loss = model.step(views, 0.0).loss.detach()
    with torch.no_grad():
        z = F.normalize(
            model.projector(model.encoder.features(torch.cat([views["first"], views["second"]])).pooled), dim=1
        )
    total = 0.0
    for row in range(8):
        scores = [float(z[row] @ z[other]) / 0.2 for other in range(8)]
        denominator = torch.tensor([score for other, score in enumerate(scores) if other != row]).logsumexp(dim=0)
        total += float(denominator) - scores[(row + 4) % 8]
    assert_close(loss, torch.tensor(total / 8), rtol=1e-4, atol=1e-5)


@pytest.mark.reference
def test_that_the_default_strengths_are_the_mild_ones_of_the_page() -> None:
    strengths = field_recipe(RandomFieldConfig()).strengths
    assert (strengths.turn, strengths.scale, strengths.shear, strengths.shift) == (0.08, 0.05, 0.05, 0.03)
    assert (strengths.hue, strengths.saturation, strengths.brightness) == (0.02, 0.15, 0.15)
    assert RandomFieldConfig().length == 0.25
    assert RandomFieldConfig().chance == 0.5


@pytest.mark.reference
def test_that_the_paper_preset_has_the_parameters_of_resnet_50_and_simclrs_head() -> None:
    config, problems = apply_settings(RandomFieldConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = RandomFieldContrast(config, RGB)
    head = 2048 * 2048 + 2 * 2048 + 2048 * 128 + 2 * 128
    assert problems == []
    assert sum(parameter.numel() for parameter in model.parameters()) == 23_508_032 + head
    assert METHOD.paper.parameters["paper"] == 23_508_032 + head


@pytest.mark.slow
def test_that_a_step_at_paper_size_is_finite() -> None:
    config, _ = apply_settings(RandomFieldConfig(), METHOD.presets["paper"].config)
    model = RandomFieldContrast(config, RGB)
    generator = torch.Generator().manual_seed(0)
    views = {name: torch.randn(2, 3, 224, 224, generator=generator) for name in ("first", "second")}
    loss = model.step(views, 0.0).loss
    loss.backward()
    assert torch.isfinite(loss)


def test_that_without_a_chance_views_are_plain_ones() -> None:
    _, _, plain = built(chance=0.0)
    _, _, weightless = built(strength=0.0)
    _, _, changed = built(chance=1.0)
    assert torch.equal(plain["first"], weightless["first"])
    assert not torch.allclose(plain["first"], changed["first"], atol=0.05)


def test_that_both_views_have_fields_of_their_own() -> None:
    whole = {"crop_area": (1.0, 1.0), "flip": 0.0, "colour_strength": 0.0, "grey_chance": 0.0}
    _, _, plain = built(chance=0.0, **whole)
    _, _, changed = built(chance=1.0, **whole)
    apart = [float((views["first"] - views["second"]).abs().mean()) for views in (plain, changed)]
    assert apart[1] > 3 * apart[0]


def test_that_the_laboratory_changes_nothing_at_strength_0() -> None:
    lab = laboratory()
    assert_close(lab.view(lab.fields(0.0)), lab.image, atol=1e-4, rtol=0)


def test_that_only_the_strength_changes_between_strengths() -> None:
    lab = laboratory()
    assert_close(lab.fields(4.0).make(), 4 * lab.fields(1.0).make())


def test_that_the_noise_stays_when_the_length_changes() -> None:
    lab = laboratory()
    near, far = lab.fields(1.0, 0.25).make()[:, 0].flatten(1), lab.fields(1.0, 0.3).make()[:, 0].flatten(1)
    assert float(F.cosine_similarity(near, far).min()) > 0.8


def test_that_heat_is_white_at_0_red_above_and_blue_below() -> None:
    colours = heat(torch.tensor([[[0.0, 10.0, -10.0]]]), torch.ones(1))
    assert colours[0, :, 0].T.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 1]]


def test_that_the_drawn_covariance_is_near_the_asked_one() -> None:
    subject, model, _ = built()
    batch = subject.batch(4)
    look = {look.name: look for look in METHOD.inspections}["statistics"]
    shown = look.compute(model, batch, Choice(), subject.config, Rng(0, 0, batch.index))
    assert abs(shown.values[0] - shown.values[1]).max() < 0.25
    assert shown.values[1][0] == 1


def test_that_strong_fields_leave_less_of_edges() -> None:
    subject, model, _ = built()
    batch = subject.batch(4)
    look = {look.name: look for look in METHOD.inspections}["preservation"]
    with torch.no_grad():
        shown = look.compute(model.eval(), batch, Choice(), subject.config, Rng(0, 0, batch.index))
    assert_close(torch.from_numpy(shown.values[:, 0]), torch.ones(2), atol=1e-3, rtol=0)
    assert shown.values[1, -1] < 0.6


def test_that_the_middle_of_a_picture_does_not_feel_turns() -> None:
    subject, model, _ = built()
    batch = subject.batch(2)
    lab = Laboratory(batch, subject.config, Rng(0, 0, batch.index))
    look = {look.name: look for look in METHOD.inspections}["sensitivity"]
    with torch.no_grad():
        shown = look.compute(model.eval(), batch, Choice(), subject.config, Rng(0, 0, batch.index))
    turn = shown.pictures[:, 1 + 0, 0]
    assert turn.max() == 1
    assert turn[:, 15:17, 15:17].mean() < turn.mean()
    assert float((torch.from_numpy(shown.pictures[:, 0]) - denormalise(lab.image, lab.spec)).abs().max()) < 1e-4
