"""A transformer for sets of different size, padded and marked; positions are added before every block.

As in Point-MAE (Pang et al., ECCV 2022) and PoLAr-MAE (arXiv 2502.02558).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

from engine.networks.blocks import SelfAttention, drop_path_rates

Norm = Literal["masked global", "layer"]


class MaskedGlobalNorm(nn.Module):
    """One mean and one spread over all real tokens, channels and records; gain and bias per channel.

    In evaluation the mean and spread are those of each record, so that a record does not depend on its neighbours.
    """

    def __init__(self, dim: int, *, affine: bool = True, eps: float = 1e-13) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim)) if affine else None
        self.bias = nn.Parameter(torch.zeros(dim)) if affine else None

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return x (B, T, D) normalised by its entries where `real` (B, T) is True."""
        values = x.float()
        counted = real.unsqueeze(2).to(values.dtype)
        over = (0, 1, 2) if self.training else (1, 2)
        count = (counted.sum(dim=over, keepdim=True) * x.shape[2]).clamp_min(1.0)
        mean = (values * counted).sum(dim=over, keepdim=True) / count
        centred = (values - mean) * counted  # padding stays 0, so that it cannot grow from block to block
        spread = (centred.square().sum(dim=over, keepdim=True) / count + self.eps).sqrt()
        normalised = centred / spread
        if self.weight is None or self.bias is None:
            return normalised
        return normalised * self.weight + self.bias


class PerTokenNorm(nn.LayerNorm):
    """An ordinary layer norm that is told which tokens are real and does not care."""

    def forward(self, x: Tensor, real: Tensor) -> Tensor:  # type: ignore[override]  # noqa: ARG002
        """Return x (B, T, D), every token normalised on its own."""
        return super().forward(x)


def make_norm(kind: Norm, dim: int) -> nn.Module:
    """Return a norm that takes (x, real)."""
    return MaskedGlobalNorm(dim) if kind == "masked global" else PerTokenNorm(dim, eps=1e-6)


class _DropToken(nn.Module):
    """Stochastic depth drawn for every token, not for every record."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.keep = 1.0 - rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.keep == 1.0:
            return x
        return x * (x.new_empty(*x.shape[:2], 1).bernoulli_(self.keep) / self.keep)


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, norm: Norm, drop_path: float, attention_dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = make_norm(norm, dim), make_norm(norm, dim)
        self.attn = SelfAttention(dim, heads)
        self.mlp = Mlp(dim, 4 * dim)
        self.drop = _DropToken(drop_path)
        self.attention_dropout = attention_dropout

    def forward(self, x: Tensor, real: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.attn.project(self.norm1(x, real))
        dropout = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        x = x + self.drop(self.attn.proj(mixed.transpose(1, 2).flatten(2)))
        return x + self.drop(self.mlp(self.norm2(x, real)))


class PaddedTransformer(nn.Module):
    """Pre-norm blocks over sets of tokens; padded tokens are attended by none.

    Args:
        dim: D.
        depth: blocks.
        heads: of every attention.
        norm: "masked global", or "layer".
        drop_path: stochastic depth of the last block; rises linearly from 0.
        attention_dropout: in training alone.
        final_norm: whether one follows the last block.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        *,
        norm: Norm = "masked global",
        drop_path: float = 0.0,
        attention_dropout: float = 0.0,
        final_norm: bool = False,
    ) -> None:
        super().__init__()
        self.dim, self.depth, self.heads = dim, depth, heads
        self.blocks = nn.ModuleList(
            _Block(dim, heads, norm, rate, attention_dropout) for rate in drop_path_rates(drop_path, depth)
        )
        self.norm = make_norm(norm, dim) if final_norm else None
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=0.02)
                nn.init.zeros_(part.bias)

    def forward(self, x: Tensor, position: Tensor, real: Tensor) -> Tensor:
        """Return tokens (B, T, D) of x (B, T, D) at `position` (B, T, D); `real` (B, T) bool marks what counts."""
        return self.layers(x, position, real)[-1]

    def layers(self, x: Tensor, position: Tensor, real: Tensor) -> list[Tensor]:
        """Return the tokens after every block, the last through the final norm where there is one."""
        mask = attention_mask(real)
        outputs = []
        for block in self.blocks:
            x = block(x + position, real, mask)
            outputs.append(x)
        if self.norm is not None:
            outputs[-1] = self.norm(x, real)
        return outputs

    def attention(self, x: Tensor, position: Tensor, real: Tensor, layer: int) -> Tensor:
        """Return the softmax weights of block `layer`, (B, heads, T, T) float32; 0 towards padding."""
        mask = attention_mask(real)
        for block in self.blocks[: layer % self.depth]:
            x = block(x + position, real, mask)
        block = self.blocks[layer % self.depth]
        weights: Tensor = block.attn.weights(block.norm1(x + position, real), mask)  # type: ignore[operator, union-attr]
        return weights


def attention_mask(real: Tensor) -> Tensor:
    """Return who may be looked at, (B, 1, 1, T) bool; in an empty set the first place, so that nothing is 0 / 0."""
    nobody = ~real.any(dim=1, keepdim=True)
    first = torch.arange(real.shape[1], device=real.device) == 0
    return (real | (nobody & first))[:, None, None]
