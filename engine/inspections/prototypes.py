"""Prototypes as data: how much each is used by some records of the data, and which of them lie nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from engine.data.batch import Batch
from engine.inspections.generic import as_picture, shown_picture
from engine.protocol.inspections import Prototypes

LOOKED_THROUGH = 256  # records, where more than the shown ones can be had
NEAREST = 9
MOST_SHOWN = 128
PICTURE_PX = 48


def make_prototypes(
    *, view: str, title: str, batch: Batch, key: str, scores: Callable[[Batch], Tensor], note: str = ""
) -> Prototypes:
    """Return the most used prototypes with the records that give them the most.

    Args:
        view: name of the view.
        title: of the view.
        batch: the shown records; where it knows of others, these are looked through instead.
        key: of the field that is shown.
        scores: (B, K) probabilities of the prototypes for the records of a batch, sum 1.
        note: what the reader must know.
    """
    found, index, pictures = [], [], []
    for part in _parts(batch):
        found.append(scores(part).float().cpu())
        index.append(part.index.cpu())
        pictures.append(shown_picture(part, key, PICTURE_PX).cpu())
    table, records, shown = torch.cat(found), torch.cat(index), torch.cat(pictures)
    usage = table.mean(dim=0)
    order = usage.argsort(descending=True, stable=True)[:MOST_SHOWN]
    nearest = table[:, order].topk(min(NEAREST, len(table)), dim=0).indices.T  # (K, R)
    said = f"{len(order)} of {len(usage)} prototypes, by {len(table)} records. {note}".strip()
    return Prototypes(
        view=view,
        title=title,
        step=0,
        note=said,
        usage=usage[order].numpy(),
        nearest=records[nearest].numpy(),
        pictures=as_picture(shown[nearest.flatten()]).reshape(*nearest.shape, -1, *shown.shape[2:]),
    )


def _parts(batch: Batch) -> Iterator[Batch]:
    if batch.others is None:
        yield batch
    else:
        yield from batch.others(LOOKED_THROUGH)
