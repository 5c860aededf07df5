"""The formats by name, as `selfsight export` and the window offer them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.protocol.messages import EXPORT_FORMATS


def export_runs(
    run_paths: Sequence[Path], form: str, out: Path, *, dataset: str = "", step: int | None = None
) -> dict[str, Any]:
    """Write a run's result to `out` in one of `EXPORT_FORMATS`; a report may hold several runs.

    Args:
        run_paths: run folders.
        form: a key of `EXPORT_FORMATS`.
        out: a file with that format's ending, or a folder that is not there yet or empty.
        dataset: other data than the run's own, for examples to check with.
        step: of the checkpoint; None = the newest.

    Raises:
        ConfigError: the format is unknown, the path does not suit it, or there are too many runs.
        MethodError: the method cannot be written in this format.
    """
    if form not in EXPORT_FORMATS:
        raise ConfigError(f"There is no export format {form!r}.", f"Known: {', '.join(EXPORT_FORMATS)}.")
    suffix = EXPORT_FORMATS[form]
    if suffix and out.suffix.lower() != suffix:
        raise ConfigError(f"{out} does not end in {suffix}.", f"Call it {out.with_suffix(suffix).name}.")
    if not suffix and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already and not an empty folder.", "Choose a new folder.")
    if form == "report":
        from engine.exports.report import write_report

        return write_report(run_paths, out)
    if len(run_paths) != 1:
        raise ConfigError(f"{form} holds one run; {len(run_paths)} were given.", "Export them one by one.")
    from engine.inspections.opened import OpenedRun

    with OpenedRun(run_paths[0], step=step, dataset_path=dataset) as run:
        if form == "timm":
            from engine.exports.weights import write_timm

            return {"run": run.folder.name, "step": run.step} | write_timm(run, out)
        if form == "safetensors":
            from engine.exports.weights import write_safetensors

            return {"run": run.folder.name, "step": run.step} | write_safetensors(run, out)
        from engine.exports.graphs import write_graph

        return {"run": run.folder.name, "step": run.step} | write_graph(
            run, "onnx" if form == "onnx" else "torchscript", out
        )
