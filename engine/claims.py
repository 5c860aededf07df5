"""Claim experiments: train every arm with several seeds, measure, compare, and say honestly what came out.

An experiment goes through the ordinary training loop, on a bundled sample, in a folder that is thrown away. On a
CPU its runs are spread over processes of one thread each: small networks gain little from a second thread, and each
run's arithmetic stays the same however many cores there are. What was measured is kept in
`resources/claims/ID.json` only when asked for, whatever it is.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.data.samples import make_sample
from engine.data.store import Dataset
from engine.describe import CLAIMS
from engine.durable import write_atomic
from engine.errors import ConfigError, MethodError
from engine.evaluation.features import comfortable_batch, embed_records
from engine.feeding import open_loader
from engine.method import Claim, Method
from engine.offspring import end_with_parent
from engine.protocol.messages import ArmResult, ClaimResult, RunSpec
from engine.protocol.schema import FieldKind, Need
from engine.registry import find_method
from engine.runs import RunFolder
from engine.training.devices import resolve_device
from engine.training.link import NullLink
from engine.training.load import load_model
from engine.training.loop import run_training
from engine.training.settings import installed_versions
from engine.views.rng import Rng
from engine.workspace import Workspace

Progress = Callable[[float, float, str, str], None]
Measured = tuple[dict[str, float], float]
"""The numbers of one run, and the processor seconds that training and measuring took."""
CONFIDENCE = 0.95
BATCH = 250
# nothing is watched while an experiment trains, and nothing is kept but its end
_UNWATCHED = {"evaluate_every": 0, "inspect_every": 0, "checkpoint_every": 0, "checkpoint_minutes": 0.0}


class SampleReader:
    """The two parts of a sample dataset, as a claim's metric reads them (`engine.method.ClaimData`)."""

    def __init__(
        self, dataset: Dataset, method: Method, config: Any, *, device: torch.device, also: Sequence[Need] = ()
    ) -> None:
        label = dataset.schema.first(FieldKind.LABEL)
        self._dataset = dataset
        self.classes: tuple[str, ...] = label.classes if label else ()
        self._labels = torch.from_numpy(np.asarray(dataset.column(label.name), np.int64)) if label else None
        self._loader = open_loader(method, config, dataset, batch_size=BATCH, seed=0, split=None, prefetch=0, also=also)
        self._device = device
        held_out = np.concatenate([dataset.select("val"), dataset.select("test")])
        self._parts = {"train": dataset.select("train"), "test": held_out}

    def batches(
        self, part: Literal["train", "test"], records: int = 0, *, only: Any = None, draw: int | None = None
    ) -> Iterator[Batch]:
        """Yield raw batches of the first `records` of a part (0 = all), on the device.

        `only` is (n,) bool over the part, of records to take; with `draw`, windows lie at random places.
        """
        size = comfortable_batch(self._loader, BATCH)
        for batch in self._loader.in_order(self._chosen(part, records, only), size, draw=draw):
            yield batch.to(self._device)

    def column(self, field: str, part: Literal["train", "test"]) -> Any:
        """Return an annotation of a part's records by the field's name: an array (n, …), or a list of strings.

        Raises:
            DataError: the sample has no such field.
        """
        values = self._dataset.column(field)
        chosen = self._parts[part]
        return [values[record] for record in chosen.tolist()] if isinstance(values, list) else values[chosen]

    def features(
        self, model: nn.Module, part: Literal["train", "test"], records: int = 0, *, only: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Return pooled features (N, E) and labels (N,) of the first `records` of a part (0 = all), on the CPU.

        Raises:
            MethodError: the sample has no labels.
        """
        if self._labels is None:
            raise MethodError(
                "The sample of this claim has no labels.", "Use a metric without labels, or another sample."
            )
        chosen = self._chosen(part, records, only)
        embedded = embed_records(model, self._loader, chosen, batch_size=BATCH)
        return torch.from_numpy(embedded.features), self._labels[torch.from_numpy(chosen)]

    def field(self, name: str, part: Literal["train", "test"], records: int = 0) -> Tensor:
        """Return a field that no need names, such as the mask of pixels, as stored, on the CPU.

        Raises:
            DataError: there is no such field.
            MethodError: its records have different shapes.
        """
        values = self._dataset.read(name, self._chosen(part, records))
        if isinstance(values, list):
            raise MethodError(f"The records of {name} have different shapes.", "Choose a field of one shape.")
        return torch.from_numpy(values)

    def close(self) -> None:
        """Stop reading."""
        self._loader.close()

    def _chosen(self, part: str, records: int, only: Any = None) -> Any:
        indices = self._parts[part]
        if only is not None:
            indices = indices[np.asarray(only, bool)]
        return indices[:records] if records else indices


def run_claim(
    method_id: str,
    *,
    seeds: Sequence[int] | None = None,
    progress: Progress | None = None,
    device: str = "auto",
    processes: int = 0,
) -> ClaimResult:
    """Run a method's claim experiment and return what was measured.

    Args:
        method_id: the method.
        seeds: of the runs, at least two; by default 0 … the claim's number of seeds.
        progress: called with (runs done, runs in all, "runs", arm and seed); may raise to cancel.
        device: to train on.
        processes: that train at a time; by default one for each core of a CPU, and one on a GPU. One is this one.

    Raises:
        MethodError: the method has no claim, or its metric gives no finite number.
        ConfigError: there are fewer than two seeds.
    """
    method = find_method(method_id)
    claim = method.claim
    if claim is None:
        raise MethodError(f"{method_id} makes no claim that can be measured here.", "Choose another method.")
    chosen = tuple(seeds) if seeds is not None else tuple(range(claim.seeds))
    if len(chosen) < 2:
        raise ConfigError(f"A claim needs at least two seeds; {len(chosen)} is given.", "Runs differ by chance alone.")
    start = time.monotonic()
    on_cpu = resolve_device(device).type == "cpu"
    processes = processes or ((os.cpu_count() or 1) if on_cpu else 1)
    with tempfile.TemporaryDirectory(prefix="selfsight-claim-", ignore_cleanup_errors=True) as folder:
        workspace = Workspace(Path(folder))
        make_sample(claim.sample, workspace.dataset_file(claim.sample))
        runs = [(seed, arm.name) for seed in chosen for arm in claim.arms]
        measured = _measure_all(method, runs, folder, device, min(processes, len(runs)), progress or _say_nothing)
    found = {arm.name: [measured[seed, arm.name][0] for seed in chosen] for arm in claim.arms}
    return conclude(
        method,
        claim,
        found,
        chosen,
        seconds=time.monotonic() - start,
        processor_seconds=math.fsum(seconds for _, seconds in measured.values()),
        device=str(resolve_device(device)),
        processes=processes,
    )


def _measure_all(
    method: Method, runs: Sequence[tuple[int, str]], folder: str, device: str, processes: int, progress: Progress
) -> dict[tuple[int, str], Measured]:
    """Return what each (seed, arm) gave, measured here one after another or in `processes` at a time."""
    measured: dict[tuple[int, str], Measured] = {}
    progress(0.0, float(len(runs)), "runs", "")
    if processes == 1:
        for seed, arm in runs:
            progress(float(len(measured)), float(len(runs)), "runs", f"{arm}, seed {seed}")
            measured[seed, arm] = _timed(method, arm, folder=folder, seed=seed, device=device)
        progress(float(len(runs)), float(len(runs)), "runs", "")
        return measured
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_compute_alone) as pool:
        waiting = {
            pool.submit(_measure_by_name, method.id, arm, folder, seed, device): (seed, arm) for seed, arm in runs
        }
        try:
            for done in as_completed(waiting):
                measured[waiting[done]] = done.result()
                seed, arm = waiting[done]
                progress(float(len(measured)), float(len(runs)), "runs", f"{arm}, seed {seed}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:  # nobody waits for them any more
                process.terminate()
            raise
    return measured


def _say_nothing(_done: float, _total: float, _unit: str, _what: str) -> None:
    """Take progress that nobody asked for."""


def _compute_alone() -> None:
    torch.set_num_threads(1)
    end_with_parent()


def _measure_by_name(method_id: str, arm: str, folder: str, seed: int, device: str) -> Measured:
    return _timed(find_method(method_id), arm, folder=folder, seed=seed, device=device)


def _timed(method: Method, arm: str, *, folder: str, seed: int, device: str) -> Measured:
    start = time.process_time()
    values = _measure(method, arm, folder=folder, seed=seed, device=device)
    return values, time.process_time() - start


def _measure(method: Method, arm_name: str, *, folder: str, seed: int, device: str) -> dict[str, float]:
    """Train one arm with one seed and return its numbers."""
    claim = method.claim
    assert claim is not None
    arm = next(arm for arm in claim.arms if arm.name == arm_name)
    workspace = Workspace(Path(folder))
    data = workspace.dataset_file(claim.sample)
    spec = RunSpec(
        method=arm.method or method.id,
        dataset=str(data),
        preset="tiny",
        config={**claim.config, **arm.config},
        training={**_UNWATCHED, **claim.training, **arm.training},
        seed=seed,
        device=device,
    )
    run = RunFolder.create(workspace, spec, Path(folder) / f"{claim.arms.index(arm)}-{seed}")
    run_training(run, NullLink())
    loaded = load_model(run.path, device=device)
    model = loaded.model.eval()
    where = next(model.parameters()).device
    with Dataset.open(data) as dataset:
        reader = SampleReader(dataset, loaded.method, loaded.config, device=where, also=claim.needs)
        try:
            with torch.no_grad():
                rng = Rng(seed, 0, torch.zeros(1, dtype=torch.int64, device=where))
                values = dict(claim.metric(model, reader, loaded.config, rng))
        finally:
            reader.close()
    for name, value in values.items():
        if not math.isfinite(value):
            raise MethodError(f"{name} of {method.id} ({arm.name}, seed {seed}) is {value}.", "Look at the metric.")
    return values


def conclude(
    method: Method,
    claim: Claim,
    found: dict[str, list[dict[str, float]]],
    seeds: tuple[int, ...],
    *,
    seconds: float,
    processor_seconds: float = -1.0,
    device: str,
    processes: int = 1,
) -> ClaimResult:
    """Return the result of measurements `found` (arm → one dict of numbers per seed).

    The effect is the mean difference of the first and the second arm over seeds, which share data order and first
    weights; its interval is Student's. It is shown if it exceeds the margin and the interval lies on its side of 0,
    contradicted if the interval lies on the other side.
    """
    arms = []
    for name, measured in found.items():
        values = tuple(one[claim.primary] for one in measured)
        arms.append(
            ArmResult(name=name, seeds=seeds, values=values, mean=float(np.mean(values)), interval=t_interval(values))
        )
    sign = 1.0 if claim.higher_is_better else -1.0
    differences = [a - b for a, b in zip(arms[0].values, arms[1].values, strict=True)]
    effect, (low, high) = float(np.mean(differences)), t_interval(differences)
    nearest, farthest = sorted((sign * low, sign * high))
    verdict: Literal["shown", "not shown", "contradicted"] = "not shown"
    if nearest > 0 and sign * effect > claim.margin:
        verdict = "shown"
    elif farthest < 0:
        verdict = "contradicted"
    everything = {
        name: {key: [one[key] for one in measured] for key in measured[0]} for name, measured in found.items()
    }
    return ClaimResult(
        method=method.id,
        arms=tuple(arms),
        metric=claim.primary,
        effect=effect,
        interval=(low, high),
        expected=claim.expected,
        verdict=verdict,
        seconds=seconds,
        processor_seconds=processor_seconds,
        details={
            "measured": everything,
            "sample": claim.sample,
            "config": dict(claim.config),
            "training": {**method.presets["tiny"].training, **claim.training},
            "interval": f"Student's t, {CONFIDENCE:.0%}, over {len(seeds)} seeds, paired",
            "margin": claim.margin,
            "device": device,
            "cores": os.cpu_count(),
            "processes": processes,
            "versions": installed_versions(),
        },
    )


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean of at least two values."""
    mean = float(np.mean(values))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values))
    return mean - half, mean + half


def save_measured(result: ClaimResult, folder: Path = CLAIMS) -> Path:
    """Write what was measured to `ID.json` in `folder`, from where it reaches the method's card; return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.method}.json"
    write_atomic(path, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return path
