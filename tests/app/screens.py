"""Stored pictures of widgets: compared pixel by pixel, renewed with SELFSIGHT_UPDATE_SCREENS=1.

A picture depends on Qt's version, the platform and the system's fonts behind Roboto; it carries their names, and
elsewhere the comparison is skipped rather than wrong.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from PySide6.QtCore import QSize, qVersion
from PySide6.QtGui import QFont, QFontInfo, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QWidget

STORED = Path(__file__).parent.parent / "data" / "screens"
ACTUAL = Path(__file__).parent.parent / "actual"
UPDATE = "SELFSIGHT_UPDATE_SCREENS"


def surroundings() -> str:
    """Name what a picture depends on besides our code."""
    fallback = QFontInfo(QFont("no such family")).family()
    return f"Qt {qVersion()}, {QGuiApplication.platformName()}, {fallback}"


def check_screen(widget: QWidget, name: str, size: QSize) -> None:
    """Compare what a widget looks like at a size (px) with the stored picture of that name.

    On a difference, the new picture lies in tests/actual.
    """
    widget.resize(size)
    widget.show()
    QApplication.processEvents()
    focused = QApplication.focusWidget()
    if focused is not None:
        focused.clearFocus()  # a caret blinks
    QApplication.processEvents()
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    file = STORED / f"{name}.png"
    if os.environ.get(UPDATE) == "1":
        STORED.mkdir(parents=True, exist_ok=True)
        image.setText("surroundings", surroundings())
        assert image.save(str(file), quality=0)
        return
    stored = QImage(str(file))
    assert not stored.isNull(), f"{file} is missing; make it with {UPDATE}=1"
    if stored.text("surroundings") != surroundings():
        pytest.skip(f"stored with {stored.text('surroundings')}, this is {surroundings()}")
    if _digest(image) != _digest(stored.convertToFormat(QImage.Format.Format_RGB888)):
        ACTUAL.mkdir(parents=True, exist_ok=True)
        image.save(str(ACTUAL / f"{name}.png"))
        pytest.fail(f"{name} looks different: compare tests/actual/{name}.png with {file}")


def _digest(image: QImage) -> str:
    rows = b"".join(bytes(image.constScanLine(y))[: image.width() * 3] for y in range(image.height()))
    return f"{image.width()}x{image.height()} {hashlib.sha256(rows).hexdigest()}"
