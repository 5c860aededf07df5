"""The training loop: setup → main → fit, one page, the same for every method.

Metrics of a row: loss, loss/PART, monitor/NAME, grad_norm, learning_rate, weight_decay, epoch, samples_per_s,
memory_bytes, time/SHARE (load, transfer, views, forward, backward, optimiser, prepare, live, quality, save, other;
they sum to 1), and quality/NAME in rows of their own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from engine.data.store import Dataset
from engine.errors import DataError, SelfsightError
from engine.evaluation.quality import QualityMonitor
from engine.evaluation.verdicts import readings_of
from engine.feeding import open_loader
from engine.inspections.live import LiveViews
from engine.method import Method
from engine.protocol.inspections import Embedding
from engine.protocol.messages import RunSpec
from engine.protocol.schema import misfit
from engine.registry import find_method
from engine.runs import RunFolder, extend
from engine.training.checkpoints import Checkpoint, newest_checkpoint, set_aside
from engine.training.control import Control
from engine.training.devices import is_out_of_memory, open_fabric, out_of_memory, resolve_device
from engine.training.distribution import rank
from engine.training.journal import Journal
from engine.training.link import Link
from engine.training.load import store_schema
from engine.training.session import Session
from engine.training.settings import complete_spec, freeze_spec
from engine.training.watching import MAP_VIEW, Watcher

__all__ = ["check_run", "extend", "run_training"]

PAUSE_POLL_S = 0.05


def run_training(folder: RunFolder, link: Link) -> dict[str, Any]:
    """Train a run from its start or its last good checkpoint, until it is done or told to stop.

    Returns:
        `{run, method, steps, seconds, samples_per_second, final, checkpoint, state}`; the state is "finished" or
        "stopped". Whatever fails is written into the run as a failure, then raised.

    Raises:
        RunError: another process owns the run.
        ConfigError, MethodError, DataError: settings, method or data cannot be used.
        OutOfMemory, Diverged: training cannot go on as it is set up; the last checkpoint stands.
    """
    is_first = rank() == 0
    with folder.lock() if is_first else nullcontext(), Control(link) as control:
        journal = Journal(folder, link)
        session: Session | None = None
        try:
            journal.state(0, "starting", "Loading method, data and device.")
            with setup(folder, link, control, journal) as session:
                return main(session)
        except BaseException as error:
            step = session.step if session else 0
            if not is_out_of_memory(error):
                journal.failure(step, error)
                raise
            if session is not None:
                session.save_if_whole()
            reason = out_of_memory(complete_spec(folder.spec)[1], resolve_device(folder.spec.device), step)
            journal.failure(step, reason)
            raise reason from error


def check_run(spec: RunSpec) -> None:
    """Check that a run could begin, before anything of it is written.

    Raises:
        MethodError, ConfigError: as `complete_spec`; the device is not here.
        DataError: the dataset cannot be opened, or does not fit the method.
    """
    complete_spec(spec)
    resolve_device(spec.device)
    with open_dataset(spec.dataset) as dataset:
        _check_fit(find_method(spec.method), dataset)


def _check_fit(method: Method, dataset: Dataset) -> None:
    reason = misfit(method.needs, dataset.schema)
    if reason:
        raise DataError(f"{dataset.info.name} does not fit {method.id}: it {reason}.", "Choose other data.")


@contextmanager
def setup(folder: RunFolder, link: Link, control: Control, journal: Journal) -> Iterator[Session]:
    """Bring everything together: settings, device, data, the last good checkpoint, what looks on."""
    spec = freeze_spec(folder.spec)
    if spec != folder.spec and rank() == 0:
        folder.rewrite(spec)
    config, settings = complete_spec(spec)
    method = find_method(spec.method)
    fabric = open_fabric(spec.device, settings.precision)
    dataset = open_dataset(spec.dataset)
    if rank() == 0 and not spec.dataset_checksum and dataset.info.checksum:
        spec = msgspec.structs.replace(spec, dataset_checksum=dataset.info.checksum)
        folder.rewrite(spec)
    _check_fit(method, dataset)
    loader = open_loader(method, config, dataset, batch_size=settings.batch_size, seed=spec.seed)
    try:
        watcher = monitor = None
        if rank() == 0:
            watcher = Watcher(folder, link, journal, LiveViews(method, config, dataset, seed=spec.seed))
            if settings.evaluate_every:
                previous = newest_map(folder)
                earlier = readings_of(folder.metrics())
                monitor = QualityMonitor(dataset, method, config, seed=spec.seed, previous=previous, earlier=earlier)
        session = Session(
            folder=folder, link=link, control=control, journal=journal, spec=spec, method=method, config=config,
            settings=settings, fabric=fabric, dataset=dataset, loader=loader, watcher=watcher, monitor=monitor,
        )  # fmt: skip
        if spec.dataset_checksum and dataset.info.checksum not in {"", spec.dataset_checksum}:
            journal.say(0, "warning", f"{dataset.info.name} is not the same data as when the run was set up.", "warn")
        if rank() == 0:
            store_schema(folder, dataset.schema)
        session.begin(last_good(folder, journal))
        try:
            yield session
        finally:
            session.close()
    finally:
        loader.close()
        dataset.close()


def open_dataset(path: str) -> Dataset:
    """Open a run's dataset.

    Raises:
        DataError: it is not there any more, or cannot be read.
    """
    if not Path(path).is_file():
        raise DataError(f"The dataset {path} is not there.", "Put it back, or correct `dataset` in run.yaml.")
    return Dataset.open(Path(path))


def newest_map(folder: RunFolder) -> Embedding | None:
    """Return the embedding map that was stored last, so that the next one is aligned with it."""
    steps = folder.inspections().get(MAP_VIEW)
    if not steps:
        return None
    try:
        found = folder.load_inspection(MAP_VIEW, steps[-1])
    except SelfsightError:  # a damaged map only costs the alignment
        return None
    return found if isinstance(found, Embedding) else None


def last_good(folder: RunFolder, journal: Journal) -> Checkpoint | None:
    """Return the newest checkpoint that verifies; damaged ones are set aside and named."""
    checkpoint, damaged = newest_checkpoint(folder.checkpoints)
    for path, sentence in damaged:
        instead = f"step {checkpoint.position.step}" if checkpoint else "the start"
        journal.say(0, "warning", f"{sentence} Training goes on from {instead}.", "warn")
        if rank() == 0:
            set_aside(path)
    return checkpoint


def main(session: Session) -> dict[str, Any]:
    """Train, save, and say how it ended."""
    start = session.step
    journal, fabric = session.journal, session.fabric
    words = f"Training from step {start}." if start else "Training."
    journal.state(
        start, "training", words, device=str(fabric.device), precision=str(fabric.strategy.precision.precision)
    )
    state = fit(session)
    if state == "stopped":
        journal.state(session.step, "stopping", "Saving, then stopping.")
    saved = session.save()
    if state == "finished":
        session.look(is_last=True)
    where = f"Its state is saved at step {session.saved_step}." if saved else "The last checkpoint stands."
    verb = "Finished" if state == "finished" else "Stopped"
    journal.state(session.step, state, f"{verb} after step {session.step}. {where}")
    return session.result(state)


def fit(session: Session) -> str:
    """Do the steps. Everything else happens between two of them: commands, stages, passes, looking, saving."""
    settings, control = session.settings, session.control
    session.look()
    while session.step < settings.steps:
        control.agree(session.fabric.device)
        if control.is_paused and not control.should_stop:
            pause(session)
        if control.should_stop:
            return "stopped"
        if session.is_stage_over:
            session.next_stage()
        if session.is_pass_due and not session.prepare():
            return "stopped"
        session.update()
        is_last = session.step == settings.steps
        if session.journal.is_row_due(session.step, settings.log_every, is_last=is_last):
            session.log()
        session.look()
        if session.is_checkpoint_due:
            session.save()
    return "finished"


def pause(session: Session) -> None:
    """Save, then wait for what comes; the views go on, as there is nothing that they could slow down."""
    control = session.control
    session.save()
    session.stop_clock()
    session.journal.state(session.step, "paused", f"Paused after step {session.step}.")
    while control.is_paused and not control.should_stop:
        time.sleep(PAUSE_POLL_S)
        control.agree(session.fabric.device)
        session.show(is_idle=True)
    if not control.should_stop:
        session.journal.state(session.step, "training", "Training goes on.")
    session.restart_clock()
