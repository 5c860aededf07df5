"""Distillation of similarity matrices against loops over its definition."""

import pytest
import torch
from torch.testing import assert_close

from engine.objectives.image_text import common_rotation_residual, distil_rows, right_rows, rotation_degrees


def matrices() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    new, old = torch.rand(2, 5, 5, generator=generator) * 2 - 1
    old[:3].fill_diagonal_(1.0)
    return new, old


@pytest.mark.reference
@pytest.mark.parametrize("has_diagonal", [True, False])
def test_that_rows_the_old_model_ranked_rightly_are_distilled_and_summed(has_diagonal: bool) -> None:
    new, old = matrices()
    expected = 0.0
    for i in range(5):
        if int(old[i].argmax()) != i:
            continue
        kept = [j for j in range(5) if has_diagonal or j != i]
        p, q = old[i, kept].softmax(dim=0), new[i, kept].softmax(dim=0)
        expected += sum(float(a * (a / b).log()) for a, b in zip(p, q, strict=True))
    found = distil_rows(new, old, has_diagonal=has_diagonal)
    assert float(found.loss) == pytest.approx(expected, rel=1e-5)
    assert 0 < int(found.is_right.sum()) < 5


@pytest.mark.reference
def test_that_leaving_a_row_out_equals_putting_the_new_row_in_its_place() -> None:
    new, old = matrices()
    new.requires_grad_()
    distil_rows(new, old).loss.backward()
    gradient = new.grad
    again = new.detach().clone().requires_grad_()
    wrong = (~right_rows(old))[:, None]
    replaced = torch.where(wrong, again, old)  # as the released code does
    torch.nn.functional.kl_div(again.log_softmax(1), replaced.softmax(1), reduction="sum").backward()
    assert gradient is not None
    assert again.grad is not None
    assert_close(gradient, again.grad, atol=1e-6, rtol=1e-5)
    assert float(gradient[wrong[:, 0]].abs().max()) == 0.0


def test_that_without_selection_every_row_counts() -> None:
    new, old = matrices()
    assert float(distil_rows(new, old, selects=False).loss) > float(distil_rows(new, old).loss)


def test_that_equal_captions_count_as_right() -> None:
    cosine = torch.tensor([[0.8, 0.8, 0.1], [0.8, 0.8, 0.1], [0.5, 0.5, 0.4]])
    assert right_rows(cosine).tolist() == [True, True, False]


def test_that_a_common_rotation_leaves_nothing_and_angles_are_in_degrees() -> None:
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(12, 4), dim=1)
    turn = torch.linalg.qr(torch.randn(4, 4)).Q
    assert float(common_rotation_residual(vectors, vectors @ turn)) < 1e-6
    assert float(common_rotation_residual(vectors, torch.cat((vectors[:6] @ turn, vectors[6:])))) > 0.1
    quarter = rotation_degrees(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert_close(quarter, torch.tensor([90.0]))
