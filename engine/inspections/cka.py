"""How alike the layers of two networks are: linear centred kernel alignment (CKA).

Paper: Kornblith, Norouzi, Lee & Hinton, Similarity of Neural Network Representations Revisited, ICML 2019
(arXiv 1905.00414), eq. 3; unbiased and over minibatches: Nguyen, Raghu & Kornblith, Do Wide and Deep Networks Learn the
Same Things?, ICLR 2021 (arXiv 2010.15327), eqs. 2 and 3 (HSIC₁ of Song et al. 2012).

CKA(K, L) = HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)), with K = X Xᵀ of one layer and L = Y Yᵀ of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.errors import ConfigError, MethodError
from engine.evaluation.features import comfortable_batch
from engine.inspections.embedding import Progress, choose_records
from engine.inspections.opened import OpenedRun
from engine.protocol.messages import FeatureChoice, LayerSimilarity

BATCH = 256
FEWEST = 4  # records that the unbiased estimator needs
MOST_LAYERS = 64  # of a network; of a deeper one they are taken evenly


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Return the biased linear CKA of features x (N, E) and y (N, F) of the same records; 0…1."""
    x, y = _centred(x), _centred(y)
    if x.shape[1] + y.shape[1] <= 2 * len(x):  # ‖Yᵀ X‖² = tr(K L), by the smaller of the two ways
        products = [float((a.T @ b).square().sum()) for a, b in ((x, y), (x, x), (y, y))]
    else:
        k, l = x @ x.T, y @ y.T  # noqa: E741 as in the paper
        products = [float((a * b).sum()) for a, b in ((k, l), (k, k), (l, l))]
    return _ratio(*products)


def hsic1(k: Tensor, l: Tensor) -> Tensor:  # noqa: E741 as in the paper
    """Return the unbiased estimate of HSIC of Gram matrices (…, n, n), n > 3; may be negative."""
    n = k.shape[-1]
    off = 1 - torch.eye(n, dtype=k.dtype, device=k.device)
    k, l = k * off, l * off  # noqa: E741
    rows_k, rows_l = k.sum(dim=-1), l.sum(dim=-1)
    trace = (k * l).sum(dim=(-2, -1))  # both are symmetric
    sums = rows_k.sum(dim=-1) * rows_l.sum(dim=-1) / ((n - 1) * (n - 2))
    return (trace + sums - 2 / (n - 2) * (rows_k * rows_l).sum(dim=-1)) / (n * (n - 3))


class MinibatchCKA:
    """CKA of every layer of one network with every layer of another, from batches of the same records.

    Averages HSIC₁ over batches before the ratio is taken; its expectation does not depend on their size.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._cross = torch.zeros(rows, columns, dtype=torch.float64)
        self._rows = torch.zeros(rows, dtype=torch.float64)
        self._columns = torch.zeros(columns, dtype=torch.float64)

    def add(self, rows: Sequence[Tensor], columns: Sequence[Tensor]) -> None:
        """Take the features (n, E_i) of one batch of records, of each layer of both networks; n ≥ 4.

        Raises:
            ConfigError: there are fewer than four records.
        """
        if len(rows[0]) < FEWEST:
            raise ConfigError(f"{len(rows[0])} records are too few for CKA.", f"Take {FEWEST} or more.")
        left, right = _grams(rows), _grams(columns)
        self._rows += hsic1(left, left).cpu()
        self._columns += hsic1(right, right).cpu()
        for place, gram in enumerate(left):
            self._cross[place] += hsic1(gram, right).cpu()

    def values(self) -> Tensor:
        """Return CKA (rows, columns) float64; 0 where a layer says nothing."""
        scale = (self._rows[:, None].clamp_min(0) * self._columns.clamp_min(0)).sqrt()
        return torch.where(scale > 0, self._cross / scale.clamp_min(1e-300), 0.0)


def _centred(x: Tensor) -> Tensor:
    x = x.double()
    return x - x.mean(dim=0)


def _ratio(cross: float, first: float, second: float) -> float:
    scale = (first * second) ** 0.5
    return cross / scale if scale > 0 else 0.0


def _grams(layers: Sequence[Tensor]) -> Tensor:
    """Return the Gram matrices (L, n, n) float64 of layers; scaled, which CKA does not see, to stay in range."""
    grams = []
    for features in layers:
        centred = _centred(features)
        gram = centred @ centred.T
        grams.append(gram / gram.diagonal().mean().clamp_min(1e-30))
    return torch.stack(grams)


# ── the layers of a network ──────────────────────────────────────────────────────────────────────────


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers to compare, from input to output: the blocks of the encoder, or what else follows one another.

    Taken is the longest list of modules of one kind in `model.encoder` (or in the model), such as transformer blocks;
    of residual networks the blocks of all stages.

    Raises:
        MethodError: there is none.
    """
    encoder = getattr(model, "encoder", None)
    root = encoder if isinstance(encoder, nn.Module) else model
    best_name, best = "", list[nn.Module]()
    for name, module in root.named_modules():
        if isinstance(module, nn.ModuleList) or (isinstance(module, nn.Sequential) and name.endswith("blocks")):
            children = list(module.children())
            if len(children) > len(best):
                best_name, best = name, children
    found: dict[str, nn.Module] = {}
    if len(best) > 1:
        for number, child in enumerate(best):
            inner = list(child) if isinstance(child, nn.Sequential) else [child]
            for place, block in enumerate(inner):
                found[f"{best_name}.{number}" + (f".{place}" if len(inner) > 1 else "")] = block
    else:
        found = {name: module for name, module in root.named_children() if list(module.parameters())}
    if not found:
        raise MethodError("This network has no layers to compare.", "Compare another run.")
    if len(found) > MOST_LAYERS:
        names = list(found)
        kept = [names[round(place * (len(names) - 1) / (MOST_LAYERS - 1))] for place in range(MOST_LAYERS)]
        found = {name: found[name] for name in kept}
    return found


