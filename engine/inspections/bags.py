"""What an aggregator of bags looks at: its heads on the slide, matched members, bags across stains.

A batch holds `bag` and `bag_stains`, and perhaps `bag_coordinates`, in which members are drawn; without them they
stand in rows. Attention comes as (N, H), summing to 1 over the members of each case and stain.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.batch import Batch
from engine.errors import MethodError
from engine.evaluation.health import rankme
from engine.objectives.paired import cosine_matrix
from engine.protocol.inspections import Embedding, Matches, Pictures, Similarity, TextTable

MAP_PX = 96
LINKS = 20
LISTED = 3


def member_places(batch: Batch, members: Tensor) -> Tensor:
    """Return where members (numbers of rows of the bag) lie on a square map, (n, 2) x, y in 0…1."""
    if "bag_coordinates" in batch:
        places = batch.ragged("bag_coordinates").data[members].float()
        low = places.amin(dim=0)
        extent = (places.amax(dim=0) - low).amax().clamp_min(1e-6)
        return 0.04 + 0.92 * (places - low) / extent
    side = max(1, math.ceil(math.sqrt(len(members))))
    number = torch.arange(len(members), device=members.device)
    return torch.stack((number % side + 0.5, number // side + 0.5), dim=1) / side


def draw_map(values: Tensor, places: Tensor) -> Tensor:
    """Return a picture (1, s, s) of values (n,) at `places` (n, 2), each a square as wide as their distance allows.

    The largest value is 1, nothing is 0.
    """
    side = math.ceil(math.sqrt(len(values))) + 2
    cell = (places * side).long().clamp(0, side - 1)
    flat = cell[:, 1] * side + cell[:, 0]
    grid = values.new_zeros(side * side).scatter_reduce(0, flat, values / values.max().clamp_min(1e-12), "amax")
    return F.interpolate(grid.view(1, 1, side, side), size=(MAP_PX, MAP_PX), mode="nearest")[0]


def members_of(batch: Batch, record: int, stain: int) -> Tensor:
    """Return the numbers of the rows of the bag that belong to a record and stain."""
    bag = batch.ragged("bag")
    return ((bag.owner == record) & (batch.ragged("bag_stains").data == stain)).nonzero()[:, 0]


def make_retrieval(slides: Tensor, batch: Batch, stains: tuple[str, ...]) -> Similarity:
    """Return cosines of the slides of stain 0 with those of all other stains; slides (B, S, E), zeros = missing."""
    exists = slides.abs().sum(dim=2) > 0
    rows = exists[:, 0].nonzero()[:, 0].tolist()
    columns = [(stain, case) for stain in range(1, len(stains)) for case in exists[:, stain].nonzero()[:, 0].tolist()]
    if not rows or not columns:
        raise MethodError("None of the shown cases has two stains.", "Choose other records.")
    others = torch.stack([slides[case, stain] for stain, case in columns])
    cosine = cosine_matrix(slides[rows, 0], others)
    numbers = batch.index.tolist()
    rank = f"{rankme(slides[rows, 0]):.1f} of {len(rows)}"
    return Similarity(
        view="retrieval",
        title="Slides across stains",
        step=0,
        note=f"Rows: {stains[0]} of each case. Smooth rank of the shown {stains[0]} vectors: {rank}.",
        values=cosine.cpu().numpy(),
        rows=tuple(f"case {numbers[case]}" for case in rows),
        columns=tuple(f"case {numbers[case]} {stains[stain]}" for stain, case in columns),
        row_records=batch.index[rows].cpu().numpy(),
        column_records=batch.index[[case for _, case in columns]].cpu().numpy(),
    )


def make_heads(attention: Tensor, batch: Batch, stain: str) -> Pictures:
    """Return each head's attention on the slide of stain 0 of every case, as a map."""
    heads = attention.shape[1]
    rows = []
    for record in range(len(batch)):
        members = members_of(batch, record, 0)
        blank = attention.new_zeros(heads, 1, MAP_PX, MAP_PX)
        places = member_places(batch, members) if len(members) else None
        maps = [draw_map(attention[members, head], places) for head in range(heads)] if places is not None else None
        rows.append(torch.stack(maps) if maps else blank)
    return Pictures(
        view="heads",
        title="Attention on the slide",
        step=0,
        note=f"{stain} slides; bright = the patch that the head attends to most, black = none, or no patch there.",
        colours="attention",
        records=batch.index.cpu().numpy(),
        columns=tuple(f"head {head + 1}" for head in range(heads)),
        pictures=torch.stack(rows).cpu().numpy(),
    )


