"""The state of a run that trains, and what can be done with it between two steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import torch
from lightning_fabric import Fabric

from engine.data.batch import Batch
from engine.data.loader import Loader
from engine.data.store import Dataset
from engine.durable import write_atomic
from engine.errors import DiskFull, Diverged
from engine.evaluation.quality import QualityMonitor
from engine.feeding import stage_records
from engine.method import Method, Prepare, Stage
from engine.protocol.messages import RunSpec
from engine.runs import RunFolder
from engine.training.checkpoints import Checkpoint, Position, Saved, save_checkpoint
from engine.training.control import Control
from engine.training.devices import memory_used
from engine.training.distribution import rank, world_size
from engine.training.journal import Journal
from engine.training.link import Link
from engine.training.settings import TrainingSettings
from engine.training.stages import build_model, stage_starts, stages_of
from engine.training.updates import Update, Updater
from engine.training.watching import Watcher
from engine.views.rng import Rng

DISK_POLL_S = 0.2
T = TypeVar("T")


class _StopAskedFor(Exception):  # noqa: N818 not an error
    """The pass over the data was told to end."""


@dataclass
class _PassOver:
    """What a `prepare` reads: batches on the device, and a way to say how far it is that ends it when told so."""

    batches: Iterator[Batch]
    records: int
    session: Session

    def progress(self, done: int, total: int, what: str) -> None:
        """Say how far it is."""
        self.session.link.progress(float(done), float(total), "records", what)
        self.session.control.read()
        if self.session.control.should_stop:
            raise _StopAskedFor


@dataclass
class Session:
    """Everything that belongs to one run while it trains."""

    folder: RunFolder
    link: Link
    control: Control
    journal: Journal
    spec: RunSpec
    method: Method
    config: Any
    settings: TrainingSettings
    fabric: Fabric
    dataset: Dataset
    loader: Loader
    watcher: Watcher | None
    monitor: QualityMonitor | None
    step: int = 0
    stage: int = 0
    starts: tuple[int, ...] = (0,)
    saved_step: int = -1
    _seconds: float = 0.0  # before `_clock`
    _nonfinite: int = 0
    _since: int = 0  # step of the last row
    _drawn: int = 0  # batches drawn from the loader, over all processes
    _clock: float | None = None  # None while the time does not count
    _row_clock: float = field(default_factory=time.monotonic)
    _save_clock: float = field(default_factory=time.monotonic)
    _pass_done: int = -1  # step before which the last pass was made
    _begun: tuple[int, float] = (0, 0.0)

    # ── beginning, stages, passes ────────────────────────────────────────────────────────────────────

    def begin(self, checkpoint: Checkpoint | None) -> None:
        """Build the network as it is at the checkpoint, or at the start."""
        stages = self._stages
        self.starts = stage_starts(stages, self.settings.steps)
        if checkpoint is not None:
            position = checkpoint.position
            self.step, self.stage, self.saved_step = position.step, position.stage, position.step
            self.starts, self._seconds, self._nonfinite = position.stage_starts, position.seconds, position.nonfinite
            self._drawn = position.batches
        model = build_model(self.method, self.config, self.dataset.schema, seed=self.spec.seed, stage=self.stage)
        self.updater = self._updater(model)
        if checkpoint is not None:
            checkpoint.restore(self.updater.model, self.updater.optimiser)
            if self.step > self.starts[self.stage]:
                self._pass_done = self.starts[self.stage]  # its result is in the buffers
        self._open_feed()
        self._begun = (self.step, self._seconds)
        self._since = self.step
        self.restart_clock()

    def _updater(self, model: torch.nn.Module) -> Updater:
        return Updater(self._stages[self.stage], model, self.config, self.settings, self.fabric, self.spec.seed)

    @property
    def is_stage_over(self) -> bool:
        """Whether the next step belongs to the next stage."""
        return self.stage + 1 < len(self.starts) and self.step >= self.starts[self.stage + 1]

    def next_stage(self) -> None:
        """Build the next stage's network from this one's."""
        self.stage += 1
        name = self._stages[self.stage].name
        self.journal.say(self.step, "note", f"Stage {self.stage + 1} of {len(self.starts)} begins: {name}.")
        previous = self.updater.model
        model = build_model(
            self.method, self.config, self.dataset.schema, seed=self.spec.seed, stage=self.stage, previous=previous
        )
        self.updater = self._updater(model)
        if any(stage.records is not None for stage in self._stages):
            self._feed.close()
            self._open_feed()

    @property
    def _stages(self) -> tuple[Stage, ...]:
        return stages_of(self.method, self.config, self.dataset.schema)

    def _open_feed(self) -> None:
        """Read the records of this stage from here on."""
        stage = self._stages[self.stage]
        self.loader.restrict(stage_records(self.method, stage, self.config, self.dataset))
        self._feed = Feed(self.loader, self._drawn)

    @property
    def _stage_steps(self) -> int:
        ends = (*self.starts[1:], self.settings.steps)
        return max(1, ends[self.stage] - self.starts[self.stage])

    @property
    def is_pass_due(self) -> bool:
        """Whether the stage's pass over the data comes before the next step."""
        prepare = self.updater.stage.prepare
        if prepare is None or self._pass_done == self.step:
            return False
        done = self.step - self.starts[self.stage]
        if done == 0:
            return True
        every = round(prepare.every_epochs * self._steps_per_epoch)
        return every > 0 and done % every == 0

    @property
    def _steps_per_epoch(self) -> float:
        return max(1, self.loader.steps_per_epoch) / (self.settings.accumulate * world_size())

    def prepare(self) -> bool:
        """Make the pass; what was learnt is saved first. Returns False if it was told to stop."""
        prepare = self.updater.stage.prepare
        assert prepare is not None
        if self.step > max(self.saved_step, 0):
            self.save()
        try:
            self._pass_over(prepare)
        except _StopAskedFor:
            self.step = max(self.saved_step, 0)
            return False
        self._pass_done = self.step
        self.updater.watch.lap("prepare")
        return True

    def _pass_over(self, prepare: Prepare) -> None:
        indices = self.loader.indices
        if 0 < prepare.records < len(indices):
            chosen = np.random.default_rng([self.spec.seed, self.step]).choice(indices, prepare.records, replace=False)
            indices = np.sort(chosen)
        device = self.fabric.device
        batches = (batch.to(device) for batch in self.loader.in_order(indices, self.settings.batch_size))
        rng = Rng(self.spec.seed, self._drawn, torch.zeros(1, dtype=torch.int64, device=device)).spawn("prepare")
        self.journal.say(self.step, "note", f"A pass over {len(indices)} records: {prepare.what}.")
        model = self.updater.model
        model.eval()
        with torch.no_grad():
            prepare.run(model, _PassOver(batches, len(indices), self), self.config, rng)
        model.train()

    # ── one step, and what it says ───────────────────────────────────────────────────────────────────

    def update(self) -> None:
        """Do one step.

        Raises:
            Diverged: loss or gradient was not finite too often in a row.
        """
        stage_step = self.step - self.starts[self.stage]
        self.last = self.updater.update(self._feed.take, stage_step, self._stage_steps, self.step)
        self._drawn += self.settings.accumulate * world_size()
        if self.last.is_finite:
            self._nonfinite = 0
        else:
            self._take_nonfinite(self.last)
        self.step += 1

    def _take_nonfinite(self, update: Update) -> None:
        self._nonfinite += 1
        numbers = update.numbers()
        broken = [name for name, value in numbers.items() if not np.isfinite(value)]
        text = f"Step {self.step + 1} was skipped: {', '.join(broken)} not finite."
        self.journal.say(self.step, "warning", text, "warn", {"broken": broken})
        if self._nonfinite >= self.settings.nonfinite_limit:
            path = self._capture(broken)
            raise Diverged(
                f"Loss or gradient was not finite in {self._nonfinite} steps in a row ({', '.join(broken)}), "
                f"at step {self.step + 1}.",
                f"Resume with a lower learning rate (now {update.learning_rate:.3g}) or with clip_norm 1; "
                f"{path} holds weights, seed and record numbers to replay the step.",
            )

    def _capture(self, broken: list[str]) -> Path:
        folder = self.folder.path / "captures"
        name = f"{self.step:07d}"
        note = {
            "step": self.step, "seed": self.spec.seed, "batch": self._drawn, "broken": broken,
            "records": [batch.index.tolist() for batch in self.updater.last_batches],
        }  # fmt: skip
        try:
            save_checkpoint(folder, self.updater.model, self.updater.optimiser, self._position(), keep=1, name=name)
            write_atomic(folder / name / "batch.json", msgspec.json.encode(note))
        except DiskFull as full:
            self.journal.say(self.step, "warning", f"The step could not be captured: {full}", "warn")
        return folder / name

    @property
    def trained_s(self) -> float:
        """Seconds trained, in all lives of the run, pauses left out."""
        return self._seconds + (0.0 if self._clock is None else time.monotonic() - self._clock)

    def stop_clock(self) -> None:
        """Count no more time until `restart_clock`."""
        self._seconds = self.trained_s
        self._clock = None

    def restart_clock(self) -> None:
        """Count time and records from here."""
        self.stop_clock()
        self._clock = self._row_clock = time.monotonic()
        self._since = self.step
        self.updater.watch.restart()

    def log(self) -> None:
        """Write a row of metrics; a full disk pauses the run until there is space."""
        self.updater.watch.lap("other")
        shares = self.updater.watch.shares()
        now = time.monotonic()
        records = (self.step - self._since) * self.settings.batch_size * self.settings.accumulate * world_size()
        values = self.last.numbers() | {
            "epoch": self.step / self._steps_per_epoch,
            "samples_per_s": records / max(now - self._row_clock, 1e-9),
            "memory_bytes": float(memory_used(self.fabric.device)),
        }
        values |= {f"time/{name}": share for name, share in shares.items()}
        self._row_clock, self._since = now, self.step
        self._write(lambda: self.journal.row(self.step, self.trained_s, values))

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────

    def look(self, *, is_last: bool = False) -> None:
        """Measure quality, store views and show watched ones, each when its turn has come."""
        if self.watcher is None:
            return
        settings = self.settings
        if self.monitor is not None and (is_last or self.step % settings.evaluate_every == 0):
            self._measure(self.monitor)
        is_due = is_last or (settings.inspect_every > 0 and self.step % settings.inspect_every == 0)
        watcher = self.watcher
        self._write(
            lambda: watcher.store(self.updater.model, self.step, self.trained_s, is_due=is_due, is_idle=is_last)
        )
        self.show()
        self.updater.watch.lap("live")

    def show(self, *, is_idle: bool = False) -> None:
        """Obey what watchers asked for and show them a view."""
        if self.watcher is not None:
            self.watcher.obey(self.control.watching)
            self.watcher.show(self.updater.model, self.step, self.trained_s, is_idle=is_idle)

    def _measure(self, monitor: QualityMonitor) -> None:
        if self.journal.has_quality(self.step):
            return
        self.updater.watch.lap("other")
        journal = self.journal
        values, events, embedding = monitor.measure(
            self.updater.model, self.step, loss=journal.latest.get("loss"), first_loss=journal.first_loss
        )
        for event in events:
            self.journal.event(event)
        self._write(lambda: self.journal.row(self.step, self.trained_s, values))
        if self.watcher is not None:
            watcher = self.watcher
            self._write(lambda: watcher.keep_map(embedding))
        self.updater.watch.lap("quality")

    # ── saving ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_checkpoint_due(self) -> bool:
        """Whether enough steps or minutes have passed, or somebody asked for one."""
        settings = self.settings
        by_steps = settings.checkpoint_every > 0 and self.step % settings.checkpoint_every == 0
        minutes = (time.monotonic() - self._save_clock) / 60
        by_time = 0 < settings.checkpoint_minutes <= minutes
        return by_steps or by_time or self.control.wants_checkpoint

    def save(self) -> bool:
        """Save a checkpoint and say so; returns False if there is none, because of the weights or the disk."""
        self.control.wants_checkpoint = False
        self._save_clock = time.monotonic()
        if rank() != 0 or self.saved_step == self.step:
            return True
        if not self.updater.is_sound():
            self.journal.say(self.step, "warning", "The weights are not finite; they are not saved.", "warn")
            return False
        self.updater.watch.lap("other")
        saved = self._write(self._save)
        self.updater.watch.lap("save")
        if saved is None:
            return False
        self.saved_step = self.step
        size = saved.bytes / 2**20
        self.journal.say(
            self.step, "checkpoint", f"Saved and verified: {size:.1f} MB in {saved.seconds:.1f} s.", "ok",
            {"step": self.step, "bytes": saved.bytes, "seconds": round(saved.seconds, 3)},
        )  # fmt: skip
        return True

    def _save(self) -> Saved:
        keep = self.settings.keep_checkpoints
        updater = self.updater
        return save_checkpoint(self.folder.checkpoints, updater.model, updater.optimiser, self._position(), keep=keep)

    def _position(self) -> Position:
        return Position(
            step=self.step, stage=self.stage, stage_starts=self.starts, seed=self.spec.seed, batches=self._drawn,
            seconds=self.trained_s, nonfinite=self._nonfinite,
        )  # fmt: skip

    def save_if_whole(self) -> None:
        """Save after something broke between two changes of the weights; does nothing in the middle of one."""
        if self.updater.is_whole:
            self.updater.optimiser.zero_grad(set_to_none=True)
            self.control.should_stop = True  # a full disk is not waited for
            self.save()

    def _write(self, action: Callable[[], T]) -> T | None:
        """Do something durable. Without space the run pauses until there is some; None = told to stop meanwhile."""
        is_waiting = False
        while True:
            try:
                result = action()
            except DiskFull as full:
                if not is_waiting:
                    is_waiting = True
                    self.stop_clock()
                    self.journal.state(self.step, "paused", f"Paused: {full}", reason="disk full")
                self.control.read()
                if self.control.should_stop:
                    return None
                time.sleep(DISK_POLL_S)
            else:
                if is_waiting:
                    self.journal.state(self.step, "training", "There is space again; training goes on.")
                    self.restart_clock()
                return result

    def result(self, state: str) -> dict[str, Any]:
        """Return what `selfsight train --json` prints."""
        step, seconds = self._begun
        trained = self.trained_s - seconds
        records = (self.step - step) * self.settings.batch_size * self.settings.accumulate * world_size()
        folder = self.folder.checkpoints / f"{self.saved_step:07d}"
        return {
            "run": str(self.folder.path),
            "method": self.method.id,
            "steps": self.step,
            "seconds": round(self.trained_s, 3),
            "samples_per_second": round(records / trained, 2) if records and trained > 0 else 0.0,
            "final": {
                name: value
                for name, value in self.journal.latest.items()
                if name.partition("/")[0] in {"loss", "quality", "monitor"}
            },
            "checkpoint": str(folder) if self.saved_step >= 0 else "",
            "state": state,
        }

    def close(self) -> None:
        """Let go of the data."""
        self._feed.close()


class Feed:
    """Batches in order, the next ones prepared in the background; of several processes, each gets its own."""

    def __init__(self, loader: Loader, first: int) -> None:
        self._next = first + rank()
        self._loader = loader
        self._stream: Iterator[Batch] | None = loader.stream(first) if world_size() == 1 else None
        self._pool = ThreadPoolExecutor(1) if self._stream is None else None
        self._ahead = self._pool.submit(loader.batch, self._next) if self._pool else None

    def take(self) -> tuple[int, Batch]:
        """Return the number of a batch and the batch."""
        number = self._next
        self._next += world_size()
        if self._stream is not None:
            return number, next(self._stream)
        assert self._pool is not None
        assert self._ahead is not None
        batch = self._ahead.result()
        self._ahead = self._pool.submit(self._loader.batch, self._next)
        return number, batch

    def close(self) -> None:
        """End the background work."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if isinstance(self._stream, Generator):
            self._stream.close()
