"""napari and VTK in one window, on the display that is there: loaded late, one canvas each, no crash, no growth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SHORT, LONG = 5, 50  # rounds of four records
MOST_GROWTH = 0.05
needs_display = pytest.mark.skipif(
    sys.platform.startswith("linux") and not os.environ.get("DISPLAY"),
    reason="napari draws with OpenGL, which needs a display: run the tests with .ci/with-display",
)


def open_and_close(rounds: int, patience_s: float) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"}
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.app.viewers.canvas_process", str(rounds)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=patience_s, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What a process saw that opened every kind of record a few times."""
    return open_and_close(SHORT, 240)


@needs_display
def test_that_neither_library_is_loaded_before_a_record_wants_it(seen: dict[str, Any]) -> None:
    assert seen["at start"] == []


@needs_display
def test_that_records_open_and_close_without_a_crash(seen: dict[str, Any]) -> None:
    assert seen["opened"] == 4 * SHORT
    assert seen["closed"]


@needs_display
def test_that_a_click_moves_the_cross_hair_and_reads_the_voxel(seen: dict[str, Any]) -> None:
    assert seen["voxel"] == [4, 10, 7]
    assert seen["read-out"].startswith("x 7, y 10, z 4: 1\u202f487 HU   organs ")
    assert seen["read-out"].endswith("R 26.0, A 10.0, I 8.0 mm")


@needs_display
def test_that_a_preset_sets_the_window_of_the_layer(seen: dict[str, Any]) -> None:
    assert seen["window"] == [-1350.0, 150.0]


@needs_display
def test_that_a_solid_too_large_for_the_card_is_shown_coarser_and_says_so(seen: dict[str, Any]) -> None:
    assert seen["coarse"] == 3
    assert seen["coarse shape"] == [4, 6, 7]
    assert "3D at 1 ∕ 3 of the resolution" in seen["coarse text"]
    assert seen["whole shape"] == [12, 16, 20]


@needs_display
def test_that_a_viewer_that_floated_and_came_back_shows_what_it_showed(seen: dict[str, Any]) -> None:
    assert seen["kept"]


@needs_display
def test_that_the_views_of_the_4_up_share_one_place_and_name_the_level(seen: dict[str, Any]) -> None:
    places, note = seen["four"]
    assert places == ["z 5 of 12", "y 11 of 16", "x 11 of 20"]
    assert "1 voxel of 3 along each axis" in note


@needs_display
def test_that_masks_are_hidden_as_long_as_x_is_held(seen: dict[str, Any]) -> None:
    assert (seen["held"], seen["released"]) == ([False], [True])


@needs_display
def test_that_a_coronal_slice_is_taken_across_the_second_axis(seen: dict[str, Any]) -> None:
    assert seen["orders"] == [1, 0, 2]


@needs_display
def test_that_frames_and_channels_reach_the_canvas(seen: dict[str, Any]) -> None:
    assert seen["frame"] == 2
    assert seen["channels"] == ["channel 1", "channel 2", "channel 3"]


@needs_display
def test_that_points_are_drawn_where_they_are_read_out(seen: dict[str, Any]) -> None:
    assert seen["drawn"]


@needs_display
def test_that_the_style_of_napari_stays_with_napari(seen: dict[str, Any]) -> None:
    assert seen["sheet"]


@needs_display
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_that_two_hundred_records_neither_crash_nor_fill_the_memory() -> None:
    seen = open_and_close(LONG, 1700)
    assert seen["opened"] == 4 * LONG
    assert seen["growth"] < MOST_GROWTH
