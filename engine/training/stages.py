"""The stages of a method: one for most, several where a later one builds on an earlier."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.errors import MethodError
from engine.method import Method, Stage
from engine.protocol.schema import Schema


def stages_of(method: Method, config: Any, schema: Schema) -> tuple[Stage, ...]:
    """Return the method's stages with these settings and this data; a method without is one stage."""
    stages = method.stages(config, schema) if callable(method.stages) else method.stages
    if stages:
        return stages
    build = method.model
    return (
        Stage(
            name="",
            share=1.0,
            views=method.views,
            model=lambda config, schema, _previous: build(config, schema),
            prepare=method.prepare,
        ),
    )


def stage_starts(stages: tuple[Stage, ...], steps: int) -> tuple[int, ...]:
    """Return the first step of each stage: its predecessors' share of all steps."""
    whole = sum(stage.share for stage in stages)
    before = 0.0
    starts = []
    for stage in stages:
        starts.append(round(before / whole * steps))
        before += stage.share
    return tuple(starts)


def build_model(
    method: Method, config: Any, schema: Schema, *, seed: int, stage: int = 0, previous: nn.Module | None = None
) -> nn.Module:
    """Return the network of a stage with the first weights that `seed` gives.

    Without `previous`, the networks of the earlier stages are built too (untrained): a checkpoint's state then
    fills the whole.

    Raises:
        MethodError: what the method builds lacks `step` or `embed`.
    """
    stages = stages_of(method, config, schema)
    first = stage if previous is not None else 0
    model = previous
    for number in range(first, stage + 1):
        torch.manual_seed(seed)
        model = stages[number].model(config, schema, model)
    if model is None or not (callable(getattr(model, "step", None)) and callable(getattr(model, "embed", None))):
        raise MethodError(
            f"The model of {method.id} has no step(views, progress) or no embed(batch).", "Mend the method."
        )
    return model
