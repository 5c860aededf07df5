"""Where a run computes: device and precision through lightning-fabric, memory, and what to do when it is short."""

from __future__ import annotations

import os
import warnings
from typing import Literal

import psutil
import torch
from lightning_fabric import Fabric

from engine.errors import ConfigError, OutOfMemory
from engine.training.settings import TrainingSettings

_SHORT_OF_MEMORY = ("can't allocate memory", "not enough memory", "cannot allocate memory", "out of memory")


def resolve_device(device: str) -> torch.device:
    """Return the device that "auto", "cpu", "cuda", "cuda:1" or "mps" means here.

    Raises:
        ConfigError: it is unknown, or not in this computer.
    """
    if device in {"", "auto"}:
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"There is no device {device!r}.", "Use auto, cpu or cuda:0.") from error
    if found.type == "cuda":
        count = torch.cuda.device_count()
        if (found.index or 0) >= count:
            raise ConfigError(
                f"There is no {device} here: this computer has {count} CUDA devices.", "Use auto, or check the driver."
            )
        return torch.device("cuda", found.index or 0)
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("There is no mps device here.", "Use auto.")
    return found


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return "float32" or "bfloat16"; auto means bfloat16 on GPUs that compute in it."""
    if precision != "auto":
        return precision
    return (
        "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    )


def open_fabric(device: str, precision: str) -> Fabric:
    """Return a launched Fabric on one device, or on all that torchrun started processes for.

    Raises:
        ConfigError: the device is not in this computer.
    """
    found = resolve_device(device)
    wanted: Literal["bf16-mixed", "32-true"] = (
        "bf16-mixed" if resolve_precision(precision, found) == "bfloat16" else "32-true"
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        if processes > 1:
            local = int(os.environ.get("LOCAL_WORLD_SIZE", str(processes)))
            fabric = Fabric(
                accelerator=found.type, devices=local, num_nodes=processes // local, strategy="ddp", precision=wanted
            )
        else:
            devices: list[int] | int = [found.index or 0] if found.type == "cuda" else 1
            fabric = Fabric(accelerator=found.type, devices=devices, precision=wanted)
        fabric.launch()
    return fabric


def memory_used(device: torch.device) -> int:
    """Return the most bytes that were in use on a GPU since `forget_peak`, or those of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return int(psutil.Process().memory_info().rss)


def forget_peak(device: torch.device) -> None:
    """Start measuring the peak anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def memory_total(device: torch.device) -> int:
    """Return the bytes that there are: of the GPU, or of the computer (or of its control group)."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory did not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SHORT_OF_MEMORY)


def out_of_memory(settings: TrainingSettings, device: torch.device, step: int) -> OutOfMemory:
    """Return the error that says which setting to lower, and by how much."""
    total = memory_total(device) / 2**30
    where = (
        f"The memory of {device} ({total:.0f} GB)"
        if device.type == "cuda"
        else f"The computer's memory ({total:.0f} GB)"
    )
    return OutOfMemory(
        f"{where} does not suffice for batches of {settings.batch_size} at step {step}.", smaller_batch(settings)
    )


def smaller_batch(settings: TrainingSettings) -> str:
    """Return the advice that halves memory and keeps the result."""
    if settings.batch_size == 1:
        return "The batch is 1 already: choose smaller images or a smaller network."
    half = settings.batch_size // 2
    return (
        f"Set batch_size to {half} and accumulate to {settings.accumulate * 2} "
        f"(as many records per update), then resume; or choose smaller images or a smaller network."
    )
