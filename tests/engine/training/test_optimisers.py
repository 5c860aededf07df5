"""Optimisers, schedules and clipping against their formulae."""

from __future__ import annotations

import math

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from engine.training.optimisers import LARS, build_optimiser, clip_gradients, gradient_norm, set_schedule
from engine.training.schedules import cosine, learning_rate, peak_learning_rate, weight_decay
from engine.training.settings import TrainingSettings

SETTINGS = TrainingSettings(steps=100, learning_rate=0.4, final_learning_rate=0.1, warmup_share=0.1)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 3)
        self.norm = nn.LayerNorm(3)
        self.token = nn.Parameter(torch.randn(1, 1, 3))
        self.frozen = nn.Parameter(torch.randn(2, 2), requires_grad=False)

    def no_decay(self) -> list[str]:
        return ["token"]


def with_gradients(model: nn.Module, seed: int = 1) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
    return model


def test_that_the_warm_up_is_linear_and_ends_at_the_peak() -> None:
    rates = [learning_rate(SETTINGS, step, 100) for step in range(10)]
    assert rates == pytest.approx([0.4 * (step + 1) / 10 for step in range(10)])


def test_that_the_rate_follows_half_a_cosine_to_its_end() -> None:
    for step in range(10, 100):
        angle = math.pi * (step - 10) / 90
        assert learning_rate(SETTINGS, step, 100) == pytest.approx(0.1 + 0.3 * (1 + math.cos(angle)) / 2)
    assert learning_rate(SETTINGS, 100, 100) == pytest.approx(0.1)


def test_that_the_rate_scales_with_records_per_update() -> None:
    settings = TrainingSettings(batch_size=128, accumulate=4, reference_batch=256, learning_rate=0.1)
    assert peak_learning_rate(settings, devices=2) == pytest.approx(0.1 * 1024 / 256)
    assert peak_learning_rate(msgspec.structs.replace(settings, reference_batch=0), devices=2) == 0.1


def test_that_weight_decay_is_constant_or_follows_a_cosine() -> None:
    settings = TrainingSettings(weight_decay=0.04, final_weight_decay=0.4)
    assert weight_decay(settings, 0, 100) == pytest.approx(0.04)
    assert weight_decay(settings, 50, 100) == pytest.approx(0.22)
    assert weight_decay(settings, 100, 100) == pytest.approx(0.4)
    assert weight_decay(TrainingSettings(weight_decay=0.04), 70, 100) == 0.04


def test_that_a_cosine_is_clamped_to_its_ends() -> None:
    assert (cosine(1.0, 3.0, -1.0), cosine(1.0, 3.0, 2.0)) == (1.0, 3.0)


def test_that_biases_norms_and_named_tokens_do_not_decay() -> None:
    model = Small()
    decayed, free = build_optimiser(model, TrainingSettings()).param_groups
    assert [id(parameter) for parameter in decayed["params"]] == [id(model.layer.weight)]
    expected = {id(p) for p in (model.layer.bias, model.norm.weight, model.norm.bias, model.token)}
    assert {id(parameter) for parameter in free["params"]} == expected


def test_that_the_schedule_reaches_every_group_and_decay_only_its_own() -> None:
    optimiser = build_optimiser(Small(), TrainingSettings())
    set_schedule(optimiser, 0.3, 0.05)
    assert [(group["lr"], group["weight_decay"]) for group in optimiser.param_groups] == [(0.3, 0.05), (0.3, 0.0)]


def reference_lars(weight: Tensor, gradients: list[Tensor], rate: float, decay: float, *, decays: bool) -> list[float]:
    """Algorithm 1 of You et al., element by element, with the momentum of the SimCLR recipe."""
    w = [float(value) for value in weight.flatten()]
    v = [0.0] * len(w)
    for gradient in gradients:
        g = [float(value) for value in gradient.flatten()]
        local = 1.0
        if decays:
            g = [gi + decay * wi for gi, wi in zip(g, w, strict=True)]
            local = 0.001 * math.sqrt(sum(wi * wi for wi in w)) / math.sqrt(sum(gi * gi for gi in g))
        v = [0.9 * vi + local * gi for vi, gi in zip(v, g, strict=True)]
        w = [wi - rate * vi for wi, vi in zip(w, v, strict=True)]
    return w


@pytest.mark.parametrize("decays", [True, False])
def test_that_lars_equals_the_formula_over_three_updates(decays: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    weight = nn.Parameter(torch.randn(3, 5, generator=generator))
    start = weight.detach().clone()
    gradients = [torch.randn(3, 5, generator=generator) for _ in range(3)]
    optimiser = LARS([{"params": [weight], "decays": decays}], momentum=0.9, trust=0.001)
    set_schedule(optimiser, 4.8, 1e-2)
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimiser.step()
    wanted = torch.tensor(reference_lars(start, gradients, 4.8, 1e-2, decays=decays)).view(3, 5)
    assert_close(weight.detach(), wanted)


def test_that_lars_leaves_a_zero_tensor_with_zero_gradient_finite() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.zeros(2, 2)
    optimiser = LARS([{"params": [weight], "decays": True}], momentum=0.9, trust=0.001)
    set_schedule(optimiser, 1.0, 0.1)
    optimiser.step()
    assert torch.equal(weight.detach(), torch.zeros(2, 2))


def test_that_the_gradient_norm_is_that_of_all_gradients_together() -> None:
    model = with_gradients(Small())
    naive = math.sqrt(sum(float((p.grad**2).sum()) for p in model.parameters() if p.grad is not None))
    assert float(gradient_norm(model.parameters())) == pytest.approx(naive)


def test_that_clipping_together_keeps_the_direction() -> None:
    model = with_gradients(Small())
    before = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    norm = gradient_norm(model.parameters())
    clip_gradients(model.parameters(), norm, TrainingSettings(clip_norm=0.5))
    after = [p.grad for p in model.parameters() if p.grad is not None]
    assert float(gradient_norm(model.parameters())) == pytest.approx(0.5, rel=1e-4)
    for old, new in zip(before, after, strict=True):
        assert_close(new, old * (0.5 / norm), rtol=1e-4, atol=1e-6)


def test_that_clipping_each_shortens_only_long_tensors() -> None:
    model = with_gradients(Small())
    before = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    clip_gradients(model.parameters(), torch.zeros(()), TrainingSettings(clip_norm=1.5, clip_each=True))
    lengths = {name: float(before[name].norm()) for name in before}
    assert min(lengths.values()) < 1.5 < max(lengths.values())
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert float(parameter.grad.norm()) == pytest.approx(min(lengths[name], 1.5), rel=1e-4)


def test_that_gradients_are_left_alone_without_a_clip_norm() -> None:
    model = with_gradients(Small())
    before = model.layer.weight.grad.clone()
    clip_gradients(model.parameters(), gradient_norm(model.parameters()), TrainingSettings())
    assert torch.equal(model.layer.weight.grad, before)
