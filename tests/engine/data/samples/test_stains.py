"""Stains: the label lies in few patches of every stain, not in the mean of the bag."""

import numpy as np
import pytest

from engine.data.samples.noise import seeded
from engine.data.samples.photographs import SKIMAGE, read_photograph
from engine.data.samples.stains import STAINS, make_cases, make_patches, put_together, stain_maps, take_apart

Columns = dict[str, list[np.ndarray] | np.ndarray]


@pytest.fixture(scope="module")
def cases() -> Columns:
    return make_cases(seeded(1), 200)


def test_that_the_signal_patches_of_any_stain_tell_the_latent_and_the_mean_does_not(cases: Columns) -> None:
    turns, shifts = stain_maps()
    for number in range(len(STAINS)):
        few, whole, latent = [], [], []
        for bag, stain, signal, own in zip(
            cases["bag"], cases["bag_stains"], cases["bag_signal"], np.asarray(cases["latent"]), strict=True
        ):
            mine = stain == number
            if (signal[mine] == 1).any():
                plain = (bag[mine] - shifts[number]) @ turns[number]
                few.append(plain[signal[mine] == 1].mean(axis=0))
                whole.append(plain.mean(axis=0))
                latent.append(own[0])
        explained = [_explained(np.stack(features), np.array(latent)) for features in (few, whole)]
        assert explained[0] > 0.8
        assert explained[0] > explained[1] + 0.2


def _explained(features: np.ndarray, wanted: np.ndarray) -> float:
    """Return R² on the second half of a linear fit to the first."""
    half = len(wanted) // 2
    design = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    gram = design[:half].T @ design[:half] + 0.5 * np.eye(design.shape[1])
    told = design[half:] @ np.linalg.solve(gram, design[:half].T @ wanted[:half])
    return float(1 - np.square(told - wanted[half:]).sum() / np.square(wanted[half:] - wanted[half:].mean()).sum())


def test_that_missing_stains_have_no_patch_and_every_case_has_the_first(cases: Columns) -> None:
    present = np.asarray(cases["present"])
    assert present[:, 0].all()
    assert 0.1 < 1 - present[:, 1:].mean() < 0.3
    for stains, places, shown in zip(cases["bag_stains"], cases["bag_coordinates"], present, strict=True):
        assert np.array_equal(np.unique(stains), np.flatnonzero(shown))
        assert len(places) == len(stains)
        assert len(np.unique(np.column_stack([stains, places]), axis=0)) == len(places)


def test_that_about_a_sixth_of_the_patches_carries_the_signal(cases: Columns) -> None:
    share = np.concatenate(list(cases["bag_signal"])).mean()
    assert share == pytest.approx(0.15, abs=0.015)


def test_that_dyes_put_together_again_give_the_photograph() -> None:
    tissue = read_photograph(SKIMAGE, "ihc.png")[100:200, 100:200]
    again = put_together(take_apart(tissue)[None], "KI67", np.ones(1))[0]
    assert np.abs(again - tissue).mean() < 0.06


def test_that_patches_of_a_case_show_the_same_place_in_other_colours() -> None:
    dyes = take_apart(read_photograph(SKIMAGE, "ihc.png"))
    patches = make_patches(seeded(2), dyes, np.zeros((30, 8)))
    brown, green, pink = (patches[f"{stain}_patch"].mean(axis=(0, 2, 3)) for stain in ("KI67", "PGR", "HE"))
    assert brown[0] > brown[2]
    assert green[1] > green[0]
    assert pink[0] > pink[1] < pink[2]
    grey = [patches[f"{stain}_patch"].mean(axis=1) for stain in ("KI67", "PGR")]
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*grey, strict=True)]
    others = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(grey[0][1:], grey[1][:-1], strict=True)]
    assert np.mean(alike) > np.mean(others) + 0.2
