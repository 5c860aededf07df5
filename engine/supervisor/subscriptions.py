"""Who listens: events kept for replay, one cursor per window, credits for live views.

Events are encoded once into a bounded ring. Each window has a cursor into it; sending stops where its queue is
full and goes on when it has read. So nothing waits for a slow window, and what it costs is bounded: the ring,
`QUEUED_MESSAGES` in ZeroMQ, and one newest picture per view it watches.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import msgspec

from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.inspections import Choice
from engine.supervisor.sockets import Door

RING_EVENTS = 20_000
RING_BYTES = 64 * 2**20
MAX_CREDITS = 4
SILENT_S = 60.0  # a window that says nothing for so long is gone
STARVED_S = 10.0  # a view nobody has had credit for so long is no longer computed
Frames = list[bytes | memoryview]


class Ring:
    """The newest events, as frames, by sequence number."""

    def __init__(self) -> None:
        self.head = 0  # number of the newest event
        self._frames: deque[bytes] = deque()
        self._bytes = 0

    @property
    def first(self) -> int:
        """Number of the oldest event that is still here."""
        return self.head - len(self._frames) + 1

    def add(self, event: m.Event) -> None:
        """Number an event and keep it."""
        self.head += 1
        frame = bytes(wire.encode(msgspec.structs.replace(event, seq=self.head))[0])
        self._frames.append(frame)
        self._bytes += len(frame)
        while len(self._frames) > RING_EVENTS or self._bytes > RING_BYTES:
            self._bytes -= len(self._frames.popleft())

    def at(self, seq: int) -> bytes:
        """Return the frame of event `seq`."""
        return self._frames[seq - self.first]


@dataclass(slots=True)
class Subscription:
    """One window's watch of one view of one run."""

    choice: Choice
    credits: int
    starved_since: float = -1.0
    newest: Frames | None = None  # came while there was no credit


@dataclass(slots=True)
class Window:
    """What is known of a connected window."""

    identity: bytes
    client: str
    heard: float = field(default_factory=time.monotonic)
    attached: bool = False
    cursor: int = 0
    watches: dict[tuple[str, str], Subscription] = field(default_factory=dict)


class Audience:
    """All windows that have shaken hands."""

    def __init__(self, door: Door) -> None:
        self.ring = Ring()
        self.windows: dict[bytes, Window] = {}
        self._door = door

    def publish(self, event: m.Event) -> None:
        """Give every attached window an event, now or when it can take it."""
        self.ring.add(event)
        self.pump()

    def send(self, identity: bytes, frames: Frames) -> bool:
        """Send a reply; False where the window is gone or does not read."""
        sent = self._door.send(identity, frames)
        if sent is None:
            self.windows.pop(identity, None)
        return bool(sent)

    def pump(self) -> bool:
        """Send waiting events; return whether some window could not take all of its own."""
        behind = False
        for window in list(self.windows.values()):
            if window.attached and window.cursor < self.ring.head:
                behind |= self._advance(window)
        return behind

    def _advance(self, window: Window) -> bool:
        window.cursor = max(window.cursor, self.ring.first - 1)  # it sees the gap and asks for a snapshot
        while window.cursor < self.ring.head:
            sent = self._door.send(window.identity, [self.ring.at(window.cursor + 1)])
            if sent is None:
                self.windows.pop(window.identity, None)
                return False
            if not sent:
                return True
            window.cursor += 1
        return False

    def replay(self, window: Window, after: int) -> bool:
        """Go back to `after`; False where those events are no longer kept."""
        if not self.ring.first - 1 <= after <= self.ring.head:
            return False
        window.attached, window.cursor = True, after
        return True

    def forget_silent(self) -> None:
        """Drop windows that have not said anything for a minute."""
        now = time.monotonic()
        for identity, window in list(self.windows.items()):
            if now - window.heard > SILENT_S:
                del self.windows[identity]

    # ── live views ───────────────────────────────────────────────────────────────────────────────────

    def watch(self, window: Window, request: m.Watch) -> None:
        """Begin, renew (add credit to) or end a watch."""
        key = (request.run, request.view)
        if not request.on:
            window.watches.pop(key, None)
            return
        known = window.watches.get(key)
        if known is None or known.choice != request.choice:
            window.watches[key] = Subscription(request.choice, max(1, min(request.credits, MAX_CREDITS)))
            return
        known.credits = min(known.credits + max(0, request.credits), MAX_CREDITS)
        if known.newest is not None and known.credits:
            frames, known.newest = known.newest, None
            self._give(window, known, frames)

    def watched(self) -> dict[tuple[str, str], Choice]:
        """Return what at least one window wants and can take, with the choice of the last that asked."""
        now = time.monotonic()
        return {
            key: subscription.choice
            for window in self.windows.values()
            for key, subscription in window.watches.items()
            if subscription.credits > 0 or now - subscription.starved_since < STARVED_S
        }

    def show(self, run: str, view: str, frames: Frames) -> None:
        """Give a live view to whoever watches it: now if it has credit, else it becomes the newest that waits."""
        for window in list(self.windows.values()):
            subscription = window.watches.get((run, view))
            if subscription is None:
                continue
            if subscription.credits > 0:
                self._give(window, subscription, frames)
            else:
                subscription.newest = frames

    def _give(self, window: Window, subscription: Subscription, frames: Frames) -> None:
        sent = self._door.send(window.identity, frames)
        if sent:
            subscription.credits -= 1
            if subscription.credits == 0:
                subscription.starved_since = time.monotonic()
        elif sent is None:
            self.windows.pop(window.identity, None)
        else:
            subscription.newest = frames
