"""What holds for every bundled sample; the whole of it is made in the slow tests, the first piece in the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from engine.data.layout import is_text
from engine.data.samples import _SAMPLES, make_sample
from engine.data.samples.sample import Columns, Sample
from engine.data.store import Dataset
from engine.data.writer import DatasetWriter
from engine.protocol.schema import SPLITS, FieldKind

PIECEWISE = [sample for sample in _SAMPLES if sample.info.name not in {"digits", "textures", "shapescenes", "shapetex"}]

each_sample = pytest.mark.parametrize("sample", PIECEWISE, ids=lambda sample: sample.info.name)


def first_piece(sample: Sample) -> Columns:
    made = sample.make()
    return made if isinstance(made, Mapping) else next(made)


@pytest.fixture(scope="module")
def first_pieces() -> dict[str, Columns]:
    return {sample.info.name: first_piece(sample) for sample in PIECEWISE}


@each_sample
def test_that_a_first_piece_fits_the_schema_and_comes_back_from_a_file(
    sample: Sample, first_pieces: dict[str, Columns], tmp_path: Path
) -> None:
    piece = first_pieces[sample.info.name]
    few = {field: values[:5] for field, values in piece.items()}
    with DatasetWriter(tmp_path / "few.h5", sample.schema, name="few") as writer:
        writer.extend(few)
        writer.finish()
    dataset = Dataset.open(tmp_path / "few.h5")
    assert dataset.verify() == []
    for spec in sample.schema.fields:
        if is_text(spec):
            assert dataset.texts(spec.name, np.arange(5)) == list(few[spec.name])
        else:
            back = dataset.read(spec.name, [0, 1, 2, 3, 4])
            assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(back, few[spec.name], strict=True))


@each_sample
def test_that_a_first_piece_is_the_same_when_made_again(sample: Sample, first_pieces: dict[str, Columns]) -> None:
    again = first_piece(sample)
    for field, values in first_pieces[sample.info.name].items():
        for one, other in zip(values, again[field], strict=True):
            assert np.array_equal(one, other) or np.array_equal(one, other, equal_nan=True)


@each_sample
def test_that_no_picture_is_constant_and_no_two_records_are_the_same(
    sample: Sample, first_pieces: dict[str, Columns]
) -> None:
    content = [spec for spec in sample.schema.fields if not spec.is_annotation]
    piece = first_pieces[sample.info.name]
    assert content
    prints = [
        b"".join(
            str(piece[spec.name][record]).encode() if is_text(spec) else np.asarray(piece[spec.name][record]).tobytes()
            for spec in content
        )
        for record in range(len(piece["name"]))
    ]
    if content[0].kind is not FieldKind.TEXT:  # sentences of a small language may come twice
        assert len(set(prints)) == len(prints)
        assert all(np.ptp(np.asarray(value, np.float64)) > 0 for value in piece[content[0].name])


@each_sample
def test_that_a_card_names_origin_and_licence(sample: Sample) -> None:
    assert sample.licence
    assert sample.source
    assert len(sample.info.description) > 80
    assert ("real" if sample.info.real else "enerated") in sample.info.description
    kinds = {str(spec.kind) for spec in sample.schema.fields}
    assert set(sample.info.kinds) <= kinds


@pytest.mark.slow
@each_sample
def test_that_the_whole_sample_is_as_announced_and_the_same_twice(sample: Sample, tmp_path: Path) -> None:
    info = make_sample(sample.info.name, tmp_path / "a.h5")
    assert info.records == sample.info.records
    assert info.size_bytes == pytest.approx(sample.info.size_bytes, rel=0.05)
    assert info.checksum == make_sample(sample.info.name, tmp_path / "b.h5").checksum
    dataset = Dataset.open(tmp_path / "a.h5")
    assert dataset.verify() == []
    assert {SPLITS.index(name) for name in info.splits} >= {0, 2}
    for spec in sample.schema.fields:
        varies = spec.kind in {FieldKind.LABEL, FieldKind.NUMBER} and not spec.name.endswith("_rate_hz")
        if spec.shape == () and varies:
            column = np.asarray(dataset.column(spec.name))
            assert len(np.unique(column)) > 1, spec.name
        if spec.kind is FieldKind.LABEL:
            found = set(np.asarray(dataset.column(spec.name)).tolist()) - {-1}
            assert found == set(range(len(spec.classes))), spec.name
        if spec.kind is FieldKind.GROUP:
            owner: dict[str, int] = {}
            groups = dataset.texts(spec.name, np.arange(len(dataset)))
            for group, split in zip(groups, np.asarray(dataset.column("split")).tolist(), strict=True):
                assert owner.setdefault(group, split) == split, f"{group} is in two splits"
