"""Images arrive with their texts, whichever way the two are tied; what has no partner is named."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.data.importers import plan_import, run_import
from engine.data.importers.pairs import PAIRS
from engine.data.importers.sources import list_sources
from engine.data.pictures import decode_picture
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.engine.data.making import encoded, silent


def imported(*roots: Path, **options: object) -> Dataset:
    """Import and open the result."""
    out = roots[0].parent / "out.h5"
    run_import(roots, ImportOptions(**options), out, silent)  # type: ignore[arg-type]
    return Dataset.open(out)


def images(root: Path, count: int, folder: str = "") -> list[str]:
    """Write PNG files; returns their names."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    names = [f"{folder}/{number:03d}.png".lstrip("/") for number in range(count)]
    for number, name in enumerate(names):
        (root / name).write_bytes(encoded(number))
    return names


def texts(dataset: Dataset, field: str = "text") -> dict[str, str]:
    """Return name → text."""
    return dict(zip(dataset.column("name"), dataset.column(field), strict=True))


def test_that_a_table_ties_texts_to_images_in_folders(tmp_path: Path) -> None:
    root = tmp_path / "d"
    names = images(root, 4, "images/deep")
    rows = "".join(f'deep/{name.rsplit("/")[-1]},"a caption, number {n}"\n' for n, name in enumerate(names))
    (root / "captions.csv").write_text("image,caption\n" + rows)
    dataset = imported(root)
    assert texts(dataset) == {name: f"a caption, number {n}" for n, name in enumerate(names)}
    pixels = dataset.read("image", [2])[0]
    assert np.array_equal(pixels, decode_picture((root / str(dataset.column("name")[2])).read_bytes()))


def test_that_rows_of_one_image_become_one_record_with_several_captions(tmp_path: Path) -> None:
    root = tmp_path / "d"
    names = images(root, 3)
    rows = [f"{name}\tview {view} of {name}" for view in range(2) for name in names]
    (root / "captions.tsv").write_text("image\tcaption\n" + "\n".join(rows))
    dataset = imported(root)
    assert json.loads(texts(dataset, "captions")["001.png"]) == ["view 0 of 001.png", "view 1 of 001.png"]


def test_that_attributes_and_boxes_follow_the_resized_picture(tmp_path: Path) -> None:
    root = tmp_path / "d"
    images(root, 1)  # 24 × 18
    row = {"image": "000.png", "text": "a red ring", "attributes": ["red", "ring"], "boxes": [[3, 0, 12, 9]]}
    (root / "a.jsonl").write_text(json.dumps(row))
    dataset = imported(root, size_px=36)
    assert json.loads(texts(dataset, "attributes")["000.png"]) == ["red", "ring"]
    assert np.asarray(dataset.read("image_boxes", [0])[0]).tolist() == [[0.0, 0.0, 18.0, 18.0]]


def test_that_images_which_a_table_names_but_are_missing_are_told(tmp_path: Path) -> None:
    root = tmp_path / "d"
    images(root, 3)
    (root / "a.csv").write_text("image,caption\n000.png,one\n001.png,two\n009.png,three\n")
    dataset = imported(root)
    assert len(dataset) == 2
    reasons = {each.path: each.reason for each in dataset.info.skipped}
    assert "009.png" in reasons["a.csv row 3"]
    assert reasons["002.png"] == "an image without a text"