class _Taps:
    """Collects what layers give for a batch, one vector for each record: the mean over its places."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        self.names = tuple(layers)
        self._given: dict[str, Tensor] = {}
        self._handles = [module.register_forward_hook(self._hook(name)) for name, module in layers.items()]

    def _hook(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            del module, inputs
            value = output[0] if isinstance(output, tuple) else output
            if isinstance(value, Tensor):
                self._given[name] = value.detach().float()

        return hook

    def take(self, records: int) -> dict[str, Tensor]:
        """Return layer → (records, E) of the layers that gave one row, or several, for each record."""
        given, self._given = self._given, {}
        return {name: pooled for name, value in given.items() if (pooled := _pooled(value, records)) is not None}

    def close(self) -> None:
        """Leave the network as it was."""
        for handle in self._handles:
            handle.remove()


def _pooled(value: Tensor, records: int) -> Tensor | None:
    """Return (records, E): tokens (B, N, E) and maps (B, E, …) are averaged over places; other leading axes folded."""
    if value.ndim < 2 or value.shape[0] % records:
        return None
    if value.ndim == 3:
        value = value.mean(dim=1)
    elif value.ndim > 3:
        value = value.flatten(2).mean(dim=2)
    return value if len(value) == records else value.reshape(records, -1, value.shape[1]).mean(dim=1)


def _layer_features(run: OpenedRun, taps: _Taps, batch: Batch) -> dict[str, Tensor]:
    learner: Any = run.model  # nn.Module does not know `embed`
    with torch.no_grad():
        pooled = learner.embed(batch.to(next(run.model.parameters()).device)).pooled
    return taps.take(len(batch)) | {"features": pooled.detach().float()}


def compare_layers(
    run_path: Path,
    other_path: Path,
    choice: FeatureChoice,
    progress: Progress,
    *,
    other_step: int = -1,
    dataset_path: str = "",
) -> dict[str, Any]:
    """Return the `LayerSimilarity` of two runs on the same records, as plain values.

    Raises:
        RunError, DataError: a checkpoint is missing; the data does not fit one of the runs.
        MethodError: a network has no layers to compare.
    """
    with (
        OpenedRun(run_path, step=_step(choice.step), dataset_path=dataset_path) as run,
        OpenedRun(other_path, step=_step(other_step), dataset_path=dataset_path or str(run.dataset_path)) as other,
    ):
        chosen = choose_records(run.dataset, choice)
        names, sums, size = _measure((run, other), chosen.records, progress)
        found = LayerSimilarity(
            run=run.folder.name, step=run.step, other=other.folder.name, other_step=other.step, rows=names[0],
            columns=names[1], values=tuple(tuple(row) for row in sums.values().tolist()), records=len(chosen.records),
            dataset=run.dataset.info.name,
            what=f"linear CKA, unbiased, over batches of {size}; each layer averaged over its places",
        )  # fmt: skip
    return dict(msgspec.to_builtins(found))


def _measure(
    pair: tuple[OpenedRun, OpenedRun], records: Any, progress: Progress
) -> tuple[tuple[tuple[str, ...], ...], MinibatchCKA, int]:
    taps = [_Taps(layers_of(run.model)) for run in pair]
    loaders = [run.loader(split=None) for run in pair]
    size = max(FEWEST, min(comfortable_batch(loader, BATCH) for loader in loaders))
    names: tuple[tuple[str, ...], ...] = ()
    sums: MinibatchCKA | None = None
    done = 0
    try:
        for index in _batches(records, size):
            given = [
                _layer_features(run, tap, loader.at(index))
                for run, tap, loader in zip(pair, taps, loaders, strict=True)
            ]
            if sums is None:
                names = tuple(tuple(each) for each in given)
                sums = MinibatchCKA(len(names[0]), len(names[1]))
            sums.add(*([each[name] for name in known] for each, known in zip(given, names, strict=True)))
            done += len(index)
            progress(done, len(records), "records", "layers")
    finally:
        for tap, loader in zip(taps, loaders, strict=True):
            tap.close()
            loader.close()
    if sums is None:
        raise ConfigError(f"{len(records)} records are too few for CKA.", f"Take {FEWEST} or more.")
    return names, sums, size


def _batches(records: Any, size: int) -> Iterator[Any]:
    """Yield batches of `size`; a last one that is too small for the estimator is left out."""
    for first in range(0, len(records), size):
        part = records[first : first + size]
        if len(part) >= FEWEST:
            yield part


def _step(step: int) -> int | None:
    return None if step < 0 else step
