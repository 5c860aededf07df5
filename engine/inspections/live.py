"""Views of a model while it trains: the same records every time, without touching the training's state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

from engine.data.batch import Batch
from engine.data.store import Dataset
from engine.errors import MethodError
from engine.evaluation.features import stratified
from engine.feeding import open_loader
from engine.inspections.generic import looks_for, view_infos
from engine.method import Look, Method
from engine.protocol.forms import FormField, apply_settings, describe_form
from engine.protocol.inspections import Choice, Inspection
from engine.protocol.messages import ViewInfo
from engine.protocol.schema import FieldKind
from engine.views.rng import Rng

SHOWN_RECORDS = 8


class LiveViews:
    """Computes a method's views for the records that a watcher chose, or for a fixed sample of eight."""

    def __init__(self, method: Method, config: Any, dataset: Dataset, *, seed: int, remembers: bool = False) -> None:
        self._method = method
        self._remembers = remembers  # the records shown last, and what views keep of them: for models that stand still
        self._held: tuple[tuple[Any, ...], Batch] | None = None
        self._looks = looks_for(method)
        self._config = config
        self._seed = seed
        self._loader = open_loader(method, config, dataset, batch_size=SHOWN_RECORDS, seed=seed, split=None, prefetch=0)
        label = dataset.schema.first(FieldKind.LABEL)
        self._classes = label.classes if label else ()
        self._labels = np.asarray(dataset.column(label.name), np.int64) if label else np.full(len(dataset), -1)
        held = dataset.select("val")
        pool = held if len(held) >= SHOWN_RECORDS else dataset.select(None)
        chosen = pool[stratified(self._labels[pool], SHOWN_RECORDS, seed)]
        self._sample = np.random.default_rng(seed).permutation(chosen)
        self._records = len(dataset)

    @property
    def available(self) -> tuple[ViewInfo, ...]:
        """What can be asked for; the embedding map comes with each evaluation, not from here."""
        return tuple(info for info in view_infos(self._method) if info.name in self._looks)

    def compute(self, model: nn.Module, view: str, choice: Choice, step: int) -> Inspection:
        """Return one view of `model` as it is after `step`. Training mode, gradients and random state are kept.

        Raises:
            MethodError: there is no such view, or this encoder cannot give it.
        """
        look = self._looks.get(view)
        if look is None:
            raise MethodError(f"There is no view {view!r}.", f"Known: {', '.join(self._looks)}.")
        wanted = [record for record in choice.records if 0 <= record < self._records]
        records = np.asarray(wanted, np.int64) if wanted else self._sample[: max(1, min(choice.count, SHOWN_RECORDS))]
        config = _steered(look, self._config, choice)
        draw = choice.mask_seed if look.windows == "random" else None
        batch = self._batch(model, records, draw, step)
        # the mask depends on record and seed alone, so that one picture can be followed through the steps
        rng = Rng(self._seed, choice.mask_seed, batch.index, choice.hidden if look.takes_mask else ())
        modes = [(module, module.training) for module in model.modules()]
        state = torch.random.get_rng_state()
        model.eval()
        try:
            with torch.no_grad():
                inspection = look.compute(model, batch, choice, config, rng)
        finally:
            torch.random.set_rng_state(state)
            for module, mode in modes:
                module.training = mode
        values: dict[str, Any] = {"step": step, "view": view, "takes_mask": look.takes_mask}
        if look.steers:
            values["steering"] = _steering(look, config)
        labels = getattr(inspection, "labels", None)
        if isinstance(labels, tuple) and not labels and self._classes:  # maps have an array of their own
            values["labels"] = class_names(inspection, records, self._labels, self._classes)
        return msgspec.structs.replace(inspection, **values)

    def _batch(self, model: nn.Module, records: Any, draw: int | None, step: int) -> Batch:
        key = (id(model), step, draw, *records.tolist())
        if self._held is not None and self._held[0] == key:
            return self._held[1]
        batch = self._loader.at(records, draw=draw).to(next(model.parameters()).device)
        if self._remembers:
            batch = replace(batch, remembered={}, others=partial(self._others, next(model.parameters()).device))
            self._held = key, batch
        return batch

    def _others(self, device: torch.device, count: int) -> Iterator[Batch]:
        chosen = np.linspace(0, self._records - 1, min(count, self._records)).round().astype(np.int64)
        for start in range(0, len(chosen), SHOWN_RECORDS):
            yield self._loader.at(chosen[start : start + SHOWN_RECORDS]).to(device)


def _steered(look: Look, config: Any, choice: Choice) -> Any:
    """Return the settings with those that a watcher chose.

    Raises:
        MethodError: the view does not steer one of them, or its value does not fit.
    """
    if not choice.settings:
        return config
    for name, _ in choice.settings:
        if name not in look.steers:
            raise MethodError(f"{look.title} does not steer the setting {name!r}.", f"It steers {look.steers}.")
    changed, problems = apply_settings(config, dict(choice.settings))
    if problems:
        raise MethodError(" ".join(problem.message for problem in problems), "Choose another value.")
    return changed


def _steering(look: Look, config: Any) -> tuple[FormField, ...]:
    fields = {field.name: field for field in describe_form(type(config))}
    return tuple(msgspec.structs.replace(fields[name], default=getattr(config, name)) for name in look.steers)


def class_names(
    inspection: Inspection, records: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], classes: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the class of each record that an inspection shows, "" where it has none; none where it shows no records.

    Args:
        inspection: tells its records, or else shows those it was asked for.
        records: that it was asked for.
        labels: (N,) of all records, -1 = none.
        classes: of the dataset.
    """
    shown = np.atleast_1d(getattr(inspection, "records", records))
    return tuple(classes[label] if label >= 0 else "" for label in labels[shown])
