"""Slides: tiles of tissue at a given size of a pixel out of SVS, NDPI, SCN and pyramidal TIFF files."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from engine.data.importers.amounts import counted
from engine.data.importers.naming import name_records
from engine.data.importers.slides_opening import (
    OPENSLIDE_ONLY,
    SLIDE_SUFFIXES,
    SlideHeader,
    is_slide,
    missing_openslide,
    opened_slide,
    read_slide_header,
    read_square,
    suffix_of,
)
from engine.data.importers.slides_tissue import Grid, find_tissue, lay_grid, tissue_shares
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.units import Survey, Unit, UnitImporter, Values
from engine.errors import DataError
from engine.form_fields import setting
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, Recognised
from engine.protocol.schema import FieldKind, FieldSpec, Skipped

_UNIT_BYTES = 32 * 1024**2
_USUAL_TISSUE = 0.3  # of a slide; until the import looks
_MOST_TILES = 20_000_000


class SlideSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the import of whole slides."""

    tile_px: Annotated[
        int,
        setting("Tile side", "Side of the squares that become records.", "Import", 16, 4096, "px"),
    ] = 256  # fmt: skip
    um_per_px: Annotated[
        float,
        setting(
            "Resolution",
            "How many micrometres a pixel of a tile is: 0.25 is 40×, 0.5 is 20×, 1 is 10×. Slides are scaled to it.",
            "Import", 0.05, 100.0, "µm/px",
        ),
    ] = 0.5  # fmt: skip
    overlap_px: Annotated[
        int,
        setting("Overlap", "What neighbouring tiles share.", "Import", 0, 2048, "px"),
    ] = 0  # fmt: skip
    tissue: Annotated[
        Literal["saturation", "background", "all"],
        setting(
            "Tissue",
            "saturation finds what is coloured, for H&E; background what differs from the glass, for weak stains; all "
            "keeps every tile.",
            "Import",
        ),
    ] = "saturation"  # fmt: skip
    least_tissue: Annotated[
        float,
        setting("Least tissue", "Tiles with a smaller share of tissue are left out.", "Import", 0.0, 1.0, "of a tile"),
    ] = 0.5  # fmt: skip
    least_piece_mm2: Annotated[
        float,
        setting("Smallest piece", "Smaller pieces are dirt.", "Import", 0.0, 100.0, "mm²", advanced=True),
    ] = 0.1  # fmt: skip
    slide_um_per_px: Annotated[
        float,
        setting(
            "µm per pixel of the slides",
            "For slides that do not say it, or say it wrongly. 0 is what the slide says.",
            "Import", 0.0, 100.0, "µm/px", advanced=True,
        ),
    ] = 0.0  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlideJob:
    """The rows of a slide's grid that a unit reads."""

    first: int
    last: int | None  # None = all there are
    px: int
    slide: str


def count_slide_files(listing: Listing) -> int:
    """Return how many files are whole slides."""
    return sum(is_slide(listing, entry) for entry in listing.entries if suffix_of(entry) in SLIDE_SUFFIXES)


