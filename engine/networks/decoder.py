"""The light decoder of masked autoencoders: visible tokens in, a prediction for every patch out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.networks.blocks import Block, init_linear
from engine.networks.positions import SineOrder, sine_positions


class MaskedDecoder(nn.Module):
    """He et al. 2022: project, put mask tokens in, restore the order, add positions to all, blocks, predict.

    Args:
        grid: patches along each axis.
        encoder_dim: width of the tokens that come in.
        outputs: predicted numbers per patch, p·p·C for pixels.
        dim: width.
        depth: blocks.
        heads: of every attention.
        mlp_ratio: hidden width of an MLP / width.
        prefix: tokens before the patches (class token, registers); they take part, and are dropped at the end.
        sine_order: see `sine_positions`.
        norm_eps: of all layer norms.
        positions: (prefix + N, dim), fixed; by default zeros for the prefix and `sine_positions` of the grid.
    """

    pos_embed: Tensor

    def __init__(
        self,
        *,
        grid: Sequence[int],
        encoder_dim: int,
        outputs: int,
        dim: int = 512,
        depth: int = 8,
        heads: int = 16,
        mlp_ratio: float = 4.0,
        prefix: int = 1,
        sine_order: SineOrder = "column first",
        norm_eps: float = 1e-6,
        positions: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.prefix = prefix
        self.depth = depth
        self.embed = nn.Linear(encoder_dim, dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, dim))
        if positions is None:
            positions = torch.cat((torch.zeros(prefix, dim), sine_positions(grid, dim, sine_order)))
        self.register_buffer("pos_embed", positions.unsqueeze(0))
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio=mlp_ratio, norm_eps=norm_eps) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.predict = nn.Linear(dim, outputs)
        init_linear(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def enter(self, encoded: Tensor, restore: Tensor) -> Tensor:
        """Return all tokens in image order with positions, (B, prefix + N, dim).

        Args:
            encoded: (B, prefix + V, encoder_dim), the encoder's visible tokens in the order of `Mask.keep`.
            restore: (B, N) of `Mask`.
        """
        hidden = self.embed(encoded)
        head, visible = hidden[:, : self.prefix], hidden[:, self.prefix :]
        missing = restore.shape[1] - visible.shape[1]
        fill = self.mask_token.to(hidden.dtype).expand(len(hidden), missing, -1)
        full = torch.cat((visible, fill), dim=1)
        ordered = full.gather(1, restore.unsqueeze(2).expand(-1, -1, full.shape[2]))
        return torch.cat((head, ordered), dim=1) + self.pos_embed

    def forward(self, encoded: Tensor, restore: Tensor) -> Tensor:
        """Return a prediction for every patch in image order, (B, N, outputs); arguments as in `enter`."""
        hidden = self.enter(encoded, restore)
        for block in self.blocks:
            hidden = block(hidden)
        return self.predict(self.norm(hidden))[:, self.prefix :]

    def attention(self, encoded: Tensor, restore: Tensor, layer: int = -1) -> Tensor:
        """Return the softmax weights of block `layer`, (B, heads, prefix + N, prefix + N)."""
        hidden = self.enter(encoded, restore)
        for block in self.blocks[: layer % self.depth]:
            hidden = block(hidden)
        weights: Tensor = self.blocks[layer % self.depth].weights(hidden)  # type: ignore[operator]
        return weights
