"""The quality curve: what it measures, when it warns, and that maps stay put."""

import dataclasses

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.data.samples import make_sample
from engine.data.store import Dataset
from engine.evaluation.quality import QualityMonitor
from engine.method import Features
from engine.methods import simclr
from engine.networks.teacher import MomentumTeacher
from engine.protocol.evaluations import Verdict
from engine.protocol.schema import FieldKind, Need
from engine.views.pixels import evaluation_view

METHOD = dataclasses.replace(simclr.METHOD, needs=(Need(kinds=(FieldKind.IMAGE,)),))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("data") / "digits.h5"
    make_sample("digits", path)
    return Dataset.open(path)


class Pixels(nn.Module):
    """Pixels through one fixed matrix, plus a constant that can drown them."""

    def __init__(self, constant: float = 0.0, gain: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(64, 32, generator=generator) / 8)
        self.constant, self.gain = constant, gain

    def embed(self, batch: Batch) -> Features:
        pixels: Tensor = evaluation_view(batch, "image", 8).flatten(1)
        return Features(pooled=self.gain * (pixels @ self.weight) + self.constant)


def monitor(dataset: Dataset) -> QualityMonitor:
    return QualityMonitor(dataset, METHOD, simclr.SimCLRConfig(image_px=8), seed=0)


def test_that_features_that_tell_digits_apart_read_far_above_chance_and_healthy(digits: Dataset) -> None:
    values, events, embedding = monitor(digits).measure(Pixels(), 10)
    assert values["quality/knn"] > 0.85
    assert values["quality/linear"] > 0.8
    assert values["quality/knn_low"] < values["quality/knn"] < values["quality/knn_high"]
    assert values["quality/rank"] > 10
    assert not [event for event in events if event.kind == "health"]
    assert embedding.points.shape == (len(embedding.records), 2)


def test_that_a_constant_encoder_is_called_collapsed_at_the_second_reading(digits: Dataset) -> None:
    watch = monitor(digits)
    model = Pixels(constant=1.0, gain=0.0)
    assert not [event for event in watch.measure(model, 10)[1] if event.kind == "health"]
    alarms = [event for event in watch.measure(model, 20)[1] if event.kind == "health"]
    assert len(alarms) == 1
    assert alarms[0].level == "error"
    assert "collapsed" in alarms[0].text
    verdict = msgspec.convert(alarms[0].data, Verdict)
    assert verdict.kind == "collapse"
    assert [each.name for each in verdict.evidence] == ["spread", "effective rank"]


class Taught(Pixels):
    """Pixels, with a student and its teacher beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Linear(8, 4)
        self.teacher = MomentumTeacher(self.student)

    def train_on(self, momentum: float) -> None:
        with torch.no_grad():
            self.student.weight += 0.1
        self.teacher.update(self.student, momentum)


def test_that_a_teacher_with_momentum_0_is_named_within_two_readings_and_one_with_momentum_is_not(
    digits: Dataset,
) -> None:
    for momentum, kinds in ((0.0, ["copied teacher"]), (0.99, [])):
        watch, model = monitor(digits), Taught()
        found = watch.measure(model, 0)[1]
        for step in (10, 20):
            model.train_on(momentum)
            found += watch.measure(model, step, loss=1.0, first_loss=1.1)[1]
        assert [event.data["kind"] for event in found if event.kind == "health"] == kinds


def test_that_features_that_are_not_finite_are_an_event_and_no_crash(digits: Dataset) -> None:
    values, events, embedding = monitor(digits).measure(Pixels(constant=float("nan")), 10)
    assert [event.data["kind"] for event in events if event.kind == "health"] == ["divergence"]
    assert np.isfinite(embedding.points).all()
    assert np.isfinite([values["quality/rank"], values["quality/knn"]]).all()


def test_that_features_with_one_strong_common_direction_raise_no_false_alarm(digits: Dataset) -> None:
    watch = monitor(digits)
    model = Pixels(constant=50.0)
    events = [event for step in (10, 20, 30) for event in watch.measure(model, step)[1]]
    assert not [event for event in events if event.kind == "health"]


def test_that_the_map_of_a_mirrored_representation_does_not_jump(digits: Dataset) -> None:
    watch = monitor(digits)
    model = Pixels()
    first = watch.measure(model, 10)[2]
    with torch.no_grad():
        model.weight.neg_()
    second = watch.measure(model, 20)[2]
    np.testing.assert_allclose(first.points, second.points, atol=1e-3)


def test_that_measuring_leaves_the_model_as_it_was(digits: Dataset) -> None:
    model = Pixels()
    model.train()
    before = model.weight.detach().clone()
    state = torch.random.get_rng_state()
    monitor(digits).measure(model, 10)
    assert model.training
    assert torch.equal(model.weight, before)
    assert torch.equal(torch.random.get_rng_state(), state)
