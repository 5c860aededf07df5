"""The whole computation from stored values to features as one graph: ONNX and TorchScript.

A graph takes pictures of the network's size as float32 in 0…1 and other fields as they are stored; normalisation is
inside, so that nobody can forget it. Its outputs are `features` (B, E) and, where the method
has places, `dense` (B, N, E).
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.data.batch import Batch, Ragged
from engine.durable import made_beside
from engine.errors import ConfigError, MethodError
from engine.inspections.opened import OpenedRun
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind
from engine.views.pixels import denormalise, evaluation_view

T = TypeVar("T")
GraphFormat = Literal["onnx", "torchscript"]
OPSET = 18  # the first with what attention, anti-aliased resizing and group norms need
CLOSE = 1e-3  # largest difference of outputs, relative to the largest output
EXAMPLES = 2


class FeatureGraph(nn.Module):
    """`embed` of a model as a function of plain tensors, in the order of `names`."""

    def __init__(self, model: nn.Module, like: Batch, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)
        self._specs, self._texts = like.specs, like.texts

    def forward(self, *fields: Tensor) -> tuple[Tensor, ...]:
        """Return `features` (B, E) and, where there are places, `dense` (B, N, E)."""
        index = torch.arange(fields[0].shape[0], device=fields[0].device)
        batch = Batch(dict(zip(self.names, fields, strict=True)), index, self._specs, self._texts)
        learner: Any = self.model
        found = learner.embed(batch)
        return (found.pooled,) if found.dense is None else (found.pooled, found.dense)


def write_graph(run: OpenedRun, form: GraphFormat, out: Path) -> dict[str, Any]:
    """Write the graph, open it with the tool it is for, and compare with the run's own features.

    Returns:
        `{format, out, inputs: {name: {shape, dtype}}, outputs, difference}`; a first side "B" means any number.

    Raises:
        MethodError: the method's records have different lengths, the network cannot be written as a graph, or the
            graph gives other features.
        ConfigError: the packages for this format are not installed.
    """
    graph, examples = _graph_of(run)
    with torch.no_grad():
        expected = [one.float().numpy() for one in graph(*examples)]
    names = graph.names
    outputs = ("features", "dense")[: len(expected)]
    with made_beside(out) as partial:
        writers = {"onnx": _write_onnx, "torchscript": _write_torchscript}
        _tried(run, form, functools.partial(writers[form], graph, examples, names, outputs, partial))
        readers = {"onnx": _run_onnx, "torchscript": _run_torchscript}
        difference = 0.0
        for count in (EXAMPLES, 1):  # another number of records than it was traced with
            few = [example[:count] for example in examples]
            found = _tried(run, form, functools.partial(readers[form], partial, names, few))
            for ours, theirs in zip(expected, found, strict=True):
                size = max(float(np.abs(ours).max()), 1e-12)
                difference = max(difference, float(np.abs(ours[:count] - theirs).max()) / size)
        if not difference <= CLOSE:
            raise MethodError(
                f"The features of the {form} graph differ from the network's by {difference:.2g} of their size.",
                "Export the weights with --format safetensors instead, and report this.",
            )
    inputs = {
        name: {"shape": ["B", *example.shape[1:]], "dtype": str(example.dtype).removeprefix("torch.")}
        for name, example in zip(names, examples, strict=True)
    }
    return {"format": form, "out": str(out), "inputs": inputs, "outputs": list(outputs), "difference": difference}


def _graph_of(run: OpenedRun) -> tuple[FeatureGraph, list[Tensor]]:
    indices = run.dataset.select(None)[:EXAMPLES]
    if len(indices) < EXAMPLES:
        raise MethodError("A graph is checked with two records; this dataset has fewer.", "Choose other data.")
    model = run.model.cpu()
    batch = next(iter(run.loader(split=None).in_order(indices, EXAMPLES)))
    used = [key for key in _read_by(model, batch) if key in batch.fields]
    fields = {key: _as_network_sees(run, batch, key) for key in used}
    tensors = [value for value in fields.values() if isinstance(value, Tensor)]
    if not used or batch.places or len(tensors) < len(used):
        raise MethodError(
            f"{run.method.title} reads records of different lengths or cuts windows out of them, which a graph of "
            "fixed tensors cannot hold.",
            "Export its weights with --format safetensors, or its features with selfsight embed.",
        )
    return FeatureGraph(model, batch, used).eval(), tensors


def _as_network_sees(run: OpenedRun, batch: Batch, key: str) -> Tensor | Ragged:
    """Return a field for the graph: pictures at the network's size as float32 in 0…1, all else as stored."""
    spec, size = batch.specs[key], getattr(run.config, "image_px", 0)
    if spec.kind != FieldKind.IMAGE or not size or isinstance(batch.fields[key], Ragged):
        return batch.fields[key]
    return denormalise(evaluation_view(batch, key, size), spec)


class _Listening(dict[str, Any]):
    """Fields that remember which of them were asked for."""

    def __init__(self, fields: Any) -> None:
        super().__init__(fields)
        self.asked: dict[str, None] = {}

    def __getitem__(self, key: str) -> Any:
        self.asked[key] = None
        return super().__getitem__(key)


def _read_by(model: nn.Module, batch: Batch) -> list[str]:
    """Return the keys of the fields that `embed` reads."""
    fields = _Listening(batch.fields)
    learner: Any = model
    with torch.no_grad():
        learner.embed(Batch(fields, batch.index, batch.specs, batch.texts, batch.places))
    return list(fields.asked)


def _tried(run: OpenedRun, form: str, work: Callable[[], T]) -> T:
    try:
        with _quiet(), torch.no_grad():
            return work()
    except ImportError as error:
        raise ConfigError(
            f"Writing {form} needs the package {error.name}, which is not installed.",
            'Install it with: pip install "selfsight[onnx]".',
        ) from error
    except MethodError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MethodError(
            f"{run.method.title} cannot be written as {form}: {first}",
            "Export the weights with --format safetensors, or the features with selfsight embed.",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the tracers print about their own inside out of the user's sight."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _write_onnx(
    graph: FeatureGraph, examples: list[Tensor], names: Sequence[str], outputs: Sequence[str], path: Path
) -> None:
    import onnx
    import onnxscript  # noqa: F401 — the exporter needs it, and says less clearly that it is missing

    batch = torch.export.Dim("B", min=1)
    torch.onnx.export(
        graph,
        tuple(examples),
        str(path),
        input_names=list(names),
        output_names=list(outputs),
        dynamic_shapes=(tuple({0: batch} for _ in examples),),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    onnx.checker.check_model(str(path), full_check=True)


def _run_onnx(path: Path, names: Sequence[str], fields: list[Tensor]) -> list[Array]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, {name: field.numpy() for name, field in zip(names, fields, strict=True)}))


def _write_torchscript(
    graph: FeatureGraph, examples: list[Tensor], names: Sequence[str], outputs: Sequence[str], path: Path
) -> None:
    traced = torch.jit.trace(graph, tuple(examples), check_trace=False)
    about = json.dumps({"inputs": list(names), "outputs": list(outputs)})
    torch.jit.save(traced, str(path), _extra_files={"about.json": about})


def _run_torchscript(path: Path, names: Sequence[str], fields: list[Tensor]) -> list[Array]:
    del names
    with _quiet(), torch.no_grad():
        found = torch.jit.load(str(path))(*fields)
    return [one.float().numpy() for one in found]
