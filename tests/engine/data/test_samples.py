"""The bundled samples: the same everywhere, quick, with held-out records that are really apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.data.samples import list_samples, make_sample
from engine.data.samples.shapescenes import CLASSES, make_scenes
from engine.data.samples.textures import GAP_PX, SOURCES, draw_crops
from engine.data.store import Dataset
from engine.errors import DataError

CHECKSUMS = {
    "digits": "eb72c36780ec7c7e0d2b7ec6a51538f6e3f552b0b21c36443b8205cdd66944a5",
    "shapescenes": "f44861c86294592454109108b9048d54cd5927ce64758688750c2c60ea219a40",
    "textures": "d04226af7cdf982029c3052284b5f48f349cbf937bd2029ba5f36fdc21d6ce24",
}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_that_a_sample_has_the_known_content(tmp_path: Path, name: str) -> None:
    info = make_sample(name, tmp_path / f"{name}.h5")
    assert info.checksum == CHECKSUMS[name]
    assert info.provenance["sample"] == name
    announced = next(sample for sample in list_samples() if sample.name == name)
    assert announced.records == info.records
    assert abs(announced.size_bytes - info.size_bytes) < 0.05 * info.size_bytes


def test_that_a_made_sample_verifies_and_reports_progress(tmp_path: Path) -> None:
    seen: list[float] = []
    make_sample("digits", tmp_path / "d.h5", lambda done, total, unit, item: seen.append(done / total))
    dataset = Dataset.open(tmp_path / "d.h5")
    assert dataset.verify() == []
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert len(dataset) == 1797


def test_that_an_unknown_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sample"):
        make_sample("nothing", tmp_path / "x.h5")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.label)
def test_that_training_and_validation_crops_share_no_pixel(source: object) -> None:
    train, val = source.train, source.val  # type: ignore[attr-defined]
    apart = max(val[0] - train[2], val[1] - train[3], train[0] - val[2], train[1] - val[3])
    assert apart >= GAP_PX
    for box in (train, val):
        crops = draw_crops(np.random.default_rng(0), box, source.crop_px, 500)  # type: ignore[attr-defined]
        assert (crops[:, 0] >= box[0]).all()
        assert (crops[:, 1] >= box[1]).all()
        assert (crops[:, 0] + crops[:, 2] <= box[2]).all()
        assert (crops[:, 1] + crops[:, 2] <= box[3]).all()


def test_that_scenes_depend_on_their_seed_alone() -> None:
    first, again, other = make_scenes(20, 1), make_scenes(20, 1), make_scenes(20, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("disc", np.pi),
        ("square", 1.7**2),
        ("ring", np.pi * 0.7),
        ("bar", 0.7 * 2.2),
        ("double bar", 2 * 0.5 * 1.8),
        ("plus", 2 * 0.66 * 2 - 0.66**2),
        ("triangle", 1.5**2 / np.sqrt(3)),
    ],
)
def test_that_a_shape_has_the_area_of_its_formula(name: str, area: float) -> None:
    _, mask, label = make_scenes(4000, 5)
    mean_square_radius = (11**3 - 7**3) / (3 * 4)
    found = mask[label == CLASSES.index(name)].sum((1, 2)).mean() / mean_square_radius
    assert found == pytest.approx(area, rel=0.04)


def test_that_the_object_stands_out_and_the_noise_is_as_stated() -> None:
    image, mask, _ = make_scenes(500, 6)
    values = image.transpose(0, 2, 3, 1) / 255
    spread = [
        values[number][mask[number] == 1].std(0)[
            (values[number][mask[number] == 1].mean(0) > 0.15) & (values[number][mask[number] == 1].mean(0) < 0.85)
        ]
        for number in range(500)
    ]
    assert np.concatenate(spread).mean() == pytest.approx(0.03, rel=0.05)
