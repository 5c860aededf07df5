"""How a method must behave when its features and views are asked for, and on which device it works."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.contract.subject import Subject
from engine.errors import MethodError
from engine.inspections.generic import GENERIC_LOOKS, looks_for
from engine.method import Features, Look, Method, Step
from engine.protocol.inspections import Attention, Choice, Inspection, Reconstruction
from engine.views.rng import Rng


def check_embed(method: Method) -> None:
    """Features have the promised shapes, do not depend on batch neighbours, and leave nothing behind."""
    for subject in Subject.each(method):
        _check_embed(subject)


def _check_embed(subject: Subject) -> None:
    model = subject.models()[-1].eval()
    before = _state(model)
    with torch.no_grad():
        many: Features = model.embed(subject.shown(4))  # type: ignore[operator]
        few: Features = model.embed(subject.shown(2))  # type: ignore[operator]
    if many.pooled.ndim != 2 or len(many.pooled) != 4:
        raise MethodError(f"`pooled` of 4 records has shape {tuple(many.pooled.shape)}.", "Return (B, E).")
    if many.dense is not None:
        if many.dense.ndim != 3 or many.dense.shape[1] != int(np.prod(many.grid)):
            raise MethodError(f"`dense` is {tuple(many.dense.shape)} on a grid {many.grid}.", "Return (B, N, E).")
        places = 0 if few.dense is None else few.dense.shape[1]  # less than for four where it is padded to the longest
        if places < many.dense.shape[1] and many.lengths is None:
            raise MethodError("`dense` has more places for four records than for two.", "Say how many in `lengths`.")
        _check_neighbours(_inside(many)[:2, :places], _inside(few), "dense")
    _check_neighbours(many.pooled[:2], few.pooled, "pooled")
    if (name := _changed(before, _state(model))) is not None:
        raise MethodError(f"`embed` changes {name}.", "Looking must not change the model.")
    if any(parameter.grad is not None for parameter in model.parameters()):
        raise MethodError("`embed` leaves gradients behind.", "")


def _inside(features: Features) -> Tensor:
    """Return dense features (B, N, E) with 0 where a record has no place."""
    dense = features.dense
    assert dense is not None
    if features.lengths is None:
        return dense
    inside = torch.arange(dense.shape[1], device=dense.device) < features.lengths[:, None]
    return dense.masked_fill(~inside[..., None], 0.0)


def _check_neighbours(many: Tensor, few: Tensor, name: str) -> None:
    if many.shape != few.shape or not torch.isfinite(many).all() or not torch.allclose(many, few, atol=1e-4, rtol=1e-4):
        raise MethodError(
            f"`{name}` of a record depends on its batch neighbours, or is not finite.",
            "Use evaluation statistics and normalise per record.",
        )


def check_inspections(method: Method) -> None:
    """Every view has its declared kind and finite values, and changes neither model nor random state."""
    for subject in Subject.each(method):
        _check_looks(subject, method)


def _check_looks(subject: Subject, method: Method) -> None:
    model = subject.models()[-1].eval()
    for look in looks_for(method).values():
        before, state = _state(model), torch.random.get_rng_state()
        batch = subject.batch(3) if look.windows == "random" else subject.shown(3)
        rng = Rng(0, 0, batch.index)
        try:
            with torch.no_grad():
                inspection = look.compute(model, batch, Choice(), subject.config, rng)
        except MethodError:
            # a generic one may say that this encoder has no attention or no places, others that a field is missing
            if look in GENERIC_LOOKS or not subject.has_everything:
                continue
            raise
        _check_inspection(look, inspection)
        if (name := _changed(before, _state(model))) is not None:
            raise MethodError(f"View {look.name!r} changes {name}.", "Looking must not change the model.")
        if model.training or not torch.equal(state, torch.random.get_rng_state()):
            raise MethodError(f"View {look.name!r} changes mode or random state.", "Draw from the `rng` it is given.")


def _check_inspection(look: Look, inspection: Inspection) -> None:
    if type(inspection) is not look.kind:
        raise MethodError(f"View {look.name!r} is a {type(inspection).__name__}, not a {look.kind.__name__}.", "")
    if inspection.view != look.name or inspection.step != 0:
        raise MethodError(f"View {look.name!r} calls itself {inspection.view!r}, step {inspection.step}.", "")
    for name in inspection.__struct_fields__:
        value = getattr(inspection, name)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            raise MethodError(f"{name} of view {look.name!r} holds values that are not finite.", "")
    if isinstance(inspection, Attention):
        sums = inspection.weights.sum(axis=-1) + inspection.prefix
        if not np.allclose(sums, 1, atol=1e-3):
            raise MethodError(f"Attention of view {look.name!r} sums to {sums.min():.3f} … {sums.max():.3f}.", "")
    if isinstance(inspection, Reconstruction):
        pictures = np.concatenate([inspection.input.ravel(), inspection.output.ravel()])
        if pictures.min() < 0 or pictures.max() > 1:
            raise MethodError(f"Pictures of view {look.name!r} leave 0…1.", "Undo the normalisation and clamp.")


def check_device(method: Method) -> None:
    """Every tensor is created on the device of the input: shown on `meta`, and on a GPU where there is one."""
    subject = Subject.of(method)
    devices = ["meta", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for stage, model in zip(subject.stages, subject.models(), strict=True):
            batch = subject.batch(4)
            views = {name: view.to(device) for name, view in subject.views(stage, batch).items()}
            model.to(device)
            step: Step = _on_device(device, "step", lambda m=model, v=views: m.step(v, 0.5))  # type: ignore[misc]
            step.loss.backward()  # type: ignore[no-untyped-call]
            if hasattr(model, "after_update"):
                _on_device(device, "after_update", lambda m=model: m.after_update(0.5))  # type: ignore[misc]
            model.eval()
            with torch.no_grad():
                features: Features = _on_device(device, "embed", functools.partial(_embed_on, device, model, subject))  # type: ignore[misc]
            if features.pooled.device.type != device or step.loss.device.type != device:
                raise MethodError(f"Results for input on {device} lie on {features.pooled.device}.", "")
            if device == "cuda":
                on_gpu = subject.views(stage, batch.to(device))
                if any(view.device.type != device for view in on_gpu.values()):
                    raise MethodError("Views of a batch on the GPU lie elsewhere.", "Create tensors on `rng`'s device.")


def _embed_on(device: str, model: nn.Module, subject: Subject) -> Any:
    return model.embed(subject.shown(4).to(device))  # type: ignore[operator]


def _on_device(device: str, what: str, compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except (RuntimeError, NotImplementedError) as error:
        raise MethodError(
            f"`{what}` fails with input on {device}: {str(error).splitlines()[0]}",
            "Create tensors on the device of the input, and do not read values back (`item`, `if tensor`).",
        ) from error


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> str | None:
    return next((name for name, value in before.items() if not torch.equal(value, after[name])), None)
