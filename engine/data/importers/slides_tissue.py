"""Where tissue lies on a slide: a mask of a small picture of it, and the tiles of a grid that lie on tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from engine.data.importers.slides_opening import SlideHeader, read_whole
from engine.protocol.inspections import Array

_MASK_UM = 8.0  # a pixel of the mask
_LARGEST_MASK_PX = 4096
_LEAST_SATURATION, _MOST_SATURATION = 15, 90  # of 255; where Otsu's threshold may lie
_WHITE, _BLACK = 242, 25  # of 255: darkest colour of what is glass, brightest of what is ink or border
_CLOSE_UM, _HOLE_MM2 = 50.0, 0.05
_LEAST_DISTANCE = 6.0  # of a colour from that of the background, in CIELAB


@dataclass(frozen=True, slots=True)
class Grid:
    """Squares over a slide, row by row from the top left corner; none reaches beyond the slide."""

    px: int  # side of a tile as it is stored
    downsample: tuple[float, float]  # pixels of the slide for one of a tile, x and y
    step: tuple[float, float]  # from tile to tile, pixels of the slide
    columns: int
    rows: int

    def place(self, row: int, column: int) -> tuple[int, int]:
        """Return x, y of a tile's top left corner in pixels of the slide."""
        return round(column * self.step[0]), round(row * self.step[1])


def lay_grid(header: SlideHeader, um_per_px: float, px: int, overlap_px: int) -> Grid:
    """Return the grid of tiles of `px` a side at `um_per_px`; tiles share `overlap_px` with the next."""
    scale = um_per_px / header.um_per_px[0], um_per_px / header.um_per_px[1]
    step = scale[0] * (px - overlap_px), scale[1] * (px - overlap_px)
    counts = [
        max(0, int((side - px * each) // way + 1)) if side >= px * each - 0.5 else 0
        for side, each, way in zip((header.width, header.height), scale, step, strict=True)
    ]
    return Grid(px, scale, step, counts[0], counts[1])


def find_tissue(
    slide: Any, header: SlideHeader, method: Literal["saturation", "background"], least_mm2: float
) -> tuple[Array, float]:
    """Return a mask (h, w) bool of a slide at about 8 µm a pixel, and how many of its pixels one of the slide is."""
    scale = max(_MASK_UM / header.um_per_px[0], max(header.width, header.height) / _LARGEST_MASK_PX, 1.0)
    level = slide.get_best_level_for_downsample(scale)
    small = max(1, round(header.width / scale)), max(1, round(header.height / scale))
    picture = read_whole(slide, level, small).transpose(1, 2, 0)
    um = scale * header.um_per_px[0]
    return clean_mask(tissue_mask(picture, method), um, least_mm2), 1 / scale


def tissue_mask(picture: Array, method: Literal["saturation", "background"]) -> Array:
    """Return where a picture (H, W, 3) uint8 shows tissue: coloured, or unlike the bright background.

    `saturation` takes what is more saturated than Otsu's threshold, for H&E; `background` what differs from the
    colour of the brightest twentieth in CIELAB, for weak counterstains. Glass and ink are neither.
    """
    from scipy import ndimage  # takes a while, as the next ones do; only who looks for tissue waits for it
    from skimage.color import rgb2lab
    from skimage.filters import threshold_otsu

    brightest, darkest = picture.max(axis=2).astype(np.float64), picture.min(axis=2).astype(np.float64)
    plausible = (darkest < _WHITE) & (brightest > _BLACK)
    if method == "background":
        lab = rgb2lab(picture)
        bright = lab[..., 0] >= np.quantile(lab[..., 0], 0.95)
        distance = np.linalg.norm(lab - np.median(lab[bright], axis=0), axis=2)
        least = max(_LEAST_DISTANCE, float(threshold_otsu(distance)) / 2) if np.ptp(distance) else _LEAST_DISTANCE
        return np.asarray((ndimage.median_filter(distance, 3) > least) & plausible)
    saturation = np.where(brightest > 0, (brightest - darkest) / np.maximum(brightest, 1) * 255, 0)
    saturation = ndimage.median_filter(np.rint(saturation).astype(np.uint8), 7)
    otsu = float(threshold_otsu(saturation)) if np.ptp(saturation) else 255.0
    least = np.clip(otsu, _LEAST_SATURATION, _MOST_SATURATION)
    return np.asarray((saturation > least) & plausible)


def clean_mask(mask: Array, um: float, least_mm2: float) -> Array:
    """Return a mask with gaps closed, specks smaller than `least_mm2` removed and small holes filled.

    Args:
        mask: (H, W) bool.
        um: micrometres a pixel.
        least_mm2: smallest piece of tissue that stays.
    """
    from scipy import ndimage  # takes a while; only who looks for tissue waits for it

    radius = max(1, round(_CLOSE_UM / um))
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    padded = np.pad(mask, radius)
    closed = ndimage.binary_closing(padded, y * y + x * x <= radius * radius)[radius:-radius, radius:-radius]
    pixel_mm2 = (um / 1000) ** 2
    tissue = _without_small(closed, least_mm2 / pixel_mm2)
    return ~_without_small(~tissue, _HOLE_MM2 / pixel_mm2)


def _without_small(mask: Array, least_px: float) -> Array:
    from scipy import ndimage  # takes a while; only who looks for tissue waits for it

    pieces, count = ndimage.label(mask)
    if count == 0:
        return mask
    large = np.bincount(pieces.reshape(-1)) >= least_px
    large[0] = False
    return np.asarray(large[pieces])


def tissue_shares(mask: Array, scale: float, grid: Grid, rows: range) -> Array:
    """Return which share of each tile is tissue, (rows, columns) float64.

    Args:
        mask: (h, w) bool.
        scale: its pixels for one of the slide.
        grid: of the tiles.
        rows: of the grid.
    """
    sums = np.pad(mask, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    height, width = mask.shape
    shares = np.zeros((len(rows), grid.columns))
    for number, row in enumerate(rows):
        for column in range(grid.columns):
            x, y = grid.place(row, column)
            left, top = min(int(x * scale), width - 1), min(int(y * scale), height - 1)
            right = min(max(left + 1, round((x + grid.px * grid.downsample[0]) * scale)), width)
            bottom = min(max(top + 1, round((y + grid.px * grid.downsample[1]) * scale)), height)
            inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
            shares[number, column] = inside / ((bottom - top) * (right - left))
    return shares
