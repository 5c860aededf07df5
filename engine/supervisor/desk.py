"""Where requests of windows are answered: a table from request to function. None of them waits."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import ConfigError, DataError, SelfsightError
from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.inspections import Array
from engine.protocol.schema import DatasetInfo, misfit
from engine.run_command import command_line
from engine.run_results import kept_results
from engine.supervisor import settings
from engine.supervisor.answers import Answers
from engine.supervisor.catalogue import Catalogue, Methods
from engine.supervisor.core import Core
from engine.supervisor.datasets import Datasets
from engine.supervisor.explore import Explore
from engine.supervisor.jobs import Jobs
from engine.supervisor.librarians import Librarian
from engine.supervisor.lookers import Lookers
from engine.supervisor.runs import Runs
from engine.supervisor.subscriptions import Window

logger = logging.getLogger(__name__)
ROWS_AT_ONCE = 4_000
MAX_LOG_BYTES = 4_000_000
Frames = list[bytes | memoryview]
CHANGING = (
    m.StartImport, m.MakeSample, m.CancelJob, m.EditRecords, m.DeleteDataset, m.DryRun, m.StartRun, m.ControlRun,
    m.ContinueRun, m.DeleteRun, m.MarkRuns, m.Evaluate, m.HandOn, m.Project, m.ExamineDataset,
    m.StartCombine, m.StartExport, m.SetBudget, m.MakeFeatures, m.DeleteFeatures, m.MakeMap, m.DeleteMap,
    m.MakeNeighbourhood, m.CompareLayers,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the desk sends people to."""

    runs: Runs
    jobs: Jobs
    datasets: Datasets
    reader: Librarian
    planner: Librarian
    catalogue: Catalogue
    snapshot: Callable[[str], m.Snapshot]
    set_budget: Callable[[float], None]
    stop: Callable[[str], None]
    lookers: Lookers


