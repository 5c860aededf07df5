"""Curves of runs as vector figures of publication quality: axes with units, intervals, colours safe for everyone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from engine.protocol.inspections import Array

# Okabe and Ito: told apart with every kind of colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
DASHES: tuple[str, ...] = ("-", "--", "-.", ":")
WIDTH_IN, HEIGHT_IN = 5.2, 2.9
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.labelsize": 9,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "selfsight",  # the same numbers give the same file
}


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: x and y (n,), and where it was measured the ends of its interval (n,)."""

    name: str
    x: Array
    y: Array
    low: Array | None = None
    high: Array | None = None


def draw_curves(curves: Sequence[Curve], *, x_label: str, y_label: str, form: Literal["svg", "png"] = "svg") -> bytes:
    """Return a figure of these lines as the bytes of an SVG or PNG file (300 dots per inch)."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
        axes = figure.add_subplot()
        for place, curve in enumerate(curves):
            colour, dash = COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]
            marker = "o" if len(curve.x) == 1 else None
            axes.plot(curve.x, curve.y, dash, color=colour, label=curve.name, marker=marker, markersize=4)
            if curve.low is not None and curve.high is not None:
                axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        if all(np.issubdtype(curve.x.dtype, np.integer) for curve in curves):
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if len(curves) > 1:
            axes.legend()
        canvas = FigureCanvasSVG(figure) if form == "svg" else FigureCanvasAgg(figure)
        buffer = io.BytesIO()
        canvas.print_figure(buffer, format=form, dpi=300, metadata={"Date": None} if form == "svg" else None)
    return buffer.getvalue()


def smoothed(y: Array, window: int) -> Array:
    """Return the running mean of y (n,) over `window` values that end at each place; shorter at the start."""
    if window <= 1 or len(y) < 2:
        return y
    sums = np.concatenate(([0.0], np.cumsum(y, dtype=np.float64)))
    ends = np.arange(1, len(y) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)
