"""Features as colours against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.inspections.feature_colours import fit_palette, foreground, segment
from engine.inspections.looking import Shelf
from engine.protocol.inspections import Choice, FeatureMap
from engine.runs import RunFolder


def points(count: int = 60, width: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    spread = torch.linspace(3, 0.2, width)
    return torch.randn(count, width, generator=generator) * spread + 5


@pytest.mark.reference
def test_that_components_are_those_of_the_singular_value_decomposition() -> None:
    features = points()
    palette = fit_palette(features)
    centred = features.double().numpy() - features.double().numpy().mean(axis=0)
    _, values, rows = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ rows[:3].T
    for column in range(3):
        found = palette.scores(features)[:, column].numpy()
        sign = np.sign(found @ expected[:, column])
        assert found == pytest.approx(sign * expected[:, column], abs=1e-9)
    assert palette.shares.numpy() == pytest.approx(values[:3] ** 2 / (values**2).sum())


def test_that_colours_run_from_the_second_to_the_ninety_eighth_percentile() -> None:
    features = points()
    palette = fit_palette(features)
    scores = palette.scores(features).numpy()
    low, high = np.percentile(scores, 2, axis=0), np.percentile(scores, 98, axis=0)
    assert palette.colours(features).numpy() == pytest.approx(np.clip((scores - low) / (high - low), 0, 1), abs=1e-6)


def test_that_later_components_can_be_the_colours() -> None:
    features = points()
    shifted = fit_palette(features, 5).colours(features, 2)
    assert shifted.shape == (60, 3)
    assert not torch.allclose(shifted, fit_palette(features).colours(features))


def test_that_foreground_is_the_rarer_of_two_groups_along_the_first_component() -> None:
    is_thing = torch.arange(50) % 5 == 0
    scores = torch.where(is_thing, -4.0, 1.0)[:, None] + 0.1 * torch.randn(50, 3)
    assert torch.equal(foreground(scores), is_thing)


def test_that_segments_are_the_groups_that_are_there_the_largest_first() -> None:
    group = torch.arange(60) % 6 // 3 + (torch.arange(60) % 6 == 5).long()  # 30, 20 and 10 members
    centres = torch.tensor([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]])
    features = centres[group] + 0.1 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(segment(features, 3), group)


def look(run: RunFolder, **chosen: object) -> FeatureMap:
    choice = Choice(records=(0, 5), **chosen)  # type: ignore[arg-type]
    with Shelf(run.path) as shelf:
        opened, views = shelf.at(choice)
        found = views.compute(opened.model, "feature-map", choice, opened.step)
    assert isinstance(found, FeatureMap)
    return found


def test_that_colours_can_be_fitted_on_more_records_than_are_shown(masked_run: RunFolder) -> None:
    few, many = look(masked_run), look(masked_run, fit_records=10)
    assert (few.fitted_on, many.fitted_on) == (2, 10)
    assert few.colours.shape == many.colours.shape == (2, 3, 4, 4)
    assert not np.allclose(few.colours, many.colours)


def test_that_a_feature_map_brings_scores_foreground_and_segments(masked_run: RunFolder) -> None:
    found = look(masked_run, segments=4, components=1)
    assert found.first == 1
    assert found.scores.shape == (2, 3, 4, 4)
    assert found.foreground.shape == found.segments.shape == (2, 4, 4)
    assert set(np.unique(found.segments)) == {0, 1, 2, 3}
