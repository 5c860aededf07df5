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
from engine.evaluation.health import measure_health
from engine.evaluation.intervals import bootstrap, proportion
from engine.evaluation.knn import knn_predict
from engine.evaluation.linear import logistic_probe, ridge_probe
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
PROTOCOLS = (*CLASSIFIERS, "health")


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
    measurement of the network before its first step, chance, and counts.

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
