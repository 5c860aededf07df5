"""Real files of every format are imported and open in the viewer of their kind, in the real window."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.real_files import REAL_FILES
from tests.end_to_end.real_files.making import RealFiles

ROOT = Path(__file__).parents[2]
FEW_COLOURS = 40  # an empty viewer with its controls shows fewer
FAST = [files for files in REAL_FILES if files.fast]
SLOW = [files for files in REAL_FILES if not files.fast]
needs_display = pytest.mark.skipif(
    sys.platform.startswith("linux") and not os.environ.get("DISPLAY"),
    reason="the window draws with OpenGL, which needs a display: run the tests with .ci/with-display",
)


def open_kinds(home: Path, kinds: list[RealFiles], patience_s: float) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"}
    names = [files.name for files in kinds]
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.end_to_end.kinds_process", str(home), *names]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=patience_s, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((home / "seen.json").read_bytes())


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a window showed of the kinds that are quick to open."""
    return open_kinds(tmp_path_factory.mktemp("some"), FAST, 240)


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a window showed of all other kinds."""
    return open_kinds(tmp_path_factory.mktemp("rest"), SLOW, 1500)


def check(found: dict[str, Any], files: RealFiles) -> None:
    assert found["problem"] == ""
    first = found["viewers"][0]
    assert (first["viewer"], first["kind"]) == (files.viewer, files.kind)
    assert first["qualifier"] in first["sentence"]
    for viewer in found["viewers"]:
        shown = [value for name, value in viewer.items() if name not in {"viewer", "kind", "sentence", "qualifier"}]
        assert min(shown) > FEW_COLOURS, viewer


@needs_display
@pytest.mark.parametrize("files", FAST, ids=lambda files: files.name)
def test_that_real_files_open_in_the_viewer_of_their_kind(some: dict[str, Any], files: RealFiles) -> None:
    check(some[files.name], files)


@needs_display
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("files", SLOW, ids=lambda files: files.name)
def test_that_real_files_of_all_other_formats_open_in_their_viewers(rest: dict[str, Any], files: RealFiles) -> None:
    check(rest[files.name], files)