def test_that_text_files_beside_images_arrive_whole(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for number, name in enumerate(images(root, 3)):
        (root / name).with_suffix(".txt").write_text(f"FINDINGS\n\nimage {number}\n" + "long " * 20 * number)
    dataset = imported(root)
    assert texts(dataset)["000.png"] == "FINDINGS\n\nimage 0"
    assert dataset.schema.get("captions") is None


def test_that_equally_many_lines_beside_images_are_captions(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for name in images(root, 3, "images"):
        path = root / "captions" / Path(name).with_suffix(".txt").name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"first of {name}\nsecond of {name}\n")
    dataset = imported(root)
    assert json.loads(texts(dataset, "captions")["images/002.png"])[1] == "second of images/002.png"


def write_shard(path: Path, first: int, count: int) -> None:
    """Write a WebDataset shard; the text comes before its image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for number in range(first, first + count):
            for suffix, data in (
                ("json", json.dumps({"caption": f"shard {number}"}).encode()),
                ("png", encoded(number)),
            ):
                member = tarfile.TarInfo(f"{number:06d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def test_that_shards_of_a_folder_are_read_as_pairs(tmp_path: Path) -> None:
    write_shard(tmp_path / "d" / "shard-0.tar", 0, 4)
    write_shard(tmp_path / "d" / "shard-1.tar", 4, 3)
    dataset = imported(tmp_path / "d")
    assert texts(dataset)["shard-1.tar/000005.png"] == "shard 5"
    assert len(dataset) == 7
    assert dataset.info.skipped == ()


def test_that_a_dropped_shard_is_read_as_pairs(tmp_path: Path) -> None:
    write_shard(tmp_path / "d" / "shard-0.tar", 0, 4)
    assert texts(imported(tmp_path / "d" / "shard-0.tar"))["000003.png"] == "shard 3"


def test_that_the_captions_of_coco_are_gathered_by_image(tmp_path: Path) -> None:
    root = tmp_path / "d"
    names = images(root, 2)
    said = {
        "images": [{"id": 7 + n, "file_name": name} for n, name in enumerate(names)],
        "annotations": [{"image_id": 7 + n, "caption": f"{word} {n}"} for n in range(2) for word in ("one", "two")],
    }
    (root / "captions_val2017.json").write_text(json.dumps(said))
    assert json.loads(texts(imported(root), "captions")["001.png"]) == ["one 1", "two 1"]


def test_that_parquet_files_may_hold_the_images_themselves(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    pictures = [{"bytes": encoded(n), "path": f"{n}.png"} for n in range(5)]
    pictures[3]["bytes"] = b"no picture"
    table = pa.table({"image": pictures, "caption": [f"caption {n}" for n in range(5)]})
    pq.write_table(table, tmp_path / "d" / "train.parquet", row_group_size=2)
    dataset = imported(tmp_path / "d")
    assert list(dataset.column("text")) == ["caption 0", "caption 1", "caption 2", "caption 4"]
    assert np.array_equal(dataset.read("image", [1])[0], decode_picture(encoded(1)))
    assert [each.path for each in dataset.info.skipped] == ["train.parquet#3"]


def test_that_pairs_win_over_images_only_where_there_are_texts(tmp_path: Path) -> None:
    root = tmp_path / "d"
    images(root, 3)
    (root / "labels.csv").write_text("file,label\n000.png,cat\n001.png,dog\n002.png,cat\n")
    assert PAIRS.recognise(list_sources([root])) == 0
    (root / "captions.csv").write_text("file,caption\n000.png,a cat\n001.png,a dog\n002.png,cats\n")
    plan, pictures = plan_import([root], ImportOptions(), Workspace(tmp_path / "w"))
    assert (plan.importer, plan.records, len(pictures)) == ("pairs", 3, 3)
    assert "image" in plan.kinds


def test_that_bad_files_are_named_with_reasons_and_the_rest_is_imported(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for name in images(root, 8):
        (root / name).with_suffix(".txt").write_text(f"a text for {name}")
    (root / "000.png").write_bytes(b"")
    (root / "001.png").write_bytes(encoded(1)[:90])
    (root / "002.txt").write_bytes(b"")
    (root / "003.txt").write_bytes(b"\0\1\2\3")
    (root / "004.txt").unlink()
    (root / "orphan.txt").write_text("nothing to see")
    dataset = imported(root)
    assert {each.path for each in dataset.info.skipped} == {
        "000.png", "001.png", "002.png", "003.png", "004.png", "orphan.txt",
    }  # fmt: skip
    assert all(each.reason for each in dataset.info.skipped)
    assert len(dataset) == 3


def test_that_two_images_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    root = tmp_path / "d"
    images(root, 2, "a")
    images(root, 1, "b")
    (root / "b" / "000.png").write_bytes(encoded(77))
    (root / "c.csv").write_text("image,caption\n000.png,one\n001.png,two\n")
    dataset = imported(root, kind="pairs")
    assert list(texts(dataset)) == ["a/001.png"]
    assert any("2 images are called" in each.reason for each in dataset.info.skipped)


def test_that_images_alone_are_no_pairs(tmp_path: Path) -> None:
    images(tmp_path / "d", 2)
    with pytest.raises(DataError, match="No image has a text"):
        imported(tmp_path / "d", kind="pairs")
