"""MADELEINE against the formulas of its page, the size of its network, and what missing stains must not do."""

import dataclasses

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.data.batch import Batch, Ragged
from engine.errors import ConfigError
from engine.methods.madeleine import MADELEINE, METHOD, MADELEINEConfig, attention_on_signal, draw_patches
from engine.objectives.transport import graph_transport
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice, Similarity
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.rng import Rng

STAINS = ("HE", "KI67", "PGR")


def schema(width: int = 6, stains: tuple[str, ...] = STAINS) -> Schema:
    return Schema(
        fields=(
            FieldSpec(name="bag", kind=FieldKind.BAG, shape=(None, width), dtype="float32"),
            FieldSpec(name="bag_stains", kind=FieldKind.NUMBER, shape=(None,), dtype="int64", classes=stains),
        )
    )


def cases(*stains_of_case: tuple[int, ...], size: int = 10) -> Batch:
    """Return cases with `size` patches of each of their stains, in mixed order."""
    generator = torch.Generator().manual_seed(0)
    stain = [torch.tensor(one).repeat(size)[torch.randperm(len(one) * size, generator=generator)]
             for one in stains_of_case]  # fmt: skip
    lengths = torch.tensor([len(one) for one in stain])
    flat = torch.cat(stain)
    fields = schema().fields
    features = torch.randn(len(flat), 6, generator=generator) + 10 * flat[:, None]
    return Batch(
        {"bag": Ragged(features, lengths), "bag_stains": Ragged(flat, lengths)},
        torch.arange(len(stain)),
        {"bag": fields[0], "bag_stains": fields[1]},
    )


def built(**changes: object) -> MADELEINE:
    config, problems = apply_settings(MADELEINEConfig(), METHOD.presets["tiny"].config)
    assert problems == []
    torch.manual_seed(0)
    return MADELEINE(msgspec.structs.replace(config, tokens=8, transport_tokens=4, **changes), schema()).eval()


def views_of(model: MADELEINE, batch: Batch) -> dict[str, Tensor]:
    return draw_patches(batch, model.config, Rng(0, 0, batch.index))