def survey_slides(listing: Listing, options: ImportOptions, settings: SlideSettings) -> Survey:
    """Return which slides there are and how many tiles their grids have; no pixel is read.

    Raises:
        DataError: there is no slide that can be read, or tiles overlap wholly.
    """
    px = options.size_px or settings.tile_px
    if settings.overlap_px >= px:
        raise DataError(f"Tiles of {px} px cannot overlap by {settings.overlap_px}.", "Choose a smaller overlap.")
    entries, skipped = _find(listing)
    headers: dict[str, SlideHeader | None] = {}
    with ThreadPoolExecutor(4, thread_name_prefix="headers") as pool:
        for entry, header in zip(entries, pool.map(lambda each: _header(each, settings), entries), strict=True):
            if isinstance(header, str):
                skipped.append(Skipped(path=entry.name, reason=header))
            else:
                headers[entry.name] = header
    slides = [entry for entry in entries if entry.name in headers]
    if not slides:
        reason = f" ({skipped[0].path}: {skipped[0].reason})" if skipped else ""
        raise DataError(
            f"There is no slide among {len(listing.entries)} files{reason}.",
            "SVS, NDPI, SCN and pyramidal TIFF can be read; more with the package openslide-python.",
        )
    named = name_records([entry.name for entry in slides], listing, options)
    units: list[Unit] = []
    cells = 0
    for entry, said in zip(slides, named, strict=True):
        header = headers[entry.name]
        grid = lay_grid(header, settings.um_per_px, px, settings.overlap_px) if header is not None else None
        cells += grid.columns * grid.rows if grid is not None else 1000
        units += [
            Unit(
                entry.name + (f" (rows {first} to {last - 1})" if last is not None else ""),
                (entry,),
                said.label,
                said.split,
                said.group or entry.name,
                SlideJob(first, last, px, entry.name),
            )
            for first, last in _bands(grid, px)
        ]
    if cells > _MOST_TILES:
        raise DataError(
            f"The slides have {cells:,} tiles; at most {_MOST_TILES:,}.", "Choose larger ones, or fewer slides."
        )
    records = cells if settings.tissue == "all" else max(1, round(cells * _USUAL_TISSUE))
    spacing = settings.um_per_px / 1000
    return Survey(
        units=units,
        fields=(
            FieldSpec(
                name="image",
                kind=FieldKind.IMAGE,
                shape=(3, px, px),
                channels=("red", "green", "blue"),
                spacing_mm=(spacing, spacing),
            ),
            FieldSpec(name="position", kind=FieldKind.NUMBER, shape=(2,), dtype="float64", unit="µm"),
            FieldSpec(name="tissue", kind=FieldKind.NUMBER, dtype="float64"),
        ),
        records=records,
        record_bytes=3.0 * px * px,
        noun="slide part" if len(units) > len(slides) else "slide",
        recognised=_recognised(slides, headers, settings, px, cells),
        skipped=tuple(skipped),
        sizes=_sizes_text(headers),
        warnings=_warnings(headers, settings),
        labelled=options.labels != "none" and any(said.label for said in named),
        group="slide",
    )


def read_slide(unit: Unit, paths: tuple[Path, ...], settings: SlideSettings) -> Iterator[Values]:
    """Yield the tiles of some rows that lie on tissue: image (3, px, px), position (2,) µm, tissue share.

    Raises:
        DataError: the slide is damaged, smaller than a tile, or has no tissue there.
    """
    job: SlideJob = unit.details
    path = paths[0]
    header = read_slide_header(path, settings.slide_um_per_px)
    grid = lay_grid(header, settings.um_per_px, job.px, settings.overlap_px)
    rows = range(job.first, grid.rows if job.last is None else min(job.last, grid.rows))
    if grid.rows * grid.columns == 0:
        raise DataError(
            f"its {header.width} × {header.height} px are smaller than a tile of {job.px} px at "
            f"{settings.um_per_px:g} µm/px"
        )
    shares = _shares(path, header, grid, rows, settings)
    found = 0
    with ExitStack() as stack:
        slide = stack.enter_context(opened_slide(path))
        for number, row in enumerate(rows):
            for column in np.flatnonzero(shares[number] >= settings.least_tissue).tolist():
                x, y = grid.place(row, column)
                name = f"{job.slide} x{x} y{y}"
                try:
                    tile = read_square(slide, (x, y), grid.downsample, grid.px)
                except DataError as error:
                    yield {"name": name, "refused": error.message}
                    stack.close()  # openslide reads nothing more once it met damage
                    slide = stack.enter_context(opened_slide(path))
                    continue
                found += 1
                yield {
                    "image": tile,
                    "position": np.array([x * header.um_per_px[0], y * header.um_per_px[1]]),
                    "tissue": float(shares[number, column]),
                    "name": name,
                }
    if not found:
        raise DataError("no tissue was found there")


