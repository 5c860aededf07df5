"""Cells: only two channels together tell the class."""

import numpy as np

from engine.data.samples.cells import ASSAYS, CLASSES, STAINS, make_pieces, make_stains
from engine.data.samples.noise import seeded
from engine.data.samples.spot_pairs import make_pairs


def test_that_two_spot_channels_agree_as_the_class_says() -> None:
    label = np.repeat([0, 1, 2], 60)
    stains, shared = make_stains(seeded(1), label)
    a, b = (stains[:, which].reshape(len(label), -1) for which in (0, 1))
    agreement = np.array([np.corrcoef(one, other)[0, 1] for one, other in zip(a, b, strict=True)])
    means = [agreement[label == number].mean() for number in range(3)]
    assert means[0] > 0.99
    assert 0.3 < means[1] < 0.75
    assert abs(means[2]) < 0.1
    assert shared.tolist() == [16] * 60 + [8] * 60 + [0] * 60


def test_that_no_single_channel_tells_the_class() -> None:
    label = np.tile([0, 1, 2], 150)
    stains, _ = make_stains(seeded(2), label)
    for which in range(len(STAINS)):
        brightness = stains[:, which].mean(axis=(1, 2))
        means = [brightness[label == number].mean() for number in range(3)]
        assert np.ptp(means) < 0.5 * brightness.std()


def test_that_records_have_the_channels_of_their_assay() -> None:
    piece = next(make_pieces())
    stains = tuple(ASSAYS.values())
    for image, channels, assay in zip(piece["image"], piece["image_names"], piece["assay"], strict=True):
        assert len(image) == len(channels)
        assert tuple(channels) == stains[assay]
    assert {len(image) for image in piece["image"]} == {1, 2, 3, 4, 5, 7, 10}
    unknown = np.asarray(piece["assay"]) == list(ASSAYS).index("nuclei")
    assert np.array_equal(np.asarray(piece["label"]) == -1, unknown)
    assert set(piece["label"]) == {-1, *range(len(CLASSES))}


def test_that_every_record_of_spot_pairs_has_both_spots_first_and_a_known_class() -> None:
    piece = next(make_pairs())
    assert {tuple(channels) for channels in piece["image_names"]} == {(0, 1), (0, 1, 2), (0, 1, 2, 3)}
    assert set(piece["label"]) == set(range(len(CLASSES)))
    together = [np.corrcoef(image[0].ravel(), image[1].ravel())[0, 1] for image in piece["image"]]
    means = [
        np.mean([one for one, label in zip(together, piece["label"], strict=True) if label == k]) for k in range(3)
    ]
    assert means[0] > means[1] + 0.3 > means[2] + 0.6
