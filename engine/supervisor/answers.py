"""Replies that were given, so that a request which comes twice is done once, even across a restart."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path

import msgspec

from engine.protocol import messages as m
from engine.protocol import wire

logger = logging.getLogger(__name__)
KEPT = 2_000
Frames = list[bytes | memoryview]


class _Accepted(msgspec.Struct, array_like=True):
    request: str
    run: str
    job: str


class Answers:
    """The newest replies to requests that change something; those that made a run or a job are kept on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._replies: OrderedDict[str, Frames] = OrderedDict()
        for line in path.read_bytes().splitlines()[-KEPT:] if path.exists() else []:
            try:
                entry = msgspec.json.decode(line, type=_Accepted)
            except msgspec.MsgspecError:
                continue  # torn by a crash
            reply: m.Reply
            reply = m.RunAccepted(id=entry.request, run=entry.run)
            if entry.job:
                reply = m.JobAccepted(id=entry.request, job=entry.job)
            self._replies[entry.request] = wire.encode(reply)
        self._rewrite()

    def get(self, request: str) -> Frames | None:
        """Return the reply that was given to a request."""
        return self._replies.get(request)

    def keep(self, reply: m.Reply, frames: Frames) -> None:
        """Remember a reply."""
        if isinstance(reply, m.RunAccepted | m.JobAccepted):
            with self._path.open("ab") as file:
                file.write(_line(reply))
        self._replies[reply.id] = frames
        while len(self._replies) > KEPT:
            self._replies.popitem(last=False)

    def _rewrite(self) -> None:
        lines = []
        for frames in self._replies.values():
            reply, _ = wire.decode_answer([bytes(frames[0])])
            if isinstance(reply, m.RunAccepted | m.JobAccepted):
                lines.append(_line(reply))
        partial = self._path.with_name(self._path.name + ".part")
        partial.write_bytes(b"".join(lines))
        partial.replace(self._path)


def _line(reply: m.RunAccepted | m.JobAccepted) -> bytes:
    run = reply.run if isinstance(reply, m.RunAccepted) else ""
    job = reply.job if isinstance(reply, m.JobAccepted) else ""
    return msgspec.json.encode(_Accepted(reply.id, run, job)) + b"\n"
