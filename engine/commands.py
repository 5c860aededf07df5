"""What each subcommand of `selfsight` does: check the input, call the engine, return text and document."""

from __future__ import annotations

import argparse
import difflib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.errors import ConfigError, DataError, MethodError, RunError
from engine.workspace import Workspace

if TYPE_CHECKING:
    from engine.data.store import Dataset
    from engine.method import Method
    from engine.protocol.messages import Distribution
    from engine.protocol.schema import FieldSpec, Skipped

STOPPED = 130
_BARS = 24  # of a histogram in text


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command found: text for people, a document for programs, an exit code."""

    text: str
    document: Any = field(default_factory=dict)
    code: int = 0


def workspace_of(options: argparse.Namespace) -> Workspace:
    """Return the workspace that the options name, or the default one."""
    return Workspace(options.workspace.expanduser().resolve()) if options.workspace else Workspace.default()


class ConsoleProgress:
    """Writes how far a job is to standard error, at most twice a second and at its end."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, done: float, total: float, unit: str, current: str) -> None:
        """Report `done` of `total` (0 = unknown)."""
        now = time.monotonic()
        if now - self._last < 0.5 and done < total:
            return
        self._last = now
        of = f" of {total:g}" if total else ""
        sys.stderr.write(f"{done:g}{of} {unit} {current}".rstrip() + "\n")


def existing(path: Path, what: str) -> Path:
    """Return a path that is there.

    Raises:
        DataError: it is not.
    """
    if not path.exists():
        raise DataError(f"There is no {what} at {path}.", "Check the path.")
    return path


def writable(path: Path, what: str, suffix: str) -> Path:
    """Return the path of a file to be written.

    Raises:
        ConfigError: it ends otherwise, or there is something already.
    """
    if path.suffix.lower() != suffix:
        raise ConfigError(f"The {what} must end in {suffix}; {path.name} does not.", f"Use {path.stem}{suffix}.")
    return new_place(path)


def new_place(path: Path) -> Path:
    """Return the path of a file or folder to be made; an empty folder counts as none.

    Raises:
        ConfigError: there is something already.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{path} exists already.", "Choose another name, or remove it first.")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


# ── methods and data ─────────────────────────────────────────────────────────────────────────────────


def methods(options: argparse.Namespace) -> Outcome:
    """List the methods, or add or remove one of the user's."""
    from engine.describe import describe_methods

    if options.add is not None:
        return _add_method(options.add)
    if options.remove is not None:
        return _remove_method(options.remove)
    found = describe_methods()
    document = [
        {
            "id": info.id,
            "title": info.title,
            "year": info.year,
            "paper": info.paper,
            "families": info.families,
            "needs": [msgspec.to_builtins(need) for need in info.needs],
            "presets": sorted(info.presets),
            "inspections": [{"name": view.name, "kind": view.kind, "title": view.title} for view in info.views],
            "claim": msgspec.to_builtins(info.claim),
            "broken": msgspec.to_builtins(info.broken),
        }
        for info in found
    ]
    lines = []
    for info in found:
        needs = ", ".join(" or ".join(need.kinds) for need in info.needs if not need.optional)
        measured = info.claim.measured.verdict if info.claim and info.claim.measured else "not measured"
        state = f"broken: {info.broken.message}" if info.broken else info.idea
        lines.append(f"{info.id:12} {info.year}  {needs:10} {'/'.join(info.families)}\n{'':12} {state}")
        lines.append(f"{'':12} claim: {measured}")
    return Outcome("\n".join(lines), document)


def _add_method(path: Path) -> Outcome:
    from engine import method_files
    from engine.describe import describe_file, describe_methods

    text = method_files.read_text(existing(path, "file"))
    method_files.check_text(path.name, text)
    info = describe_file(path)
    method_files.check_described(path.name, info, describe_methods())
    kept = method_files.keep(path.name, text)
    text = f"{info.title} ({info.id}) is among the methods now. A copy is kept: {kept}"
    return Outcome(f"{text}\nAdd the file again after you changed it.", {"id": info.id, "kept": str(kept)})


