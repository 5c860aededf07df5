"""Sockets on loopback that only holders of a key can talk to.

Each socket is a ROUTER with CURVE. A ZAP answerer in the same loop lets in exactly one client key per domain, so
that a stranger's connection ends in the handshake, before a single frame of it is read. Plain HTTP never gets
past ZeroMQ's greeting. Frames above `MAX_REQUEST_BYTES` close the connection without being stored.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import zmq
import zmq.utils.z85

logger = logging.getLogger(__name__)
MAX_REQUEST_BYTES = 64 * 2**20
MAX_VIEW_BYTES = 512 * 2**20
QUEUED_MESSAGES = 256  # what waits for one reader inside ZeroMQ, before the ring of events takes over


@dataclass(frozen=True, slots=True)
class Keys:
    """A CURVE key pair as Z85 text."""

    public: str
    secret: str

    @classmethod
    def new(cls) -> Keys:
        """Return fresh random keys."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())


class Door:
    """One listening socket: its server keys, the client keys that open it, its port."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], domain: str, *, max_bytes: int) -> None:
        self.domain = domain
        self.server, self.client = Keys.new(), Keys.new()
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 1000
        self.socket.ipv6 = False
        self.socket.router_mandatory = 1
        self.socket.sndhwm = QUEUED_MESSAGES
        self.socket.maxmsgsize = max_bytes
        self.socket.handshake_ivl = 5000
        self.socket.heartbeat_ivl = 5000
        self.socket.heartbeat_timeout = 30_000
        self.socket.zap_domain = domain.encode()
        self.socket.curve_server = 1
        self.socket.curve_publickey = self.server.public.encode()
        self.socket.curve_secretkey = self.server.secret.encode()
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")

    def send(self, identity: bytes, frames: list[bytes | memoryview]) -> bool | None:
        """Send without waiting. False: the reader's queue is full. None: it is gone."""
        try:
            self.socket.send_multipart([identity, *frames], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return None
            raise
        return True

    def receive(self) -> list[bytes] | None:
        """Return the frames of one message, identity first, or None when there is none."""
        try:
            return self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None


class Porter:
    """Answers ZeroMQ's question "may this key come in?" (ZAP, RFC 27). Must be bound before the doors."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")
        self._allowed: dict[str, str] = {}

    def admit(self, door: Door) -> None:
        """Let holders of the door's client key in."""
        self._allowed[door.domain] = door.client.public

    def answer(self) -> None:
        """Answer every question that waits."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.socket.send_multipart(self._reply(frames))

    def _reply(self, frames: list[bytes]) -> list[bytes]:
        if len(frames) < 7:
            return [b"1.0", frames[1] if len(frames) > 1 else b"", b"500", b"not understood", b"", b""]
        version, request, domain, address, _, mechanism, key, *_ = frames
        allowed = self._allowed.get(domain.decode(errors="replace"))
        if mechanism == b"CURVE" and allowed is not None and zmq.utils.z85.encode(key).decode() == allowed:
            return [version, request, b"200", b"OK", b"owner", b""]
        logger.warning("refused a connection from %s: unknown key", address.decode(errors="replace"))
        return [version, request, b"400", b"unknown key", b"", b""]
