"""EngineClient against the real supervisor, started by the real launcher."""

import itertools
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from PySide6.QtCore import QTimer
from pytestqt.qtbot import QtBot

from app.client import EngineClient
from app.launcher import LaunchError, Local, Ssh
from engine.protocol import messages as m
from engine.protocol.connection import (
    ConnectionInfo,
    connection_file,
    read_connection,
    remove_connection,
    write_connection,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


class Recorder:
    """Keeps what a client says."""

    def __init__(self, client: EngineClient) -> None:
        self.states: list[str] = []
        self.snapshots: list[m.Snapshot] = []
        self.events: list[m.Event] = []
        client.state_changed.connect(self.states.append)
        client.snapshot_received.connect(self.snapshots.append)
        client.event_received.connect(self.events.append)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    workspace = tmp_path / "workspace"
    yield workspace
    info = read_connection(workspace)
    if info is not None and psutil.pid_exists(info.pid):
        engine = psutil.Process(info.pid)
        engine.send_signal(signal.SIGCONT)
        engine.terminate()
        psutil.wait_procs([engine], timeout=20)


@pytest.fixture
def client(workspace: Path, qtbot: QtBot) -> Iterator[EngineClient]:
    client = EngineClient(Local(workspace))
    yield client
    client.close()


def connected(client: EngineClient, qtbot: QtBot) -> Recorder:
    recorder = Recorder(client)
    client.start()
    qtbot.waitUntil(lambda: client.state == "connected" and bool(recorder.snapshots), timeout=180_000)
    return recorder


def ask(client: EngineClient, qtbot: QtBot, request: m.Request) -> m.Message:
    replies: list[m.Message] = []
    client.send(request, lambda reply, _: replies.append(reply))
    qtbot.waitUntil(lambda: bool(replies), timeout=180_000)
    return replies[0]


def engine_of(workspace: Path) -> int:
    info = read_connection(workspace)
    assert info is not None
    return info.pid


def test_that_start_brings_up_an_engine_and_a_snapshot(client: EngineClient, qtbot: QtBot, workspace: Path) -> None:
    recorder = connected(client, qtbot)
    assert recorder.states[-1] == "connected"
    assert recorder.snapshots[0].workspace == str(workspace)
    assert client.detail == "Connected to the engine on this computer."


def test_that_a_reply_and_the_events_of_a_job_arrive_in_order(client: EngineClient, qtbot: QtBot) -> None:
    recorder = connected(client, qtbot)
    reply = ask(client, qtbot, m.MakeSample(id=client.new_id(), name="digits"))
    assert isinstance(reply, m.JobAccepted)
    qtbot.waitUntil(
        lambda: any(isinstance(event, m.JobChanged) and event.job.state == "done" for event in recorder.events),
        timeout=180_000,
    )
    numbers = [event.seq for event in recorder.events]
    assert numbers == list(range(recorder.snapshots[0].seq + 1, recorder.snapshots[0].seq + 1 + len(numbers)))


def test_that_a_second_window_sees_the_same_engine(client: EngineClient, qtbot: QtBot, workspace: Path) -> None:
    connected(client, qtbot)
    other = EngineClient(Local(workspace))
    recorder = connected(other, qtbot)
    assert recorder.snapshots[0].epoch
    other.close()
    assert isinstance(ask(client, qtbot, m.SetBudget(id=client.new_id(), share=0.1)), m.Done)


def test_that_closing_the_window_leaves_the_engine_running(client: EngineClient, qtbot: QtBot, workspace: Path) -> None:
    connected(client, qtbot)
    pid = engine_of(workspace)
    client.close()
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_that_a_killed_engine_is_lost_and_another_is_started(
    client: EngineClient, qtbot: QtBot, workspace: Path
) -> None:
    recorder = connected(client, qtbot)
    first = engine_of(workspace)
    recorder.states.clear()
    os.kill(first, signal.SIGKILL)
    qtbot.waitUntil(lambda: len(recorder.snapshots) == 2 and client.state == "connected", timeout=180_000)
    assert recorder.states[0] == "lost"
    assert engine_of(workspace) != first
    assert recorder.snapshots[1].epoch != recorder.snapshots[0].epoch


def test_that_a_request_made_while_the_engine_is_away_is_answered_when_it_is_back(
    client: EngineClient, qtbot: QtBot, workspace: Path
) -> None:
    connected(client, qtbot)
    os.kill(engine_of(workspace), signal.SIGKILL)
    assert isinstance(ask(client, qtbot, m.SetBudget(id=client.new_id(), share=0.2)), m.Done)


def test_that_a_hung_engine_does_not_respond_within_ten_seconds_and_the_window_never_stalls(
    client: EngineClient, qtbot: QtBot, workspace: Path
) -> None:
    recorder = connected(client, qtbot)
    beats: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(time.monotonic()))
    timer.start(20)
    os.kill(engine_of(workspace), signal.SIGSTOP)
    qtbot.waitUntil(lambda: client.state == "not responding", timeout=10_000)
    timer.stop()
    assert max(later - earlier for earlier, later in itertools.pairwise(beats)) < 0.5
    os.kill(engine_of(workspace), signal.SIGCONT)
    qtbot.waitUntil(lambda: client.state == "connected", timeout=20_000)
    assert len(recorder.snapshots) == 1
    numbers = [event.seq for event in recorder.events]
    assert numbers == list(range(recorder.snapshots[0].seq + 1, recorder.snapshots[0].seq + 1 + len(numbers)))


