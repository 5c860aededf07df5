"""Bundled sample datasets: made on the spot, in seconds, with the same content every time.

All randomness is seeded. Another machine's mathematical library may round a pixel of a drawn sample differently.

Lives here: one file per sample, each giving a schema and arrays; what several draw with (noise, silhouettes, rays).
Must not live here: downloads, torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.data.samples.bentshapes import BENTSHAPES
from engine.data.samples.captions import CAPTIONS
from engine.data.samples.cells import CELLS
from engine.data.samples.chest_toy import CHEST_TOY
from engine.data.samples.digit_pages import DIGIT_PAGES
from engine.data.samples.digits import DIGITS
from engine.data.samples.echo_toy import ECHO_TOY
from engine.data.samples.face_patches import FACE_PATCHES
from engine.data.samples.faces_toy import FACES_TOY
from engine.data.samples.gestures import GESTURES
from engine.data.samples.grasps import GRASPS
from engine.data.samples.grids import GRIDS
from engine.data.samples.hearts import HEARTS
from engine.data.samples.moving_digits import MOVING_DIGITS
from engine.data.samples.phantoms import PHANTOMS
from engine.data.samples.relations import RELATIONS_SAMPLE
from engine.data.samples.reports import REPORTS
from engine.data.samples.rooms import ROOMS
from engine.data.samples.sample import Columns, Sample
from engine.data.samples.scenes import SCENES
from engine.data.samples.sentences import SENTENCES
from engine.data.samples.shapes3d import SHAPES3D
from engine.data.samples.shapescenes import SHAPESCENES
from engine.data.samples.shapetex import SHAPETEX
from engine.data.samples.speeds import SPEEDS_SAMPLE
from engine.data.samples.spot_pairs import SPOT_PAIRS
from engine.data.samples.stains import STAINS_SAMPLE
from engine.data.samples.stereo import STEREO
from engine.data.samples.textures import TEXTURES
from engine.data.samples.tracks import TRACKS
from engine.data.samples.walkers import WALKERS
from engine.data.writer import DatasetWriter
from engine.errors import DataError
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import DatasetInfo

_SAMPLES: tuple[Sample, ...] = (
    TEXTURES,
    SHAPESCENES,
    SHAPETEX,
    BENTSHAPES,
    DIGITS,
    SCENES,
    PHANTOMS,
    HEARTS,
    CELLS,
    SPOT_PAIRS,
    SPEEDS_SAMPLE,
    MOVING_DIGITS,
    TRACKS,
    STEREO,
    ROOMS,
    CAPTIONS,
    CHEST_TOY,
    ECHO_TOY,
    GRASPS,
    FACES_TOY,
    FACE_PATCHES,
    STAINS_SAMPLE,
    WALKERS,
    SHAPES3D,
    GRIDS,
    REPORTS,
    SENTENCES,
    GESTURES,
    DIGIT_PAGES,
    RELATIONS_SAMPLE,
)
_PIECE = 1000

Progress = Callable[[float, float, str, str], None]


def list_samples() -> tuple[SampleInfo, ...]:
    """Return what samples there are."""
    return tuple(sample.info for sample in _SAMPLES)


def make_sample(name: str, out: Path, progress: Progress | None = None) -> DatasetInfo:
    """Make the sample called `name` as the dataset file `out`.

    Args:
        name: one of `list_samples`.
        out: path of the file, ending in .h5; an existing one is replaced once the new one is complete.
        progress: called with (records done, records in all, "records", name); may raise to cancel.

    Raises:
        DataError: there is no such sample, or its source pictures are not what they should be.
        DiskFull: there is no space left.
    """
    sample = next((each for each in _SAMPLES if each.info.name == name), None)
    if sample is None:
        known = ", ".join(each.info.name for each in _SAMPLES)
        raise DataError(f"There is no sample {name!r}.", f"There are: {known}.")
    provenance = {"sample": name, "source": sample.source, "licence": sample.licence, "selfsight": _own_version()}
    total = float(sample.info.records)
    if progress is not None:
        progress(0.0, total, "records", name)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with DatasetWriter(out, sample.schema, name=out.stem, provenance=provenance) as writer:
        for piece in _pieces(sample, writer.records):
            writer.extend(piece)
            if progress is not None:
                progress(float(writer.records), total, "records", name)
        return writer.finish()


def _pieces(sample: Sample, done: int) -> Iterator[Columns]:
    """Yield the sample's columns piece by piece, without its first `done` records, which are written already."""
    made = sample.make()
    for columns in (made,) if isinstance(made, Mapping) else made:
        count = len(next(iter(columns.values())))
        for first in range(min(done, count), count, _PIECE):
            yield {field: values[first : first + _PIECE] for field, values in columns.items()}
        done = max(0, done - count)


def _own_version() -> str:
    try:
        return version("selfsight")
    except PackageNotFoundError:
        return "source"
