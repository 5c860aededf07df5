"""Maps of embeddings: PCA for every step, UMAP on request, aligned so that a map does not jump."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ConfigError
from engine.protocol.inspections import Array, Embedding

Progress = Callable[[float, float, str, str], None]


def pca_map(features: Array) -> tuple[Array, tuple[float, float]]:
    """Return the first two principal components (N, 2) float32, scaled to unit mean square, and their shares."""
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    covariance = centred.T @ centred
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, ::-1][:, :2]
    if axes.shape[1] < 2:
        axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    # a component's sign is arbitrary: fix it by its largest entry
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(2)] < 0, -1.0, 1.0)
    total = max(float(values.sum()), 1e-30)
    shares = [float(value) / total for value in values[::-1][:2]] + [0.0, 0.0]
    return unit_scale(centred @ axes), (shares[0], shares[1])


def unit_scale(points: Array) -> Array:
    """Return points (N, 2) centred and with mean square distance 1 from their centre, float32."""
    points = points - points.mean(axis=0)
    size = np.sqrt((points**2).sum(axis=1).mean())
    return (points / size if size > 1e-12 else points).astype(np.float32)


def align(points: Array, reference: Array) -> Array:
    """Return `points` rotated or mirrored (orthogonal Procrustes) to lie as close to `reference` as they can."""
    source, target = points - points.mean(axis=0), reference - reference.mean(axis=0)
    u, _, vt = np.linalg.svd(source.T.astype(np.float64) @ target.astype(np.float64))
    return (source @ (u @ vt)).astype(np.float32)


def umap_map(features: Array, *, neighbours: int = 15, minimum_distance: float = 0.1, seed: int = 0) -> Array:
    """Return a two-dimensional UMAP (N, 2) of features (N, E), cosine metric, reproducible."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns that a seed makes it single-threaded; that is wanted
        import umap

        reducer = umap.UMAP(
            n_components=2,
            n_neighbors=min(neighbours, len(features) - 1),
            min_dist=minimum_distance,
            metric="cosine",
            random_state=seed,
        )
        return unit_scale(np.asarray(reducer.fit_transform(features)))


def project_run(run_path: Path, projection: str, step: int, progress: Progress) -> dict[str, Any]:
    """Make a map of a run's fixed sample at a checkpoint, store it in the run, and return where.

    Raises:
        ConfigError: the projection is unknown.
        RunError: the run has no checkpoint to take features from.
    """
    if projection.lower() not in {"umap", "pca"}:
        raise ConfigError(f"There is no projection {projection!r}.", "Known: PCA, UMAP.")
    from engine.evaluation.features import embed_records
    from engine.evaluation.quality import QualityMonitor
    from engine.inspections.opened import OpenedRun

    with OpenedRun(run_path, step=None if step < 0 else step) as run:
        progress(0, 3, "parts", "features")
        monitor = QualityMonitor(run.dataset, run.method, run.config, seed=run.spec.seed)
        loader = run.loader(split=None)
        sample = monitor.sample
        features = embed_records(run.model, loader, sample).features
        progress(1, 3, "parts", projection)
        view = "embedding" if projection.lower() == "pca" else f"embedding-{projection.lower()}"
        points = umap_map(features, seed=run.spec.seed) if projection.lower() == "umap" else pca_map(features)[0]
        stored = run.folder.inspections()
        reference_steps = stored.get(view, ()) or stored.get("embedding", ())
        if reference_steps:
            reference = run.folder.load_inspection(view if stored.get(view) else "embedding", reference_steps[-1])
            if isinstance(reference, Embedding) and reference.points.shape == points.shape:
                points = align(points, reference.points)
        progress(2, 3, "parts", "storing")
        run.folder.store_inspection(monitor.embedding(points, run.step, projection.upper()))
        progress(3, 3, "parts", "done")
        return {"run": run.folder.name, "view": view, "step": run.step, "points": len(points)}
