"""The demo runs to its end on the real window and the real engine, and its window never stands still."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.widgets.stall import BUDGET_S
from tests.slowness import slowness

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("qapp")
def test_that_the_window_keeps_nobody_waiting_for_longer_than_its_budget_in_the_whole_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.demo", "--out", str(tmp_path), "--steps", "20", "--quit"]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, timeout=500)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["failure"], summary["state"], summary["steps"]) == ("", "finished", 20)
    assert {"runs-light.png", "compare-dark.png"} <= set(summary["pictures"])
    assert summary["longest_own_ms"] <= 1000 * BUDGET_S * slowness()
