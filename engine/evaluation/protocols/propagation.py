"""Label propagation in clips: the mask of the first frame is carried on by features alone.

Recipe: Jabri et al. 2020 (arXiv 2006.14613) with the settings of DINO's DAVIS evaluation: places of the first frame
and of the seven before pass their labels on to the five of them that resemble a place most, weighted by
exp(cosine / 0.1), not farther than twelve places away. J: mean IoU of objects; F: agreement of their borders (Perazzi
et al. 2016); the value is the mean of both. Each frame is seen by itself, held still for the length of a clip.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_dilation, binary_erosion, generate_binary_structure, iterate_structure
from torch import Tensor

from engine.data.batch import Batch
from engine.errors import DataError
from engine.evaluation.intervals import bootstrap
from engine.evaluation.protocols.setting import NETWORKS, Finding, Protocol, Setting, beside
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, FieldSpec

CONTEXT, NEIGHBOURS, TEMPERATURE, RADIUS = 7, 5, 0.1, 12
BORDER_SHARE = 0.008  # of the diagonal: how far borders may lie apart
MOST_RECORDS, BATCH = 40, 8


def propagate(features: Tensor, first: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return soft labels (T, P, K) of all frames of one clip.

    Args:
        features: (T, P, E).
        first: (P, K), labels of the first frame, rows add up to 1.
        grid: rows and columns of places.
    """
    unit = F.normalize(features.float(), dim=2)
    y, x = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    y, x = y.flatten(), x.flatten()
    near = ((y[:, None] - y).abs() <= RADIUS) & ((x[:, None] - x).abs() <= RADIUS)
    labels = [first.float()]
    for frame in range(1, len(unit)):
        sources = sorted({0, *range(max(0, frame - CONTEXT), frame)})
        cosine = torch.cat([unit[frame] @ unit[source].T for source in sources], dim=1)
        cosine = cosine.masked_fill(~near.repeat(1, len(sources)), -torch.inf)
        best, rows = cosine.topk(min(NEIGHBOURS, cosine.shape[1]), dim=1)
        weight = (best / TEMPERATURE).softmax(dim=1)
        known = torch.cat([labels[source] for source in sources])
        labels.append((weight.unsqueeze(2) * known[rows]).sum(dim=1))
    return torch.stack(labels)


def border_agreement(predicted: Array, truth: Array) -> float:
    """Return the F measure of the borders of two masks (H, W) bool that may lie 0.8 % of the diagonal apart."""
    if not predicted.any() and not truth.any():
        return 1.0
    reach = max(1, round(BORDER_SHARE * float(np.hypot(*truth.shape))))
    disk = iterate_structure(generate_binary_structure(2, 1), reach)
    mine, true = (mask & ~binary_erosion(mask) for mask in (predicted, truth))
    if not mine.any() or not true.any():
        return 0.0
    precision = float((mine & binary_dilation(true, disk)).sum() / mine.sum())
    recall = float((true & binary_dilation(mine, disk)).sum() / true.sum())
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def region_agreement(predicted: Array, truth: Array) -> float:
    """Return intersection / union of two masks (H, W) bool; 1 where both are empty."""
    union = (predicted | truth).sum()
    return 1.0 if union == 0 else float((predicted & truth).sum() / union)


def clip_scores(labels: Tensor, masks: Array, frames: Array, grid: tuple[int, int]) -> tuple[float, float]:
    """Return J and F of one clip, means over its objects and the frames with masks, but for the first.

    Args:
        labels: (T, P, K), of all frames.
        masks: (M, H, W) integers, 0 = background.
        frames: (M,) which frames they belong to.
        grid: rows and columns of places.
    """
    height, width = masks.shape[1:]
    soft = labels[torch.from_numpy(frames)].movedim(2, 1).unflatten(2, grid)
    soft = F.interpolate(soft, size=(height, width), mode="bilinear", align_corners=False)
    # each object's map is stretched to 0…1, as DINO does: else the background wins where objects are small
    low, high = soft.amin(dim=(2, 3), keepdim=True), soft.amax(dim=(2, 3), keepdim=True)
    answer = ((soft - low) / (high - low).clamp_min(1e-6)).argmax(dim=1).numpy()
    regions, borders = [], []
    for each in np.unique(masks[0]):
        if each == 0:
            continue
        for mine, true in zip(answer[1:] == each, masks[1:] == each, strict=True):
            regions.append(region_agreement(mine, true))
            borders.append(border_agreement(mine, true))
    return (float(np.mean(regions)), float(np.mean(borders))) if regions else (float("nan"), float("nan"))


