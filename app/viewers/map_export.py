"""A map as a drawing: points as one picture, names, legend and colour bar as text and shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PySide6.QtCore import QBuffer, QIODevice, QRectF
from PySide6.QtGui import QImage, QPainter

from app.viewers.map_canvas import MapCanvas
from app.widgets.numbers import count, number

LEGEND_PX: Final = 200
ROW_PX: Final = 20


def render(canvas: MapCanvas, scale: int = 2) -> QImage:
    """Return the map as a picture, `scale` pixels for one on the screen."""
    size = canvas.size() * scale
    image = QImage(size, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    with QPainter(image) as painter:
        canvas.paint_on(painter, QRectF(canvas.rect()), with_pointer=False)
    return image


def write_svg(canvas: MapCanvas, path: Path, title: str, description: str) -> Path:
    """Write the map as SVG and return the file.

    Raises:
        OSError: it cannot be written.
    """
    width, height = canvas.width(), canvas.height()
    theme, legend = canvas.theme, canvas.legend
    background = theme.hex("sunken" if theme.dark else "surface")
    box = f'width="{width + LEGEND_PX}" height="{height}" viewBox="0 0 {width + LEGEND_PX} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="Roboto, sans-serif" font-size="12">',
        f"<title>{_plain(title)}</title><desc>{_plain(description)}</desc>",
        f'<rect width="100%" height="100%" fill="{background}"/>',
    ]
    picture = canvas.picture
    if picture is not None:
        parts.append(f'<image width="{width}" height="{height}" href="{_as_data(picture.image)}"/>')
        ratio = picture.frame.ratio
        ink = f'fill="{theme.hex("text")}" stroke="{background}" stroke-width="3" paint-order="stroke"'
        for group, (x, y) in zip(legend.groups, picture.names.tolist(), strict=False):
            if group.colour >= 0 and group.count and x == x:  # noqa: PLR0124
                parts.append(
                    f'<text x="{x / ratio:.1f}" y="{y / ratio + 4:.1f}" text-anchor="middle" font-size="13" '
                    f'font-weight="500" {ink}>{_plain(group.name)}</text>'
                )
    text, quiet = theme.hex("text"), theme.hex("text2")
    for row, group in enumerate(legend.groups):
        y = 16 + row * ROW_PX
        colour = theme.categorical(group.colour).name()
        right = width + LEGEND_PX - 12
        parts.append(
            f'<circle cx="{width + 16}" cy="{y}" r="4" fill="{colour}"/>'
            f'<text x="{width + 28}" y="{y + 4}" fill="{text}">{_plain(group.name)}</text>'
            f'<text x="{right}" y="{y + 4}" text-anchor="end" fill="{quiet}">{count(group.count)}</text>'
        )
    if not legend.is_category and canvas.column is not None:
        stops = theme.colormap("scalar")[::32]
        gradient = "".join(
            f'<stop offset="{at / (len(stops) - 1):.3f}" stop-color="#{red:02x}{green:02x}{blue:02x}"/>'
            for at, (red, green, blue) in enumerate(stops.tolist())
        )
        high = f"{number(legend.high, 3)} {legend.unit}".strip()
        parts.append(
            f'<defs><linearGradient id="bar">{gradient}</linearGradient></defs>'
            f'<text x="{width + 12}" y="20" fill="{text}">{_plain(canvas.column.name)}</text>'
            f'<rect x="{width + 12}" y="28" width="{LEGEND_PX - 24}" height="8" fill="url(#bar)"/>'
            f'<text x="{width + 12}" y="50" fill="{quiet}">{number(legend.low, 3)}</text>'
            f'<text x="{width + LEGEND_PX - 12}" y="50" text-anchor="end" fill="{quiet}">{_plain(high)}</text>'
        )
    parts.append("</svg>")
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _as_data(image: QImage) -> str:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]
    return "data:image/png;base64," + bytes(buffer.data().toBase64().data()).decode("ascii")


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
