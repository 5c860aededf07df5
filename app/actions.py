"""Every action of the window, by name: buttons, shortcuts and the palette show the same list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal


def _always() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done now, or why it cannot."""

    name: str  # unique: "runs.pause"
    title: str  # "Pause run"
    run: Callable[[], object]
    place: str = ""  # the page it belongs to, as its title reads; "" = everywhere
    icon: str = "next"
    shortcut: str = ""  # portable text: "Ctrl+Enter"
    refusal: Callable[[], str] = _always  # "" = possible, else the reason
    listed: bool = True  # in the palette


class ActionRegistry(QObject):
    """The actions there are. Pages add theirs when they are created."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._actions: dict[str, Action] = {}

    def add(self, *actions: Action) -> None:
        """Add actions; one of the same name replaces the older."""
        for action in actions:
            self._actions[action.name] = action
        self.changed.emit()

    def remove(self, *names: str) -> None:
        """Take actions away."""
        for name in names:
            self._actions.pop(name, None)
        self.changed.emit()

    def get(self, name: str) -> Action | None:
        """Return the action called `name`, or None."""
        return self._actions.get(name)

    def trigger(self, name: str) -> str:
        """Do it if it is possible; return "" or why it was not done."""
        action = self._actions.get(name)
        if action is None:
            return f"There is no action {name!r}."
        reason = action.refusal()
        if not reason:
            action.run()
        return reason

    def __iter__(self) -> Iterator[Action]:
        """Go through the actions as they are now."""
        return iter(tuple(self._actions.values()))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._actions)
