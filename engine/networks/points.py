"""Points in groups: neighbours within a radius, centres by centrality, farthest points, features brought to points.

Batches are ragged: points of all records one after another, and the record that each belongs to. Nothing here has a
gradient with respect to places, and nothing loops over points, groups or records.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.data.batch import Ragged

_COLUMNS = tuple((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1))
_CHUNK = 1 << 22


def owner_of(lengths: Tensor, rows: int) -> Tensor:
    """Return the record of each of `rows` rows, (rows,) int64, for `lengths` (B,), without waiting for the device."""
    ends = lengths.cumsum(0)
    return torch.searchsorted(ends, torch.arange(rows, device=lengths.device), right=True)


def place_of(lengths: Tensor, rows: int) -> Tensor:
    """Return the place of each of `rows` rows in its record, (rows,) int64, for `lengths` (B,)."""
    starts = lengths.cumsum(0) - lengths
    return torch.arange(rows, device=lengths.device) - starts[owner_of(lengths, rows)]


def place_in(group: Tensor, groups: int) -> Tensor:
    """Return how many earlier rows have the same group, (R,) int64, for ascending `group` (R,) of `groups` groups."""
    counts = torch.bincount(group, minlength=groups)
    return torch.arange(len(group), device=group.device) - (counts.cumsum(0) - counts)[group]


def neighbour_pairs(
    queries: Tensor,
    query_record: Tensor,
    points: Tensor,
    point_record: Tensor,
    radius: float,
    *,
    inclusive: bool = False,
    sort: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return all pairs (query, point) of one record nearer than `radius`, sorted by query, then by point.

    Points are sorted into cells of that radius, so the work grows with the number of neighbours, not of all pairs.

    Args:
        queries: (Q, 3).
        query_record: (Q,) int64.
        points: (P, 3).
        point_record: (P,) int64.
        radius: in the unit of the points.
        inclusive: whether a distance equal to the radius counts.
        sort: whether the points of a query must be in order; without, only queries are.

    Returns:
        Two (E,) int64: numbers of the queries and of the points.
    """
    if len(points) == 0 or len(queries) == 0:
        nothing = torch.zeros(0, dtype=torch.int64, device=points.device)
        return nothing, nothing
    low = torch.minimum(points.amin(dim=0), queries.amin(dim=0))
    high = torch.maximum(points.amax(dim=0), queries.amax(dim=0))
    sides = ((high - low) / radius).floor().to(torch.int64) + 3  # one empty cell before and after
    key = _cell(points, point_record, low, radius, sides)
    sorted_key, order = key.sort()
    own = _cell(queries, query_record, low, radius, sides)
    shift = torch.stack([(x * sides[1] + y) * sides[2] for x, y in _COLUMNS])
    column = own[:, None] + shift  # (Q, 9): each is a run of three cells along the last axis
    first = torch.searchsorted(sorted_key, column - 1)
    counts = (torch.searchsorted(sorted_key, column + 1, right=True) - first).flatten()
    run = torch.repeat_interleave(torch.arange(len(counts), device=points.device), counts)
    start = first.flatten() - (counts.cumsum(0) - counts)
    point = order[start[run] + torch.arange(len(run), device=points.device)]
    query = run // len(_COLUMNS)
    squared = (queries[query] - points[point]).square().sum(dim=1)
    near = squared <= radius**2 if inclusive else squared < radius**2
    if not sort:
        return query[near], point[near]
    pair = (query * len(points) + point)[near].sort().values
    return pair // len(points), pair % len(points)


def _cell(places: Tensor, record: Tensor, low: Tensor, radius: float, sides: Tensor) -> Tensor:
    cell = ((places - low) / radius).floor().to(torch.int64) + 1
    return ((record * sides[0] + cell[:, 0]) * sides[1] + cell[:, 1]) * sides[2] + cell[:, 2]


