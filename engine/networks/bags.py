"""Attention pooling of bags: one vector for any number of members, and how much each member counted.

Papers: Ilse et al., Attention-based Deep Multiple Instance Learning, ICML 2018 (arXiv 1802.04712), gated attention,
Eq. (9); Jaume et al., Multistain Pretraining for Slide Representation Learning in Pathology, ECCV 2024
(arXiv 2408.02859), several heads over different slices of the widened members.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.networks.blocks import init_linear

_CHUNK_ROWS = 8192


class GatedAttention(nn.Module):
    """A score for every member from each of H separate networks: w · (tanh(U e) ⊙ sigmoid(V e)).

    Args:
        heads: H.
        dim: of a member, in each head.
        hidden: width of both branches.
        dropout: in both branches.
    """

    def __init__(self, heads: int, dim: int, hidden: int, *, dropout: float = 0.25) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(heads, dim, hidden))
        self.value_bias = nn.Parameter(torch.zeros(heads, 1, hidden))
        self.gate = nn.Parameter(torch.empty(heads, dim, hidden))
        self.gate_bias = nn.Parameter(torch.zeros(heads, 1, hidden))
        self.score = nn.Parameter(torch.empty(heads, hidden, 1))
        self.score_bias = nn.Parameter(torch.zeros(heads, 1, 1))
        self.dropout = nn.Dropout(dropout)
        for weight in (self.value, self.gate, self.score):
            bound = math.sqrt(1 / weight.shape[1])
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, members: Tensor) -> Tensor:
        """Return scores (N, H), before any softmax, of members (N, H, dim)."""
        e = members.transpose(0, 1)  # (H, N, dim)
        branch = self.dropout(torch.tanh(torch.baddbmm(self.value_bias, e, self.value)))
        gate = self.dropout(torch.sigmoid(torch.baddbmm(self.gate_bias, e, self.gate)))
        return torch.baddbmm(self.score_bias, branch * gate, self.score).squeeze(2).T


@dataclass(frozen=True, slots=True)
class Pooled:
    """Bags as vectors."""

    vectors: Tensor  # (B, E)
    tokens: Tensor  # (N, H · dim), the members before pooling
    attention: Tensor  # (N, H) float32, sums to 1 over the members of each bag


class BagEncoder(nn.Module):
    """Members through three layers, then gated attention per head, then one linear map: the vector of a bag.

    Args:
        features: width of a member as stored.
        hidden: of the layers, and of a member in each head.
        heads: H, attention networks, each over its own slice of the widened members.
        gate: width of the attention networks.
        outputs: E.
        dropout: after each layer; a quarter in the attention networks.
    """

    def __init__(
        self, features: int, *, hidden: int, heads: int, gate: int, outputs: int, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.heads = heads
        layers: list[nn.Module] = []
        before = features
        for width in (hidden, hidden, hidden * heads):
            layers += [nn.Linear(before, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout)]
            before = width
        self.layers = nn.Sequential(*layers)
        init_linear(self.layers, "xavier")
        self.attention = GatedAttention(heads, hidden, gate)
        self.projector = nn.Linear(hidden * heads, outputs)

    def forward(self, members: Tensor) -> Pooled:
        """Return bags of the same size, members (B, T, features); `tokens` and `attention` have B · T rows."""
        bags, size = members.shape[:2]
        tokens, scores = self._members(members.flatten(0, 1))
        attention = scores.view(bags, size, -1).softmax(dim=1)
        split = tokens.view(bags, size, -1, self.heads)  # the head is the fastest index
        pooled = torch.einsum("bth,btdh->bdh", attention.to(split.dtype), split).flatten(1)
        return Pooled(self.projector(pooled), tokens, attention.flatten(0, 1))

    def pool(self, members: Tensor, owner: Tensor, bags: int) -> Pooled:
        """Return bags of any size: members (N, features), the bag of each in `owner` (N,) int64.

        An empty bag gives the vector of nothing. Members go through the layers in parts, so that bags of a hundred
        thousand fit into memory where no gradient is needed.
        """
        if torch.is_grad_enabled():
            tokens, scores = self._members(members)
        else:
            parts = [self._members(part) for part in members.split(_CHUNK_ROWS)]
            tokens, scores = (torch.cat(part) for part in zip(*parts, strict=True))
        attention = segment_softmax(scores, owner, bags)
        split = tokens.view(len(tokens), -1, self.heads)
        weighted = (split * attention[:, None].to(split.dtype)).flatten(1)
        pooled = weighted.new_zeros(bags, weighted.shape[1]).index_add(0, owner, weighted)
        return Pooled(self.projector(pooled), tokens, attention)

    def _members(self, members: Tensor) -> tuple[Tensor, Tensor]:
        """Return widened members (N, dim · H) and their scores (N, H) float32."""
        tokens = self.layers(members)
        split = tokens.view(len(tokens), -1, self.heads).transpose(1, 2)
        return tokens, self.attention(split).float()


def segment_softmax(scores: Tensor, owner: Tensor, count: int) -> Tensor:
    """Return the softmax of scores (N, H) over the rows with the same `owner` (N,), of `count` owners."""
    index = owner[:, None].expand_as(scores)
    highest = scores.new_full((count, scores.shape[1]), -torch.inf).scatter_reduce(0, index, scores, "amax")
    weights = (scores - highest.gather(0, index)).exp()
    total = weights.new_zeros(count, scores.shape[1]).index_add(0, owner, weights)
    return weights / total.gather(0, index)