def _shares(path: Path, header: SlideHeader, grid: Grid, rows: range, settings: SlideSettings) -> Array:
    if settings.tissue == "all":
        return np.ones((len(rows), grid.columns))
    status = path.stat()
    mask, scale = _mask(path, status.st_size, status.st_mtime_ns, header, settings.tissue, settings.least_piece_mm2)
    return tissue_shares(mask, scale, grid, rows)


@lru_cache(maxsize=4)
def _mask(
    path: Path,
    size: int,  # noqa: ARG001 (part of the key)
    changed_ns: int,  # noqa: ARG001 (part of the key)
    header: SlideHeader,
    method: Literal["saturation", "background"],
    least_mm2: float,
) -> tuple[Array, float]:
    with opened_slide(path) as slide:
        return find_tissue(slide, header, method, least_mm2)


def _find(listing: Listing) -> tuple[list[Entry], list[Skipped]]:
    entries, skipped = [], []
    for entry in listing.entries:
        suffix = suffix_of(entry)
        if is_slide(listing, entry):
            entries.append(entry)
        elif suffix in OPENSLIDE_ONLY:
            skipped.append(
                Skipped(path=entry.name, reason=missing_openslide(suffix) or "lies in an archive; unpack it")
            )
        elif suffix in {"svs", "ndpi", "scn"}:
            reason = "the file is empty" if entry.size == 0 else "not a slide: it does not begin like a TIFF file"
            skipped.append(Skipped(path=entry.name, reason=reason))
    return entries, skipped


def _header(entry: Entry, settings: SlideSettings) -> SlideHeader | str | None:
    if entry.member:
        return None
    try:
        return read_slide_header(entry.path, settings.slide_um_per_px)
    except DataError as error:
        return error.message
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _bands(grid: Grid | None, px: int) -> list[tuple[int, int | None]]:
    """Return runs of rows whose tiles fit into a unit."""
    if grid is None or grid.columns * grid.rows * 3 * px * px <= _UNIT_BYTES:
        return [(0, None)]
    per_band = max(1, _UNIT_BYTES // (grid.columns * 3 * px * px))
    return [(first, min(first + per_band, grid.rows)) for first in range(0, grid.rows, per_band)]


def _recognised(
    slides: list[Entry], headers: dict[str, SlideHeader | None], settings: SlideSettings, px: int, cells: int
) -> tuple[Recognised, ...]:
    known = [header for header in headers.values() if header is not None]
    steps = sorted({round(header.um_per_px[0], 4) for header in known})
    span = " to ".join(dict.fromkeys(f"{step:g}" for step in (steps[0], steps[-1]))) if steps else "unknown"
    kept = "all are kept" if settings.tissue == "all" else "those with tissue are kept, often a third"
    return (
        Recognised(
            kind=FieldKind.IMAGE.value,
            count=len(slides),
            text=counted(len(slides), "slide"),
            detail=f"{span} µm/px",
            reading=f"read as tiles 3 × {px} × {px} at {settings.um_per_px:g} µm/px: {cells:,} in all; {kept}",
        ),
    )


def _sizes_text(headers: dict[str, SlideHeader | None]) -> str:
    known = sorted((each.width * each.height, each.width, each.height) for each in headers.values() if each is not None)
    if not known:
        return ""
    ends = [f"{width} × {height}" for _, width, height in (known[0], known[-1])]
    return " to ".join(dict.fromkeys(ends)) + " px"


def _warnings(headers: dict[str, SlideHeader | None], settings: SlideSettings) -> tuple[str, ...]:
    coarse = [
        name for name, each in headers.items() if each is not None and each.um_per_px[0] > 1.05 * settings.um_per_px
    ]
    if not coarse:
        return ()
    text = (
        f"{counted(len(coarse), 'slide')} of coarser resolution than {settings.um_per_px:g} µm/px will be enlarged, "
        f"{coarse[0]} for one."
    )
    return (text,)


SLIDES = UnitImporter(
    name="slides",
    kind=FieldKind.IMAGE.value,
    recognise_entries=count_slide_files,
    survey=survey_slides,
    read_unit=read_slide,
    settings=SlideSettings,
    limit_s=600.0,
)
