"""Digit pages: up to nine regions with a handwritten digit each, and sentences about their attributes in any order.

Which sentence speaks of which region is known but not given away by the text. The pages come in three complexities
(how many pairs of region and attribute a page may have) of the same total: fewer pages where each says more. The
digits are real (scikit-learn's 8 × 8 scans, enlarged); those of the test part are by other writers.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import enlarge, seeded
from engine.data.samples.sample import (
    Columns,
    Sample,
    annotation_fields,
    label_field,
    number_field,
    rgb_field,
    split_columns,
)
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

CELL, CELLS = 28, 3
SIDE = CELL * CELLS
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLOURS = ("red", "yellow", "green", "blue", "purple")
FORMS, SIZES = ("rectangle", "circle"), ("small", "medium", "large")
ATTRIBUTES = (*DIGITS, *COLOURS, *FORMS, *SIZES)
COMPLEXITIES = (4, 16, 30)  # pairs of region and attribute that a page may have
PAGES = ((1500, 375, 200), (0, 0, 0), (500, 125, 67))  # per split and complexity: about 6 000 and 2 000 pairs each
_WRITERS = ((0, 1437), (0, 0), (1437, 1797))  # scans of each split; they are ordered by writer
_INK = 120 / 255  # brighter pixels are coloured
_RADII, _SIDES = (1, 3, 5), (1, 4, 7)  # of circles and rectangles, by size
_SAID = (
    ("the digit is {}", "the digit appears to be {}", "the number {} is written here"),
    ("the color is {}", "it is drawn in {}", "the ink looks {}"),
    ("there is a {}", "a {} is drawn on top", "the outline is a {}"),
    ("the shape size is {}", "the outline is {} in size", "it has a {} shape"),
)
_MARGIN = 3  # px around a digit
_SEED = 20_252_222


def make_page(random: np.random.Generator, scans: Array, digits: Array, complexity: int) -> dict[str, Array | str]:
    """Return image, text, boxes and attributes of the regions of one page.

    Args:
        random: source of all numbers.
        scans: (n, 28, 28) of 0…1, ink is 1.
        digits: (n,) what each scan shows.
        complexity: how many pairs of region and attribute there may be.
    """
    image = np.zeros((SIDE, SIDE, 3))
    boxes: list[tuple[int, int, int, int]] = []
    told: list[Array] = []
    pairs = 0
    for cell in random.permutation(CELLS * CELLS).tolist():
        picture, attributes = _make_region(random, scans, digits)
        pairs += int((attributes >= 0).sum())
        if pairs > complexity:
            break
        x, y = cell % CELLS * CELL, cell // CELLS * CELL
        image[y : y + CELL, x : x + CELL] = picture
        boxes.append((x, y, x + CELL, y + CELL))
        told.append(attributes)
    sentences = {
        str(random.choice(_SAID[which])).format(ATTRIBUTES[attribute])
        for attributes in told
        for which, attribute in enumerate(attributes.tolist())
        if attribute >= 0
    }
    ordered = sorted(sentences)
    return {
        "image": np.rint(image.transpose(2, 0, 1) * 255).astype(np.uint8),
        "text": " . ".join(ordered[place] for place in random.permutation(len(ordered))),
        "image_boxes": np.array(boxes, np.float64).reshape(-1, 4),
        "attributes": np.stack(told),
    }


def _make_region(random: np.random.Generator, scans: Array, digits: Array) -> tuple[Array, Array]:
    """Return a picture (28, 28, 3) of 0…1 and its digit, colour, form and size (4,) as attributes; -1 = none."""
    which, colour = int(random.integers(0, len(scans))), int(random.integers(0, len(COLOURS)))
    ink = scans[which]
    tint = np.array(colorsys.hsv_to_rgb(0.2 * colour, 1.0, 1.0))
    picture = ink[..., None] * np.where((ink >= _INK)[..., None], tint, 1.0)
    form, size = int(random.integers(0, 3)) - 1, int(random.integers(0, len(SIZES)))
    x, y = (int(place) for place in random.integers(5, 20, 2))
    if form >= 0:
        picture[_outline(form, size, x, y)] = 1.0
    shown = (len(DIGITS) + len(COLOURS) + form, len(ATTRIBUTES) - len(SIZES) + size) if form >= 0 else (-1, -1)
    return picture, np.array([int(digits[which]), len(DIGITS) + colour, *shown])


def _outline(form: int, size: int, x: int, y: int) -> Array:
    """Return where the outline of a rectangle (0) or circle (1) is, one pixel wide, (28, 28) bool."""
    down, across = np.meshgrid(np.arange(CELL), np.arange(CELL), indexing="ij")
    if form == 1:
        return np.abs(np.hypot(across - x, down - y) - _RADII[size]) < 0.5
    side = _SIDES[size]
    inside = (across >= x) & (across <= x + side) & (down >= y) & (down <= y + side)
    return inside & ((across == x) | (across == x + side) | (down == y) | (down == y + side))


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, a hundred pages at a time."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    inner = CELL - 2 * _MARGIN
    enlarged = np.clip(enlarge(loaded.images / 16, (inner, inner)), 0, 1)
    scans = np.pad(enlarged, ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN)))
    first = 0
    for split, pages in enumerate(PAGES):
        part = slice(*_WRITERS[split])
        for number, total in enumerate(pages):
            for start in range(0, total, 100):
                count = min(100, total - start)
                made = [
                    make_page(seeded(_SEED, first + page), scans[part], loaded.target[part], COMPLEXITIES[number])
                    for page in range(count)
                ]
                yield {
                    **{name: [page[name] for page in made] for name in made[0]},
                    "complexity": np.full(count, number),
                    "label": np.array([page["attributes"][0][0] for page in made]),  # type: ignore[index]
                    **split_columns(split, first, count),
                }
                first += count


DIGIT_PAGES = Sample(
    info=SampleInfo(
        name="digit-pages",
        kinds=("image", "text"),
        records=sum(sum(pages) for pages in PAGES),
        real=False,
        description="Pages of up to nine regions with a coloured digit and an outline, 84 × 84 px, RGB, with boxes, "
        "each region's attributes and sentences about them in any order. Real handwriting; all else is generated.",
        size_bytes=59_800_000,
    ),
    schema=Schema(
        fields=(
            rgb_field("image", SIDE),
            FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str"),
            number_field("image_boxes", "px", (None, 4), "float64"),  # left, top, right, bottom of each region
            FieldSpec(name="attributes", kind=FieldKind.NUMBER, shape=(None, 4), dtype="int64", classes=ATTRIBUTES),
            label_field("complexity", tuple(f"{pairs} pairs" for pairs in COMPLEXITIES)),
            *annotation_fields(DIGITS),
        )
    ),
    source="generated with handwriting of UCI Optical Recognition of Handwritten Digits, as in scikit-learn",
    licence="CC BY 4.0 (handwriting: E. Alpaydin, C. Kaynak)",
    make=make_pieces,
)
