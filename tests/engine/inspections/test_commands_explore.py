"""`selfsight map`, `neighbours` and `similarity` in a terminal."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.inspections.maps import load_map
from engine.runs import RunFolder


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("ending", ["csv", "npz", "parquet"])
def test_that_a_map_is_kept_and_its_points_are_written(
    masked_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    out = tmp_path / f"points.{ending}"
    found = said(capsys, "map", masked_run.path, "--most", 9, "--dimensions", 3, "--out", out)
    stored = load_map(masked_run.path, str(found["key"]))
    assert (found["shown"], found["total"]) == (9, 12)
    if ending == "csv":
        rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
        assert [int(row["record"]) for row in rows] == stored.records.tolist()
        assert float(rows[4]["z"]) == pytest.approx(stored.points[4, 2], rel=1e-4)
        assert rows[0]["cluster"].startswith("cluster ")
    elif ending == "npz":
        with np.load(out) as arrays:
            assert np.array_equal(arrays["y"], stored.points[:, 1])
    else:
        import pyarrow.parquet

        assert pyarrow.parquet.read_table(out).num_rows == 9


def test_that_a_map_into_an_unknown_kind_of_file_is_refused(masked_run: RunFolder, tmp_path: Path) -> None:
    assert main(["map", str(masked_run.path), "--out", str(tmp_path / "points.docx")]) == 2


def test_that_neighbours_of_a_record_are_listed(masked_run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "neighbours", masked_run.path, "--record", 5, "-k", 3)
    assert len(found["records"]) == 3
    assert main(["neighbours", str(masked_run.path), "--record", "5", "-k", "3"]) == 0
    assert capsys.readouterr().out.startswith("nearest to record 5 of pictures of 12 records")


def test_that_neighbours_of_nothing_are_refused(masked_run: RunFolder) -> None:
    assert main(["neighbours", str(masked_run.path)]) == 2


def test_that_layers_of_a_run_are_like_themselves(masked_run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "similarity", masked_run.path, masked_run.path)
    assert np.diag(np.array(found["values"])) == pytest.approx(1)
