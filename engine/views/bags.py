"""Views of bags whose members belong to several parts (stains, regions): the same number drawn from each."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.data.batch import Ragged
from engine.views.rng import Rng


def draw_members(bag: Ragged, part: Tensor, parts: int, count: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """Return `count` random members of each part of each bag, (B, parts, count, D) float32, and which parts exist.

    Without replacement where a part has that many, else with. A part without members is all zeros; `present`
    (B, parts) bool says so.

    Args:
        bag: data (N, D) and lengths (B,).
        part: (N,) int64, the part of each member; negative ones are never drawn.
        parts: how many there are.
        count: members to draw.
        rng: of the records.
    """
    owner, records = bag.owner, len(bag.sizes)
    device = bag.data.device
    starts = bag.lengths.cumsum(0) - bag.lengths
    place = torch.arange(len(owner), device=device) - starts[owner]
    key = rng.spawn("order").uniform(max(*bag.sizes, 1))[owner, place]
    group = torch.where(part >= 0, owner * parts + part, records * parts)  # unknown parts come last
    order = (group.double() + key.double()).argsort()
    sizes = torch.zeros(records * parts + 1, dtype=torch.int64, device=device).index_add(
        0, group, torch.ones_like(group)
    )
    sizes = sizes[:-1]
    first = sizes.cumsum(0) - sizes
    again = (rng.spawn("again").uniform(parts, count).flatten(0, 1) * sizes[:, None]).long()
    drawn = torch.where(sizes[:, None] >= count, torch.arange(count, device=device), again)
    rows = order[(first[:, None] + drawn).clamp_max(len(order) - 1)]
    present = sizes > 0
    members = bag.data[rows].float() * present[:, None, None]
    return members.view(records, parts, count, -1), present.view(records, parts)
