"""The formats by name, as `selfsight export` and the window offer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.protocol.messages import EXPORT_FORMATS, TABLE_FORMATS

Progress = Callable[[float, float, str, str], None]


def export_runs(
    run_paths: Sequence[Path],
    form: str,
    out: Path,
    *,
    dataset: str = "",
    step: int | None = None,
    map_key: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a run's result to `out` in one of `EXPORT_FORMATS`; a report may hold several runs.

    Args:
        run_paths: run folders.
        form: a key of `EXPORT_FORMATS`.
        out: a file with that format's ending, or a folder that is not there yet or empty.
        dataset: other data than the run's own: to compute features of, or for examples to check with.
        step: of the checkpoint; None = the newest.
        map_key: of a stored map of the run, whose points become the table; "" = its features.
        progress: told how much is done.

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
    told = progress or (lambda *_: None)
    told(0, 1, "files", form)
    if map_key:
        return _write_map(run_paths[0], map_key, out, form)
    from engine.inspections.opened import OpenedRun

    with OpenedRun(run_paths[0], step=step, dataset_path=dataset) as run:
        if form in TABLE_FORMATS:
            from engine.exports.features import write_features

            rows, width = write_features(run, out, form, told)
            found = {"run": run.folder.name, "step": run.step, "format": form, "out": str(out)}
            return found | {"records": rows, "width": width}
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


def _write_map(run_path: Path, key: str, out: Path, form: str) -> dict[str, Any]:
    from engine.exports.tables import map_table, table_format, write_table
    from engine.inspections.maps import load_map

    stored = load_map(run_path, key)
    write_table(map_table(stored), out, table_format(out, form))
    rows, width = stored.points.shape
    return {
        "run": run_path.name,
        "step": stored.info.step,
        "format": form,
        "out": str(out),
        "records": rows,
        "width": width,
    }
