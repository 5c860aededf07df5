"""Which live views the window watches: those of one run, only while they can be seen. QtCore only.

Of a run that trains, all that is in sight; of one that rests, what was asked for.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.context import Client
from engine.protocol.inspections import Choice
from engine.protocol.messages import Failed, LiveView, Message, Watch


class LiveWatch(QObject):
    """Keeps the engine's subscriptions equal to what is visible. One credit each; the client renews it."""

    arrived = Signal(str, object)  # view, Inspection
    refused = Signal(str, str)  # view, sentence

    def __init__(self, client: Client, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._run = ""
        self._is_in_sight = self._is_running = False
        self._visible: set[str] = set()
        self._asked: set[str] = set()  # of a run that rests only what is asked for is computed
        self._choices: dict[str, Choice] = {}
        self._watched: dict[str, Choice] = {}
        client.view_received.connect(self._take)

    @property
    def watched(self) -> frozenset[str]:
        """The views that are subscribed now."""
        return frozenset(self._watched)

    def set_run(self, run: str) -> None:
        """Turn to another run; what was watched of the old one is not any more."""
        if run == self._run:
            return
        self._apply(frozenset())
        self._run, self._visible, self._choices, self._asked = run, set(), {}, set()

    def set_in_sight(self, in_sight: bool) -> None:  # noqa: FBT001
        """Say whether the page can be seen."""
        self._is_in_sight = in_sight
        self.update()

    def set_running(self, running: bool) -> None:  # noqa: FBT001
        """Say whether the run goes on; what was asked for before that ends with the change."""
        if running != self._is_running:
            self._asked.clear()
        self._is_running = running
        self.update()

    def set_visible(self, view: str, visible: bool) -> None:  # noqa: FBT001
        """Say whether a view can be seen."""
        (self._visible.add if visible else self._visible.discard)(view)
        self.update()

    def set_choice(self, view: str, choice: Choice) -> None:
        """Say what of a view is wanted when it is watched."""
        self._choices[view] = choice
        self.update()

    def ask(self, view: str, choice: Choice) -> None:
        """Ask for something else of a view, also of a run that rests."""
        self._asked.add(view)
        self.set_choice(view, choice)

    def update(self) -> None:
        """Subscribe to what is missing, unsubscribe from what is too much."""
        seen = frozenset(self._visible) if self._is_in_sight and self._run else frozenset()
        self._apply(seen if self._is_running else seen & self._asked)

    def _apply(self, wanted: frozenset[str]) -> None:
        for view in [view for view in self._watched if view not in wanted]:
            choice = self._watched.pop(view)
            self._client.send(Watch(id=self._client.new_id(), run=self._run, view=view, choice=choice, on=False))
        for view in sorted(wanted):
            choice = self._choices.get(view, Choice())
            if self._watched.get(view) == choice:
                continue
            self._watched[view] = choice
            request = Watch(id=self._client.new_id(), run=self._run, view=view, choice=choice, credits=1)
            self._client.send(request, lambda reply, _arrays, view=view: self._answered(view, reply))  # type: ignore[misc]

    def _answered(self, view: str, reply: Message) -> None:
        if isinstance(reply, Failed):
            self.refused.emit(view, f"{reply.failure.message} {reply.failure.hint}".strip())

    def refuse(self, run: str, view: str, sentence: str) -> None:
        """Take the engine's word that a view cannot be computed."""
        if run == self._run and view in self._watched:
            self.refused.emit(view, sentence)

    def _take(self, live: LiveView, inspection: object) -> None:
        if live.run == self._run and live.view in self._watched:
            self.arrived.emit(live.view, inspection)
