"""Fine-tuning with layer-wise decay of the learning rate.

As Bao et al. 2021 (BEiT, arXiv 2106.08254) and He et al. 2022 (MAE): AdamW, warm-up and cosine, a layer's learning rate
is `decay` times that of the layer above it.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data.loader import Loader
from engine.errors import ConfigError
from engine.evaluation.features import comfortable_batch
from engine.protocol.inspections import Array

_NUMBERED = re.compile(r"(?:^|\.)(?:blocks|layers|stages)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class FineTuning:
    """The recipe."""

    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 1e-3
    decay: float = 0.75  # of the learning rate, per layer downwards
    weight_decay: float = 0.05
    warm_up: float = 0.1  # share of the steps
    smoothing: float = 0.1  # of the labels


def layer_numbers(names: Sequence[str]) -> list[int]:
    """Return the layer of each parameter: 0 before the first block, then the blocks, then what follows them.

    A name says its block by "blocks.3.", "layers.3." or "stages.3."; names come in the order of the network.
    """
    blocks = [int(found.group(1)) if (found := _NUMBERED.search(name)) else -1 for name in names]
    top, seen = max(blocks, default=-1) + 1, False
    numbers = []
    for block in blocks:
        seen = seen or block >= 0
        numbers.append(block + 1 if block >= 0 else (top + 1 if seen else 0))
    return numbers


def parameter_groups(named: Sequence[tuple[str, nn.Parameter]], recipe: FineTuning) -> list[dict[str, Any]]:
    """Return optimiser groups of parameters, each with its `scale` of the learning rate; the topmost layer has decay¹.

    The head above has scale 1. Parameters with one axis get no weight decay.
    """
    numbers = layer_numbers([name for name, _ in named])
    top = max(numbers, default=0) + 1
    return [
        {
            "params": [parameter],
            "scale": recipe.decay ** (top - number),
            "weight_decay": 0.0 if parameter.ndim < 2 else recipe.weight_decay,
        }
        for (_, parameter), number in zip(named, numbers, strict=True)
    ]


def fine_tuned_predictions(
    model: nn.Module,
    loader: Loader,
    train: Array,
    labels: Tensor,
    test: Array,
    classes: int,
    recipe: FineTuning,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Return the class (Q,) that a copy of `model` and a linear head predict for `test`, both trained on `train`.

    Records come as they are, without augmentation. An untrained model is thereby trained from scratch.

    Raises:
        ConfigError: the features carry no gradient.
    """
    device = next(model.parameters()).device
    tuned: Any = copy.deepcopy(model)
    tuned.requires_grad_(requires_grad=True)  # a teacher's copy is frozen, and it may be what `embed` uses
    tuned.train()
    with torch.enable_grad():
        pooled = tuned.embed(loader.at(train[:2]).to(device)).pooled.float()
        if not pooled.requires_grad:
            raise ConfigError("The features of this method carry no gradient.", "Choose another protocol.")
        pooled.sum().backward()
        used = [(name, each) for name, each in tuned.named_parameters() if each.grad is not None]
        head = nn.Linear(pooled.shape[1], classes, device=device)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        top = {"params": list(head.parameters()), "scale": 1.0, "weight_decay": recipe.weight_decay}
        optimiser = torch.optim.AdamW([*parameter_groups(used, recipe), top], lr=recipe.learning_rate)
        generator = torch.Generator().manual_seed(seed)
        size = min(recipe.batch_size, len(train))
        order = torch.zeros(0, dtype=torch.int64)
        for step in range(recipe.steps):
            if len(order) < size:
                order = torch.randperm(len(train), generator=generator)
            rows, order = order[:size], order[size:]
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * group["scale"] * _course(step, recipe)
            scores = head(tuned.embed(loader.at(train[rows.numpy()]).to(device)).pooled.float())
            loss = F.cross_entropy(scores, labels[rows].to(device), label_smoothing=recipe.smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if progress is not None:
                progress(step + 1, recipe.steps)
    tuned.eval()
    with torch.no_grad():
        batches = loader.in_order(test, comfortable_batch(loader, 256))
        found = [head(tuned.embed(batch.to(device)).pooled.float()).argmax(dim=1).cpu() for batch in batches]
    return torch.cat(found)


def _course(step: int, recipe: FineTuning) -> float:
    warm = max(1, round(recipe.warm_up * recipe.steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, recipe.steps - warm)))
