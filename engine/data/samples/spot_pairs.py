"""Spot pairs: cells of three assays with 2 to 4 channels, of which the first two hold the spots that tell the class.

What `cells` asks of a network, made easier: the spots lie in every record and always in the same channels.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.data.samples.cells import CELLS, CLASSES, COUNTS, SIDE, make_pieces
from engine.data.samples.sample import Columns, Sample, label_field
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import Schema

ASSAYS = {"pair": (0, 1), "pair and nuclei": (0, 1, 2), "pair, nuclei and borders": (0, 1, 2, 3)}
_SEED = 20_251_121


def make_pairs() -> Iterator[Columns]:
    """Yield the columns, three hundred records at a time."""
    return make_pieces(ASSAYS, _SEED)


SPOT_PAIRS = Sample(
    info=SampleInfo(
        name="spot-pairs",
        kinds=("channels",),
        records=sum(COUNTS),
        real=False,
        description=f"Fluorescence pictures of 2 to 4 stains, {SIDE} × {SIDE} px. The first two hold spots, all, half "
        f"or none of them at the same places: {len(CLASSES)} classes that no channel alone can tell. Generated.",
        size_bytes=10_600_000,
    ),
    schema=Schema(
        fields=tuple(
            label_field("assay", tuple(ASSAYS)) if spec.name == "assay" else spec for spec in CELLS.schema.fields
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pairs,
)
