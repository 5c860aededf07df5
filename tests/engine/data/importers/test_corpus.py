"""Five hundred files, one in twenty bad in every way: each heap is imported, and exactly the bad files are named."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.data.importers import run_import
from engine.protocol.messages import ImportOptions
from engine.protocol.quarantine import left_out_csv
from engine.protocol.schema import DatasetInfo
from tests.engine.data.importers.corpus import HEAPS, Heap, write_corpus
from tests.engine.data.making import silent

FAST = frozenset({"images", "volumes", "arrays"})


@pytest.fixture(scope="module")
def heaps(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Heap]:
    """Write the corpus once."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def imported(heap: Heap, folder: Path) -> DatasetInfo:
    """Import a heap as it is recognised."""
    return run_import([heap.folder], ImportOptions(), folder / "d.h5", silent)


def test_that_the_corpus_has_500_files_of_which_one_in_twenty_is_bad(heaps: Mapping[str, Heap]) -> None:
    files = sum(1 for heap in heaps.values() for path in heap.folder.iterdir() if path.is_file())
    assert files == sum(heap.files for heap in heaps.values())
    assert 500 <= files < 510
    assert 25 <= sum(len(heap.bad) for heap in heaps.values()) <= 27


@pytest.mark.parametrize(
    "name", [each if each in FAST else pytest.param(each, marks=pytest.mark.slow) for each in HEAPS]
)
def test_that_exactly_the_bad_files_are_named_with_their_reasons(
    heaps: Mapping[str, Heap], tmp_path: Path, name: str
) -> None:
    heap = heaps[name]
    info = imported(heap, tmp_path)
    told = {each.path: each.reason for each in info.skipped}
    assert told.keys() == heap.bad.keys()
    assert {path: reason for path, reason in told.items() if heap.bad[path] not in reason} == {}
    assert (info.provenance["importer"], info.records) == (heap.importer, heap.records)


def test_that_the_list_of_bad_files_is_a_table_without_formulas(heaps: Mapping[str, Heap], tmp_path: Path) -> None:
    heap = heaps["points"]
    (heap.folder / "=cmd.ply").write_bytes(b"ply\n")
    try:
        info = imported(heap, tmp_path)
    finally:
        (heap.folder / "=cmd.ply").unlink()
    rows = list(csv.reader(left_out_csv(info.skipped).splitlines()))
    assert rows[0] == ["path", "reason"]
    assert {row[0] for row in rows[1:]} == {"'=cmd.ply", *heap.bad}
    assert all(row[1] for row in rows[1:])
