"""A method on the bench: its tiny preset, example records of what it needs, its stages built and prepared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.data.batch import Batch, Ragged
from engine.errors import MethodError
from engine.method import Method, Prepare, Stage, Step, Views
from engine.protocol.forms import apply_settings
from engine.protocol.schema import FieldKind, FieldSpec, Need, Schema
from engine.training.stages import stages_of
from engine.views.rng import Rng

TOTAL_STEPS = 30
LEARNING_RATE = 1e-3
LONGEST_GRADIENT = 3.0
PREPARE_RECORDS = 64
PREPARE_BATCH = 16

_SHAPES: dict[FieldKind, Callable[[int, int], tuple[int, ...]]] = {
    FieldKind.IMAGE: lambda channels, px: (channels, px + px // 4, px + px // 2),
    FieldKind.CHANNELS: lambda channels, px: (channels, px + px // 4, px + px // 2),
    FieldKind.VOLUME: lambda _, px: (1, px, px + px // 4, px),
    FieldKind.CLIP: lambda channels, px: (8, channels, px, px + px // 4),
    FieldKind.CINE: lambda _, px: (8, 1, px, px, px),
    FieldKind.VIEWS: lambda channels, px: (4, channels, px, px),
    FieldKind.PAIR: lambda channels, px: (2, channels, px, px),
    FieldKind.GRID: lambda _, px: (4, px, px, px),
    FieldKind.WAVEFORM: lambda _, px: (1, px * 64),
    FieldKind.MOTION: lambda _, px: (px, 22, 6),
    FieldKind.BAG: lambda _, px: (px, 64),
    FieldKind.POINTS: lambda _, px: (px * px, 4),
    FieldKind.LABEL: lambda _, __: (),
    FieldKind.NUMBER: lambda _, __: (),
    FieldKind.TIME: lambda _, __: (),
    FieldKind.MASK: lambda _, px: (px + px // 4, px + px // 2),
}
_AXES_WITHOUT_SPACE = {FieldKind.CLIP: 2, FieldKind.CINE: 2, FieldKind.VIEWS: 2, FieldKind.PAIR: 2}
_INTEGERS = frozenset({FieldKind.IMAGE, FieldKind.CLIP, FieldKind.VIEWS, FieldKind.PAIR})
_WORDS = ("a round", "a striped", "a small", "a dark", "picture", "tile", "object", "scene")


def example_spec(need: Need, px: int) -> FieldSpec:
    """Return a field that satisfies `need`.

    Raises:
        MethodError: the contract test has no example of that kind.
    """
    kind = need.kinds[0]
    if kind is FieldKind.TEXT:
        return FieldSpec(name="text", kind=kind, dtype="str")
    if kind not in _SHAPES:
        raise MethodError(f"There is no example of {kind}.", "Add its shape to engine/contract/subject.py.")
    channels = need.channels[-1] if need.channels else 3
    shape = _SHAPES[kind](channels, max(px, need.smallest_px))
    if kind in _INTEGERS:
        statistics = {"mean": (0.5,) * channels, "std": (0.25,) * channels}
        return FieldSpec(name=str(kind), kind=kind, shape=shape, dtype="uint8", **statistics)  # type: ignore[arg-type]
    if kind in {FieldKind.LABEL, FieldKind.MASK}:
        return FieldSpec(name=str(kind), kind=kind, shape=shape, dtype="int64", classes=("first", "second"))
    spacing = (1.0,) * 3 if kind is FieldKind.VOLUME else ()
    return FieldSpec(name=str(kind), kind=kind, shape=shape, dtype="float32", spacing_mm=spacing)


def example_values(spec: FieldSpec, record: int) -> Tensor:
    """Return one record of `spec`: a coarse random field, enlarged, with fine noise; a pure function of `record`."""
    generator = torch.Generator().manual_seed(1000 + record)
    shape = tuple(side or 16 for side in spec.shape)
    if spec.kind in {FieldKind.LABEL, FieldKind.MASK}:
        return torch.randint(2, shape, generator=generator)
    values = torch.rand(shape, generator=generator)
    if shape:
        first = _AXES_WITHOUT_SPACE.get(spec.kind, 1)
        coarse = torch.rand(tuple(side if axis < first else 4 for axis, side in enumerate(shape)), generator=generator)
        for axis, side in enumerate(shape):
            coarse = coarse.index_select(axis, torch.arange(side) * coarse.shape[axis] // side)
        values = (0.85 * coarse + 0.15 * values).clamp(0, 1)
    return (values * 255).to(torch.uint8) if spec.dtype == "uint8" else values


class ExamplePass:
    """A pass over a few example records, for `Prepare`."""

    def __init__(self, subject: Subject, records: int) -> None:
        self.records = records
        self.batches: Iterator[Batch] = (
            subject.batch(min(PREPARE_BATCH, records - first), first=first)
            for first in range(0, records, PREPARE_BATCH)
        )

    def progress(self, done: int, total: int, what: str) -> None:
        """Say nothing: nobody waits."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A method with the settings of its tiny preset and a schema of example fields."""

    method: Method
    config: Any
    schema: Schema
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, method: Method) -> Subject:
        """Return `method` with its tiny preset.

        Raises:
            MethodError: it has none, or the preset does not fit the config.
        """
        if "tiny" not in method.presets:
            raise MethodError(
                f"{method.id} has no preset 'tiny'.", "Give it one: under 2 M parameters, under 1 s a step."
            )
        config, problems = apply_settings(method.config(), method.presets["tiny"].config)
        if problems:
            raise MethodError(f"{method.id}: its preset 'tiny' is wrong: {problems[0].message}", "Mend the preset.")
        px = int(getattr(config, "image_px", 32))
        schema = Schema(fields=tuple(example_spec(need, px) for need in method.needs))
        return cls(method, config, schema, stages_of(method))

    def batch(self, count: int, *, first: int = 0) -> Batch:
        """Return example records `first … first + count`; a record is the same in every batch."""
        fields: dict[str, Tensor | Ragged] = {}
        specs: dict[str, FieldSpec] = {}
        texts: dict[str, tuple[str, ...]] = {}
        for need, spec in zip(self.method.needs, self.schema.fields, strict=True):
            key = str(need.kinds[0])
            records = range(first, first + count)
            specs[key] = spec
            if spec.kind is FieldKind.TEXT:
                texts[key] = tuple(f"{_WORDS[r % 4]} {_WORDS[4 + r // 4 % 4]} number {r}" for r in records)
            elif spec.kind is FieldKind.POINTS:
                clouds = [example_values(spec, record)[: 64 + 8 * (record % 3)] for record in records]
                fields[key] = Ragged(torch.cat(clouds), torch.tensor([len(cloud) for cloud in clouds]))
            else:
                fields[key] = torch.stack([example_values(spec, record) for record in records])
        return Batch(fields, torch.arange(first, first + count), specs, texts)

    def models(self, seed: int = 0) -> list[nn.Module]:
        """Return the modules of all stages, prepared but untrained, each built from the one before."""
        built: list[nn.Module] = []
        torch.manual_seed(seed)
        for stage in self.stages:
            model = stage.model(self.config, self.schema, built[-1] if built else None)
            if stage.prepare is not None:
                self.prepare(model, stage.prepare)
            built.append(model)
        return built

    def prepare(self, model: nn.Module, prepare: Prepare) -> None:
        """Run a stage's pass over example records."""
        index = torch.zeros(1, dtype=torch.int64)
        prepare.run(model, ExamplePass(self, PREPARE_RECORDS), self.config, Rng(0, 0, index))

    def views(self, stage: Stage, batch: Batch, step: int = 0) -> Views:
        """Return the views of a batch at `step`."""
        return stage.views(batch, self.config, Rng(0, step, batch.index))


def build_optimiser(model: nn.Module) -> torch.optim.Optimizer:
    """Return a plain AdamW over what is trainable: the contract is about methods, not about recipes."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trainable, lr=LEARNING_RATE, weight_decay=0.0)


def train(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    views_at: Callable[[int], Views],
    steps: range,
    *,
    monitor: str = "",
) -> list[float]:
    """Train for the numbered steps and return their losses, or the values of a monitor.

    Raises:
        MethodError: a loss is not finite.
    """
    losses = []
    model.train()
    for step in steps:
        torch.manual_seed(step)  # drop path draws from the global state; the loop seeds it for each step as well
        views = views_at(step)
        result: Step = model.step(views, step / TOTAL_STEPS)  # type: ignore[operator]
        loss = float(result.loss.detach())
        if not math.isfinite(loss):
            raise MethodError(f"The loss of step {step} is {loss}.", "Look for a division by 0 or a log of 0.")
        optimiser.zero_grad(set_to_none=True)
        result.loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), LONGEST_GRADIENT)
        optimiser.step()
        if hasattr(model, "after_update"):
            model.after_update((step + 1) / TOTAL_STEPS)  # type: ignore[operator]
        losses.append(float(result.monitors[monitor]) if monitor else loss)
    return losses
