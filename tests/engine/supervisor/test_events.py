"""Sequence numbers, replay after a gap, credits, and a window that never reads."""

from pathlib import Path

import numpy as np
import psutil
import pytest
import zmq

from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.inspections import Choice
from engine.supervisor import subscriptions
from engine.supervisor.sockets import Door, Porter
from engine.supervisor.subscriptions import Audience, Window
from tests.engine.supervisor.engine_process import EngineProcess, PlainWindow, new_id, window_of


def test_that_replay_gives_exactly_what_was_missed(window: PlainWindow, engine_process: EngineProcess) -> None:
    snapshot = window.attach()
    window.ask(m.MakeSample(id=new_id(), name="unicorns"))
    window.wait_for(lambda event: isinstance(event, m.JobChanged) and event.job.state == "failed")
    with window_of(engine_process) as other:
        other.hello()
        other.ask(m.Replay(id=new_id(), epoch=snapshot.epoch, after=window.events[0].seq))
        other.wait_for(lambda event: event.seq == window.events[-1].seq)
        assert [event.seq for event in other.events[: len(window.events) - 1]] == [e.seq for e in window.events[1:]]


@pytest.mark.parametrize("epoch", ["", "of an engine that is gone"])
def test_that_replay_of_another_epoch_gives_a_snapshot(window: PlainWindow, epoch: str) -> None:
    window.hello()
    assert isinstance(window.ask(m.Replay(id=new_id(), epoch=epoch, after=3)), m.Snapshot)


def test_that_replay_from_beyond_the_ring_gives_a_snapshot(window: PlainWindow) -> None:
    snapshot = window.attach()
    reply = window.ask(m.Replay(id=new_id(), epoch=snapshot.epoch, after=snapshot.seq + 1000))
    assert isinstance(reply, m.Snapshot)


class Pair:
    """A door and one reader that reads only when asked to."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.porter = Porter(self.context)
        self.door = Door(self.context, "windows", max_bytes=2**20)
        self.porter.admit(self.door)
        self.audience = Audience(self.door)
        self.reader = self.context.socket(zmq.DEALER)
        self.reader.linger = 0
        self.reader.rcvhwm = 10
        self.reader.curve_serverkey = self.door.server.public.encode()
        self.reader.curve_publickey = self.door.client.public.encode()
        self.reader.curve_secretkey = self.door.client.secret.encode()
        self.reader.connect(f"tcp://127.0.0.1:{self.door.port}")
        self.reader.send(b"here")
        assert self.porter.socket.poll(10_000)
        self.porter.answer()
        assert self.door.socket.poll(10_000)
        frames = self.door.receive()
        assert frames is not None
        self.window = Window(frames[0], "test", attached=True)
        self.audience.windows[frames[0]] = self.window

    def read(self) -> m.Message:
        assert self.reader.poll(10_000)
        return wire.decode_answer(self.reader.recv_multipart())[0]

    def close(self) -> None:
        self.context.destroy(linger=0)


@pytest.fixture
def pair():
    pair = Pair()
    yield pair
    pair.close()


def metrics(line: int) -> m.MetricsAppended:
    row = m.MetricsRow(step=line, time_s=1.0, values={f"loss/{n}": 0.5 for n in range(50)})
    return m.MetricsAppended(run="run", first_line=line, rows=(row,))


def test_that_a_window_that_never_reads_costs_bounded_memory_and_catches_up(pair: Pair) -> None:
    for line in range(5_000):
        pair.audience.publish(metrics(line))
    before = psutil.Process().memory_info().rss
    for line in range(5_000, 60_000):
        pair.audience.publish(metrics(line))
    growth = psutil.Process().memory_info().rss - before
    assert growth < subscriptions.RING_BYTES * 1.5
    assert pair.window.cursor < pair.audience.ring.head
    seen = []
    while pair.window.cursor < pair.audience.ring.head or pair.reader.poll(100):
        event = pair.read()
        assert isinstance(event, m.Event)
        seen.append(event.seq)
        pair.audience.pump()
    assert seen[-1] == pair.audience.ring.head
    assert seen == sorted(set(seen))


def view(step: int) -> list[bytes | memoryview]:
    return wire.encode(m.LiveView(run="run", view="reconstruction", step=step), [np.zeros(4, np.float32)])


def watch(**changes) -> m.Watch:
    return m.Watch(**{"id": "w", "run": "run", "view": "reconstruction", "credits": 1} | changes)


def test_that_one_credit_gives_one_view_and_the_next_credit_the_newest(pair: Pair) -> None:
    pair.audience.watch(pair.window, watch())
    for step in range(1, 50):
        pair.audience.show("run", "reconstruction", view(step))
    first = pair.read()
    assert isinstance(first, m.LiveView)
    assert first.step == 1
    assert not pair.reader.poll(100)
    pair.audience.watch(pair.window, watch())
    second = pair.read()
    assert isinstance(second, m.LiveView)
    assert second.step == 49


def test_that_a_view_without_credit_is_soon_no_longer_computed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.audience.watch(pair.window, watch())
    assert ("run", "reconstruction") in pair.audience.watched()
    pair.audience.show("run", "reconstruction", view(1))
    assert ("run", "reconstruction") in pair.audience.watched()
    monkeypatch.setattr(subscriptions, "STARVED_S", 0.0)
    assert pair.audience.watched() == {}
    pair.audience.watch(pair.window, watch())
    assert ("run", "reconstruction") in pair.audience.watched()


def test_that_another_choice_replaces_the_watch(pair: Pair) -> None:
    pair.audience.watch(pair.window, watch())
    pair.audience.watch(pair.window, watch(choice=Choice(layer=3)))
    assert pair.audience.watched() == {("run", "reconstruction"): Choice(layer=3)}
    pair.audience.watch(pair.window, watch(on=False))
    assert pair.audience.watched() == {}


def test_that_the_engines_answers_stay_quick_while_a_window_does_not_read(tmp_path: Path) -> None:
    process = EngineProcess(tmp_path / "workspace")
    sleeper = PlainWindow(process.info, receive_limit=1)
    sleeper.attach()
    with window_of(process) as window:
        window.attach()
        for number in range(300):
            window.ask(m.SetBudget(id=new_id(), share=0.01 * (number % 5)))
            sleeper.socket.send_multipart(wire.encode(m.Attach(id=new_id())))
        assert isinstance(window.ask(m.Ping(id=new_id()), limit_s=5), m.Done)
    sleeper.close()
    process.close()
    assert process.process.returncode == 0
