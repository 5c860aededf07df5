"""Transformer blocks: self-attention, cross-attention and class-attention, on timm's parts and the fused kernel.

Each attention can also return its softmax weights, recomputed on demand, so that the fused kernel stays on.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import DropPath, LayerScale, Mlp
from torch import Tensor, nn

Init = Literal["xavier", "truncated normal"]


def init_linear(module: nn.Module, init: Init = "xavier") -> None:
    """Initialise every linear layer below `module`: xavier-uniform (MAE) or truncated normal 0.02 (timm, DINO)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            if init == "xavier":
                nn.init.xavier_uniform_(part.weight)
            else:
                nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def drop_path_rates(highest: float, depth: int) -> list[float]:
    """Return stochastic-depth rates that rise linearly from 0 to `highest` over `depth` blocks."""
    return [highest * block / max(1, depth - 1) for block in range(depth)]


def residual_scale(dim: int, init: float) -> nn.Module:
    """Return a layer scale with this initial value, or nothing for 0."""
    return LayerScale(dim, init_values=init) if init else nn.Identity()


def residual_drop(rate: float) -> nn.Module:
    """Return stochastic depth with this rate, or nothing for 0."""
    return DropPath(rate) if rate > 0 else nn.Identity()


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """Return x (B, T, D) as (B, heads, T, D / heads)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def _softmax_weights(q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
    """Return softmax(q·kᵀ/√d + bias) in float32, under autocast, too."""
    with torch.autocast(q.device.type, enabled=False):
        scores = (q.float() * q.shape[-1] ** -0.5) @ k.float().transpose(-2, -1)
    if bias is not None:
        scores = scores.masked_fill(~bias, -torch.inf) if bias.dtype == torch.bool else scores + bias
    return scores.softmax(dim=-1)


class SelfAttention(nn.Module):
    """Multi-head self-attention; without key bias (CAE, BEiT) only queries and values have one."""

    def __init__(self, dim: int, heads: int, *, key_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=key_bias)
        self.q_bias = None if key_bias else nn.Parameter(torch.zeros(dim))
        self.v_bias = None if key_bias else nn.Parameter(torch.zeros(dim))
        self.proj = nn.Linear(dim, dim)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of x (B, T, D), each (B, heads, T, D / heads)."""
        bias: Tensor | None = self.qkv.bias
        if self.q_bias is not None and self.v_bias is not None:
            bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        qkv = F.linear(x, self.qkv.weight, bias).view(*x.shape[:2], 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return what x (B, T, D) attends to; `bias` is added to the scores, or a bool mask (True = may attend)."""
        q, k, v = self.project(x)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the softmax weights (B, heads, T, T) float32 that `forward` uses without ever storing them."""
        q, k, _ = self.project(x)
        return _softmax_weights(q, k, bias)


class Block(nn.Module):
    """Pre-norm transformer block; parameter names are timm's."""

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        layer_scale: float = 0.0,
        drop_path: float = 0.0,
        key_bias: bool = True,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = SelfAttention(dim, heads, key_bias=key_bias)
        self.ls1 = residual_scale(dim, layer_scale)
        self.drop_path1 = residual_drop(drop_path)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.ls2 = residual_scale(dim, layer_scale)
        self.drop_path2 = residual_drop(drop_path)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return x (B, T, D) after attention and MLP; `bias` as in `SelfAttention`."""
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x), bias)))
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))

    def weights(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the attention weights (B, heads, T, T) of this block for its input x."""
        return self.attn.weights(self.norm1(x), bias)


class CrossAttention(nn.Module):
    """Multi-head attention of queries to a context; keys and values may be normalised or positioned differently."""

    def __init__(self, dim: int, heads: int, *, context_dim: int = 0, key_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(context_dim or dim, dim, bias=key_bias)
        self.v = nn.Linear(context_dim or dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return (B, Q, D) for queries (B, Q, D), keys (B, T, D') and values (B, T, D')."""
        q, k = _split_heads(self.q(query), self.heads), _split_heads(self.k(key), self.heads)
        v = _split_heads(self.v(value), self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def weights(self, query: Tensor, key: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the softmax weights (B, heads, Q, T) float32."""
        q, k = _split_heads(self.q(query), self.heads), _split_heads(self.k(key), self.heads)
        return _softmax_weights(q, k, bias)


class CrossAttentionBlock(nn.Module):
    """Pre-norm block in which queries look at a context, after (optionally) looking at each other."""

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        context_dim: int = 0,
        self_attention: bool = False,
        mlp_ratio: float = 4.0,
        layer_scale: float = 0.0,
        drop_path: float = 0.0,
        key_bias: bool = True,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(dim, eps=norm_eps) if self_attention else None
        self.attn_self = SelfAttention(dim, heads, key_bias=key_bias) if self_attention else None
        self.norm_query = nn.LayerNorm(dim, eps=norm_eps)
        self.norm_context = nn.LayerNorm(context_dim or dim, eps=norm_eps)
        self.attn = CrossAttention(dim, heads, context_dim=context_dim, key_bias=key_bias)
        self.norm_mlp = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.scale = residual_scale(dim, layer_scale)
        self.scale_mlp = residual_scale(dim, layer_scale)
        self.drop_path = residual_drop(drop_path)

    def forward(
        self,
        query: Tensor,
        context: Tensor,
        *,
        query_position: Tensor | None = None,
        context_position: Tensor | None = None,
    ) -> Tensor:
        """Return the queries (B, Q, D) after the block; positions are added to queries and keys, never to values."""
        query = self._look_at_each_other(query)
        asked, key, value = self._inputs(query, context, query_position, context_position)
        query = query + self.drop_path(self.scale(self.attn(asked, key, value)))
        return query + self.drop_path(self.scale_mlp(self.mlp(self.norm_mlp(query))))

    def weights(
        self,
        query: Tensor,
        context: Tensor,
        *,
        query_position: Tensor | None = None,
        context_position: Tensor | None = None,
    ) -> Tensor:
        """Return the weights (B, heads, Q, T) with which this block's input queries look at the context."""
        asked, key, _ = self._inputs(self._look_at_each_other(query), context, query_position, context_position)
        return self.attn.weights(asked, key)

    def _look_at_each_other(self, query: Tensor) -> Tensor:
        if self.attn_self is None or self.norm_self is None:
            return query
        return query + self.drop_path(self.attn_self(self.norm_self(query)))

    def _inputs(
        self, query: Tensor, context: Tensor, query_position: Tensor | None, context_position: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        asked, value = self.norm_query(query), self.norm_context(context)
        key = value if context_position is None else value + context_position
        return (asked if query_position is None else asked + query_position), key, value


class ClassAttentionBlock(nn.Module):
    """Only the class token changes; it looks at itself and the patches (Touvron et al. 2021, CaiT)."""

    def __init__(
        self, dim: int, heads: int, *, mlp_ratio: float = 4.0, layer_scale: float = 1e-4, norm_eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = CrossAttention(dim, heads)
        self.ls1 = residual_scale(dim, layer_scale)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.ls2 = residual_scale(dim, layer_scale)

    def forward(self, token: Tensor, patches: Tensor) -> Tensor:
        """Return the class token (B, 1, D) after looking at itself and the patches (B, N, D)."""
        both = self.norm1(torch.cat((token, patches), dim=1))
        token = token + self.ls1(self.attn(both[:, :1], both, both))
        return token + self.ls2(self.mlp(self.norm2(token)))

    def forward_groups(self, tokens: Tensor, patches: Tensor, index: Tensor, is_real: Tensor | None = None) -> Tensor:
        """Return class tokens (B, M, D), each after looking at itself and at its own few of the patches (B, N, D).

        The same as `forward` for every token alone, with keys and values of each patch computed once.

        Args:
            tokens: one for each group.
            patches: of the record.
            index: (B, M, K) int64, which patches belong to the group.
            is_real: (B, M, K) bool; False = not looked at.
        """
        attn, own, context = self.attn, self.norm1(tokens), self.norm1(patches)
        batch, groups, few = index.shape
        flat = index.flatten(1).unsqueeze(2).expand(-1, -1, tokens.shape[2])

        def gathered(layer: nn.Module) -> Tensor:
            chosen = layer(context).gather(1, flat).view(batch, groups, few, -1)
            both = torch.cat((layer(own).unsqueeze(2), chosen), dim=2)
            return both.view(batch, groups, few + 1, attn.heads, -1)

        query = attn.q(own).view(batch, groups, 1, attn.heads, -1)
        scores = (query * gathered(attn.k)).sum(dim=-1).float() * query.shape[-1] ** -0.5  # (B, M, 1 + K, heads)
        if is_real is not None:
            scores[:, :, 1:] = scores[:, :, 1:].masked_fill(~is_real.unsqueeze(3), -torch.inf)
        weights = scores.softmax(dim=2).to(query.dtype)
        mixed = (weights.unsqueeze(4) * gathered(attn.v)).sum(dim=2).flatten(2)
        tokens = tokens + self.ls1(attn.proj(mixed))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))

    def weights(self, token: Tensor, patches: Tensor) -> Tensor:
        """Return the weights (B, heads, 1, 1 + N) of the class token over itself and the patches."""
        both = self.norm1(torch.cat((token, patches), dim=1))
        return self.attn.weights(both[:, :1], both)
