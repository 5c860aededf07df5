"""How a method must behave while it trains: views, loss, gradients, learning, determinism, resuming."""

from __future__ import annotations

import copy
import functools
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.contract.subject import Subject, build_optimiser, train
from engine.data.batch import Ragged
from engine.errors import MethodError
from engine.method import Method, Stage, Step, Views

LARGEST_TINY = 2_000_000
SPREAD_OF_THE_LIVING = 0.01


def check_views(method: Method) -> None:
    """Views are tensors of whole batches, a pure function of (batch, config, rng), record by record."""
    for subject in Subject.each(method):
        for stage in subject.stages:
            _check_views(subject, stage)


def _check_views(subject: Subject, stage: Stage) -> None:
    batch = subject.batch(4)
    before = {key: _flat(value).clone() for key, value in batch.fields.items()}
    state = torch.random.get_rng_state()
    views = subject.views(stage, batch)
    again, small = subject.views(stage, batch), subject.views(stage, subject.batch(2))
    other = subject.views(stage, subject.batch(4, draw=1), step=1)
    if not torch.equal(state, torch.random.get_rng_state()):
        raise MethodError("The views draw from the global random state.", "Take all randomness from `rng`.")
    if any(
        not torch.equal(
            before[key],
            _flat(value),
        )
        for key, value in batch.fields.items()
    ):
        raise MethodError("The views change the batch in place.", "Make new tensors.")
    if not views:
        raise MethodError("There are no views.", "Return at least one named tensor.")
    for name, view in views.items():
        rows = _rows_of_two(name, views, len(batch))
        if view.is_floating_point() and view.dtype != torch.float32:
            raise MethodError(f"View {name!r} is {view.dtype}.", "Views are float32, integers or bool.")
        if view.is_floating_point() and not bool(torch.isfinite(view).all()):
            raise MethodError(f"View {name!r} holds values that are not finite.", "")
        if not torch.equal(view, again[name]):
            raise MethodError(f"View {name!r} differs between two calls with one rng.", "Use nothing but `rng`.")
        if not _close(*_common(view[:rows], small[name])):
            raise MethodError(f"View {name!r} of a record depends on its batch neighbours.", "Draw per record.")
    if all(torch.equal(view, other[name]) for name, view in views.items() if view.shape == other[name].shape):
        raise MethodError("Views are the same at every step.", "Draw them from `rng`.")


def _rows_of_two(name: str, views: Views, records: int) -> int:
    """Return how many rows of a view belong to the first two records."""
    view = views[name]
    if len(view) == records:
        return 2
    lengths = views.get(f"{name}_lengths", views.get("lengths"))
    if lengths is None or len(lengths) != records or int(lengths.sum()) != len(view):
        raise MethodError(
            f"View {name!r} has {len(view)} rows for {records} records.",
            f"The first axis is the batch; or give the rows of each record as {name}_lengths.",
        )
    return int(lengths[:2].sum())


