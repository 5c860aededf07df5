"""Checkpoints that are whole or absent: safetensors and JSON, hashed, written beside, flushed, renamed, re-read.

    checkpoints/0001200/
      model.safetensors        parameters and buffers: network, teacher, queue, centres
      optimiser.safetensors    its tensors, keyed "PARAMETER.NAME"
      state.json               step, stage, seed, seconds, sampler position, and what is no tensor of the optimiser
      manifest.json            sizes and SHA-256 of the others; written last

Nothing here is ever unpickled. A checkpoint whose hashes do not match is passed over, with a sentence.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from engine.durable import disk_full_named, sync_folder, write_synced
from engine.errors import RunError
from engine.run_digest import MANIFEST_FILE, saved_steps

MODEL_FILE, OPTIMISER_FILE, STATE_FILE = "model.safetensors", "optimiser.safetensors", "state.json"
_FILES = (MODEL_FILE, OPTIMISER_FILE, STATE_FILE)
_FORMAT = 1
_WINDOWS_NO_SPACE = {39: errno.ENOSPC, 112: errno.ENOSPC}  # ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL


class Position(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where training stands. The random numbers of step n derive from (seed, n), so that these few say it all."""

    step: int  # updates done
    stage: int = 0
    stage_starts: tuple[int, ...] = (0,)  # first step of each stage
    seed: int
    batches: int  # drawn from the loader so far, over all devices
    seconds: float = 0.0  # trained so far
    nonfinite: int = 0  # consecutive skipped steps


class _State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    position: Position
    optimiser: dict[str, Any] = {}


class _FileNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    bytes: int
    sha256: str


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    step: int
    files: dict[str, _FileNote]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint read back and verified: tensors on the CPU."""

    path: Path
    position: Position
    model: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    optimiser_state: dict[str, Any]

    def restore(self, model: nn.Module, optimiser: Optimizer | None = None) -> None:
        """Put the state into a model, and into its optimiser if that is given.

        Raises:
            RunError: it does not fit this model.
        """
        try:
            model.load_state_dict(self.model, strict=True)
            if optimiser is not None:
                optimiser.load_state_dict(self._optimiser_state(optimiser))
        except (RuntimeError, ValueError, KeyError) as error:
            raise RunError(
                f"Checkpoint {self.path.name} does not fit the network that run.yaml describes: {error}",
                "Undo changes of run.yaml, or use the version that wrote it.",
            ) from error

    def _optimiser_state(self, optimiser: Optimizer) -> dict[str, Any]:
        """Join tensors and numbers again. Groups keep the settings of today: rate and decay come from the schedule."""
        groups = optimiser.state_dict()["param_groups"]
        if [group["params"] for group in groups] != self.optimiser_state["groups"]:
            msg = "its optimiser held other parameters"
            raise ValueError(msg)
        state = {int(key): dict(values) for key, values in self.optimiser_state["numbers"].items()}
        for key, value in self.optimiser.items():
            parameter, _, name = key.partition(".")
            state.setdefault(int(parameter), {})[name] = value
        return {"state": state, "param_groups": groups}


@dataclass(frozen=True, slots=True)
class Saved:
    """What was written and verified."""

    path: Path
    bytes: int
    seconds: float


def save_checkpoint(
    folder: Path, model: nn.Module, optimiser: Optimizer, position: Position, *, keep: int, name: str = ""
) -> Saved:
    """Write a checkpoint, read it back to verify it, then remove all but the newest `keep`.

    Raises:
        DiskFull: there is no space; the earlier checkpoints are untouched.
        RunError: what was read back differs from what was written.
    """
    start = time.monotonic()
    final = folder / (name or f"{position.step:07d}")
    partial = folder / f"{final.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    _discard_partial(folder)
    if (size := _verified_bytes(final)) is not None:  # a step's state is always the same: never give up a good copy
        return Saved(final, size, time.monotonic() - start)
    tensors, plain = _split_optimiser(optimiser)
    weights = {key: value.detach() for key, value in model.state_dict().items()}
    expected = sum(value.nbytes for value in (*weights.values(), *tensors.values()))
    with disk_full_named(final, expected):
        try:
            partial.mkdir()
            _write_tensors(partial / MODEL_FILE, weights)
            _write_tensors(partial / OPTIMISER_FILE, tensors)
            write_synced(partial / STATE_FILE, msgspec.json.encode(_State(position=position, optimiser=plain)))
            notes = {file: _note(partial / file) for file in _FILES}
            manifest = _Manifest(format=_FORMAT, step=position.step, files=notes)
            write_synced(partial / MANIFEST_FILE, msgspec.json.encode(manifest))
            sync_folder(partial)
            _verify_written(partial, weights, tensors)
            if final.exists():
                set_aside(final)  # of the same step, but damaged
            partial.rename(final)
            sync_folder(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    if not name:
        prune(folder, keep)
    return Saved(final, sum(note.bytes for note in notes.values()), time.monotonic() - start)


def _verified_bytes(path: Path) -> int | None:
    try:
        load_checkpoint(path)
    except RunError:
        return None
    return sum(entry.stat().st_size for entry in path.iterdir())


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint so that it counts no more; nothing of it is lost."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return path.rename(aside)


def prune(folder: Path, keep: int) -> None:
    """Remove complete checkpoints except the newest `keep`; never anything else."""
    for step in saved_steps(folder)[:-keep]:
        path = _folder_of(folder, step)
        (path / MANIFEST_FILE).unlink()  # first, so that a half-removed one never counts
        for file in _FILES:
            (path / file).unlink(missing_ok=True)
        if not any(path.iterdir()):
            path.rmdir()


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one checkpoint.

    Raises:
        RunError: it is incomplete, damaged or newer than this program.
    """
    try:
        manifest = msgspec.json.decode((path / MANIFEST_FILE).read_bytes(), type=_Manifest)
        if manifest.format > _FORMAT or set(manifest.files) != set(_FILES):
            raise RunError(f"Checkpoint {path.name} was written by another version.", "Update Selfsight.")
        for file, note in manifest.files.items():
            if _note(path / file) != note:
                raise RunError(f"Checkpoint {path.name} is damaged: {file} is not what was written.", _FALL_BACK)
        state = msgspec.json.decode((path / STATE_FILE).read_bytes(), type=_State)
        model, optimiser = load_file(path / MODEL_FILE), load_file(path / OPTIMISER_FILE)
    except (OSError, msgspec.MsgspecError, SafetensorError, UnicodeDecodeError) as error:
        raise RunError(f"Checkpoint {path.name} is damaged: {error}", _FALL_BACK) from error
    if manifest.step != state.position.step:
        raise RunError(f"Checkpoint {path.name} contradicts itself about its step.", _FALL_BACK)
    return Checkpoint(path, state.position, model, optimiser, state.optimiser)


