"""Settings of the training loop, and how a run's settings are made: defaults, then preset, then changes.

Nothing here needs torch; only `complete_spec` loads the method.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from engine.errors import ConfigError
from engine.protocol.forms import Value, apply_settings
from engine.protocol.messages import RunSpec

if TYPE_CHECKING:
    from engine.method import Method

S = TypeVar("S", bound=msgspec.Struct)
_VERSIONS_OF = ("selfsight", "torch", "timm", "lightning-fabric", "numpy")
_GROUP = {"group": "Training"}
_ADVANCED = {"group": "Training", "advanced": True}


class TrainingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a method is trained; none of it depends on the method."""

    steps: Annotated[
        int,
        Meta(
            ge=0,
            title="Steps",
            description="Updates of the weights. 0 keeps the untrained network.",
            extra=_GROUP | {"unit": "steps"},
        ),
    ] = 5000
    batch_size: Annotated[
        int,
        Meta(
            ge=1,
            title="Batch",
            description="Records that go through the network together, on each device. Memory grows with it.",
            extra=_GROUP | {"unit": "records"},
        ),
    ] = 256
    accumulate: Annotated[
        int,
        Meta(
            ge=1,
            le=4096,
            title="Accumulate",
            description="Batches whose gradients are averaged before one update: a larger batch without more memory.",
            extra=_GROUP | {"unit": "batches"},
        ),
    ] = 1
    optimiser: Annotated[
        Literal["adamw", "sgd", "lars"],
        Meta(
            title="Optimiser",
            description="AdamW for transformers, SGD or LARS (large batches) for convolutional networks.",
            extra=_GROUP,
        ),
    ] = "adamw"
    learning_rate: Annotated[
        float,
        Meta(
            gt=0,
            le=100,
            title="Learning rate",
            description="Highest learning rate, reached after the warm-up.",
            extra=_GROUP,
        ),
    ] = 1e-3
    reference_batch: Annotated[
        int,
        Meta(
            ge=0,
            title="Reference batch",
            description="If set, the learning rate is multiplied by records per update / this (linear scaling rule). "
            "0 takes it as it is.",
            extra=_ADVANCED | {"unit": "records"},
        ),
    ] = 0
    warmup_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            title="Warm-up",
            description="Share of the steps during which the learning rate rises linearly from 0.",
            extra=_GROUP | {"unit": "of steps"},
        ),
    ] = 0.05
    final_learning_rate: Annotated[
        float,
        Meta(
            ge=0,
            title="Final learning rate",
            description="Where the cosine ends; absolute, not scaled with the batch.",
            extra=_ADVANCED,
        ),
    ] = 0.0
    weight_decay: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            title="Weight decay",
            description="Pull of the weights towards 0; never on biases and 1-D parameters.",
            extra=_GROUP,
        ),
    ] = 0.05
    final_weight_decay: Annotated[
        float,
        Meta(
            ge=-1,
            le=10,
            title="Final weight decay",
            description="Weight decay at the end, reached along a cosine. -1 keeps it constant.",
            extra=_ADVANCED,
        ),
    ] = -1.0
    betas: Annotated[
        tuple[Annotated[float, Meta(ge=0, le=1)], Annotated[float, Meta(ge=0, le=1)]],
        Meta(title="Betas", description="AdamW: memory of the gradient and of its square.", extra=_ADVANCED),
    ] = (0.9, 0.95)
    momentum: Annotated[
        float,
        Meta(ge=0, le=1, title="Momentum", description="SGD and LARS: memory of the gradient.", extra=_ADVANCED),
    ] = 0.9
    trust: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            title="Trust coefficient",
            description="LARS: size of an update as a share of the norm of the weights.",
            extra=_ADVANCED,
        ),
    ] = 0.001
    clip_norm: Annotated[
        float,
        Meta(
            ge=0,
            title="Clip gradients",
            description="Longest allowed gradient; a longer one is shortened. 0 allows any.",
            extra=_GROUP | {"unit": "norm"},
        ),
    ] = 0.0
    clip_each: Annotated[
        bool,
        Meta(
            title="Clip each tensor",
            description="Clip every parameter tensor by itself (as DINO does) instead of all together.",
            extra=_ADVANCED,
        ),
    ] = False
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Meta(
            title="Precision",
            description="bfloat16 halves memory and is faster on GPUs; auto takes it there and float32 elsewhere.",
            extra=_GROUP,
        ),
    ] = "auto"
    checkpoint_every: Annotated[
        int,
        Meta(
            ge=0,
            title="Checkpoint every",
            description="Steps between checkpoints. 0 saves by time and at the end only.",
            extra=_ADVANCED | {"unit": "steps"},
        ),
    ] = 500
    checkpoint_minutes: Annotated[
        float,
        Meta(
            ge=0,
            title="Checkpoint at least every",
            description="Longest time between checkpoints. 0 saves by steps and at the end only.",
            extra=_ADVANCED | {"unit": "min"},
        ),
    ] = 10.0
    keep_checkpoints: Annotated[
        int,
        Meta(
            ge=1,
            title="Keep checkpoints",
            description="How many of the newest checkpoints stay on disk.",
            extra=_ADVANCED,
        ),
    ] = 3
    log_every: Annotated[
        int,
        Meta(
            ge=1,
            title="Log every",
            description="Steps between rows of metrics; at most five rows a second are written.",
            extra=_ADVANCED | {"unit": "steps"},
        ),
    ] = 10
    evaluate_every: Annotated[
        int,
        Meta(
            ge=0,
            title="Measure quality every",
            description="Steps between measurements of kNN, rank, alignment and collapse. 0 never measures.",
            extra=_GROUP | {"unit": "steps"},
        ),
    ] = 500
    inspect_every: Annotated[
        int,
        Meta(
            ge=0,
            title="Store views every",
            description="Steps between stored views (reconstructions, attention). 0 stores only the last.",
            extra=_GROUP | {"unit": "steps"},
        ),
    ] = 500
    nonfinite_limit: Annotated[
        int,
        Meta(
            ge=1,
            title="Stop after",
            description="Consecutive steps whose loss or gradient is not finite: fewer are skipped, this many stop "
            "the run.",
            extra=_ADVANCED | {"unit": "steps"},
        ),
    ] = 3

    def problems(self) -> list[str]:
        """Return the contradictions between settings, as sentences."""
        found = []
        if self.final_learning_rate > self.learning_rate:
            found.append(
                f"Final learning rate ({self.final_learning_rate:g}) must be at most the learning rate "
                f"({self.learning_rate:g})."
            )
        if self.optimiser == "adamw" and max(self.betas) >= 1:
            found.append(f"Betas must be below 1; {self.betas} are not.")
        return found


