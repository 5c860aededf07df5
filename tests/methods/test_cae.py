"""CAE against the formulas and numbers of its page, written naively."""

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.methods.cae import CAE, METHOD, CAEConfig, RegressorBlock, agreement, alignment_loss, code_loss, draw_mask
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.rng import Rng

RGB = Schema(fields=(FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 224, 224)),))


def built(**changes: object) -> tuple[Subject, CAE, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    config = msgspec.structs.replace(subject.config, drop_path=0.0, **changes)
    subject = Subject(METHOD, config, subject.schema, subject.stages)
    model = subject.models()[0]
    assert isinstance(model, CAE)
    return subject, model, dict(subject.views(subject.stages[0], subject.batch(3)))


@pytest.mark.reference
def test_that_alignment_is_the_mean_squared_difference_over_all_entries() -> None:
    predicted, latent = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    total = sum(float(predicted[b, m, d] - latent[b, m, d]) ** 2 for b in range(2) for m in range(3) for d in range(4))
    assert_close(alignment_loss(predicted, latent), torch.tensor(total / 24))


@pytest.mark.reference
def test_that_the_loss_is_decoding_plus_lambda_times_alignment() -> None:
    _, model, views = built()
    step = model.step(views, 0.0)
    with torch.no_grad():
        predicted, latent = model.regress(views)[-1], model.true_latent(views)
        scores = model.decode(predicted, views["hidden"])
        decoding = code_loss(scores, model.target(views))
    expected = decoding + 2.0 * (predicted - latent).square().mean()
    assert_close(step.loss.detach(), expected)


@pytest.mark.reference
def test_that_the_code_of_a_patch_is_the_nearest_centroid_of_its_normalised_pixels() -> None:
    _, model, views = built()
    codes = model.target(views)
    for record in range(3):
        for number, place in enumerate(views["hidden"][record].tolist()):
            row, column = divmod(place, 8)
            patch = views["coarse"][record, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
            values = patch.permute(1, 2, 0).reshape(-1)
            values = (values - values.mean()) / (values.var() + 1e-6).sqrt()
            distances = (model.centroids - values).square().sum(dim=1)
            assert_close(distances[codes[record, number]], distances.min())


@pytest.mark.reference
def test_that_a_regressor_block_restarts_its_residual_stream_after_the_second_norm() -> None:
    torch.manual_seed(0)
    block = RegressorBlock(16, 4, layer_scale=0.1, drop_path=0.0).eval()
    q, z, pos_q, pos_v = (torch.randn(2, n, 16) for n in (3, 5, 3, 5))
    kv, pk = torch.cat([z, q], dim=1), torch.cat([pos_v, pos_q], dim=1)
    attention = block.attention

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.view(2, -1, 4, 4).transpose(1, 2)

    query = heads(F.linear(block.norm_query(q + pos_q), attention.q.weight, attention.q.bias))
    key = heads(F.linear(block.norm_key(kv + pk), attention.k.weight))  # zero bias for k
    value = heads(F.linear(block.norm_value(kv), attention.v.weight, attention.v.bias))  # no position in the values
    mixed = torch.softmax(query @ key.transpose(2, 3) / 2, dim=-1) @ value
    x = q + 0.1 * attention.proj(mixed.transpose(1, 2).reshape(2, 3, 16))
    x = block.norm_mlp(x)
    expected = x + 0.1 * block.mlp(x)
    assert attention.k.bias is None
    assert_close(block(q, z, pos_q, pos_v), expected)


@pytest.mark.reference
def test_that_the_paper_preset_hides_98_of_196_patches_in_blocks() -> None:
    config, problems = apply_settings(CAEConfig(), METHOD.presets["paper"].config)
    mask = draw_mask(config, Rng(0, 0, torch.arange(32))).mask.view(32, 14, 14)
    assert problems == []
    assert (mask.sum(dim=(1, 2)) == 98).all()
    # in blocks, neighbours share their fate far more often than the 50 % of random patches
    assert (mask[:, :, 1:] == mask[:, :, :-1]).float().mean() > 0.75


@pytest.mark.reference
def test_that_the_paper_preset_has_an_encoder_of_the_size_of_vit_base() -> None:
    config, _ = apply_settings(CAEConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = CAE(config, RGB)
    assert sum(p.numel() for p in model.encoder.parameters()) == pytest.approx(85.8e6, rel=0.01)
    assert (len(model.regressor), len(model.decoder), model.predict.out_features) == (4, 4, 8192)


def test_that_the_decoder_never_sees_visible_latents_and_the_encoder_no_hidden_pixels() -> None:
    _, model, views = built()
    hidden = views["mask"].view(3, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    blanked = dict(views, image=torch.where(hidden, torch.zeros(()), views["image"]))
    assert_close(model.regress(blanked)[-1], model.regress(views)[-1])


def test_that_no_gradient_reaches_the_encoder_through_the_true_latents() -> None:
    _, model, views = built()
    predicted = model.regress(views)[-1].detach()
    loss = alignment_loss(predicted, model.true_latent(views))
    assert not loss.requires_grad


def test_that_a_perfect_prediction_leaves_nothing_unexplained_and_the_mean_everything() -> None:
    latent = torch.randn(4, 5, 6)
    mean = latent.flatten(0, 1).mean(dim=0).expand_as(latent)
    assert_close(agreement(latent, latent)["unexplained"], torch.tensor(0.0))
    assert_close(agreement(mean, latent)["unexplained"], torch.tensor(1.0))


def test_that_the_vocabulary_is_filled_before_training_and_every_entry_differs() -> None:
    _, model, _ = built()
    assert torch.pdist(model.centroids).min() > 0


def test_that_pixels_can_be_predicted_instead_of_codes() -> None:
    subject, model, views = built(target="pixels")
    batch = subject.batch(2)
    with torch.no_grad():
        shown = METHOD.inspections[0].compute(model.eval(), batch, Choice(), subject.config, Rng(0, 0, batch.index))
    assert "coarse" not in views
    assert torch.isfinite(model.step(views, 0.0).loss)
    assert (shown.output >= 0).all()


def test_that_a_narrower_decoder_is_bridged() -> None:
    _, model, views = built(decoder_width=32)
    assert model.regress(views)[-1].shape == (3, 32, 32)
    assert torch.isfinite(model.step(views, 0.0).loss)
