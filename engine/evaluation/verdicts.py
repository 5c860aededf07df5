"""Verdicts on a run while it trains: from the numbers of its quality curve to sentences with evidence and remedies.

A single bad reading may be the start of training; most verdicts want two in a row. What kNN can read has not collapsed:
features that share one strong direction look flat and can still tell classes apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.evaluation.health import COLLAPSED_RANK, COLLAPSED_SPREAD
from engine.protocol.evaluations import Evidence, Verdict
from engine.protocol.messages import MetricsRow

FEW_DIRECTIONS = 0.05  # of the width
LOST_DIRECTIONS = 1 / 3  # of those at the first reading
FEW_PROTOTYPES = 4  # effectively in use
FEWEST_TO_JUDGE = 16  # prototypes or dimensions, below which few in use mean nothing
SAME_TEACHER = 1e-6  # relative distance of the parameters
WORSE_LOSS = 2.0  # times the first one
SOLVED_LOSS = 0.02  # of the first one
FALLING_LOSS = 0.9  # of that at the best reading
LOST_ACCURACY = 0.05
LOST_RANK = 0.5


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers after one step: of the quality curve, and the newest and first loss, where there is one."""

    step: int
    values: Mapping[str, float]  # "quality/…"
    loss: float | None = None
    first_loss: float | None = None
    is_finite: bool = True

    def value(self, name: str) -> float | None:
        """Return a quality number, or None."""
        return self.values.get(f"quality/{name}")

    @property
    def reads(self) -> bool:
        """Whether kNN is far above chance."""
        low, chance = self.value("knn_low"), self.value("chance")
        return low is not None and chance is not None and low > 1.5 * chance


Rule = Callable[[Sequence[Reading]], Verdict | None]
"""(readings, oldest first, at least one) → what is wrong at the newest."""


def collapse(readings: Sequence[Reading]) -> Verdict | None:
    """Different records get nearly the same features."""
    now = readings[-1]
    spread, rank, width = (now.value(name) for name in ("spread", "rank", "width"))
    if spread is None or rank is None or width is None or now.reads:
        return None
    if spread >= COLLAPSED_SPREAD and rank >= COLLAPSED_RANK:
        return None
    return Verdict(
        kind="collapse", level="error",
        sentence=f"The representation has collapsed: different records get nearly the same features (spread "
        f"{spread:.3f}, effective rank {rank:.1f} of {width:.0f}).",
        evidence=(
            Evidence(name="spread", value=spread, limit=COLLAPSED_SPREAD),
            Evidence(name="effective rank", value=rank, limit=COLLAPSED_RANK),
        ),
        remedies=("Lower the learning rate, or raise the teacher momentum.",),
    )  # fmt: skip


def dimensional_collapse(readings: Sequence[Reading]) -> Verdict | None:
    """Features differ, but along a few directions only, and many fewer than at the start."""
    now, start = readings[-1], readings[0]
    rank, first, width = now.value("effective_rank"), start.value("effective_rank"), now.value("width")
    if rank is None or first is None or width is None or width < FEWEST_TO_JUDGE or _reads_better(now, start):
        return None
    if rank >= FEW_DIRECTIONS * width or rank >= LOST_DIRECTIONS * first or collapse(readings) is not None:
        return None
    return Verdict(
        kind="dimensional collapse", level="warn",
        sentence=f"Features use {rank:.1f} of {width:.0f} directions; at step {start.step} they used {first:.1f}. The "
        f"others carry nothing.",
        evidence=(
            Evidence(name="effective rank of centred features", value=rank, limit=FEW_DIRECTIONS * width),
            Evidence(name="at the first reading", value=first, limit=rank / LOST_DIRECTIONS),
        ),
        remedies=("Use stronger or more varied views, a wider projector, or a term that decorrelates dimensions.",),
    )  # fmt: skip


def dead_prototypes(readings: Sequence[Reading]) -> Verdict | None:
    """Nearly all records go to the same few prototypes."""
    share, count = readings[-1].value("prototypes_share"), readings[-1].value("prototypes")
    if share is None or count is None or count < FEWEST_TO_JUDGE or share * count >= FEW_PROTOTYPES:
        return None
    return Verdict(
        kind="dead prototypes", level="warn",
        sentence=f"Only about {share * count:.1f} of {count:.0f} prototypes are in use; the others are dead.",
        evidence=(Evidence(name="prototypes in use", value=share * count, limit=FEW_PROTOTYPES),),
        remedies=("Raise the teacher temperature, lower the learning rate of the first steps, or take fewer.",),
    )  # fmt: skip


_AGAINST_DIVERGENCE = ("Lower the learning rate, lengthen the warm-up, or clip gradients.",)


def not_finite(readings: Sequence[Reading]) -> Verdict | None:
    """Features are not finite."""
    now = readings[-1]
    if now.is_finite:
        return None
    sentence = f"Training diverges: features are not finite any more at step {now.step}."
    return Verdict(kind="divergence", level="error", sentence=sentence, remedies=_AGAINST_DIVERGENCE)


def divergence(readings: Sequence[Reading]) -> Verdict | None:
    """The loss stands well above its start, and features are no better."""
    now = readings[-1]
    loss, first = now.loss, now.first_loss
    if loss is None or first is None or first <= 0 or (math.isfinite(loss) and loss <= WORSE_LOSS * first):
        return None
    if _reads_better(now, readings[0]):
        return None  # against a moving target the loss may rise while features get better
    return Verdict(
        kind="divergence", level="warn", remedies=_AGAINST_DIVERGENCE,
        sentence=f"Training seems to diverge: the loss is {loss:.3g}, and was {first:.3g} at the start.",
        evidence=(Evidence(name="loss", value=loss, limit=WORSE_LOSS * first),),
    )  # fmt: skip


