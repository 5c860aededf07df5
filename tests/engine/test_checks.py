"""The contract test itself: a method that breaks a promise is caught, and told what to do."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from engine.checks import CHECKS, Check, all_checks
from engine.contract.subject import Subject
from engine.errors import MethodError
from engine.method import Features, Method, Step
from engine.methods import mae
from engine.methods.mae import MAE
from engine.protocol.schema import FieldKind, Need


def broken(**changes: object) -> Method:
    return dataclasses.replace(mae.METHOD, **changes)


def failure(check: str, method: Method) -> str:
    with pytest.raises(MethodError) as caught:
        CHECKS[check](method)
    return str(caught.value)


class Wrapped(nn.Module):
    """An MAE with one habit that the contract forbids."""

    def __init__(self, config: object, schema: object) -> None:
        super().__init__()
        self.inner = MAE(config, schema)
        self.seen = 0

    def step(self, views: object, progress: float) -> Step:
        return self.inner.step(views, progress)

    def embed(self, batch: object) -> Features:
        return self.inner.embed(batch)


class Unused(Wrapped):
    def __init__(self, config: object, schema: object) -> None:
        super().__init__(config, schema)
        self.forgotten = nn.Linear(3, 3)


class Forgetful(Wrapped):
    """Keeps state outside of buffers."""

    def step(self, views: object, progress: float) -> Step:
        self.seen += 1
        loss = self.inner.step(views, progress).loss * (1 + 0.01 * self.seen)
        return Step(loss, {"all": loss})


class Collapsed(Wrapped):
    def embed(self, batch: object) -> Features:
        features = self.inner.embed(batch)
        return Features(torch.ones_like(features.pooled))


class Neighbourly(Wrapped):
    def embed(self, batch: object) -> Features:
        pooled = self.inner.embed(batch).pooled
        return Features(pooled - pooled.mean(dim=0))


class Stuck(Wrapped):
    def step(self, views: object, progress: float) -> Step:
        loss = 3.0 + 1e-6 * self.inner.step(views, progress).loss
        return Step(loss, {"all": loss})


class Divided(Wrapped):
    def step(self, views: object, progress: float) -> Step:
        loss = self.inner.step(views, progress).loss
        return Step(loss, {"half": loss / 2})


class Fixed(Wrapped):
    def step(self, views: object, progress: float) -> Step:
        loss = self.inner.step(views, progress).loss * torch.ones(1, device="cpu").repeat(2).mean(dim=0, keepdim=True)
        return Step(loss.squeeze(), {"all": loss.squeeze()})


@pytest.mark.parametrize(
    ("check", "model", "words"),
    [
        ("gradients", Unused, "No gradient reaches forgotten"),
        ("resumes", Forgetful, "after resuming"),
        ("no-collapse", Collapsed, "differ by"),
        ("embed", Neighbourly, "depends on its batch neighbours"),
        ("learns", Stuck, "30 steps brought the loss"),
        ("loss", Divided, "add up to"),
        ("device", Fixed, "input on meta"),
    ],
)
def test_that_a_model_that_breaks_a_promise_is_caught(check: str, model: type[nn.Module], words: str) -> None:
    assert words in failure(check, broken(model=model))


def test_that_views_from_the_global_random_state_are_caught() -> None:
    def views(batch: object, config: object, rng: object) -> dict[str, Tensor]:
        found = mae.masked_crop(batch, config, rng)
        return found | {"image": found["image"] + torch.rand(())}

    assert "global random state" in failure("views", broken(views=views))


def test_that_a_record_without_the_paper_preset_is_caught() -> None:
    assert "no preset 'paper'" in failure(
        "record", broken(presets={"tiny": mae.METHOD.presets["tiny"], "small": mae.METHOD.presets["small"]})
    )


def test_that_an_id_unlike_the_file_is_caught() -> None:
    assert "does not match the file" in failure("record", broken(id="mea"))


def test_that_a_preset_out_of_range_is_caught() -> None:
    presets = dict(mae.METHOD.presets) | {
        "small": dataclasses.replace(mae.METHOD.presets["small"], config={"mask_share": 2.0})
    }
    assert "Mask share must be" in failure("config", broken(presets=presets))


def test_that_a_known_failure_travels_with_its_check() -> None:
    found = {check.name: check for check in all_checks(broken(known_failures={"learns": "too slow"}))}
    assert found["learns"].known_failure == "too slow"
    assert found["embed"].known_failure == ""


def test_that_every_check_says_what_it_promises() -> None:
    checks: tuple[Check, ...] = all_checks(mae.METHOD)
    assert all(check.what.endswith(".") for check in checks)
    assert str(checks[0]) == "mae-record"


@pytest.mark.parametrize("kind", [FieldKind.VOLUME, FieldKind.CLIP, FieldKind.POINTS, FieldKind.TEXT, FieldKind.BAG])
def test_that_example_records_of_any_kind_are_the_same_in_every_batch(kind: FieldKind) -> None:
    method = broken(needs=(Need(kinds=(kind,)),))
    subject = Subject.of(method)
    many, few = subject.batch(3), subject.batch(1, first=2)
    if kind is FieldKind.TEXT:
        assert many.texts["text"][2] == few.texts["text"][0]
    else:
        assert torch.equal(many.ragged(str(kind)).data[-len(few.ragged(str(kind)).data) :], few.ragged(str(kind)).data)


def _flat_views(batch: object, config: object, rng: object) -> dict[str, Tensor]:
    """Return views of a bag as its rows one after another, and how many each record has."""
    bag = batch.ragged("bag")
    noise = rng.normal(1, 1)[bag.owner, 0]
    return {"members": bag.data + noise, "members_lengths": bag.lengths}


def _padded_views(batch: object, config: object, rng: object) -> dict[str, Tensor]:
    rows, inside = batch.ragged("bag").padded()
    return {"members": rows + rng.normal(1, 1), "inside": inside}


@pytest.mark.parametrize("views", [_flat_views, _padded_views])
def test_that_views_of_records_of_any_length_keep_the_contract(views: object) -> None:
    CHECKS["views"](broken(needs=(Need(kinds=(FieldKind.BAG,)),), views=views, stages=()))


def test_that_flat_views_without_lengths_and_views_padded_with_neighbours_are_caught() -> None:
    needs = (Need(kinds=(FieldKind.BAG,)),)

    def without(batch: object, config: object, rng: object) -> dict[str, Tensor]:
        return {"members": _flat_views(batch, config, rng)["members"]}

    def mixed(batch: object, config: object, rng: object) -> dict[str, Tensor]:
        rows = _padded_views(batch, config, rng)["members"]
        return {"members": rows - rows.mean()}

    assert "members_lengths" in failure("views", broken(needs=needs, views=without, stages=()))
    assert "neighbours" in failure("views", broken(needs=needs, views=mixed, stages=()))


def test_that_what_breaks_without_an_optional_field_is_caught() -> None:
    def greedy(batch: object, config: object, rng: object) -> dict[str, Tensor]:
        return {"picture": rng.normal(1, 1), "label": batch["label"]}

    needs = (*mae.METHOD.needs, Need(kinds=(FieldKind.LABEL,), optional=True))
    with pytest.raises(KeyError, match="label"):
        CHECKS["views"](broken(needs=needs, views=greedy, stages=()))