class Desk:
    """Answers requests; each exactly once by its id, wherever its window has moved meanwhile."""

    def __init__(self, core: Core, rooms: Rooms) -> None:
        self._core, self._rooms = core, rooms
        self._answers = Answers(core.folder / "accepted.jsonl")
        self._waiting: dict[str, bytes] = {}  # request → the window that asked last
        self._table: dict[type[m.Request], Callable[[Any], None]] = {
            m.ListMethods: self._list_methods,
            m.AddMethod: self._add_method,
            m.RemoveMethod: self._remove_method,
            m.ListSamples: lambda request: self._ask(rooms.reader, request),
            m.Peek: lambda request: self._ask(rooms.planner, request),
            m.PlanImport: lambda request: self._ask(rooms.planner, request),
            m.DescribeDataset: lambda request: self._ask(rooms.reader, request, self._described),
            m.ListRecords: lambda request: self._ask(rooms.reader, request),
            m.FetchThumbnails: lambda request: self._ask(rooms.reader, request),
            m.OpenRecord: lambda request: self._ask(rooms.reader, request),
            m.EditRecords: lambda request: self._ask(rooms.reader, request, self._edited(request)),
            m.ExamineDataset: self._examine,
            m.PlanCombine: lambda request: self._ask(rooms.planner, request),
            m.StartCombine: self._start_combine,
            m.PlanExport: lambda request: self._ask(rooms.planner, request),
            m.StartExport: self._start_export,
            m.DeleteDataset: self._delete_dataset,
            m.StartImport: self._start_import,
            m.MakeSample: self._make_sample,
            m.DryRun: self._dry_run,
            m.Evaluate: self._evaluate,
            m.HandOn: self._hand_on,
            m.Project: self._project,
            m.CancelJob: self._cancel_job,
            m.CheckSettings: self._check_settings,
            m.StartRun: self._start_run,
            m.ControlRun: self._control_run,
            m.ContinueRun: self._continue_run,
            m.DeleteRun: self._delete_run,
            m.MarkRuns: self._mark_runs,
            m.FetchRun: self._fetch_run,
            m.FetchLog: self._fetch_log,
            m.ListInspections: self._list_inspections,
            m.ListEvaluations: self._list_evaluations,
            m.FetchInspection: self._fetch_inspection,
            m.SetBudget: self._set_budget,
            m.StopEngine: self._stop_engine,
        }
        self._table |= Explore(self, rooms.runs, rooms.datasets, rooms.lookers).table

    def handle(self, window: Window, request: m.Request) -> None:
        """Answer a request, now or later."""
        if isinstance(request, m.Ping):
            self._core.audience.send(window.identity, wire.encode(m.Done(id=request.id)))
        elif isinstance(request, m.Attach):
            self._attach(window, request.id)
        elif isinstance(request, m.Replay):
            self._replay(window, request)
        elif isinstance(request, m.Watch):
            self._watch(window, request)
        else:
            self._handle_once(window, request)

    def _handle_once(self, window: Window, request: m.Request) -> None:
        known = self._answers.get(request.id)
        if known is not None:
            self._core.audience.send(window.identity, known)
            return
        is_under_way = request.id in self._waiting
        self._waiting[request.id] = window.identity
        if is_under_way:
            return
        try:
            self._table[type(request)](request)
        except SelfsightError as error:
            self.fail(request, error)

    def answer(self, request: m.Request, reply: m.Reply, arrays: Sequence[Array] = ()) -> None:
        """Send the reply to whoever asked last."""
        self.send(request, reply, wire.encode(reply, arrays))

    def fail(self, request: m.Request, error: Exception) -> None:
        """Send why a request was not done."""
        if isinstance(error, SelfsightError):
            failure = error.failure()
        else:
            logger.error("%s failed", type(request).__name__, exc_info=error)
            failure = m.Failure(
                kind="error",
                message=f"The engine could not do this ({type(request).__name__}): {type(error).__name__}: {error}",
                hint="The details below help to report it.",
                traceback="".join(traceback.format_exception(error)),
            )
        self._refuse(request, failure)

    def _refuse(self, request: m.Request, failure: m.Failure) -> None:
        self.answer(request, m.Failed(id=request.id, failure=failure))

    def send(self, request: m.Request, reply: m.Reply, frames: Frames) -> None:
        """Send a reply that is encoded already to whoever asked last."""
        if isinstance(request, CHANGING) and not isinstance(reply, m.Failed):
            self._answers.keep(reply, frames)
        identity = self._waiting.pop(request.id, None)
        if identity is not None:
            self._core.audience.send(identity, frames)

    def _done(self, request: m.Request) -> Callable[[], None]:
        return lambda: self.answer(request, m.Done(id=request.id))

    def _failing(self, request: m.Request) -> Callable[[Exception], None]:
        return lambda error: self.fail(request, error)

    # ── windows ──────────────────────────────────────────────────────────────────────────────────────

    def _attach(self, window: Window, request: str) -> None:
        window.attached, window.cursor = True, self._core.audience.ring.head
        self._core.audience.send(window.identity, wire.encode(self._rooms.snapshot(request)))

    def _replay(self, window: Window, request: m.Replay) -> None:
        snapshot = self._rooms.snapshot(request.id)
        if request.epoch == snapshot.epoch and self._core.audience.replay(window, request.after):
            self._core.audience.send(window.identity, wire.encode(m.Done(id=request.id)))
        else:
            self._attach(window, request.id)

    def _watch(self, window: Window, request: m.Watch) -> None:
        self._core.audience.watch(window, request)
        self._rooms.runs.sync_watches(self._core.audience.watched())
        self._core.audience.send(window.identity, wire.encode(m.Done(id=request.id)))

    # ── methods and data ─────────────────────────────────────────────────────────────────────────────

    def _list_methods(self, request: m.ListMethods) -> None:
        self._rooms.catalogue.get(self._answering(request), self._failing(request))

    def _add_method(self, request: m.AddMethod) -> None:
        then, failed = self._answering(request), self._failing(request)
        self._rooms.catalogue.add(request.name, request.text, then, failed)

    def _remove_method(self, request: m.RemoveMethod) -> None:
        self._rooms.catalogue.remove(request.method, self._answering(request), self._failing(request))

    def _answering(self, request: m.Request) -> Callable[[Methods], None]:
        return lambda methods: self.answer(request, m.Methods(id=request.id, methods=methods))

    def _ask(self, librarian: Librarian, request: m.Request, after: Callable[[m.Reply], None] | None = None) -> None:
        def then(reply: m.Reply, frames: Frames) -> None:
            self.send(request, reply, frames)
            if after is not None and not isinstance(reply, m.Failed):
                after(reply)

        librarian.ask(request, then)

    def _described(self, reply: m.Reply) -> None:
        if isinstance(reply, m.DatasetDescribed):
            self._rooms.datasets.take(reply.info)

    def _edited(self, request: m.EditRecords) -> Callable[[m.Reply], None]:
        return lambda _: self._rooms.datasets.describe(request.dataset)

    def _delete_dataset(self, request: m.DeleteDataset) -> None:
        info = self._rooms.datasets.find(request.dataset)
        user = self._rooms.runs.user_of(info.path if info is not None else request.dataset)
        if user:
            raise DataError(f"{request.dataset} is in use by the run {user}.", "Stop that run first.")
        self._ask(self._rooms.reader, request, self._deleted)

    def _deleted(self, _: m.Reply) -> None:
        self._rooms.datasets.rescan()

    def _start_import(self, request: m.StartImport) -> None:
        if not request.paths:
            raise ConfigError("There is nothing to import.", "Give at least one file or folder.")
        out = self._rooms.datasets.free_file(request.options.name, Path(request.paths[0]).stem)
        arguments = {"paths": list(request.paths), "options": msgspec.to_builtins(request.options), "out": str(out)}
        self.accept(request, "import", f"Import {out.stem}", out.stem, arguments)

    def _make_sample(self, request: m.MakeSample) -> None:
        out = self._rooms.datasets.free_file("", request.name)
        arguments = {"name": request.name, "out": str(out)}
        self.accept(request, "sample", f"Make sample {request.name}", out.stem, arguments)

    # ── jobs ─────────────────────────────────────────────────────────────────────────────────────────

    def accept(self, request: m.Request, kind: m.JobKind, title: str, subject: str, arguments: dict[str, Any]) -> None:
        """Queue a job and answer with its id."""
        job = self._rooms.jobs.add(kind, title, subject, arguments)
        self.answer(request, m.JobAccepted(id=request.id, job=job))

    def _dry_run(self, request: m.DryRun) -> None:
        title = f"Dry run of {request.spec.method}"
        self.accept(request, "dry-run", title, request.spec.dataset, {"spec": msgspec.to_builtins(request.spec)})

    def _evaluate(self, request: m.Evaluate) -> None:
        self._rooms.runs.require(request.run)
        path = str(self._rooms.runs.path(request.run))
        arguments = {"path": path, "protocol": request.protocol, "dataset": request.dataset}
        self.accept(request, "evaluate", f"Evaluate {request.run}: {request.protocol}", request.run, arguments)

    def _hand_on(self, request: m.HandOn) -> None:
        if not request.runs:
            raise ConfigError("There is no run to hand on.", "Name at least one.")
        if request.map and (request.format not in m.TABLE_FORMATS or len(request.runs) != 1):
            raise ConfigError("A map is written as a table of one run.", f"Known: {', '.join(m.TABLE_FORMATS)}.")
        for run in request.runs:
            self._rooms.runs.require(run)
        paths = [str(self._rooms.runs.path(run)) for run in request.runs]
        arguments = {"paths": paths, "format": request.format, "out": request.out, "map": request.map}
        title = f"{request.format} of {', '.join(request.runs)}"
        self.accept(request, "hand-on", title, request.runs[0], arguments)

    def _examine(self, request: m.ExamineDataset) -> None:
        info = self._dataset(request.dataset)
        self.accept(request, "examine", f"Examine {info.name}", info.name, {"dataset": info.path})

    def _start_combine(self, request: m.StartCombine) -> None:
        options = request.options
        paths = [self._dataset(name).path for name in options.sources]
        if not paths:
            raise ConfigError("There is nothing to combine.", "Name at least one dataset.")
        out = self._rooms.datasets.free_file(options.name, "-".join(Path(path).stem for path in paths))
        arguments = {"options": msgspec.to_builtins(options), "paths": paths, "out": str(out)}
        self.accept(request, "combine", f"Make {out.stem}", out.stem, arguments)

    def _start_export(self, request: m.StartExport) -> None:
        info = self._dataset(request.dataset)
        if not request.folder:
            raise ConfigError("Where should the files go?", "Choose a folder.")
        arguments = {
            "dataset": info.path,
            "folder": request.folder,
            "format": request.format,
            "where": request.where,
        }  # fmt: skip
        self.accept(request, "export", f"Export {info.name}", info.name, arguments)

    def _dataset(self, name: str) -> DatasetInfo:
        info = self._rooms.datasets.find(name)
        if info is None:
            raise DataError(f"There is no dataset {name}.", "It may have been renamed or deleted.")
        return info

    def _project(self, request: m.Project) -> None:
        self._rooms.runs.require(request.run)
        path = str(self._rooms.runs.path(request.run))
        arguments = {"path": path, "projection": request.projection, "step": request.step}
        self.accept(request, "project", f"{request.projection} map of {request.run}", request.run, arguments)

    def _cancel_job(self, request: m.CancelJob) -> None:
        self._rooms.jobs.cancel(request.job)
        self.answer(request, m.Done(id=request.id))

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────

    def _with_methods(self, then: Callable[[Methods], None], failed: Callable[[Exception], None]) -> None:
        if self._rooms.catalogue.known:
            then(self._rooms.catalogue.known)
        else:
            self._rooms.catalogue.get(then, failed)

    def _check_settings(self, request: m.CheckSettings) -> None:
        def check(methods: Methods, info: DatasetInfo | None, problem: str) -> None:
            try:
                method = settings.find_method(methods, request.spec.method)
            except SelfsightError as error:
                self.fail(request, error)
                return
            _, problems = settings.complete(method, request.spec)
            if problem:
                problems.append(("dataset", problem))
            reply = m.SettingsChecked(
                id=request.id,
                problems=tuple(problems),
                misfit="" if info is None else misfit(method.needs, info.schema),
                command=command_line(method, request.spec),
            )
            self.answer(request, reply)

        def with_methods(methods: Methods) -> None:
            if not request.spec.dataset:
                check(methods, None, "Choose a dataset.")
                return
            self._rooms.datasets.with_info(
                request.spec.dataset,
                lambda info: check(methods, info, ""),
                lambda failure: check(methods, None, failure.message),
            )

        self._with_methods(with_methods, self._failing(request))

    def _start_run(self, request: m.StartRun) -> None:
        def create(methods: Methods, info: DatasetInfo) -> None:
            try:
                method = settings.find_method(methods, request.spec.method)
                spec = settings.freeze(method, request.spec, info)
            except SelfsightError as error:
                self.fail(request, error)
                return
            self._rooms.runs.create(
                spec, lambda run: self.answer(request, m.RunAccepted(id=request.id, run=run)), self._failing(request)
            )

        def with_methods(methods: Methods) -> None:
            self._rooms.datasets.with_info(
                request.spec.dataset,
                lambda info: create(methods, info),
                lambda failure: self._refuse(request, failure),
            )

        self._with_methods(with_methods, self._failing(request))

    def _control_run(self, request: m.ControlRun) -> None:
        self._rooms.runs.control(request.run, request.action, self._done(request), self._failing(request))

    def _continue_run(self, request: m.ContinueRun) -> None:
        def accepted() -> None:
            self.answer(request, m.RunAccepted(id=request.id, run=request.run))

        self._rooms.runs.extend(request.run, request.steps, accepted, self._failing(request))

    def _delete_run(self, request: m.DeleteRun) -> None:
        self._rooms.runs.delete(request.run, self._done(request), self._failing(request))

    def _mark_runs(self, request: m.MarkRuns) -> None:
        self._rooms.runs.mark(request, self._done(request), self._failing(request))

    def read(self, request: m.Request, make: Callable[[], tuple[m.Reply, Sequence[Array]]]) -> None:
        """Have the disk thread make and encode a reply."""

        def work() -> tuple[m.Reply, Frames]:
            reply, arrays = make()
            return reply, wire.encode(reply, arrays)

        self._core.disk.do(work, lambda made: self.send(request, *made), self._failing(request))

    def _fetch_run(self, request: m.FetchRun) -> None:
        runs = self._rooms.runs
        runs.require(request.run)
        methods = {method.id: method for method in self._rooms.catalogue.known}

        def make() -> tuple[m.Reply, Sequence[Array]]:
            folder, history = runs.folder(request.run), runs.history(request.run)
            first, second = max(request.metrics_after, 0), max(request.events_after, 0)
            metrics, more_metrics = history.metrics.read(first, ROWS_AT_ONCE)
            events, more_events = history.events.read(second, ROWS_AT_ONCE)
            reply = m.RunHistory(
                id=request.id,
                run=request.run,
                metrics=tuple(metrics),
                events=tuple(events),
                metrics_lines=first + len(metrics),
                events_lines=second + len(events),
                more=more_metrics or more_events,
                command=command_line(methods.get(folder.spec.method), folder.spec),
            )
            return reply, ()

        self.read(request, make)

    def _fetch_log(self, request: m.FetchLog) -> None:
        self._rooms.runs.require(request.run)
        size = max(0, min(request.bytes, MAX_LOG_BYTES))

        def make() -> tuple[m.Reply, Sequence[Array]]:
            text = self._rooms.runs.folder(request.run).log_tail(size)
            return m.LogTail(id=request.id, run=request.run, text=text), ()

        self.read(request, make)

    def _list_inspections(self, request: m.ListInspections) -> None:
        self._rooms.runs.require(request.run)

        def make() -> tuple[m.Reply, Sequence[Array]]:
            steps = self._rooms.runs.folder(request.run).inspections()
            return m.StoredInspections(id=request.id, run=request.run, steps=steps), ()

        self.read(request, make)

    def _list_evaluations(self, request: m.ListEvaluations) -> None:
        self._rooms.runs.require(request.run)

        def make() -> tuple[m.Reply, Sequence[Array]]:
            results = kept_results(self._rooms.runs.path(request.run))
            return m.Evaluations(id=request.id, run=request.run, results=tuple(results)), ()

        self.read(request, make)

    def _fetch_inspection(self, request: m.FetchInspection) -> None:
        self._rooms.runs.require(request.run)

        def make() -> tuple[m.Reply, Sequence[Array]]:
            inspection = self._rooms.runs.folder(request.run).load_inspection(request.view, request.step)
            reply = m.InspectionData(id=request.id, run=request.run, view=request.view, step=request.step)
            return reply, wire.pack_inspection(inspection)

        self.read(request, make)

    # ── the engine ───────────────────────────────────────────────────────────────────────────────────

    def _set_budget(self, request: m.SetBudget) -> None:
        if not 0 <= request.share <= 1:
            raise ConfigError("The inspection budget is a share from 0 to 1.", "0.02 is usual.")
        self._rooms.set_budget(request.share)
        self.answer(request, m.Done(id=request.id))

    def _stop_engine(self, request: m.StopEngine) -> None:
        self.answer(request, m.Done(id=request.id))
        self._rooms.stop("The engine was stopped as you asked.")
