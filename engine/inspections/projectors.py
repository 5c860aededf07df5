"""How features become points: PCA, UMAP, t-SNE, PaCMAP; and how further records are placed among them.

Every projection is made from scratch with a seed, or starts from the points of an earlier map of the same records, so
that a history of checkpoints moves instead of jumping. The libraries report their iterations; a `progress` that raises
ends them. Distances are cosine (PaCMAP: angular); PCA is that of the features as they are.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.errors import ConfigError, MethodError
from engine.protocol.inspections import Array
from engine.protocol.messages import MapOptions

Progress = Callable[[float, float, str, str], None]
FEWEST = 8  # records of a map
TSNE_EARLY, TSNE_LATE = 250, 500


@dataclass(frozen=True, slots=True)
class Projected:
    """Points as the projection gives them, and what places further records among them."""

    points: Array  # (N, D) float32
    fit: dict[str, Array] = field(default_factory=dict)
    explained: tuple[float, ...] = ()


def check_options(options: MapOptions, records: int) -> None:
    """Check settings against the number of records.

    Raises:
        ConfigError: a setting is out of its range.
    """
    if records < FEWEST:
        raise ConfigError(f"{records} records make no map.", f"Take {FEWEST} or more.")
    most = min(500, records - 1)
    if options.projection in {"UMAP", "PaCMAP"} and not 2 <= options.neighbours <= most:
        raise ConfigError(f"{options.neighbours} neighbours: {records} records allow 2 to {most}.")
    if options.projection == "UMAP" and not 0 <= options.minimum_distance <= 0.99:
        raise ConfigError(f"A minimum distance of {options.minimum_distance:g} is outside 0 to 0.99.")
    if options.projection == "t-SNE" and not 2 <= options.perplexity <= min(500, (records - 1) / 3):
        raise ConfigError(
            f"A perplexity of {options.perplexity:g}: {records} records allow 2 to {min(500, (records - 1) // 3)}.",
            "It may be at most a third of the records.",
        )


def project(features: Array, options: MapOptions, progress: Progress, *, start: Array | None = None) -> Projected:
    """Return points for features (N, E), finite.

    Args:
        features: one row for each record.
        options: which projection, with which settings.
        progress: told of iterations; what it raises ends the projection.
        start: points (N, D) of the same records to start from.

    Raises:
        ConfigError: a setting does not fit.
    """
    check_options(options, len(features))
    fitting = {"PCA": _pca, "UMAP": _umap, "t-SNE": _tsne, "PaCMAP": _pacmap}[options.projection]
    return fitting(features, options, progress, start)


def place(
    features: Array, options: MapOptions, known: Projected, known_features: Callable[[], Array], progress: Progress
) -> Array:
    """Return points (n, D) of further `features` (n, E) among those of a map.

    Args:
        features: of the further records.
        options: of the map.
        known: the map, as `project` returned it.
        known_features: returns the features (N, E) of the records of the map.
        progress: as of `project`.

    Raises:
        MethodError: the features are of another width.
    """
    if options.projection == "PCA":
        _check_width(features, known.fit["mean"])
        return ((features - known.fit["mean"]) @ known.fit["axes"]).astype(np.float32)
    basis = known_features()
    _check_width(features, basis[0])
    placing = {"UMAP": _place_umap, "t-SNE": _place_tsne, "PaCMAP": _place_pacmap}[options.projection]
    return placing(features, options, known, basis, progress)


def _check_width(features: Array, reference: Array) -> None:
    if features.shape[1] != len(reference):
        raise MethodError(
            f"Features of width {features.shape[1]} do not go into a map of width {len(reference)}.",
            "Take a map of the same network.",
        )


def _pca(features: Array, options: MapOptions, progress: Progress, start: Array | None) -> Projected:
    """Principal components, through the covariance; a component's sign is fixed by its largest entry."""
    del start  # it has no choice where to begin
    progress(0, 0, "", "PCA")
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean.astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64)
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, ::-1][:, : options.dimensions]
    axes = np.pad(axes, ((0, 0), (0, options.dimensions - axes.shape[1])))
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(options.dimensions)] < 0, -1.0, 1.0)
    total = max(float(values.sum()), 1e-30)
    shares = (values[::-1][: options.dimensions] / total).clip(0, 1).tolist()
    fit = {"mean": mean.astype(np.float32), "axes": axes.astype(np.float32)}
    return Projected((centred @ fit["axes"]).astype(np.float32), fit, tuple(shares))


# ── UMAP (McInnes et al. 2018; umap-learn) ───────────────────────────────────────────────────────────


def _umap(features: Array, options: MapOptions, progress: Progress, start: Array | None) -> Projected:
    progress(0, 0, "", "UMAP: nearest neighbours")
    with _quiet():
        reducer = _reducer(options, progress, init="spectral" if start is None else start.astype(np.float32))
        return Projected(np.asarray(reducer.fit_transform(features), np.float32))


def _place_umap(features: Array, options: MapOptions, known: Projected, basis: Array, progress: Progress) -> Array:
    progress(0, 0, "", "UMAP: the map's neighbours")
    with _quiet():
        reducer = _reducer(options, progress, init=known.points, n_epochs=0)
        reducer.fit(basis)  # the graph only: with no epochs, points stay where they are
        reducer.embedding_, reducer.n_epochs = known.points.copy(), None
        return np.asarray(reducer.transform(features), np.float32)