def _remove_method(method: str) -> Outcome:
    from engine import method_files
    from engine.describe import describe_methods

    info = next((known for known in describe_methods() if known.id == method), None)
    if info is None:
        raise MethodError(f"There is no method {method!r}.", "Look at the list: selfsight methods.")
    gone = method_files.remove(info.source)
    return Outcome(
        f"{method} is no longer among the methods; {gone} was deleted.", {"id": method, "deleted": str(gone)}
    )


def samples(_: argparse.Namespace) -> Outcome:
    """List the bundled samples."""
    from engine.data.samples import list_samples

    found = list_samples()
    document = [
        {"name": one.name, "kinds": one.kinds, "records": one.records, "real": one.real, "description": one.description}
        for one in found
    ]
    lines = [f"{one.name:14} {one.records:>7}  {', '.join(one.kinds):8} {one.description}" for one in found]
    return Outcome("\n".join(lines), document)


def sample(options: argparse.Namespace) -> Outcome:
    """Make a sample dataset."""
    from engine.data.samples import make_sample

    out = writable(options.out, "dataset", ".h5")
    start = time.monotonic()
    info = make_sample(options.name, out, ConsoleProgress())
    document = {
        "dataset": str(out),
        "records": info.records,
        "fields": [spec.name for spec in info.schema.fields],
        "skipped": [],
        "seconds": round(time.monotonic() - start, 3),
    }
    return Outcome(f"{info.records} records in {out}", document)


def import_files(options: argparse.Namespace) -> Outcome:
    """Recognise, report, import."""
    from engine.data.importers import plan_import, run_import
    from engine.protocol.messages import ImportOptions

    paths = tuple(str(existing(path, "file or folder")) for path in options.paths)
    if options.out is None and not options.dry_run:
        raise ConfigError("Where should the dataset go?", "Give --out FILE.h5, or --dry-run to write nothing.")
    if options.table is not None:
        existing(options.table, "table")
    settings = ImportOptions(
        name=options.out.stem if options.out else "",
        kind=options.kind,
        size_px=options.size,
        keep_encoded=options.keep_encoded,
        labels="table" if options.table else options.labels,
        table=str(options.table or ""),
        val_share=options.val,
        test_share=options.test,
    )
    if options.dry_run:
        plan, _ = plan_import(paths, settings, workspace_of(options))
        lines = [f"{found.text}  {found.detail}  {found.reading}".rstrip() for found in plan.recognised]
        lines += [f"left out: {one.path}: {one.reason}" for one in plan.skipped]
        _list_left_out(options.left_out, plan.skipped)
        lines += [f"note: {warning}" for warning in plan.warnings]
        lines.append(f"would write {plan.will_take_bytes / 1e6:.1f} MB; nothing is written yet")
        return Outcome("\n".join(lines), msgspec.to_builtins(plan))
    out = writable(options.out, "dataset", ".h5")
    start = time.monotonic()
    info = run_import(paths, settings, out, ConsoleProgress())
    document = {
        "dataset": str(out),
        "records": info.records,
        "fields": [spec.name for spec in info.schema.fields],
        "skipped": [{"path": one.path, "reason": one.reason} for one in info.skipped],
        "seconds": round(time.monotonic() - start, 3),
    }
    _list_left_out(options.left_out, info.skipped)
    lines = [f"{info.records} records in {out}", *(f"left out: {one.path}: {one.reason}" for one in info.skipped)]
    return Outcome("\n".join(lines), document)


def _list_left_out(path: Path | None, skipped: Sequence[Skipped]) -> None:
    """Write the files that were left out as CSV, if that is asked for."""
    from engine.protocol.quarantine import left_out_csv

    if path is not None:
        writable(path, "list", ".csv").write_text(left_out_csv(skipped), encoding="utf-8", newline="")


