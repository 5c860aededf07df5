"""Evaluation protocols: what a run's features are worth, always beside the same network untrained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.data.store import Dataset
from engine.errors import ConfigError, DataError
from engine.evaluation.features import embed_records
from engine.evaluation.few_shot import few_shot_auc
from engine.evaluation.health import measure_health
from engine.evaluation.intervals import bootstrap, proportion
from engine.evaluation.knn import knn_predict
from engine.evaluation.linear import logistic_probe, ridge_probe
from engine.evaluation.retrieval import recalls
from engine.inspections.opened import OpenedRun
from engine.protocol.schema import FieldKind

Progress = Callable[[float, float, str, str], None]
Classifier = Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, dict[str, Any]]]


def _knn(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> tuple[Tensor, dict[str, Any]]:
    return knn_predict(test, train, labels, classes, k=20), {"k": 20, "temperature": 0.07, "distance": "cosine"}


def _linear(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> tuple[Tensor, dict[str, Any]]:
    predicted, penalty = logistic_probe(train, labels, test, classes)
    return predicted, {"penalty": penalty, "solver": "LBFGS", "features": "standardised"}


def _ridge(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> tuple[Tensor, dict[str, Any]]:
    predicted, penalty = ridge_probe(train, labels, test, classes)
    return predicted, {"penalty": penalty, "solver": "closed form", "features": "standardised"}


CLASSIFIERS: dict[str, Classifier] = {"knn": _knn, "linear": _linear, "ridge": _ridge}
PROTOCOLS = (*CLASSIFIERS, "few-shot", "retrieval", "health")
MOST_SHOTS = 10


def evaluate_run(
    run_path: Path,
    protocol: str,
    dataset_path: str = "",
    progress: Progress | None = None,
    *,
    device: str = "auto",
    step: int | None = None,
) -> dict[str, Any]:
    """Evaluate a run's newest checkpoint; return `{run, protocol, metric, value, interval, details}`.

    Classifiers train on the records of split "train" and are tested on "val" (or "test"); `details` holds the same
    measurement of the network before its first step, chance, and counts. "few-shot" trains on ten records of each
    class (fewer where classes are small) among the held-out ones and tests on the others; "retrieval" is for models of
    images and texts.

    Raises:
        ConfigError: the protocol is unknown.
        DataError: the data has no labels or no held-out records.
        RunError: the run has no checkpoint.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"There is no protocol {protocol!r}.", f"Known: {', '.join(PROTOCOLS)}.")
    report = progress or (lambda *_: None)
    with OpenedRun(run_path, step=step, dataset_path=dataset_path, device=device) as run:
        if protocol == "health":
            return _health(run, report)
        if protocol == "few-shot":
            return _few_shot(run, report)
        if protocol == "retrieval":
            return _retrieval(run, report)
        return _classify(run, protocol, report)


def _health(run: OpenedRun, report: Progress) -> dict[str, Any]:
    indices = run.dataset.select(None)
    loader = run.loader(split=None)
    embedded = embed_records(
        run.model, loader, indices, progress=lambda done, total: report(done, total, "records", "features")
    )
    health = measure_health(torch.from_numpy(embedded.features[:5000]))
    return {
        "run": run.folder.name,
        "protocol": "health",
        "metric": "effective rank (RankMe)",
        "value": health.rank,
        "interval": [health.rank, health.rank],
        "details": {
            "width": embedded.features.shape[1],
            "records": len(embedded.features[:5000]),
            "spread": health.spread_mean,
            "uniformity": health.uniformity,
            "dead": health.dead,
            "collapsed": health.has_collapsed,
            "step": run.step,
        },
    }


