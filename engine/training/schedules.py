"""Learning rate and weight decay as functions of the step: no state, so that resuming needs none."""

from __future__ import annotations

import math

from engine.training.settings import TrainingSettings


def cosine(start: float, end: float, progress: float) -> float:
    """Return the value at `progress` (0…1, clamped) of half a cosine from `start` to `end`."""
    progress = min(max(progress, 0.0), 1.0)
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * progress))


def peak_learning_rate(settings: TrainingSettings, devices: int = 1) -> float:
    """Return the highest learning rate: scaled linearly with records per update where a reference batch is set."""
    if not settings.reference_batch:
        return settings.learning_rate
    per_update = settings.batch_size * settings.accumulate * devices
    return settings.learning_rate * per_update / settings.reference_batch


def learning_rate(settings: TrainingSettings, step: int, steps: int, devices: int = 1) -> float:
    """Return the learning rate of update `step` (from 0) of `steps`: linear warm-up from 0, then half a cosine.

    The first update already moves: its rate is 1/warm-up of the peak, as the rate of step 0 would be 0.
    """
    peak = peak_learning_rate(settings, devices)
    warmup = round(settings.warmup_share * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return cosine(peak, settings.final_learning_rate, (step - warmup) / max(1, steps - warmup))


def weight_decay(settings: TrainingSettings, step: int, steps: int) -> float:
    """Return the weight decay of update `step`: constant, or half a cosine to its final value."""
    if settings.final_weight_decay < 0:
        return settings.weight_decay
    return cosine(settings.weight_decay, settings.final_weight_decay, step / max(1, steps))
