"""Verdicts: what they say of sick runs, and that they are silent of healthy ones."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.evaluation.health import prototype_use, teacher_gap
from engine.evaluation.verdicts import Judge, Reading, readings_of
from engine.networks.teacher import MomentumTeacher
from engine.protocol.evaluations import Verdict
from engine.protocol.messages import MetricsRow

HEALTHY = {
    "rank": 30.0, "effective_rank": 28.0, "width": 64.0, "spread": 0.9, "knn": 0.5, "knn_low": 0.46, "knn_high": 0.54,
    "chance": 0.1,
}  # fmt: skip


def reading(step: int, loss: float | None = 1.0, first: float | None = 1.0, **changes: float) -> Reading:
    values = {f"quality/{name}": value for name, value in (HEALTHY | changes).items()}
    return Reading(step, values, loss, first)


def without_labels(step: int, loss: float, **changes: float) -> Reading:
    made = reading(step, loss, **changes)
    values = {name: value for name, value in made.values.items() if "knn" not in name and "chance" not in name}
    return Reading(step, values, loss, 1.0)


def said(*readings: Reading) -> list[str]:
    judge = Judge()
    return [verdict.kind for each in readings for verdict in judge.hear(each)]


def test_that_a_healthy_run_is_not_talked_about() -> None:
    course = [(0, 0.2, 20.0), (10, 0.4, 25.0), (20, 0.5, 30.0), (30, 0.55, 31.0)]
    assert not said(
        *(
            reading(step, 1 - step / 60, knn=knn, knn_low=knn - 0.04, knn_high=knn + 0.04, rank=rank, teacher_gap=0.01)
            for step, knn, rank in course
        )
    )


def test_that_collapse_is_said_at_the_second_reading_once_and_names_its_evidence() -> None:
    judge = Judge()
    flat = {"rank": 1.0, "spread": 0.001, "knn": 0.1, "knn_low": 0.08}
    assert judge.hear(reading(0, **flat)) == []
    (verdict,) = judge.hear(reading(10, **flat))
    assert (verdict.kind, verdict.level) == ("collapse", "error")
    assert {each.name: each.value for each in verdict.evidence} == {"spread": 0.001, "effective rank": 1.0}
    assert verdict.remedies
    assert judge.hear(reading(20, **flat)) == []


def test_that_flat_features_that_knn_can_read_have_not_collapsed() -> None:
    assert said(*(reading(step, rank=1.0, spread=0.001) for step in (0, 10, 20))) == []


def test_that_a_run_that_recovers_is_told_so() -> None:
    flat = {"rank": 1.0, "spread": 0.001, "knn": 0.1, "knn_low": 0.08}
    assert said(reading(0, **flat), reading(10, **flat), reading(20)) == ["collapse", "recovered"]


def test_that_directions_lost_since_the_start_are_a_dimensional_collapse() -> None:
    lost = {"effective_rank": 2.0, "knn_low": 0.4}
    assert said(reading(0), reading(10, **lost), reading(20, **lost)) == ["dimensional collapse"]


def test_that_few_directions_from_the_start_are_no_dimensional_collapse() -> None:
    assert said(*(reading(step, effective_rank=2.0) for step in (0, 10, 20))) == []


def test_that_a_few_prototypes_that_take_all_leave_the_others_dead() -> None:
    dead = {"prototypes": 256.0, "prototypes_share": 2 / 256}
    assert said(reading(10, **dead), reading(20, **dead)) == ["dead prototypes"]
    assert said(*(reading(step, prototypes=256.0, prototypes_share=0.2) for step in (10, 20))) == []


def test_that_a_loss_well_above_its_start_diverges() -> None:
    readings = [reading(step, loss, knn_low=0.4) for step, loss in ((10, 1.9), (20, 2.1), (30, 2.2))]
    assert said(reading(0, None, None), *readings) == ["divergence"]
    assert said(reading(0, None, None), *readings[:2]) == []  # once may be chance


def test_that_features_that_are_not_finite_diverge_at_once() -> None:
    bad = Reading(10, {}, 1.0, 1.0, is_finite=False)
    assert said(bad) == ["divergence"]


def test_that_a_falling_loss_with_falling_accuracy_overfits_to_the_task() -> None:
    good = reading(10, 0.8, knn=0.6, knn_low=0.56, knn_high=0.64)
    worse = [reading(step, 0.5, knn=0.5, knn_low=0.46, knn_high=0.54) for step in (20, 30)]
    assert said(reading(0, None, None, knn=0.2), good, *worse) == ["overfitting to the task"]
    same_loss = [reading(step, 0.8, knn=0.5, knn_low=0.46, knn_high=0.54) for step in (20, 30)]
    assert said(reading(0, None, None, knn=0.2), good, *same_loss) == []


def test_that_without_labels_the_rank_tells_of_overfitting() -> None:
    readings = [without_labels(0, 1.0, effective_rank=20), without_labels(10, 0.8, effective_rank=30)]
    worse = [without_labels(step, 0.5, effective_rank=12) for step in (20, 30)]
    assert said(*readings, *worse) == ["overfitting to the task"]


def test_that_a_solved_task_that_taught_nothing_leaks_its_target() -> None:
    untrained = reading(0, None, None, knn=0.3, knn_low=0.26, knn_high=0.34)
    solved = [reading(step, 0.01, knn=0.29, knn_low=0.25, knn_high=0.33) for step in (10, 20)]
    assert said(untrained, *solved) == ["leakage of the target"]
    learned = [reading(step, 0.01, knn=0.5, knn_low=0.46, knn_high=0.54) for step in (10, 20)]
    assert said(untrained, *learned) == []


class Taught(nn.Module):
    """A student, its teacher, and another network of another shape."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Linear(6, 4)
        self.teacher = MomentumTeacher(self.student)
        self.head = nn.Linear(4, 3)

    def update(self, momentum: float) -> None:
        with torch.no_grad():
            self.student.weight += 0.1
        self.teacher.update(self.student, momentum)


