"""What a run is told, by its link or by Ctrl+C, gathered into a few flags that the loop reads."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch

from engine.protocol.messages import WorkerCommand
from engine.training.distribution import from_first
from engine.training.link import Link

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))


class Control:
    """Flags set by commands and signals. A second Ctrl+C ends the process as usual."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.should_stop = False
        self.is_paused = False
        self.wants_checkpoint = False
        self.watching: list[WorkerCommand] = []  # watch, unwatch, budget: for the views
        self._before: dict[int, Any] = {}

    def read(self) -> None:
        """Take in what arrived; returns at once."""
        for command in self._link.commands():
            if command.action in {"stop", "cancel"}:
                self.should_stop = True
            elif command.action in {"pause", "resume"}:
                self.is_paused = command.action == "pause"
            elif command.action == "checkpoint":
                self.wants_checkpoint = True
            else:
                self.watching.append(command)

    def agree(self, device: torch.device) -> None:
        """Take in what arrived, and make all processes do what the first one was told."""
        self.read()
        flags = [int(self.should_stop), int(self.is_paused), int(self.wants_checkpoint)]
        stop, paused, checkpoint = from_first(flags, device)
        self.should_stop, self.is_paused, self.wants_checkpoint = bool(stop), bool(paused), bool(checkpoint)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 the shape that signal wants
        if self.should_stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.should_stop = True

    def __enter__(self) -> Control:
        """Catch the signals that end a process, where this is its main thread."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
