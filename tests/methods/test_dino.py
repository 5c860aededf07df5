"""DINO against the formulas of its paper, another library, and the size of its network."""

import msgspec
import pytest
import timm
import torch
import torch.nn.functional as F
from lightly.loss import DINOLoss
from torch.testing import assert_close

from engine.contract.subject import Subject, build_optimiser
from engine.methods.dino import DINO, METHOD, DINOConfig, show_prototypes, teacher_temperature
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.pixels import evaluation_view
from engine.views.rng import Rng

RGB = Schema(fields=(FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 224, 224)),))


def built(**changes: object) -> tuple[Subject, DINO, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    config = msgspec.structs.replace(subject.config, **changes)
    subject = Subject(METHOD, config, subject.schema, subject.stages)
    model = subject.models()[0]
    assert isinstance(model, DINO)
    return subject, model, dict(subject.views(subject.stages[0], subject.batch(3)))


@pytest.mark.reference
def test_that_the_loss_is_the_mean_over_pairs_of_a_teacher_view_and_another_student_view() -> None:
    _, model, views = built(teacher_temperatures=(0.04, 0.07))
    model.centre.normal_(std=0.1)
    found = model.step(views, 0.0).loss.detach()
    with torch.no_grad():
        network = model.student
        crops = [*views["large"].unbind(1), *views["small"].unbind(1)]
        student = [network.head(network.encoder(crop)[:, 0]) for crop in crops]
        teacher = [model.teacher.network.head(model.teacher.network.encoder(crop)[:, 0]) for crop in crops[:2]]
        terms = []
        for t, of_teacher in enumerate(teacher):
            probabilities = torch.softmax((of_teacher - model.centre) / 0.04, dim=1)
            for v, of_student in enumerate(student):
                if v != t:
                    terms.append(-(probabilities * F.log_softmax(of_student / 0.1, dim=1)).sum(dim=1).mean())
    assert_close(found, torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.reference
def test_that_loss_and_centre_follow_lightlys_over_three_updates() -> None:
    subject, model, _ = built(teacher_temperatures=(0.05, 0.05))
    theirs = DINOLoss(subject.config.outputs, 0.05, 0.05, 1, center_momentum=0.9)
    for step in range(3):
        views = subject.views(subject.stages[0], subject.batch(3), step)
        with torch.no_grad():
            teacher = model.teacher([views["large"]])
            student = model.student([views["large"], views["small"]])
            expected = theirs(list(teacher), list(student), epoch=2)
            assert_close(model.step(views, 0.5).loss, expected, rtol=1e-4, atol=1e-5)
        model.after_update(0.5)
    assert_close(model.centre, theirs.center.flatten())


@pytest.mark.reference
def test_that_the_paper_preset_has_the_backbone_of_vit_small_and_the_published_head() -> None:
    config, problems = apply_settings(DINOConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = DINO(config, RGB)
        theirs = timm.create_model("vit_small_patch16_224", num_classes=0)
    backbone = sum(parameter.numel() for parameter in model.student.encoder.parameters())
    head = 384 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 256 + 256 + 256 * 65536
    assert problems == []
    assert backbone == sum(parameter.numel() for parameter in theirs.parameters())
    assert backbone + head == METHOD.paper.parameters["paper"]


@pytest.mark.reference
def test_that_the_teacher_is_a_moving_average_of_the_student() -> None:
    _, model, views = built(teacher_memory=0.9)
    before = [parameter.clone() for parameter in model.teacher.parameters()]
    optimiser = build_optimiser(model)
    model.step(views, 0.5).loss.backward()
    optimiser.step()
    model.after_update(0.0)
    for old, new, student in zip(before, model.teacher.parameters(), model.student.parameters(), strict=True):
        assert_close(new, 0.9 * old + 0.1 * student.detach())


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.04), (0.15, 0.055), (0.3, 0.07), (1.0, 0.07)])
def test_that_the_teachers_temperature_rises_linearly_and_stays(progress: float, expected: float) -> None:
    assert teacher_temperature(DINOConfig(), progress) == pytest.approx(expected)


def test_that_the_last_layer_stands_still_at_the_start_and_moves_later() -> None:
    _, model, views = built(freeze_share=0.1)
    model.step(views, 0.05).loss.backward()
    assert model.student.head.last.weight.grad is None
    assert model.student.encoder.cls_token.grad is not None
    model.step(views, 0.15).loss.backward()
    assert model.student.head.last.weight.grad is not None


def test_that_an_accumulated_update_moves_the_centre_by_the_mean_of_its_batches() -> None:
    subject, model, _ = built()
    stage = subject.stages[0]
    first, second = (subject.views(stage, subject.batch(3, first=start)) for start in (0, 3))
    with torch.no_grad():
        means = [model.teacher([views["large"]]).mean(dim=(0, 1)) for views in (first, second)]
        model.step(first, 0.0)
        model.step(second, 0.0)
        model.after_update(0.0)
    assert_close(model.centre, 0.1 * torch.stack(means).mean(dim=0))


def test_that_a_batch_that_is_not_finite_leaves_the_centre_alone() -> None:
    _, model, views = built()
    broken = dict(views, large=torch.full_like(views["large"], torch.nan))
    with torch.no_grad():
        model.step(broken, 0.0)
        model.after_update(0.0)
    assert torch.isfinite(model.centre).all()


def test_that_features_come_from_the_teacher() -> None:
    subject, model, _ = built()
    batch = subject.batch(2)
    with torch.no_grad():
        before = model.eval().embed(batch).pooled
        for parameter in model.student.parameters():
            parameter.zero_()
        assert_close(model.embed(batch).pooled, before)


def test_that_large_and_small_crops_can_change_locally() -> None:
    _, model, plain = built()
    _, _, changed = built(local_level="medium", local_chance=1.0)
    for name in ("large", "small"):
        assert float((plain[name] - changed[name]).abs().mean()) > 0.02
    assert torch.isfinite(model.step(changed, 0.5).loss)


def test_that_prototypes_are_shown_by_use_with_the_pictures_that_get_them_most() -> None:
    subject = Subject.of(METHOD)
    torch.manual_seed(0)
    model = DINO(subject.config, subject.schema).eval()
    model.centre.normal_(std=0.1)
    batch = subject.shown(4)
    with torch.no_grad():
        found = show_prototypes(model, batch, Choice(), subject.config, Rng(0, 0, batch.index))
        image = evaluation_view(batch, "image", subject.config.image_px)
        head = model.teacher.network.head(model.teacher.network.encoder(image)[:, 0])
    share = torch.softmax((head - model.centre) / subject.config.teacher_temperatures[1], dim=1)
    use, order = share.mean(dim=0).sort(descending=True)
    assert_close(torch.from_numpy(found.usage), use[: len(found.usage)])
    assert found.nearest[0].tolist() == batch.index[share[:, order[0]].argsort(descending=True)].tolist()
    assert found.pictures.shape[:2] == found.nearest.shape
