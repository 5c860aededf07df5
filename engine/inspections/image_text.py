"""Images beside texts, now and by an older model, as data.

Vectors come as pairs (images, texts), unit vectors (B, E) each, row by row of one record.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.data.batch import Batch
from engine.objectives.image_text import common_rotation_residual, right_rows, rotation_degrees
from engine.objectives.paired import cosine_matrix
from engine.protocol.inspections import Embedding, Histogram, Similarity, TextTable

LONGEST = 48
BINS = 36
Vectors = tuple[Tensor, Tensor]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def make_similarity(now: Vectors, old: Vectors, batch: Batch, *, view: str, title: str, is_old: bool) -> Similarity:
    """Return the cosines of images (rows) and texts (columns); rows that the old model got wrong say so."""
    before = cosine_matrix(*old)
    kept = right_rows(before).tolist()
    names = [f"record {number}" + ("" if right else " (not kept)") for number, right in
             zip(batch.index.tolist(), kept, strict=True)]  # fmt: skip
    return Similarity(
        view=view,
        title=title,
        step=0,
        note=f"{sum(kept)} of {len(kept)} rows were right before this task and are kept.",
        values=(before if is_old else cosine_matrix(*now)).cpu().numpy(),
        rows=tuple(names),
        columns=tuple(_short(text) for text in batch.texts["text"]),
        row_records=batch.index.cpu().numpy(),
        column_records=batch.index.cpu().numpy(),
    )


def make_change(now: Vectors, old: Vectors, batch: Batch) -> Similarity:
    """Return how far the softmax of every row of cosines has moved."""
    change = (cosine_matrix(*now).softmax(dim=1) - cosine_matrix(*old).softmax(dim=1)).abs()
    return Similarity(
        view="similarity-change",
        title="Change of similarities",
        step=0,
        note="Distance of the softmax of the cosines from that of the model before this task.",
        values=change.cpu().numpy(),
        unit="difference of shares",
        rows=tuple(f"record {number}" for number in batch.index.tolist()),
        columns=tuple(_short(text) for text in batch.texts["text"]),
        row_records=batch.index.cpu().numpy(),
        column_records=batch.index.cpu().numpy(),
    )


def make_rotation(now: Vectors, old: Vectors) -> Histogram:
    """Return by how many degrees images and texts have turned."""
    angles = [rotation_degrees(before, after) for before, after in zip(old, now, strict=True)]
    residual = common_rotation_residual(torch.cat(old), torch.cat(now))
    edges = torch.linspace(0, 180, BINS + 1)
    return Histogram(
        view="rotation",
        title="Rotation since the task before",
        step=0,
        note=f"Means: images {float(angles[0].mean()):.1f}°, texts {float(angles[1].mean()):.1f}°. What one common "
        f"rotation leaves: {float(residual):.3f} (0 = they turned together).",
        edges=edges.numpy(),
        counts=torch.stack([torch.histc(angle.cpu(), BINS, 0, 180) for angle in angles]).numpy(),
        series=("images", "texts"),
        unit="degrees",
    )


def make_pair_map(now: Vectors, old: Vectors, batch: Batch) -> Embedding:
    """Return images and texts, now and before, on the two strongest components of all four."""
    vectors = torch.cat((*now, *old)).double()
    centred = vectors - vectors.mean(dim=0)
    values, axes = torch.linalg.eigh(centred.T @ centred)
    axes = axes[:, -2:].flip(1)
    axes = axes * torch.where(axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)
    shares = (values.flip(0)[:2] / values.sum().clamp_min(1e-30)).tolist()
    count = len(batch)
    return Embedding(
        view="pair-map",
        title="Images and texts",
        step=0,
        projection="PCA",
        records=batch.index.repeat(4).cpu().numpy(),
        points=(centred @ axes).float().cpu().numpy(),
        labels=torch.arange(4).repeat_interleave(count).numpy(),
        classes=("images now", "texts now", "images before", "texts before"),
        total=4 * count,
        chosen="the shown records",
        explained=(shares[0], shares[1]),
    )


def make_nearest_texts(now: Vectors, old: Vectors, batch: Batch) -> TextTable:
    """Return the nearest of the shown texts to every image, now and before."""
    texts = batch.texts["text"]
    columns = [cosine_matrix(*vectors).max(dim=1) for vectors in (now, old)]
    rows = []
    for place, number in enumerate(batch.index.tolist()):
        found = [f"{texts[int(best.indices[place])]} ({float(best.values[place]):.2f})" for best in columns]
        rows.append((str(number), texts[place], *found))
    return TextTable(
        view="nearest-captions",
        title="Nearest captions",
        step=0,
        note="Among the captions of the shown records; in brackets the cosine.",
        columns=("record", "its caption", "nearest now", "nearest before this task"),
        rows=tuple(rows),
        records=batch.index.cpu().numpy(),
    )
