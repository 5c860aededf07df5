"""Thinning keeps spikes, smoothing keeps gaps."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from app.theme import Theme
from app.widgets.plots import Axis, Plot, smooth, thin


def test_that_thinning_keeps_a_single_spike() -> None:
    y = np.zeros(100_000)
    y[54_321] = 9.0
    x, thinned = thin(np.arange(100_000.0), y, 400)
    assert (len(x) <= 800, thinned.max(), x[thinned.argmax()]) == (True, 9.0, 54_321.0)


def test_that_few_points_are_left_alone() -> None:
    x = np.arange(5.0)
    assert thin(x, x, 400)[0] is x


def test_that_a_bucket_of_nan_stays_a_gap() -> None:
    y = np.ones(1000)
    y[:500] = np.nan
    assert np.isnan(thin(np.arange(1000.0), y, 10)[1][:5]).all()


def test_that_smoothing_equals_a_plain_running_mean() -> None:
    y = np.random.default_rng(0).normal(size=50)
    mean, _ = smooth(y, 5)
    naive = [y[max(0, i - 2) : i + 3].mean() for i in range(50)]
    np.testing.assert_allclose(mean, naive)


def test_that_nan_is_neither_bridged_nor_spread() -> None:
    y = np.ones(20)
    y[7] = np.nan
    mean, spread = smooth(y, 5)
    assert np.flatnonzero(np.isnan(mean)).tolist() == [7]
    assert np.nanmax(spread) == pytest.approx(0.0)


@pytest.mark.parametrize(("low", "high"), [(0, 1.3), (0, 5000), (-3, -2.2), (0, 1e-4), (1e6, 1e6 + 3)])
def test_that_an_axis_has_between_two_and_six_ticks(qtbot: QtBot, low: float, high: float) -> None:
    ((_, ticks),) = Axis("left").tickValues(low, high, 400)
    assert 2 <= len(ticks) <= 6


def test_that_the_last_tick_of_the_x_axis_carries_the_unit(qtbot: QtBot) -> None:
    assert Axis("bottom", "steps").tickStrings([0, 1000, 2000], 1.0, 1000)[-1].endswith("steps")


def test_that_a_plot_can_be_made_and_redressed(qtbot: QtBot, theme: Theme) -> None:
    plot = Plot(theme, x_unit="steps")
    qtbot.addWidget(plot)
    theme.set_mode("dark")
    assert plot.backgroundBrush().color() == theme.color("surface")
    theme.set_mode("light")


def test_that_plots_are_imported_without_the_bindings_of_cuda() -> None:
    code = "import sys, app.widgets.plots; print([name for name in sys.modules if name.split('.')[0] == 'cuda'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.strip() == "[]"
