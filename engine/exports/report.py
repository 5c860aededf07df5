"""A report of one run, or of several against each other: one HTML file that needs no network and no other file.

It holds the question, the data's fingerprint, all settings, the environment, curves, what the network was seen to do,
evaluations with their intervals, warnings, and the command that does the same again.
"""

from __future__ import annotations

import base64
import importlib.resources
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.store import Dataset
from engine.durable import write_atomic
from engine.errors import SelfsightError
from engine.exports.curves import Curve, draw_curves, smoothed
from engine.protocol.inspections import Array, Inspection
from engine.protocol.messages import MetricsRow, RunEvent, RunSummary
from engine.registry import find_method
from engine.run_command import command_line
from engine.run_results import kept_results
from engine.runs import RunFolder, utc_now

SMOOTH_OVER = 50  # of a run's logged steps, one part of so many is averaged
QUALITY = (
    ("quality/knn", "kNN accuracy", "%", 100.0),
    ("quality/linear", "Linear probe accuracy", "%", 100.0),
    ("quality/rank", "Effective rank", "", 1.0),
    ("quality/alignment", "Alignment", "", 1.0),
    ("quality/uniformity", "Uniformity", "", 1.0),
)
MOST_EVENTS = 40


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture with its caption; `source` can stand in an <img>."""

    title: str
    caption: str
    source: str


@dataclass(frozen=True, slots=True)
class RunPart:
    """What the report says of one run."""

    name: str
    title: str
    idea: str
    paper: Mapping[str, str]
    summary: RunSummary
    command: str
    facts: tuple[tuple[str, str], ...]
    data: tuple[tuple[str, str], ...]
    results: tuple[tuple[str, str], ...]
    evaluations: tuple[Mapping[str, Any], ...]
    settings: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    events: tuple[RunEvent, ...]
    views: tuple[Figure, ...] = field(default_factory=tuple)


def write_report(run_paths: Sequence[Path], out: Path) -> dict[str, Any]:
    """Write the report of these runs (at least one); nothing is computed, only what the runs hold is read.

    Returns:
        `{format, out, runs, figures, bytes}`.

    Raises:
        RunError: a folder is no run.
    """
    from jinja2 import Environment, StrictUndefined

    folders = [RunFolder.open(path) for path in run_paths]
    parts = [_part_of(folder) for folder in folders]
    figures = _curves_of(folders, [part.title for part in parts])
    names = _names(parts)
    template = importlib.resources.files("resources").joinpath("report/report.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(template).render(
        title=_title(parts),
        made=utc_now(),
        parts=parts,
        names=names,
        figures=figures,
        differing=_differing(parts) if len(parts) > 1 else None,
    )
    data = page.encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, data)
    shown = len(figures) + sum(len(part.views) for part in parts)
    return {
        "format": "report",
        "out": str(out),
        "runs": [part.name for part in parts],
        "figures": shown,
        "bytes": len(data),
    }


def _title(parts: Sequence[RunPart]) -> str:
    if len(parts) == 1:
        return f"{parts[0].title} on {Path(parts[0].summary.spec.dataset).stem}"
    return " against ".join(dict.fromkeys(part.title for part in parts))


def _names(parts: Sequence[RunPart]) -> list[str]:
    titles = [part.title for part in parts]
    return titles if len(set(titles)) == len(titles) else [part.name for part in parts]


def _part_of(folder: RunFolder) -> RunPart:
    summary, spec = folder.summary(), folder.spec
    title, idea, paper, views, command = spec.method, "", {}, {}, ""
    try:
        method = find_method(spec.method)
    except SelfsightError as error:
        idea = f"The method cannot be loaded here: {error.message}"
    else:
        from engine.describe import describe_method

        title, idea = method.title, method.idea
        paper = {"title": method.paper.title, "authors": method.paper.authors, "url": method.paper.url}
        year = str(method.paper.year)
        paper["where"] = method.paper.venue if year in method.paper.venue else f"{method.paper.venue} {year}"
        info = describe_method(method)
        views = {view.name: view for view in info.views}
        command = command_line(info, spec)
    latest = summary.latest
    facts = (
        ("state", summary.state),
        ("steps", f"{_count(summary.step)} of {_count(summary.steps)}"),
        ("training time", _duration(summary.seconds)),
        ("device", summary.device or spec.device),
        ("started", summary.started or spec.created),
        ("preset", spec.preset),
        ("seed", str(spec.seed)),
    )
    return RunPart(
        name=folder.name,
        title=title,
        idea=idea,
        paper=paper,
        summary=summary,
        command=command,
        facts=facts,
        data=_data_of(folder),
        results=tuple((name, _plain(latest.get(name))) for name in sorted(latest) if not name.startswith("time/")),
        evaluations=tuple(kept_results(folder.path)),
        settings=tuple(
            (name.replace("_", " "), _plain(value))
            for name, value in (spec.config | {f"training: {key}": one for key, one in spec.training.items()}).items()
        ),
        environment=tuple(sorted(spec.versions.items())),
        events=tuple(event for event in folder.events() if event.level in {"warn", "error"})[-MOST_EVENTS:],
        views=tuple(_views_of(folder, views)),
    )


def _data_of(folder: RunFolder) -> tuple[tuple[str, str], ...]:
    """Return name, fingerprint and make-up of the run's dataset, as far as it is still there."""
    spec = folder.spec
    rows = [("file", spec.dataset), ("checksum when trained", spec.dataset_checksum or "not recorded")]
    path = Path(spec.dataset)
    if not path.is_file():
        return (*rows, ("now", "The file is not there any more."))
    try:
        with Dataset.open(path) as dataset:
            info = dataset.info
            rows += [
                ("checksum now", info.checksum),
                ("records", _count(info.records)),
                ("fields", ", ".join(f"{one.name} ({one.kind.value})" for one in dataset.schema.fields)),
                (
                    "splits",
                    ", ".join(f"{name} {count:,}".replace(",", "\u202f") for name, count in info.splits.items()),
                ),
            ]
    except SelfsightError as error:
        rows.append(("now", error.message))
    return tuple(rows)


