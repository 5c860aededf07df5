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
class ChannelLayout:
    """Where the tokens of flat channels lie: rows are B class tokens, then P patches of each of M channels."""

    record: Tensor  # (M,) int64, the record of a channel
    slot: Tensor  # (M,) int64, its slot in that record
    place: Tensor  # (B + M·P,) int64, the place of each row in the rectangle (B · L,)
    mask: Tensor  # (B, 1, 1 or L, L) bool, True = may be seen
    records: int  # B
    length: int  # L = 1 + slots · P


def channel_owners(lengths: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Return record and slot, (M,) int64 each, of every channel of records with `lengths` (B,) channels.

    `channels` is M, the sum of the lengths; giving it spares a wait for the device.
    """
    record = torch.repeat_interleave(lengths, output_size=channels)
    start = lengths.cumsum(0) - lengths
    return record, torch.arange(channels, device=lengths.device) - start[record]


def lay_out(record: Tensor, slot: Tensor, records: int, patches: int, slots: int, *, is_joint: bool) -> ChannelLayout:
    """Return the layout of channels that belong to `record` (M,) in `slot` (M,).

    A token sees the class token and all real patches of its record; with `is_joint` False, patches see only those of
    their own channel, and the class token sees all.
    """
    device = record.device
    length = 1 + slots * patches
    first = record * length + 1 + slot * patches
    place = torch.cat(
        (
            torch.arange(records, device=device) * length,
            (first[:, None] + torch.arange(patches, device=device)).flatten(),
        )
    )
    ones = torch.ones(len(place), dtype=torch.bool, device=device)
    is_real = torch.zeros(records * length, dtype=torch.bool, device=device).index_copy(0, place, ones)
    mask = is_real.view(records, 1, 1, length)
    if not is_joint:
        owner = (torch.arange(length, device=device) - 1).div(patches, rounding_mode="floor")  # class token: -1
        same = owner[:, None] == owner
        mask = (mask & (owner[:, None] < 0)) | same  # an empty place sees the empty places of its slot
    return ChannelLayout(record, slot, place, mask, records, length)


class ChannelBlock(nn.Module):
    """Transformer block over ragged rows.

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
        """Return rows (B + M·P, D)."""
        mixed = self._drop(self._mix(self.norm1(rows), layout))
        if self.is_post:
            rows = self.norm1(rows + mixed)
            return self.norm2(rows + self._drop(self.fc2(self._drop(F.relu(self.fc1(rows))))))
        rows = rows + mixed
        return rows + self._drop(self.fc2(self._drop(F.gelu(self.fc1(self.norm2(rows))))))

    def weights(self, rows: Tensor, layout: ChannelLayout) -> Tensor:
        """Return the softmax weights (B, heads, L, L) float32 of this block; empty places get none."""
        q, k, _ = self._heads(self.norm1(rows), layout)
        scores = (q.float() * q.shape[-1] ** -0.5) @ k.float().transpose(2, 3)
        return scores.masked_fill(~layout.mask, -torch.inf).softmax(dim=-1)

    def _heads(self, rows: Tensor, layout: ChannelLayout) -> tuple[Tensor, Tensor, Tensor]:
        qkv = self.attn.qkv(rows)
        # real rows are copied in; a gather would make all empty places add their gradient to one row
        spread = qkv.new_zeros(layout.records * layout.length, qkv.shape[1]).index_copy(0, layout.place, qkv)
        q, k, v = spread.view(layout.records, layout.length, 3, self.attn.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def _mix(self, rows: Tensor, layout: ChannelLayout) -> Tensor:
        q, k, v = self._heads(rows, layout)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=layout.mask, dropout_p=dropout)
        return self.attn.proj(mixed.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, layout.place))

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
        init_linear(self.blocks, "truncated normal")
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
        rows, layout = self._enter(channels, lengths, order)
        for block in self.blocks:
            rows = block(rows, layout)
        rows = self.norm(rows)
        pooled, patches = rows[: layout.records], rows[layout.records :]
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

        Raises:
            IndexError: there is no such block.
        """
        if not -self.depth <= layer < self.depth:
            msg = f"layer {layer} of {self.depth}"
            raise IndexError(msg)
        rows, layout = self._enter(channels, lengths, order)
        blocks = [block for block in self.blocks if isinstance(block, ChannelBlock)]
        for block in blocks[: layer % self.depth]:
            rows = block(rows, layout)
        return blocks[layer].weights(rows, layout), layout

    def _enter(self, channels: Tensor, lengths: Tensor, order: Tensor | None) -> tuple[Tensor, ChannelLayout]:
        count = len(channels)
        tokens = self.patch_embed(channels.unsqueeze(1))  # (M, P, D)
        grid = patch_grid(channels.shape[1:], (self.patch_px, self.patch_px))
        tokens = tokens + resize_positions(self.pos_embed[1:], self.grid, grid)
        if self.channel_token is None:
            alone = torch.arange(count, device=channels.device)
            layout = lay_out(alone, torch.zeros_like(alone), count, tokens.shape[1], 1, is_joint=True)
        else:
            record, slot = channel_owners(lengths, count)
            slot = slot if order is None else order[record, slot]
            tokens = tokens + self.channel_token[slot].unsqueeze(1)
            layout = lay_out(record, slot, len(lengths), tokens.shape[1], self.slots, is_joint=self.mixing == "joint")
        first = (self.cls_token + self.pos_embed[:1]).expand(layout.records, -1)
        return torch.cat((first, tokens.flatten(0, 1))), layout
