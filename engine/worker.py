"""One child process, one job, from start to end. Started by the supervisor: `python -m engine.worker --job-file F`.

The job is looked up in a table; what it needs (torch) is imported only then. Whatever goes wrong becomes a
`Failure` with its traceback; what is printed, by Python or by native code, goes to the log.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from engine.errors import OutOfMemory, SelfsightError
from engine.protocol import messages as m
from engine.protocol.inspections import Inspection
from engine.protocol.wire import WireError, decode_worker
from engine.supervisor.channel import Channel, bind_to_parent
from engine.supervisor.jobfile import JobFile, take_job_file

logger = logging.getLogger(__name__)
NICENESS = 5
_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


class JobCancelled(BaseException):
    """The user cancelled the job. Not an `Exception`, so that code that passes over bad files lets it through."""


class SocketLink:
    """A `Link` to the supervisor."""

    def __init__(self, job: str, channel: Channel) -> None:
        self._job, self._channel = job, channel
        self._waiting: list[m.WorkerCommand] = []
        self._asked: list[m.FindNeighbours] = []
        self._cancelled = False

    def commands(self) -> list[m.WorkerCommand]:
        """Return what the supervisor said since the last call."""
        for frames in self._channel.take():
            try:
                command, _ = decode_worker(frames)
            except WireError:
                logger.warning("not a command: %s", frames[0][:80] if frames else b"")
                continue
            if isinstance(command, m.WorkerCommand):
                self._waiting.append(command)
            elif isinstance(command, m.WorkerAsked):
                self._asked.append(command.question)
        taken, self._waiting = self._waiting, []
        self._cancelled |= any(command.action == "cancel" for command in taken)
        return taken

    def questions(self) -> list[m.FindNeighbours]:
        """Return what was asked, as far as `commands` has received it, since the last call."""
        asked, self._asked = self._asked, []
        return asked

    def reply(self, reply: m.Reply) -> None:
        """Answer a question."""
        self._channel.send(reply)

    def ask_to_stop(self) -> None:
        """Take a signal of the system for the command to save and stop."""
        self._waiting.append(m.WorkerCommand(action="stop"))

    def metrics(self, run: str, first_line: int, rows: Sequence[m.MetricsRow]) -> None:
        """Tell of new lines in metrics.jsonl."""
        self._channel.send(m.WorkerMetrics(run=run, first_line=first_line, rows=tuple(rows)))

    def events(self, run: str, first_line: int, rows: Sequence[m.RunEvent]) -> None:
        """Tell of new lines in events.jsonl."""
        self._channel.send(m.WorkerEvents(run=run, first_line=first_line, rows=tuple(rows)))

    def stored(self, run: str, view: str, step: int) -> None:
        """Tell of a stored inspection."""
        self._channel.send(m.WorkerStored(run=run, view=view, step=step))

    def view(self, run: str, inspection: Inspection, cost_s: float) -> None:
        """Send a live view; the newest replaces one that still waits."""
        message = m.WorkerView(run=run, view=inspection.view, step=inspection.step, cost_s=cost_s)
        self._channel.send_view(message, inspection)

    def refuse(self, run: str, view: str, failure: m.Failure) -> None:
        """Say that a view cannot be computed."""
        self._channel.send(m.WorkerRefused(run=run, view=view, failure=failure))

    def progress(self, done: float, total: float, unit: str, current: str) -> None:
        """Tell how far it is.

        Raises:
            JobCancelled: the user cancelled a job that listens to nothing else.
        """
        self._channel.send_progress(
            m.WorkerProgress(job=self._job, done=float(done), total=float(total), unit=unit, current=current)
        )

    def progress_or_cancel(self, done: float, total: float, unit: str, current: str) -> None:
        """Tell how far it is, and end the job if that was asked for.

        Raises:
            JobCancelled: the user cancelled.
        """
        self.progress(done, total, unit, current)
        self.commands()
        if self._cancelled:
            raise JobCancelled


def _train(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.runs import RunFolder
    from engine.training.loop import run_training

    return run_training(RunFolder.open(Path(job.arguments["path"])), link)


def _dry_run(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.training.dry_run import dry_run

    spec = msgspec.convert(job.arguments["spec"], m.RunSpec)
    return dict(msgspec.to_builtins(dry_run(spec, link)))


def _import(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.data.importers import run_import

    paths = [Path(path) for path in job.arguments["paths"]]
    options = msgspec.convert(job.arguments["options"], m.ImportOptions)
    info = run_import(paths, options, Path(job.arguments["out"]), link.progress_or_cancel)
    return {"dataset": info.name, "path": info.path, "records": info.records, "skipped": len(info.skipped)}


def _sample(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.data.samples import make_sample

    info = make_sample(job.arguments["name"], Path(job.arguments["out"]), link.progress_or_cancel)
    return {"dataset": info.name, "path": info.path, "records": info.records}


def _examine(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.data.examination_kept import examine_kept
    from engine.data.store import Dataset

    with Dataset.open(Path(job.arguments["dataset"])) as dataset:
        return dict(msgspec.to_builtins(examine_kept(dataset, link.progress_or_cancel)))


def _combine(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.data.combining import combine

    options = msgspec.convert(job.arguments["options"], m.CombineOptions)
    paths = [Path(path) for path in job.arguments["paths"]]
    info = combine(options, paths, Path(job.arguments["out"]), link.progress_or_cancel)
    return {"dataset": info.name, "path": info.path, "records": info.records, "skipped": len(info.skipped)}


def _export(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.data.exporting import export_dataset
    from engine.data.store import Dataset

    folder, form, where = (job.arguments[name] for name in ("folder", "format", "where"))
    with Dataset.open(Path(job.arguments["dataset"])) as dataset:
        result = export_dataset(dataset, Path(folder), form, where=where, progress=link.progress_or_cancel)
    return dict(msgspec.to_builtins(result))


def _evaluate(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.evaluation.protocols import evaluate_run

    path, protocol, dataset = (job.arguments[name] for name in ("path", "protocol", "dataset"))
    return evaluate_run(Path(path), protocol, dataset, link.progress_or_cancel)


def _hand_on(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.exports.formats import export_runs

    paths, form, out, key = (job.arguments[name] for name in ("paths", "format", "out", "map"))
    return export_runs([Path(path) for path in paths], form, Path(out), map_key=key, progress=link.progress_or_cancel)


def _project(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.inspections.projections import project_run

    path = Path(job.arguments["path"])
    return project_run(path, job.arguments["projection"], int(job.arguments["step"]), link.progress_or_cancel)


def _opened_choice(job: JobFile) -> tuple[Path, m.FeatureChoice, str]:
    choice = msgspec.convert(job.arguments["choice"], m.FeatureChoice)
    return Path(job.arguments["path"]), choice, str(job.arguments["dataset"])


def _features(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.inspections.embedding import make_features

    path, choice, dataset = _opened_choice(job)
    dense = bool(job.arguments["dense"])
    return make_features(path, choice, link.progress_or_cancel, dataset_path=dataset, dense=dense)


def _map(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.inspections.mapping import make_maps

    path, choice, dataset = _opened_choice(job)
    options = msgspec.convert(job.arguments["options"], m.MapOptions)
    steps, onto = tuple(job.arguments["steps"]), str(job.arguments["onto"])
    return make_maps(path, choice, options, link.progress_or_cancel, steps=steps, onto=onto, dataset_path=dataset)


def _neighbourhood(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.inspections.neighbourhood import make_neighbourhood

    path, choice, dataset = _opened_choice(job)
    k, above = int(job.arguments["k"]), float(job.arguments["duplicates_above"])
    told = link.progress_or_cancel
    return make_neighbourhood(path, choice, told, k=k, duplicates_above=above, dataset_path=dataset)


def _layers(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.inspections.cka import compare_layers

    path, choice, dataset = _opened_choice(job)
    other, step = Path(job.arguments["other"]), int(job.arguments["other_step"])
    return compare_layers(path, other, choice, link.progress_or_cancel, other_step=step, dataset_path=dataset)


def _look(job: JobFile, link: SocketLink) -> dict[str, Any]:
    from engine.inspections.looking import look_at

    look_at(Path(job.arguments["path"]), link)
    return {}


JOBS: dict[str, Callable[[JobFile, SocketLink], dict[str, Any]]] = {
    "train": _train,
    "dry-run": _dry_run,
    "import": _import,
    "sample": _sample,
    "evaluate": _evaluate,
    "hand-on": _hand_on,
    "project": _project,
    "examine": _examine,
    "features": _features,
    "map": _map,
    "neighbourhood": _neighbourhood,
    "layers": _layers,
    "look": _look,
    "combine": _combine,
    "export": _export,
}


def explain(error: BaseException) -> m.Failure:
    """Return the failure that an exception stands for."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, SelfsightError):
        return error.failure(trace)
    if isinstance(error, JobCancelled):
        return m.Failure(kind="cancelled", message="The job was cancelled.")
    text = str(error)
    if isinstance(error, MemoryError) or any(words in text.lower() for words in _MEMORY_WORDS):
        where = "device's memory" if "cuda" in text.lower() else "memory"
        return OutOfMemory(
            f"The {where} does not suffice: {text.splitlines()[0] if text else type(error).__name__}",
            "Take a smaller batch (and accumulate more of them), a smaller preset, or another device.",
        ).failure(trace)
    if isinstance(error, SystemExit):
        return m.Failure(
            kind="error", message=f"The method ended its process ({error.code}).", hint="Report it.", traceback=trace
        )
    return m.Failure(
        kind="error",
        message=f"{type(error).__name__}: {text}",
        hint="This is a fault of the method or of Selfsight; the traceback below helps to report it.",
        traceback=trace,
    )


