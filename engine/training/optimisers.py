"""Optimisers: which parameters decay, AdamW, SGD, LARS, and shortening of gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from engine.training.settings import TrainingSettings


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Return trainable parameters as two groups: those that decay, and biases, 1-D and `no_decay()` ones."""
    no_decay: Callable[[], Iterable[str]] | None = getattr(model, "no_decay", None)
    exempt = set(no_decay()) if no_decay else set()
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_free = parameter.ndim <= 1 or name.endswith(".bias") or name in exempt
            (free if is_free else decayed).append(parameter)
    groups = [{"params": decayed, "decays": True}, {"params": free, "decays": False}]
    return [group for group in groups if group["params"]]


def build_optimiser(model: nn.Module, settings: TrainingSettings) -> Optimizer:
    """Return the optimiser that the settings name; `set_schedule` fills in rate and decay before each update."""
    groups = parameter_groups(model)
    if settings.optimiser == "adamw":
        is_fused = all(group["params"][0].device.type in {"cpu", "cuda"} for group in groups)
        return torch.optim.AdamW(groups, lr=0.0, betas=settings.betas, weight_decay=0.0, fused=is_fused)
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum, weight_decay=0.0)
    return LARS(groups, momentum=settings.momentum, trust=settings.trust)


def set_schedule(optimiser: Optimizer, learning_rate: float, weight_decay: float) -> None:
    """Set the rate of every group, and the decay of those that decay."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
        group["weight_decay"] = weight_decay if group["decays"] else 0.0


class LARS(Optimizer):
    """SGD with momentum whose rate is scaled per tensor by trust × |w| / |g + decay · w| (You et al., 1708.03888).

    Groups without decay (biases, normalisation) are not scaled either, as in the SimCLR and MAE recipes.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, momentum: float, trust: float) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0, "momentum": momentum, "trust": trust})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one update from the gradients that stand in the parameters."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        gradient = weight.grad
        assert gradient is not None
        if group["decays"]:
            gradient = gradient.add(weight, alpha=group["weight_decay"])
            weight_norm, gradient_norm = weight.norm(), gradient.norm()
            scale = group["trust"] * weight_norm / gradient_norm
            usable = (weight_norm > 0) & (gradient_norm > 0)
            gradient = gradient * torch.where(usable, scale, torch.ones_like(scale))
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        velocity = state["momentum_buffer"]
        velocity.mul_(group["momentum"]).add_(gradient)
        weight.add_(velocity, alpha=-group["lr"])


@torch.no_grad()
def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the length of all gradients together, a scalar; 0 where there are none."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # noqa: SLF001 one kernel, not hundreds


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], norm: Tensor, settings: TrainingSettings) -> None:
    """Shorten gradients longer than `clip_norm`: all together (`norm` is their length), or each tensor by itself."""
    if not settings.clip_norm:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if settings.clip_each:
        norms = torch._foreach_norm(gradients)  # noqa: SLF001
        factors = [(settings.clip_norm / (length + 1e-6)).clamp(max=1.0) for length in norms]
        torch._foreach_mul_(gradients, factors)
    else:
        torch._foreach_mul_(gradients, (settings.clip_norm / (norm + 1e-6)).clamp(max=1.0))
