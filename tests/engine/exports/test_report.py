"""A report is one file: readable offline, nothing of the user's text is taken for markup."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from engine.exports.curves import Curve, draw_curves, smoothed
from engine.exports.formats import export_runs
from engine.protocol.messages import RunEvent
from engine.run_results import keep_result
from engine.runs import RunFolder
from tests.engine.exports.conftest import MakeRun


@pytest.fixture(scope="module")
def page(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = RunFolder.open(make_run("mae"))
    with folder.lock():
        folder.append_event(
            RunEvent(time="2026-11-21T10:00:00.000+00:00", step=1, kind="note", level="warn", text="<script>1</script>")
        )
    details = {"step": 1, "untrained": 0.31, "chance": 0.1}
    result = {"run": folder.name, "protocol": "knn", "metric": "accuracy", "value": 0.71, "interval": [0.69, 0.73]}
    keep_result(folder.path, result | {"value": 0.5, "details": details | {"step": 0}}, "older")
    keep_result(folder.path, result | {"details": details}, "pictures")
    (folder.path / "evaluations" / "broken.json").write_text("{")
    out = tmp_path_factory.mktemp("report") / "report.html"
    export_runs([make_run("mae"), make_run("cae")], "report", out)
    return out.read_text("utf-8")


def test_that_it_needs_no_other_file(page: str) -> None:
    sources = re.findall(r'(?:src|href)="([^"]{5})', page)
    assert sources
    assert set(sources) <= {"data:", "https"}
    assert not re.search(r'src="http', page)
    assert "<script" not in page


def test_that_text_of_a_run_is_shown_as_text(page: str) -> None:
    assert "&lt;script&gt;1&lt;/script&gt;" in page


def test_that_it_says_how_to_do_the_run_again_and_with_which_data(page: str, make_run: MakeRun) -> None:
    spec = RunFolder.open(make_run("mae")).spec
    assert f"selfsight train --method mae --data {spec.dataset} --preset tiny" in page
    assert spec.dataset_checksum
    assert spec.dataset_checksum in page


def test_that_settings_that_differ_stand_side_by_side(page: str) -> None:
    row = re.search(r"<tr><td>vocabulary</td><td>(.*?)</td><td>(.*?)</td></tr>", page)
    assert row is not None
    assert row.groups() == ("none", "8")
    assert not re.search(r"<tr><td>patch px</td><td>8</td><td>8</td></tr>", page)


def test_that_kept_evaluations_stand_with_interval_beside_untrained_and_chance(page: str) -> None:
    cells = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "knn pictures accuracy 0.71 0.69 to 0.73 0.31 0.1" in cells
    assert "knn older accuracy 0.5" in cells


def test_that_curves_are_vectors_with_axes_named(page: str) -> None:
    pictures = re.findall(r'data:image/svg\+xml;base64,([^"]+)', page)
    texts = [text for one in pictures for text in ET.fromstring(base64.b64decode(one)).itertext()]
    assert any("training step" in text for text in texts)


def test_that_the_same_numbers_give_the_same_figure() -> None:
    curve = Curve("loss", np.arange(4), np.array([4.0, 3.0, 2.5, 2.0]), np.zeros(4), np.ones(4))
    first, second = (draw_curves([curve], x_label="step", y_label="loss") for _ in range(2))
    assert first == second


def test_that_a_running_mean_is_the_mean_of_what_came_before() -> None:
    y = np.array([1.0, 3.0, 5.0, 7.0])
    assert smoothed(y, 2).tolist() == [1.0, 2.0, 4.0, 6.0]
    assert smoothed(y, 1).tolist() == y.tolist()
