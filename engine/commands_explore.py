"""What `selfsight map`, `neighbours` and `similarity` do: features of runs, and what can be seen in them."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from engine.commands import ConsoleProgress, Outcome, existing, new_place, run_path
from engine.errors import ConfigError, FeaturesMissing

if TYPE_CHECKING:
    from engine.protocol.messages import FeatureChoice, NeighboursFound


def _choice(options: argparse.Namespace) -> FeatureChoice:
    from engine.protocol.messages import FeatureChoice

    return FeatureChoice(step=options.step, split=options.split, most=options.most, seed=options.seed)


def _data(options: argparse.Namespace) -> str:
    return str(existing(options.data, "dataset").resolve()) if options.data else ""


def make_map(options: argparse.Namespace) -> Outcome:
    """Make a map of embeddings, keep it in the run, and write its points where that is asked for."""
    from engine.exports.tables import map_table, table_format, write_table
    from engine.inspections.mapping import make_maps
    from engine.inspections.maps import load_map
    from engine.protocol.messages import MapOptions

    form = table_format(options.out, options.format) if options.out is not None else ""
    out = new_place(options.out) if options.out is not None else None
    settings = MapOptions(
        projection=options.projection,
        dimensions=options.dimensions,
        neighbours=options.neighbours,
        minimum_distance=options.minimum_distance,
        perplexity=options.perplexity,
        seed=options.seed,
    )
    path = run_path(options)
    made = make_maps(
        path, _choice(options), settings, ConsoleProgress(), onto=options.onto, dataset_path=_data(options)
    )
    stored = load_map(path, made["keys"][0])
    if out is not None:
        write_table(map_table(stored), out, form)
    info = stored.info
    text = f"{info.options.projection} of {info.run} at step {info.step}, {info.title}, in {info.seconds:.1f} s"
    text += f": {info.key}"
    if info.agreement >= 0:
        text += f"\nthe 10 nearest by features have the same label in {100 * info.agreement:.1f} % of cases"
    return Outcome(text, msgspec.to_builtins(info) | {"out": str(out or "")})


def neighbours(options: argparse.Namespace) -> Outcome:
    """Say which records are nearest to a record, a file or a text; features that lack are computed first."""
    from engine.inspections.asking import Asker
    from engine.inspections.embedding import make_features
    from engine.inspections.opened import OpenedRun
    from engine.protocol.messages import FindNeighbours

    if sum((options.record is not None, options.file is not None, bool(options.text))) != 1:
        raise ConfigError("Neighbours of what?", "Give one of --record N, --file PATH and --text WORDS.")
    path, choice, data = run_path(options), _choice(options), _data(options)
    question = FindNeighbours(
        id="", run=path.name, choice=choice, record=-1 if options.record is None else options.record,
        path=str(options.file or ""), text=options.text, k=options.k,
    )  # fmt: skip
    with (
        OpenedRun(path, step=None if options.step < 0 else options.step, dataset_path=data) as run,
        contextlib.closing(Asker(lambda *_: run)) as asker,
    ):
        try:
            found = asker.answer(question)
        except FeaturesMissing:
            make_features(path, choice, ConsoleProgress(), dataset_path=data)
            found = asker.answer(question)
    return Outcome(_listed(found), msgspec.to_builtins(found))


def _listed(found: NeighboursFound) -> str:
    lines = [f"nearest to {found.query} of {found.searched} records of {found.dataset}, step {found.step}"]
    for record, cosine, label, name in zip(found.records, found.cosines, found.labels, found.names, strict=True):
        lines.append(f"{record:>9}  {cosine:.4f}  {label:16} {name}".rstrip())
    return "\n".join(lines)


def similarity(options: argparse.Namespace) -> Outcome:
    """Compare the layers of two runs by linear CKA."""
    from engine.inspections.cka import compare_layers

    path, other = run_path(options), run_path(argparse.Namespace(run=options.other, workspace=options.workspace))
    found = compare_layers(
        path, other, _choice(options), ConsoleProgress(), other_step=options.other_step, dataset_path=_data(options)
    )
    width = max(len(name) for name in found["rows"])
    lines = [f"{found['what']}; {found['records']} records of {found['dataset']}"]
    lines += [
        f"{name:{width}}  " + " ".join(f"{value:6.3f}" for value in row)
        for name, row in zip(found["rows"], found["values"], strict=True)
    ]
    return Outcome("\n".join(lines), found)


EXPLORING: dict[str, Callable[[argparse.Namespace], Outcome]] = {
    "map": make_map,
    "neighbours": neighbours,
    "similarity": similarity,
}
