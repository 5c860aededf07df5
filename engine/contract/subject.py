"""A method on the bench: its tiny preset, example records of what it needs, its stages built and prepared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from engine.contract.examples import example_schema, example_shape, example_texts, example_values, vary
from engine.data.batch import Batch, Ragged
from engine.data.loader import as_places
from engine.data.windows import Cuts, Cutter, place_cuts
from engine.errors import MethodError
from engine.feeding import windows_of
from engine.method import Method, Prepare, Stage, Step, Views
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, Schema, assign
from engine.training.stages import stages_of
from engine.views.rng import Rng

TOTAL_STEPS = 30
LEARNING_RATE = 1e-3
LONGEST_GRADIENT = 3.0
PREPARE_RECORDS = 64
PREPARE_BATCH = 16


class ExamplePass:
    """A pass over a few example records, for `Prepare`."""

    def __init__(self, subject: Subject, records: int) -> None:
        self.records = records
        self.batches: Iterator[Batch] = (
            subject.batch(min(PREPARE_BATCH, records - first), first=first, draw=None)
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
    has_everything: bool = True  # also what the method needs only optionally
    cutters: Mapping[str, Cutter] = field(default_factory=dict)  # key → what cuts windows of its field

    @classmethod
    def of(cls, method: Method, *, with_optional: bool = True) -> Subject:
        """Return `method` with its tiny preset, and records with or without what it needs only optionally.

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
        needs = tuple(need for need in method.needs if with_optional or not need.optional)
        schema = example_schema(needs, px)
        schema, cutters = vary(schema, needs, windows_of(method, config, schema))
        return cls(method, config, schema, stages_of(method, config, schema), with_optional, cutters)

    @classmethod
    def each(cls, method: Method) -> list[Subject]:
        """Return `method` with records that have every optional field, and with records that have none."""
        subjects = [cls.of(method)]
        if any(need.optional for need in method.needs):
            subjects.append(cls.of(method, with_optional=False))
        return subjects

    def shown(self, count: int) -> Batch:
        """Return the first example records as they are embedded and looked at: windows at their fixed places."""
        return self.batch(count, draw=None)

    def batch(self, count: int, *, first: int = 0, draw: int | None = 0) -> Batch:
        """Return example records `first … first + count`; a record is the same in every batch.

        Windows lie where they would in the training's batch number `draw`, or (None) at their fixed places.
        """
        fields: dict[str, Tensor | Ragged] = {}
        texts: dict[str, tuple[str, ...]] = {}
        specs = assign(self.method.needs, self.schema)
        records = range(first, first + count)
        index = np.arange(first, first + count)
        cuts = {key: self._cuts(specs[key], cutter, index, draw) for key, cutter in self.cutters.items()}
        for key, spec in specs.items():
            if spec.dtype == "str":
                texts[key] = example_texts(spec, records)
                if spec.kind is FieldKind.GROUP:
                    fields[key] = torch.tensor([record % 4 for record in records])
                continue
            values = [self._values(key, spec, record) for record in records]
            cutter = self.cutters.get(key)
            if cutter is not None:
                values = _cut(values, cutter, cuts[cutter.owner])
            shape = spec.shape if cutter is None else cutter.delivered(spec)
            if None in shape:
                fields[key] = Ragged(torch.cat(values), torch.tensor([len(value) for value in values]))
            else:
                fields[key] = torch.stack(values)
            specs[key] = msgspec.structs.replace(spec, shape=shape)
        places = {key: as_places(each) for key, each in cuts.items() if self.cutters[key].owner == key}
        return Batch(fields, torch.from_numpy(index), specs, texts, places)

    def _values(self, key: str, spec: FieldSpec, record: int) -> Tensor:
        cutter = self.cutters.get(key)
        if cutter is None:
            return example_values(self.schema, spec, record)
        return example_values(self.schema, spec, record, example_shape(spec, cutter, record))

    def _cuts(self, spec: FieldSpec, cutter: Cutter, index: Array, draw: int | None) -> Cuts:
        whole = np.array([example_shape(spec, cutter, record) for record in index.tolist()])
        rates = np.where(index % 2, 30.0, 25.0) if cutter.window.rate_hz else None
        return place_cuts(
            cutter.window, cutter.axes, whole, seed=0, draw=draw, index=index, occurrence=np.zeros_like(index),
            rates_hz=rates,
        )  # fmt: skip

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


def _cut(values: list[Tensor], cutter: Cutter, cuts: Cuts) -> list[Tensor]:
    """Return the windows of every record, of one without an axis for them, of ragged ones after the rows."""
    windows = [torch.from_numpy(cutter.cut(value.numpy(), cuts, row)) for row, value in enumerate(values)]
    if windows[0].shape[0] == 1:
        return [window[0] for window in windows]
    is_ragged = any(window.shape != windows[0].shape for window in windows)
    return [window.movedim(0, 1) if is_ragged else window for window in windows]


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
