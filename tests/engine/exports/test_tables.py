"""Tables of features and maps, opened again by what they are for."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from engine.cli import main
from engine.data.store import Dataset
from engine.errors import ConfigError
from engine.exports.formats import export_runs
from engine.exports.tables import Table, table_format, write_table
from engine.protocol.inspections import Array
from tests.engine.exports.conftest import MakeRun

NAMES = ["=cmd|'/c calc'!A0", "plain, with comma", None]


@pytest.fixture
def table() -> Table:
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    return Table({"record": np.arange(3), "label": NAMES, "weight": np.array([0.5, -1.5, 2.0])}, vectors)


def tensor_of(path: Path) -> Array:
    """Read vectors as TensorBoard's projector does: one row a line, tabs between numbers, no header."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return np.array([[float(cell) for cell in line.split("\t")] for line in lines if line], np.float32)


def test_that_npz_holds_texts_and_features_without_pickle(table: Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "t.npz", "npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["features"], table.vectors)
        assert arrays["label"].tolist() == [NAMES[0], NAMES[1], ""]


def test_that_csv_comes_back_exactly_and_holds_no_formula(table: Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "t.csv", "csv")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [f"'{NAMES[0]}", NAMES[1], ""]
    assert [float(row["weight"]) for row in rows] == [0.5, -1.5, 2.0]
    features = np.array([[float(row[f"f{number}"]) for number in range(4)] for row in rows], np.float32)
    assert np.array_equal(features, table.vectors)


def test_that_parquet_keeps_names_as_they_are(table: Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "t.parquet", "parquet")
    found = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    assert found.column("label").to_pylist() == NAMES
    assert np.array_equal(np.stack(found.column("features").to_numpy()), table.vectors)


def test_that_the_projector_reads_vectors_metadata_and_both_configurations(table: Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "t", "projector")
    folder = tmp_path / "t"
    assert np.array_equal(tensor_of(folder / "vectors.tsv"), table.vectors)
    header, *rows = (folder / "metadata.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert header.split("\t") == ["record", "label", "weight"]
    assert [row.split("\t")[1] for row in rows] == [f"'{NAMES[0]}", NAMES[1], ""]
    (entry,) = json.loads((folder / "projector_config.json").read_text(encoding="utf-8"))["embeddings"]
    assert entry["tensorShape"] == [3, 4]
    text = (folder / "projector_config.pbtxt").read_text(encoding="utf-8")
    assert re.findall(r'(tensor_path|metadata_path): "(.+)"', text) == [
        ("tensor_path", entry["tensorPath"]),
        ("metadata_path", entry["metadataPath"]),
    ]


def test_that_metadata_of_one_column_has_no_header_as_the_projector_wants(tmp_path: Path) -> None:
    write_table(Table({"name": ["a\tb", "c\nd"]}, np.zeros((2, 2), np.float32)), tmp_path / "t", "projector")
    assert (tmp_path / "t" / "metadata.tsv").read_text(encoding="utf-8") == "a b\nc d\n"


@pytest.mark.parametrize(("name", "form"), [("t.docx", ""), ("t", ""), ("t.csv", "parquet"), ("t.csv", "xlsx")])
def test_that_a_format_that_does_not_suit_the_file_is_refused(name: str, form: str) -> None:
    with pytest.raises(ConfigError):
        table_format(Path(name), form)


@pytest.mark.parametrize(("out", "form"), [("f.csv", ""), ("f.npz", ""), ("folder", "projector")])
def test_that_the_shell_writes_the_features_of_every_record(
    make_run: MakeRun, pictures: Path, tmp_path: Path, out: str, form: str
) -> None:
    words = ["embed", str(make_run("mae")), "--out", str(tmp_path / out)]
    assert main([*words, "--format", form] if form else words) == 0
    with Dataset.open(pictures) as dataset:
        labels = [("left", "right")[number] for number in dataset.column("label")]
    if out == "f.csv":
        with (tmp_path / out).open(encoding="utf-8", newline="") as file:
            assert [row["label"] for row in csv.DictReader(file)] == labels
    elif out == "f.npz":
        with np.load(tmp_path / out) as arrays:
            assert arrays["features"].shape == (16, 24)
            assert arrays["label"].tolist() == labels
    else:
        assert tensor_of(tmp_path / out / "vectors.tsv").shape == (16, 24)


def test_that_features_are_handed_on_as_from_the_window(make_run: MakeRun, tmp_path: Path) -> None:
    result = export_runs([make_run("mae")], "parquet", tmp_path / "f.parquet")
    assert (result["records"], result["width"]) == (16, 24)
    assert pyarrow.parquet.read_table(tmp_path / "f.parquet").num_rows == 16


def test_that_features_are_never_written_over_a_file(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("mine")
    assert main(["embed", str(make_run("mae")), "--out", str(tmp_path / "f.csv")]) == 2
    assert (tmp_path / "f.csv").read_text() == "mine"
