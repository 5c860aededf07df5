"""PoLAr-MAE against the formulas and numbers of its page, written naively."""

import dataclasses
import math
from typing import Any

import msgspec
import pytest
import torch
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.data.batch import Ragged
from engine.methods.polar_mae import (
    METHOD,
    PoLArMAE,
    PoLArMAEConfig,
    described_points,
    energy_of,
    hide_tokens,
    masked_event,
    scale_energy,
    token_views,
    tokenise,
    turn_matrix,
)  # fmt: skip
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.rng import Rng

EVENTS = Schema(fields=(FieldSpec(name="points", kind=FieldKind.POINTS, shape=(None, 4), dtype="float32"),))


def built(**changes: Any) -> tuple[Subject, PoLArMAE, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    config = msgspec.structs.replace(subject.config, drop_path=0.0, attention_dropout=0.0, **changes)
    subject = Subject(METHOD, config, subject.schema, subject.stages)
    model = subject.models()[0]
    assert isinstance(model, PoLArMAE)
    return subject, model, dict(subject.views(subject.stages[0], subject.batch(3)))


@pytest.mark.reference
def test_that_energies_scale_to_the_pages_fixed_points_and_back() -> None:
    energy = torch.tensor([0.13, 20.0, 0.0])
    assert_close(scale_energy(energy, 0.13, 20.0), torch.tensor([-0.725, 1.0, -1.0]), atol=5e-4, rtol=0)
    some = torch.linspace(0.13, 20, 50)
    assert_close(energy_of(scale_energy(some, 0.13, 20.0), 0.13, 20.0), some, atol=1e-4, rtol=1e-4)


@pytest.mark.reference
def test_that_the_loss_is_chamfer_plus_energy_over_real_points_of_hidden_tokens() -> None:
    _, model, views = built()
    step = model.step(views, 0.0)
    with torch.no_grad():
        _, hidden = model.decode(views)
        predicted = model.points(hidden)
        sizes = views["hidden_sizes"]
        energies = model.energies(hidden, views["hidden_points"], sizes)
    distance, squared, first = 0.0, 0.0, 0
    for token, size in enumerate(sizes.tolist()):
        truth = views["hidden_points"][first : first + size]
        first += size
        guess = predicted[token, :size]  # cut to as many points as there are
        for one, other in ((guess, truth), (truth, guess)):
            distance += sum(min(float((p - q).square().sum()) for q in other) for p in one) / size
        squared += float((energies[token, :size] - truth[:, 3]).square().sum())
    expected = distance / len(sizes) + squared / first
    assert_close(step.loss.detach(), torch.tensor(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.reference
def test_that_places_are_local_in_radii_and_energies_absolute() -> None:
    subject, _, _ = built()
    batch = subject.batch(2)
    rows = batch.ragged("points")
    groups = tokenise(rows, subject.config)
    views = token_views(groups, subject.config, torch.eye(3))
    group = int(groups.lengths[0])  # the first of the second event
    mine = rows.data[groups.index[group][groups.point_real[group]]]
    first = int(views["sizes"][:group].sum())
    found = views["points"][first : first + int(views["sizes"][group])]
    assert_close(found[:, :3], (mine[:, :3] - groups.centres[group]) / 4.0)
    assert_close(found[:, 3], scale_energy(mine[:, 3], 0.05, 20.0))
    assert (mine[:, 3] > 0.05).all()
    assert_close(views["centres"][1, 0], (groups.centres[group] - 64) / (64 * math.sqrt(3)))


@pytest.mark.reference
def test_that_six_tenths_of_each_events_tokens_are_hidden_rounded_down() -> None:
    lengths = torch.tensor([10, 7, 1, 0])
    real = torch.arange(10) < lengths.unsqueeze(1)
    sizes = torch.arange(18) % 3 + 1
    whole = {
        "sizes_lengths": lengths,
        "token_real": real,
        "sizes": sizes,
        "points": torch.arange(36.0).unsqueeze(1),
        "points_lengths": torch.tensor([19, 15, 2, 0]),
    }
    found = hide_tokens(whole, 0.6, Rng(0, 0, torch.arange(4)))
    assert found["hidden_lengths"].tolist() == [6, 4, 0, 0]
    assert found["sizes_lengths"].tolist() == [4, 3, 1, 0]
    hidden = found["hidden"].split(found["hidden_lengths"].tolist())
    starts = [0, 10, 17, 18]
    points: dict[str, list[float]] = {"points": [], "hidden_points": []}
    for event in range(4):
        visible = found["keep"][event][found["keep_real"][event]].tolist()
        assert sorted([*hidden[event].tolist(), *visible]) == list(range(int(lengths[event])))
        for name, tokens in (("hidden_points", hidden[event].tolist()), ("points", visible)):
            for token in tokens:
                first = int(sizes[: starts[event] + token].sum())
                points[name] += [float(place) for place in range(first, first + int(sizes[starts[event] + token]))]
    for name, expected in points.items():
        assert found[name].flatten().tolist() == expected
        assert int(found[f"{name}_lengths"].sum()) == len(expected)


@pytest.mark.reference
def test_that_one_turn_by_three_angles_is_made_of_x_then_y_then_z() -> None:
    a, b, c = 0.3, -1.1, 2.0
    x = torch.tensor([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    y = torch.tensor([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    z = torch.tensor([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    assert_close(turn_matrix([a, b, c], torch.device("cpu")), x @ y @ z)


@pytest.mark.reference
def test_that_the_paper_preset_has_the_official_codes_layers() -> None:
    config, problems = apply_settings(PoLArMAEConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = PoLArMAE(config, EVENTS)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert problems == []
    assert count == METHOD.paper.parameters["paper"]
    encoder = sum(parameter.numel() for parameter in model.encoder.parameters())
    assert encoder == pytest.approx(21.3e6, rel=0.01)  # ViT-S without class token, positions and last norm


def test_that_groups_turn_with_their_event() -> None:
    subject, _, _ = built()
    batch = subject.batch(2)
    rng = Rng(0, 3, batch.index)
    turned = masked_event(batch, subject.config, rng)
    lying = masked_event(batch, msgspec.structs.replace(subject.config, turns=False), Rng(0, 3, batch.index))
    angles = Rng(0, 3, batch.index)
    matrix = turn_matrix([angles.scalar_uniform(-math.pi, math.pi) for _ in range(3)], torch.device("cpu"))
    assert_close(turned["points"][:, :3], lying["points"][:, :3] @ matrix.T)
    assert_close(turned["centres"], lying["centres"] @ matrix.T)
    assert torch.equal(turned["points"][:, 3], lying["points"][:, 3])


def test_that_hidden_tokens_reach_neither_encoder_nor_decoder() -> None:
    _, model, views = built()
    model.eval()
    without = {name: view for name, view in views.items() if not name.startswith(("hidden_points", "hidden_sizes"))}
    latent, decoded = model.decode(views)
    again, decoded_again = model.decode(without)
    assert_close(again, latent)
    assert_close(decoded_again, decoded)


def test_that_features_of_an_event_with_nothing_hidden_are_those_of_the_encoder() -> None:
    subject, model, _ = built()
    model.eval()
    batch = subject.batch(2)
    whole = masked_event(
        batch, msgspec.structs.replace(subject.config, mask_share=0.0, turns=False), Rng(0, 0, batch.index)
    )
    latent, _ = model.decode(whole)
    features = model.embed(batch)
    assert features.dense is not None
    assert_close(latent[whole["keep_real"]], features.dense[whole["token_real"]])


def test_that_the_energy_head_sees_places_but_no_energy() -> None:
    _, model, views = built()
    model.eval()
    _, decoded = model.decode(views)
    sizes = views["hidden_sizes"]
    blind = views["hidden_points"].clone()
    blind[:, 3] = 7.0
    assert_close(model.energies(decoded, blind, sizes), model.energies(decoded, views["hidden_points"], sizes))


def test_that_without_the_energy_head_it_is_point_mae() -> None:
    _, model, views = built(energy_weight=0.0)
    assert set(model.step(views, 0.0).parts) == {"points"}
    assert not any(name.startswith(("embed_shape", "predict_energy")) for name, _ in model.named_parameters())


def test_that_visible_tokens_can_be_decoded_too() -> None:
    _, model, views = built(visible_weight=2.0)
    step = model.step(views, 0.0)
    assert step.parts["visible"] > 0
    assert_close(step.loss, sum(step.parts.values()))


def test_that_the_norm_of_each_token_can_be_chosen() -> None:
    _, model, views = built(norm="layer")
    assert torch.isfinite(model.step(views, 0.0).loss)


def test_that_an_event_without_points_above_the_threshold_is_survived() -> None:
    subject, model, _ = built()
    batch = subject.batch(2)
    points = batch.ragged("points")
    data = points.data.clone()
    data[: points.sizes[0], 3] = 0.0
    fields = {**batch.fields, "points": Ragged(data, points.lengths)}
    empty = type(batch)(fields, batch.index, batch.specs, batch.texts)
    views = masked_event(empty, subject.config, Rng(0, 0, batch.index))
    assert views["sizes_lengths"][0] == 0
    assert torch.isfinite(model.step(views, 0.0).loss)
    assert torch.isfinite(model.eval().embed(empty).pooled).all()


def test_that_the_event_view_has_as_many_predicted_as_hidden_points() -> None:
    subject, model, _ = built()
    batch = subject.batch(2)
    look = next(look for look in METHOD.inspections if look.name == "event")
    with torch.no_grad():
        shown: Any = look.compute(model.eval(), batch, Choice(), subject.config, Rng(0, 0, batch.index))
    part = shown.values[:, 1]
    assert set(part.tolist()) == {0.0, 1.0, 2.0}
    assert (part == 2).sum() >= (part == 1).sum()  # points of two hidden tokens are predicted twice
    assert shown.unit == batch.specs["points"].unit


@pytest.mark.slow
def test_that_the_paper_preset_takes_a_step() -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(300, 360, (2400, 3), generator=generator).float()
    energy = 0.1 + torch.rand(2400, 1, generator=generator)
    rows = Ragged(torch.cat((places, energy), dim=1), torch.tensor([1400, 1000]))
    batch = type(Subject.of(METHOD).batch(1))({"points": rows}, torch.arange(2))
    config, _ = apply_settings(PoLArMAEConfig(), METHOD.presets["paper"].config)
    model = PoLArMAE(config, EVENTS)
    step = model.step(masked_event(batch, config, Rng(0, 0, batch.index)), 0.0)
    step.loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(step.loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_that_a_point_is_described_by_its_own_event_alone_and_scatter_has_no_type() -> None:
    subject, model, _ = built(norm="layer")
    model.eval()
    batch = subject.batch(2)
    points = batch.ragged("points")
    types = torch.arange(len(points.data)) % 6 - 1
    batch = dataclasses.replace(batch, fields={**batch.fields, "points_labels": Ragged(types, points.lengths)})
    with torch.no_grad():
        features, found = described_points(model, batch)
    told = (types >= 0) & (types < 4) & (points.data[:, 3] > model.config.energy_threshold)
    assert torch.equal(found, torch.where(told, types, -1))
    first = points.sizes[0]
    assert torch.isfinite(features).all()
    whole = features[:, -2 * model.config.width :]
    assert torch.equal(whole[:first], whole[:1].expand(first, -1))
    assert not torch.allclose(whole[0], whole[first])
