"""Devices that runs can be placed on, and how busy they are; without torch."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import psutil

from engine.protocol.messages import DeviceInfo

logger = logging.getLogger(__name__)


class Devices:
    """The computer's devices. Reading the figures may take some milliseconds: done beside the loop."""

    def __init__(self) -> None:
        self._nvml = _open_nvml()
        self._visible = _visible_gpus(self._nvml)
        psutil.cpu_percent()

    def read(self) -> tuple[DeviceInfo, ...]:
        """Return fresh figures of all devices; `run` is filled in by the queue."""
        memory = psutil.virtual_memory()
        found = [
            DeviceInfo(
                id="cpu",
                name=_cpu_name(),
                memory_bytes=memory.total,
                used_bytes=memory.total - memory.available,
                busy_percent=float(psutil.cpu_percent()),
            )
        ]
        if sys.platform == "darwin" and platform.machine() == "arm64":
            found.append(DeviceInfo(id="mps", name="Apple GPU", memory_bytes=memory.total))
        for number, handle in enumerate(self._visible):
            found.append(_read_gpu(self._nvml, number, handle))
        return tuple(found)


def place_environment(device: str, wanted: str) -> dict[str, str]:
    """Return the environment that makes a run that `wanted` "auto" take `device`."""
    if wanted != "auto" or device == "mps":
        return {}
    if device == "cpu":
        return {"CUDA_VISIBLE_DEVICES": ""}
    number = int(device.removeprefix("cuda:"))
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    entry = named.split(",")[number].strip() if named else str(number)
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": entry}


def disk_space(folder: Path) -> tuple[int, int]:
    """Return free and total bytes of the disk that holds `folder`."""
    usage = shutil.disk_usage(folder)
    return usage.free, usage.total


def _open_nvml() -> Any:
    try:
        import pynvml

        pynvml.nvmlInit()
    except (ImportError, OSError) as error:
        logger.info("no NVIDIA devices: %s", error)
        return None
    except pynvml.NVMLError as error:
        logger.info("no NVIDIA devices: %s", error)
        return None
    return pynvml


def _visible_gpus(nvml: Any) -> list[Any]:
    if nvml is None:
        return []
    handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return handles
    chosen = []
    for entry in filter(None, (part.strip() for part in named.split(","))):
        if entry.isdecimal() and int(entry) < len(handles):
            chosen.append(handles[int(entry)])
        elif not entry.isdecimal():
            chosen += [handle for handle in handles if nvml.nvmlDeviceGetUUID(handle).startswith(entry)]
    return chosen


def _read_gpu(nvml: Any, number: int, handle: Any) -> DeviceInfo:
    name = nvml.nvmlDeviceGetName(handle)
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        busy = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except nvml.NVMLError as error:  # a slice of a device does not tell everything
        logger.debug("%s does not tell how busy it is: %s", name, error)
        return DeviceInfo(id=f"cuda:{number}", name=str(name))
    return DeviceInfo(
        id=f"cuda:{number}",
        name=str(name),
        memory_bytes=int(memory.total),
        used_bytes=int(memory.used),
        busy_percent=busy,
    )


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()