def make_plan(
    attention: Tensor, tokens: Tensor, batch: Batch, plan: Callable[[Tensor, Tensor], Tensor], most: int
) -> Matches:
    """Return the strongest links of `plan` between stain 0 and another stain of the first case that has one.

    Args:
        attention: (N, H), whose mean is the background of both maps.
        tokens: (N, D), what is matched.
        batch: the records.
        plan: tokens (1, n, D) and (1, m, D) → transport plan (1, n, m).
        most: members of each slide that are matched.
    """
    stains = len(batch.specs["bag_stains"].classes)
    pairs = [
        (left, right)
        for record in range(len(batch))
        for stain in range(1, stains)
        if len(left := members_of(batch, record, 0)[:most]) and len(right := members_of(batch, record, stain)[:most])
    ]
    if not pairs:
        raise MethodError("None of the shown cases has two stains.", "Choose other records.")
    left, right = pairs[0]
    links = plan(tokens[left][None], tokens[right][None])[0]
    score, place = links.flatten().topk(min(LINKS, links.numel()))
    here, there = member_places(batch, left), member_places(batch, right)
    mean = attention.mean(dim=1)
    return Matches(
        view="plan",
        title="Matched patches",
        step=0,
        note="The strongest links of the transport plan; brightness is the mean attention of the heads.",
        left=draw_map(mean[left], here).cpu().numpy(),
        right=draw_map(mean[right], there).cpu().numpy(),
        from_px=(here[place // links.shape[1]] * MAP_PX).cpu().numpy(),
        to_px=(there[place % links.shape[1]] * MAP_PX).cpu().numpy(),
        scores=(score * links.shape[0]).cpu().numpy(),
    )


def make_top_members(attention: Tensor, batch: Batch, stain: str) -> TextTable:
    """Return the members of the slides of stain 0 that each head attends to most and least."""
    owner = batch.ragged("bag").owner
    numbers = batch.index.tolist()
    bag = batch.ragged("bag")
    first = (bag.lengths.cumsum(0) - bag.lengths)[owner]
    chosen = (batch.ragged("bag_stains").data == 0).nonzero()[:, 0]
    size = torch.zeros(len(batch), device=owner.device).index_add(
        0, owner[chosen], torch.ones(len(chosen), device=owner.device)
    )
    rows = []
    for head in range(attention.shape[1]):
        relative = attention[chosen, head] * size[owner[chosen]]  # 1 = as if all counted alike
        ranked = relative.argsort(descending=True)
        for word, some in (("most", ranked[:LISTED]), ("least", ranked.flip(0)[:LISTED])):
            for each in some.tolist():
                member = int(chosen[each])
                rows.append(
                    (
                        str(head + 1),
                        word,
                        str(numbers[int(owner[member])]),
                        str(member - int(first[member])),
                        f"{float(relative[each]):.2f}",
                    )
                )
    return TextTable(
        view="top-patches",
        title="Most and least attended",
        step=0,
        note=f"{stain} patches; 1 = the attention a patch gets if all count alike.",
        columns=("head", "attended", "case", "patch", "attention × patches"),
        rows=tuple(rows),
        records=batch.index.cpu().numpy(),
    )


def make_stain_map(slides: Tensor, batch: Batch, stains: tuple[str, ...]) -> Embedding:
    """Return all slides (B, S, E) of the shown cases on their two strongest components, labelled by stain."""
    exists = slides.abs().sum(dim=2) > 0
    case, stain = exists.nonzero(as_tuple=True)
    vectors = F.normalize(slides[case, stain].float(), dim=1)
    centred = (vectors - vectors.mean(dim=0)).double()
    values, axes = torch.linalg.eigh(centred.T @ centred)
    axes = axes[:, -2:].flip(1)
    axes = axes * torch.where(axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)
    points = centred @ axes
    shares = (values.flip(0)[:2] / values.sum().clamp_min(1e-30)).tolist()
    return Embedding(
        view="stain-map",
        title="Slides by stain",
        step=0,
        projection="PCA",
        records=batch.index[case].cpu().numpy(),
        points=points.float().cpu().numpy(),
        labels=stain.cpu().numpy(),
        classes=stains,
        total=len(case),
        chosen="all stains of the shown cases",
        explained=(shares[0], shares[1]),
    )