def redirect_output(log: str) -> None:
    """Send standard output and error, of Python and of native code, to the end of a file."""
    if not log:
        return
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def run_job(job: JobFile) -> int:
    """Do the job, tell how it ended, and return the exit code."""
    channel = Channel(job)
    link = SocketLink(job.job, channel)
    channel.start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: link.ask_to_stop())
    try:
        result = JOBS[job.kind](job, link)
    except BaseException as error:  # noqa: BLE001  the border of the process: everything is told, nothing is hidden
        failure = explain(error)
        logger.error("%s %s\n%s", failure.message, failure.hint, failure.traceback)  # noqa: TRY400 it is in the text
        channel.send(m.WorkerFinished(job=job.job, failure=failure))
        return 1
    else:
        channel.send(m.WorkerFinished(job=job.job, result=result))
        return 0
    finally:
        channel.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the job file and do the job."""
    parser = argparse.ArgumentParser(prog="python -m engine.worker")
    parser.add_argument("--job-file", type=Path, required=True)
    job = take_job_file(parser.parse_args(arguments).job_file)
    redirect_output(job.log)
    faulthandler.enable(file=sys.stderr, all_threads=True)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    bind_to_parent(job.parent)
    let_the_window_go_first()
    return run_job(job)


def let_the_window_go_first() -> None:
    """Take a lower priority than what a person waits for: alone, a job is as fast as ever."""
    process = psutil.Process()
    if sys.platform == "win32":
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        process.nice(max(process.nice(), NICENESS))


if __name__ == "__main__":
    sys.exit(main())