def _common(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return the part that two tensors have in common: what is padded to the longest differs in size."""
    shared = tuple(slice(min(sides)) for sides in zip(left.shape, right.shape, strict=True))
    return left[shared], right[shared]


def check_loss(method: Method) -> None:
    """The loss is a finite float32 scalar, the sum of its parts, at batch 2 and 8, in float32 and bfloat16."""
    for subject in Subject.each(method):
        _check_loss(subject)


def _check_loss(subject: Subject) -> None:
    for stage, model in zip(subject.stages, subject.models(), strict=True):
        size = sum(parameter.numel() for parameter in model.parameters())
        if size > LARGEST_TINY:
            raise MethodError(
                f"The tiny preset has {size:,} parameters.", "Stay under 2 M: it must run on any computer."
            )
        for count, precision in itertools.product((2, 8), (torch.float32, torch.bfloat16)):
            views = subject.views(stage, subject.batch(count))
            with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
                step: Step = model.step(views, 0.5)  # type: ignore[operator]
            where = f"at batch {count} in {str(precision).removeprefix('torch.')}"
            _check_step(step, where)


def _check_step(step: Step, where: str) -> None:
    loss = step.loss
    if loss.shape != () or loss.dtype != torch.float32 or not bool(torch.isfinite(loss)):
        raise MethodError(f"The loss {where} is {loss!r}, not a finite float32 scalar.", "")
    total = sum(float(part.detach()) for part in step.parts.values())
    if not step.parts or abs(total - float(loss.detach())) > 1e-3 * max(1.0, abs(total)):
        raise MethodError(f"The parts {where} add up to {total:g}, the loss is {float(loss.detach()):g}.", "")
    for name, value in step.monitors.items():
        if value.requires_grad or value.shape != () or not bool(torch.isfinite(value)):
            raise MethodError(f"Monitor {name!r} {where} is {value!r}, not a detached finite scalar.", "")


def check_gradients(method: Method) -> None:
    """Every trainable parameter gets a finite gradient at some time of the run, and no frozen one ever gets any."""
    subject = Subject.of(method)
    for stage, model in zip(subject.stages, subject.models(), strict=True):
        reached: set[str] = set()
        for progress in (0.0, 0.5, 1.0):
            model.zero_grad(set_to_none=True)
            step: Step = model.step(subject.views(stage, subject.batch(8)), progress)  # type: ignore[operator]
            step.loss.backward()  # type: ignore[no-untyped-call]
            for name, parameter in model.named_parameters():
                gradient = parameter.grad
                if gradient is None or not bool(gradient.any()):
                    continue
                if not parameter.requires_grad:
                    raise MethodError(f"The frozen parameter {name} gets a gradient.", "Detach what is not trained.")
                if not bool(torch.isfinite(gradient).all()):
                    raise MethodError(f"The gradient of {name} is not finite.", "")
                reached.add(name)
        missed = [
            name for name, parameter in model.named_parameters() if parameter.requires_grad and name not in reached
        ]
        if missed:
            raise MethodError(
                f"No gradient reaches {', '.join(missed[:5])}{' …' if len(missed) > 5 else ''}.",
                "Use it, remove it, or set requires_grad to False.",
            )


def check_learns(method: Method) -> None:
    """30 steps on one fixed batch lower the loss (or the monitor declared instead) by the declared share."""
    for losses, _ in _trained_on_one_batch(method).stages:
        start, end = losses[0], sum(losses[-3:]) / 3
        if end > start * (1 - method.learns_share):
            raise MethodError(
                f"30 steps brought {method.learns_monitor or 'the loss'} from {start:.4g} to {end:.4g}, "
                f"less than {method.learns_share:.0%} down.",
                "Look at the gradients, or declare a smaller `learns_share` with a reason.",
            )


def check_no_collapse(method: Method) -> None:
    """After 30 steps on one batch, the features of different records still differ."""
    trained = _trained_on_one_batch(method)
    for _, model in trained.stages:
        with torch.no_grad():
            pooled: Tensor = model.embed(trained.subject.shown(8)).pooled.float()  # type: ignore[operator]
        spread = float((pooled - pooled.mean(dim=0)).norm() / pooled.norm().clamp_min(1e-12))
        if spread < SPREAD_OF_THE_LIVING:
            raise MethodError(f"Features of different records differ by {spread:.2%} of their length.", "It collapsed.")


def check_deterministic(method: Method) -> None:
    """Two runs with one seed have the same five losses, bit by bit."""
    subject = Subject.of(method)
    for number, stage in enumerate(subject.stages):
        runs = []
        for _ in range(2):
            model = subject.models()[number]
            batch = subject.batch(4)
            views_at = functools.partial(subject.views, stage, batch)
            runs.append(train(model, build_optimiser(model), views_at, range(5)))
        if runs[0] != runs[1]:
            raise MethodError(f"Two runs of {stage.name} with one seed differ: {runs[0]} and {runs[1]}.", "")


def check_resumes(method: Method) -> None:
    """Training 6 steps equals training 3, saving, loading into a fresh model, and training 3 more."""
    subject = Subject.of(method)
    for number, stage in enumerate(subject.stages):
        batch = subject.batch(4)
        views_at = functools.partial(subject.views, stage, batch)
        whole = subject.models()[number]
        optimiser = build_optimiser(whole)
        train(whole, optimiser, views_at, range(3))
        saved = copy.deepcopy((whole.state_dict(), optimiser.state_dict()))
        expected = train(whole, optimiser, views_at, range(3, 6))
        # another seed: what is not in the checkpoint shows
        fresh = subject.models(seed=1)[number]
        resumed_optimiser = build_optimiser(fresh)
        fresh.load_state_dict(saved[0])
        resumed_optimiser.load_state_dict(saved[1])
        found = train(fresh, resumed_optimiser, views_at, range(3, 6))
        if found != expected:
            raise MethodError(
                f"{stage.name} gives {found} after resuming and {expected} without.",
                "Keep all state in parameters and buffers.",
            )
        if differing := [
            name for name, value in whole.state_dict().items() if not _same(value, fresh.state_dict()[name])
        ]:
            raise MethodError(f"After resuming, {differing[0]} differs.", "Keep all state in parameters and buffers.")


@dataclass(frozen=True, slots=True)
class _Trained:
    """A method after 30 steps on one batch: of each stage the losses and the model, in evaluation mode."""

    method: Method
    subject: Subject
    stages: list[tuple[list[float], nn.Module]]


_newest: list[_Trained] = []  # two checks look at the same training, one after the other


def _trained_on_one_batch(method: Method) -> _Trained:
    if not _newest or _newest[0].method is not method:
        subject = Subject.of(method)
        stages = []
        for stage, model in zip(subject.stages, subject.models(), strict=True):
            stages.append((_train_on_one_batch(subject, stage, model), model.eval()))
        _newest[:] = [_Trained(method, subject, stages)]
    return _newest[0]


def _train_on_one_batch(subject: Subject, stage: Stage, model: nn.Module) -> list[float]:
    views = subject.views(stage, subject.batch(8))
    return train(model, build_optimiser(model), lambda _: views, range(30), monitor=subject.method.learns_monitor)


def _flat(value: Tensor | Ragged) -> Tensor:
    return value.data if isinstance(value, Ragged) else value


def _close(left: Tensor, right: Tensor) -> bool:
    if left.is_floating_point():
        return bool(torch.allclose(left, right, atol=1e-5))
    return torch.equal(left, right)


def _same(left: Tensor, right: Tensor) -> bool:
    return (
        torch.equal(torch.nan_to_num(left), torch.nan_to_num(right))
        if left.is_floating_point()
        else torch.equal(left, right)
    )