def measure(setting: Setting) -> Finding:
    """Return J&F, the mean over clips."""
    held = setting.some(setting.held_out(), MOST_RECORDS)
    clip, mask = _fields(setting)
    masks = np.asarray(setting.dataset.read(mask.name, held))
    clips = np.asarray(setting.dataset.read(clip.name, held))
    times = np.arange(masks.shape[1]) * clips.shape[1] // masks.shape[1]  # masked frames lie evenly
    classes = int(masks.max()) + 1
    shown = _one_hot(masks[:, 0], classes)
    scores: list[Array] = []
    grid = (0, 0)
    for which in (0, 1):
        features, grid = _frames(setting, which, held, clips)
        starts = F.adaptive_avg_pool2d(shown, grid).flatten(2).mT  # (n, P, K)
        pairs = zip(features, starts, masks, strict=True)
        scores.append(np.array([clip_scores(propagate(f, s, grid), m, times, grid) for f, s, m in pairs]))
    # what standing still gets: the first mask at every frame
    still = np.array([clip_scores_of_still(each) for each in masks])
    known = np.isfinite(scores[0]).all(axis=1)
    if not known.any():
        raise DataError(f"No first mask of {setting.dataset.info.name} shows an object.", "Take other data.")
    best = F.adaptive_avg_pool2d(_one_hot(masks.reshape(-1, *masks.shape[2:]), classes), grid).flatten(2).mT
    ideal = best.unflatten(0, masks.shape[:2])  # what the grid allows: every mask's own labels
    every = np.arange(masks.shape[1])
    ceiling = np.array([clip_scores(own, each, every, grid) for own, each in zip(ideal, masks, strict=True)])
    both = [each[known].mean(axis=1) for each in scores]
    details = beside(
        [float(each.mean()) for each in both], float(still[known].mean()), chance_is="the first mask stands still",
        J=float(scores[0][known, 0].mean()), F=float(scores[0][known, 1].mean()), clips=int(known.sum()),
        frames=clips.shape[1], highest_possible=float(ceiling[known].mean()), grid=list(grid),
    )  # fmt: skip
    return Finding("J&F, mean of regions and borders", float(both[0].mean()), bootstrap(both[0]), details)


def clip_scores_of_still(masks: Array) -> tuple[float, float]:
    """Return J and F of masks (M, H, W) if nothing moved since the first."""
    pairs = [(masks[0] == each, mask == each) for each in np.unique(masks[0]) if each != 0 for mask in masks[1:]]
    if not pairs:
        return float("nan"), float("nan")
    regions = [region_agreement(mine, true) for mine, true in pairs]
    return float(np.mean(regions)), float(np.mean([border_agreement(mine, true) for mine, true in pairs]))


def _one_hot(masks: Array, classes: int) -> Tensor:
    """Return masks (n, H, W) as (n, K, H, W) float32; what is no class counts as background."""
    numbers = torch.from_numpy(masks.astype(np.int64))
    return F.one_hot(torch.where((numbers >= 0) & (numbers < classes), numbers, 0), classes).movedim(3, 1).float()


def _fields(setting: Setting) -> tuple[FieldSpec, FieldSpec]:
    clip, mask = setting.dataset.schema.first(FieldKind.CLIP), setting.dataset.schema.first(FieldKind.MASK)
    if clip is None or mask is None or None in clip.shape or len(mask.shape) != 3 or None in mask.shape:
        raise DataError(
            f"{setting.dataset.info.name} has no clips of one length with masks of several frames.",
            "The sample echo-toy has them.",
        )
    return clip, mask


def _frames(setting: Setting, which: int, records: Array, clips: Array) -> tuple[Tensor, tuple[int, int]]:
    """Return features of every frame's places (n, T, P, E), and their grid."""
    loader, found = setting.loader(), []
    grid = (0, 0)
    for first in range(0, len(records), BATCH):
        batch = loader.at(records[first : first + BATCH])
        stills = torch.from_numpy(clips[first : first + BATCH])
        frames = []
        for frame in range(clips.shape[1]):
            features = setting.embed(which, _held_still(batch, stills[:, frame]).to(setting.device))
            dense = setting.dense_of(features).float().cpu()
            if len(features.grid) != 3:
                raise DataError("The places of this network lie on no grid of time, rows and columns.", "")
            frames.append(dense.unflatten(1, features.grid).mean(dim=1).flatten(1, 2))
            grid = (features.grid[1], features.grid[2])
        found.append(torch.stack(frames, dim=1))
        setting.report(which * len(records) + first + len(batch), 2 * len(records), "clips", NETWORKS[which])
    return torch.cat(found), grid


def _held_still(batch: Batch, frame: Tensor) -> Batch:
    """Return the batch with every frame of its clips replaced by `frame` (B, C, H, W)."""
    fields = dict(batch.fields)
    for key, spec in batch.specs.items():
        value = fields.get(key)
        if spec.kind is FieldKind.CLIP and isinstance(value, Tensor):
            if value.shape[-2:] != frame.shape[-2:]:
                raise DataError("This method cuts its clips smaller than their masks.", "Choose another protocol.")
            still = frame.view(len(frame), *(1,) * (value.ndim - 4), *frame.shape[1:])
            fields[key] = still.to(value.dtype).expand_as(value).contiguous()
    return replace(batch, fields=fields)


PROTOCOL = Protocol(BY_NAME["propagation"], measure)