_FALL_BACK = "An earlier checkpoint is used if there is one."


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[tuple[Path, str]]]:
    """Return the newest checkpoint that verifies (or None), and each newer one that does not, with a sentence."""
    refused: list[tuple[Path, str]] = []
    for step in reversed(saved_steps(folder)):
        try:
            return load_checkpoint(_folder_of(folder, step)), refused
        except RunError as error:
            refused.append((_folder_of(folder, step), error.message))
    return None, refused


def find_checkpoint(folder: Path, step: int | None = None) -> Checkpoint:
    """Return the checkpoint of `step`, or the newest that verifies.

    Raises:
        RunError: there is none, or the one asked for is damaged.
    """
    if step is None:
        found, refused = newest_checkpoint(folder)
        if found is None:
            reasons = " ".join(sentence for _, sentence in refused)
            raise RunError(f"{folder.parent.name} has no usable checkpoint. {reasons}".rstrip(), "Train it first.")
        return found
    if step not in saved_steps(folder):
        known = ", ".join(str(known) for known in saved_steps(folder)) or "none"
        raise RunError(f"{folder.parent.name} has no checkpoint of step {step}.", f"Saved steps: {known}.")
    return load_checkpoint(_folder_of(folder, step))


def _folder_of(folder: Path, step: int) -> Path:
    padded = folder / f"{step:07d}"
    return padded if padded.is_dir() else folder / str(step)


def _discard_partial(folder: Path) -> None:
    for entry in folder.iterdir():
        if re.fullmatch(r"[\w-]+\.part", entry.name) and entry.is_dir():
            shutil.rmtree(entry)


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    # copied, as safetensors refuses tensors that share memory
    cpu = {key: value.detach().to("cpu", copy=True).contiguous() for key, value in tensors.items()}
    try:
        save_file(cpu, path)
    except SafetensorError as error:
        raise _as_os_error(error) from error
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _as_os_error(error: SafetensorError) -> Exception:
    """Safetensors tells the system's error number only in its text."""
    found = re.search(r"os error (\d+)", str(error)) or re.search(r"code: (\d+)", str(error))
    if found is None:
        return error
    number = int(found[1])
    return OSError(_WINDOWS_NO_SPACE.get(number, number) if sys.platform == "win32" else number, str(error))


def _verify_written(partial: Path, weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    read = load_checkpoint(partial)
    for wanted, found in ((weights, read.model), (tensors, read.optimiser)):
        same = wanted.keys() == found.keys() and all(
            torch.equal(_bits(value.cpu()), _bits(found[key])) for key, value in wanted.items()
        )
        if not same:
            raise RunError(f"What was written to {partial} reads back differently.", "Check the disk.")


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)  # so that NaN equals NaN


def _note(path: Path) -> _FileNote:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        return _FileNote(bytes=file.tell(), sha256=digest.hexdigest())


def _split_optimiser(optimiser: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the optimiser's tensors by "PARAMETER.NAME", and the rest, which JSON can hold."""
    state = optimiser.state_dict()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for parameter, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{parameter}.{name}"] = value
            else:
                numbers.setdefault(str(parameter), {})[name] = value
    return tensors, {"groups": [group["params"] for group in state["param_groups"]], "numbers": numbers}
