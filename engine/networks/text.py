"""Words as numbers without a vocabulary to learn or load, and the causal text transformer of CLIP.

Papers: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009 (arXiv 0902.2206); Radford et
al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021 (arXiv 2103.00020), section 2.4.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.networks.blocks import SelfAttention

PAD = 0
_WORDS = re.compile(r"\w+|[^\w\s]", re.UNICODE)


@lru_cache(maxsize=65536)
def _bucket(word: str, buckets: int) -> int:
    digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % buckets


def words_of(text: str) -> list[str]:
    """Return lower-case words and punctuation marks, in order."""
    return _WORDS.findall(text.lower())


def hash_words(texts: Sequence[str], vocabulary: int, context: int) -> Tensor:
    """Return token numbers (B, context) int64: start, words, end, then 0.

    A word's number is a hash of its letters, the same on every machine; two words may share one, rarely where the
    vocabulary is some times larger than the number of words in use. `vocabulary` - 2 is the start, `vocabulary` - 1 the
    end, the largest number of all. A text that is too long is cut, and keeps its end.
    """
    start, end = vocabulary - 2, vocabulary - 1
    found = torch.full((len(texts), context), PAD, dtype=torch.int64)
    for row, text in enumerate(texts):
        words = [1 + _bucket(word, vocabulary - 3) for word in words_of(text)[: context - 2]]
        found[row, : len(words) + 2] = torch.tensor([start, *words, end])
    return found


class ClipBlock(nn.Module):
    """Pre-norm block with QuickGELU, x · sigmoid(1.702 x), as in CLIP."""

    def __init__(self, dim: int, heads: int, depth: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        narrow = dim**-0.5 * (2 * depth) ** -0.5  # residual branches shrink with the depth
        for layer, std in (
            (self.attn.qkv, dim**-0.5),
            (self.attn.proj, narrow),
            (self.fc1, (2 * dim) ** -0.5),
            (self.fc2, narrow),
        ):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return x (B, T, D) after attention and MLP; `mask` (T, T) bool, True = may be seen."""
        x = x + self.attn(self.norm1(x), mask)
        hidden = self.fc1(self.norm2(x))
        return x + self.fc2(hidden * torch.sigmoid(1.702 * hidden))

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the attention weights (B, heads, T, T) float32 of this block for its input x."""
        return self.attn.weights(self.norm1(x), mask)


class TextTransformer(nn.Module):
    """Causal transformer; a text's feature is that of its end token, projected.

    Args:
        vocabulary: numbers of tokens.
        context: longest text, tokens.
        dim: width D.
        depth: blocks.
        heads: of every attention.
        outputs: E.
    """

    def __init__(self, *, vocabulary: int, context: int, dim: int, depth: int, heads: int, outputs: int) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(f"A text width of {dim} cannot be shared by {heads} heads.", "Choose a multiple.")
        self.depth, self.heads = depth, heads
        self.token_embedding = nn.Embedding(vocabulary, dim)
        self.positional_embedding = nn.Parameter(torch.empty(context, dim))
        self.blocks = nn.ModuleList(ClipBlock(dim, heads, depth) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.projection = nn.Parameter(torch.empty(dim, outputs))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.projection, std=dim**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return features (B, E), not normalised, of token numbers (B, T), T at most the context."""
        hidden, seen = self._enter(tokens)
        for block in self.blocks:
            hidden = block(hidden, seen)
        end = tokens.argmax(dim=1)  # the end has the largest number
        last = hidden.gather(1, end[:, None, None].expand(-1, 1, hidden.shape[2]))[:, 0]
        return self.norm(last) @ self.projection.to(last.dtype)

    def _enter(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first hidden states (B, T, D) and which tokens may be seen (T, T): the earlier ones."""
        length = tokens.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        return self.token_embedding(tokens) + self.positional_embedding[:length], seen

    def attention(self, tokens: Tensor, layer: int) -> Tensor:
        """Return the softmax weights (B, heads, T, T) float32 of block `layer` (negative: from the end).

        Raises:
            IndexError: there is no such block.
        """
        if not -self.depth <= layer < self.depth:
            msg = f"layer {layer} of {self.depth}"
            raise IndexError(msg)
        hidden, seen = self._enter(tokens)
        blocks = [block for block in self.blocks if isinstance(block, ClipBlock)]
        for block in blocks[: layer % self.depth]:
            hidden = block(hidden, seen)
        return blocks[layer].weights(hidden, seen)


class ClipViT(nn.Module):
    """Image transformer of CLIP: a norm before the blocks, the class token after them, projected.

    Offers what the window looks into: `grid`, `patch`, `prefix`, `depth`, `heads`, `attention`.
    """

    def __init__(
        self, *, size_px: int, patch_px: int, channels: int, dim: int, depth: int, heads: int, outputs: int
    ) -> None:
        super().__init__()
        if dim % heads or size_px % patch_px:
            raise ConfigError(
                f"A width of {dim} in {heads} heads, {size_px} px in patches of {patch_px} px do not come out even.",
                "Choose a width that the heads divide and a patch that divides the side.",
            )
        side = size_px // patch_px
        self.grid, self.patch = (side, side), (patch_px, patch_px)
        self.prefix, self.depth, self.heads, self.dim = 1, depth, heads, dim
        self.conv1 = nn.Conv2d(channels, dim, patch_px, patch_px, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(dim))
        self.positional_embedding = nn.Parameter(torch.empty(1 + side * side, dim))
        self.norm_before = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(ClipBlock(dim, heads, depth) for _ in range(depth))
        self.norm_after = nn.LayerNorm(dim)
        self.projection = nn.Parameter(torch.empty(dim, outputs))
        for table in (self.class_embedding, self.positional_embedding, self.projection):
            nn.init.normal_(table, std=dim**-0.5)

    def _enter(self, image: Tensor) -> Tensor:
        patches = self.conv1(image).flatten(2).transpose(1, 2)
        first = self.class_embedding.to(patches.dtype).expand(len(image), 1, -1)
        return self.norm_before(torch.cat((first, patches), dim=1) + self.positional_embedding)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, E), not normalised, and the patches (B, N, D), of images (B, C, s, s)."""
        hidden = self._enter(image)
        for block in self.blocks:
            hidden = block(hidden)
        pooled = self.norm_after(hidden[:, 0])
        return pooled @ self.projection.to(pooled.dtype), hidden[:, 1:]

    def attention(self, image: Tensor, layer: int) -> Tensor:
        """Return the softmax weights (B, heads, T, T) float32 of block `layer` (negative: from the end).

        Raises:
            IndexError: there is no such block.
        """
        if not -self.depth <= layer < self.depth:
            msg = f"layer {layer} of {self.depth}"
            raise IndexError(msg)
        hidden = self._enter(image)
        blocks = [block for block in self.blocks if isinstance(block, ClipBlock)]
        for block in blocks[: layer % self.depth]:
            hidden = block(hidden)
        return blocks[layer].weights(hidden)


def unit(features: Tensor) -> Tensor:
    """Return features (…, E) at unit length, float32."""
    return F.normalize(features.float(), dim=-1)