@pytest.mark.reference
def test_that_the_loss_is_the_sum_over_stains_of_infonce_and_transport_of_the_cases_that_have_them() -> None:
    model = built(local_weight=0.5, local_sum="sum", temperature=0.05)
    batch = cases((0, 1, 2), (0, 1), (0, 2), (0, 1, 2), (0, 1))
    views = views_of(model, batch)
    projector = model.token_projector
    assert projector is not None
    with torch.no_grad():
        found = model.step(views, 0.5)
        total = torch.zeros(())
        local = torch.zeros(())
        for stain in (1, 2):
            have = [case for case in range(5) if bool(views["present"][case, stain])]
            he = model.aggregator(views["tokens"][have, 0])
            other = model.aggregator(views["tokens"][have, stain])
            logits = F.normalize(he.vectors, dim=1) @ F.normalize(other.vectors, dim=1).T / 0.05
            target = torch.arange(len(have))
            total += (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
            left, right = (projector(one.tokens.view(len(have), 8, -1)[:, :4]) for one in (he, other))
            across, within = graph_transport(left, right)
            local += across.sum() + within.sum()
    assert_close(found.parts["global"], total, rtol=1e-4, atol=1e-5)
    assert_close(found.parts["local"], 0.5 * local, rtol=1e-4, atol=1e-5)
    assert_close(found.loss, total + 0.5 * local, rtol=1e-4, atol=1e-5)


@pytest.mark.reference
def test_that_the_paper_preset_has_the_parameters_of_the_released_layers() -> None:
    config, problems = apply_settings(MADELEINEConfig(), METHOD.presets["paper"].config)
    with torch.device("meta"):
        model = MADELEINE(config, schema(512))
        before = torch.nn.Sequential(
            torch.nn.Linear(512, 512), torch.nn.LayerNorm(512), torch.nn.Linear(512, 512), torch.nn.LayerNorm(512),
            torch.nn.Linear(512, 2048), torch.nn.LayerNorm(2048),
        )  # fmt: skip
        head = [torch.nn.Linear(512, 512), torch.nn.Linear(512, 512), torch.nn.Linear(512, 1)]
        after = [torch.nn.Linear(2048, 512), torch.nn.Linear(2048, 128)]
    expected = sum(p.numel() for p in before.parameters())
    expected += 4 * sum(p.numel() for layer in head for p in layer.parameters())
    expected += sum(p.numel() for layer in after for p in layer.parameters())
    assert problems == []
    assert sum(p.numel() for p in model.parameters()) == expected == METHOD.paper.parameters["paper"]


def test_that_a_stain_with_one_case_gives_no_loss_and_no_case_at_all_gives_zero() -> None:
    model = built(local_weight=1.0)
    one = cases((0, 1), (0, 2), (0, 2))
    both = model.step(views_of(model, one), 0.5)
    none = model.step(views_of(model, cases((0, 1), (0, 2))), 0.5)
    none.loss.backward()
    assert float(both.loss.detach()) > 0
    assert float(none.loss.detach()) == 0.0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_that_what_stands_in_for_a_missing_stain_does_not_change_the_loss() -> None:
    model = built(local_weight=1.0)
    views = views_of(model, cases((0, 1, 2), (0, 1), (0, 1, 2)))
    with torch.no_grad():
        before = model.step(views, 0.5).loss
        assert not bool(views["present"][1, 2])
        views["tokens"][1, 2] = 7.0
        assert_close(model.step(views, 0.5).loss, before)


def test_that_patches_of_a_stain_are_drawn_without_replacement_where_there_are_enough() -> None:
    model = built()
    large = views_of(model, cases((0, 1)))["tokens"]
    assert len(large[0, 1].unique(dim=0)) == 8
    assert bool((large[0, 1].mean() > 5) & (large[0, 0].mean() < 5))  # features of stain 1 lie about 10
    few = draw_patches(cases((0, 1), size=3), model.config, Rng(0, 0, torch.arange(1)))
    assert few["tokens"].shape == (1, 3, 8, 6)
    assert len(few["tokens"][0, 0].unique(dim=0)) <= 3
    assert few["present"].tolist() == [[True, True, False]]
    assert float(few["tokens"][0, 2].abs().max()) == 0.0


def test_that_stain_codes_go_to_the_rows_of_their_stain() -> None:
    model = built(stain_code=3)
    assert model.stain_codes is not None
    coded = model._coded(torch.zeros(6, 2, 6), 3)
    for row in range(6):
        assert_close(coded[row, 0, 6:], model.stain_codes.weight[row % 3])


def test_that_the_features_of_a_case_are_its_first_stain_alone() -> None:
    model = built()
    batch = cases((0, 1), (0, 2))
    members = batch.ragged("bag")
    stain = batch.ragged("bag_stains").data
    with torch.no_grad():
        expected = model.aggregator(members.data[:20][stain[:20] == 0][None]).vectors
        assert_close(model.embed(batch).pooled[:1], expected)


def test_that_the_baseline_is_the_mean_of_the_first_stains_features() -> None:
    model = built(pooling="mean of features")
    batch = cases((0, 1), (0, 2))
    bag, stain = batch.ragged("bag").data[:20], batch.ragged("bag_stains").data[:20]
    assert_close(model.embed(batch).pooled[0], bag[stain == 0].mean(dim=0))


def test_that_data_of_a_single_stain_is_refused() -> None:
    with pytest.raises(ConfigError, match="fewer than two stains"):
        MADELEINE(MADELEINEConfig(), schema(stains=("HE",)))


def test_that_retrieval_shows_every_stain_that_is_there() -> None:
    batch = cases((0, 1), (0, 2), (0, 1, 2))
    model = built()
    look = next(look for look in METHOD.inspections if look.name == "retrieval")
    with torch.no_grad():
        found = look.compute(model, batch, Choice(), model.config, Rng(0, 0, batch.index))
    assert isinstance(found, Similarity)
    assert found.columns == ("case 0 KI67", "case 2 KI67", "case 1 PGR", "case 2 PGR")
    assert found.values.shape == (3, 4)


@pytest.mark.slow
def test_that_a_step_of_the_paper_preset_is_finite() -> None:
    config, _ = apply_settings(MADELEINEConfig(), METHOD.presets["paper"].config)
    torch.manual_seed(0)
    subject = Subject.of(METHOD)
    batch = subject.batch(2)
    model = MADELEINE(config, subject.schema)
    step = model.step(draw_patches(batch, config, Rng(0, 0, batch.index)), 0.5)
    step.loss.backward()
    assert torch.isfinite(step.loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


class OneBatch:
    """A claim's data of one batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def batches(self, part: str, records: int = 0) -> list[Batch]:
        assert (part, records) == ("test", 0)
        return [self.batch]


def test_that_attention_on_signal_is_the_mean_over_cases_of_the_weights_of_their_marked_patches() -> None:
    model, batch = built(), cases((0, 1), (0, 2), (0,))
    bag, stain = batch.ragged("bag"), batch.ragged("bag_stains").data
    signal = torch.arange(len(stain)) % 4 == 0
    batch = dataclasses.replace(batch, fields={**batch.fields, "bag_signal": Ragged(signal.long(), bag.lengths)})
    with torch.no_grad():
        attended, share = attention_on_signal(model, OneBatch(batch))
        weights = model.attend(bag, stain).attention.mean(dim=1)
    expected, counted = [], []
    for case in range(3):
        he = (bag.owner == case) & (stain == 0)
        assert_close(float(weights[he].sum()), 1.0)
        expected.append(float(weights[he & signal].sum()))
        counted.append(float(signal[he].float().mean()))
    assert_close(attended, sum(expected) / 3, rtol=1e-5, atol=1e-6)
    assert_close(share, sum(counted) / 3)
