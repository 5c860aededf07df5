"""What every page gets: the engine's client, the state, the look, the actions, the notices, and the way elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PySide6.QtCore import SignalInstance

from app.actions import ActionRegistry
from app.notices import Notices
from app.theme import Theme
from app.workspace_model import WorkspaceModel
from engine.protocol.messages import Message, Request

Arrays = list[np.ndarray[Any, np.dtype[Any]]]
Answer = Callable[[Message, Arrays], None]


class Client(Protocol):
    """What the window needs of the connection to the engine (`EngineClient`, and `FakeEngine` in tests)."""

    state_changed: SignalInstance  # str
    snapshot_received: SignalInstance  # Snapshot
    event_received: SignalInstance  # Event
    view_received: SignalInstance  # LiveView, Inspection

    @property
    def state(self) -> str:
        """Starting, connected, not responding, lost or refused."""
        ...

    @property
    def detail(self) -> str:
        """The state as a sentence."""
        ...

    def new_id(self) -> str:
        """Return an id for a request."""
        ...

    def send(self, request: Request, then: Answer | None = None) -> None:
        """Send a request; `then` gets the reply (or `Failed`) and its arrays on the Qt thread."""
        ...

    def start(self) -> None:
        """Connect, starting the engine if need be."""
        ...

    def close(self) -> None:
        """Disconnect; the engine goes on."""
        ...


@dataclass(frozen=True, slots=True)
class AppContext:
    """Handed to every page. `go("runs", run="…")` opens a place and shows the item there."""

    client: Client
    workspace: WorkspaceModel
    theme: Theme
    actions: ActionRegistry
    notices: Notices
    go: Callable[..., None]