def centrality_nms(points: Tensor, record: Tensor, radius: float, most_neighbours: int = 256) -> Tensor:
    """Return the points that stay when each, densest first, suppresses all others nearer than `radius`.

    Points are ordered by their number of neighbours, descending, then by index. A point that no earlier one has
    suppressed suppresses its neighbours, of which it knows the first `most_neighbours` by index. All points whose
    fate is settled are decided at once, so a round serves the whole batch.

    Args:
        points: (P, 3).
        record: (P,) int64, ascending.
        radius: in the unit of the points; those that stay are at least so far apart.
        most_neighbours: K.

    Returns:
        (G,) int64 numbers of points: record by record, densest first.
    """
    source, target = neighbour_pairs(points, record, points, record, radius, sort=False)
    degree = torch.bincount(source, minlength=len(points))
    if bool((degree > most_neighbours).any()):
        source, target = neighbour_pairs(points, record, points, record, radius)
        known = place_in(source, len(points)) < most_neighbours
        source, target, degree = source[known], target[known], degree.clamp_max(most_neighbours)
    order = (record * (most_neighbours + 1) + (most_neighbours - degree)).argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    others = source != target
    source, target = source[others], target[others]
    earlier = rank[source] < rank[target]
    before, after = source[earlier], target[earlier]
    active = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    undecided = torch.ones_like(active)
    while bool(undecided.any()):
        waits = torch.zeros_like(active)
        waits[after[undecided[before]]] = True
        ready = undecided & ~waits
        active |= ready
        undecided &= ~ready
        undecided[after[ready[before]]] = False
        open_pair = undecided[after]
        before, after = before[open_pair], after[open_pair]
    stays = active.clone()
    stays[target[active[source]]] = False  # a neighbour list cut short may reach an earlier point, too
    return order[stays[order]]


