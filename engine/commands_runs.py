"""What `selfsight runs` does: list runs, tag them, put them away, delete them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from engine.commands import Outcome, run_path, workspace_of
from engine.errors import ConfigError
from engine.protocol.messages import RunSummary
from engine.run_marks import checked_tags, mark_run
from engine.runs import RunFolder, bin_run, list_runs


def runs(options: argparse.Namespace) -> Outcome:
    """List the runs of the workspace, or change what is said of those that are named."""
    acts = options.tag or options.untag or options.archive or options.unarchive or options.delete
    if acts and not options.runs:
        raise ConfigError("Which runs?", "Name them: selfsight runs NAME… --tag TAG.")
    if options.runs and not acts:
        rows = [RunFolder.open(path).summary() for path in _paths(options)]
        return _listed(rows, 0)
    if not acts:
        workspace = workspace_of(options)
        every = list_runs(workspace)
        words = options.filter.lower().split()
        rows = [row for row in every if fits(row, words, options.tagged)]
        shown = [row for row in rows if options.all or not row.archived]
        return _listed(shown, len(rows) - len(shown))
    return _changed(options)


def fits(row: RunSummary, words: Sequence[str], tag: str = "") -> bool:
    """Whether every one of `words` (lower case) occurs in a run's row, and `tag` is among its tags ("" = any)."""
    spec = row.spec
    text = " ".join((row.run, spec.method, Path(spec.dataset).stem, row.state, *row.tags)).lower()
    return all(word in text for word in words) and (not tag or tag in row.tags)


def _paths(options: argparse.Namespace) -> list[Path]:
    return [run_path(argparse.Namespace(run=name, workspace=options.workspace)).resolve() for name in options.runs]


def _changed(options: argparse.Namespace) -> Outcome:
    workspace, paths = workspace_of(options), _paths(options)
    checked_tags(options.tag)  # before anything is changed
    for path in paths:
        RunFolder.open(path)
    lines, document = [], []
    for path in paths:
        if options.delete:
            target = bin_run(workspace, path)
            lines.append(f"{path.name} is in the bin: {target}")
            document.append({"run": path.name, "deleted": True, "folder": str(target)})
            continue
        archived = True if options.archive else False if options.unarchive else None
        marks = mark_run(path, add=options.tag, remove=options.untag, archived=archived)
        tags = ", ".join(marks.tags) or "no tags"
        lines.append(f"{path.name}: {tags}{', archived' if marks.archived else ''}")
        document.append({"run": path.name, "tags": marks.tags, "archived": marks.archived})
    if any(path.parent == workspace.root.resolve() / "runs" for path in paths):
        list_runs(workspace)  # the index is written anew, by which a running engine sees that something changed
    return Outcome("\n".join(lines), document)


def _listed(rows: Sequence[RunSummary], hidden: int) -> Outcome:
    width = max((len(row.run) for row in rows), default=0)
    lines = []
    for row in rows:
        loss = row.latest.get("loss")
        shown = f"loss {loss:.4g}" if loss is not None else ""
        tags = " ".join(f"#{tag}" for tag in row.tags) + (" (archived)" if row.archived else "")
        steps = f"step {row.step} of {row.steps}"
        lines.append(f"{row.run:{width}}  {row.state:11}  {steps:20}  {shown:12}  {tags}".rstrip())
    if not rows:
        lines.append("No run is listed.")
    if hidden:
        lines.append(f"{hidden} more put away: --all lists them.")
    document = [msgspec.to_builtins(row) for row in rows]
    return Outcome("\n".join(lines), document)


KEEPING: dict[str, Callable[[argparse.Namespace], Outcome]] = {"runs": runs}
