"""SelfPatch against the formulas and numbers of its page, written naively."""

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.contract.subject import Subject, build_optimiser
from engine.errors import ConfigError
from engine.methods.selfpatch import METHOD, SelfPatch, SelfPatchConfig
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.rng import Rng

RGB = Schema(fields=(FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 224, 224)),))
SMALL = {"width": 32, "depth": 2, "outputs": 32, "patch_outputs": 16, "head_width": 32, "bottleneck": 16}


def built(**changes: object) -> tuple[Subject, SelfPatch, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    config = msgspec.structs.replace(subject.config, **SMALL, **changes)
    subject = Subject(METHOD, config, subject.schema, subject.stages)
    model = subject.models()[0]
    assert isinstance(model, SelfPatch)
    return subject, model, dict(subject.views(subject.stages[0], subject.batch(3)))


def crops_of(views: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return [*views["large"].unbind(1), *views["small"].unbind(1)]


def aggregated(model: SelfPatch, tokens: torch.Tensor, record: int, place: int) -> torch.Tensor:
    """Sum up the four most similar of the eight wrapped neighbours of one patch."""
    side = round(tokens.shape[1] ** 0.5)
    row, column = divmod(place, side)
    around = [
        ((row + down) % side) * side + (column + across) % side
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
        if down or across
    ]
    mine = tokens[record, place]
    best = sorted(around, key=lambda other: -float(F.cosine_similarity(mine, tokens[record, other], dim=0)))[:4]
    module = model.network.aggregation
    token = module.cls_token
    for block in module.blocks:
        token = block(token, tokens[record, best][None])
    return module.norm(token)[0, 0]


@pytest.mark.reference
def test_that_the_loss_is_dinos_plus_a_tenth_of_that_of_patches() -> None:
    _, model, views = built()
    model.centre.normal_(std=0.1)
    model.patch_centre.normal_(std=0.1)
    found = model.step(views, 0.5)
    with torch.no_grad():
        student, teacher = model.student, model.network
        image_student, image_teacher, patch_terms = [], [], []
        for crop in crops_of(views):
            image, patches = student.aggregation(student.encoder(crop))
            image_student.append(student.image_head(image))
            tokens = teacher.encoder(crop)
            image_teacher.append(teacher.image_head(teacher.aggregation(tokens)[0]))
            around = torch.stack(
                [
                    torch.stack([aggregated(model, tokens, record, place) for place in range(tokens.shape[1])])
                    for record in range(3)
                ]
            )
            target = torch.softmax((teacher.patch_head(around) - model.patch_centre) / 0.04, dim=-1)
            scores = F.log_softmax(student.patch_head(patches) / 0.1, dim=-1)
            patch_terms.append(-(target * scores).sum(dim=-1).mean())
        image_terms = [
            -(torch.softmax((image_teacher[t] - model.centre) / 0.04, dim=-1) * F.log_softmax(of_student / 0.1, dim=-1))
            .sum(dim=-1)
            .mean()
            for t in range(2)
            for v, of_student in enumerate(image_student)
            if v != t
        ]
    assert_close(found.parts["pictures"].detach(), torch.stack(image_terms).mean(), rtol=1e-4, atol=1e-5)
    assert_close(found.parts["patches"].detach(), 0.1 * torch.stack(patch_terms).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.reference
def test_that_centres_are_means_over_all_crops_and_over_all_patches() -> None:
    _, model, views = built()
    with torch.no_grad():
        model.train().step(views, 0.5)
        images, patches = model.teacher([views["large"], views["small"]], aggregates=True)
        model.after_update(0.0)
    count = patches[0][..., 0].numel() + patches[1][..., 0].numel()
    total = patches[0].flatten(0, -2).sum(dim=0) + patches[1].flatten(0, -2).sum(dim=0)
    assert_close(model.centre, 0.1 * images.mean(dim=(0, 1)))
    assert_close(model.patch_centre, 0.1 * total / count)


@pytest.mark.reference
def test_that_the_paper_preset_has_the_parameters_of_the_published_networks() -> None:
    config, problems = apply_settings(SelfPatchConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = SelfPatch(config, RGB)
    found = {name: sum(p.numel() for p in part.parameters()) for name, part in model.student.named_children()}
    block = 4 * (384 * 384 + 384) + 384 * 1536 + 1536 + 1536 * 384 + 384 + 2 * 768
    mlp = 384 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 256 + 256
    assert problems == []
    assert found["encoder"] == 21_665_664 - 2 * 384 - 768  # timm's ViT-S/16 without class token and norm
    assert found["aggregation"] == 2 * block + 384 + 768
    assert found["image_head"] == mlp + 256 * 65536
    assert found["patch_head"] == mlp + 256 * 4096
    assert sum(found.values()) == METHOD.paper.parameters["paper"]


@pytest.mark.reference
@pytest.mark.parametrize("answer", ["flat", "sharp"])
@pytest.mark.parametrize("who", ["student", "teacher", "both"])
def test_that_one_answer_for_all_is_not_taken_for_learning(answer: str, who: str) -> None:
    _, model, views = built()
    networks = {"student": [model.student], "teacher": [model.network], "both": [model.student, model.network]}[who]
    with torch.no_grad():
        for head in (head for network in networks for head in (network.image_head, network.patch_head)):
            linear = head.mlp.layers[-1]
            linear.weight.zero_()
            linear.bias.fill_(1.0)
            if answer == "flat":
                head.last.weight.zero_()
        monitors = model.step(views, 0.5).monitors
    assert float(monitors["loss above one answer for all"]) > -1e-4


@pytest.mark.reference
def test_that_the_loss_is_compared_with_that_of_the_teachers_mean_answers() -> None:
    _, model, views = built()
    with torch.no_grad():
        found = model.step(views, 0.5)
        images, patches = model.teacher([views["large"], views["small"]], aggregates=True)
        answers = torch.softmax(images[:2] / 0.04, dim=-1).flatten(0, 1)
        of_patches = torch.cat([torch.softmax(each / 0.04, dim=-1).flatten(0, -2) for each in patches])
    one_answer = -sum(
        weight * float((mean * mean.log()).sum())
        for weight, mean in ((1.0, answers.mean(dim=0)), (0.1, of_patches.mean(dim=0)))
    )
    expected = found.loss.detach() - one_answer
    assert_close(found.monitors["loss above one answer for all"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_that_a_step_at_paper_size_is_finite() -> None:
    config, _ = apply_settings(SelfPatchConfig(), METHOD.presets["paper"].config)
    model = SelfPatch(config, RGB)
    generator = torch.Generator().manual_seed(0)
    views = {
        "large": torch.randn(1, 2, 3, 224, 224, generator=generator),
        "small": torch.randn(1, 8, 3, 96, 96, generator=generator),
    }
    loss = model.step(views, 0.5).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.student.parameters())


@pytest.mark.reference
def test_that_the_teacher_is_a_moving_average_of_the_whole_student() -> None:
    _, model, views = built(teacher_memory=0.9)
    before = [parameter.clone() for parameter in model.teacher.parameters()]
    optimiser = build_optimiser(model)
    model.step(views, 0.5).loss.backward()
    optimiser.step()
    model.after_update(0.0)
    for old, new, student in zip(before, model.teacher.parameters(), model.student.parameters(), strict=True):
        assert_close(new, 0.9 * old + 0.1 * student.detach())


def test_that_a_weight_of_0_leaves_dino() -> None:
    _, model, views = built(patch_weight=0.0)
    step = model.step(views, 0.5)
    step.loss.backward()
    assert_close(step.loss, step.parts["pictures"])
    assert not model.student.patch_head.last.weight.grad.any()


def test_that_random_neighbours_are_drawn_with_the_views() -> None:
    subject, model, views = built(choice="random")
    again = subject.views(subject.stages[0], subject.batch(3), step=1)
    assert views["large_scores"].shape == (3, 2, 64, 8)
    assert views["small_scores"].shape == (3, 2, 16, 8)
    model.eval()
    with torch.no_grad():
        first = model.step(views, 0.5).parts["patches"]
        other = model.step(dict(views, large_scores=again["large_scores"]), 0.5).parts["patches"]
    assert float(first) != float(other)


def test_that_last_layers_stand_still_at_the_start_and_move_later() -> None:
    _, model, views = built(freeze_share=0.1)
    heads = (model.student.image_head, model.student.patch_head)
    model.step(views, 0.05).loss.backward()
    assert all(head.last.weight.grad is None for head in heads)
    model.step(views, 0.15).loss.backward()
    assert all(head.last.weight.grad.any() for head in heads)


def test_that_crops_with_less_than_three_patches_along_a_side_are_refused() -> None:
    with pytest.raises(ConfigError, match="less than three patches"):
        built(local_px=16)


def test_that_a_clipped_border_gives_other_targets() -> None:
    _, wrapped, views = built()
    _, clipped, _ = built(border="clip")
    with torch.no_grad():
        losses = [model.eval().step(views, 0.5).parts["patches"] for model in (wrapped, clipped)]
    assert float(losses[0]) != float(losses[1])


def test_that_a_batch_that_is_not_finite_leaves_the_centres_alone() -> None:
    _, model, views = built()
    with torch.no_grad():
        model.step(dict(views, large=torch.full_like(views["large"], torch.nan)), 0.5)
        model.after_update(0.0)
    assert torch.isfinite(model.centre).all()
    assert torch.isfinite(model.patch_centre).all()


def test_that_the_chosen_patch_is_framed_in_yellow_and_four_neighbours_in_red() -> None:
    subject, model, _ = built()
    batch = subject.batch(2)
    look = {look.name: look for look in METHOD.inspections}["neighbours"]
    with torch.no_grad():
        shown = look.compute(model.eval(), batch, Choice(query=9), subject.config, Rng(0, 0, batch.index))
    corners = torch.from_numpy(shown.pictures[0, 0][:, ::8, ::8]).flatten(1).T  # upper left pixel of each patch
    red = (corners - torch.tensor([1.0, 0.25, 0.1])).abs().amax(dim=1) < 1e-6
    yellow = (corners - torch.tensor([1.0, 0.9, 0.1])).abs().amax(dim=1) < 1e-6
    assert yellow.nonzero().flatten().tolist() == [9]
    assert int(red.sum()) == 4
    assert set(red.nonzero().flatten().tolist()) <= {0, 1, 2, 8, 10, 16, 17, 18}


def test_that_matched_patches_are_each_others_nearest() -> None:
    subject, model, _ = built()
    batch = subject.batch(2)
    look = {look.name: look for look in METHOD.inspections}["matches"]
    with torch.no_grad():
        shown = look.compute(model.eval(), batch, Choice(), subject.config, Rng(0, 0, batch.index))
    assert 0 < len(shown.scores) <= 24
    assert (shown.scores[:-1] >= shown.scores[1:]).all()
    assert len({tuple(place) for place in shown.to_px.tolist()}) == len(shown.to_px)
