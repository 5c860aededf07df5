"""Attention of a method's own networks as data; that of encoders is in `generic`."""

from __future__ import annotations

from torch import Tensor

from engine.data.batch import Batch
from engine.inspections.generic import as_picture, picture_key
from engine.protocol.inspections import Attention, Choice
from engine.views.pixels import denormalise


def chosen_layer(choice: Choice, layers: int) -> int:
    """Return the block that the watcher chose, or the last one."""
    return choice.layer if 0 <= choice.layer < layers else layers - 1


def make_attention(
    *,
    view: str,
    title: str,
    note: str,
    batch: Batch,
    image: Tensor,
    weights: Tensor,
    prefix: int,
    grid: tuple[int, ...],
    layer: int,
    layers: int,
    query: int,
) -> Attention:
    """Return the attention of one query.

    Args:
        view: name of the view.
        title: of the view.
        note: what the reader must know.
        batch: the records.
        image: (B, C, H, W), normalised as the network sees it.
        weights: (B, heads, prefix + N), sum 1 over the last axis; the N places in image order.
        prefix: how many tokens precede the places.
        grid: rows and columns of the places.
        layer: number of the block.
        layers: how many blocks there are.
        query: the asking place, -1 = class token.
    """
    _, spec = picture_key(batch)
    weights = weights.float()
    return Attention(
        view=view,
        title=title,
        step=0,
        note=note,
        records=batch.index.cpu().numpy(),
        input=as_picture(denormalise(image, spec)),
        grid=grid,
        layer=layer,
        layers=layers,
        heads=weights.shape[1],
        query=query,
        weights=weights[:, :, prefix:].cpu().numpy(),
        prefix=weights[:, :, :prefix].sum(dim=2).cpu().numpy(),
    )