def farthest_points(points: Tensor, real: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return `count` points of each set, each farthest from those before; the first point comes first.

    Args:
        points: (G, W, 3).
        real: (G, W) bool; the first of each set is real.
        count: K.

    Returns:
        (G, K) int64 places in the set, and (G, K) bool: False where a set has no more points (its first is repeated).
    """
    rows = torch.arange(len(points), device=points.device)
    distance = torch.where(real, torch.inf, -1.0)
    current = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    chosen, found = [], []
    for _ in range(min(count, points.shape[1])):
        is_new = distance[rows, current] >= 0
        chosen.append(torch.where(is_new, current, 0))
        found.append(is_new)
        step = (points - points[rows, current].unsqueeze(1)).square().sum(dim=2)
        distance = torch.minimum(distance, step)
        distance[rows, current] = -1.0
        current = distance.argmax(dim=1)
    index = torch.zeros(len(points), count, dtype=torch.int64, device=points.device)
    is_real = torch.zeros(len(points), count, dtype=torch.bool, device=points.device)
    if chosen and len(points):
        index[:, : len(chosen)] = torch.stack(chosen, dim=1)
        is_real[:, : len(found)] = torch.stack(found, dim=1)
    return index, is_real


@dataclass(frozen=True, slots=True)
class PointGroups:
    """Overlapping groups of the points of all records, one record after another: G groups."""

    values: Tensor  # (G, K, C): places relative to the centre in radii, then the other columns as they are
    centres: Tensor  # (G, 3) in the unit of the points
    point_real: Tensor  # (G, K) bool; padded points repeat the group's first
    index: Tensor  # (G, K) int64, row among all points
    lengths: Tensor  # (B,) int64, groups of each record
    left_out: Tensor  # (B,) int64, groups that found no place in the context, the least dense
    longest: int  # groups of the record with most

    def points(self) -> tuple[Tensor, Tensor]:
        """Return the real points of the groups one after another, (R, C), and how many each has, (G,) int64."""
        if self.values.device.type == "meta":  # shapes alone, as if every place had a point
            return self.values.flatten(0, 1), self.index[:, 0]
        return self.values[self.point_real], self.point_real.sum(dim=1)


def group_points(
    rows: Ragged,
    *,
    radius: float,
    overlap: float,
    points_per_group: int,
    candidates: int,
    context: int,
    keep: Tensor | None = None,
    most_neighbours: int = 256,
) -> PointGroups:
    """Return groups around centres found by centrality-based non-maximum suppression.

    Args:
        rows: points (sum, 3 + F).
        radius: r of a group; a point on its surface belongs to it.
        overlap: f; centres are at least 2·r·f apart.
        points_per_group: K; where a ball holds more, its farthest points are taken.
        candidates: how many points of a ball are considered, the first by index.
        context: most groups of a record.
        keep: (sum,) bool, the points that count; None = all.
        most_neighbours: see `centrality_nms`.
    """
    records, columns = len(rows.lengths), rows.data.shape[1]
    if rows.data.device.type == "meta":  # shapes alone; how many groups there are depends on the values
        values = rows.data.new_empty(records * context, points_per_group, columns)
        index = torch.empty_like(values[:, :, 0], dtype=torch.int64)
        return PointGroups(values, values[:, 0, :3], index > 0, index, rows.lengths, rows.lengths, context)
    points, record = rows.data[:, :3], rows.owner
    counting = torch.arange(len(points), device=points.device) if keep is None else keep.nonzero().squeeze(1)
    points, record = points[counting], record[counting]
    centre = centrality_nms(points, record, 2 * radius * overlap, most_neighbours)
    found = torch.bincount(record[centre], minlength=records)
    centre = centre[place_in(record[centre], records) < context]
    lengths = found.clamp_max(context)
    index, is_real = _fill(points, record, centre, radius, candidates, points_per_group)
    index = counting[index]
    values = rows.data[index]
    local = (values[:, :, :3] - points[centre].unsqueeze(1)) / radius
    values = torch.cat((local, values[:, :, 3:]), dim=2)
    longest = int(lengths.max()) if records else 0
    return PointGroups(values, points[centre], is_real, index, lengths, found - lengths, longest)


def sum_groups(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the sums (B,) of integers (G,) over groups one after another, of `lengths` (B,)."""
    return torch.zeros_like(lengths).index_add(0, owner_of(lengths, len(values)), values)


def pad_groups(rows: Tensor, lengths: Tensor, longest: int, fill: Tensor | None = None) -> Tensor:
    """Return rows (R, …) of groups one after another as (G, longest, …); no value is read back.

    Args:
        rows: those of the first group, then of the second, …
        lengths: (G,) int64, rows of each group, at most `longest`.
        longest: places of each.
        fill: (longest, …), what stands in empty places; None = 0.
    """
    shape = (len(lengths), longest, *rows.shape[1:])
    whole = rows.new_zeros(shape) if fill is None else fill.expand(shape)
    return whole.index_put((owner_of(lengths, len(rows)), place_of(lengths, len(rows))), rows)


def _fill(
    points: Tensor, record: Tensor, centre: Tensor, radius: float, candidates: int, count: int
) -> tuple[Tensor, Tensor]:
    """Return rows (G, K) of the points of each ball and which of them are real."""
    group, point = neighbour_pairs(points[centre], record[centre], points, record, radius, inclusive=True)
    place = place_in(group, len(centre))
    first = place < candidates
    group, point, place = group[first], point[first], place[first]
    width = int(place.max()) + 1 if len(place) else 1
    ball = torch.zeros(len(centre), width, dtype=torch.int64, device=points.device)
    ball[group, place] = point
    in_ball = torch.zeros(len(centre), width, dtype=torch.bool, device=points.device)
    in_ball[group, place] = True
    chosen, is_real = farthest_points(points[ball], in_ball, count)
    return ball.gather(1, chosen), is_real


def interpolate_tokens(tokens: Tensor, centres: Tensor, real: Tensor, rows: Ragged, nearest: int = 5) -> Tensor:
    """Return features of points (sum, E): the mean of the nearest tokens, weighted by the inverse squared distance.

    Args:
        tokens: (B, T, E).
        centres: (B, T, 3).
        real: (B, T) bool; a record without a real token gives zeros.
        rows: points (sum, 3 + F), in the unit of the centres.
        nearest: how many tokens.
    """
    record = rows.owner
    nearest = min(nearest, tokens.shape[1])
    size = max(1, _CHUNK // max(1, 3 * centres.shape[1]))
    parts = []
    for some, owner in zip(rows.data[:, :3].split(size), record.split(size), strict=True):
        squared = (some.unsqueeze(1) - centres[owner]).square().sum(dim=2)
        squared = squared.masked_fill(~real[owner], torch.inf)
        distance, place = squared.topk(nearest, dim=1, largest=False)
        weight = 1 / (distance + 1e-8)
        weight = weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-12)
        parts.append((tokens[owner.unsqueeze(1), place] * weight.unsqueeze(2)).sum(dim=1))
    return torch.cat(parts)
