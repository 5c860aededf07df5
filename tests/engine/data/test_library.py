"""The library: what the window asks about data, and what it gets."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from engine.data.examination_kept import examine_kept
from engine.data.filters import filter_records, parse_filter
from engine.data.library import Library
from engine.data.store import Dataset, DatasetWriter
from engine.errors import DataError
from engine.protocol import messages
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.workspace import Workspace
from tests.engine.data.making import image_folder, make_dataset, pixels


@pytest.fixture
def library(tmp_path: Path) -> Library:
    workspace = Workspace(tmp_path)
    make_dataset(workspace.dataset_file("beasts"), 60).close()
    return Library(workspace)


def rows(library: Library, text: str = "", **options: object) -> messages.Records:
    """Ask for rows."""
    request = messages.ListRecords(id="1", dataset="beasts", first=0, count=100, filter=text, **options)  # type: ignore[arg-type]
    reply, _ = library.answer(request)
    assert isinstance(reply, messages.Records), reply
    return reply


def test_that_all_datasets_are_listed_even_unreadable_ones(library: Library, tmp_path: Path) -> None:
    (tmp_path / "datasets" / "broken.h5").write_bytes(b"x")
    found = library.datasets()
    assert [info.name for info in found] == ["beasts", "broken"]
    assert found[1].problems


def test_that_rows_carry_name_label_and_split(library: Library) -> None:
    row = rows(library).rows[10]
    assert (row.index, row.name, row.label, row.split) == (10, "folder/größe-0010.png", "bee", "train")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", list(range(60))),
        ("label = ant", list(range(0, 60, 3))),
        ("Label=ANT and split = val", [9, 39]),
        ("label != ant and index < 5", [1, 2, 4]),
        ("0012", [12]),
        ("GRÖSSE 003", [3, *range(30, 40)]),
        ('name ~ "größe-0001"', [1]),
        ("label ~ o", list(range(2, 60, 3))),
        ("index >= 58", [58, 59]),
        ('label == "ant" and index < 4', [0, 3]),
        ("index < 2 or index > 57", [0, 1, 58, 59]),
        ("label = none", []),
        ("excluded = yes", []),
    ],
)
def test_that_a_filter_finds_its_records(library: Library, text: str, expected: list[int]) -> None:
    assert [row.index for row in rows(library, text).rows] == expected


def test_that_the_split_of_a_request_narrows_every_alternative(library: Library) -> None:
    assert [row.index for row in rows(library, "index < 12 or index > 50", split="val").rows] == [9, 59]


def test_that_label_and_split_of_the_request_narrow_the_filter(library: Library) -> None:
    assert [row.index for row in rows(library, "index < 30", label="ant", split="val").rows] == [9]


@pytest.mark.parametrize("text", ["colour = red", "label =", "= ant", "index < many", "or index < 2"])
def test_that_a_filter_that_makes_no_sense_is_refused_in_a_sentence(library: Library, text: str) -> None:
    request = messages.ListRecords(id="1", dataset="beasts", first=0, count=1, filter=text)
    reply, _ = library.answer(request)
    assert isinstance(reply, messages.Failed)
    assert reply.failure.message.endswith(".")


def test_that_quoted_words_stay_together() -> None:
    assert parse_filter('label = "double bar" and two words') == [
        [("label", "=", "double bar"), ("name", "~", "two"), ("name", "~", "words")]
    ]


def test_that_numbers_can_be_compared(tmp_path: Path) -> None:
    schema = Schema(fields=(FieldSpec(name="age", kind=FieldKind.NUMBER, dtype="float64"),))
    with DatasetWriter(tmp_path / "n.h5", schema, name="n") as writer:
        writer.extend({"age": np.array([10.0, 50.0, np.nan, 70.0])})
        writer.finish()
    assert filter_records(Dataset.open(tmp_path / "n.h5"), "age > 40").tolist() == [1, 3]


def test_that_thumbnails_are_letterboxed(tmp_path: Path) -> None:
    schema = Schema(fields=(FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 20, 40)),))
    workspace = Workspace(tmp_path)
    with DatasetWriter(workspace.dataset_file("wide"), schema, name="wide") as writer:
        writer.extend({"image": np.full((2, 3, 20, 40), 200, np.uint8)})
        writer.finish()
    request = messages.FetchThumbnails(id="1", dataset="wide", records=(1, 0), px=32)
    _, (pictures, sizes) = Library(workspace).answer(request)
    assert pictures.shape == (2, 3, 32, 32)
    assert sizes.tolist() == [[16, 32], [16, 32]]
    assert (pictures[:, :, 8:24] == 200).all()
    assert (pictures[:, :, :8] == 0).all()


def test_that_tiny_pictures_are_enlarged_without_blur(library: Library) -> None:
    request = messages.FetchThumbnails(id="1", dataset="beasts", records=(4,), px=32)
    _, (pictures, _) = library.answer(request)
    assert np.array_equal(pictures[0, :, ::2, ::2], pixels(60)[4])


@pytest.mark.parametrize(
    ("kind", "shape", "dtype"),
    [
        (FieldKind.CHANNELS, (5, 8, 8), "uint16"),
        (FieldKind.VOLUME, (1, 4, 8, 8), "float32"),
        (FieldKind.CLIP, (4, 3, 8, 8), "uint8"),
        (FieldKind.CINE, (2, 1, 3, 8, 8), "float32"),
        (FieldKind.MASK, (8, 8), "uint8"),
    ],
)
def test_that_every_kind_of_picture_has_a_thumbnail(
    tmp_path: Path, kind: FieldKind, shape: tuple[int, ...], dtype: str
) -> None:
    schema = Schema(fields=(FieldSpec(name="field", kind=kind, shape=shape, dtype=dtype),))
    workspace = Workspace(tmp_path)
    with DatasetWriter(workspace.dataset_file("x"), schema, name="x") as writer:
        writer.extend({"field": np.arange(np.prod(shape)).reshape(1, *shape).astype(dtype)})
        writer.finish()
    _, (pictures, sizes) = Library(workspace).answer(messages.FetchThumbnails(id="1", dataset="x", records=(0,), px=16))
    assert sizes.tolist() == [[16, 16]]
    assert np.ptp(pictures) > 100


def test_that_edits_show_in_the_rows_and_in_the_description(library: Library) -> None:
    edit = messages.EditRecords(id="2", dataset="beasts", records=(0, 1), label="dog", split="test", excluded=True)
    assert isinstance(library.answer(edit)[0], messages.Done)
    assert [row.index for row in rows(library, "label = dog and excluded = yes and split = test").rows] == [0, 1]
    reply, _ = library.answer(messages.DescribeDataset(id="3", dataset="beasts"))
    assert isinstance(reply, messages.DatasetDescribed)
    assert sum(reply.info.splits.values()) == 58


@pytest.mark.parametrize("change", [{"records": (99,)}, {"records": (0,), "split": "later"}])
def test_that_edits_that_make_no_sense_are_refused(library: Library, change: dict[str, object]) -> None:
    reply, _ = library.answer(messages.EditRecords(id="2", dataset="beasts", **change))  # type: ignore[arg-type]
    assert isinstance(reply, messages.Failed)


def test_that_a_deleted_dataset_lies_in_the_bin_with_all_that_belongs_to_it(library: Library, tmp_path: Path) -> None:
    library.answer(messages.EditRecords(id="2", dataset="beasts", records=(0,), excluded=True))
    with Dataset.open(tmp_path / "datasets" / "beasts.h5") as dataset:
        examine_kept(dataset)
    library.answer(messages.DeleteDataset(id="3", dataset="beasts"))
    assert library.datasets() == []
    assert list((tmp_path / "datasets").iterdir()) == []
    names = sorted(path.name.split("-", 3)[3] for path in (tmp_path / "bin").iterdir())
    assert names == ["beasts.edits.json", "beasts.examination.json", "beasts.h5"]


@pytest.mark.parametrize("name", ["../beasts", "nothing", "/etc/passwd", "/etc/x.h5"])
def test_that_nothing_outside_the_workspace_is_deleted(library: Library, name: str) -> None:
    reply, _ = library.answer(messages.DeleteDataset(id="1", dataset=name))
    assert isinstance(reply, messages.Failed)


def test_that_verification_names_the_damage(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "datasets" / "beasts.h5"
    with h5py.File(path) as file:
        offset = file["fields/image"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[offset + 1000] ^= 1
    path.write_bytes(data)
    reply, _ = library.answer(messages.DescribeDataset(id="1", dataset="beasts", verify=True))
    assert isinstance(reply, messages.DatasetDescribed)
    assert any("image" in problem for problem in reply.info.problems)


def test_that_peek_and_plan_are_answered(library: Library, tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 2)
    peeked, _ = library.answer(messages.Peek(id="1", paths=(str(root),)))
    planned, previews = library.answer(messages.PlanImport(id="2", paths=(str(root),)))
    assert isinstance(peeked, messages.Peeked)
    assert isinstance(planned, messages.Planned)
    assert (peeked.accepted, planned.plan.records, len(previews)) == (True, 6, 6)


def test_that_a_request_about_something_else_is_a_mistake_of_the_caller(library: Library) -> None:
    with pytest.raises(TypeError):
        library.answer(messages.Ping(id="1"))


def test_that_a_filter_error_is_one_of_ours(library: Library, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        filter_records(Dataset.open(tmp_path / "datasets" / "beasts.h5"), "x = 1")
