"""Alice against a naive reading of its three losses, its masks, its pairs, and the size of its networks."""

import dataclasses
import math

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.methods.alice import (
    METHOD,
    Alice,
    AliceConfig,
    describe_places,
    find_organs,
    matched_crops,
    teacher_temperature,
    token_voxels,
)
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import Schema
from engine.views.rng import Rng


def built(**changes: object) -> tuple[Subject, Alice, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    subject = dataclasses.replace(subject, config=msgspec.structs.replace(subject.config, **changes))
    model = subject.models()[0]
    assert isinstance(model, Alice)
    return subject, model.eval(), dict(subject.views(subject.stages[0], subject.batch(3)))


@pytest.mark.reference
def test_that_the_losses_are_those_of_the_page() -> None:
    _, model, views = built(crop_weight=0.5, patch_weight=2.0, paint_weight=10.0, places=2)
    model.crop_centre.normal_(generator=torch.Generator().manual_seed(0)).mul_(0.01)
    model.patch_centre.normal_(generator=torch.Generator().manual_seed(1)).mul_(0.01)
    with torch.no_grad():
        step = model.step(views, 0.5)
        clean, seen = views["clean"].flatten(0, 1), views["seen"].flatten(0, 1)
        student, teacher = model.student(seen), model.teacher(clean)
        asked, _ = model.alignment(student.encoded, student.decoded)
        answered, _ = model.alignment(student.encoded, teacher.decoded)

    def agree(target: torch.Tensor, centre: torch.Tensor, said: torch.Tensor) -> float:
        wanted = F.softmax((target - centre) / 0.04, dim=0)
        return -float((wanted * F.log_softmax(said / 0.1, dim=0)).sum())

    crops = []
    for place in range(2):
        for record in range(3):
            one, other = record * 2 + place, (record + 1) % 3 * 2 + place  # the next patient, the same place
            both = agree(teacher.crop[one], model.crop_centre, student.crop[other])
            both += agree(teacher.crop[other], model.crop_centre, student.crop[one])
            crops.append(both / 2)
    patches = [
        agree(answered[row, token], model.patch_centre, asked[row, token])
        for row in range(6)
        for token in range(asked.shape[1])
    ]
    assert_close(float(step.parts["crops"]), 0.5 * sum(crops) / 6, rtol=1e-4, atol=1e-5)
    assert_close(float(step.parts["patches"]), 2.0 * sum(patches) / len(patches), rtol=1e-4, atol=1e-5)
    squared = float(((student.painted - clean) ** 2).mean())
    assert_close(float(step.parts["painting"]), 10 * 0.5 * squared, rtol=1e-4, atol=1e-6)


@pytest.mark.reference
def test_that_the_paper_preset_is_the_published_network() -> None:
    config, problems = apply_settings(AliceConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = Alice(config, Schema(fields=()))
        said = model.student(torch.empty(2, 1, 64, 64, 64))
        asked, _, _ = model.aligned_patches(said, said)
    assert problems == []
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == METHOD.paper.parameters["paper"]
    assert said.crop.shape == (2, 512)
    assert said.encoded.shape == asked.shape == (2, 64, 512)
    assert said.decoded.shape == (2, 512, 512)


@pytest.mark.reference
@pytest.mark.slow
def test_that_the_paper_preset_makes_one_finite_step() -> None:
    torch.manual_seed(0)
    model = Alice(AliceConfig(), Schema(fields=()))
    views = {"clean": torch.rand(2, 1, 1, 64, 64, 64), "mask": torch.ones(2, 1, 64, 64, dtype=torch.bool)}
    step = model.step(views | {"seen": views["clean"]}, 0.5)
    step.loss.backward()
    assert torch.isfinite(step.loss)
    assert all(torch.isfinite(p.grad).all() for p in model.student.parameters() if p.requires_grad)


@pytest.mark.reference
def test_that_three_quarters_of_the_columns_are_hidden_from_top_to_bottom() -> None:
    subject, _, views = built()
    cell = subject.config.mask_voxels
    cells = views["mask"][:, :, ::cell, ::cell].flatten(2)
    assert bool((cells.sum(dim=2) == math.ceil(0.75 * cells.shape[2])).all())
    columns = views["mask"][:, :, None, None].expand_as(views["seen"])
    assert float(views["seen"][columns].abs().max()) == 0
    assert_close(views["seen"][~columns], views["clean"][~columns])


def test_that_patients_are_cropped_at_one_place_unless_places_are_random() -> None:
    subject, _, _ = built(matcher="body", jitter_voxels=0.0, places=1)
    batch = subject.batch(1)
    volume = batch["volume"].expand(4, -1, -1, -1, -1)  # four patients with the same body
    four = dataclasses.replace(batch, fields={**batch.fields, "volume": volume}, index=torch.arange(4))
    same = matched_crops(four, subject.config, Rng(0, 0, four.index))["clean"]
    assert_close(same, same[:1].expand_as(same))
    random = msgspec.structs.replace(subject.config, matcher="random")
    apart = matched_crops(four, random, Rng(0, 0, four.index))["clean"]
    assert not torch.allclose(apart[0], apart[1], atol=0.05)


def test_that_the_teacher_and_the_centres_move_after_the_update() -> None:
    _, model, views = built(teacher_memory=0.9)
    model.train()
    old = model.teacher.network.from_encoder.weight.clone()
    with torch.no_grad():
        model.step(views, 0.0)
        expected = 0.1 * model.teacher(views["clean"].flatten(0, 1)).crop.mean(dim=0)
        model.student.from_encoder.weight.add_(1.0)
        model.after_update(0.0)
    assert_close(model.teacher.network.from_encoder.weight, old + 0.1)
    assert_close(model.crop_centre, expected, atol=1e-5, rtol=1e-4)


def test_that_the_target_of_patches_gives_the_alignment_no_gradient() -> None:
    _, model, views = built()
    clean = views["clean"].flatten(0, 1)
    said, target = model.student(clean), model.teacher(clean)
    asked, answered, _ = model.aligned_patches(said, target)
    assert asked.requires_grad
    assert not answered.requires_grad


def test_that_the_temperature_of_the_teacher_rises_to_its_last_value() -> None:
    config = AliceConfig(temperature_share=0.5)
    assert [teacher_temperature(config, at) for at in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(
        [0.008, 0.009, 0.01, 0.01]
    )


def test_that_attention_of_a_patch_is_shown_over_the_whole_crop() -> None:
    subject, model, _ = built()
    batch = subject.batch(2)
    look = next(look for look in METHOD.inspections if look.name == "alignment")
    with torch.no_grad():
        shown = look.compute(model, batch, Choice(), subject.config, Rng(0, 0, batch.index))
    layers = dict(zip(shown.layers, shown.volumes, strict=True))
    assert layers["attention to student"].shape == layers["crop"].shape == (32, 32, 32)
    assert float(layers["attention to teacher"].max()) == 1.0


def test_that_a_place_is_described_by_what_lies_around_it_wherever_that_is() -> None:
    _, model, _ = built()
    cell = token_voxels(model)
    side = 3 * model.config.crop_voxels
    scene = torch.rand(1, side, side, side, generator=torch.Generator().manual_seed(0))
    place = torch.tensor([[side / 2, side / 2, side / 2], [side / 2 + cell, side / 2, side / 2]]) + (cell - 1) / 2
    moved = scene.roll((cell, 3, -2), (1, 2, 3))
    with torch.no_grad():
        here, there = (
            describe_places(model, scene, place),
            describe_places(model, moved, place + torch.tensor([cell, 3, -2])),
        )
    assert_close(here, there)
    assert not torch.allclose(here[0], here[1])


def test_that_organs_are_found_in_a_copy_of_the_person_and_missed_by_place_where_the_copy_is_moved() -> None:
    _, model, _ = built()
    cell, side = token_voxels(model), 2 * model.config.crop_voxels
    one = torch.rand(1, side, side, side, generator=torch.Generator().manual_seed(0))
    centre = torch.tensor([[side / 2, side / 2, side / 2]]) + (cell - 1) / 2
    shift = torch.tensor([2.0 * cell, 0, 0])
    people = torch.stack((one, one.roll(2 * cell, 1)))
    with torch.no_grad():
        by_features, by_place, least = find_organs(model, people, torch.stack((centre, centre + shift)))
    assert by_features == least == 0
    assert by_place == 2 * cell
