"""One update of the weights: views, forward, backward, the look for what is not finite, clipping, optimiser.

It knows no disk and no window; the loop and the dry run both stand on it.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.method import Model, Stage
from engine.training.distribution import any_of, rank, world_size
from engine.training.optimisers import build_optimiser, clip_gradients, gradient_norm, set_schedule
from engine.training.schedules import learning_rate, weight_decay
from engine.training.settings import TrainingSettings
from engine.views.rng import Rng

_KEPT_BUFFER = 1 << 20  # elements; larger buffers (queues) are not copied before each step


class Stopwatch:
    """Where the time goes. On a GPU, laps are events in its stream: nothing waits for the device until `shares`."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._seconds: dict[str, float] = defaultdict(float)
        self._marks: list[tuple[str, torch.cuda.Event]] = []
        self._last = 0.0
        self.restart()

    def restart(self) -> None:
        """Forget the time since the last lap: it belongs to nobody (a pause)."""
        self._last = time.perf_counter()
        if self._on_gpu:
            self._mark("")

    def lap(self, name: str) -> None:
        """Give the time since the last lap to `name`."""
        if self._on_gpu:
            self._mark(name)
            return
        now = time.perf_counter()
        self._seconds[name] += now - self._last
        self._last = now

    def _mark(self, name: str) -> None:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream())
        self._marks.append((name, event))

    def shares(self) -> dict[str, float]:
        """Return each name's share of the time since the last call, and start anew."""
        if self._on_gpu:
            torch.cuda.synchronize()
            for (_, before), (name, event) in zip(self._marks, self._marks[1:], strict=False):
                if name:
                    self._seconds[name] += before.elapsed_time(event) / 1000
            self._marks = self._marks[-1:]
        total = sum(self._seconds.values())
        found = {name: seconds / total for name, seconds in self._seconds.items()} if total else {}
        self._seconds.clear()
        return found


class _Forward(nn.Module):
    """The model's `step` as a forward pass, which is what Fabric and DDP wrap; plain dicts come out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, views: dict[str, Tensor], progress: float) -> dict[str, Any]:
        step = cast("Model", self.model).step(views, progress)
        detached = {name: value.detach() for name, value in step.parts.items()}
        return {"loss": step.loss, "parts": detached, "monitors": dict(step.monitors)}


@dataclass(slots=True)
class Update:
    """What one update did; tensors stay on the device until `numbers`."""

    loss: Tensor
    norm: Tensor
    learning_rate: float
    weight_decay: float
    is_finite: bool
    parts: dict[str, Tensor] = field(default_factory=dict)
    monitors: dict[str, Tensor] = field(default_factory=dict)

    def numbers(self) -> dict[str, float]:
        """Return the update's numbers by metric name, with one wait for the device."""
        named = {"loss": self.loss, "grad_norm": self.norm}
        named |= {f"loss/{name}": value for name, value in self.parts.items()}
        named |= {f"monitor/{name}": value for name, value in self.monitors.items()}
        values = torch.stack([value.detach().float().reshape(()).to(self.loss.device) for value in named.values()])
        found = dict(zip(named, values.tolist(), strict=True))
        return found | {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}


class Updater:
    """Holds a stage's network and optimiser and does one update at a time."""

    def __init__(
        self, stage: Stage, model: nn.Module, config: Any, settings: TrainingSettings, fabric: Fabric, seed: int
    ) -> None:
        self.stage, self.config, self.settings, self.fabric, self.seed = stage, config, settings, fabric, seed
        self.model = model.to(fabric.device)
        self.model.train()
        self.optimiser = build_optimiser(self.model, settings)
        self._forward, self._wrapped = fabric.setup(_Forward(self.model), self.optimiser)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.is_whole = True  # False while weights are being changed
        self.watch = Stopwatch(fabric.device)
        self.last_batches: list[Batch] = []

    def update(self, take: Callable[[], tuple[int, Batch]], step: int, steps: int, number: int) -> Update:
        """Do update `step` of `steps` (of this stage), `number` in the whole run, with numbered batches.

        All random numbers derive from (seed, number of the batch, record): a resumed run draws the same.
        """
        seed_everything(self.seed, number)
        accumulate = self.settings.accumulate
        progress = step / steps
        rate = learning_rate(self.settings, step, steps, world_size())
        decay = weight_decay(self.settings, step, steps)
        kept = self._keep_buffers()
        self.last_batches.clear()
        outcomes = []
        for part in range(accumulate):
            drawn, batch = take()
            self.last_batches.append(batch)
            self.watch.lap("load")
            batch = batch.to(self.fabric.device)
            self.watch.lap("transfer")
            with torch.no_grad():
                views = dict(self.stage.views(batch, self.config, Rng(self.seed, drawn, batch.index)))
            self.watch.lap("views")
            last = part == accumulate - 1
            with nullcontext() if last else self.fabric.no_backward_sync(self._forward):
                outcome = self._forward(views, progress)
                self.watch.lap("forward")
                self.fabric.backward(outcome["loss"] / accumulate)
            self.watch.lap("backward")
            outcomes.append(outcome)
        result = self._finish(outcomes, rate, decay, progress)
        if not result.is_finite:
            self._restore_buffers(kept)
        self.watch.lap("optimiser")
        return result

    def _finish(self, outcomes: list[dict[str, Any]], rate: float, decay: float, progress: float) -> Update:
        loss = _mean([outcome["loss"].detach() for outcome in outcomes])
        norm = gradient_norm(self._parameters)
        broken = any_of(~(torch.isfinite(loss) & torch.isfinite(norm.to(loss.device))))
        is_finite = not bool(broken)  # the one wait for the device in a step: nothing broken may reach the weights
        if is_finite:
            clip_gradients(self._parameters, norm, self.settings)
            set_schedule(self.optimiser, rate, decay)
            self.is_whole = False
            self._wrapped.step()
            if callable(after_update := getattr(self.model, "after_update", None)):
                with torch.no_grad():
                    after_update(progress)
            self.is_whole = True
        self.optimiser.zero_grad(set_to_none=True)
        named = {
            kind: {
                name: _mean([outcome[kind][name] for outcome in outcomes if name in outcome[kind]])
                for name in outcomes[-1][kind]
            }
            for kind in ("parts", "monitors")
        }
        return Update(loss, norm, rate, decay, is_finite, named["parts"], named["monitors"])

    def _keep_buffers(self) -> dict[str, Tensor]:
        """Copy running statistics, so that a batch that is not finite leaves no trace in them."""
        return {
            name: buffer.clone()
            for name, buffer in self.model.named_buffers()
            if buffer.is_floating_point() and buffer.numel() <= _KEPT_BUFFER
        }

    def _restore_buffers(self, kept: dict[str, Tensor]) -> None:
        buffers = dict(self.model.named_buffers())
        with torch.no_grad():
            for name, value in kept.items():
                buffers[name].copy_(value)

    @torch.no_grad()
    def is_sound(self) -> bool:
        """Whether every parameter is finite."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters())


def _mean(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack([value.float() for value in values]).mean()


def seed_everything(seed: int, step: int) -> None:
    """Make dropout and whatever else draws from global generators depend on (seed, step, process) alone."""
    mixed = int(np.random.SeedSequence([seed & 0xFFFFFFFF, step, rank()]).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(mixed & 0x7FFFFFFFFFFFFFFF)  # torch.manual_seed formats three stacks each time
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(mixed & 0x7FFFFFFFFFFFFFFF)
    random.seed(mixed)
    np.random.seed(mixed & 0xFFFFFFFF)  # noqa: NPY002 foreign code in a method may use the global generator
