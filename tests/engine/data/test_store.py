"""The dataset file: what goes in comes out, or is named as damaged."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest

from engine.data import assembly
from engine.data.edits import add_edit, edits_file, undo_edit
from engine.data.store import Dataset, DatasetWriter
from engine.data.writer import part_folder
from engine.errors import DataError
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from tests.engine.data.making import SCHEMA, columns, encoded, make_dataset, pixels

RAGGED = Schema(
    fields=(
        FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, None, None)),
        FieldSpec(name="file", kind=FieldKind.IMAGE, shape=(3, None, None), dtype="bytes", encoding="png"),
        FieldSpec(name="note", kind=FieldKind.TEXT, dtype="str"),
        FieldSpec(name="cloud", kind=FieldKind.POINTS, shape=(None, 3), dtype="float32"),
    )
)


def test_that_fixed_fields_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "a.h5")
    assert np.array_equal(dataset.read("image", [7, 3, 7]), pixels(500)[[7, 3, 7]])


def test_that_annotations_come_back_as_whole_columns(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "a.h5", 20)
    expected = columns(20)
    assert np.array_equal(dataset.column("label"), expected["label"])
    assert dataset.column("name") == expected["name"]


def test_that_variable_encoded_text_and_point_fields_come_back(tmp_path: Path) -> None:
    images = [pixels(1, seed, (3, 5 + seed, 9))[0] for seed in range(4)]
    files = [encoded(seed, size=(6 + seed, 7)) for seed in range(4)]
    clouds = [np.arange(3 * seed, dtype=np.float32).reshape(seed, 3) for seed in range(4)]
    with DatasetWriter(tmp_path / "r.h5", RAGGED, name="r") as writer:
        for number in range(4):
            shape = (3, 7, 6 + number)
            record = {"image": images[number], "file": (files[number], shape), "note": f"é{number}"}
            writer.append(record | {"cloud": clouds[number]})
        writer.finish()
    dataset = Dataset.open(tmp_path / "r.h5")
    assert [each.tolist() for each in dataset.read("image", [2, 0])] == [images[2].tolist(), images[0].tolist()]
    assert dataset.encoded("file", [1]) == [files[1]]
    assert dataset.read("file", [3])[0].shape == (3, 7, 9)
    assert dataset.texts("note", [3]) == ["é3"]
    assert np.array_equal(dataset.read("cloud", [3])[0], clouds[3])
    assert dataset.sizes("file").tolist()[2] == [3, 7, 8]
    assert dataset.verify() == []


def test_that_the_description_counts_splits_and_labels_and_knows_the_channels(tmp_path: Path) -> None:
    info = make_dataset(tmp_path / "a.h5", 30).info
    image = info.schema.get("image")
    assert info.splits == {"train": 27, "val": 3}
    assert info.labels == {"label": {"ant": 10, "bee": 10, "cow": 10}}
    assert image is not None
    assert np.allclose(image.mean, pixels(30).mean((0, 2, 3)) / 255, atol=1e-6)
    assert np.allclose(image.std, pixels(30).std((0, 2, 3)) / 255, atol=1e-6)


def test_that_plain_h5py_reads_the_pixels_and_the_schema(tmp_path: Path) -> None:
    make_dataset(tmp_path / "a.h5", 10)
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["fields/image"][...], pixels(10))
        assert file["fields/image"].chunks is None
        schema = msgspec.json.decode(file.attrs["schema"], type=Schema)
    assert schema.get("label") == SCHEMA.get("label")


def test_that_equal_content_has_equal_checksums_and_other_content_another(tmp_path: Path) -> None:
    sums = [make_dataset(tmp_path / f"{n}.h5", 10, seed).info.checksum for n, seed in enumerate((1, 1, 2))]
    assert sums[0] == sums[1] != sums[2]


@pytest.mark.parametrize("share", [0.9, 0.6, 0.4])
def test_that_a_cut_file_yields_its_intact_records(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.h5"
    make_dataset(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    dataset = Dataset.open(path)
    problems = dataset.verify()
    kept = dataset.select(None)
    assert problems
    assert 0 < len(kept) < 500
    assert np.array_equal(dataset.read("image", kept), pixels(500)[kept])


def test_that_a_cut_file_says_so_in_its_description(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    make_dataset(path).close()
    path.write_bytes(path.read_bytes()[:-100_000])
    assert "damaged" in " ".join(Dataset.open(path).info.problems)


def test_that_a_flipped_bit_is_found_when_its_record_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    dataset = make_dataset(path)
    with h5py.File(path) as file:
        offset = file["fields/image"].id.get_offset()
    dataset.close()
    data = bytearray(path.read_bytes())
    data[offset + 200 * 768 + 5] ^= 0x10
    path.write_bytes(data)
    damaged = Dataset.open(path)
    assert np.array_equal(damaged.read("image", [499]), pixels(500)[[499]])
    with pytest.raises(DataError, match="damaged"):
        damaged.read("image", [200])
    assert 200 not in damaged.select(None)


def test_that_no_flipped_bit_of_the_data_stays_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    make_dataset(path, 100).close()
    whole = path.read_bytes()
    with h5py.File(path) as file:
        places = {
            name: (node.id.get_offset(), node.nbytes) for name, node in _streams(file) if name.startswith("fields")
        }
    generator = np.random.default_rng(3)
    for offset, size in places.values():
        data = bytearray(whole)
        data[offset + int(generator.integers(size))] ^= 1 << int(generator.integers(8))
        path.write_bytes(data)
        assert Dataset.open(path).verify()


def _streams(file: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []
    file.visititems(lambda name, node: found.append((name, node)) if isinstance(node, h5py.Dataset) else None)
    return found


def test_that_no_random_damage_anywhere_ends_in_another_error_than_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    make_dataset(path, 20).close()
    whole = path.read_bytes()
    generator = np.random.default_rng(4)
    for _ in range(150):
        data = bytearray(whole)
        for place in generator.integers(0, len(data), 40):
            data[place] = int(generator.integers(256))
        path.write_bytes(data)
        try:
            dataset = Dataset.open(path)
            dataset.verify()
            kept = dataset.select(None)
            values = dataset.read("image", kept)
        except DataError:
            continue
        assert np.array_equal(values, pixels(20)[kept])


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n" + b"\0" * 500])
def test_that_what_is_no_dataset_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.h5"):
        Dataset.open(path)


def test_that_a_newer_format_is_refused_with_its_number(tmp_path: Path) -> None:
    make_dataset(tmp_path / "a.h5", 5).close()
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["format_version"] = 9
    with pytest.raises(DataError, match="format 9"):
        Dataset.open(tmp_path / "a.h5")


@pytest.mark.parametrize("trick", ["external link", "soft link", "external storage", "virtual"])
def test_that_a_file_that_refers_elsewhere_is_refused(tmp_path: Path, trick: str) -> None:
    make_dataset(tmp_path / "other.h5", 5).close()
    make_dataset(tmp_path / "a.h5", 5).close()
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["fields/image"]
        shape = (5, 3, 16, 16)
        if trick == "external link":
            file["fields/image"] = h5py.ExternalLink("other.h5", "/fields/image")
        elif trick == "soft link":
            file["fields/image"] = h5py.SoftLink("/fields/label")
        elif trick == "external storage":
            file.create_dataset("fields/image", shape, "u1", external=[(str(tmp_path / "raw"), 0, 3840)])
        else:
            layout = h5py.VirtualLayout(shape, "u1")
            layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "fields/image", shape)
            file.create_virtual_dataset("fields/image", layout)
    with pytest.raises(DataError, match="refused"):
        Dataset.open(tmp_path / "a.h5")


def test_that_interrupted_writing_goes_on_and_gives_the_same_content(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    whole = columns(50)
    writer = DatasetWriter(path, SCHEMA, name="a")
    writer.extend({name: values[:20] for name, values in whole.items()}, {"next": 20})
    writer.commit()
    writer.extend({name: values[20:30] for name, values in whole.items()})
    for file in writer._files.values():  # what a killed process leaves: written, not committed
        file.close()
    with DatasetWriter(path, SCHEMA, name="a") as second:
        assert (second.records, second.note) == (20, {"next": 20})
        second.extend({name: values[20:] for name, values in whole.items()})
        info = second.finish()
    assert info.checksum == make_dataset(tmp_path / "straight.h5", 50).info.checksum
    assert not part_folder(path).exists()


def test_that_writing_something_else_does_not_take_up_what_was_interrupted(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "a.h5", SCHEMA, name="a") as writer:
        writer.extend(columns(5))
    with DatasetWriter(tmp_path / "a.h5", SCHEMA, name="a", provenance={"source": "elsewhere"}) as other:
        assert other.records == 0


def test_that_an_unfinished_dataset_is_no_dataset_file(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "a.h5", SCHEMA, name="a") as writer:
        writer.extend(columns(5))
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"image": pixels(1, 0, (3, 16, 15))},
        {"image": np.zeros((1, 3, 16, 16))},
        {"label": ["ant"]},
        {"label": np.array([1, 2])},
        {"other": [1]},
    ],
)
def test_that_values_that_do_not_fit_the_schema_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with DatasetWriter(tmp_path / "a.h5", SCHEMA, name="a") as writer, pytest.raises((DataError, ValueError)):
        writer.extend({**columns(1), **change})  # type: ignore[dict-item]


def test_that_a_dataset_without_records_is_not_written(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "a.h5", SCHEMA, name="a") as writer, pytest.raises(DataError, match="no record"):
        writer.finish()


def _digest(dataset: Dataset) -> str:
    values = np.asarray(dataset.read("image", np.arange(len(dataset))))
    return hashlib.sha256(values.tobytes()).hexdigest()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_that_other_processes_read_the_same_records(tmp_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    dataset = make_dataset(tmp_path / "a.h5", 100)
    here = _digest(dataset)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_digest, [dataset, dataset]) == [here, here]


def test_that_a_pickled_dataset_carries_no_pixels(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "a.h5")
    dataset.read("image", [0])
    data = pickle.dumps(dataset)
    assert len(data) < 10_000
    assert np.array_equal(pickle.loads(data).read("image", [3]), pixels(500)[[3]])


def test_that_changes_of_labels_splits_and_exclusions_are_seen_and_can_be_undone(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    make_dataset(path, 20).close()
    before = path.read_bytes()
    add_edit(path, [0, 1, 2, 9], label="dog", split="test")
    add_edit(path, [3], excluded=True)
    dataset = Dataset.open(path)
    label = dataset.schema.get("label")
    assert label is not None
    assert label.classes == ("ant", "bee", "cow", "dog")
    assert dataset.select("test").tolist() == [0, 1, 2, 9]
    assert 3 not in dataset.select(None)
    assert dataset.info.labels["label"]["dog"] == 4
    assert undo_edit(path)
    assert undo_edit(path)
    assert not undo_edit(path)
    assert Dataset.open(path).select("train").tolist() == [*range(9), *range(10, 19)]
    assert path.read_bytes() == before


def test_that_a_damaged_overlay_is_named(tmp_path: Path) -> None:
    make_dataset(tmp_path / "a.h5", 5).close()
    edits_file(tmp_path / "a.h5").write_text("{")
    with pytest.raises(DataError, match=r"a\.edits\.json"):
        Dataset.open(tmp_path / "a.h5")


def test_that_the_space_reserved_while_writing_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(tmp_path / "a.h5").close()
    monkeypatch.setattr(assembly, "_reserve_space", lambda *_: None)
    make_dataset(tmp_path / "b.h5").close()
    sizes = [(tmp_path / name).stat().st_size for name in ("a.h5", "b.h5")]
    assert abs(sizes[0] - sizes[1]) < 256  # the date in the description may differ in length
