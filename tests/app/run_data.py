"""Inspections and curves for the tests of the Runs page, made from photographs that scikit-image brings."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from engine.protocol import messages
from engine.protocol.inspections import Attention, Embedding, FeatureMap, Inspection, Reconstruction
from engine.protocol.messages import MetricsRow, ViewInfo
from engine.protocol.wire import pack_inspection
from tests.app.fake_engine import LABELS, FakeEngine, ready_engine, sample_events, sample_method, sample_methods

PATCH, SIDE = 8, 64
GRID = SIDE // PATCH
VIEWS = (
    ViewInfo(name="reconstruction", kind="reconstruction", title="Reconstruction"),
    ViewInfo(name="attention", kind="attention", title="Attention"),
    ViewInfo(name="feature-map", kind="feature-map", title="Features as colours"),
    ViewInfo(name="embedding", kind="embedding", title="Embedding map"),
)


@lru_cache(maxsize=1)
def photographs() -> np.ndarray:
    """Return eight crops (8, 3, 64, 64) float32 in 0…1 of real photographs."""
    from skimage import data

    sources = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    crops = []
    for number in range(8):
        picture = sources[number % 4]
        top, left = 40 + 60 * (number // 4), 90 + 40 * (number % 4)
        block = picture[top : top + 2 * SIDE, left : left + 2 * SIDE, :3].astype(np.float32) / 255
        crops.append(block.reshape(SIDE, 2, SIDE, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1))
    return np.stack(crops)


def reconstruction(step: int = 1200, records: int = 4) -> Reconstruction:
    rng = np.random.default_rng(7)
    pictures = photographs()[:records]
    mask = np.zeros((records, GRID, GRID), bool)
    for row in range(records):
        for _block in range(4):
            top, left = rng.integers(0, GRID - 3, 2)
            mask[row, top : top + 3, left : left + 3] = True
    coarse = pictures.reshape(records, 3, GRID, PATCH, GRID, PATCH).mean(axis=(3, 5))
    blurred = np.repeat(np.repeat(coarse, PATCH, axis=2), PATCH, axis=3)
    covered = np.repeat(np.repeat(mask, PATCH, axis=1), PATCH, axis=2)[:, None]
    trained = min(1.0, step / 1500)
    output = np.where(covered, blurred * trained + 0.5 * (1 - trained), 0.8 * pictures + 0.2 * blurred)
    error = np.abs(output - pictures).mean(axis=1)
    mse = ((output - pictures) ** 2).mean(axis=(1, 2, 3))
    return Reconstruction(
        view="reconstruction",
        title="Reconstruction",
        step=step,
        records=np.array([4812, 11207, 311, 9402][:records]),
        labels=("brick", "petals", "fur", "temple")[:records],
        input=pictures,
        mask=mask,
        output=output.astype(np.float32),
        error=error.astype(np.float32),
        psnr_db=(-10 * np.log10(mse)).astype(np.float32),
    )


def attention(step: int = 1200, query: int = 28, layer: int = 11, heads: int = 6) -> Attention:
    rows, columns = np.indices((GRID, GRID))
    at = divmod(max(query, 0), GRID)
    weights = np.empty((4, heads, GRID * GRID), np.float32)
    luminance = photographs()[:4].mean(axis=1).reshape(4, GRID, PATCH, GRID, PATCH).mean(axis=(2, 4))
    for head in range(heads):
        near = np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / (2 + 6 * head))
        like = np.exp(-np.abs(luminance - luminance[:, at[0], at[1], None, None]) * 9)
        weights[:, head] = (like * (0.15 + near)).reshape(4, -1)
    weights /= weights.sum(axis=2, keepdims=True) / 0.94
    return Attention(
        view="attention",
        title="Attention",
        step=step,
        records=np.array([11207, 4812, 311, 9402]),
        labels=("petals", "brick", "fur", "temple"),
        input=photographs()[:4],
        grid=(GRID, GRID),
        layer=layer,
        layers=12,
        heads=heads,
        query=query,
        weights=weights,
        prefix=np.full((4, heads), 0.06, np.float32),
    )


def embedding(step: int = 1200, records: int = 2000, view: str = "embedding") -> Embedding:
    rng = np.random.default_rng(3)
    labels = np.arange(records) % len(LABELS)
    angle = labels / len(LABELS) * 2 * math.pi
    spread = min(1.0, 0.15 + step / 1200)
    centres = np.stack([np.cos(angle) * 2.0, np.sin(angle)], axis=1) * spread
    points = centres + rng.normal(0, 0.16, (records, 2))
    return Embedding(
        view=view,
        title="Embedding map",
        step=step,
        projection="PCA" if view == "embedding" else "UMAP",
        records=np.arange(records) * 10,
        points=points.astype(np.float32),
        labels=labels.astype(np.int64),
        classes=LABELS,
        total=20_000,
        chosen="stratified by label",
        explained=(0.31, 0.22) if view == "embedding" else (),
    )


def feature_map(step: int = 1200) -> FeatureMap:
    pictures = photographs()[:4]
    colours = pictures.reshape(4, 3, GRID, PATCH, GRID, PATCH).mean(axis=(3, 5))
    return FeatureMap(
        view="feature-map",
        title="Features as colours",
        step=step,
        records=np.arange(4),
        labels=("brick", "petals", "fur", "temple"),
        input=pictures,
        grid=(GRID, GRID),
        colours=colours.astype(np.float32),
        explained=np.array([0.4, 0.2, 0.1], np.float32),
        fitted_on=4,
    )


MAKERS: dict[str, Any] = {
    "reconstruction": reconstruction,
    "attention": attention,
    "embedding": embedding,
    "feature-map": feature_map,
}


def long_history(request: messages.FetchRun) -> messages.RunHistory:
    """Return losses every step to 1 240, and quality every 100."""
    rng = np.random.default_rng(1)
    rows = []
    for step in range(1, 1241):
        reconstruction_loss = 0.28 + 0.8 * math.exp(-step / 220) + rng.normal(0, 0.03)
        alignment = 0.1 + 0.28 * math.exp(-step / 240) + rng.normal(0, 0.015)
        values: dict[str, float | None] = {
            "loss": reconstruction_loss + alignment,
            "loss/reconstruction": reconstruction_loss,
            "loss/alignment": alignment,
        }
        if step % 100 == 0:
            done = 1 - math.exp(-step / 400)
            knn, linear = 0.2 + 0.55 * done, 0.3 + 0.51 * done
            values |= {"quality/knn": knn, "quality/knn_low": knn - 0.009, "quality/knn_high": knn + 0.009}
            values |= {"quality/linear": linear, "quality/linear_low": linear - 0.008}
            values |= {"quality/linear_high": linear + 0.008, "quality/chance": 0.1}
            values |= {"quality/rank": 90 * done, "quality/width": 192.0, "quality/spread": 0.4}
            values |= {"quality/alignment": 0.9 - 0.6 * done, "quality/uniformity": -1 - 2 * done}
        if step % 40 == 0:
            values |= {name: value for name, value in LATEST.items() if name.startswith("time/")}
        rows.append(MetricsRow(step=step, time_s=step * 0.205, values=values))
    events = sample_events()
    return messages.RunHistory(
        id=request.id,
        run=request.run,
        metrics=tuple(rows[request.metrics_after :]),
        events=events[request.events_after :],
        metrics_lines=len(rows),
        events_lines=len(events),
        command="selfsight train --method cae --data textures.h5 --preset small --seed 0",
    )


LATEST = {
    "loss": 0.388,
    "samples_per_s": 312.0,
    "quality/knn": 0.714,
    "time/load": 0.06,
    "time/transfer": 0.0,
    "time/views": 0.09,
    "time/forward": 0.31,
    "time/backward": 0.44,
    "time/optimiser": 0.07,
    "time/live": 0.011,
    "time/other": 0.019,
}
STORED = dict.fromkeys(MAKERS, (200, 400, 600, 800, 1000, 1200))


def running_engine(stored: dict[str, tuple[int, ...]] | None = None) -> FakeEngine:
    """Return an engine with histories, stored inspections and a method with four views."""
    engine = ready_engine()
    steps = STORED if stored is None else stored
    methods = (sample_method(views=VIEWS), *sample_methods()[1:])
    engine.answer(messages.ListMethods, lambda r: (messages.Methods(id=r.id, methods=methods), []))
    engine.answer(messages.FetchRun, lambda r: (long_history(r), []))
    engine.answer(messages.ListInspections, lambda r: (messages.StoredInspections(id=r.id, run=r.run, steps=steps), []))
    engine.answer(messages.FetchInspection, _stored_inspection)
    engine.answer(messages.FetchLog, lambda r: (messages.LogTail(id=r.id, run=r.run, text="Traceback …"), []))
    return engine


def _stored_inspection(request: messages.FetchInspection) -> tuple[messages.Message, list[Any]]:
    made: Inspection = MAKERS[request.view](step=request.step)
    reply = messages.InspectionData(id=request.id, run=request.run, view=request.view, step=request.step)
    return reply, pack_inspection(made)
