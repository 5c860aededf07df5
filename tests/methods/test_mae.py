"""MAE against the formulas and numbers of its page, written naively."""

import msgspec
import pytest
import torch
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.methods.mae import MAE, METHOD, MAEConfig, draw_mask, reconstruction_loss
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.rng import Rng

RGB = Schema(fields=(FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 224, 224)),))


def built(**changes: object) -> tuple[Subject, MAE]:
    subject = Subject.of(METHOD)
    config = msgspec.structs.replace(subject.config, **changes)
    torch.manual_seed(0)
    return subject, MAE(config, subject.schema).eval()


def vit_parameters(width: int, depth: int, patch_values: int) -> int:
    block = 4 * width * width + 4 * width + 8 * width * width + 5 * width + 4 * width
    return patch_values * width + width + width + depth * block + 2 * width


@pytest.mark.reference
def test_that_the_loss_is_the_mean_over_hidden_patches_of_the_normalised_squared_error() -> None:
    subject, model = built()
    views = subject.views(subject.stages[0], subject.batch(3))
    predicted = model.predict(views).detach()
    total, count = 0.0, 0
    for record in range(3):
        for row in range(8):
            for column in range(8):
                if not views["mask"][record, row * 8 + column]:
                    continue
                patch = views["image"][record, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
                values = patch.permute(1, 2, 0).reshape(-1)  # channel fastest
                mean = values.mean()
                variance = ((values - mean) ** 2).sum() / (len(values) - 1)
                target = (values - mean) / (variance + 1e-6).sqrt()
                total += float(((predicted[record, row * 8 + column] - target) ** 2).mean())
                count += 1
    assert_close(model.step(views, 0.0).loss, torch.tensor(total / count))


@pytest.mark.reference
def test_that_the_paper_preset_has_the_parameters_of_vit_large_and_its_decoder() -> None:
    config, problems = apply_settings(MAEConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = MAE(config, RGB)
    encoder = vit_parameters(1024, 24, 3 * 16 * 16)
    decoder = vit_parameters(512, 8, 0) - 512 + 1024 * 512 + 512 + 512 * 768 + 768
    found = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert problems == []
    assert encoder == pytest.approx(303.3e6, rel=0.01)  # ViT-L/16 without its classifier, as published
    assert found == encoder + decoder == METHOD.paper.parameters["paper"]


@pytest.mark.reference
@pytest.mark.parametrize(
    ("picture", "patch", "share", "visible"), [(224, 16, 0.75, 49), (32, 4, 0.7, 19), (32, 4, 0.75, 16)]
)
def test_that_the_number_of_visible_patches_is_rounded_as_by_the_authors(
    picture: int, patch: int, share: float, visible: int
) -> None:
    config = MAEConfig(image_px=picture, patch_px=patch, mask_share=share)
    mask = draw_mask(config, Rng(0, 0, torch.arange(5)))
    assert mask.keep.shape == (5, visible)
    assert ((~mask.mask).sum(dim=1) == visible).all()


@pytest.mark.reference
def test_that_positions_have_the_column_in_their_first_half() -> None:
    _, model = built()
    table = model.encoder.pos_embed[0, 1:].view(8, 8, 64)
    frequency = 1 / 10000 ** (torch.arange(16) / 16)
    assert_close(table[2, 5, :16], torch.sin(5 * frequency))
    assert_close(table[2, 5, 16:32], torch.cos(5 * frequency))
    assert_close(table[2, 5, 32:48], torch.sin(2 * frequency))


def test_that_hidden_pixels_do_not_reach_the_encoder() -> None:
    subject, model = built()
    views = subject.views(subject.stages[0], subject.batch(2))
    hidden = views["mask"].view(2, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    blanked = dict(views, image=torch.where(hidden, torch.zeros(()), views["image"]))
    assert_close(model.predict(blanked), model.predict(views))


def test_that_visible_patches_cost_nothing() -> None:
    predicted, target = torch.zeros(1, 4, 6), torch.zeros(1, 4, 6)
    predicted[0, 0] = 100
    mask = torch.tensor([[False, True, True, True]])
    assert reconstruction_loss(predicted, target, mask) == 0


def test_that_visible_patches_are_pasted_into_the_shown_reconstruction() -> None:
    subject, model = built()
    batch = subject.batch(2)
    with torch.no_grad():
        shown = METHOD.inspections[0].compute(model, batch, Choice(), subject.config, Rng(0, 0, batch.index))
    hidden = shown.mask.repeat(4, axis=1).repeat(4, axis=2)
    assert (shown.error[~hidden] == 0).all()
    assert (shown.error[hidden] > 0).mean() > 0.9


def test_that_features_from_the_class_token_differ_from_the_mean() -> None:
    subject, model = built()
    _, other = built(pool="class")
    with torch.no_grad():
        mean, token = model.embed(subject.batch(2)), other.embed(subject.batch(2))
    assert_close(mean.pooled, mean.dense.mean(dim=1))
    assert not torch.allclose(mean.pooled, token.pooled)
