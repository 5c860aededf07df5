"""Masks over grids of tokens with exact counts; 1 means masked.

Where somebody chose a mask by hand (`Rng.hidden`), it takes the place of the drawn one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import ConfigError
from engine.views.rng import Rng


@dataclass(frozen=True, slots=True)
class Mask:
    """Which tokens of each record are hidden; every record hides equally many."""

    mask: Tensor  # (B, N) bool, True = masked
    keep: Tensor  # (B, V) int64, visible tokens in ascending order
    hidden: Tensor  # (B, M) int64, masked tokens in ascending order
    restore: Tensor  # (B, N) int64: cat(keep, hidden) gathered with it is in image order


def mask_from(mask: Tensor, masked: int) -> Mask:
    """Return the indices of a mask (B, N) bool in which every record hides exactly `masked` tokens."""
    order = mask.to(torch.uint8).argsort(dim=1, stable=True)  # visible first, both in image order
    visible = mask.shape[1] - masked
    return Mask(mask, order[:, :visible], order[:, visible:], order.argsort(dim=1))


def _chosen(rng: Rng, tokens: int) -> Mask | None:
    """Return the mask that was chosen by hand, for every record of the stream; None where there is none.

    Raises:
        ConfigError: it names tokens that are not there, or leaves none visible.
    """
    if not rng.hidden:
        return None
    hidden = sorted(set(rng.hidden))
    if hidden[0] < 0 or hidden[-1] >= tokens or len(hidden) == tokens:
        raise ConfigError(
            f"A painted mask of {len(hidden)} tokens does not fit {tokens} tokens.",
            "Paint it anew, and leave at least one token visible.",
        )
    mask = torch.zeros(tokens, dtype=torch.bool, device=rng.device)
    mask[hidden] = True
    return mask_from(mask.expand(len(rng), -1), len(hidden))


def random_mask(rng: Rng, tokens: int, masked: int) -> Mask:
    """Hide `masked` of `tokens` tokens, uniformly (He et al. 2022)."""
    _check_count(tokens, masked)
    return _chosen(rng, tokens) or mask_from(_random_exact(rng.words(tokens), masked), masked)


def _check_count(tokens: int, masked: int) -> None:
    if not 0 <= masked < tokens:
        raise ConfigError(f"{masked} of {tokens} tokens cannot be masked.", "Leave at least one token visible.")


def _random_exact(scores: Tensor, masked: int) -> Tensor:
    """Return a mask (B, N) of the `masked` highest scores."""
    mask = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    if masked:
        mask.scatter_(1, scores.topk(masked, dim=1).indices, value=True)
    return mask


def tube_mask(rng: Rng, frames: int, tokens: int, masked: int) -> Mask:
    """Hide the same `masked` of `tokens` places in each of `frames` frames (VideoMAE); N = frames × tokens."""
    _check_count(tokens, masked)
    chosen = _chosen(rng, frames * tokens)
    if chosen is not None:
        return chosen
    mask = _random_exact(rng.words(tokens), masked)
    return mask_from(mask.repeat(1, frames), frames * masked)


def grid_mask(rng: Rng, grid: Sequence[int], stride: int = 2) -> Mask:
    """Keep one token of every `stride`^n cell, at the same place of all cells, drawn per record (MAE's "grid-wise").

    Raises:
        ConfigError: a side of the grid is not a multiple of `stride`.
    """
    if any(side % stride for side in grid):
        raise ConfigError(
            f"A {'×'.join(map(str, grid))} grid has no whole cells of {stride}.", "Change the patch size."
        )
    chosen = _chosen(rng, math.prod(grid))
    if chosen is not None:
        return chosen
    place = rng.integers(0, stride, len(grid))  # (B, n)
    keep = torch.ones((len(rng), *grid), dtype=torch.bool, device=rng.device)
    for axis, side in enumerate(grid):
        on_axis = torch.arange(side, device=rng.device) % stride == place[:, axis, None]
        shape = [len(rng), *(1,) * len(grid)]
        shape[1 + axis] = side
        keep &= on_axis.view(shape)
    tokens = math.prod(grid)
    return mask_from(~keep.flatten(1), tokens - tokens // stride ** len(grid))


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Random rectangles being added to masks (B, H, W) until each record's budget is used up."""

    mask: Tensor
    budget: Tensor  # (B,) int64, how many tokens may still be masked
    failures: Tensor  # (B,) attempts in a row that added nothing


def _add_rectangle(state: _Blocks, draws: Tensor, low: Tensor, aspect: tuple[float, float], patience: int) -> _Blocks:
    """Try one rectangle per record: draws (B, 4) in 0…1 for area, aspect, row and column; `low` (B,) least area."""
    height, width = state.mask.shape[1:]
    budget = state.budget.to(torch.float32)
    area = low + (budget - low) * draws[:, 0]
    stretch = torch.exp(math.log(aspect[0]) + (math.log(aspect[1]) - math.log(aspect[0])) * draws[:, 1])
    rows = (area * stretch).sqrt().round()
    columns = (area / stretch).sqrt().round()
    fits = (rows < height) & (columns < width)
    top = (draws[:, 2] * (height - rows + 1)).floor().view(-1, 1, 1)
    left = (draws[:, 3] * (width - columns + 1)).floor().view(-1, 1, 1)
    y = torch.arange(height, device=draws.device).view(1, -1, 1)
    x = torch.arange(width, device=draws.device).view(1, 1, -1)
    inside = (y >= top) & (y < top + rows.view(-1, 1, 1)) & (x >= left) & (x < left + columns.view(-1, 1, 1))
    new = (inside & ~state.mask).sum(dim=(1, 2))
    active = (state.budget > 0) & (state.failures < patience)
    accepted = fits & active & (new > 0) & (new <= state.budget)
    mask = state.mask | (inside & accepted.view(-1, 1, 1))
    failures = torch.where(accepted, 0, state.failures + active)
    return _Blocks(mask, state.budget - new * accepted, failures)


def _rectangles(
    rng: Rng, grid: tuple[int, int], budget: Tensor, low: float, aspect: float, patience: int, attempts: int
) -> _Blocks:
    draws = rng.uniform(attempts, 4)
    state = _Blocks(
        torch.zeros((len(rng), *grid), dtype=torch.bool, device=rng.device), budget, torch.zeros_like(budget)
    )
    least = torch.full((len(rng),), float(low), device=rng.device)
    for attempt in range(attempts):
        # asking costs a wait for the device, so not every time
        if (
            attempt % 8 == 7
            and rng.device.type != "meta"
            and not bool(((state.budget > 0) & (state.failures < patience)).any())
        ):
            break
        state = _add_rectangle(state, draws[:, attempt], least, (aspect, 1 / aspect), patience)
    return state


def block_mask(
    rng: Rng,
    grid: tuple[int, int],
    masked: int,
    min_block: int = 16,
    *,
    aspect: float = 0.3,
    attempts: int = 64,
) -> Mask:
    """Hide exactly `masked` tokens in random rectangles (BEiT, CAE).

    Each attempt draws an area uniform in [min_block, what is left] and a log-uniform aspect in [aspect, 1/aspect], and
    is accepted if it adds between 1 and what is left. After ten failures in a row, or `attempts` in all, what is still
    missing is filled up with tokens beside the blocks.

    Raises:
        ConfigError: the counts are impossible.
    """
    tokens = grid[0] * grid[1]
    _check_count(tokens, masked)
    chosen = _chosen(rng, tokens)
    if chosen is not None:
        return chosen
    budget = torch.full((len(rng),), masked, dtype=torch.int64, device=rng.device)
    state = _rectangles(rng.spawn("rectangles"), grid, budget, float(min_block), aspect, 10, attempts)
    mask = state.mask
    beside = F.max_pool2d(mask.unsqueeze(1).float(), 3, stride=1, padding=1).flatten(1)
    scores = rng.spawn("rest").uniform(tokens) + beside + 4 * mask.flatten(1)
    return mask_from(_random_exact(scores, masked), masked)


def block_mask_ibot(
    rng: Rng,
    grid: tuple[int, int],
    *,
    ratio: float = 0.3,
    variation: float = 0.2,
    chance: float = 0.5,
    aspect: float = 0.3,
    attempts: int = 64,
) -> Tensor:
    """Hide a varying share of tokens in random rectangles (Zhou et al. 2022, iBOT).

    A record is masked with probability `chance`, at a share uniform in ratio ± variation. Rectangles have an area
    uniform in [(min(H, W) // 3)², what is left]; a record stops when ten in a row add nothing, so it may stay below.

    Returns:
        (B, N) bool, True = masked; the counts differ from record to record.
    """
    chosen = _chosen(rng, grid[0] * grid[1])
    if chosen is not None:
        return chosen.mask
    draws = rng.spawn("ratio").uniform(2)
    share = ratio + variation * (2 * draws[:, 1] - 1)
    share = torch.where(draws[:, 0] < chance, share, 0.0)
    budget = (share * (grid[0] * grid[1])).to(torch.int64)
    low = float((min(grid) // 3) ** 2)
    return _rectangles(rng.spawn("rectangles"), grid, budget, low, aspect, 10, attempts).mask.flatten(1)
