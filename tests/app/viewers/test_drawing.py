"""Figures for print: text stays text, lines stay lines, and what is written opens."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer
from pytestqt.qtbot import QtBot

from app.theme import Theme
from app.viewers import make_viewer
from app.viewers.curve_plot import CurvePlot
from app.viewers.curves import Series
from engine.protocol.inspections import Histogram, Similarity

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def files(qtbot: QtBot, theme: Theme, tmp_path: Path) -> dict[str, Path]:
    plot = CurvePlot(theme, "Loss terms")
    qtbot.addWidget(plot)
    plot.resize(640, 360)
    x = np.arange(0, 5001, 50, dtype=np.float64)
    plot.show_series([Series("loss", "total", x, 2 * np.exp(-x / 1000), 0)])
    plot.show()
    qtbot.waitExposed(plot)
    return {path.suffix: path for path in plot.export_to(tmp_path / "curves", "selfsight train")}


def texts_of(path: Path) -> list[str]:
    return ["".join(node.itertext()).replace("\u202f", " ").strip() for node in ET.parse(path).iter(f"{SVG}text")]


def test_that_axis_labels_and_the_legend_are_text_in_the_svg(files: dict[str, Path]) -> None:
    texts = texts_of(files[".svg"])
    assert "total" in texts
    assert any(text.endswith("steps") for text in texts)
    assert {"1 000", "2 000"} <= set(texts)


def test_that_curves_are_paths_and_no_picture_in_the_svg(files: dict[str, Path]) -> None:
    root = ET.parse(files[".svg"]).getroot()
    assert root.find(f".//{SVG}image") is None
    longest = max(len(node.get("points", "") + node.get("d", "")) for node in root.iter())
    assert longest > 500
    assert root.findtext(f"{SVG}desc", "").startswith("total")


def test_that_a_renderer_draws_the_svg_at_its_size(files: dict[str, Path]) -> None:
    renderer = QSvgRenderer(str(files[".svg"]))
    assert renderer.isValid()
    assert renderer.viewBox().size() == QSize(640, 360)
    image = QImage(640, 360, QImage.Format.Format_RGB32)
    image.fill(0)
    with QPainter(image) as painter:
        renderer.render(painter)
    colours = {image.pixel(x, y) for x in range(60, 630, 3) for y in range(40, 340, 3)}
    assert len(colours) > 3


def test_that_the_pdf_is_one_page_of_the_same_size_with_text(files: dict[str, Path]) -> None:
    data = files[".pdf"].read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    assert b"/MediaBox [0 0 480" in data
    assert b"/Font" in data


def test_that_values_are_exported_as_measured(files: dict[str, Path]) -> None:
    with np.load(files[".npz"]) as arrays:
        assert arrays["total y"][0] == 2.0


@pytest.mark.parametrize("kind", ["histogram", "similarity"])
def test_that_every_drawn_view_is_written_for_print(qtbot: QtBot, theme: Theme, tmp_path: Path, kind: str) -> None:
    viewer = make_viewer(kind, theme)
    qtbot.addWidget(viewer)
    viewer.resize(420, 320)
    shown = {
        "histogram": Histogram(
            view="h", step=5, title="Norms", edges=np.linspace(0, 4, 5), counts=np.array([[1, 2, 3, 4]]),
            series=("teacher",), unit="norm",
        ),
        "similarity": Similarity(
            view="s", step=5, title="Alike", values=np.eye(3, dtype=np.float32),
            row_records=np.arange(3), column_records=np.arange(3),
        ),
    }  # fmt: skip
    viewer.show_inspection(shown[kind])
    viewer.show()
    qtbot.waitExposed(viewer)
    files = {path.suffix: path for path in viewer.export_to(tmp_path / "view")}
    assert set(files) == {".png", ".svg", ".pdf", ".npz", ".txt"}
    expected = {"histogram": "teacher", "similarity": "Point at a cell to read it."}
    assert expected[kind] in texts_of(files[".svg"])


def test_that_a_place_that_cannot_be_written_is_an_error(qtbot: QtBot, theme: Theme, tmp_path: Path) -> None:
    plot = CurvePlot(theme, "Loss terms")
    qtbot.addWidget(plot)
    plot.show_series([Series("loss", "total", np.arange(3.0), np.arange(3.0), 0)])
    with pytest.raises(OSError, match="could not be written"):
        plot.export_to(tmp_path / "missing" / "curves")