def apply_all(config: S, *changes: Mapping[str, Value]) -> tuple[S, list[tuple[str, str]]]:
    """Apply several sets of changes in order; return the result and every problem as (setting, sentence)."""
    problems: list[tuple[str, str]] = []
    for change in changes:
        config, found = apply_settings(config, change)
        problems.extend((problem.name, problem.message) for problem in found)
    return config, problems


def sort_settings(method: Method, changes: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Tell the method's settings from the loop's; a name that both have is the method's unless it is `training.NAME`.

    Raises:
        ConfigError: a name is neither's; the message lists all such names.
    """
    of_method, of_loop = set(method.config.__struct_fields__), set(TrainingSettings.__struct_fields__)
    config: dict[str, Value] = {}
    training: dict[str, Value] = {}
    unknown = []
    for name, value in changes.items():
        prefix, _, rest = name.rpartition(".")
        if prefix in {"", "config"} and rest in of_method:
            config[rest] = value
        elif prefix in {"", "training"} and rest in of_loop:
            training[rest] = value
        else:
            unknown.append(name)
    if unknown:
        raise ConfigError(
            f"{method.id} has no setting called {', '.join(unknown)}.",
            f"Settings of the method: {', '.join(sorted(of_method))}. Of the loop: {', '.join(sorted(of_loop))}.",
        )
    return config, training


def check_spec(spec: RunSpec) -> tuple[Any, TrainingSettings, list[tuple[str, str]]]:
    """Return the method's config, the training settings and every problem as (setting, sentence).

    Raises:
        MethodError: there is no such method.
    """
    from engine.registry import find_method

    method = find_method(spec.method)
    preset = method.presets.get(spec.preset)
    problems: list[tuple[str, str]] = []
    if preset is None:
        problems.append(("preset", f"There is no preset {spec.preset!r}. Known: {', '.join(method.presets)}."))
    preset_config = preset.config if preset else {}
    preset_training = preset.training if preset else {}
    config, of_config = apply_all(method.config(), preset_config, spec.config)
    training, of_training = apply_all(TrainingSettings(), preset_training, spec.training)
    problems += of_config + of_training + [("training", sentence) for sentence in training.problems()]
    return config, training, problems


def complete_spec(spec: RunSpec) -> tuple[Any, TrainingSettings]:
    """Return the method's config and the training settings: defaults, then the preset, then the spec's changes.

    Raises:
        MethodError: there is no such method.
        ConfigError: one or more settings are wrong; the message names all of them.
    """
    config, training, problems = check_spec(spec)
    if problems:
        raise ConfigError(
            f"{len(problems)} setting{'s' * (len(problems) > 1)} of {spec.method} cannot be used: "
            + " ".join(f"{name}: {sentence}" for name, sentence in problems),
            "Correct them and start again; `selfsight methods --json` lists every setting with its range.",
        )
    return config, training


def freeze_spec(spec: RunSpec) -> RunSpec:
    """Return the spec with complete values, the versions it runs with and its time: all to do the run again.

    Raises:
        MethodError, ConfigError: as `complete_spec`.
    """
    config, training = complete_spec(spec)
    return msgspec.structs.replace(
        spec,
        config=msgspec.to_builtins(config),
        training=msgspec.to_builtins(training),
        versions=spec.versions or installed_versions(),
        created=spec.created or datetime.now(UTC).isoformat(timespec="seconds"),
    )


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for name in _VERSIONS_OF:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
