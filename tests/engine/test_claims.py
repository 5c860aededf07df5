"""Claim experiments: what counts as shown, and that an experiment really trains and measures its arms."""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from engine import claims, describe
from engine.claims import SampleReader, conclude, run_claim, save_measured, t_interval
from engine.data.samples import make_sample
from engine.data.store import Dataset
from engine.errors import ConfigError, MethodError
from engine.method import Arm, Claim, Method
from engine.methods import mae
from engine.protocol.messages import ClaimResult
from engine.protocol.schema import FieldKind, Need


def claim(**changes: object) -> Claim:
    base = Claim(
        statement="First is better.",
        sample="shapescenes",
        arms=(Arm("first"), Arm("second")),
        metric=lambda model, data, config, rng: {"score": 1.0},
        primary="score",
        expected="by more than 0.1",
        margin=0.1,
    )
    return dataclasses.replace(base, **changes)


def concluded(first: list[float], second: list[float], **changes: object) -> ClaimResult:
    found = {"first": [{"score": value} for value in first], "second": [{"score": value} for value in second]}
    return conclude(mae.METHOD, claim(**changes), found, tuple(range(len(first))), seconds=1.0, device="cpu")


def test_that_the_interval_is_students() -> None:
    low, high = t_interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), rel=1e-5)


def test_that_a_large_and_steady_effect_is_shown() -> None:
    result = concluded([0.8, 0.82, 0.81], [0.5, 0.51, 0.52])
    assert (result.verdict, result.effect) == ("shown", pytest.approx(0.3))


def test_that_an_effect_below_the_margin_is_not_shown() -> None:
    assert concluded([0.56, 0.57, 0.58], [0.5, 0.51, 0.52]).verdict == "not shown"


def test_that_an_effect_that_varies_too_much_is_not_shown() -> None:
    assert concluded([0.9, 0.3, 0.8], [0.5, 0.5, 0.5]).verdict == "not shown"


def test_that_a_steady_effect_in_the_other_direction_contradicts() -> None:
    assert concluded([0.4, 0.41, 0.4], [0.5, 0.51, 0.52]).verdict == "contradicted"


def test_that_a_smaller_number_can_be_the_better_one() -> None:
    assert concluded([0.1, 0.11, 0.12], [0.5, 0.51, 0.52], higher_is_better=False).verdict == "shown"


def test_that_one_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least two seeds"):
        run_claim("mae", seeds=(0,))


def test_that_a_method_without_a_claim_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "find_method", lambda _: dataclasses.replace(mae.METHOD, claim=None))
    with pytest.raises(MethodError, match="makes no claim"):
        run_claim("mae")


def test_that_a_saved_result_reaches_the_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = msgspec.structs.replace(concluded([0.8, 0.82], [0.5, 0.51]), details={"seed": [1, 2]})
    save_measured(result, tmp_path)
    monkeypatch.setattr(describe, "CLAIMS", tmp_path)
    info = describe.describe_method(mae.METHOD)
    assert info.claim is not None
    assert info.claim.measured == result


def test_that_a_result_from_before_processor_time_was_measured_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_measured(concluded([0.8, 0.82], [0.5, 0.51]), tmp_path)
    document = msgspec.json.decode(path.read_bytes())
    del document["processor_seconds"]
    path.write_bytes(msgspec.json.encode(document))
    monkeypatch.setattr(describe, "CLAIMS", tmp_path)
    result = describe.load_measured("mae")
    assert result is not None
    assert result.processor_seconds == -1


def short(method: Method) -> Method:
    """The claim with two steps and a metric that reads both parts."""

    def metric(model: object, data: claims.SampleReader, config: object, rng: object) -> dict[str, float]:
        features, labels = data.features(model, "test", 50)
        raw = sum(len(batch) for batch in data.batches("train", 30))
        return {"score": float(features.std()), "records": float(len(labels) + raw)}

    arms = (Arm("two steps"), Arm("untrained", training={"steps": 0}))
    small = claim(metric=metric, arms=arms, sample="shapescenes", training={"steps": 2, "batch_size": 8})
    return dataclasses.replace(method, claim=small)


def test_that_an_experiment_trains_every_arm_with_every_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "find_method", lambda _: short(mae.METHOD))
    said: list[tuple[float, float, str]] = []
    result = run_claim(
        "mae",
        seeds=(3, 4),
        device="cpu",
        progress=lambda done, of, _, what: said.append((done, of, what)),
        processes=1,
    )
    trained, untrained = result.arms
    assert (trained.name, trained.seeds) == ("two steps", (3, 4))
    assert all(a != b for a, b in zip(trained.values, untrained.values, strict=True))
    assert result.details["measured"]["untrained"]["records"] == [80.0, 80.0]
    assert result.processor_seconds > 0
    assert [done for done, _, _ in said] == [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]


def test_that_a_metric_reads_any_field_of_any_choice_of_records(tmp_path: Path) -> None:
    make_sample("shapescenes", tmp_path / "s.h5")
    with Dataset.open(tmp_path / "s.h5") as dataset:
        config = mae.MAEConfig(image_px=32)
        mask = Need(kinds=(FieldKind.MASK,))
        reader = SampleReader(dataset, mae.METHOD, config, device=torch.device("cpu"), also=(mask,))
        labels = reader.column("label", "test")
        chosen = labels == labels[0]
        batch = next(reader.batches("test", 5, only=chosen))
        assert batch["mask"].shape == batch["image"][:, 0].shape
        assert np.array_equal(dataset.column("label")[batch.index.numpy()], np.full(5, labels[0]))
        model = mae.METHOD.model(config, dataset.schema)
        features, found = reader.features(model, "test", 7, only=chosen)
        assert features.shape[0] == len(found) == 7
        assert set(found.tolist()) == {int(labels[0])}
        assert len(reader.column("name", "train")) == len(dataset.select("train"))
        reader.close()
