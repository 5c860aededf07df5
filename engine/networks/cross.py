"""A decoder of one view that looks at another: CroCo's (Weinzaepfel et al. 2022, arXiv 2210.10716)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from engine.networks.blocks import CrossAttentionBlock, init_linear
from engine.networks.positions import SineOrder, sine_positions


class CrossDecoder(nn.Module):
    """Tokens of a first view, some missing, look at each other and then at a second view, block by block.

    The second view's tokens get positions once and are never updated.

    Args:
        grid: places along each axis, of both views.
        encoder_dim: width of the tokens that come in.
        outputs: predicted numbers per place.
        dim: width.
        depth: blocks.
        heads: of every attention.
        sine_order: see `sine_positions`.
        norm_eps: of all layer norms.
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
        sine_order: SineOrder = "column first",
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.depth = depth
        self.embed = nn.Linear(encoder_dim, dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, dim))
        self.register_buffer("pos_embed", sine_positions(grid, dim, sine_order).unsqueeze(0))
        self.blocks = nn.ModuleList(
            CrossAttentionBlock(dim, heads, self_attention=True, norm_eps=norm_eps) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.predict = nn.Linear(dim, outputs)
        init_linear(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def enter(self, first: Tensor, restore: Tensor | None, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return all tokens of the first view and those of the second, with positions, (B, N, dim) each.

        Args:
            first: (B, V, encoder_dim), visible tokens in the order of `Mask.keep`, or all N.
            restore: (B, N) of `Mask`; None where nothing is missing.
            second: (B, N, encoder_dim).
        """
        hidden = self.embed(first)
        if restore is not None:
            missing = restore.shape[1] - hidden.shape[1]
            fill = self.mask_token.to(hidden.dtype).expand(len(hidden), missing, -1)
            full = torch.cat((hidden, fill), dim=1)
            hidden = full.gather(1, restore.unsqueeze(2).expand(-1, -1, full.shape[2]))
        return hidden + self.pos_embed, self.embed(second) + self.pos_embed

    def forward(self, first: Tensor, restore: Tensor | None, second: Tensor) -> Tensor:
        """Return a prediction for every place of the first view, (B, N, outputs); arguments as in `enter`."""
        hidden, context = self.enter(first, restore, second)
        for block in self.blocks:
            hidden = block(hidden, context)
        return self.predict(self.norm(hidden))

    def layers(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Return the tokens (B, N, dim) after every block, the last normalised, with nothing missing."""
        hidden, context = self.enter(first, None, second)
        outputs = []
        for block in self.blocks:
            hidden = block(hidden, context)
            outputs.append(hidden)
        return [*outputs[:-1], self.norm(outputs[-1])]

    def attention(self, first: Tensor, restore: Tensor | None, second: Tensor) -> Iterator[Tensor]:
        """Yield, block by block, where the first view looks in the second: softmax weights (B, heads, N, N)."""
        hidden, context = self.enter(first, restore, second)
        for block in self.blocks:
            weights: Tensor = block.weights(hidden, context)  # type: ignore[operator]
            yield weights
            hidden = block(hidden, context)
