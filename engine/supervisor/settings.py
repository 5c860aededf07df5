"""Checks and completes a run's settings from what a method says of itself, without importing it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.errors import ConfigError, MethodError
from engine.protocol.forms import FormField, fill_form
from engine.protocol.messages import MethodInfo, Preset, RunSpec
from engine.protocol.schema import DatasetInfo, misfit

Problems = list[tuple[str, str]]


def find_method(methods: Sequence[MethodInfo], method_id: str) -> MethodInfo:
    """Return a method that works.

    Raises:
        MethodError: there is none of that name, or it is broken.
    """
    method = next((method for method in methods if method.id == method_id), None)
    if method is None:
        known = ", ".join(method.id for method in methods)
        raise MethodError(f"There is no method {method_id!r}.", f"Known: {known}.")
    if method.broken is not None:
        raise MethodError(method.broken.message, method.broken.hint)
    return method


def complete(method: MethodInfo, spec: RunSpec) -> tuple[RunSpec, Problems]:
    """Return the spec with the value of every setting, and every problem as (setting, sentence)."""
    preset = method.presets.get(spec.preset)
    problems: Problems = []
    if preset is None:
        known = ", ".join(method.presets)
        problems.append(("preset", f"There is no preset {spec.preset!r}. Known: {known}."))
        preset = Preset(config={}, training={})
    config, of_config = fill_form(method.form, preset.config, spec.config)
    training, of_training = fill_form(method.training_form, preset.training, spec.training)
    problems += [(problem.name, problem.message) for problem in (*of_config, *of_training)]
    return msgspec.structs.replace(spec, config=config, training=training), problems


def freeze(method: MethodInfo, spec: RunSpec, dataset: DatasetInfo) -> RunSpec:
    """Return the spec as it goes into run.yaml: complete, with the data's checksum; the worker adds the versions.

    Raises:
        ConfigError: settings are wrong, or the data does not fit; the message names everything.
    """
    full, problems = complete(method, spec)
    refusal = misfit(method.needs, dataset.schema)
    if refusal:
        problems.append(("dataset", f"{dataset.name} does not fit {method.title}: it {refusal}."))
    if problems:
        text = " ".join(sentence for _, sentence in problems)
        raise ConfigError(f"The run cannot start: {text}", "Correct the settings and start again.")
    return msgspec.structs.replace(
        full,
        dataset=dataset.path,
        dataset_checksum=spec.dataset_checksum or dataset.checksum,
    )


def command_line(method: MethodInfo | None, spec: RunSpec) -> str:
    """Return the `selfsight train` line that does the same, with only what differs from the preset."""
    words = ["selfsight", "train", "--method", spec.method, "--data", spec.dataset, "--preset", spec.preset]
    if method is not None:
        preset = method.presets.get(spec.preset, Preset(config={}, training={}))
        words += _differences(method.form, preset.config, spec.config)
        words += _differences(method.training_form, preset.training, spec.training)
    if spec.seed:
        words += ["--seed", str(spec.seed)]
    if spec.device != "auto":
        words += ["--device", spec.device]
    return shlex.join(words)


def _differences(form: tuple[FormField, ...], preset: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    usual, _ = fill_form(form, preset)
    chosen, _ = fill_form(form, preset, values)
    words = []
    for name, value in chosen.items():
        if _plain(value) != _plain(usual[name]):
            words += ["--set", f"{name}={_plain(value)}"]
    return words


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_plain(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
