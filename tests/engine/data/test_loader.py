"""Batches: the same for the same seed and step, whatever the prefetching, the process or the history."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from engine.data.fitting import fit_pixels
from engine.data.importers import run_import
from engine.data.loader import Loader
from engine.data.pictures import decode_picture
from engine.data.store import Dataset, DatasetWriter
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import FieldKind, FieldSpec, Need, Schema
from tests.engine.data.making import image_folder, make_dataset, picture, pixels, silent

IMAGE = Need(kinds=(FieldKind.IMAGE,))
LABEL = Need(kinds=(FieldKind.LABEL,), optional=True)
WAVE = Need(kinds=(FieldKind.WAVEFORM,), optional=True)


def loader_of(dataset: Dataset, **options: object) -> Loader:
    """Return a loader with small defaults."""
    return Loader(dataset, [IMAGE, LABEL, WAVE], **({"batch_size": 32, "seed": 7} | options))  # type: ignore[arg-type]


def order_of(loader: Loader, steps: int, first: int = 0) -> list[list[int]]:
    """Return the record numbers of the streamed batches."""
    stream = loader.stream(first)
    found = [batch.index.tolist() for batch in islice(stream, steps)]
    stream.close()  # type: ignore[attr-defined]
    return found


def test_that_a_batch_holds_the_stored_pixels_and_labels(tmp_path: Path) -> None:
    loader = loader_of(make_dataset(tmp_path / "a.h5"))
    batch = loader.batch(3)
    index = batch.index.numpy()
    assert np.array_equal(batch["image"].numpy(), pixels(500)[index])
    assert np.array_equal(batch["label"].numpy(), index % 3)
    assert batch["image"].dtype == torch.uint8
    assert batch.specs["image"].shape == (3, 16, 16)
    assert "waveform" not in batch.fields


@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_that_prefetching_changes_nothing(tmp_path: Path, prefetch: int) -> None:
    dataset = make_dataset(tmp_path / "a.h5")
    expected = [loader_of(dataset).batch(step).index.tolist() for step in range(5, 45)]
    assert order_of(loader_of(dataset, prefetch=prefetch), 40, first=5) == expected


def test_that_another_seed_gives_another_order_and_each_epoch_its_own(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "a.h5")
    loader = loader_of(dataset)
    steps = loader.steps_per_epoch
    assert loader.batch(0).index.tolist() != loader_of(dataset, seed=8).batch(0).index.tolist()
    assert loader.batch(0).index.tolist() != loader.batch(steps).index.tolist()


def test_that_an_epoch_shows_no_record_twice(tmp_path: Path) -> None:
    loader = loader_of(make_dataset(tmp_path / "a.h5"))
    seen = [record for step in range(loader.steps_per_epoch) for record in loader.batch(step).index.tolist()]
    assert loader.records == 450
    assert len(set(seen)) == len(seen) == 14 * 32


def test_that_only_records_of_the_split_come(tmp_path: Path) -> None:
    loader = loader_of(make_dataset(tmp_path / "a.h5"), split="val")
    assert set(loader.batch(0).index.tolist()) <= set(range(9, 500, 10))


def test_that_a_small_dataset_fills_the_batch_by_repetition(tmp_path: Path) -> None:
    loader = loader_of(make_dataset(tmp_path / "a.h5", 8))
    assert loader.steps_per_epoch == 1
    counts = np.bincount(loader.batch(0).index.numpy(), minlength=8)
    assert counts.tolist() == [4] * 8


def test_that_records_in_order_come_in_order_with_a_short_last_batch(tmp_path: Path) -> None:
    loader = loader_of(make_dataset(tmp_path / "a.h5"))
    batches = list(loader.in_order(np.arange(70), 32))
    assert [len(batch) for batch in batches] == [32, 32, 6]
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(70))


def test_that_an_empty_split_and_a_missing_field_are_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "a.h5")
    with pytest.raises(DataError, match="test"):
        loader_of(dataset, split="test")
    with pytest.raises(DataError, match="volume"):
        Loader(dataset, [Need(kinds=(FieldKind.VOLUME,))], batch_size=4, seed=0)


@pytest.mark.parametrize("keep_encoded", [True, False])
def test_that_images_of_varying_size_come_at_the_size_asked_for(tmp_path: Path, *, keep_encoded: bool) -> None:
    root = image_folder(tmp_path / "data", 8)
    (root / "ant" / "wide.png").write_bytes((root / "bee" / "000.png").read_bytes() + b"\0")
    image_folder(tmp_path / "data" / "dee", 2, size=(40, 30))
    run_import([root], ImportOptions(keep_encoded=keep_encoded), tmp_path / "d.h5", silent)
    dataset = Dataset.open(tmp_path / "d.h5")
    loader = loader_of(dataset, image_px=16, batch_size=8, split=None)
    batch = loader.batch(1)
    assert batch["image"].shape == (8, 3, 16, 16)
    assert batch.specs["image"].dtype == "uint8"
    name = dataset.column("name")[int(batch.index[0])]
    expected = decode_picture((root / name).read_bytes(), px=16)
    assert np.abs(batch["image"][0].numpy().astype(int) - expected).max() <= 1
    loader.close()


@pytest.mark.parametrize("keep_encoded", [True, False])
def test_that_keeping_resized_pictures_and_the_number_of_threads_change_nothing(
    tmp_path: Path, *, keep_encoded: bool
) -> None:
    root = image_folder(tmp_path / "data", 8)
    image_folder(tmp_path / "data" / "dee", 2, size=(41, 30))
    run_import([root], ImportOptions(keep_encoded=keep_encoded), tmp_path / "d.h5", silent)
    dataset = Dataset.open(tmp_path / "d.h5")
    settings: tuple[dict[str, object], ...] = ({"keep_bytes": 0, "threads": 1}, {"keep_bytes": 0}, {}, {"threads": 1})
    found = []
    for changed in settings:
        loader = loader_of(dataset, image_px=16, batch_size=8, split=None, **changed)
        found.append(torch.stack([loader.batch(step)["image"] for step in range(9)]))
        loader.close()
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("size", [(64, 48), (20, 30), (31, 17)])
def test_that_resizing_is_that_of_pillow_to_within_one_level(size: tuple[int, int]) -> None:
    image = picture(3, size)
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    expected = image.crop((left, top, left + side, top + side)).resize((24, 24), Image.Resampling.BICUBIC)
    found = fit_pixels(np.asarray(image).transpose(2, 0, 1), 24)
    assert np.abs(found.transpose(1, 2, 0).astype(int) - np.asarray(expected)).max() <= 1


def test_that_fields_of_varying_length_come_ragged_and_texts_as_strings(tmp_path: Path) -> None:
    schema = Schema(
        fields=(
            FieldSpec(name="cloud", kind=FieldKind.POINTS, shape=(None, 3), dtype="float32"),
            FieldSpec(name="note", kind=FieldKind.TEXT, dtype="str"),
        )
    )
    with DatasetWriter(tmp_path / "p.h5", schema, name="p") as writer:
        writer.extend(
            {
                "cloud": [np.full((number + 1, 3), number, np.float32) for number in range(5)],
                "note": [f"n{number}" for number in range(5)],
            }
        )
        writer.finish()
    needs = [Need(kinds=(FieldKind.POINTS,)), Need(kinds=(FieldKind.TEXT,))]
    batch = Loader(Dataset.open(tmp_path / "p.h5"), needs, batch_size=2, seed=0).at([3, 1])
    assert batch.ragged("points").lengths.tolist() == [4, 2]
    assert batch.ragged("points").data[:, 0].tolist() == [3.0] * 4 + [1.0] * 2
    assert batch.texts["text"] == ("n3", "n1")


def test_that_damaged_records_are_replaced_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.h5"
    make_dataset(path).close()
    with h5py.File(path) as file:
        offset = file["fields/image"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[offset + 300 * 768] ^= 1
    path.write_bytes(data)
    loader = loader_of(Dataset.open(path))
    with caplog.at_level(logging.WARNING):
        batch = loader.at([1, 300, 2])
    assert batch.index.tolist() == [1, 2, 2]
    assert np.array_equal(batch["image"].numpy(), pixels(500)[[1, 2, 2]])
    assert "300" in caplog.text


def _digest_of_epochs(arguments: tuple[Dataset, int]) -> str:
    dataset, prefetch = arguments
    digest = hashlib.sha256()
    loader = loader_of(dataset, prefetch=prefetch)
    stream = loader.stream(0)
    for batch in islice(stream, 40):
        digest.update(batch["image"].numpy().tobytes())
    stream.close()  # type: ignore[attr-defined]
    return digest.hexdigest()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_that_every_process_gets_the_same_batches(tmp_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    dataset = make_dataset(tmp_path / "a.h5")
    here = _digest_of_epochs((dataset, 2))
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(_digest_of_epochs, [(dataset, 0), (dataset, 3)]) == [here, here]


def _cells(path: Path) -> Dataset:
    schema = Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.CHANNELS, shape=(None, 4, 6)),
            FieldSpec(name="image_names", kind=FieldKind.NUMBER, shape=(None,), dtype="int64", classes=("a", "b")),
            FieldSpec(name="plate", kind=FieldKind.GROUP, dtype="str"),
        )
    )
    with DatasetWriter(path, schema, name="cells") as writer:
        writer.extend(
            {
                "image": [np.full((number % 3 + 1, 4, 6), number, np.uint8) for number in range(6)],
                "image_names": [np.arange(number % 3 + 1) % 2 for number in range(6)],
                "plate": ["q", "p", "q", "r", "p", "q"],
            }
        )
        writer.finish()
    return Dataset.open(path)


def test_that_pictures_of_any_number_of_channels_come_with_names_and_groups(tmp_path: Path) -> None:
    needs = [
        Need(kinds=(FieldKind.CHANNELS,), ragged=True),
        Need(kinds=(FieldKind.NUMBER,), of="channels", suffix="names", optional=True),
        Need(kinds=(FieldKind.GROUP,), name="plate", optional=True),
    ]
    batch = Loader(_cells(tmp_path / "c.h5"), needs, batch_size=2, seed=0, split=None).at([5, 0, 3, 4])
    pictures = batch.ragged("channels")
    assert pictures.lengths.tolist() == batch.ragged("channels_names").lengths.tolist() == [3, 1, 1, 2]
    assert pictures.data.shape == (7, 4, 6)
    assert pictures.data[:, 0, 0].tolist() == [5, 5, 5, 0, 3, 4, 4]
    assert batch.texts["plate"] == ("q", "q", "r", "p")
    assert batch["plate"].tolist() == [1, 1, 2, 0]


def test_that_records_of_different_shape_are_refused_in_time(tmp_path: Path) -> None:
    schema = Schema(fields=(FieldSpec(name="scan", kind=FieldKind.VOLUME, shape=(1, None, None, None)),))
    with DatasetWriter(tmp_path / "v.h5", schema, name="v") as writer:
        writer.extend({"scan": [np.zeros((1, 2, 3, 4 + number), np.uint8) for number in range(2)]})
        writer.finish()
    with pytest.raises(DataError, match="scan of v has records of different size"):
        Loader(Dataset.open(tmp_path / "v.h5"), [Need(kinds=(FieldKind.VOLUME,))], batch_size=1, seed=0, split=None)