def _few_shot(run: OpenedRun, report: Progress) -> dict[str, Any]:
    _, _, labels, classes = labelled_splits(run.dataset)
    held = np.concatenate([run.dataset.select("val"), run.dataset.select("test")])
    held = held[labels[held] >= 0]
    shots = max(1, min(MOST_SHOTS, int(np.unique(labels[held], return_counts=True)[1].min()) // 2))
    loader = run.loader(split=None)
    found = []
    for number, opened in enumerate((run, run.untrained())):
        report(number * len(held), 2 * len(held), "records", "trained" if number == 0 else "untrained")
        embedded = embed_records(opened.model, loader, held)
        found.append(few_shot_auc(embedded.features, labels[held], shots))
    low, high = bootstrap(found[0])
    return {
        "run": run.folder.name,
        "protocol": "few-shot",
        "metric": "area under the ROC curve",
        "value": float(found[0].mean()),
        "interval": [low, high],
        "details": {
            "step": run.step,
            "shots": shots,
            "draws": found[0].tolist(),
            "untrained": float(found[1].mean()),
            "chance": 0.5,
            "records": len(held),
            "classes": list(classes),
        },
    }


def _retrieval(run: OpenedRun, report: Progress) -> dict[str, Any]:
    model: Any = run.model
    if not hasattr(model, "pair_vectors"):
        raise ConfigError(f"{run.method.id} compares no images with texts.", "Choose another protocol.")
    held = np.concatenate([run.dataset.select("val"), run.dataset.select("test")])
    if len(held) == 0:
        raise DataError(f"{run.dataset.info.name} has no held-out records.", "Set splits on the Data page.")
    task = run.dataset.schema.get("task")
    number = np.zeros(len(run.dataset), np.int64) if task is None else np.asarray(run.dataset.column("task"))
    names = ("all",) if task is None else task.classes
    device, loader = next(model.parameters()).device, run.loader(split=None)
    found: dict[str, dict[str, float]] = {}
    for which in np.unique(number[held]).tolist():
        report(len(found), len(names), "tasks", names[which])
        batches = loader.in_order(held[number[held] == which], 256)
        with torch.no_grad():
            vectors = [model.pair_vectors(batch.to(device)) for batch in batches]
        images, texts = (torch.cat(part) for part in zip(*vectors, strict=True))
        found[names[which]] = recalls(images, texts, torch.arange(len(texts), device=device))
    means = np.array([(each["image to text R@1"] + each["text to image R@1"]) / 2 for each in found.values()])
    return {
        "run": run.folder.name,
        "protocol": "retrieval",
        "metric": "R@1, mean of both directions and all tasks",
        "value": float(means.mean()),
        "interval": [float(means.min()), float(means.max())],
        "details": {"step": run.step, "tasks": found, "interval": "worst and best task", "records": len(held)},
    }


def labelled_splits(dataset: Dataset) -> tuple[Any, Any, Any, tuple[str, ...]]:
    """Return train records, test records, all labels and the class names of a dataset.

    Raises:
        DataError: there are no labels, or too few records on one side.
    """
    spec = dataset.schema.first(FieldKind.LABEL)
    if spec is None or len(spec.classes) < 2:
        raise DataError(
            f"{dataset.info.name} has no labels to test against.",
            "Import with labels from folder names or a table, or use --protocol health.",
        )
    labels = np.asarray(dataset.column(spec.name), np.int64)
    train = dataset.select("train")
    test = dataset.select("val")
    if len(test) == 0:
        test = dataset.select("test")
    train, test = train[labels[train] >= 0], test[labels[test] >= 0]
    if len(train) == 0 or len(test) == 0:
        raise DataError(
            f"{dataset.info.name} has {len(train)} labelled training and {len(test)} labelled held-out records.",
            "Import with a validation share, or set splits on the Data page.",
        )
    return train, test, labels, spec.classes


def _classify(run: OpenedRun, protocol: str, report: Progress) -> dict[str, Any]:
    train, test, labels, classes = labelled_splits(run.dataset)
    loader = run.loader(split=None)
    truth = torch.from_numpy(labels[test])
    total = 2 * (len(train) + len(test))
    results: list[tuple[Tensor, dict[str, Any]]] = []
    for round_number, opened in enumerate((run, run.untrained())):
        offset = round_number * (len(train) + len(test))
        name = "trained" if round_number == 0 else "untrained"
        bank = embed_records(
            opened.model,
            loader,
            train,
            progress=lambda done, _, offset=offset, name=name: report(offset + done, total, "records", name),  # type: ignore[misc]
        )
        queries = embed_records(
            opened.model,
            loader,
            test,
            progress=lambda done, _, offset=offset, name=name: report(  # type: ignore[misc]
                offset + len(train) + done, total, "records", name
            ),
        )
        results.append(
            CLASSIFIERS[protocol](
                torch.from_numpy(bank.features),
                torch.from_numpy(labels[train]),
                torch.from_numpy(queries.features),
                len(classes),
            )
        )
    right = [(predicted == truth).numpy() for predicted, _ in results]
    low, high = bootstrap(right[0])
    gain = right[0].astype(np.float64) - right[1]
    gain_low, gain_high = bootstrap(gain)
    per_class = {
        name: {
            "accuracy": float(right[0][truth.numpy() == number].mean()),
            "records": int((truth == number).sum()),
        }
        for number, name in enumerate(classes)
        if bool((truth == number).any())
    }
    return {
        "run": run.folder.name,
        "protocol": protocol,
        "metric": "top-1 accuracy",
        "value": float(right[0].mean()),
        "interval": [low, high],
        "details": {
            **results[0][1],
            "step": run.step,
            "untrained": float(right[1].mean()),
            "untrained_interval": list(proportion(int(right[1].sum()), len(right[1]))),
            "gain": float(gain.mean()),
            "gain_interval": [gain_low, gain_high],
            "chance": float(np.bincount(truth.numpy(), minlength=len(classes)).max() / len(truth)),
            "train_records": len(train),
            "test_records": len(test),
            "classes": per_class,
        },
    }
