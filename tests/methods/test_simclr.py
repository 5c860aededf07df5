"""SimCLR against the formula of its paper, another library, and the size of its network."""

import math

import msgspec
import pytest
import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.methods.simclr import METHOD, SimCLR, SimCLRConfig, two_crops
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.rng import Rng

RGB = Schema(fields=(FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 224, 224)),))


def built(**changes: object) -> tuple[Subject, SimCLR, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    config = msgspec.structs.replace(subject.config, **changes)
    subject = Subject(METHOD, config, subject.schema, subject.stages)
    model = subject.models()[0]
    assert isinstance(model, SimCLR)
    return subject, model.eval(), dict(subject.views(subject.stages[0], subject.batch(4)))


@pytest.mark.reference
def test_that_the_loss_is_nt_xent_of_the_projections_as_the_paper_sums_it() -> None:
    _, model, views = built(temperature=0.3)
    with torch.no_grad():
        rows = F.normalize(torch.cat([model.project(views["first"]), model.project(views["second"])]), dim=1)
        found = model.step(views, 0.0).loss
    total = 0.0
    for i in range(8):
        similarities = [math.exp(float(rows[i] @ rows[k]) / 0.3) for k in range(8)]
        total -= math.log(similarities[(i + 4) % 8] / (sum(similarities) - similarities[i]))
    assert_close(found, torch.tensor(total / 8), rtol=1e-4, atol=1e-5)


@pytest.mark.reference
def test_that_the_loss_equals_lightlys_of_the_same_projections() -> None:
    _, model, views = built(temperature=0.2)
    with torch.no_grad():
        expected = NTXentLoss(temperature=0.2)(model.project(views["first"]), model.project(views["second"]))
        assert_close(model.step(views, 0.0).loss, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.reference
def test_that_the_paper_preset_is_resnet_50_with_a_head_of_2048_and_128() -> None:
    config, problems = apply_settings(SimCLRConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = SimCLR(config, RGB)
    encoder = sum(parameter.numel() for parameter in model.encoder.parameters())
    head = 2048 * 2048 + 2 * 2048 + 2048 * 128 + 2 * 128
    assert problems == []
    assert encoder == pytest.approx(23.5e6, rel=0.01)  # ResNet-50 without its classifier, as published
    assert encoder + head == METHOD.paper.parameters["paper"]


def test_that_features_are_taken_before_the_head() -> None:
    subject, model, _ = built()
    with torch.no_grad():
        features = model.embed(subject.batch(2))
    assert features.pooled.shape == (2, model.encoder.dim)
    assert features.dense.shape[1] == math.prod(features.grid)


def test_that_colours_stay_alone_without_colour_distortion() -> None:
    subject, _, _ = built()
    batch = subject.batch(8)
    whole = {"crop_area": (1.0, 1.0), "flip": 0.0, "grey_chance": 0.0}
    plain = msgspec.structs.replace(subject.config, colour_strength=0.0, **whole)
    changed = msgspec.structs.replace(plain, colour_strength=1.0)
    means = [two_crops(batch, config, Rng(0, 0, batch.index)) for config in (plain, changed)]
    shift = [(views["first"].mean(dim=(2, 3)) - views["second"].mean(dim=(2, 3))).abs().mean() for views in means]
    assert shift[0] < 0.5 * shift[1]


def test_that_a_transformer_can_be_the_encoder() -> None:
    _, model, views = built(encoder="vit-micro")
    assert torch.isfinite(model.step(views, 0.0).loss)
    assert hasattr(model.encoder, "attention")


def test_that_the_similarity_view_is_brightest_on_its_diagonal_for_equal_views() -> None:
    subject, model, _ = built(crop_area=(1.0, 1.0), flip=0.0, colour_strength=0.0, grey_chance=0.0)
    batch = subject.batch(3)
    with torch.no_grad():
        shown = METHOD.inspections[0].compute(model, batch, Choice(), subject.config, Rng(0, 0, batch.index))
    assert shown.values.diagonal().min() > shown.values[~torch.eye(3, dtype=torch.bool).numpy()].max()


def test_that_views_can_change_locally() -> None:
    _, model, plain = built()
    _, _, changed = built(local_level="medium", local_chance=1.0)
    assert float((plain["first"] - changed["first"]).abs().mean()) > 0.02
    assert torch.isfinite(model.step(changed, 0.0).loss)
