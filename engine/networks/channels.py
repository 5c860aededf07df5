"""Vision transformer for pictures with any number of channels: every channel becomes patches of its own.

Paper: Bourriez et al., ChAda-ViT: Channel Adaptive Attention for Joint Representation Learning of Heterogeneous
Microscopy Images, CVPR 2024 (arXiv 2311.15264). Channels of all records come as one flat tensor with lengths; linear
layers see real tokens only, and attention alone is laid out as a rectangle, whose empty places no token can see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.networks.blocks import SelfAttention, drop_path_rates, init_linear
from engine.networks.patches import PatchEmbed, patch_grid
from engine.networks.positions import resize_positions

Mixing = Literal["joint", "within channels", "one channel"]
BlockStyle = Literal["post-norm", "pre-norm"]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Some records side by side, as attention takes them: rows `start` … of the layout are (records, length)."""

    start: int
    records: int
    length: int  # 1 + patches
    mask: Tensor | None  # (records or 1, 1, 1 or length, length) bool, True = may be seen; None = everything


@dataclass(frozen=True, slots=True)
class ChannelLayout:
    """How B class tokens and the P patches of each of M channels are laid out as rectangles of rows."""

    record: Tensor  # (M,) int64, the record of a channel
    slot: Tensor  # (M,) int64, its number within the record
    place: Tensor  # (B + M·P,) int64, the row of each token: class tokens first, then the patches of the channels
    rows: int
    rectangles: tuple[Rectangle, ...]