def data(options: argparse.Namespace) -> Outcome:
    """Describe a dataset; verify and examine it."""
    from engine.data.examination import examine
    from engine.data.examination_distributions import distributions
    from engine.data.store import Dataset

    dataset = Dataset.open(existing(options.file, "dataset"))
    if options.export is not None or options.format == "?":
        with dataset:
            return _export(options, dataset)
    try:
        info = dataset.info
        problems = list(info.problems) + (dataset.verify() if options.verify else [])
        examined = examine(dataset) if options.examine else None
        spread = examined.distributions if examined else distributions(dataset) if options.statistics else ()
        findings = examined.findings if examined else ()
    finally:
        dataset.close()
    _list_left_out(options.left_out, info.skipped)
    document = {
        "name": info.name,
        "records": info.records,
        "fields": [
            {"name": spec.name, "kind": spec.kind, "shape": spec.shape, "dtype": spec.dtype, "classes": spec.classes}
            for spec in info.schema.fields
        ],
        "splits": info.splits,
        "checksum": info.checksum,
        "problems": problems,
        "provenance": info.provenance,
    }
    if options.examine:
        document["findings"] = msgspec.to_builtins(findings)
    if options.examine or options.statistics:
        document["statistics"] = msgspec.to_builtins(spread)
    lines = [f"{info.name}: {info.records} records, {info.size_bytes / 1e6:.1f} MB"]
    lines += [f"  {spec.name:12} {spec.kind:8} {_sides(spec)} {spec.dtype}".rstrip() for spec in info.schema.fields]
    lines.append("  " + ", ".join(f"{name} {count}" for name, count in info.splits.items()))
    lines += [f"problem: {problem}" for problem in problems]
    lines += [f"{finding.level}: {finding.what}" for finding in findings]
    lines += [_distribution_line(one) for one in spread]
    if options.verify and not problems:
        lines.append("verified: every checksum is right")
    return Outcome("\n".join(lines), document, 1 if problems and options.verify else 0)


def _export(options: argparse.Namespace, dataset: Dataset) -> Outcome:
    from engine.data.exporting import export_dataset, plan_export

    if options.format == "?":
        plan = plan_export(dataset, where=options.where)
        lines = [f"{one.id:10} {one.title}. {one.keeps}" for one in plan.formats]
        return Outcome("\n".join(lines), {"formats": msgspec.to_builtins(plan.formats)})
    start = time.monotonic()
    result = export_dataset(dataset, options.export, options.format, where=options.where, progress=ConsoleProgress())
    document = msgspec.to_builtins(result) | {"seconds": round(time.monotonic() - start, 3)}
    lines = [f"{result.records} records as {result.files} files in {result.folder}"]
    return Outcome("\n".join([*lines, *(f"left out: {one.path}: {one.reason}" for one in result.skipped)]), document)


def combine(options: argparse.Namespace) -> Outcome:
    """Make a dataset of others, or say what would come out."""
    from engine.data.combining import combine as combine_datasets
    from engine.data.combining import plan_combine
    from engine.protocol.messages import CombineOptions

    paths = [existing(path, "dataset") for path in options.files]
    if options.out is None and not options.dry_run:
        raise ConfigError("Where should the dataset go?", "Give --out FILE.h5, or --dry-run to write nothing.")
    wanted = CombineOptions(
        sources=tuple(path.stem for path in paths),
        how=options.how,
        name=options.out.stem if options.out else "",
        where=options.where,
        ranges=parse_ranges(options.records),
        table=str(existing(options.relabel, "table")) if options.relabel else "",
        rename=_renamed(options.rename),
        split_by=options.split_by,
        val_share=options.val,
        test_share=options.test,
        seed=options.seed,
        tasks_by=options.tasks_by,
        parts=options.parts,
        with_excluded=options.with_excluded,
    )
    if options.dry_run:
        plan = plan_combine(wanted, paths, options.out)
        lines = [f"{count} records of {path.name}" for count, path in zip(plan.taken, paths, strict=True)]
        lines += [f"  {spec.name:12} {spec.kind:8} {_sides(spec)} {spec.dtype}".rstrip() for spec in plan.fields]
        lines += [f"note: {note}" for note in plan.notes] + [f"problem: {problem}" for problem in plan.problems]
        lines.append(f"would write {plan.will_take_bytes / 1e6:.1f} MB; nothing is written yet")
        return Outcome("\n".join(lines), msgspec.to_builtins(plan), 2 if plan.problems else 0)
    out = writable(options.out, "dataset", ".h5")
    start = time.monotonic()
    info = combine_datasets(wanted, paths, out, ConsoleProgress())
    document = {
        "dataset": str(out),
        "records": info.records,
        "fields": [spec.name for spec in info.schema.fields],
        "splits": info.splits,
        "skipped": [{"path": one.path, "reason": one.reason} for one in info.skipped],
        "seconds": round(time.monotonic() - start, 3),
    }
    lines = [f"{info.records} records in {out}", *(f"left out: {one.path}: {one.reason}" for one in info.skipped)]
    return Outcome("\n".join(lines), document)