def _reducer(options: MapOptions, progress: Progress, **more: Any) -> Any:
    import umap

    return umap.UMAP(
        n_components=options.dimensions,
        n_neighbors=options.neighbours,
        min_dist=options.minimum_distance,
        metric="cosine",
        random_state=options.seed,
        transform_seed=options.seed,
        tqdm_kwds={"file": _Bar(progress, "UMAP"), "bar_format": "{n}/{total};", "mininterval": 0.1, "disable": False},
        **more,
    )


class _Bar(io.TextIOBase):
    """Takes "12/200;" from a progress bar and tells it on."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress, self._what = progress, what

    def write(self, text: str) -> int:
        """Take what the bar writes."""
        found = re.search(r"(\d+)/(\d+);", text)
        if found is not None:
            self._progress(int(found[1]), int(found[2]), "epochs", self._what)
        return len(text)


# ── t-SNE (van der Maaten & Hinton 2008; openTSNE) ───────────────────────────────────────────────────


def _tsne(features: Array, options: MapOptions, progress: Progress, start: Array | None) -> Projected:
    from openTSNE import TSNEEmbedding, initialization

    progress(0, 0, "", "t-SNE: nearest neighbours")
    with _quiet():
        affinities = _affinities(features, options)
        if start is None:
            points = initialization.pca(features, n_components=options.dimensions, random_state=options.seed)
        else:
            points = initialization.rescale(start.astype(np.float64))
        method = "fft" if options.dimensions == 2 and len(features) > 10_000 else "bh"
        embedding = TSNEEmbedding(
            points, affinities, negative_gradient_method=method, random_state=options.seed, n_jobs=_threads()
        )
        told = _Iterations(progress, TSNE_EARLY + TSNE_LATE)
        every = {"callbacks": told, "callbacks_every_iters": 10}
        embedding.optimize(TSNE_EARLY, exaggeration=12, momentum=0.5, inplace=True, **every)
        told.before = TSNE_EARLY
        embedding.optimize(TSNE_LATE, momentum=0.8, inplace=True, **every)
        return Projected(np.asarray(embedding, np.float32))


def _place_tsne(features: Array, options: MapOptions, known: Projected, basis: Array, progress: Progress) -> Array:
    from openTSNE import TSNEEmbedding

    progress(0, 0, "", "t-SNE: the map's neighbours")
    with _quiet():
        affinities = _affinities(basis, options)
        embedding = TSNEEmbedding(
            known.points.astype(np.float64), affinities, negative_gradient_method="bh", random_state=options.seed,
            n_jobs=_threads(),
        )  # fmt: skip
        placed = embedding.prepare_partial(features, initialization="median", perplexity=min(5.0, options.perplexity))
        told = _Iterations(progress, 250)
        placed.optimize(
            250, learning_rate=0.1, momentum=0.8, inplace=True, callbacks=told, callbacks_every_iters=10,
            max_grad_norm=0.25,
        )  # fmt: skip
        return np.asarray(placed, np.float32)


def _affinities(features: Array, options: MapOptions) -> Any:
    from openTSNE import affinity

    return affinity.PerplexityBasedNN(
        features, perplexity=options.perplexity, metric="cosine", random_state=options.seed, n_jobs=_threads()
    )


class _Iterations:
    """Tells of the iterations of t-SNE; it says nothing else to it."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total = progress, total
        self.before = 0

    def __call__(self, iteration: int, error: float, embedding: Any) -> bool:
        """Take an iteration; True would end the optimisation."""
        del error, embedding
        self._progress(self.before + iteration, self._total, "iterations", "t-SNE")
        return False


# ── PaCMAP (Wang et al. 2021; pacmap) ────────────────────────────────────────────────────────────────


def _pacmap(features: Array, options: MapOptions, progress: Progress, start: Array | None) -> Projected:
    progress(0, 0, "", "PaCMAP: pairs")
    with _quiet(), contextlib.redirect_stdout(_Lines(progress)):
        reducer = _pairs(options, verbose=True)
        return Projected(np.asarray(reducer.fit_transform(features, init="pca" if start is None else start)))


def _place_pacmap(features: Array, options: MapOptions, known: Projected, basis: Array, progress: Progress) -> Array:
    progress(0, 0, "", "PaCMAP: pairs")
    with _quiet(), contextlib.redirect_stdout(_Lines(progress)):
        reducer = _pairs(options, num_iters=(0, 0, 0))
        reducer.fit(basis, init="pca", save_pairs=False)  # what it is normalised by; with no iterations
        reducer.embedding_, reducer.num_iters, reducer.verbose = known.points.copy(), (100, 100, 250), True
        return np.asarray(reducer.transform(features, basis=basis, save_pairs=False), np.float32)


def _pairs(options: MapOptions, **more: Any) -> Any:
    import pacmap

    return pacmap.PaCMAP(
        n_components=options.dimensions,
        n_neighbors=options.neighbours,
        distance="angular",
        random_state=options.seed,
        **more,
    )


class _Lines(io.TextIOBase):
    """Takes "Iteration:   10, Loss: …" and tells it on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, text: str) -> int:
        """Take a line."""
        found = re.match(r"Iteration:\s*(\d+)", text)
        if found is not None:
            self._progress(int(found[1]), 450, "iterations", "PaCMAP")
        return len(text)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Pass over what the libraries warn of: that a seed makes them single-threaded, which is wanted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _threads() -> int:
    import torch

    return torch.get_num_threads()
