"""Retrieval against counting."""

import pytest
import torch

from engine.evaluation.retrieval import best_ranks, recalls


def test_that_an_image_finds_any_of_its_texts_and_a_text_its_image() -> None:
    images = torch.eye(3)
    texts = torch.tensor([[0.9, 0.1, 0.0], [0.1, 0.8, 0.0], [0.0, 0.9, 0.1], [0.6, 0.0, 0.5]])
    found = recalls(images, texts, torch.tensor([0, 0, 1, 2]), ks=(1, 2))
    assert found["image to text R@1"] == pytest.approx(1.0)
    assert found["text to image R@1"] == pytest.approx(2 / 4)
    assert found["text to image R@2"] == pytest.approx(1.0)
    assert found["rsum"] == pytest.approx(100 * (1 + 1 + 0.5 + 1))


def test_that_ranks_equal_those_of_sorting() -> None:
    torch.manual_seed(0)
    cosine = torch.rand(6, 9)
    is_right = torch.zeros(6, 9, dtype=torch.bool)
    is_right[torch.arange(6), torch.randint(9, (6,))] = True
    order = cosine.argsort(dim=1, descending=True)
    expected = [int(is_right[row][order[row]].nonzero()[0]) for row in range(6)]
    assert best_ranks(cosine, is_right).tolist() == expected


def test_that_answering_all_alike_finds_nothing() -> None:
    found = recalls(torch.ones(5, 2), torch.ones(5, 2), torch.arange(5), ks=(1,))
    assert found["image to text R@1"] == 0.0
