"""The handshake, and what happens to those who should not be there."""

import contextlib
import random
import socket
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import zmq

from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.connection import connection_file
from tests.engine.supervisor.engine_process import EngineProcess, PlainWindow, new_id


def still_answers(window: PlainWindow) -> bool:
    return isinstance(window.ask(m.Ping(id=new_id()), limit_s=5), m.Done)


def read_until_closed(line: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while data := line.recv(4096):
            answer += data
    return answer


def test_that_hello_is_answered_with_who_the_engine_is(window: PlainWindow, engine_process: EngineProcess) -> None:
    welcome = window.hello()
    assert isinstance(welcome, m.Welcome)
    assert (welcome.protocol, welcome.pid) == (m.PROTOCOL_VERSION, engine_process.process.pid)
    assert welcome.workspace == str(engine_process.workspace)


def test_that_another_protocol_is_refused_with_a_sentence_that_says_how_to_mend_it(window: PlainWindow) -> None:
    reply = window.ask(m.Hello(id=new_id(), protocol=m.PROTOCOL_VERSION + 1, client="from the future"))
    assert isinstance(reply, m.Failed)
    assert reply.failure.kind == "protocol"
    assert f"protocol {m.PROTOCOL_VERSION + 1}" in reply.failure.message
    assert "pip install --upgrade selfsight" in reply.failure.message


def test_that_a_newer_hello_with_unknown_fields_is_refused_with_the_same_sentence(window: PlainWindow) -> None:
    hello = {"type": "Hello", "id": "x", "protocol": m.PROTOCOL_VERSION + 1, "client": "new", "colour": "blue"}
    window.socket.send(msgspec.msgpack.encode(hello))
    reply = window.reply_to("x")
    assert isinstance(reply, m.Failed)
    assert "Update the engine" in reply.failure.message


def test_that_a_window_must_say_hello_before_it_is_answered(window: PlainWindow) -> None:
    reply = window.ask(m.Attach(id=new_id()))
    assert isinstance(reply, m.Failed)
    assert reply.failure.kind == "handshake"


def test_that_random_and_mutated_frames_change_nothing(window: PlainWindow) -> None:
    window.hello()
    random_bytes = random.Random(0)
    good = bytes(wire.encode(m.StartRun(id="x", spec=m.RunSpec(method="mae", dataset="d")))[0])
    for number in range(20_000):
        if number % 2:
            mutated = bytearray(good)
            for _ in range(random_bytes.randint(1, 4)):
                mutated[random_bytes.randrange(len(mutated))] = random_bytes.randrange(256)
            frames = [bytes(mutated[: random_bytes.randint(0, len(mutated))])]
        else:
            count = random_bytes.randint(1, 4)
            frames = [random_bytes.randbytes(random_bytes.randint(0, 40)) for _ in range(count)]
        window.socket.send_multipart(frames)
        if number % 2000 == 0:
            assert still_answers(window)
    assert still_answers(window)
    snapshot = window.ask(m.Attach(id=new_id()))
    assert isinstance(snapshot, m.Snapshot)
    assert snapshot.runs == ()


def test_that_a_wrong_key_gets_no_answer_and_the_engine_goes_on(
    window: PlainWindow, engine_process: EngineProcess
) -> None:
    public, secret = zmq.curve_keypair()
    stranger = PlainWindow(
        msgspec.structs.replace(engine_process.info, client_public=public.decode(), client_secret=secret.decode())
    )
    monitor = stranger.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_SUCCEEDED)
    stranger.socket.send_multipart(wire.encode(m.Hello(id="x", protocol=m.PROTOCOL_VERSION, client="stranger")))
    assert monitor.poll(10_000)
    event = int.from_bytes(monitor.recv_multipart()[0][:2], sys.byteorder)
    assert event == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    assert not stranger.socket.poll(200)
    stranger.socket.disable_monitor()
    monitor.close()
    stranger.close()
    window.hello()
    assert still_answers(window)


def test_that_a_browser_gets_nothing(window: PlainWindow, engine_process: EngineProcess) -> None:
    with socket.create_connection(("127.0.0.1", engine_process.info.port), timeout=10) as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n{}")
        answer = read_until_closed(line)
    assert not answer.startswith(b"HTTP")
    window.hello()
    assert still_answers(window)


def test_that_a_frame_that_claims_four_gigabytes_takes_no_memory(
    window: PlainWindow, engine_process: EngineProcess
) -> None:
    with socket.create_connection(("127.0.0.1", engine_process.info.port), timeout=10) as line:
        line.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 32))
        line.sendall(b"\x06" + (4 * 2**30).to_bytes(8, "big") + bytes(1000))
        read_until_closed(line)
    window.hello()
    assert still_answers(window)


def test_that_the_connection_file_is_its_owners_alone_and_the_port_on_loopback(engine_process: EngineProcess) -> None:
    mode = stat.S_IMODE(connection_file(engine_process.workspace).stat().st_mode)
    assert mode == 0o600
    listening = [
        c.laddr.ip for c in psutil.Process(engine_process.process.pid).net_connections() if c.status == "LISTEN"
    ]
    assert set(listening) == {"127.0.0.1"}


def test_that_a_second_engine_on_the_workspace_refuses_and_names_the_first(engine_process: EngineProcess) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "engine.supervisor", "--workspace", str(engine_process.workspace)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert f"process {engine_process.process.pid} on {socket.gethostname()}" in second.stderr


def test_that_the_supervisor_never_imports_torch() -> None:
    code = (
        "import sys, engine.supervisor.__main__, engine.supervisor.server, engine.worker, engine.runs\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'h5py', 'PySide6')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_that_an_idle_engine_ends_by_itself(tmp_path: Path) -> None:
    process = EngineProcess(tmp_path / "workspace", "--idle-stop", "0.5")
    assert process.process.wait(timeout=30) == 0
    assert "nobody attached" in process.said()
    assert not connection_file(process.workspace).exists()
