"""A trained network from a run folder, to be evaluated, looked into or handed on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from torch import nn

from engine.data.store import Dataset
from engine.errors import RunError
from engine.method import Method
from engine.protocol.messages import RunSpec
from engine.protocol.schema import Schema
from engine.registry import find_method
from engine.runs import RunFolder
from engine.training.checkpoints import find_checkpoint
from engine.training.devices import resolve_device
from engine.training.settings import complete_spec
from engine.training.stages import build_model


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network in evaluation mode, and what it belongs to."""

    method: Method
    config: Any
    model: nn.Module
    schema: Schema  # of the data it was trained on
    spec: RunSpec
    step: int


def load_model(run_path: Path, *, step: int | None = None, device: str = "auto") -> LoadedModel:
    """Load the network of a run at `step` (None = the newest checkpoint that verifies).

    Raises:
        RunError: there is no such checkpoint, it is damaged, or the schema of its data is nowhere to be found.
        MethodError, ConfigError: the run's method or settings are not usable here.
    """
    folder = RunFolder.open(run_path)
    checkpoint = find_checkpoint(folder.checkpoints, step)
    config, _ = complete_spec(folder.spec)
    method = find_method(folder.spec.method)
    schema = _schema_of(folder)
    position = checkpoint.position
    model = build_model(method, config, schema, seed=position.seed, stage=position.stage)
    checkpoint.restore(model)
    model.to(resolve_device(device)).eval()
    return LoadedModel(method, config, model, schema, folder.spec, position.step)


SCHEMA_FILE = "schema.json"


def store_schema(folder: RunFolder, schema: Schema) -> None:
    """Keep the data's schema in the run, so that its network can be built where the data is not."""
    from engine.durable import write_atomic

    write_atomic(folder.path / SCHEMA_FILE, msgspec.json.encode(schema))


def _schema_of(folder: RunFolder) -> Schema:
    try:
        return msgspec.json.decode((folder.path / SCHEMA_FILE).read_bytes(), type=Schema)
    except (OSError, msgspec.MsgspecError):
        if Path(folder.spec.dataset).is_file():
            with Dataset.open(Path(folder.spec.dataset)) as dataset:
                return dataset.schema
    raise RunError(
        f"{folder.name} has no usable {SCHEMA_FILE}, and its dataset {folder.spec.dataset} is not there.",
        "Put the dataset back where run.yaml says.",
    )