def copied_teacher(readings: Sequence[Reading]) -> Verdict | None:
    """The teacher is the student: a momentum of 0."""
    now, gap = readings[-1], readings[-1].value("teacher_gap")
    if gap is None or now.step == 0 or gap > SAME_TEACHER:
        return None
    return Verdict(
        kind="copied teacher", level="error",
        sentence="The teacher equals the student after every step: its targets give way at once, and both can agree on "
        "saying nothing.",
        evidence=(Evidence(name="distance of teacher and student", value=gap, limit=SAME_TEACHER),),
        remedies=("Raise the teacher momentum towards 1.",),
    )  # fmt: skip


def overfitting(readings: Sequence[Reading]) -> Verdict | None:
    """The loss goes on falling while features get worse than they were."""
    now = readings[-1]
    by_labels = now.value("knn") is not None
    name = "knn" if by_labels else "effective_rank"
    known = [each for each in readings if each.value(name) is not None]
    if len(known) < 3:
        return None
    best = max(known, key=lambda each: each.values[f"quality/{name}"])
    value, top = now.value(name), best.values[f"quality/{name}"]
    if value is None or now.loss is None or best.loss is None or best.loss <= 0 or best.step in {0, now.step}:
        return None
    if by_labels:
        high = now.value("knn_high")
        is_worse = value <= top - LOST_ACCURACY and high is not None and high < top
    else:
        is_worse = value <= LOST_RANK * top
    if not is_worse or now.loss > FALLING_LOSS * best.loss:
        return None
    was, became = (f"{top:.1%}", f"{value:.1%}") if by_labels else (f"{top:.1f}", f"{value:.1f}")
    words = "kNN accuracy" if by_labels else "effective rank"
    return Verdict(
        kind="overfitting to the task", level="warn",
        sentence=f"The network overfits to its task (the mask, the views): since step {best.step} the loss fell from "
        f"{best.loss:.3g} to {now.loss:.3g}, and the {words} from {was} to {became}.",
        evidence=(
            Evidence(name=words, value=value, limit=top),
            Evidence(name="loss", value=now.loss, limit=FALLING_LOSS * best.loss),
        ),
        remedies=(f"Take the checkpoint near step {best.step}, hide more, vary the mask or views, or add data.",),
    )  # fmt: skip


def leakage(readings: Sequence[Reading]) -> Verdict | None:
    """The task is solved, and nothing was learned by it."""
    now, start = readings[-1], readings[0]
    loss, first = now.loss, now.first_loss
    if loss is None or first is None or first <= 0 or loss > SOLVED_LOSS * first or now.step == start.step:
        return None
    name = "knn" if now.value("knn") is not None else "effective_rank"
    value, before = now.value(name), start.value(name)
    if value is None or before is None or (_reads_better(now, start) if name == "knn" else value > before):
        return None
    return Verdict(
        kind="leakage of the target", level="warn",
        sentence=f"The loss fell to {loss / first:.1%} of its start, and features are no better than untrained ones: "
        f"the answer seems to be visible in the input.",
        evidence=(
            Evidence(name="loss", value=loss, limit=SOLVED_LOSS * first),
            Evidence(name="kNN accuracy" if name == "knn" else "effective rank", value=value, limit=before),
        ),
        remedies=(
            "Look whether what must be guessed is really hidden, and not in an overlap, a border, a channel.",
        ),
    )  # fmt: skip


def _reads_better(now: Reading, start: Reading) -> bool:
    low, before = now.value("knn_low"), start.value("knn")
    return low is not None and before is not None and low > before


RULES: tuple[tuple[Rule, int], ...] = (
    (not_finite, 1),
    (copied_teacher, 1),
    (divergence, 2),
    (collapse, 2),
    (dimensional_collapse, 2),
    (dead_prototypes, 2),
    (overfitting, 2),
    (leakage, 2),
)
"""Rules, and after how many readings in a row each speaks."""


@dataclass(slots=True)
class Judge:
    """Remembers the readings of a run; says each verdict once, and once when it is over."""

    readings: list[Reading] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)
    _said: dict[str, Verdict] = field(default_factory=dict)

    def hear(self, reading: Reading) -> list[Verdict]:
        """Return what is to be said after another reading; one of a step that is known already says nothing."""
        if self.readings and reading.step <= self.readings[-1].step:
            return []
        self.readings.append(reading)
        said = []
        for rule, patience in RULES:
            name, verdict = rule.__name__, rule(self.readings)
            self._counts[name] = self._counts.get(name, 0) + 1 if verdict else 0
            if verdict is not None and self._counts[name] >= patience and name not in self._said:
                self._said[name] = verdict
                said.append(verdict)
            elif verdict is None and name in self._said:
                over = self._said.pop(name)
                sentence = f"The signs of {over.kind} are gone at step {reading.step}."
                said.append(Verdict(kind="recovered", level="ok", sentence=sentence))
        return said


def readings_of(rows: Iterable[MetricsRow]) -> list[Reading]:
    """Return the readings that stand in a run's metrics, oldest first."""
    found: list[Reading] = []
    loss: float | None = None
    first: float | None = None
    for row in rows:
        if "loss" in row.values:
            loss = row.values["loss"]
            first = loss if first is None else first
        elif "quality/rank" in row.values:
            values = {name: value for name, value in row.values.items() if value is not None}
            found.append(Reading(row.step, values, loss, first))
    return found