def channel_owners(lengths: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Return record and slot, (M,) int64 each, of every channel of records with `lengths` (B,) channels.

    `channels` is M, the sum of the lengths; giving it spares a wait for the device.
    """
    record = torch.repeat_interleave(lengths, output_size=channels)
    start = lengths.cumsum(0) - lengths
    return record, torch.arange(channels, device=lengths.device) - start[record]


def lay_out(
    lengths: Tensor, channels: int, patches: int, slots: int, *, is_joint: bool, is_padded: bool
) -> ChannelLayout:
    """Return the layout of records with `lengths` (B,) channels, `channels` in all.

    A token sees the class token and all patches of its record; with `is_joint` False, patches see only those of their
    own channel, and the class token sees all.

    Args:
        lengths: how many channels each record has.
        channels: M, their sum.
        patches: P.
        slots: most channels of a record.
        is_joint: see above.
        is_padded: one rectangle of `slots` channels for all, whose empty places no token sees; it spares a wait for
            the device. Otherwise one rectangle for each number of channels that occurs, without empty places.
    """
    device = lengths.device
    record, slot = channel_owners(lengths, channels)
    if is_padded:
        length = 1 + slots * patches
        first = torch.arange(len(lengths), device=device) * length
        sizes = [(len(lengths), length)]
    else:
        counts = [(int(count), int(times)) for count, times in zip(*lengths.unique(return_counts=True), strict=True)]
        sizes = [(times, 1 + count * patches) for count, times in counts]
        by_count = lengths.argsort(stable=True)
        tokens = 1 + lengths * patches
        first = torch.empty_like(lengths)
        first[by_count] = tokens[by_count].cumsum(0) - tokens[by_count]
    inside = (first[record] + 1 + slot * patches)[:, None] + torch.arange(patches, device=device)
    place = torch.cat((first, inside.flatten()))
    rows = sum(records * length for records, length in sizes)
    is_real = torch.zeros(rows, dtype=torch.bool, device=device).index_fill(0, place, value=True) if is_padded else None
    rectangles = []
    start = 0
    for records, length in sizes:
        mask = None if is_real is None else is_real.view(records, 1, 1, length)
        if not is_joint:
            owner = (torch.arange(length, device=device) - 1).div(patches, rounding_mode="floor")  # class token: -1
            same, asks_all = owner[:, None] == owner, owner[:, None] < 0
            # an empty place sees the empty places of its slot
            mask = (asks_all | same)[None, None] if mask is None else (mask & asks_all) | same
        rectangles.append(Rectangle(start, records, length, mask))
        start += records * length
    return ChannelLayout(record, slot, place, rows, tuple(rectangles))


class ChannelBlock(nn.Module):
    """Transformer block over the rows of a layout.

    "post-norm" is the published one: x ← norm1(x + attention(norm1(x))), x ← norm2(x + MLP(x)), with ReLU; "pre-norm"
    the usual one, with GELU.
    """

    def __init__(self, dim: int, heads: int, hidden: int, *, style: BlockStyle, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.dropout = dropout
        self.is_post = style == "post-norm"

    def forward(self, rows: Tensor, layout: ChannelLayout) -> Tensor:
        """Return rows (R, D)."""
        mixed = self._drop(self._mix(self.norm1(rows), layout))
        if self.is_post:
            rows = self.norm1(rows + mixed)
            return self.norm2(rows + self._drop(self.fc2(self._drop(F.relu(self.fc1(rows))))))
        rows = rows + mixed
        return rows + self._drop(self.fc2(self._drop(F.gelu(self.fc1(self.norm2(rows))))))

    def weights(self, rows: Tensor, rectangle: Rectangle) -> Tensor:
        """Return the softmax weights (records, heads, L, L) float32 in one rectangle; empty places get none."""
        q, k, _ = self._heads(self.attn.qkv(self.norm1(rows)), rectangle)
        scores = (q.float() * q.shape[-1] ** -0.5) @ k.float().transpose(2, 3)
        if rectangle.mask is not None:
            scores = scores.masked_fill(~rectangle.mask, -torch.inf)
        return scores.softmax(dim=-1)

    def _heads(self, qkv: Tensor, rectangle: Rectangle) -> tuple[Tensor, Tensor, Tensor]:
        part = qkv.narrow(0, rectangle.start, rectangle.records * rectangle.length)
        split = part.view(rectangle.records, rectangle.length, 3, self.attn.heads, -1)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def _mix(self, rows: Tensor, layout: ChannelLayout) -> Tensor:
        qkv = self.attn.qkv(rows)
        dropout = self.dropout if self.training else 0.0
        parts = []
        for rectangle in layout.rectangles:
            q, k, v = self._heads(qkv, rectangle)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=rectangle.mask, dropout_p=dropout)
            parts.append(mixed.transpose(1, 2).flatten(2).flatten(0, 1))
        return self.attn.proj(parts[0] if len(parts) == 1 else torch.cat(parts))

    def _drop(self, rows: Tensor) -> Tensor:
        return F.dropout(rows, self.dropout, self.training)


@dataclass(frozen=True, slots=True)
class ChannelTokens:
    """What a channel-adaptive encoder says of B records with M channels in all."""

    pooled: Tensor  # (B, D), the class token; "one channel": the mean of the channels' class tokens
    patches: Tensor  # (M, P, D), the tokens of every channel
    record: Tensor  # (M,) int64
    grid: tuple[int, int]

    def dense(self) -> Tensor:
        """Return the mean over each record's channels at every place, (B, P, D)."""
        return segment_mean(self.patches, self.record, len(self.pooled))


def segment_mean(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """Return the mean (count, …) of the rows of `values` (M, …) that have the same `owner` (M,)."""
    total = values.new_zeros(count, *values.shape[1:]).index_add(0, owner, values)
    members = values.new_zeros(count).index_add(0, owner, values.new_ones(len(owner)))
    return total / members.clamp_min(1).view(-1, *(1,) * (values.ndim - 1))


class ChannelViT(nn.Module):
    """One patch embedding for all channels; tokens = patch + place + channel slot; one class token per record.

    Args:
        size_px: side of the pictures.
        patch_px: side of a patch.
        slots: most channels of a record; each slot has a learnt vector.
        dim: width D.
        depth: blocks.
        heads: of every attention.
        hidden: width of the MLPs.
        style: of the blocks.
        mixing: "joint": every token sees all channels; "within channels": patches see their own channel, the class
            token all; "one channel": every channel is a record of its own, without slots; class tokens are averaged.
        dropout: of the last block; rises linearly from 0.
    """

    def __init__(
        self,
        *,
        size_px: int,
        patch_px: int,
        slots: int,
        dim: int,
        depth: int,
        heads: int,
        hidden: int,
        style: BlockStyle = "post-norm",
        mixing: Mixing = "joint",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(f"A width of {dim} cannot be shared by {heads} heads.", "Choose a multiple.")
        self.grid = patch_grid((size_px, size_px), (patch_px, patch_px))
        self.patch_px, self.slots, self.dim, self.depth, self.heads = patch_px, slots, dim, depth, heads
        self.mixing: Mixing = mixing
        self.patch_embed = PatchEmbed((patch_px, patch_px), 1, dim)
        self.cls_token = nn.Parameter(torch.empty(1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1 + self.grid[0] * self.grid[1], dim))  # row 0: the class token
        self.channel_token = None if mixing == "one channel" else nn.Parameter(torch.empty(slots, dim))
        self.blocks = nn.ModuleList(
            ChannelBlock(dim, heads, hidden, style=style, dropout=rate) for rate in drop_path_rates(dropout, depth)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        init_linear(self.blocks, "xavier")
        for table in (self.cls_token, self.pos_embed, self.channel_token):
            if table is not None:
                nn.init.trunc_normal_(table, std=0.02)

    def forward(self, channels: Tensor, lengths: Tensor, order: Tensor | None = None) -> ChannelTokens:
        """Return the tokens of records.

        Args:
            channels: (M, H, W) float32, the channels of all records one after another.
            lengths: (B,) int64, how many each record has; at most `slots`.
            order: (B, slots) int64, the slot that each record's 1st, 2nd, … channel takes; by default 0, 1, ….
        """
        # asking a graphics processor for the lengths would cost more than the empty places
        rows, layout = self._enter(channels, lengths, order, is_padded=channels.device.type != "cpu")
        for block in self.blocks:
            rows = block(rows, layout)
        tokens = self.norm(rows.index_select(0, layout.place))
        records = len(channels) if self.mixing == "one channel" else len(lengths)
        pooled, patches = tokens[:records], tokens[records:]
        record = layout.record
        if self.mixing == "one channel":
            record, _ = channel_owners(lengths, len(channels))
            pooled = segment_mean(pooled, record, len(lengths))
        height, width = (side // self.patch_px for side in channels.shape[1:])
        return ChannelTokens(pooled, patches.view(len(channels), -1, self.dim), record, (height, width))

    def attention(
        self, channels: Tensor, lengths: Tensor, layer: int, order: Tensor | None = None
    ) -> tuple[Tensor, ChannelLayout]:
        """Return the weights (B, heads, L, L) of block `layer` (negative: from the end), and where its tokens lie.

        L = 1 + slots · P; of "one channel", B is M and L is 1 + P.

        Raises:
            IndexError: there is no such block.
        """
        if not -self.depth <= layer < self.depth:
            msg = f"layer {layer} of {self.depth}"
            raise IndexError(msg)
        rows, layout = self._enter(channels, lengths, order, is_padded=True)
        blocks = [block for block in self.blocks if isinstance(block, ChannelBlock)]
        for block in blocks[: layer % self.depth]:
            rows = block(rows, layout)
        return blocks[layer].weights(rows, layout.rectangles[0]), layout

    def _enter(
        self, channels: Tensor, lengths: Tensor, order: Tensor | None, *, is_padded: bool
    ) -> tuple[Tensor, ChannelLayout]:
        count = len(channels)
        tokens = self.patch_embed(channels.unsqueeze(1))  # (M, P, D)
        grid = patch_grid(channels.shape[1:], (self.patch_px, self.patch_px))
        tokens = tokens + resize_positions(self.pos_embed[1:], self.grid, grid)
        slots = self.slots
        if self.channel_token is None:
            lengths, slots = torch.ones(count, dtype=torch.int64, device=channels.device), 1
        is_joint = self.mixing != "within channels"
        layout = lay_out(lengths, count, tokens.shape[1], slots, is_joint=is_joint, is_padded=is_padded)
        if self.channel_token is not None:
            slot = layout.slot if order is None else order[layout.record, layout.slot]
            tokens = tokens + self.channel_token[slot].unsqueeze(1)
        first = (self.cls_token + self.pos_embed[:1]).expand(len(lengths), -1)
        source = torch.cat((first, tokens.flatten(0, 1)))
        return source.new_zeros(layout.rows, self.dim).index_copy(0, layout.place, source), layout
