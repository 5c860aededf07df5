"""Neighbours of a record, a file and a text, out of the features that a run keeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from engine.data.store import Dataset
from engine.errors import DataError, FeaturesMissing, MethodError
from engine.inspections import asking
from engine.inspections.asking import Asker
from engine.inspections.embedding import make_features
from engine.inspections.feature_cache import delete_features
from engine.inspections.looking import Shelf
from engine.methods.mod_x import METHOD as MOD_X
from engine.protocol.inspections import Choice
from engine.protocol.messages import FeatureChoice, FindNeighbours, NeighboursFound, RunSpec
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.runs import RunFolder
from tests.engine.inspections.conftest import make_pictures


@pytest.fixture(scope="module")
def asker(masked_run: RunFolder):
    delete_features(masked_run.path)
    with Shelf(masked_run.path) as shelf:
        asker = Asker(lambda step, data: shelf.at(Choice(step=step, dataset=data))[0])
        with pytest.raises(FeaturesMissing, match="12 of 12") as refused:
            asker.answer(FindNeighbours(id="0", run="r", record=1))
        assert refused.value.failure().kind == "features-missing"
        make_features(masked_run.path, FeatureChoice(), lambda *_: None)
        yield asker
        asker.close()


def ask(asker: Asker, **question: object) -> NeighboursFound:
    return asker.answer(FindNeighbours(id="1", run="r", **question))


def test_that_a_record_has_neighbours_other_than_itself_nearest_first(asker: Asker) -> None:
    found = ask(asker, record=4, k=5)
    assert len(found.records) == 5
    assert 4 not in found.records
    assert list(found.cosines) == sorted(found.cosines, reverse=True)
    assert (found.searched, found.exact, found.step) == (12, True, 4)
    assert found.query == "record 4 of pictures"


def test_that_the_record_itself_is_found_where_that_is_asked_for(asker: Asker) -> None:
    found = ask(asker, record=4, k=1, exclude_self=False)
    assert found.records == (4,)
    assert found.cosines[0] == pytest.approx(1, abs=1e-5)


def test_that_mutual_neighbours_are_those_that_have_the_query_among_theirs(asker: Asker) -> None:
    found = ask(asker, record=4, k=3)
    assert found.mutual == tuple(4 in ask(asker, record=other, k=3).records for other in found.records)


def test_that_a_dropped_picture_is_nearest_to_the_record_it_was_taken_from(
    asker: Asker, masked_run: RunFolder, tmp_path: Path
) -> None:
    with Dataset.open(Path(masked_run.spec.dataset)) as dataset:
        pixels = dataset.read("image", [9])[0]
    Image.fromarray(np.moveaxis(pixels, 0, -1)).save(tmp_path / "dropped.png")
    found = ask(asker, path=str(tmp_path / "dropped.png"), k=2)
    assert found.records[0] == 9
    assert found.cosines[0] == pytest.approx(1, abs=1e-4)
    assert found.query == "dropped.png, read as image 3 × 32 × 32"
    assert found.mutual == ()


def test_that_a_file_that_cannot_be_read_is_named(asker: Asker, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(DataError):
        ask(asker, path=str(tmp_path / "notes.png"))
    with pytest.raises(DataError, match="no file"):
        ask(asker, path=str(tmp_path / "gone.png"))


def test_that_a_method_without_texts_says_so(asker: Asker) -> None:
    with pytest.raises(MethodError, match="does not embed texts"):
        ask(asker, text="a brick")


def test_that_a_dropped_picture_needs_no_text_where_records_have_one(tmp_path: Path) -> None:
    image = FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 32, 32), mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    trained_on = Schema(fields=(image, FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str")))
    run = SimpleNamespace(
        method=MOD_X, config=MOD_X.config(), schema=trained_on, spec=RunSpec(method="mod-x", dataset="")
    )
    with Dataset.open(make_pictures(tmp_path / "query.h5", records=1)) as dataset:
        batch = asking._batch_of(run, dataset)
    assert batch["image"].shape == (1, 3, 32, 32)
    assert batch.texts["text"] == ("",)
    assert batch.specs["image"].mean == image.mean


def test_that_a_record_that_there_is_not_is_refused(asker: Asker) -> None:
    with pytest.raises(DataError, match="0 to 11"):
        ask(asker, record=12)


def test_that_a_record_outside_of_what_is_searched_is_embedded(asker: Asker) -> None:
    few = FeatureChoice(most=6, seed=3)
    inside = set(ask(asker, record=0, k=6, choice=few).records)
    outside = next(record for record in range(12) if record not in inside and record != 0)
    found = ask(asker, record=outside, k=6, choice=few)
    assert outside not in found.records
    assert len(found.records) == 6
