"""ChAda-ViT against the formulas of its page, the size of its network, and what its views promise."""

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from engine.contract.subject import Subject, build_optimiser
from engine.data.batch import Batch, Ragged
from engine.errors import ConfigError
from engine.methods.chada_vit import METHOD, ChAdaViT, ChAdaViTConfig, label_step, two_crops
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice, Similarity
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.rng import Rng


def built(**changes: object) -> tuple[Subject, ChAdaViT, dict[str, Tensor]]:
    subject = Subject.of(METHOD)
    config = msgspec.structs.replace(subject.config, **changes)
    subject = Subject(METHOD, config, subject.schema, subject.stages)
    model = subject.models()[0]
    assert isinstance(model, ChAdaViT)
    return subject, model, dict(subject.views(subject.stages[0], subject.batch(3)))


def cells(*counts: int, px: int = 32) -> Batch:
    data = torch.rand(sum(counts), px, px, generator=torch.Generator().manual_seed(0))
    spec = FieldSpec(name="image", kind=FieldKind.CHANNELS, shape=(None, px, px), dtype="float32")
    index = torch.arange(len(counts))
    return Batch({"channels": Ragged(data, torch.tensor(counts))}, index, {"channels": spec})


@pytest.mark.reference
def test_that_the_loss_is_the_cross_entropy_of_each_view_with_the_teachers_answer_to_the_other() -> None:
    _, model, views = built()
    model.centre.normal_(std=0.1)
    found = model.step(views, 0.5).loss.detach()
    lengths = views["channels_lengths"]
    with torch.no_grad():
        terms = []
        for a, b in ((0, 1), (1, 0)):
            students, targets = [], []
            for one in range(len(lengths)):  # record by record: nothing is padded here
                start, length = int(lengths[:one].sum()), int(lengths[one])
                part, alone = views["channels"][start : start + length], lengths[one : one + 1]
                students.append(model.student.head(model.student.encoder(part[:, b], alone).pooled)[0])
                targets.append(model.network.head(model.network.encoder(part[:, a], alone).pooled)[0])
            probabilities = torch.softmax((torch.stack(targets) - model.centre) / 0.04, dim=1)
            terms.append(-(probabilities * F.log_softmax(torch.stack(students) / 0.1, dim=1)).sum(dim=1).mean())
    assert_close(found, (terms[0] + terms[1]) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.reference
def test_that_the_paper_preset_has_the_parameters_of_the_published_network() -> None:
    config, problems = apply_settings(ChAdaViTConfig(), METHOD.presets["paper"].config)
    schema = Schema(fields=(FieldSpec(name="image", kind=FieldKind.CHANNELS, shape=(None, 224, 224)),))
    with torch.device("meta"):
        model = ChAdaViT(config, schema)
    layer = torch.nn.TransformerEncoderLayer(192, 2, 2048, device="meta")
    blocks = 12 * sum(parameter.numel() for parameter in layer.parameters())
    expected = blocks + (16 * 16 * 192 + 192) + 192 + 197 * 192 + 10 * 192 + 2 * 192
    found = sum(parameter.numel() for parameter in model.student.encoder.parameters())
    assert problems == []
    assert found == expected == METHOD.paper.parameters["paper"]


@pytest.mark.reference
def test_that_centre_and_teacher_move_as_published() -> None:
    _, model, views = built(teacher_memory=0.9)
    assert model.teacher is not None
    before = [parameter.clone() for parameter in model.teacher.parameters()]
    with torch.no_grad():
        answers = model.teacher(views)
    optimiser = build_optimiser(model)
    model.step(views, 0.5).loss.backward()
    optimiser.step()
    model.after_update(0.0)
    assert_close(model.centre, 0.1 * answers.mean(dim=(0, 1)))
    for old, new, student in zip(before, model.teacher.parameters(), model.student.parameters(), strict=True):
        assert_close(new, 0.9 * old + 0.1 * student.detach())


def test_that_a_record_is_embedded_alike_beside_records_of_other_counts() -> None:
    _, model, _ = built()
    model.eval()
    mixed = cells(2, 5, 1)
    ragged = mixed.ragged("channels")
    alone = Batch({"channels": Ragged(ragged.data[2:7], ragged.lengths[1:2])}, torch.tensor([1]), mixed.specs)
    with torch.no_grad():
        assert_close(model.embed(mixed).pooled[1:2], model.embed(alone).pooled, atol=1e-5, rtol=0)


def test_that_a_record_with_more_channels_than_slots_is_refused_with_advice() -> None:
    config = ChAdaViTConfig(image_px=32, slots=4)
    with pytest.raises(ConfigError, match="5 channels, and there are 4 slots"):
        two_crops(cells(2, 5), config, Rng(0, 0, torch.arange(2)))


def test_that_shuffled_slots_are_a_permutation_of_each_record() -> None:
    views = two_crops(cells(2, 3), ChAdaViTConfig(image_px=32, shuffle_slots=True), Rng(0, 0, torch.arange(2)))
    assert torch.equal(views["order"].sort(dim=1).values, torch.arange(10).expand(2, -1))
    assert not torch.equal(views["order"][0], views["order"][1])


def test_that_the_label_objective_leaves_out_records_without_a_class() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, -5.0]])
    step = label_step(logits, torch.tensor([0, 0, -1]))
    assert_close(step.loss, F.cross_entropy(logits[:2], torch.tensor([0, 0])))
    assert float(step.monitors["accuracy"]) == 0.5
    assert float(label_step(logits, torch.tensor([-1, -1, -1])).loss) == 0.0


def test_that_the_label_objective_trains_every_parameter_and_no_teacher() -> None:
    _, model, views = built(objective="labels")
    model.step(views, 0.5).loss.backward()
    assert model.teacher is None
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("mixing", ["joint", "within channels", "one channel"])
def test_that_rows_of_the_channel_matrix_sum_to_one(mixing: str) -> None:
    subject, model, _ = built(mixing=mixing)
    look = next(look for look in METHOD.inspections if look.name == "channel-matrix")
    batch = subject.batch(3)
    with torch.no_grad():
        found = look.compute(model.eval(), batch, Choice(), subject.config, Rng(0, 0, batch.index))
    assert isinstance(found, Similarity)
    assert_close(torch.tensor(found.values).sum(dim=1), torch.ones(len(found.values)), atol=1e-4, rtol=0)


def test_that_a_channel_that_is_not_there_contributes_nothing() -> None:
    subject, model, _ = built()
    look = next(look for look in METHOD.inspections if look.name == "channel-dropout")
    batch = cells(3, 1)
    with torch.no_grad():
        found = look.compute(model.eval(), batch, Choice(), subject.config, Rng(0, 0, batch.index))
    assert isinstance(found, Similarity)
    assert (found.values[0, :3] > 0).all()
    assert (found.values[0, 3:] == 0).all()
    assert (found.values[1] == 0).all()


@pytest.mark.slow
def test_that_a_step_of_the_paper_preset_is_finite() -> None:
    config, _ = apply_settings(ChAdaViTConfig(), METHOD.presets["paper"].config)
    schema = Schema(fields=(FieldSpec(name="image", kind=FieldKind.CHANNELS, shape=(None, 224, 224)),))
    torch.manual_seed(0)
    model = ChAdaViT(config, schema)
    step = model.step(two_crops(cells(2, 3, px=224), config, Rng(0, 0, torch.arange(2))), 0.5)
    step.loss.backward()
    assert torch.isfinite(step.loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
