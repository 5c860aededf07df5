"""Vision transformer over one to four axes: pictures, clips, volumes, moving volumes.

Parameter names are timm's (`patch_embed.proj`, `cls_token`, `reg_token`, `pos_embed`, `blocks`, `norm`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.method import Features
from engine.networks.blocks import Block, Init, drop_path_rates, init_linear
from engine.networks.patches import PatchEmbed, patch_grid
from engine.networks.positions import SineOrder, resize_positions, sine_positions

Pool = Literal["class", "mean"]


class ViT(nn.Module):
    """Tokens (prefix + N) = class token, registers, patches in row-major order.

    Args:
        size: pixels along each axis.
        patch: pixels of a patch along each axis.
        channels: C.
        dim: width D.
        depth: blocks.
        heads: of every attention.
        mlp_ratio: hidden width of an MLP / D.
        class_token: whether there is one.
        registers: how many register tokens.
        positions: a fixed sine-cosine table, or a learned one.
        sine_order: see `sine_positions`.
        layer_scale: initial value of the residual scales; 0 = none.
        drop_path: stochastic depth of the last block; rises linearly from 0.
        key_bias: whether keys have a bias (CAE: no).
        norm_eps: of all layer norms.
        mask_token: whether `forward` takes `mask` (iBOT); the token starts at zero.
        init: of the linear layers.
        pool: what `features` pools by default.
        final_norm: whether there is a norm after the last block (SelfPatch: no).
    """

    pos_embed: Tensor

    def __init__(
        self,
        *,
        size: Sequence[int],
        patch: Sequence[int],
        channels: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        class_token: bool = True,
        registers: int = 0,
        positions: Literal["sine", "learned"] = "sine",
        sine_order: SineOrder = "column first",
        layer_scale: float = 0.0,
        drop_path: float = 0.0,
        key_bias: bool = True,
        norm_eps: float = 1e-6,
        mask_token: bool = False,
        init: Init = "xavier",
        pool: Pool = "mean",
        final_norm: bool = True,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(f"A width of {dim} cannot be shared by {heads} heads.", "Choose a multiple.")
        self.size = tuple(size)
        self.patch = tuple(patch)
        self.grid = patch_grid(self.size, self.patch)
        self.channels = channels
        self.dim = dim
        self.depth = depth
        self.heads = heads
        self.prefix = int(class_token) + registers
        self.pool: Pool = pool if class_token else "mean"
        self._sine_order: SineOrder | None = sine_order if positions == "sine" else None

        self.patch_embed = PatchEmbed(self.patch, channels, dim)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim)) if class_token else None
        self.reg_token = nn.Parameter(torch.empty(1, registers, dim)) if registers else None
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim)) if mask_token else None
        # row 0 belongs to the class token, where there is one; registers have no position
        table = torch.zeros(1, int(class_token) + len(sine_positions(self.grid, 2 * len(self.grid))), dim)
        if self._sine_order is not None:
            table[:, int(class_token) :] = sine_positions(self.grid, dim, self._sine_order)
            self.register_buffer("pos_embed", table)
        else:
            self.pos_embed = nn.Parameter(table)
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.blocks = nn.ModuleList(
            Block(
                dim,
                heads,
                mlp_ratio=mlp_ratio,
                layer_scale=layer_scale,
                drop_path=rate,
                key_bias=key_bias,
                norm_eps=norm_eps,
            )
            for rate in drop_path_rates(drop_path, depth)
        )
        self.norm: nn.Module = nn.LayerNorm(dim, eps=norm_eps) if final_norm else nn.Identity()
        init_linear(self.blocks, init)
        for token in (self.cls_token, self.reg_token):
            if token is not None:
                nn.init.normal_(token, std=0.02)

    @property
    def tokens_count(self) -> int:
        """N, patches of an input of the size it was built for."""
        return self.pos_embed.shape[1] - (self.cls_token is not None)

    def no_decay(self) -> set[str]:
        """Return names of parameters that take no weight decay in timm's recipes (MAE and CAE do decay tokens)."""
        return {"pos_embed", "cls_token", "reg_token", "mask_token"} & {name for name, _ in self.named_parameters()}

    def patch_positions(self, grid: Sequence[int] | None = None) -> Tensor:
        """Return the positions (1, N, D) of patches on `grid`, by default on the one it was built for."""
        table = self.pos_embed[:, int(self.cls_token is not None) :]
        if grid is None or tuple(grid) == self.grid:
            return table
        if self._sine_order is not None:
            moved = sine_positions(grid, self.dim, self._sine_order, trained_grid=self.grid)
            return moved.to(table).unsqueeze(0)
        return resize_positions(table[0], self.grid, grid).unsqueeze(0)

    def tokens(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return embedded patches with positions, (B, N, D), of x (B, C, *size); other sizes than its own are fine.

        Args:
            x: the input.
            mask: (B, N) bool; masked patches (True) are replaced by the mask token before positions are added.

        Raises:
            ConfigError: a mask is given, and there is no mask token.
        """
        tokens = self.patch_embed(x)
        if mask is not None:
            if self.mask_token is None:
                raise ConfigError("This encoder has no mask token.", "Build it with mask_token=True.")
            tokens = torch.where(mask.unsqueeze(2), self.mask_token.to(tokens.dtype), tokens)
        return tokens + self.patch_positions(patch_grid(x.shape[2:], self.patch))

    def _with_prefix(self, tokens: Tensor) -> Tensor:
        parts = []
        if self.cls_token is not None:
            parts.append((self.cls_token + self.pos_embed[:, :1]).expand(tokens.shape[0], -1, -1))
        if self.reg_token is not None:
            parts.append(self.reg_token.expand(tokens.shape[0], -1, -1))
        return torch.cat((*parts, tokens), dim=1) if parts else tokens

    def _enter(self, x: Tensor, keep: Tensor | None, mask: Tensor | None) -> Tensor:
        tokens = self.tokens(x, mask)
        if keep is not None:
            tokens = take_tokens(tokens, keep)
        return self._with_prefix(tokens)

    def forward(self, x: Tensor, keep: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return tokens after the final norm, (B, prefix + N, D), or (B, prefix + V, D) where only V are kept.

        Args:
            x: (B, C, *size).
            keep: (B, V) int64, the patches that enter at all.
            mask: see `tokens`.
        """
        hidden = self._enter(x, keep, mask)
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)

    def last_layers(self, x: Tensor, count: int) -> list[Tensor]:
        """Return the tokens after each of the last `count` blocks, each through the final norm."""
        hidden = self._enter(x, None, None)
        outputs = []
        for number, block in enumerate(self.blocks):
            hidden = block(hidden)
            if number >= self.depth - count:
                outputs.append(self.norm(hidden))
        return outputs

    def attention(self, x: Tensor, layer: int, keep: Tensor | None = None) -> Tensor:
        """Return the softmax weights of block `layer` (negative: from the end), (B, heads, T, T) float32.

        They are recomputed for these samples only; training never stores them.

        Raises:
            IndexError: there is no such block.
        """
        if not -self.depth <= layer < self.depth:
            msg = f"layer {layer} of {self.depth}"
            raise IndexError(msg)
        hidden = self._enter(x, keep, None)
        for number, block in enumerate(self.blocks):
            if number == layer % self.depth:
                weights: Tensor = block.weights(hidden)  # type: ignore[operator]
                return weights
            hidden = block(hidden)
        raise AssertionError

    def attentions(self, x: Tensor, keep: Tensor | None = None) -> Iterator[Tensor]:
        """Yield what `attention` returns for every block, the first one first, in one pass."""
        hidden = self._enter(x, keep, None)
        for block in self.blocks:
            yield block.weights(hidden)  # type: ignore[operator]
            hidden = block(hidden)

    def features(self, x: Tensor, pool: Pool | None = None) -> Features:
        """Return features of x: the class token or the mean patch (B, D), every patch (B, N, D), and the grid."""
        pool = pool or self.pool
        tokens = self(x)
        patches = tokens[:, self.prefix :]
        pooled = tokens[:, 0] if pool == "class" and self.cls_token is not None else patches.mean(dim=1)
        return Features(pooled, patches, patch_grid(x.shape[2:], self.patch))


def take_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Return the tokens (B, K, D) at `index` (B, K) of tokens (B, N, D)."""
    return tokens.gather(1, index.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