def _views_of(folder: RunFolder, infos: Mapping[str, Any]) -> list[Figure]:
    from engine.inspections.drawing import draw

    found = []
    for view, steps in sorted(folder.inspections().items()):
        try:
            inspection: Inspection = folder.load_inspection(view, steps[-1])
        except SelfsightError:
            continue  # a damaged view is no reason to have no report
        picture = draw(inspection)
        if picture is not None:
            info = infos.get(view)
            title = info.title if info is not None else view.replace("-", " ")
            found.append(Figure(title, f"step {_count(steps[-1])}", _png(picture)))
    return found


def _curves_of(folders: Sequence[RunFolder], titles: Sequence[str]) -> list[Figure]:
    histories = [folder.metrics() for folder in folders]
    several = len(folders) > 1
    figures = []
    if several:
        losses = [
            _curve(name, rows, "loss", smooth=True)
            for name, rows in zip(_unique(titles, folders), histories, strict=True)
        ]
        figures.append(_figure("Loss", "running mean", losses, "loss"))
    else:
        rows = histories[0]
        parts = sorted({name for row in rows for name in row.values if name == "loss" or name.startswith("loss/")})
        curves = [_curve(name.removeprefix("loss/"), rows, name, smooth=True) for name in parts]
        figures.append(_figure("Loss and its parts", "running mean", curves, "loss"))
        rates = [_curve("learning rate", rows, "learning_rate")]
        figures.append(_figure("Learning rate", "", rates, "learning rate"))
    for metric, title, unit, factor in QUALITY:
        curves = [
            _curve(name, rows, metric, factor=factor)
            for name, rows in zip(_unique(titles, folders), histories, strict=True)
        ]
        label = f"{title} ({unit})" if unit else title
        figures.append(_figure(title, "shaded: 95 % interval, where it was measured", curves, label))
    return [figure for figure in figures if figure.source]


def _unique(titles: Sequence[str], folders: Sequence[RunFolder]) -> list[str]:
    return list(titles) if len(set(titles)) == len(titles) else [folder.name for folder in folders]


def _figure(title: str, caption: str, curves: Sequence[Curve], label: str) -> Figure:
    curves = [curve for curve in curves if len(curve.x)]
    if not curves:
        return Figure(title, caption, "")
    return Figure(title, caption, _svg(draw_curves(curves, x_label="training step", y_label=label)))


def _curve(name: str, rows: Sequence[MetricsRow], metric: str, *, smooth: bool = False, factor: float = 1.0) -> Curve:
    """Return a metric over the steps; of steps that were trained twice (after a resume) the last time."""

    def column(key: str) -> dict[int, float]:
        return {row.step: float(value) for row in rows if (value := row.values.get(key)) is not None}

    values = dict(sorted(column(metric).items()))
    x, y = np.array(list(values), np.int64), np.array(list(values.values()), np.float64) * factor
    low, high = column(f"{metric}_low"), column(f"{metric}_high")
    if smooth:
        return Curve(name, x, smoothed(y, max(1, len(y) // SMOOTH_OVER)))
    if len(y) and all(step in low and step in high for step in values):
        ends = (np.array([end[step] for step in values]) * factor for end in (low, high))
        return Curve(name, x, y, *ends)
    return Curve(name, x, y)


def _differing(parts: Sequence[RunPart]) -> list[tuple[str, list[str]]]:
    """Return each setting that is not the same in all runs, with its value in each."""
    tables = []
    for part in parts:
        spec = part.summary.spec
        tables.append({"data": spec.dataset, "seed": str(spec.seed)} | dict(part.settings))
    every = dict.fromkeys(name for table in tables for name in table)
    rows = [(name, [table.get(name, "none") for table in tables]) for name in every]
    return [row for row in rows if len(set(row[1])) > 1]


def _count(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _plain(value: Any) -> str:
    if value is None:
        return "not finite"
    if isinstance(value, float):
        return f"{value:.5g}"
    return json.dumps(value) if isinstance(value, list | tuple | dict) else str(value)


def _png(picture: Array) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _svg(data: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}"
