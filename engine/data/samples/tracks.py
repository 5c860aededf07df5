"""Tracks: events of a particle detector as points with energies, with particle type and instance of every point.

Straight or gently scattering tracks whose energy rises at their end, showers that branch and skip, short delta rays
off the tracks, Michel electrons at their ends, and scattered blobs; in a box of 128 voxels. Type and energy belong
together, and the direction of a track goes on from one place to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from engine.data.samples.noise import seeded
from engine.data.samples.sample import Columns, Sample, annotation_fields, number_field, pieces_of, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema, companion

BOX = 128
TYPES = ("shower", "track", "Michel electron", "delta ray", "low-energy deposit")
SHOWER, TRACK, MICHEL, DELTA, SCATTER = range(5)
COUNTS = (1200, 100, 200)
CLASSES = ("1 track", "2 tracks", "3 tracks", "4 tracks")
_FEWEST = 100  # points of an event; one with fewer is drawn anew
_SEED = 20_250_606


@dataclass
class _Deposits:
    """What an event left before it is counted in voxels: pieces of places, energies, types and instances."""

    places: list[Array] = field(default_factory=list)
    energies: list[Array] = field(default_factory=list)
    types: list[Array] = field(default_factory=list)
    instances: list[Array] = field(default_factory=list)
    objects: int = 0

    def add(self, place: Array, energy: Array, kind: int, instance: int) -> None:
        self.places.append(place)
        self.energies.append(energy)
        self.types.append(np.full(len(place), kind))
        self.instances.append(np.full(len(place), instance))

    def new(self) -> int:
        self.objects += 1
        return self.objects - 1


def make_event(random: np.random.Generator, tracks: int) -> dict[str, Array]:
    """Return the columns of an event with `tracks` tracks: points (N, 4) x, y, z, energy in MeV, types and instances.

    Points are sorted by instance; every instance is of one type.
    """
    left = _Deposits()
    for _ in range(tracks):
        _track(random, left)
    for _ in range(random.integers(1, 4)):
        _shower(random, left, random.uniform(20, BOX - 20, 3), _direction(random))
    for _ in range(random.integers(4, 12)):
        blob = random.uniform(2, BOX - 2, 3) + random.normal(0.0, 1.2, (random.integers(1, 6), 3))
        left.add(blob, random.gamma(2.0, 0.1, len(blob)), SCATTER, left.new())
    return _count(left)


def _direction(random: np.random.Generator) -> Array:
    vector = random.normal(size=3)
    return vector / np.linalg.norm(vector)


def _line(random: np.random.Generator, start: Array, direction: Array, length: float, scatter: float) -> Array:
    """Return places half a voxel apart along a line that scatters, (n, 3), without its thickness."""
    steps = max(2, int(2 * length))
    bends = np.cumsum(random.normal(0.0, scatter, (steps, 3)), axis=0)
    headed = direction + bends
    headed /= np.linalg.norm(headed, axis=1, keepdims=True)
    return start + 0.5 * np.cumsum(headed, axis=0)


def _thick(random: np.random.Generator, line: Array) -> Array:
    return line + random.normal(0.0, 0.42, line.shape)


def _track(random: np.random.Generator, left: _Deposits) -> None:
    line = _line(random, random.uniform(8, BOX - 8, 3), _direction(random), random.uniform(40, 120), 0.006)
    inside = ((line > 1) & (line < BOX - 2)).all(axis=1)
    stops = bool(inside.all())
    line = line[: int(inside.argmin())] if not stops else line
    if len(line) < 20:
        return
    residual = (len(line) - np.arange(len(line))) / 2  # voxels to the end
    bragg = 1 + 2.5 / np.sqrt(1 + residual) if stops else np.ones(len(line))
    strength = random.uniform(0.45, 0.7)
    left.add(_thick(random, line), 0.5 * strength * bragg * random.lognormal(0.0, 0.2, len(line)), TRACK, left.new())
    for _ in range(random.poisson(1.2)):
        at = int(random.integers(5, len(line) - 5))
        stub = _line(random, line[at], _direction(random), random.uniform(3, 8), 0.05)
        left.add(_thick(random, stub), 0.22 * random.lognormal(0.0, 0.3, len(stub)), DELTA, left.new())
    if stops and random.random() < 0.7:
        stub = _line(random, line[-1], _direction(random), random.uniform(9, 20), 0.03)
        left.add(_thick(random, stub), 0.2 * random.lognormal(0.0, 0.3, len(stub)), MICHEL, left.new())


def _shower(random: np.random.Generator, left: _Deposits, start: Array, direction: Array) -> None:
    """Add a tree of short segments: each goes on after a gap and may split, until the energy is spent."""
    instance = left.new()
    waiting = [(start, direction, random.uniform(30, 70))]
    while waiting:
        place, headed, energy = waiting.pop()
        line = _line(random, place, headed, random.uniform(3, 7), 0.04)
        left.add(_thick(random, line), 0.13 * random.lognormal(0.0, 0.45, len(line)), SHOWER, instance)
        if energy < 5:
            continue
        shares = random.dirichlet((2.0, 2.0)) if random.random() < 0.65 else np.array([0.92])
        for share in shares:
            turned = headed + random.normal(0.0, 0.28, 3)
            turned /= np.linalg.norm(turned)
            waiting.append((line[-1] + turned * random.exponential(4.0), turned, energy * share - 1.5))


def _count(left: _Deposits) -> dict[str, Array]:
    """Return an event's voxels: energies of one voxel are added, and it belongs to what left most there."""
    place, energy = np.concatenate(left.places), np.concatenate(left.energies)
    kind, instance = np.concatenate(left.types), np.concatenate(left.instances)
    voxel = np.rint(place).astype(np.int64)
    inside = ((voxel >= 0) & (voxel < BOX)).all(axis=1)
    voxel, energy, kind, instance = voxel[inside], energy[inside], kind[inside], instance[inside]
    key = (voxel[:, 0] * BOX + voxel[:, 1]) * BOX + voxel[:, 2]
    order = np.lexsort((-energy, key))  # of each voxel the largest share first
    key, first = np.unique(key[order], return_index=True)
    summed = np.add.reduceat(energy[order], first)
    chosen = order[first]
    by_instance = np.argsort(instance[chosen], kind="stable")
    chosen, summed = chosen[by_instance], summed[by_instance]
    _, dense = np.unique(instance[chosen], return_inverse=True)
    return {
        "points": np.concatenate([voxel[chosen], summed[:, None]], axis=1).astype(np.float32),
        companion("points", "labels"): kind[chosen],
        companion("points", "instances"): dense,
    }


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, a hundred events at a time."""
    for split, first, count in pieces_of(COUNTS, 100):
        random = seeded(_SEED, first)
        label = random.integers(0, len(CLASSES), count)
        events: list[dict[str, Array]] = []
        while len(events) < count:
            wanted = int(label[len(events)]) + 1
            event = make_event(random, wanted)
            found = np.unique(event["points_instances"][event["points_labels"] == TRACK])
            if len(event["points"]) >= _FEWEST and len(found) == wanted:
                events.append(event)
        yield {
            **{name: [event[name] for event in events] for name in events[0]},
            "energy": np.array([event["points"][:, 3].sum() for event in events], np.float32),
            "label": label,
            **split_columns(split, first, count),
        }


TRACKS = Sample(
    info=SampleInfo(
        name="tracks",
        kinds=("points",),
        records=sum(COUNTS),
        real=False,
        description="Events of a particle detector: points with energies (MeV) of tracks, showers, delta rays, Michel "
        "electrons and scattered blobs in a box of 128 voxels, with type and instance of every point. Generated.",
        size_bytes=25_000_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(
                name="points",
                kind=FieldKind.POINTS,
                shape=(None, 4),
                dtype="float32",
                unit="voxel",
                channels=("x", "y", "z", "energy"),
            ),
            FieldSpec(
                name=companion("points", "labels"),
                kind=FieldKind.NUMBER,
                shape=(None,),
                dtype="int64",
                classes=TYPES,
            ),
            number_field(companion("points", "instances"), "", (None,), "int64"),
            number_field("energy", "MeV"),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
