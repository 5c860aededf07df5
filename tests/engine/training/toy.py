"""A method for tests of the loop: dropout, batch statistics, a momentum teacher, a queue; and faults on demand."""

from __future__ import annotations

import sys
from copy import deepcopy
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from torch import nn

from engine.data.writer import DatasetWriter
from engine.method import Config, Features, Method, Paper, Prepare, Preset, Stage, Step
from engine.protocol.schema import SPLITS, FieldKind, FieldSpec, Need, Schema


class ToyConfig(Config, frozen=True, kw_only=True):
    width: Annotated[int, Meta(ge=1, le=4096, description="Width.")] = 16
    nan_at: Annotated[tuple[int, ...], Meta(description="Calls of step, from 1, whose loss is not finite.")] = ()
    nan_from: Annotated[int, Meta(description="Call from which every loss is not finite; 0 = never.")] = 0
    memory_at: Annotated[int, Meta(description="Call that finds no memory; 0 = never.")] = 0
    two_stages: Annotated[bool, Meta(description="Not read here.")] = False


def toy_views(batch, config, rng):
    pixels = batch["image"].float() / 255
    return {name: pixels + 0.1 * rng.normal(*pixels.shape[1:]) for name in ("first", "second")}


class Toy(nn.Module):
    def __init__(self, config, schema):
        super().__init__()
        inputs = int(np.prod(schema.first(FieldKind.IMAGE).shape))
        self.config = config
        self.network = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, config.width), nn.BatchNorm1d(config.width), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(config.width, 8),
        )  # fmt: skip
        self.teacher = deepcopy(self.network).requires_grad_(False)
        self.register_buffer("queue", torch.zeros(32, 8))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("prepared", torch.zeros(()))

    def step(self, views, progress):
        self.calls += 1
        call = int(self.calls)
        if call == self.config.memory_at:
            raise MemoryError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes.")
        student = self.network(views["first"])
        with torch.no_grad():
            target = self.teacher(views["second"])
            self.queue.copy_(torch.cat([target, self.queue])[:32])
        pull = (student - target).square().mean()
        spread = (1 - student.std(0)).relu().mean() + 0.01 * (self.queue.mean(0) * student).mean()
        loss = pull + spread
        if call in self.config.nan_at or 0 < self.config.nan_from <= call:
            loss = loss * float("nan")
        return Step(loss=loss, parts={"pull": pull, "spread": spread}, monitors={"progress": torch.tensor(progress)})

    def after_update(self, progress):
        for ours, theirs in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            ours.lerp_(theirs, 0.1)

    def embed(self, batch):
        return Features(pooled=self.network(batch["image"].float() / 255))


def toy_prepare(model, data, config, rng):
    total = torch.zeros(())
    done = 0
    for batch in data.batches:
        total += batch["image"].float().mean()
        done += len(batch)
        data.progress(done, data.records, "toy pass")
    model.prepared.copy_(model.prepared + total + rng.uniform(1).sum())


def second_stage(config, schema, previous):
    model = Toy(config, schema)
    model.network.load_state_dict(previous.network.state_dict())
    return model


def toy_method(name="toy", **changes):
    values = {
        "id": name, "title": "Toy", "idea": "A toy.", "families": ("predictive",), "config": ToyConfig,
        "paper": Paper(title="None", authors="None", year=2026, venue="None", url="https://example.org"),
        "needs": (Need(kinds=(FieldKind.IMAGE,)),), "views": toy_views, "model": Toy, "inspections": (),
        "presets": {"small": Preset(training={"batch_size": 16, "learning_rate": 0.01})},
        "nodes": (), "edges": (), "good_at": "", "bad_at": "",
    }  # fmt: skip
    return Method(**values | changes)


METHOD = toy_method()
PREPARED = toy_method("toy-prepared", prepare=Prepare(run=toy_prepare, what="toy", every_epochs=1.0, records=40))
STAGED = toy_method(
    "toy-staged",
    stages=(
        Stage(name="one", share=1, views=toy_views, model=lambda config, schema, _: Toy(config, schema)),
        Stage(name="two", share=3, views=toy_views, model=second_stage, prepare=Prepare(run=toy_prepare, what="toy")),
    ),
)


class Labelled(Toy):
    """A toy that says which labels it trains on."""

    def step(self, views, progress):
        found = super().step(views, progress)
        return Step(loss=found.loss, parts=found.parts, monitors={"label": views["label"].float().mean()})


def labelled_views(batch, config, rng):
    return toy_views(batch, config, rng) | {"label": batch["label"]}


def continued(config, schema, previous):
    model = Labelled(config, schema)
    if previous is not None:
        model.network.load_state_dict(previous.network.state_dict())
    return model


def stream(config, schema):
    """One stage for each class, that sees only its records."""
    return tuple(
        Stage(
            name=name, share=1, views=labelled_views, model=continued,
            records=lambda config, columns, code=code: columns["label"] == code,
        )
        for code, name in enumerate(schema.first(FieldKind.LABEL).classes)
    )  # fmt: skip


STREAM = toy_method("toy-stream", needs=(Need(kinds=(FieldKind.IMAGE,)), Need(kinds=(FieldKind.LABEL,))), stages=stream)


def install():
    """Let `find_method` find the toys, as if they were modules of `engine.methods`."""
    from types import ModuleType

    for method in (METHOD, PREPARED, STAGED, STREAM):
        module = ModuleType(f"engine.methods.{method.id.replace('-', '_')}")
        module.__spec__ = sys.modules[__name__].__spec__
        module.METHOD = method
        sys.modules[module.__name__] = module


def make_dataset(path: Path, records: int = 96) -> Path:
    schema = Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(1, 8, 8), mean=(0.5,), std=(0.25,)),
            FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=("a", "b")),
            FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="uint8", classes=SPLITS),
        )
    )
    generator = np.random.default_rng(0)
    with DatasetWriter(path, schema, name=path.stem) as writer:
        for number in range(records):
            image = generator.integers(0, 120, (1, 8, 8), dtype=np.uint8)
            image[:, :, : 4 if number % 2 else 8] += 100
            writer.append({"image": image, "label": number % 2, "split": int(number % 8 == 7)})
        writer.finish()
    return path
