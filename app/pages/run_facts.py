"""What is said of a run in words: its name, how far it is, why it stopped. No widgets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath

from app.widgets.numbers import count, duration, number
from engine.protocol.messages import MethodInfo, RunSummary

ACTIVE = frozenset({"starting", "training", "paused", "stopping"})
RESUMABLE = frozenset({"interrupted", "failed", "stopped"})
ENDED = frozenset({"finished", "stopped", "failed", "interrupted"})
SPEED_KEYS = ("samples_per_s", "samples_per_second", "speed/samples_per_second")


def method_title(summary: RunSummary, methods: Mapping[str, MethodInfo]) -> str:
    """Return the method's title, or its id where it is not known."""
    method = methods.get(summary.spec.method)
    return method.title if method else summary.spec.method


def dataset_name(summary: RunSummary) -> str:
    """Return the name of the dataset: its file's name without ending."""
    path = summary.spec.dataset
    flavour: type[PurePath] = PureWindowsPath if "\\" in path else PurePosixPath
    return flavour(path).stem


def run_title(summary: RunSummary, methods: Mapping[str, MethodInfo]) -> str:
    """Return "CAE · textures · #3"."""
    tail = summary.run.rsplit("-", 1)[-1]
    last = f" · #{tail}" if tail.isdigit() else ""
    return f"{method_title(summary, methods)} · {dataset_name(summary)}{last}"


def batch_size(summary: RunSummary) -> int:
    """Return how many records a step sees."""
    value = summary.spec.training.get("batch_size", 1)
    return max(1, int(value)) * max(1, int(summary.spec.training.get("accumulate", 1)))


def samples_per_second(summary: RunSummary) -> float | None:
    """Return the newest measured speed, or None."""
    return next((value for key in SPEED_KEYS if (value := summary.latest.get(key))), None)


def step_seconds(summary: RunSummary) -> float | None:
    """Return how long a step takes, or None while nothing is measured."""
    speed = samples_per_second(summary)
    if speed:
        return batch_size(summary) / speed
    return summary.seconds / summary.step if summary.step > 0 and summary.seconds > 5 else None


def seconds_left(summary: RunSummary) -> float | None:
    """Return how long the rest will take, or None while nothing is measured."""
    each = step_seconds(summary)
    return None if each is None or summary.step >= summary.steps else each * (summary.steps - summary.step)


def record_word(summary: RunSummary, methods: Mapping[str, MethodInfo]) -> str:
    """Return what a method's records are called, in the plural."""
    method = methods.get(summary.spec.method)
    kinds = [kind for need in method.needs[:1] for kind in need.kinds[:1]] if method else []
    return {"image": "images", "channels": "images", "volume": "volumes", "clip": "clips"}.get(
        str(kinds[0]) if kinds else "", "records"
    )


def progress_line(summary: RunSummary, methods: Mapping[str, MethodInfo]) -> str:
    """Return "step 1 240 of 5 000 · 312 images/s · 12 min 51 s left · saved at step 1 200"."""
    parts = [f"step {count(summary.step)} of {count(summary.steps)}"]
    if summary.state == "queued":
        parts = ["waits for a free device", f"{count(summary.steps)} steps"]
    elif summary.state in ACTIVE:
        speed, left = samples_per_second(summary), seconds_left(summary)
        if speed:
            parts.append(f"{number(speed, 0 if speed >= 10 else 1)} {record_word(summary, methods)}/s")
        if left is not None and summary.state == "training":
            parts.append(f"{duration(left)} left")
    elif summary.seconds > 0:
        parts.append(f"trained for {duration(summary.seconds)}")
    if summary.saved_step >= 0:
        parts.append(f"saved at step {count(summary.saved_step)}")
    elif summary.state in ENDED:
        parts.append("nothing saved")
    return " · ".join(parts)


def unsaved_steps(summary: RunSummary) -> int:
    """Return how many steps would be lost if the run ended now without saving."""
    return max(0, summary.step - max(summary.saved_step, 0))


def banner(summary: RunSummary) -> tuple[str, str, str]:
    """Return level, sentence and button of the banner of an interrupted or failed run; "" = none.

    The sentence says what happened, to what, and what to do.
    """
    if summary.state not in {"interrupted", "failed"}:
        return "", "", ""
    at = f"at step {count(summary.step)} of {count(summary.steps)}"
    if summary.state == "interrupted":
        what = f"This run was interrupted {at}: its process ended without a word."
    elif summary.failure is not None:
        what = f"This run failed {at}: {summary.failure.message}"
    else:
        what = f"This run failed {at}."
    if summary.saved_step >= 0:
        lost = summary.step - summary.saved_step
        kept = f"Everything up to step {count(summary.saved_step)} is saved"
        kept += f"; {count(lost)} steps are done again." if lost > 0 else "."
        button = f"Resume from step {count(summary.saved_step)}"
    else:
        kept, button = "Nothing was saved yet, so it begins again.", "Start again from step 0"
    hint = summary.failure.hint if summary.failure is not None and summary.state == "failed" else ""
    return ("warn" if summary.state == "interrupted" else "error"), f"{what} {hint} {kept}".replace("  ", " "), button


def deletion_text(summary: RunSummary, methods: Mapping[str, MethodInfo]) -> str:
    """Return what deleting a run would lose, as a sentence."""
    title = run_title(summary, methods)
    saved = f"its checkpoints up to step {count(summary.saved_step)}" if summary.saved_step >= 0 else "no checkpoint"
    trained = duration(summary.seconds) if summary.seconds > 0 else "no training"
    return f"{title} has {saved}, {trained} of training and its curves and views. It goes to the workspace's bin."
