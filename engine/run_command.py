"""The command line that trains a run again. No torch, and no method is imported: what it says of itself suffices."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from engine.protocol.forms import FormField, fill_form
from engine.protocol.messages import MethodInfo, Preset, RunSpec


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
