import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from engine.networks.teacher import MomentumTeacher, cosine_ramp, update_teacher
from tests.engine.networks.samples import noise


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def test_that_a_teacher_moves_by_one_minus_momentum() -> None:
    student, teacher = network(0), network(1)
    expected = {
        name: 0.9 * one + 0.1 * dict(student.named_parameters())[name] for name, one in teacher.named_parameters()
    }
    update_teacher(student, teacher, 0.9)
    for name, one in teacher.named_parameters():
        assert_close(one, expected[name])


@pytest.mark.parametrize(("momentum", "source"), [(0.0, 0), (1.0, 1)])
def test_that_momentum_zero_copies_and_one_stands_still(momentum: float, source: int) -> None:
    teacher = network(1)
    update_teacher(network(0), teacher, momentum)
    assert_close(dict(teacher.named_parameters()), dict(network(source).named_parameters()))


def test_that_excluded_names_are_left_alone() -> None:
    teacher = network(1)
    update_teacher(network(0), teacher, 0.0, exclude=("2.",))
    assert torch.equal(teacher[2].weight, network(1)[2].weight)
    assert torch.equal(teacher[0].weight, network(0)[0].weight)


@pytest.mark.parametrize(("policy", "expected"), [("keep", 0.0), ("copy", 5.0), ("average", 0.5)])
def test_that_buffers_follow_their_policy(policy: str, expected: float) -> None:
    student, teacher = network(0), network(1)
    student[1].running_mean.fill_(5.0)
    student[1].num_batches_tracked.fill_(7)
    update_teacher(student, teacher, 0.9, buffers=policy)  # type: ignore[arg-type]
    assert_close(teacher[1].running_mean, torch.full((3,), expected))
    assert int(teacher[1].num_batches_tracked) == (0 if policy == "keep" else 7)


def test_that_a_teacher_is_frozen_saved_and_apart_from_its_student() -> None:
    student = network(0)
    teacher = MomentumTeacher(student)
    assert not any(one.requires_grad for one in teacher.parameters())
    assert set(teacher.state_dict()) == {f"network.{name}" for name in student.state_dict()}
    student[0].weight.data.zero_()
    assert float(teacher.network[0].weight.abs().max()) > 0


def test_that_a_teacher_gives_targets_without_gradient_and_moves_when_told() -> None:
    student = network(0)
    teacher = MomentumTeacher(student)
    assert not teacher(noise(4, 4)).requires_grad
    nn.init.constant_(student[0].weight, 2.0)
    teacher.update(student, 0.0)
    assert torch.equal(teacher.network[0].weight, student[0].weight)


def test_that_a_teacher_in_evaluation_mode_stays_there() -> None:
    always = MomentumTeacher(network(0), mode="eval").train()
    follows = MomentumTeacher(network(0)).train()
    assert not always.network[1].training
    assert follows.network[1].training
    always(noise(4, 4))
    assert float(always.network[1].running_mean.abs().max()) == 0


def test_that_a_missing_parameter_is_named() -> None:
    with pytest.raises(KeyError, match=r"0\.weight"):
        update_teacher(nn.Identity(), network(0), 0.9)


def test_that_a_cosine_ramp_goes_from_start_to_end_and_no_further() -> None:
    assert cosine_ramp(0.996, 1.0, 0.0) == pytest.approx(0.996)
    assert cosine_ramp(0.996, 1.0, 0.5) == pytest.approx(0.998)
    assert cosine_ramp(0.0, 1.0, 0.25) == pytest.approx((1 - math.cos(math.pi / 4)) / 2)
    assert cosine_ramp(0.996, 1.0, 2.0) == 1.0
