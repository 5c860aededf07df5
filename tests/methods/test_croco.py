"""CroCo against the formulas and numbers of its page, written naively."""

from typing import Any

import msgspec
import pytest
import torch
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.data.batch import Batch
from engine.errors import MethodError
from engine.methods.croco import METHOD, CroCo, CroCoConfig, choose_pair, completion_loss, draw_mask, masked_pair
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.rng import Rng

PAIRS = Schema(fields=(FieldSpec(name="pair", kind=FieldKind.PAIR, shape=(2, 3, 256, 256)),))


def built(**changes: Any) -> tuple[Subject, CroCo, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    subject = Subject(METHOD, msgspec.structs.replace(subject.config, **changes), subject.schema, subject.stages)
    model = subject.models()[0]
    assert isinstance(model, CroCo)
    return subject, model, dict(subject.views(subject.stages[0], subject.batch(3)))


@pytest.mark.reference
def test_that_the_loss_is_the_error_of_standardised_pixels_over_hidden_patches() -> None:
    _, model, views = built()
    with torch.no_grad():
        visible = model.encoder(views["image"], keep=views["keep"])
        predicted = model.decoder(visible, views["restore"], model.encoder(views["other"]))
        loss = model.step(views, 0.0).loss
    total, hidden = 0.0, 0
    for record in range(3):
        for place in views["mask"][record].nonzero().flatten().tolist():
            row, column = divmod(place, 8)
            patch = views["image"][record, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
            values = patch.permute(1, 2, 0).reshape(-1)  # row, column inside the patch, then channel
            target = (values - values.mean()) / (values.var(correction=1) + 1e-6).sqrt()
            total += float((predicted[record, place] - target).square().mean())
            hidden += 1
    assert hidden == 3 * 57
    assert_close(loss, torch.tensor(total / hidden), atol=1e-4, rtol=1e-4)


@pytest.mark.reference
def test_that_a_decoder_block_is_self_then_cross_attention_then_mlp_and_leaves_the_second_view() -> None:
    _, model, views = built()
    decoder: Any = model.decoder
    first, second = model.encoder(views["image"]), model.encoder(views["other"])
    x = decoder.embed(first) + decoder.pos_embed
    y = decoder.embed(second) + decoder.pos_embed

    def attend(layer: Any, query: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part(rows).view(3, 64, 4, 16).transpose(1, 2)
            for part, rows in ((layer.q, query), (layer.k, context), (layer.v, context))
        )
        mixed = torch.softmax(q @ k.transpose(2, 3) / 4, dim=-1) @ v
        return layer.proj(mixed.transpose(1, 2).reshape(3, 64, 64))  # type: ignore[no-any-return]

    for block in decoder.blocks:
        x = x + block.attn_self(block.norm_self(x))
        x = x + attend(block.attn, block.norm_query(x), block.norm_context(y))
        x = x + block.mlp(block.norm_mlp(x))
    assert_close(decoder(first, None, second), decoder.predict(decoder.norm(x)), atol=1e-4, rtol=1e-4)


@pytest.mark.reference
def test_that_the_paper_preset_hides_176_of_196_patches() -> None:
    config, problems = apply_settings(CroCoConfig(), METHOD.presets["paper"].config)
    assert problems == []
    assert draw_mask(config, Rng(0, 0, torch.arange(4))).mask.sum(dim=1).tolist() == [176] * 4


@pytest.mark.reference
def test_that_the_paper_preset_has_the_official_codes_layers() -> None:
    config, _ = apply_settings(CroCoConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = CroCo(config, PAIRS)
    assert sum(parameter.numel() for parameter in model.parameters()) == METHOD.paper.parameters["paper"]
    assert model.encoder.prefix == 0


@pytest.mark.reference
def test_that_both_views_pass_the_same_encoder_with_gradients() -> None:
    _, model, views = built()
    views["image"].requires_grad_()
    views["other"].requires_grad_()
    model.step(views, 0.0).loss.backward()  # type: ignore[no-untyped-call]
    assert views["other"].grad is not None
    assert views["other"].grad.flatten(1).any(dim=1).all()


def test_that_the_second_view_is_never_masked_and_the_first_views_hidden_pixels_never_seen() -> None:
    _, model, views = built()
    hidden = views["mask"].view(3, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    blanked = dict(views, image=torch.where(hidden, 0.0, views["image"]))
    assert_close(model.complete(blanked, views["other"]), model.complete(views, views["other"]))
    touched = views["other"].clone()
    touched[:, :, -4:, -4:] += 1
    assert not torch.allclose(model.complete(views, touched), model.complete(views, views["other"]))


def test_that_views_are_cut_and_coloured_independently() -> None:
    subject, _, _ = built()
    batch = subject.batch(3)
    same = Batch(
        {**batch.fields, "pair": batch["pair"][:, :1].expand(-1, 2, -1, -1, -1)}, batch.index, batch.specs, batch.texts
    )
    views = masked_pair(same, subject.config, Rng(0, 0, batch.index))
    plain = msgspec.structs.replace(subject.config, colour_jitter=0.0, crop_side=1.0)
    untouched = masked_pair(same, plain, Rng(0, 0, batch.index))
    assert not torch.allclose(views["image"], views["other"], atol=0.05)
    assert_close(untouched["image"], untouched["other"])


def test_that_of_two_views_the_first_is_completed_and_of_more_every_ordered_pair_comes() -> None:
    spec = {"pair": FieldSpec(name="views", kind=FieldKind.VIEWS, shape=(3, 3, 8, 8))}
    index = torch.arange(600)
    two = Batch({"pair": torch.zeros(600, 2, 3, 8, 8)}, index, spec)
    three = Batch({"pair": torch.zeros(600, 3, 3, 8, 8)}, index, spec)
    first, second = choose_pair(two, 0.5, Rng(0, 0, index))
    assert first.tolist() == [0] * 600
    assert second.tolist() == [1] * 600
    first, second = choose_pair(three, 0.5, Rng(0, 0, index))
    counts = torch.bincount(first * 3 + second, minlength=9).view(3, 3)
    assert counts.diagonal().tolist() == [0, 0, 0]
    assert (counts[~torch.eye(3, dtype=torch.bool)] > 60).all()


def test_that_pairs_that_see_too_little_of_each_other_are_left_out() -> None:
    spec = {"pair": FieldSpec(name="views", kind=FieldKind.VIEWS, shape=(3, 3, 8, 8))}
    shared = torch.tensor([[1, 0.9, 0.1], [0.6, 1, 0.7], [0.9, 0.2, 1]])
    nothing = torch.eye(3)
    index = torch.arange(200)
    seen = torch.where((index % 2 == 0).view(-1, 1, 1), shared, nothing)
    batch = Batch({"pair": torch.zeros(200, 3, 3, 8, 8), "covisibility": seen}, index, spec)
    first, second = choose_pair(batch, 0.5, Rng(0, 0, index))
    pairs = set(zip(first[::2].tolist(), second[::2].tolist(), strict=True))
    assert pairs == {(0, 1), (1, 0)}
    assert (first[1::2] != second[1::2]).all()  # where none is good enough, any will do


def test_that_the_gain_is_the_loss_with_a_wrong_view_less_that_with_the_right_one() -> None:
    _, model, views = built()
    step = model.step(views, 0.0)
    wrong = dict(views, other=views["other"].roll(1, 0))
    with torch.no_grad():
        expected = model.step(wrong, 0.0).loss - step.loss
    assert_close(step.monitors["gain of the right view"], expected.detach(), atol=1e-5, rtol=1e-4)


def test_that_without_a_second_view_it_is_a_masked_autoencoder() -> None:
    subject, model, views = built(second_view="none")
    step = model.step(views, 0.0)
    assert_close(step.loss, model.step(dict(views, other=torch.zeros_like(views["other"])), 0.0).loss)
    batch = subject.batch(2)
    look = next(look for look in METHOD.inspections if look.name == "matches")
    with pytest.raises(MethodError, match="without a second view"):
        look.compute(model, batch, Choice(), subject.config, Rng(0, 0, batch.index))


def test_that_an_unrelated_second_view_comes_from_another_record() -> None:
    _, paired, views = built()
    _, model, _ = built(second_view="unrelated")
    model.load_state_dict(paired.state_dict())
    rolled = dict(views, other=views["other"].roll(1, 0))
    assert_close(model.step(views, 0.0).loss, paired.step(rolled, 0.0).loss)
    assert not torch.allclose(model.step(views, 0.0).loss, paired.step(views, 0.0).loss)


def test_that_binocular_features_hold_every_block_of_the_decoder() -> None:
    _, model, views = built()
    assert model.binocular(views["image"], views["other"]).shape == (3, 64, 3 * 64)


def test_that_a_perfect_prediction_costs_nothing_and_visible_patches_never_do() -> None:
    target, mask = torch.randn(2, 4, 6), torch.tensor([[True, False, True, False], [False, False, True, True]])
    wrong = torch.where(mask.unsqueeze(2), target, 100.0)
    assert_close(completion_loss(wrong, target, mask), torch.tensor(0.0))


@pytest.mark.slow
def test_that_the_paper_preset_takes_a_step() -> None:
    config, _ = apply_settings(CroCoConfig(), METHOD.presets["paper"].config)
    torch.manual_seed(0)
    model = CroCo(config, PAIRS)
    pixels = torch.randint(256, (2, 2, 3, 256, 256), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    batch = Batch({"pair": pixels}, torch.arange(2), {"pair": PAIRS.fields[0]})
    step = model.step(masked_pair(batch, config, Rng(0, 0, batch.index)), 0.0)
    step.loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(step.loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
