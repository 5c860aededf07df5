"""Checks and completes a run's settings from what a method says of itself, without importing it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.errors import ConfigError, MethodError
from engine.protocol.forms import fill_form
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