def test_that_a_stopped_engine_stays_stopped_until_asked_for(
    client: EngineClient, qtbot: QtBot, workspace: Path
) -> None:
    recorder = connected(client, qtbot)
    pid = engine_of(workspace)
    client.send(m.StopEngine(id=client.new_id()))
    qtbot.waitUntil(lambda: client.state == "lost", timeout=30_000)
    assert client.detail == "The engine was stopped as you asked."
    qtbot.waitUntil(lambda: not psutil.pid_exists(pid) or is_zombie(pid), timeout=10_000)
    assert read_connection(workspace) is None
    failed = ask(client, qtbot, m.SetBudget(id=client.new_id(), share=0.1))
    assert isinstance(failed, m.Failed)
    client.start()
    qtbot.waitUntil(lambda: len(recorder.snapshots) == 2 and client.state == "connected", timeout=180_000)


def is_zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_that_an_engine_of_another_version_is_refused_with_how_to_mend_it(qtbot: QtBot, workspace: Path) -> None:
    class Older(Local):
        def reach(self, stopping: threading.Event):
            return msgspec.structs.replace(super().reach(stopping), protocol=0, engine="0.0.1")

    other = EngineClient(Older(workspace))
    other.start()
    qtbot.waitUntil(lambda: other.state == "refused", timeout=180_000)
    assert "Selfsight 0.0.1" in other.detail
    assert "Update the engine" in other.detail
    other.close()


def test_that_a_launcher_that_fails_is_lost_with_its_sentence_and_close_does_not_wait(qtbot: QtBot) -> None:
    class Failing:
        place = "nowhere"

        def reach(self, stopping: threading.Event):
            msg = "There is no such place."
            raise LaunchError(msg)

        def is_alive(self, info) -> bool:
            return False

        def close(self) -> None: ...

    client = EngineClient(Failing())
    client.start()
    qtbot.waitUntil(lambda: client.state == "lost", timeout=10_000)
    assert client.detail == "There is no such place."
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 3


FAKE_SSH = """#!{python}
import os, socket, subprocess, sys, threading
arguments = sys.argv[1:]
open({log!r}, "a").write(repr(arguments) + chr(10))
if "-N" not in arguments:
    assert arguments[-2] == "gpu-box" and arguments[-3] == "--"
    sys.exit(subprocess.call(arguments[-1].replace("python3", sys.executable), shell=True, cwd={root!r}))
near, far = arguments[arguments.index("-L") + 1].split(":")[1], arguments[arguments.index("-L") + 1].split(":")[3]
listener = socket.create_server(("127.0.0.1", int(near)))
def pump(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    sink.close()
while True:
    here, _ = listener.accept()
    there = socket.create_connection(("127.0.0.1", int(far)))
    threading.Thread(target=pump, args=(here, there), daemon=True).start()
    threading.Thread(target=pump, args=(there, here), daemon=True).start()
"""


@pytest.fixture
def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` on PATH that runs the command here, and forwards one port."""
    script, log = tmp_path / "bin" / "ssh", tmp_path / "ssh.log"
    script.parent.mkdir()
    root = str(Path(__file__).parents[2])
    script.write_text(FAKE_SSH.format(python=sys.executable, log=str(log), root=root))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return log


def test_that_an_engine_elsewhere_is_started_and_reached_through_one_tunnel(
    fake_ssh: Path, workspace: Path, qtbot: QtBot
) -> None:
    client = EngineClient(Ssh("gpu-box", workspace=str(workspace)))
    recorder = connected(client, qtbot)
    assert recorder.snapshots[0].workspace == str(workspace)
    assert isinstance(ask(client, qtbot, m.SetBudget(id=client.new_id(), share=0.1)), m.Done)
    assert client.detail == "Connected to the engine on gpu-box."
    client.close()
    assert sum("'-N'" in line for line in fake_ssh.read_text().splitlines()) == 1


@pytest.mark.parametrize("host", ["-oProxyCommand=touch /tmp/x", "", "two words"])
def test_that_a_host_that_could_be_an_option_is_refused(host: str) -> None:
    with pytest.raises(LaunchError, match="not the name of a computer"):
        Ssh(host)


def test_that_the_connection_file_is_written_with_mode_0600_and_read_back(workspace: Path) -> None:
    workspace.mkdir()
    info = ConnectionInfo(
        protocol=1, engine="1", pid=2**22 + 1, host="h", workspace="w", port=1,
        server_key="k" * 40, client_public="k" * 40, client_secret="k" * 40,
    )  # fmt: skip
    write_connection(workspace, info)
    assert stat.S_IMODE(connection_file(workspace).stat().st_mode) == 0o600
    assert read_connection(workspace) == info
    remove_connection(workspace, pid=1)
    assert read_connection(workspace) == info
    connection_file(workspace).write_bytes(b'{"port": 70000}')
    assert read_connection(workspace) is None
