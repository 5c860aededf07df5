"""HDF5 files that loop are given up in time, wherever they are opened."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from engine.data import hdf5_guard
from engine.data.hdf5_guard import Guard
from engine.data.importers import plan_import
from engine.data.importers.arrays_hdf5 import open_hdf5
from engine.data.importers.peeking import peek
from engine.data.samples import make_sample
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.engine.data.making import silent

LIMIT_S = 1.0


def looping(path: Path) -> Path:
    """Write a file whose list of free space in the names of its root leads back to itself: HDF5 follows it for ever."""
    with h5py.File(path, "w", libver="earliest") as file:
        file["data"] = np.arange(3)
    content = bytearray(path.read_bytes())
    _, free, at = struct.unpack_from("<QQQ", content, content.index(b"HEAP") + 8)
    struct.pack_into("<Q", content, at + free, free)
    path.write_bytes(content)
    return path


@pytest.fixture
def guard() -> Iterator[Guard]:
    """Give a guard that loses patience soon."""
    guard = Guard(LIMIT_S)
    yield guard
    guard.close()


@pytest.fixture
def impatient(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything that opens HDF5 files use a guard that loses patience soon."""
    monkeypatch.setattr(hdf5_guard, "_GUARD", guard)


def test_that_a_file_that_loops_is_given_up_and_the_next_one_is_read(tmp_path: Path, guard: Guard) -> None:
    with h5py.File(tmp_path / "sound.h5", "w") as file:
        file["values/image"] = np.zeros((4, 3))
    with pytest.raises(TimeoutError, match="longer than 1 s"):
        guard.require_sound(looping(tmp_path / "loops.h5"))
    guard.require_sound(tmp_path / "sound.h5")


def test_that_a_file_is_gone_through_once_as_long_as_it_stays_the_same(
    tmp_path: Path, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.h5"
    asked: list[Path] = []

    def find_sound(path: Path) -> str:
        asked.append(path)
        return ""

    monkeypatch.setattr(guard, "_try", find_sound)
    path.write_bytes(b"one")
    guard.require_sound(path)
    guard.require_sound(path)
    assert len(asked) == 1
    path.write_bytes(b"another")
    guard.require_sound(path)
    assert len(asked) == 2


def test_that_a_process_that_dies_over_a_file_is_said_to_have_crashed(
    tmp_path: Path, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(b"anything")
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    monkeypatch.setattr(guard, "_started", lambda: process)
    guard._process = process
    with pytest.raises(OSError, match="crashes the HDF5 library"):
        guard.require_sound(path)


@pytest.mark.usefixtures("impatient")
def test_that_a_dataset_that_loops_is_refused(tmp_path: Path) -> None:
    path = looping(tmp_path / "loops.h5")
    with pytest.raises(DataError, match=r"loops\.h5 is not a readable Selfsight dataset: .* longer than 1 s") as caught:
        Dataset.open(path)
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("impatient")
def test_that_a_dataset_whose_structure_cannot_be_read_in_time_is_read_without_it(
    tmp_path: Path, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "digits.h5"
    make_sample("digits", path, silent)
    with Dataset.open(path) as dataset:
        expected = np.asarray(dataset.read("image", [0, 5]))
    monkeypatch.setattr(guard, "_try", lambda _: "going through its structure takes longer than 1 s")
    guard._known.clear()
    with Dataset.open(path) as dataset:
        assert "longer than 1 s" in dataset.info.problems[0]
        np.testing.assert_array_equal(np.asarray(dataset.read("image", [0, 5])), expected)


@pytest.mark.usefixtures("impatient")
def test_that_an_import_names_a_file_that_loops_before_it_begins(tmp_path: Path) -> None:
    path = looping(tmp_path / "loops.h5")
    with pytest.raises(DataError, match="longer than 1 s"), open_hdf5(path):
        pass
    assert peek([path]).accepted  # it may be an array file; the plan says more
    with pytest.raises(DataError, match="longer than 1 s"):
        plan_import([path], ImportOptions(), Workspace(tmp_path / "workspace"))
