"""The main job through the window: files dropped on it, a method started, closed, killed, taken up again."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication

from app.main_window import MainWindow
from engine.data.samples import make_sample
from engine.data.store import Dataset
from engine.protocol import messages as m
from engine.runs import RunFolder
from tests.end_to_end.conftest import Desk

pytestmark = pytest.mark.timeout(400)


def drop(window: MainWindow, *paths: Path) -> None:
    """Drag real files over the window and let them fall."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    middle = QPoint(window.width() // 2, window.height() // 2)
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(window, QDragEnterEvent(middle, Qt.DropAction.CopyAction, data, buttons, keys))
    QApplication.sendEvent(window, QDropEvent(QPointF(middle), Qt.DropAction.CopyAction, data, buttons, keys))


def start_run(desk: Desk, window: MainWindow, dataset: str, steps: int, **training) -> str:
    found: list[str] = []
    spec = m.RunSpec(
        method="mae",
        dataset=dataset,
        preset="tiny",
        training={"steps": steps, "batch_size": 16, "checkpoint_every": 10, "evaluate_every": 0} | training,
    )
    client = window.context.client

    def take(reply, _arrays) -> None:
        assert isinstance(reply, m.RunAccepted), reply
        found.append(reply.run)

    client.send(m.StartRun(id=client.new_id(), spec=spec), take)
    desk.wait(lambda: found and found[0] in window.workspace.runs)
    return found[0]


def test_that_a_dropped_folder_is_planned_imported_and_trained_on(desk: Desk, photographs: Path) -> None:
    window = desk.open()
    drop(window, photographs)
    page = window.places.pages["data"]
    plan_model = page.model.plan
    desk.wait(lambda: plan_model.plan is not None and plan_model.plan.complete)
    plan = plan_model.plan
    assert plan.classes["stripes"] == 20
    assert {"text.jpg", "empty.jpg"} <= {Path(one.path).name for one in plan.skipped}
    assert not list(desk.home.glob("datasets/*.h5"))
    plan_model.start()
    desk.wait(lambda: window.workspace.datasets)
    info = next(iter(window.workspace.datasets.values()))
    assert info.records == 40
    assert {"text.jpg", "empty.jpg", "cut.jpg"} <= {Path(one.path).name for one in info.skipped}
    dataset = Dataset.open(Path(info.path))
    assert dataset.verify() == []
    dataset.close()
    run = start_run(desk, window, info.path, 12)
    window.go("runs", run=run)
    desk.wait(lambda: window.workspace.runs[run].state == "finished")
    history = window.workspace.history(run)
    desk.wait(lambda: len(history.series("loss")[0]) >= 2)
    picture = window.grab().toImage()
    colours = {picture.pixel(x, y) for x in range(0, picture.width(), 7) for y in range(0, picture.height(), 7)}
    assert len(colours) > 50


@pytest.fixture
def digits(desk: Desk) -> str:
    path = desk.home / "datasets" / "digits.h5"
    path.parent.mkdir(parents=True)
    make_sample("digits", path)
    return str(path)


def test_that_a_closed_window_finds_everything_when_it_is_opened_again(desk: Desk, digits: str) -> None:
    window = desk.open()
    run = start_run(desk, window, digits, 100_000)
    desk.wait(lambda: window.workspace.runs[run].step >= 20)
    seen = window.workspace.runs[run].step
    desk.close()
    window = desk.open()
    desk.wait(lambda: run in window.workspace.runs)
    assert window.workspace.runs[run].state == "training"
    desk.wait(lambda: window.workspace.runs[run].step > seen)
    history = window.workspace.history(run)
    desk.wait(lambda: history.loaded and len(history.metrics) > 1)
    steps = [row.step for row in history.metrics]
    assert steps == sorted(set(steps))


def test_that_a_killed_engine_leaves_a_run_that_resumes_with_one_click(desk: Desk, digits: str) -> None:
    window = desk.open()
    run = start_run(desk, window, digits, 100_000)
    desk.wait(lambda: window.workspace.runs[run].saved_step >= 10)
    engine = desk.engine()
    children = engine.children(recursive=True)
    os.kill(engine.pid, signal.SIGKILL)
    desk.wait(lambda: window.context.client.state in {"lost", "starting"})
    desk.close()
    assert not [child for child in children if child.is_running() and child.status() != "zombie"]
    window = desk.open()
    desk.wait(lambda: run in window.workspace.runs and window.workspace.runs[run].state == "interrupted")
    saved = window.workspace.runs[run].saved_step
    history = window.workspace.history(run)
    desk.wait(lambda: any("stopped while this run was training" in event.text for event in history.events))
    window.go("runs", run=run)
    client = window.context.client
    client.send(m.ControlRun(id=client.new_id(), run=run, action="resume"))
    desk.wait(lambda: window.workspace.runs[run].step > saved)
    client.send(m.ControlRun(id=client.new_id(), run=run, action="stop"))
    desk.wait(lambda: window.workspace.runs[run].state == "stopped")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.kill
def test_that_training_never_pauses_when_the_window_is_killed(desk: Desk, digits: str) -> None:
    window = desk.open()
    run = start_run(desk, window, digits, 100_000)
    desk.wait(lambda: window.workspace.runs[run].step >= 10)
    desk.close()
    other = subprocess.Popen([sys.executable, "-m", "app", "--workspace", str(desk.home)])
    time.sleep(5)  # long enough for the second window to be up and attached, whatever it is doing then
    other.kill()
    other.wait()
    folder = RunFolder.open(desk.home / "runs" / run)
    before = len(folder.metrics(0))
    window = desk.open()
    desk.wait(lambda: len(folder.metrics(0)) > before)
    rows = folder.metrics(0)
    gaps = [later.time_s - earlier.time_s for earlier, later in itertools.pairwise(rows)]
    assert max(gaps) < 20 * (sorted(gaps)[len(gaps) // 2] + 0.5)
    history = window.workspace.history(run)
    desk.wait(lambda: history.loaded and history.metrics_lines >= before)
    assert [row.step for row in history.metrics] == sorted({row.step for row in history.metrics})
