"""What a channel-adaptive transformer looks at: which channels, where in them, and what each contributes.

Records come as ragged channels, data (M, H, W) and lengths (B,), as the network sees them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.batch import Batch, Ragged
from engine.inspections.attentions import chosen_layer
from engine.networks.channels import ChannelViT, channel_owners
from engine.protocol.inspections import Attention, Choice, Histogram, Similarity
from engine.views.channels import plain_channels, unit_range


@dataclass(frozen=True, slots=True)
class ShownChannels:
    """Records to look at: as stored, as the network sees them, and what their channels are called."""

    batch: Batch
    plain: Ragged
    names: tuple[tuple[str, ...], ...]  # of each record

    @property
    def fullest(self) -> int:
        """The place of the record with most channels."""
        return int(self.plain.lengths.argmax())

    def pictures(self, which: int, size_px: int) -> Tensor:
        """Return the channels of a record to be shown, (C, s, s) in 0…1."""
        stored = self.batch.ragged("channels")
        start = int(stored.lengths[:which].sum())
        return plain_channels(unit_range(stored.data[start : start + int(stored.lengths[which])]), size_px)


def channel_names(batch: Batch, names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return what the channels of every record are called; those without a name are numbered.

    Args:
        batch: with ragged `channels`, and perhaps `channels_names`, indices into `names`.
        names: of the kinds of channels, or of the slots where records do not say.
    """
    lengths = batch.ragged("channels").lengths.tolist()
    if "channels_names" in batch:
        kinds: list[int] = batch.ragged("channels_names").data.tolist()
    else:
        kinds = [slot for length in lengths for slot in range(length)]
    found = []
    start = 0
    for length in lengths:
        mine = kinds[start : start + length]
        found.append(
            tuple(names[kind] if 0 <= kind < len(names) else f"channel {slot + 1}" for slot, kind in enumerate(mine))
        )
        start += length
    return tuple(found)


def class_attention(encoder: ChannelViT, channels: Ragged, layer: int) -> Tensor:
    """Return the class token's attention to each place of each channel, (M, heads, P); the rest goes to itself.

    Where channels are encoded one by one, each has a class token of its own, whose weights count 1 / C.
    """
    weights, layout = encoder.attention(channels.data, channels.lengths, layer)
    places = encoder.grid[0] * encoder.grid[1]
    row = weights[:, :, 0, 1:].unflatten(2, (-1, places))[layout.record, :, layout.slot]
    if encoder.mixing == "one channel":
        owner, _ = channel_owners(channels.lengths, len(channels.data))
        row = row / channels.lengths[owner].view(-1, 1, 1)
    return row


def channel_matrix(encoder: ChannelViT, channels: Ragged, layer: int) -> Tensor:
    """Return attention between channels of a single record, (1 + C, 1 + C), row and column 0 for the class token.

    Entry (c, d) is the weight that queries of c give to all keys of d: the mean over heads and queries, the sum over
    keys. Every row sums to 1.
    """
    weights, _ = encoder.attention(channels.data, channels.lengths, layer)
    count, places = len(channels.data), encoder.grid[0] * encoder.grid[1]
    mean = weights.mean(dim=1)
    if encoder.mixing == "one channel":  # (C, 1 + P, 1 + P)
        matrix = mean.new_zeros(1 + count, 1 + count)
        matrix[0, 0], matrix[0, 1:] = mean[:, 0, 0].mean(), mean[:, 0, 1:].sum(dim=1) / count
        matrix[1:, 0] = mean[:, 1:, 0].mean(dim=1)
        matrix[1:, 1:] = mean[:, 1:, 1:].sum(dim=2).mean(dim=1).diag()
        return matrix
    used = 1 + count * places
    group = (torch.arange(used, device=mean.device) - 1).div(places, rounding_mode="floor") + 1
    member = F.one_hot(group, 1 + count).to(mean.dtype)
    return (member.T @ mean[0, :used, :used] @ member) / member.sum(dim=0)[:, None]


