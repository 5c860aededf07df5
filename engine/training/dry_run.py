"""Will it fit, how long will it take: a few real steps, measured, nothing written."""

from __future__ import annotations

import time

import torch

from engine.errors import DataError
from engine.feeding import open_loader
from engine.protocol.messages import DryRunResult, RunSpec
from engine.protocol.schema import misfit
from engine.registry import find_method
from engine.training.devices import (
    forget_peak,
    is_out_of_memory,
    memory_total,
    memory_used,
    open_fabric,
    resolve_precision,
    smaller_batch,
)
from engine.training.link import Link
from engine.training.loop import open_dataset
from engine.training.session import Feed
from engine.training.settings import TrainingSettings, complete_spec
from engine.training.stages import build_model, stages_of
from engine.training.updates import Updater

WARM_STEPS = 2
MOST_STEPS = 10
MEASURED_SECONDS = 4.0
COMFORTABLE_SHARE = 0.9


def dry_run(spec: RunSpec, link: Link) -> DryRunResult:
    """Train a few steps of the first stage and measure. Out of memory is a result, not an error.

    Raises:
        ConfigError, MethodError, DataError: settings, method or data cannot be used.
    """
    config, settings = complete_spec(spec)
    method = find_method(spec.method)
    fabric = open_fabric(spec.device, settings.precision)
    device = fabric.device
    dataset = open_dataset(spec.dataset)
    try:
        if reason := misfit(method.needs, dataset.schema):
            raise DataError(f"{dataset.info.name} does not fit {method.id}: it {reason}.", "Choose other data.")
        stage = stages_of(method, config, dataset.schema)[0]
        loader = open_loader(method, config, dataset, batch_size=settings.batch_size, seed=spec.seed, stage=stage)
        model = build_model(method, config, dataset.schema, seed=spec.seed)
        sizes = [(parameter.numel(), parameter.nbytes, parameter.requires_grad) for parameter in model.parameters()]
        state_bytes = sum(value.nbytes for value in model.state_dict().values())
        forget_peak(device)
        times: list[float] = []
        fits = True
        feed = Feed(loader, 0)
        try:
            updater = Updater(stage, model, config, settings, fabric, spec.seed)
            times = _time_steps(updater, feed, settings, link)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            fits = False
        finally:
            feed.close()
            loader.close()
        used, total = memory_used(device), memory_total(device)
        step_seconds = sorted(times)[len(times) // 2] if times else 0.0
        per_step = settings.batch_size * settings.accumulate
        trainable_bytes = sum(size for _, size, is_trained in sizes if is_trained)
        moments = {"adamw": 2, "sgd": 1, "lars": 1}[settings.optimiser]
        return DryRunResult(
            parameters=sum(count for count, _, _ in sizes),
            trainable=sum(count for count, _, is_trained in sizes if is_trained),
            memory_bytes=used,
            memory_total_bytes=total,
            samples_per_second=per_step / step_seconds if step_seconds else 0.0,
            step_seconds=step_seconds,
            seconds_per_epoch=step_seconds * max(1, loader.records) / per_step,
            seconds_total=step_seconds * settings.steps,
            disk_bytes=(state_bytes + moments * trainable_bytes) * (settings.keep_checkpoints + 1),
            device=str(device),
            precision=resolve_precision(settings.precision, device),
            fits=fits and used <= COMFORTABLE_SHARE * total,
            advice="" if fits and used <= COMFORTABLE_SHARE * total else smaller_batch(settings),
        )
    finally:
        dataset.close()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _time_steps(updater: Updater, feed: Feed, settings: TrainingSettings, link: Link) -> list[float]:
    """Return seconds of each step after the first two, which pay for caches and allocation."""
    times: list[float] = []
    begun = time.monotonic()
    for step in range(min(WARM_STEPS + MOST_STEPS, max(settings.steps, WARM_STEPS + 1))):
        link.progress(float(step), float(WARM_STEPS + MOST_STEPS), "steps", "Measuring real steps")
        start = time.perf_counter()
        updater.update(feed.take, step, max(1, settings.steps), step)
        updater.watch.shares()  # waits for the device
        if step >= WARM_STEPS:
            times.append(time.perf_counter() - start)
            if time.monotonic() - begun > MEASURED_SECONDS:
                break
    return times
