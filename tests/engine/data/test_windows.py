"""Windows of records: the same values as slicing the whole, places a pure function of seed, batch and record."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from engine.data.batch import Batch
from engine.data.checksums import BLOCK_BYTES, byte_ranges
from engine.data.loader import Loader
from engine.data.store import Dataset, DatasetWriter
from engine.data.windows import Window, occurrences
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec, Need, Schema

CLIP, VOLUME, BAG, CHANNELS = FieldKind.CLIP, FieldKind.VOLUME, FieldKind.BAG, FieldKind.CHANNELS
NUMBER, MASK = FieldKind.NUMBER, FieldKind.MASK
LENGTHS = (30, 12, 5, 40, 21, 16)


def values(record: int, shape: tuple[int, ...]) -> Array:
    """Return random values of one record."""
    return np.random.default_rng(record).integers(0, 255, shape, dtype=np.uint8)


def write(path: Path, columns: dict[str, Any], *fields: FieldSpec) -> Dataset:
    """Write and open a dataset."""
    with DatasetWriter(path, Schema(fields=fields), name=path.stem) as writer:
        writer.extend(columns)
        writer.finish()
    return Dataset.open(path)


def clips(tmp_path: Path, *, is_fixed: bool = False) -> Dataset:
    """Write six clips of different length (or all of 24 frames) with frame times and a mask of every frame."""
    lengths = (24,) * 6 if is_fixed else LENGTHS
    frames = 24 if is_fixed else None
    return write(
        tmp_path / "clips.h5",
        {
            "clip": _column([values(number, (length, 2, 7, 9)) for number, length in enumerate(lengths)], is_fixed),
            "clip_times_s": _column([np.arange(n) / (10.0 + 5 * (i % 2)) for i, n in enumerate(lengths)], is_fixed),
            "mask": _column([values(50 + number, (length, 7, 9)) for number, length in enumerate(lengths)], is_fixed),
        },
        FieldSpec(name="clip", kind=CLIP, shape=(frames, 2, 7, 9)),
        FieldSpec(name="clip_times_s", kind=NUMBER, shape=(frames,), dtype="float64"),
        FieldSpec(name="mask", kind=MASK, shape=(frames, 7, 9)),
    )


def _column(rows: list[Array], is_fixed: bool) -> Any:
    return np.stack(rows) if is_fixed else rows


CLIP_NEEDS = (Need(kinds=(CLIP,)), Need(kinds=(NUMBER,), of="clip", suffix="times_s"), Need(kinds=(MASK,)))


def loader(dataset: Dataset, needs: tuple[Need, ...], batch_size: int = 6, seed: int = 3, **windows: Window) -> Loader:
    """Return a loader of windows."""
    return Loader(dataset, needs, batch_size=batch_size, seed=seed, split=None, windows=windows)


@pytest.mark.parametrize("is_fixed", [True, False])
def test_that_windows_hold_what_slicing_the_whole_record_gives(tmp_path: Path, *, is_fixed: bool) -> None:
    dataset = clips(tmp_path, is_fixed=is_fixed)
    window = Window(size={"T": 4, "H": 5, "W": 6}, every={"T": 1}, count=3, also=("mask",))
    batch = loader(dataset, CLIP_NEEDS, clip=window).batch(2)
    assert batch["clip"].shape == (6, 3, 4, 2, 5, 6)
    assert batch["mask"].shape == (6, 3, 4, 5, 6)
    for row, record in enumerate(batch.index.tolist()):
        whole, mask, times = (dataset.read(name, [record])[0] for name in ("clip", "mask", "clip_times_s"))
        for number, (t, y, x) in enumerate(batch.places["clip"].offset[row].tolist()):
            assert np.array_equal(batch["clip"][row, number], whole[t : t + 4, :, y : y + 5, x : x + 6])
            assert np.array_equal(batch["mask"][row, number], mask[t : t + 4, y : y + 5, x : x + 6])
            assert np.array_equal(batch["clip_times_s"][row, number], times[t : t + 4])


def same(left: Batch, right: Batch) -> bool:
    """Whether two batches hold the same."""
    return torch.equal(left.index, right.index) and torch.equal(left["clip"], right["clip"])


def test_that_places_follow_from_seed_batch_and_record_alone(tmp_path: Path) -> None:
    dataset = clips(tmp_path)
    window = Window(size={"T": 4}, short="repeat")
    one, other = loader(dataset, CLIP_NEEDS, clip=window), loader(dataset, CLIP_NEEDS, seed=4, clip=window)
    streamed = list(islice(one.stream(5), 3))
    assert all(same(batch, one.batch(5 + number)) for number, batch in enumerate(streamed))
    places = one.at([4, 0, 3], draw=9).places["clip"].offset
    assert torch.equal(places[1:2], one.at([0], draw=9).places["clip"].offset)
    assert not torch.equal(places, one.at([4, 0, 3], draw=10).places["clip"].offset)
    assert not torch.equal(places, other.at([4, 0, 3], draw=9).places["clip"].offset)


def test_that_random_places_reach_every_place_about_equally_often(tmp_path: Path) -> None:
    one = loader(clips(tmp_path, is_fixed=True), CLIP_NEEDS, clip=Window(size={"T": 21}))
    found = torch.cat([one.at(range(6), draw=draw).places["clip"].offset.flatten() for draw in range(100)])
    counts = torch.bincount(found, minlength=4)
    assert len(counts) == 4
    assert counts.min() > 110  # of 600 draws over 4 places: 150 expected, 110 is 3.8 deviations less


def test_that_a_record_that_comes_twice_in_a_batch_is_cut_at_two_places(tmp_path: Path) -> None:
    one = loader(clips(tmp_path), CLIP_NEEDS, batch_size=24, clip=Window(size={"T": 4, "H": 4, "W": 4}))
    batch = one.batch(0)
    first = [row for row, record in enumerate(batch.index.tolist()) if record == 0]
    assert len(first) == 4
    assert len({tuple(batch.places["clip"].offset[row, 0].tolist()) for row in first}) > 1
    assert occurrences(np.array([3, 1, 3, 3, 1])).tolist() == [0, 0, 1, 2, 1]


def test_that_outside_of_training_the_middle_comes_or_a_grid(tmp_path: Path) -> None:
    dataset = clips(tmp_path, is_fixed=True)
    batch = loader(dataset, CLIP_NEEDS, clip=Window(size={"T": 8, "H": 5}, count=2)).at([1, 2])
    assert batch["clip"].shape == (2, 8, 2, 5, 9)
    assert batch.places["clip"].offset.tolist() == [[[8, 1]], [[8, 1]]]
    grid = loader(dataset, CLIP_NEEDS, clip=Window(size={"T": 8, "H": 5}, shown={"T": 3})).at([1])
    assert grid["clip"].shape == (1, 3, 8, 2, 5, 9)
    assert grid.places["clip"].offset[0].tolist() == [[0, 1], [8, 1], [16, 1]]


def test_that_a_shorter_record_is_padded_and_the_batch_says_so(tmp_path: Path) -> None:
    dataset = clips(tmp_path)
    batch = loader(dataset, CLIP_NEEDS, clip=Window(size={"T": 8}, every={"T": 2})).at([2, 0])
    assert batch.places["clip"].extent[:, 0, 0].tolist() == [3, 8]
    assert np.array_equal(batch["clip"][0, :3], dataset.read("clip", [2])[0][::2])
    assert (batch["clip"][0, 3:] == 0).all()
    assert batch.places["clip"].inside()[:, 0].sum(dim=1).tolist() == [3, 8]


def test_that_a_shorter_record_can_go_round_or_be_stretched(tmp_path: Path) -> None:
    dataset = clips(tmp_path)
    round_ = loader(dataset, CLIP_NEEDS, clip=Window(size={"T": 8}, short="repeat")).at([2], draw=1)
    begin = int(round_.places["clip"].offset[0, 0, 0])
    assert np.array_equal(round_["clip"][0], dataset.read("clip", [2])[0][(begin + np.arange(8)) % 5])
    stretched = loader(dataset, CLIP_NEEDS, clip=Window(size={"T": 4, "H": 14}, short="resize")).at([0])
    whole = dataset.read("clip", [0])[0][13:17].astype(float)
    assert stretched["clip"].shape == (1, 4, 2, 14, 9)
    assert np.abs(stretched["clip"][0, :, :, 1].numpy() - (0.75 * whole[:, :, 0] + 0.25 * whole[:, :, 1])).max() <= 0.5


def test_that_frames_come_at_the_rate_asked_for(tmp_path: Path) -> None:
    dataset = clips(tmp_path)  # 10 and 15 frames a second by turns
    batch = loader(dataset, CLIP_NEEDS, clip=Window(size={"T": 4}, rate_hz=5.0)).at([0, 3])
    assert batch.places["clip"].step[:, 0].tolist() == [2.0, 3.0]
    assert np.allclose(np.diff(batch["clip_times_s"], axis=1), 0.2)


def test_that_windows_of_one_record_lie_within_the_spread(tmp_path: Path) -> None:
    dataset = write(
        tmp_path / "v.h5",
        {"volume": [values(n, (1, 20 + n, 22, 30)) for n in range(4)]},
        FieldSpec(name="volume", kind=VOLUME, shape=(1, None, None, None)),
    )
    window = Window(size={"D": 8, "H": 8, "W": 8}, count=2, spread={"D": 4, "H": 4, "W": 4})
    one = loader(dataset, (Need(kinds=(VOLUME,)),), batch_size=4, volume=window)
    batches = [one.batch(step) for step in range(20)]
    offsets = torch.stack([batch.places["volume"].offset for batch in batches])  # (20, 4, 2, 3)
    apart = (offsets[:, :, 0] - offsets[:, :, 1]).abs()
    assert int(apart.max()) == 4
    assert int(offsets.max()) > 15
    record, (z, y, x) = int(batches[0].index[1]), batches[0].places["volume"].offset[1, 1].tolist()
    whole = dataset.read("volume", [record])[0]
    assert np.array_equal(batches[0]["volume"][1, 1], whole[:, z : z + 8, y : y + 8, x : x + 8])


def test_that_crops_of_stacks_of_any_height_come_ragged(tmp_path: Path) -> None:
    dataset = write(
        tmp_path / "c.h5",
        {"image": [values(n, (n % 3 + 1, 10, 12)) for n in range(4)]},
        FieldSpec(name="image", kind=CHANNELS, shape=(None, 10, 12)),
    )
    needs = (Need(kinds=(CHANNELS,), ragged=True),)
    stacks = loader(dataset, needs, channels=Window(size={"H": 6, "W": 6}, count=2)).at([2, 1], draw=0)
    assert stacks.ragged("channels").data.shape == (5, 2, 6, 6)
    assert stacks.ragged("channels").sizes == (3, 2)
    y, x = stacks.places["channels"].offset[0, 1].tolist()
    whole = dataset.read("image", [2])[0]
    assert np.array_equal(stacks.ragged("channels").data[:3, 1], whole[:, y : y + 6, x : x + 6])


def test_that_members_of_a_bag_are_drawn_without_repetition_with_what_is_known_of_them(tmp_path: Path) -> None:
    bags = [np.arange(n, dtype=np.float32)[:, None] * [1, 10] for n in (40, 5, 90)]
    dataset = write(
        tmp_path / "b.h5",
        {"bag": bags, "bag_stains": [np.arange(len(bag)) for bag in bags]},
        FieldSpec(name="bag", kind=BAG, shape=(None, 2), dtype="float32"),
        FieldSpec(name="bag_stains", kind=NUMBER, shape=(None,), dtype="int64", classes=("a", "b")),
    )
    needs = Need(kinds=(BAG,)), Need(kinds=(NUMBER,), of="bag", suffix="stains")
    one = loader(dataset, needs, bag=Window(size={"N": 16}))
    batch = one.at([0, 1, 2], draw=7)
    members, stains = batch["bag"], batch["bag_stains"]
    assert members.shape == (3, 16, 2)
    assert len(members[0, :, 0].unique()) == len(members[2, :, 0].unique()) == 16
    assert torch.equal(members[0, :, 0].long(), stains[0])
    assert stains[1].tolist() == [0, 1, 2, 3, 4] + [-1] * 11
    assert batch.places["bag"].extent[:, 0, 0].tolist() == [16, 5, 16]
    assert one.at([2])["bag"][0, [0, -1], 0].tolist() == [0, 89]


def test_that_only_what_a_window_covers_is_checked_and_damage_elsewhere_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "long.h5"
    shape = (40, 1, 128, 128)  # a frame is a quarter of a block
    spec = FieldSpec(name="clip", kind=CLIP, shape=shape)
    write(path, {"clip": np.stack([values(n, shape) for n in range(3)])}, spec).close()
    with h5py.File(path) as file:
        offset = file["fields/clip"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[offset + 1 * 40 * 128 * 128 + 38 * 128 * 128] ^= 1  # frame 38 of record 1
    path.write_bytes(data)
    one = loader(Dataset.open(path), (Need(kinds=(CLIP,)),), batch_size=3, clip=Window(size={"T": 4}))
    assert one.at([0, 1, 2]).index.tolist() == [0, 1, 2]
    wide = loader(Dataset.open(path), (Need(kinds=(CLIP,)),), batch_size=3, clip=Window(size={"T": 40}))
    batch = wide.at([0, 1, 2])
    assert batch.index.tolist() == [0, 2, 2]
    assert np.array_equal(batch["clip"][1], batch["clip"][2])


def test_that_ranges_of_a_box_cover_its_elements_and_little_else() -> None:
    shape, box = (3, 400, 500), ((1, 3), (100, 140), (200, 260))
    first, stop = byte_ranges(shape, box, 2)
    touched = np.zeros(3 * 400 * 500 * 2, bool)
    for a, b in zip(first.tolist(), stop.tolist(), strict=True):
        touched[a:b] = True
    inside = np.zeros((*shape, 2), bool)
    inside[1:3, 100:140, 200:260] = True
    assert touched[inside.ravel()].all()
    assert touched.sum() <= 2 * (40 * 500 * 2 + BLOCK_BYTES)


def test_that_a_window_along_an_axis_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="window of clip has the axes D"):
        loader(clips(tmp_path), CLIP_NEEDS, clip=Window(size={"D": 4}))
