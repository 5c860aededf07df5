"""What the parts of the supervisor share."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.protocol import messages as m
from engine.protocol.inspections import Array
from engine.supervisor.background import Background
from engine.supervisor.children import Children
from engine.supervisor.sockets import Door
from engine.supervisor.subscriptions import Audience
from engine.workspace import Workspace

Answer = Callable[[m.Message, Sequence[Array]], None]
ENGINE_FOLDER = ".engine"


@dataclass(frozen=True, slots=True)
class Core:
    """Sockets, children, windows, and the thread that touches the disk."""

    workspace: Workspace
    folder: Path  # workspace/.engine: the queue, jobs, caches, logs
    workers: Door
    audience: Audience
    children: Children
    disk: Background


def engine_version() -> str:
    """Return the version of Selfsight."""
    try:
        return importlib.metadata.version("selfsight")
    except importlib.metadata.PackageNotFoundError:
        return "from source"
