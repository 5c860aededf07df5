"""RSPNet against a naive reading of its losses, its three clips, and the size of its network."""

import dataclasses
import math

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.data.batch import Batch
from engine.methods.rspnet import METHOD, RSPNet, RSPNetConfig, ramp, relative_speed_loss, relative_speeds
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.rng import Rng

RGB = Schema(fields=(FieldSpec(name="clip", kind=FieldKind.CLIP, shape=(None, 3, 112, 112)),))


def built(**changes: object) -> tuple[Subject, RSPNet, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    subject = dataclasses.replace(subject, config=msgspec.structs.replace(subject.config, **changes))
    model = subject.models()[0]
    assert isinstance(model, RSPNet)
    return subject, model, dict(subject.views(subject.stages[0], subject.batch(6)))


def counting_video(subject: Subject) -> Batch:
    """Return a batch whose windows of 32 frames all show their own number, the second from 100 on."""
    batch = subject.batch(64)
    spec = msgspec.structs.replace(batch.specs["clip"], mean=(0.0,) * 3, std=(1.0,) * 3)
    shown = torch.arange(32, dtype=torch.uint8) + 100 * torch.arange(2, dtype=torch.uint8)[:, None]
    clips = shown.view(1, 2, 32, 1, 1, 1).expand(64, -1, -1, 3, 32, 32)
    times = (torch.arange(32) / 25.0).double().expand(64, 2, -1)
    return Batch({"clip": clips, "clip_times_s": times}, batch.index, {**batch.specs, "clip": spec})


@pytest.mark.reference
def test_that_the_loss_is_the_sum_of_both_tasks_as_the_page_writes_them() -> None:
    _, model, views = built(appearance_weight=0.7, speed_weight=1.3, appearance_ramp=(0.0, 0.0))
    model.eval()
    with torch.no_grad():
        found = model.step(views, 0.5)
        a_q, m_q = model.query(views["query"])
        a_same, m_same = model.key(views["same"])
        a_other, m_other = model.key(views["other"])
    queue = model.queue.rows("appearance")
    appearance, speed = 0.0, 0.0
    for row in range(6):
        for positive in (a_same[row], a_other[row]):
            scores = [math.exp(float(a_q[row] @ key) / 0.07) for key in (positive, *queue)]
            appearance -= math.log(scores[0] / sum(scores)) / 6
        lead = float(m_q[row] @ m_same[row]) / 0.07 - float(m_q[row] @ m_other[row]) / 0.07
        speed += max(0.0, 2.0 - lead) / 6
    assert_close(float(found.parts["appearance"]), 0.7 * appearance, rtol=1e-4, atol=1e-4)
    assert_close(float(found.parts["speed"]), 1.3 * speed, rtol=1e-4, atol=1e-4)
    assert_close(float(found.loss), 0.7 * appearance + 1.3 * speed, rtol=1e-4, atol=1e-4)


@pytest.mark.reference
def test_that_the_ranking_equals_torchs_margin_ranking_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    nearer, farther = torch.randn(2, 50, generator=generator) * 4
    expected = F.margin_ranking_loss(nearer, farther, torch.ones(50), margin=2.0)
    assert_close(relative_speed_loss(nearer, farther, 2.0), expected)


@pytest.mark.reference
def test_that_chance_is_what_the_page_says() -> None:
    # a queue of 16384 keys, all as similar as the positive: 2·ln(16385) = 19.4; no lead: the margin, 2.0
    _, model, views = built(queue_length=16_384, appearance_weight=1.0, appearance_ramp=(0.0, 0.0))
    model.eval()
    with torch.no_grad():
        same = model.query(views["query"][:1])
        for buffer, row in zip(("appearance", "motion"), same, strict=True):
            model.queue.rows(buffer).copy_(row.expand(16_384, -1))
        model.key.update(model.query, 0.0)
        one = {name: view[:1] for name, view in views.items()} | dict.fromkeys(("same", "other"), views["query"][:1])
        step = model.step(one, 0.5)
    assert_close(float(step.parts["appearance"]), 2 * math.log(16_385), rtol=1e-3, atol=1e-3)
    assert_close(float(step.parts["speed"]), 2.0, rtol=1e-4, atol=1e-4)


@pytest.mark.reference
def test_that_the_paper_preset_is_r3d_18_with_two_linear_heads_and_a_queue_of_16384() -> None:
    config, problems = apply_settings(RSPNetConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = RSPNet(config, RGB)
        maps = model.encoder.maps(torch.empty(2, 3, 16, 112, 112))
    assert problems == []
    assert sum(parameter.numel() for parameter in model.query.parameters()) == METHOD.paper.parameters["paper"]
    assert maps.shape == (2, 512, 1, 4, 4)  # as the page says
    assert model.queue.rows("appearance").shape == (16_384, 128)


@pytest.mark.reference
@pytest.mark.slow
def test_that_the_paper_preset_makes_one_finite_step() -> None:
    config, _ = apply_settings(RSPNetConfig(), METHOD.presets["paper"].config)
    torch.manual_seed(0)
    model = RSPNet(config, RGB)
    views = {name: torch.rand(2, 3, 16, 112, 112) for name in ("query", "same", "other")}
    views |= {"still": torch.zeros(2), "record": torch.arange(2)}
    step = model.step(views, 0.0)
    step.loss.backward()
    assert torch.isfinite(step.loss)
    assert all(torch.isfinite(p.grad).all() for p in model.query.parameters())


@pytest.mark.reference
def test_that_slow_clips_take_every_frame_and_fast_ones_every_second() -> None:
    subject, _, _ = built(colour_strength=0.0, grey_chance=0.0)
    batch = counting_video(subject)
    views = relative_speeds(batch, subject.config, Rng(0, 0, batch.index))
    numbers = {name: (views[name][:, 0, :, 16, 16] * 255).round().long() for name in ("query", "same", "other")}
    steps = {name: found.diff(dim=1).unique(dim=1).squeeze(1) for name, found in numbers.items()}
    speed = torch.where(views["is_fast"], 2, 1)
    assert torch.equal(steps["query"], speed)
    assert torch.equal(steps["same"], speed)
    assert torch.equal(steps["other"], 3 - speed)
    assert bool((numbers["query"][:, 0] == 0).all())  # one window for the query, another for both keys
    assert bool((numbers["same"][:, 0] == 100).all())
    assert bool((numbers["other"][:, 0] == 100).all())
    assert numbers["query"].shape[1] == 16
    assert 16 < int(views["is_fast"].sum()) < 48


def test_that_keys_share_crop_and_colours() -> None:
    subject, _, _ = built()
    batch = subject.batch(4)
    views = relative_speeds(batch, subject.config, Rng(0, 0, batch.index))
    # the first frame is common to both speeds
    assert_close(views["same"][:, :, 0], views["other"][:, :, 0])
    assert not torch.allclose(views["same"][:, :, 0], views["query"][:, :, 0], atol=0.1)


def test_that_the_queue_takes_the_other_speed_keys_in_training_alone() -> None:
    _, model, views = built()
    model.eval()
    with torch.no_grad():
        before = model.queue.rows("appearance").clone()
        model.step(views, 0.0)
        assert torch.equal(model.queue.rows("appearance"), before)
        model.train()
        model.step(views, 0.0)
    assert model.queue.records[:6].tolist() == views["record"].tolist()
    model.eval()
    assert not torch.equal(model.queue.rows("appearance")[:6], before[:6])
    assert torch.equal(model.queue.rows("appearance")[6:], before[6:])


def test_that_the_key_network_follows_by_its_memory() -> None:
    _, model, _ = built(key_memory=0.9)
    with torch.no_grad():
        old = model.key.network.motion.weight.clone()
        model.query.motion.weight.add_(1.0)
        model.after_update(0.0)
    assert_close(model.key.network.motion.weight, old + 0.1)


def test_that_the_weight_of_appearance_rises_along_its_ramp() -> None:
    assert [ramp(progress, (0.2, 0.6)) for progress in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert ramp(0.0, (0.0, 0.0)) == 1.0


def test_that_neighbours_are_records_of_the_queue_without_the_query_itself() -> None:
    subject, model, _ = built()
    for step in range(3):
        views = subject.views(subject.stages[0], subject.batch(8), step=step)
        with torch.no_grad():
            model.step(views, 0.0)
    model.eval()
    batch = subject.batch(3)
    look = next(look for look in METHOD.inspections if look.name == "neighbours-motion")
    with torch.no_grad():
        shown = look.compute(model, batch, Choice(), subject.config, Rng(0, 0, batch.index))
    assert shown.neighbours.shape == (3, 6)
    for own, row, far in zip(shown.queries, shown.neighbours, shown.distances, strict=True):
        assert own not in row
        assert len(set(row.tolist())) == 6
        assert (far[1:] >= far[:-1]).all()


def test_that_only_what_varies_in_time_moves_the_share_of_repeated_frames() -> None:
    subject, model, _ = built()
    batch = subject.batch(4)
    still = batch["clip"][:, :, :1].expand(-1, -1, batch["clip"].shape[2], -1, -1, -1)
    frozen = Batch({**batch.fields, "clip": still}, batch.index, batch.specs)
    with torch.no_grad():
        step = model.step(relative_speeds(frozen, subject.config, Rng(0, 0, batch.index)), 0.0)
    assert float(step.monitors["repeated frames"]) == 1.0
