"""Mod-X against the formulas of its page, the size of CLIP, and what a stream promises."""

import json
import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.methods.mod_x import METHOD, ModX, ModXConfig, captions_of, pairs, phases
from engine.protocol.forms import apply_settings
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.rng import Rng


def built(**changes: object) -> tuple[Subject, list[ModX], dict[str, Tensor]]:
    subject = Subject.of(METHOD)
    config = msgspec.structs.replace(subject.config, **changes)
    subject = replace(subject, config=config, stages=phases(config, subject.schema))
    models = [model for model in subject.models() if isinstance(model, ModX)]
    return subject, models, dict(subject.views(subject.stages[0], subject.batch(6)))


@pytest.mark.reference
def test_that_the_loss_of_a_later_task_is_contrast_plus_the_sum_of_kept_rows() -> None:
    _, models, views = built(distil_weight=20.0)
    model = models[1]
    assert model.old is not None
    with torch.no_grad():
        for weight in model.network.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)), alpha=0.05)
        found = model.eval().step(views, 0.5)
        u, v = model.network(views["image"], views["text"])
        u_old, v_old = model.old(views["image"], views["text"])
        s, s_old = u @ v.T, u_old @ v_old.T
        target = torch.arange(6)
        scale = model.network.log_scale.exp()
        contrast = (F.cross_entropy(scale * s, target) + F.cross_entropy(scale * s.T, target)) / 2
        kept = torch.zeros(())
        for new, old in ((s, s_old), (s.T, s_old.T)):
            for i in range(6):
                if int(old[i].argmax()) == i:
                    kept += F.kl_div(new[i].log_softmax(0), old[i].softmax(0), reduction="sum") / 2
    assert_close(found.parts["contrast"], contrast, rtol=1e-4, atol=1e-5)
    assert_close(found.parts["old similarities"], 20 * kept, rtol=1e-3, atol=1e-6)


@pytest.mark.reference
def test_that_the_paper_preset_has_the_parameters_of_clip() -> None:
    config, problems = apply_settings(ModXConfig(), METHOD.presets["paper"].config)
    schema = Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 224, 224)),
            FieldSpec(name="text", kind=FieldKind.TEXT, dtype="str"),
        )
    )
    with torch.device("meta"):
        model = ModX(config, schema)
        layers = [torch.nn.TransformerEncoderLayer(width, 8, 4 * width) for width in (768, 512)]
    image = 32 * 32 * 3 * 768 + 768 + 50 * 768 + 2 * 2 * 768 + 768 * 512
    text = 49408 * 512 + 77 * 512 + 2 * 512 + 512 * 512
    blocks = sum(12 * sum(p.numel() for p in layer.parameters()) for layer in layers)
    assert problems == []
    assert sum(p.numel() for p in model.network.parameters()) == image + text + blocks + 1
    assert image + text + blocks + 1 == METHOD.paper.parameters["paper"]


@pytest.mark.reference
def test_that_a_task_begins_with_the_weights_of_the_one_before_in_both_models() -> None:
    _, models, _ = built()
    first, second = models
    assert first.old is None
    assert second.old is not None
    for name, value in first.network.state_dict().items():
        assert_close(second.network.state_dict()[name], value)
        assert_close(second.old.state_dict()[name], value)


def test_that_the_first_task_is_plain_contrast() -> None:
    _, models, views = built()
    assert set(models[0].step(views, 0.5).parts) == {"contrast"}


def test_that_without_weight_nothing_is_kept_and_no_gradient_reaches_the_old_model() -> None:
    _, models, views = built(distil_weight=0.0)
    step = models[1].step(views, 0.5)
    step.loss.backward()
    assert set(step.parts) == {"contrast"}
    assert models[1].old is not None
    assert all(parameter.grad is None for parameter in models[1].old.parameters())


def test_that_the_scale_stays_between_one_and_a_hundred() -> None:
    _, models, _ = built()
    for start, end in ((9.0, math.log(100)), (-3.0, 0.0)):
        models[0].network.log_scale.data.fill_(start)
        models[0].after_update(0.5)
        assert float(models[0].network.log_scale.detach()) == pytest.approx(end)


def test_that_each_stage_takes_the_records_of_its_task_and_all_at_once_takes_all() -> None:
    subject, _, _ = built()
    columns = {"task": np.array([0, 1, 1, 0])}
    stages = phases(subject.config, subject.schema)
    assert [stage.share for stage in stages] == [2.0, 1.0]
    found = [stage.records(subject.config, columns).tolist() for stage in stages if stage.records is not None]
    assert found == [[True, False, False, True], [False, True, True, False]]
    whole = phases(msgspec.structs.replace(subject.config, streams=False), subject.schema)
    assert [stage.records for stage in whole] == [None]


def test_that_one_of_several_captions_is_drawn_and_others_on_other_steps() -> None:
    subject, _, _ = built()
    batch = subject.batch(2)
    several = json.dumps(["a red ring", "one small circle", "something else"])
    batch = type(batch)(batch.fields, batch.index, batch.specs, {**batch.texts, "captions": (several, "no list")})
    config = subject.config
    drawn = [pairs(batch, config, Rng(0, step, batch.index))["text"] for step in range(8)]
    assert len({tuple(one[0].tolist()) for one in drawn}) == 3
    assert len({tuple(one[1].tolist()) for one in drawn}) == 1
    assert captions_of("[]", "alone") == ("alone",)


def test_that_a_typed_text_lies_where_the_text_of_a_record_does() -> None:
    subject, models, _ = built()
    batch = subject.batch(6)
    with torch.no_grad():
        assert_close(models[0].embed_text(batch.texts["text"]), models[0].pair_vectors(batch)[1])
        assert_close(models[0].embed(batch).pooled, models[0].pair_vectors(batch)[0])


def test_that_probes_tell_what_is_forgotten() -> None:
    _, models, views = built()
    model = models[1].train()
    model.probe_images.uniform_()
    with torch.no_grad():
        found = model.step(views, 0.0).monitors
    names = [name for name in found if name.startswith("R@1 of the probes")]
    assert len(names) == 2


@pytest.mark.slow
def test_that_a_step_of_the_paper_preset_is_finite() -> None:
    config, _ = apply_settings(ModXConfig(), METHOD.presets["paper"].config)
    subject = Subject.of(METHOD)
    batch = subject.batch(2)
    torch.manual_seed(0)
    model = ModX(config, subject.schema)
    step = model.step(pairs(batch, config, Rng(0, 0, batch.index)), 0.5)
    step.loss.backward()
    assert torch.isfinite(step.loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
