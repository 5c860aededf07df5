"""What could stand in the way on this computer, and what to do about it."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import msgspec
import psutil

from engine.workspace import Workspace

LIBRARIES = ("torch", "torchvision", "timm", "lightning-fabric", "h5py", "numpy", "pillow", "pyzmq", "msgspec")
WINDOW_LIBRARIES = ("PySide6-Essentials", "pyqtgraph", "QtAwesome", "napari", "vtk")
DISPLAY_LIBRARIES = {
    "EGL": "libegl1",
    "GL": "libgl1",
    "xkbcommon-x11": "libxkbcommon-x11-0",
    "dbus-1": "libdbus-1-3",
    "fontconfig": "libfontconfig1",
    "xcb-cursor": "libxcb-cursor0",
    "xcb-icccm": "libxcb-icccm4",
    "xcb-keysyms": "libxcb-keysyms1",
    "xcb-shape": "libxcb-shape0",
    "xcb-image": "libxcb-image0",
    "xcb-render-util": "libxcb-render-util0",
}
GIGABYTE = 1e9


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was checked."""

    name: str
    level: Literal["ok", "warn", "error"]
    text: str
    fix: str = ""


def examine(workspace: Workspace) -> list[Finding]:
    """Check everything; nothing is changed."""
    return [
        _python(),
        _memory(),
        _accelerator(),
        _disk(workspace),
        *_libraries(LIBRARIES, required=True),
        *_libraries(WINDOW_LIBRARIES, required=False),
        _opencv(),
        _display(),
        _display_libraries(),
        _opengl(),
    ]


def _python() -> Finding:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.release()}"
    return Finding(name="python", level="ok", text=text)


def _memory() -> Finding:
    total = psutil.virtual_memory().total
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    text = f"{total / GIGABYTE:.1f} GB memory, {cores} cores"
    if total < 4 * GIGABYTE:
        return Finding(name="memory", level="warn", text=text, fix="Use the tiny presets; 8 GB are comfortable.")
    return Finding(name="memory", level="ok", text=text)


def _accelerator() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding(name="device", level="error", text=f"torch cannot be loaded: {error}", fix="Reinstall torch.")
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return Finding(name="device", level="ok", text=f"CUDA {torch.version.cuda}: {names}")
    if shutil.which("nvidia-smi"):
        return Finding(
            name="device",
            level="warn",
            text="An NVIDIA driver is installed, but torch sees no CUDA device",
            fix="Update the driver, or install the torch build for its CUDA version.",
        )
    return Finding(name="device", level="ok", text="No CUDA device; training runs on the processor")


def _disk(workspace: Workspace) -> Finding:
    place = workspace.root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{free / GIGABYTE:.0f} GB free at {workspace.root}"
    if not os.access(place, os.W_OK):
        return Finding(name="disk", level="error", text=f"{place} cannot be written", fix="Choose another --workspace.")
    if free < 2 * GIGABYTE:
        return Finding(name="disk", level="warn", text=text, fix="Free some space or choose another --workspace.")
    return Finding(name="disk", level="ok", text=text)


def _libraries(names: tuple[str, ...], *, required: bool) -> list[Finding]:
    findings = []
    for name in names:
        try:
            found = version(name)
        except PackageNotFoundError:
            level: Literal["warn", "error"] = "error" if required else "warn"
            fix = "pip install selfsight" if required else "pip install 'selfsight[app]' for the window."
            findings.append(Finding(name=name, level=level, text="not installed", fix=fix))
            continue
        is_bad_qt = name == "PySide6-Essentials" and found.startswith("6.12.0") and sys.version_info < (3, 12)
        if is_bad_qt:
            fix = "pip install 'PySide6-Essentials<6.12'"
            findings.append(Finding(name=name, level="error", text=f"{found} crashes under Python 3.11", fix=fix))
        elif name == "torch" and found.startswith("2.13.0"):
            fix = "pip install 'torch!=2.13.0'"
            findings.append(Finding(name=name, level="error", text=f"{found} breaks torchvision and timm", fix=fix))
        else:
            findings.append(Finding(name=name, level="ok", text=found))
    return findings


def _opencv() -> Finding:
    spec = importlib.util.find_spec("cv2")
    if spec is not None:
        for name in ("opencv-python", "opencv-contrib-python"):
            try:
                version(name)
            except PackageNotFoundError:
                continue
            return Finding(
                name="opencv",
                level="warn",
                text=f"{name} brings its own Qt, which can stop the window from opening",
                fix=f"pip uninstall {name} && pip install {name}-headless",
            )
    return Finding(name="opencv", level="ok", text="no second Qt in the way")


def _display() -> Finding:
    if sys.platform != "linux":
        return Finding(name="display", level="ok", text="native")
    shown = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if shown:
        return Finding(name="display", level="ok", text=shown)
    return Finding(
        name="display",
        level="warn",
        text="no display: the window cannot open, every command works",
        fix="Run it under `xvfb-run`, or keep the window on your own computer and the engine here.",
    )


def _display_libraries() -> Finding:
    if sys.platform != "linux":
        return Finding(name="display libraries", level="ok", text="part of the system")
    missing = [package for name, package in DISPLAY_LIBRARIES.items() if ctypes.util.find_library(name) is None]
    if missing:
        return Finding(
            name="display libraries",
            level="warn",
            text=f"missing: {', '.join(missing)}",
            fix=f"sudo apt-get install {' '.join(missing)}",
        )
    return Finding(name="display libraries", level="ok", text="all found")


def _opengl() -> Finding:
    """Ask for a context in a child process: a broken driver may end it."""
    if importlib.util.find_spec("PySide6") is None:
        return Finding(name="opengl", level="warn", text="not checked: PySide6 is not installed")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return Finding(name="opengl", level="warn", text="not checked: no display")
    code = (
        "from PySide6.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext\n"
        "app = QGuiApplication([])\n"
        "context = QOpenGLContext()\n"
        "assert context.create()\n"
        "surface = QOffscreenSurface()\n"
        "surface.create()\n"
        "assert context.makeCurrent(surface)\n"
        "print(context.format().majorVersion(), context.format().minorVersion(), sep='.')\n"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return Finding(name="opengl", level="warn", text="no answer in 30 s", fix="Update the graphics driver.")
    if done.returncode == 0:
        return Finding(name="opengl", level="ok", text=f"OpenGL {done.stdout.strip()}")
    return Finding(
        name="opengl",
        level="warn",
        text="no OpenGL context: volumes and point clouds cannot be drawn",
        fix="Install the graphics driver, or libgl1-mesa-dri for software rendering.",
    )
