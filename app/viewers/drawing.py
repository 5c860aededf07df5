"""What a widget shows, as a picture at twice its size and as drawings for print: SVG and PDF, text as text."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QMarginsF, QPoint, QRect, QSizeF
from PySide6.QtGui import QColor, QImage, QPageSize, QPainter, QPdfWriter, QRegion
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QGraphicsView, QWidget

PICTURE_SCALE = 2
PX_PER_INCH = 96
POINTS_PER_PX = 72 / PX_PER_INCH
_FLAGS = QWidget.RenderFlag.DrawChildren  # the ground is filled here: its own would come as a picture


def picture_of(widget: QWidget, ground: QColor) -> QImage:
    """Return what a widget shows at twice the resolution of the screen."""
    ratio = PICTURE_SCALE * widget.devicePixelRatioF()
    image = QImage(widget.size() * ratio, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(ratio)
    image.fill(ground)
    widget.render(image)
    return image


def write_picture(widget: QWidget, ground: QColor, path: Path, description: str) -> Path:
    """Write that picture as PNG; return the file.

    Raises:
        OSError: it cannot be written.
    """
    image = picture_of(widget, ground)
    image.setText("Description", description)
    out = path.with_suffix(".png")
    if not image.save(str(out)):
        msg = f"{out} could not be written"
        raise OSError(msg)
    return out


def write_drawings(widget: QWidget, ground: QColor, path: Path, title: str, description: str) -> list[Path]:
    """Write what a widget shows as SVG and PDF of its size, lines and text as such; return the files.

    Raises:
        OSError: they cannot be written.
    """
    return [_write_svg(widget, ground, path, title, description), _write_pdf(widget, ground, path, title)]


def _write_svg(widget: QWidget, ground: QColor, path: Path, title: str, description: str) -> Path:
    out = path.with_suffix(".svg")
    made = QSvgGenerator()
    made.setFileName(str(out))
    made.setResolution(PX_PER_INCH)
    made.setSize(widget.size())
    made.setViewBox(QRect(QPoint(), widget.size()))
    made.setTitle(title)
    made.setDescription(description)
    _paint(widget, ground, made, out)
    return out


def _write_pdf(widget: QWidget, ground: QColor, path: Path, title: str) -> Path:
    out = path.with_suffix(".pdf")
    made = QPdfWriter(str(out))
    made.setResolution(PX_PER_INCH)
    size = QSizeF(widget.size()) * POINTS_PER_PX
    made.setPageSize(QPageSize(size, QPageSize.Unit.Point, "", QPageSize.SizeMatchPolicy.ExactMatch))
    made.setPageMargins(QMarginsF(0, 0, 0, 0))
    made.setTitle(title)
    made.setCreator("Selfsight")
    _paint(widget, ground, made, out)
    return out


def _paint(widget: QWidget, ground: QColor, device: QSvgGenerator | QPdfWriter, out: Path) -> None:
    painter = QPainter()
    if not painter.begin(device):
        msg = f"{out} could not be written"
        raise OSError(msg)
    painter.fillRect(QRect(QPoint(), widget.size()), ground)
    views = [view for view in (widget, *widget.findChildren(QGraphicsView)) if isinstance(view, QGraphicsView)]
    modes = [view.cacheMode() for view in views]
    for view in views:
        view.setCacheMode(QGraphicsView.CacheModeFlag.CacheNone)  # a cached ground would be written as a picture
    try:
        widget.render(painter, QPoint(), QRegion(), _FLAGS)
    finally:
        for view, mode in zip(views, modes, strict=True):
            view.setCacheMode(mode)
        painter.end()
