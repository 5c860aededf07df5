"""Leaks, twins and empty records are found, and nothing else is."""

from pathlib import Path

import numpy as np
import pytest

from engine.data.examination import difference_hash, examine, near_pairs
from engine.data.store import Dataset
from engine.data.writer import DatasetWriter
from engine.protocol.schema import SPLITS, FieldKind, FieldSpec, Schema

SCHEMA = Schema(
    fields=(
        FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 32, 32)),
        FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=("a", "b")),
        FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=SPLITS),
        FieldSpec(name="name", kind=FieldKind.NAME, dtype="str"),
        FieldSpec(name="patient", kind=FieldKind.GROUP, dtype="str"),
    )
)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """Smooth pictures without a relation to each other."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8), np.uint8)
    return coarse.repeat(4, axis=2).repeat(4, axis=3)


def make(path: Path, image: np.ndarray, split: list[int], patient: list[str]) -> Dataset:
    with DatasetWriter(path, SCHEMA, name="d") as writer:
        writer.extend(
            {
                "image": image,
                "label": np.arange(len(image)) % 2,
                "split": np.array(split),
                "name": [str(number) for number in range(len(image))],
                "patient": patient,
            }
        )
        writer.finish()
    return Dataset.open(path)


def test_that_clean_data_gives_no_warning(tmp_path: Path) -> None:
    with make(tmp_path / "d.h5", pictures(12), [0] * 8 + [1] * 4, [f"p{number}" for number in range(12)]) as dataset:
        found = examine(dataset)
    assert (found.records, found.compared) == (12, 12)
    assert {finding.level for finding in found.findings} == {"ok"}


def test_that_a_patient_in_two_splits_is_a_leak_of_the_held_out_records(tmp_path: Path) -> None:
    patients = ["p0", "p0", "p1", "p1", "p2", "p2"]
    with make(tmp_path / "d.h5", pictures(6), [0, 0, 0, 1, 1, 1], patients) as dataset:
        leak = next(finding for finding in examine(dataset).findings if finding.level == "error")
    assert "1 of 3 values of patient" in leak.what
    assert (leak.records, leak.leave_out) == ((2, 3), (3,))


def test_that_a_brightened_copy_in_another_split_is_a_leak(tmp_path: Path) -> None:
    image = pictures(6)
    image[4] = (image[1].astype(np.int64) * 9 // 10 + 12).astype(np.uint8)
    with make(tmp_path / "d.h5", image, [0, 0, 0, 0, 1, 1], list("abcdef")) as dataset:
        found = examine(dataset).findings
    assert [finding.records for finding in found if "nearly the same as another" in finding.what] == [(1, 4)]
    assert [finding.leave_out for finding in found if finding.level == "error"] == [(4,)]


def test_that_records_of_one_colour_are_found_and_are_no_twins(tmp_path: Path) -> None:
    image = pictures(6)
    image[2], image[3] = 0, 7
    with make(tmp_path / "d.h5", image, [0, 0, 0, 1, 1, 1], list("abcdef")) as dataset:
        found = examine(dataset).findings
    assert [finding.records for finding in found if "of one colour" in finding.what] == [(2, 3)]
    assert not [finding for finding in found if "nearly the same as" in finding.what and finding.count]


@pytest.mark.parametrize("most_bits", [0, 4, 10, 15])
def test_that_near_pairs_are_those_of_the_comparison_of_all(most_bits: int) -> None:
    random = np.random.default_rng(most_bits)
    hashes = random.integers(0, 2, (60, 256)).astype(bool)
    for row in range(0, 60, 3):  # every third is a copy of the one before it with a few bits turned
        hashes[row] = hashes[row - 1]
        hashes[row, random.choice(256, row % 17, replace=False)] ^= True
    distance = (hashes[:, None] != hashes[None]).sum(axis=2)
    expected = [(i, j) for i in range(60) for j in range(i + 1, 60) if distance[i, j] <= most_bits]
    assert near_pairs(hashes, most_bits) == expected


def test_that_a_hash_says_where_a_picture_gets_brighter_to_the_right() -> None:
    ramp = np.broadcast_to(np.arange(34, dtype=np.uint8) * 7, (3, 32, 34))
    assert difference_hash(ramp).all()
    assert not difference_hash(ramp[:, :, ::-1]).any()


def test_that_a_looking_that_is_cancelled_ends(tmp_path: Path) -> None:
    def cancel(done: float, total: float, unit: str, what: str) -> None:
        raise KeyboardInterrupt

    with make(tmp_path / "d.h5", pictures(6), [0] * 6, list("abcdef")) as dataset, pytest.raises(KeyboardInterrupt):
        examine(dataset, cancel)