@pytest.mark.parametrize(("momentum", "kinds"), [(0.0, ["copied teacher"]), (0.9, [])])
def test_that_only_a_teacher_with_momentum_0_is_called_a_copy(momentum: float, kinds: list[str]) -> None:
    model, judge = Taught(), Judge()
    judge.hear(reading(0, teacher_gap=teacher_gap(model) or 0.0))
    found: list[Verdict] = []
    for step in (10, 20):
        model.update(momentum)
        gap = teacher_gap(model)
        assert gap is not None
        found += judge.hear(reading(step, teacher_gap=gap))
    assert [verdict.kind for verdict in found] == kinds


def test_that_the_gap_of_a_teacher_equals_the_relative_distance_of_all_parameters() -> None:
    model = Taught()
    model.update(0.5)

    def flat(module: nn.Module) -> Tensor:
        return torch.cat([each.detach().flatten() for each in module.parameters()])

    teacher = flat(model.teacher.network)
    expected = (teacher - flat(model.student)).norm() / teacher.norm()
    assert teacher_gap(model) == pytest.approx(float(expected), rel=1e-5)
    assert teacher_gap(model.student) is None


def test_that_equally_used_prototypes_are_all_in_use() -> None:
    model = nn.Linear(2, 2)
    assert prototype_use(model) is None
    model.register_buffer("usage", torch.tensor([0.5, 0.5, 0.0, 0.0]))
    use = prototype_use(model)
    assert use is not None
    assert (use.share, use.count) == (pytest.approx(0.5), 4)


def test_that_a_resumed_run_takes_up_its_readings_from_the_metrics() -> None:
    flat = {"quality/rank": 1.0, "quality/spread": 0.001, "quality/width": 64.0}
    rows = [
        MetricsRow(step=1, time_s=0, values={"loss": 2.0}),
        MetricsRow(step=10, time_s=1, values={"loss": 1.5}),
        MetricsRow(step=10, time_s=1, values={**flat, "quality/knn": None}),
    ]
    (known,) = readings_of(rows)
    assert (known.loss, known.first_loss) == (1.5, 2.0)
    judge = Judge()
    judge.hear(known)
    assert [verdict.kind for verdict in judge.hear(Reading(20, flat, 1.5, 2.0))] == ["collapse"]


def test_that_a_verdict_survives_the_way_through_the_events_file() -> None:
    flat: dict[str, Any] = {"rank": 1.0, "spread": 0.001, "knn": 0.1, "knn_low": 0.08}
    judge = Judge()
    judge.hear(reading(0, **flat))
    (verdict,) = judge.hear(reading(10, **flat))
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(verdict)), Verdict) == verdict
    assert np.isfinite([each.value for each in verdict.evidence]).all()


def healthy_runs() -> dict[str, list[MetricsRow]]:
    """Return what eleven runs of baselines measured, as in their metrics, thinned to the readings and their losses."""
    lines = (Path(__file__).parents[2] / "data" / "healthy-runs.jsonl").read_bytes().splitlines()
    found = [msgspec.json.decode(line) for line in lines]
    return {run["run"]: msgspec.convert(run["rows"], list[MetricsRow]) for run in found}


@pytest.mark.parametrize("name", list(healthy_runs()))
def test_that_no_healthy_baseline_raises_an_alarm(name: str) -> None:
    readings = readings_of(healthy_runs()[name])
    assert len(readings) >= 2
    assert said(*readings) == []