def parse_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Return "0-9,15" as ((0, 10), (15, 16)).

    Raises:
        ConfigError: it is not a list of numbers and spans.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigError(f"--records {text}: {part!r} is no number or span of numbers.", "Write 0-99,150.")
        found.append((int(first), int(last or first) + 1))
    return tuple(found)


def _renamed(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        old, separator, new = pair.partition("=")
        if not separator or not old.strip():
            raise ConfigError(f"--rename {pair}: a renamed label is written OLD=NEW.", "For example --rename cat=pet.")
        found[old.strip()] = new.strip()
    return found


def _sides(spec: FieldSpec) -> str:
    return " × ".join("varies" if side is None else str(side) for side in spec.shape)


def _distribution_line(found: Distribution) -> str:
    """Return a distribution in one line: range, median, and bars of eight heights for at most 24 groups of bins."""
    title = f"{found.field} {found.name}"
    if found.what == "classes":
        largest = ", ".join(f"{name} {count}" for name, count in list(zip(found.names, found.counts, strict=True))[:6])
        return f"  {title:28} {len(found.names)} classes, {found.low:g} to {found.high:g} records: {largest}"
    if not found.counts:
        return f"  {title:28} {found.rule}"
    step = -(-len(found.counts) // _BARS)
    groups = [sum(found.counts[start : start + step]) for start in range(0, len(found.counts), step)]
    most = max(*groups, 1)
    bars = "".join("▁▂▃▄▅▆▇█"[min(7, 8 * count // most)] if count else " " for count in groups)
    unit = f" {found.unit}" if found.unit else ""
    return f"  {title:28} {found.low:g} to {found.high:g}{unit}, median {found.median:g}  {bars}  ({found.rule})"


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """Return KEY=VALUE arguments as a dict.

    Raises:
        ConfigError: one has no "=".
    """
    found: dict[str, str] = {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {assignment}: a setting is written KEY=VALUE.", "For example --set image_px=48.")
        found[key.strip()] = value.strip()
    return found


def sort_settings(method: Method, assignments: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings that are the method's own and those of the training loop.

    `training.KEY` and `config.KEY` say which one is meant; a bare KEY belongs to the one that knows it.

    Raises:
        ConfigError: neither knows the setting.
    """
    from engine.training.settings import TrainingSettings

    config: dict[str, Any] = {}
    training: dict[str, Any] = {}
    for key, value in assignments.items():
        prefix, _, name = key.rpartition(".")
        if prefix in {"", "config"} and name in method.config.__struct_fields__:
            config[name] = value
        elif prefix in {"", "training"} and name in TrainingSettings.__struct_fields__:
            training[name] = value
        else:
            known = sorted({*method.config.__struct_fields__, *TrainingSettings.__struct_fields__})
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."
            raise ConfigError(f"{method.id} has no setting {key!r}.", hint)
    return config, training


def _spec_of(options: argparse.Namespace) -> Any:
    from engine.protocol.messages import RunSpec
    from engine.registry import find_method
    from engine.runs import read_spec

    if options.config is not None:
        if options.method or options.data or options.preset:
            raise ConfigError("--config says method, data and preset already.", "Give either --config or the others.")
        spec = read_spec(existing(options.config, "run file"))
    else:
        if not options.method or not options.data:
            raise ConfigError("Which method, which data?", "Give --method M --data FILE.h5, or --config RUN.yaml.")
        dataset = existing(options.data, "dataset").resolve()
        spec = RunSpec(method=options.method, dataset=str(dataset), preset=options.preset or "small")
    method = find_method(spec.method)
    config, training = sort_settings(method, parse_assignments(options.settings))
    if options.steps is not None:
        training["steps"] = options.steps
    return msgspec.structs.replace(
        spec,
        config={**spec.config, **config},
        training={**spec.training, **training},
        device=options.device if options.device != "auto" else spec.device,
        seed=spec.seed if options.seed is None else options.seed,
    )


def train(options: argparse.Namespace) -> Outcome:
    """Train in this process; Ctrl+C saves and stops."""
    from engine.runs import RunFolder
    from engine.training.link import ConsoleLink
    from engine.training.loop import check_run, run_training

    spec = _spec_of(options)
    check_run(spec)
    folder = RunFolder.create(workspace_of(options), spec, path=options.run)
    return _trained(run_training(folder, ConsoleLink()))


def resume(options: argparse.Namespace) -> Outcome:
    """Go on from the last checkpoint, perhaps for longer."""
    from engine.runs import RunFolder
    from engine.training.link import ConsoleLink
    from engine.training.loop import extend, run_training

    folder = RunFolder.open(run_path(options))
    if options.steps is not None:
        extend(folder, options.steps)
    return _trained(run_training(folder, ConsoleLink()))


def run_path(options: argparse.Namespace) -> Path:
    """Return the folder of the run that is named by path or by its name in the workspace.

    Raises:
        RunError: there is none.
    """
    path: Path = options.run
    if not path.exists():
        inside = workspace_of(options).root / "runs" / path
        if inside.exists():
            return inside
        raise RunError(f"There is no run at {path}.", "Give the run's folder, or its name in the workspace.")
    return path


def _trained(result: dict[str, Any]) -> Outcome:
    final = ", ".join(f"{name} {value:.4g}" for name, value in result["final"].items() if value is not None)
    text = (
        f"{result['state']} after step {result['steps']} in {result['seconds']:.0f} s "
        f"({result['samples_per_second']:.0f} samples/s): {final}\n{result['run']}"
    )
    return Outcome(text, result, STOPPED if result["state"] == "stopped" else 0)


def evaluate(options: argparse.Namespace) -> Outcome:
    """Evaluate a run's features; protocol "list" says which protocols fit."""
    from engine.evaluation.protocols import evaluate_run

    dataset = str(existing(options.data, "dataset")) if options.data else ""
    if options.protocol == "list":
        return _list_protocols(run_path(options), dataset)
    result = evaluate_run(run_path(options), options.protocol, dataset, ConsoleProgress())
    low, high = result["interval"]
    text = f"{result['protocol']}: {result['metric']} {result['value']:.4g} (95 % {low:.4g} to {high:.4g})"
    beside = (("untrained network", "untrained"), ("chance", "chance"))
    text += "".join(f"; {words} {result['details'][key]:.4g}" for words, key in beside if key in result["details"])
    return Outcome(text, result)


def _list_protocols(path: Path, dataset_path: str) -> Outcome:
    from engine.data.store import Dataset
    from engine.protocol.evaluations import EVALUATIONS, unfit
    from engine.registry import find_method
    from engine.runs import RunFolder

    spec = RunFolder.open(path).spec
    method = find_method(spec.method)
    with Dataset.open(existing(Path(dataset_path or spec.dataset), "dataset")) as data:
        reasons = {info.name: unfit(info, method.needs, method.families, data.info) for info in EVALUATIONS}
    text = "\n".join(
        f"{info.name:<22} {info.answers if not reasons[info.name] else f'does not fit: {reasons[info.name]}'}"
        for info in EVALUATIONS
    )
    rows = [
        {"protocol": info.name, "title": info.title, "answers": info.answers, "reason": reasons[info.name]}
        for info in EVALUATIONS
    ]
    return Outcome(text, {"protocols": rows})


def embed(options: argparse.Namespace) -> Outcome:
    """Write features as a table."""
    from engine.exports.features import write_features
    from engine.exports.tables import table_format
    from engine.inspections.opened import OpenedRun

    form = table_format(options.out, options.format)
    out = new_place(options.out)
    dataset = str(existing(options.data, "dataset")) if options.data else ""
    with OpenedRun(run_path(options), dataset_path=dataset) as run:
        rows, width = write_features(run, out, form, ConsoleProgress())
    return Outcome(
        f"{rows} × {width} features in {out}", {"out": str(out), "records": rows, "width": width, "step": run.step}
    )


def export(options: argparse.Namespace) -> Outcome:
    """Hand a run's result to other tools."""
    from engine.exports.formats import export_runs

    dataset = str(existing(options.data, "dataset")) if options.data else ""
    result = export_runs(options.runs, options.format, options.out, dataset=dataset, step=options.step)
    checked = f", checked: largest difference {result['difference']:.2g}" if "difference" in result else ""
    return Outcome(f"{result['out']} ({options.format}){checked}", result)


def inspect(options: argparse.Namespace) -> Outcome:
    """Write a view of a run as pictures and arrays."""
    from engine.inspections.files import write_inspection
    from engine.inspections.live import LiveViews
    from engine.inspections.opened import OpenedRun
    from engine.protocol.inspections import Choice

    dataset = str(existing(options.data, "dataset")) if options.data else ""
    with OpenedRun(run_path(options), dataset_path=dataset) as run:
        if options.view == "embedding":
            from engine.evaluation.quality import QualityMonitor

            monitor = QualityMonitor(run.dataset, run.method, run.config, seed=run.spec.seed)
            inspection = monitor.measure(run.model, run.step)[2]
            paths = write_inspection(inspection, options.out)
        else:
            choice = Choice(records=tuple(options.records), layer=options.layer, query=options.query)
            live = LiveViews(run.method, run.config, run.dataset, seed=run.spec.seed)
            paths = write_inspection(live.compute(run.model, options.view, choice, run.step), options.out)
    document = {"run": run.folder.name, "view": options.view, "step": run.step, "files": [str(path) for path in paths]}
    return Outcome("\n".join(str(path) for path in paths), document)


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────


def claim(options: argparse.Namespace) -> Outcome:
    """Run a claim experiment."""
    from engine.claims import run_claim, save_measured

    result = run_claim(options.method, progress=ConsoleProgress())
    if options.write:
        save_measured(result)
    lines = [
        f"{arm.name:28} {arm.mean:.4g}  (95 % {arm.interval[0]:.4g} to {arm.interval[1]:.4g})" for arm in result.arms
    ]
    lines.append(
        f"effect {result.effect:.4g} (95 % {result.interval[0]:.4g} to {result.interval[1]:.4g}) in {result.metric}"
    )
    lines.append(f"expected: {result.expected}")
    took = f"{result.seconds:.0f} s, {result.processor_seconds:.0f} s of processor time"
    lines.append(f"{result.verdict}, in {took}")
    return Outcome("\n".join(lines), msgspec.to_builtins(result))


def bench(options: argparse.Namespace) -> Outcome:
    """Measure ratios against peers."""
    from engine.bench import run_benchmarks

    rows = run_benchmarks(tuple(options.names))
    lines = [
        f"{row['name']:34} {row['ours']:>12.4g} {row['peer']:>12.4g} {row['unit']:10} "
        f"{row['ratio']:.2f} × {row['peer_name']}"
        for row in rows
    ]
    return Outcome("\n".join(lines), rows)


def engine(options: argparse.Namespace) -> Outcome:
    """Start, ask, stop or reach the background engine."""
    from engine.supervisor import control

    workspace = workspace_of(options)
    actions: dict[str, Callable[[], dict[str, Any]]] = {
        "start": lambda: control.start_engine(workspace),
        "status": lambda: control.engine_status(workspace),
        "stop": lambda: control.stop_engine(workspace),
        "connect": lambda: control.connect_engine(options.host, workspace),
    }
    document = actions[options.action]()
    return Outcome("\n".join(f"{key}: {value}" for key, value in document.items()), document)


def doctor(options: argparse.Namespace) -> Outcome:
    """Check this computer."""
    from engine.doctor import examine

    findings = examine(workspace_of(options))
    marks = {"ok": "ok  ", "warn": "look", "error": "FAIL"}
    lines = []
    for finding in findings:
        lines.append(f"{marks[finding.level]}  {finding.name:20} {finding.text}")
        if finding.fix:
            lines.append(f"{'':26} → {finding.fix}")
    failed = any(finding.level == "error" for finding in findings)
    return Outcome("\n".join(lines), [msgspec.to_builtins(finding) for finding in findings], 1 if failed else 0)


COMMANDS: dict[str, Callable[[argparse.Namespace], Outcome]] = {
    "methods": methods,
    "samples": samples,
    "sample": sample,
    "import": import_files,
    "data": data,
    "combine": combine,
    "train": train,
    "resume": resume,
    "evaluate": evaluate,
    "embed": embed,
    "export": export,
    "inspect": inspect,
    "claim": claim,
    "bench": bench,
    "engine": engine,
    "doctor": doctor,
}