def dropout_shifts(encoder: ChannelViT, channels: Ragged) -> Tensor:
    """Return how far the embedding moves when a channel is left out, (B, slots), as a share of its length.

    The others keep their slots. 0 where there is no such channel, or no other.
    """
    _, slot = channel_owners(channels.lengths, len(channels.data))
    whole = encoder(channels.data, channels.lengths).pooled
    moved = whole.new_zeros(len(channels.lengths), encoder.slots)
    places = torch.arange(encoder.slots, device=slot.device)
    for left_out in range(int(channels.lengths.max())):  # one pass for each slot, all records at once
        lengths = channels.lengths - (left_out < channels.lengths).long()
        order = (places + (places >= left_out).long()).clamp_max(encoder.slots - 1).expand(len(lengths), -1)
        less = encoder(channels.data[slot != left_out], lengths, order).pooled
        shift = (less - whole).norm(dim=1) / whole.norm(dim=1).clamp_min(1e-12)
        counts = (channels.lengths > left_out) & (channels.lengths > 1)
        moved[:, left_out] = torch.where(counts, shift, 0.0)
    return moved


def make_channel_attention(encoder: ChannelViT, shown: ShownChannels, choice: Choice, *, view: str) -> Attention:
    """Return where the class token looks in every channel of the record with most channels; a row per channel."""
    which = shown.fullest
    alone = _alone(shown.plain, which)
    layer = chosen_layer(choice, encoder.depth)
    row = class_attention(encoder, alone, layer)
    return Attention(
        view=view,
        title="Attention in every channel",
        step=0,
        note="A picture for each channel of the record with most channels; what is missing to 100 % lies in the "
        "others.",
        records=shown.batch.index[which].expand(len(row)).cpu().numpy(),
        labels=shown.names[which],
        input=shown.pictures(which, encoder.grid[0] * encoder.patch_px).unsqueeze(1).cpu().numpy(),
        grid=encoder.grid,
        layer=layer,
        layers=encoder.depth,
        heads=encoder.heads,
        query=-1,
        weights=row.cpu().numpy(),
        prefix=(1 - row.sum(dim=2)).cpu().numpy(),
    )


def make_channel_matrix(encoder: ChannelViT, shown: ShownChannels, choice: Choice, *, view: str) -> Similarity:
    """Return how much the channels of the record with most channels look at each other."""
    which = shown.fullest
    matrix = channel_matrix(encoder, _alone(shown.plain, which), chosen_layer(choice, encoder.depth))
    record = shown.batch.index[which].expand(len(matrix)).cpu().numpy()
    names = ("class token", *shown.names[which])
    return Similarity(
        view=view,
        title="Attention between channels",
        step=0,
        note="Rows ask, columns answer; a row sums to 1. Mean over heads and patches.",
        values=matrix.cpu().numpy(),
        unit="share of attention",
        rows=names,
        columns=names,
        row_records=record,
        column_records=record,
    )


def make_channel_shares(encoder: ChannelViT, shown: ShownChannels, choice: Choice, *, view: str) -> Histogram:
    """Return how the class token's attention is spread over the channels of every record."""
    owner, slot = channel_owners(shown.plain.lengths, len(shown.plain.data))
    row = class_attention(encoder, shown.plain, chosen_layer(choice, encoder.depth))
    shares = row.new_zeros(len(shown.batch), encoder.slots)
    shares[owner, slot] = row.sum(dim=2).mean(dim=1)
    return Histogram(
        view=view,
        title="Attention to each channel",
        step=0,
        note="Bars are channels in their order; what is missing to 1 is the class token's look at itself.",
        edges=(torch.arange(encoder.slots + 1) + 0.5).numpy(),
        counts=shares.cpu().numpy(),
        series=tuple(f"record {number}" for number in shown.batch.index.tolist()),
        unit="channel of the record",
    )


def make_channel_dropout(encoder: ChannelViT, shown: ShownChannels, *, view: str) -> Similarity:
    """Return how far each record's embedding moves without each of its channels."""
    return Similarity(
        view=view,
        title="What each channel contributes",
        step=0,
        note="How far the embedding moves without a channel, as a share of its length; 0 where there is none.",
        values=dropout_shifts(encoder, shown.plain).cpu().numpy(),
        unit="relative shift",
        rows=tuple(f"record {number}" for number in shown.batch.index.tolist()),
        columns=tuple(f"channel {number + 1}" for number in range(encoder.slots)),
        row_records=shown.batch.index.cpu().numpy(),
        column_records=torch.full((encoder.slots,), -1).numpy(),
    )


def _alone(channels: Ragged, which: int) -> Ragged:
    start, length = int(channels.lengths[:which].sum()), int(channels.lengths[which])
    return Ragged(channels.data[start : start + length], channels.lengths[which : which + 1])
