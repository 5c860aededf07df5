"""RSPNet: which of two clips of a video runs at the query's speed, and which clips are of the same video at all.

The first question needs motion, and labels itself: a clip is sped up by leaving out frames, and speeds are only
compared, as no clip has a speed of its own. The second needs appearance: clips of one video attract whatever their
speed, against a queue of other videos. Each question has its own head on one network.

Paper:      Chen, Huang, He, Long, Zeng, Wen, Tan, Gan. RSPNet: Relative Speed Perception for Unsupervised Video
            Representation Learning. AAAI 2021. arXiv:2011.07949
Equations:  relative speed, a ranking with a margin; instances, InfoNCE against a queue with two positives; their sum
Reference:  PeihaoChen/RSPNet @ 01a37c0, moco/builder_diffspeed_diffloss.py (class MoCoDiffLossTwoFc),
            moco/split_wrapper.py, models/*, config/* (no licence: nothing copied)
Differs:    each query is slow or fast by its own coin instead of exactly half a batch, so that a view depends on its
            record alone. Clips keep their number of frames at every speed; in the code a speed of 4 halves them. The
            margin is that of the code (on similarities divided by the temperature). Keys of one device are not
            shuffled among devices; their batch statistics are those of one forward pass for each kind of key, as in
            the code on one device. Biases and one-dimensional parameters are not decayed. The weight of the instances
            can rise during the run, as at small scale it delays the onset of the other task; off by default. The hue
            turns as a rotation about the grey axis. Frames are taken by their times where the data have them, as a
            varying frame rate fakes a speed; the share of repeated frames is shown.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.data.windows import Window
from engine.evaluation.linear import logistic_probe
from engine.form_fields import CropArea, FlipChance, ImagePx, Share, Temperature, setting
from engine.inspections.generic import as_picture
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.cnn3d import ClipCNN, build_clip_encoder
from engine.networks.teacher import MomentumTeacher
from engine.objectives.queue import MemoryQueue, queue_contrast
from engine.protocol.inspections import Choice, Histogram, Neighbours, Pictures, TextTable, VolumeStack
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.clips import (
    ClipRecipe,
    crop_clips,
    frames_by_step,
    frames_by_time,
    plain_clips,
    still_share,
    take_frames,
)
from engine.views.pixels import denormalise
from engine.views.rng import Rng

NEED = Need(kinds=(FieldKind.CLIP,), channels=(1, 3), smallest_px=8, what="the videos to learn from")
TIMES = Need(kinds=(FieldKind.NUMBER,), of="clip", suffix="times_s", optional=True, what="when each frame was taken")
HEADS = ("appearance", "motion")
JITTER = 0.4  # of brightness, contrast, saturation and hue, at strength 1
STRIP = 8  # frames of a film strip
NEAREST = 6
BINS = 40
PROBED = 500  # labelled records of a claim


# fmt: off
class RSPNetConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults are the paper's."""

    image_px: ImagePx = 112
    frames: Annotated[int, setting(
        "Frames", "Frames of a clip as the network sees it.", "Views", 4, 64, "frames")] = 16
    speeds: Annotated[tuple[Annotated[int, Meta(ge=2, le=8)], ...], setting(
        "Fast speeds", "How many times faster the fast clips are; one is drawn for each step. A record needs frames × "
        "the fastest, otherwise it begins anew.", "Views", unit="×")] = (2,)
    crop_area: CropArea = (0.4, 1.0)
    flip: FlipChance = 0.5
    colour_strength: Annotated[float, setting(
        "Colour strength", "How much brightness, contrast, saturation and hue of a clip change; 1 = by 0.4 each.",
        "Views", 0.0, 2.0, "×")] = 1.0
    grey_chance: Annotated[float, setting(
        "Grey", "How often a clip loses its colours.", "Views", 0.0, 1.0, "of clips")] = 0.2
    blur_chance: Annotated[float, setting(
        "Blur", "How often a clip is blurred (1.5 px). 0 in the paper's main runs.", "Views", 0.0, 1.0, "of clips",
        advanced=True)] = 0.0
    encoder: Annotated[Literal["cnn3d-micro", "c3d", "r3d-18", "r2plus1d-10", "s3d-g"], setting(
        "Encoder", "3D convolutional network. S3D-G wants 64 frames of 224 px to show what it can.",
        "Network")] = "r3d-18"
    projection: Annotated[int, setting(
        "Projection", "Channels of each head, in which clips are compared.", "Network", 8, 2048, "channels")] = 128
    queue_length: Annotated[int, setting(
        "Queue", "Keys of other videos that a query is told apart from. With few videos a long queue holds keys of the "
        "query's own.", "Target", 16, 262_144, "keys")] = 16_384
    key_memory: Annotated[float, setting(
        "Key network", "How slowly the key network follows: its share that remains at an update.", "Target",
        0.0, 1.0)] = 0.999
    temperature: Temperature = 0.07
    margin: Annotated[float, setting(
        "Margin", "By how much the clip of the same speed must be more similar, in units of cosine / temperature.",
        "Losses", 0.0, 20.0, "cosine / temperature")] = 2.0
    appearance_weight: Annotated[float, setting(
        "Weight of appearance", "Weight of telling videos apart, whatever their speed.", "Losses", 0.0, 10.0)] = 1.0
    speed_weight: Annotated[float, setting(
        "Weight of speed", "Weight of judging which clip has the same speed.", "Losses", 0.0, 10.0)] = 1.0
    appearance_ramp: Annotated[tuple[Share, Share], setting(
        "Rise of appearance", "Where in the run the weight of appearance leaves 0 and where it is reached. In short "
        "runs a full weight from the start keeps the speed task from ever setting in.", "Losses",
        unit="of the run", advanced=True)] = (0.0, 0.0)
    evaluation_clips: Annotated[int, setting(
        "Clips for features", "Evenly spread clips whose features are averaged to those of a video.", "Evaluation",
        1, 50, "clips")] = 10
# fmt: on


def two_windows(config: RSPNetConfig, schema: Schema) -> dict[str, Window]:  # noqa: ARG001
    """Return what is cut out of a video: two windows long enough for the fastest clip; more, evenly, to measure."""
    span = config.frames * max(config.speeds)
    return {"clip": Window(size={"T": span}, count=2, short="repeat", shown={"T": config.evaluation_clips})}


def relative_speeds(batch: Batch, config: RSPNetConfig, rng: Rng) -> dict[str, Tensor]:
    """Return three clips of every video, (B, C, T, s, s) each, and what is known of them.

    `query` at its speed; `same`, another clip of the video, at that speed; `other`, the very clip of `same` (same
    start, crop and colours), at the other speed. `is_fast` (B,) bool tells the query's speed, `still` (B,) the share
    of repeated frames, `record` (B,) the number of the record.
    """
    spec = batch.specs["clip"]
    strength = JITTER * config.colour_strength
    recipe = ClipRecipe(
        size_px=config.image_px,
        scale=config.crop_area,
        flip=config.flip,
        jitter=(strength, strength, strength, strength),
        grey_chance=config.grey_chance,
        blur_chance=config.blur_chance,
    )
    speed = config.speeds[rng.scalar_integer(0, len(config.speeds))]
    is_fast = rng.spawn("speed").chance(0.5)
    ours, theirs = torch.where(is_fast, speed, 1), torch.where(is_fast, 1, speed)
    (first, first_times), (second, second_times) = windows(batch)[0], windows(batch)[-1]
    asked = take_frames(first, number_frames(first_times, ours, config.frames))
    query = crop_clips(asked, rng.spawn("query"), recipe, spec=spec)
    numbers = torch.cat([number_frames(second_times, each, config.frames) for each in (ours, theirs)], dim=1)
    keys = crop_clips(take_frames(second, numbers), rng.spawn("key"), recipe, spec=spec)
    return {
        "query": query,
        "same": keys[:, :, : config.frames],
        "other": keys[:, :, config.frames :],
        "is_fast": is_fast,
        "still": still_share(asked),
        "record": batch.index,
    }


def windows(batch: Batch) -> list[tuple[Tensor, Tensor | None]]:
    """Return the windows that were cut out of the videos, (B, L, C, H, W) each, and their frame times (B, L)."""
    clips = batch["clip"]
    times = batch[TIMES.key] if TIMES.key in batch else None  # noqa: SIM401 a batch is no dictionary
    if clips.ndim == 5:
        return [(clips, times)]
    return [(clips[:, number], None if times is None else times[:, number]) for number in range(clips.shape[1])]


def number_frames(times: Tensor | None, speed: Tensor, count: int) -> Tensor:
    """Return which frames (B, count) of a window make a clip at a speed (B,)."""
    return frames_by_step(speed, count) if times is None else frames_by_time(times, speed, count)


class TwoHeads(nn.Module):
    """An encoder of clips and a linear head for each question."""

    def __init__(self, encoder: ClipCNN, projection: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.appearance = nn.Linear(encoder.dim, projection)
        self.motion = nn.Linear(encoder.dim, projection)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit vectors (B, P) for appearance and for motion of clips (B, C, T, H, W)."""
        pooled = self.encoder.features(clips).pooled
        appearance, motion = (F.normalize(head(pooled).float(), dim=1) for head in (self.appearance, self.motion))
        return appearance, motion


class RSPNet(nn.Module):
    """Query network, key network, queue. Views: those of `relative_speeds`."""

    def __init__(self, config: RSPNetConfig, schema: Schema) -> None:
        super().__init__()
        spec = NEED.find(schema)
        channels = int((spec.shape[1] if spec else None) or 3)
        self.query = TwoHeads(build_clip_encoder(config.encoder, channels=channels), config.projection)
        self.key = MomentumTeacher(self.query)
        self.queue = MemoryQueue(config.queue_length, config.projection, HEADS)
        self.config = config

    @property
    def encoder(self) -> ClipCNN:
        """The query network's encoder, without its heads."""
        return self.query.encoder

    def step(self, views: Views, progress: float) -> Step:
        """Return the weighted sum of both losses; the queue takes the other-speed keys, as in the authors' code."""
        config = self.config
        other = self.key(views["other"])  # a forward pass of its own for each kind of key: batch statistics matter
        same = self.key(views["same"])
        appearance, motion = self.query(views["query"])
        ranks = queue_contrast(
            appearance, (same[0], other[0]), self.queue.rows("appearance").clone(), config.temperature
        )
        instances = sum((each.losses.mean() for each in ranks), torch.zeros((), device=motion.device))
        nearer, farther = ((motion * keys[1]).sum(dim=1) / config.temperature for keys in (same, other))
        ranking = relative_speed_loss(nearer, farther, config.margin)
        weight = config.appearance_weight * ramp(progress, config.appearance_ramp)
        parts = {"appearance": weight * instances, "speed": config.speed_weight * ranking}
        with torch.no_grad():
            lead = nearer - farther
            monitors = {
                "speed ranking accuracy": (lead > 0).float().mean(),
                "beyond the margin": (lead >= config.margin).float().mean(),
                "instance top-1, same speed": (ranks[0].rank < 1).float().mean(),
                "instance top-5, same speed": (ranks[0].rank < 5).float().mean(),
                "instance top-1, other speed": (ranks[1].rank < 1).float().mean(),
                "instance top-5, other speed": (ranks[1].rank < 5).float().mean(),
                "repeated frames": views["still"].mean(),
                "queue filled": self.queue.filled(),
            }
            if self.training:
                self.queue.add(dict(zip(HEADS, other, strict=True)), views["record"])
        return Step(parts["appearance"] + parts["speed"], parts, monitors)

    @torch.no_grad()
    def after_update(self, progress: float) -> None:  # noqa: ARG002 the memory is constant
        """Move the key network towards the query network."""
        self.key.update(self.query, self.config.key_memory)

    def embed(self, batch: Batch) -> Features:
        """Return the mean over evenly spread clips at normal speed of the encoder's features (B, E), before the heads.

        Places (B, N, E) are those of the middle clip.
        """
        found = []
        for clips, times in windows(batch):
            numbers = number_frames(times, torch.ones_like(batch.index), self.config.frames)
            view = plain_clips(take_frames(clips, numbers), self.config.image_px, spec=batch.specs["clip"])
            found.append(self.encoder.features(view))
        middle = found[len(found) // 2]
        pooled = torch.stack([features.pooled for features in found]).mean(dim=0)
        return Features(pooled, middle.dense, middle.grid)


def relative_speed_loss(nearer: Tensor, farther: Tensor, margin: float) -> Tensor:
    """Return mean max(0, margin - (d⁺ - d⁻)) of similarities (B,) to the clip of the same and of the other speed."""
    return (margin - (nearer - farther)).clamp_min(0).mean()


def ramp(progress: float, between: tuple[float, float]) -> float:
    """Return 0 before `between`, 1 after it, and a straight line inside."""
    first, last = between
    if progress >= last:
        return 1.0
    return max(0.0, (progress - first) / (last - first))


def judge(model: RSPNet, views: Views) -> tuple[Tensor, Tensor]:
    """Return the motion similarities d⁺ and d⁻ (B,), divided by the temperature, of some views."""
    motion = model.query(views["query"])[1]
    same, other = (model.key(views[name])[1] for name in ("same", "other"))
    scale = model.config.temperature
    return (motion * same).sum(dim=1) / scale, (motion * other).sum(dim=1) / scale


def describe_speed(config: RSPNetConfig, *, is_fast: bool) -> str:
    """Return how a clip's speed is called."""
    return f"×{' or '.join(str(speed) for speed in config.speeds)}" if is_fast else "×1"


def show_strips(model: nn.Module, batch: Batch, choice: Choice, config: RSPNetConfig, rng: Rng) -> Pictures:  # noqa: ARG001
    """Return query, clip of the same speed and clip of the other speed as film strips, with their similarities."""
    assert isinstance(model, RSPNet)
    views = relative_speeds(batch, config, rng)
    nearer, farther = judge(model, views)
    spec = batch.specs["clip"]
    chosen = torch.linspace(0, config.frames - 1, min(STRIP, config.frames)).round().long()
    strips, labels = [], []
    for row, is_fast in enumerate(views["is_fast"].tolist()):
        speed, contrary = (describe_speed(config, is_fast=flag) for flag in (is_fast, not is_fast))
        labels += [
            f"query {speed}",
            f"same speed {speed}: {float(nearer[row]):.2f}",
            f"other speed {contrary}: {float(farther[row]):.2f}",
        ]
        for name in ("query", "same", "other"):
            frames = views[name][row].transpose(0, 1)[chosen.to(batch.index.device)]  # (STRIP, C, s, s)
            strips.append(as_picture(denormalise(frames, spec)))
    return Pictures(
        view="speeds",
        title="Three clips and their speeds",
        step=0,
        note="Numbers are similarities of motion to the query, cosine / temperature; the clip of the same speed should "
        "have the larger one. Both keys begin with the same frame, in the same crop and colours.",
        records=batch.index.repeat_interleave(3).cpu().numpy(),
        labels=tuple(labels),
        columns=tuple(f"frame {number}" for number in chosen.tolist()),
        pictures=np.stack(strips),
    )


def show_judgements(model: nn.Module, batch: Batch, choice: Choice, config: RSPNetConfig, rng: Rng) -> TextTable:  # noqa: ARG001
    """Return what the motion head says of each query."""
    assert isinstance(model, RSPNet)
    views = relative_speeds(batch, config, rng)
    rows = []
    for record, is_fast, near, far in zip(
        batch.index.tolist(), views["is_fast"].tolist(), *(side.tolist() for side in judge(model, views)), strict=True
    ):
        lead = near - far
        verdict = "right, beyond the margin" if lead >= config.margin else "right" if lead > 0 else "wrong"
        speed = describe_speed(config, is_fast=is_fast)
        rows.append((str(record), speed, f"{near:.2f}", f"{far:.2f}", f"{lead:.2f}", verdict))
    return TextTable(
        view="judgements",
        title="Judgements of speed",
        step=0,
        note="Similarities of motion, cosine / temperature. Beyond the margin a record gives no gradient any more.",
        columns=("record", "query", "same speed", "other speed", "lead", "judged"),
        rows=tuple(rows),
        records=batch.index.cpu().numpy(),
    )


def show_leads(model: nn.Module, batch: Batch, choice: Choice, config: RSPNetConfig, rng: Rng) -> Histogram:  # noqa: ARG001
    """Return by how much the clip of the same speed leads, for several draws of views of the shown records."""
    assert isinstance(model, RSPNet)
    leads = []
    for draw in range(4):
        nearer, farther = judge(model, relative_speeds(batch, config, rng.spawn(draw)))
        leads.append((nearer - farther).cpu())
    lead = torch.cat(leads)
    most = 2 * max(config.margin, 1.0)
    counts = torch.histc(lead.clamp(-most, most), BINS, -most, most)
    share = float((lead >= config.margin).float().mean())
    right = float((lead > 0).float().mean())
    return Histogram(
        view="leads",
        title="Lead of the same speed",
        step=0,
        note=f"Right of 0: {right:.0%}, chance is 50 %. The margin is {config.margin:g}; {share:.0%} lie beyond it and "
        "give no gradient.",
        edges=torch.linspace(-most, most, BINS + 1).numpy(),
        counts=counts[None].numpy(),
        series=("same minus other speed",),
        unit="cosine / temperature",
    )


def show_drift(model: nn.Module, batch: Batch, choice: Choice, config: RSPNetConfig, rng: Rng) -> Histogram:  # noqa: ARG001
    """Return how much query and key network agree on the same clips."""
    assert isinstance(model, RSPNet)
    clips = relative_speeds(batch, config, rng)["query"]
    pairs = zip(model.query(clips), model.key(clips), strict=True)
    counts = [torch.histc((ours * theirs).sum(dim=1).cpu().clamp(-1, 1), BINS, -1, 1) for ours, theirs in pairs]
    filled = float(model.queue.filled())
    return Histogram(
        view="drift",
        title="Query against key network",
        step=0,
        note=f"Cosine of the two networks' outputs for one clip; 1 = the key network has caught up. {filled:.0%} of "
        f"the queue's {model.queue.length} keys are of records, the rest still random; the oldest is that many keys "
        "old.",
        edges=torch.linspace(-1, 1, BINS + 1).numpy(),
        counts=torch.stack(counts).numpy(),
        series=HEADS,
        unit="cosine",
    )


def show_activation(model: nn.Module, batch: Batch, choice: Choice, config: RSPNetConfig, rng: Rng) -> VolumeStack:  # noqa: ARG001
    """Return which places of the first record's query make it similar to its key, for each head.

    With F the query's maps, w a head's matrix and x the key's pooled feature: Σ_c (wᵀ w x)_c F_c.
    """
    assert isinstance(model, RSPNet)
    views = relative_speeds(batch, config, rng)
    maps = model.encoder.maps(views["query"][:1]).float()
    network = model.key.network
    assert isinstance(network, TwoHeads)
    pooled = network.encoder.features(views["same"][:1]).pooled.float()
    layers = [denormalise(views["query"][0].transpose(0, 1), batch.specs["clip"]).mean(dim=1, keepdim=True)]
    for name in HEADS:
        matrix = model.query.get_submodule(name).get_parameter("weight").float()
        weights = pooled @ matrix.T @ matrix  # (1, E)
        drive = torch.einsum("be,bethw->bthw", weights, maps)
        grown = F.interpolate(drive[:, None], size=views["query"].shape[2:], mode="trilinear")[0, 0]
        layers.append((grown / grown.abs().max().clamp_min(1e-12)).unsqueeze(1))
    return VolumeStack(
        view="activation",
        title="What drives the similarity",
        step=0,
        note="Frames of the query, and where its similarity to the clip of the same speed comes from, for each head; "
        "-1…1, scaled by the largest. The object should light up for appearance, what moves for motion.",
        record=int(batch.index[0]),
        layers=("query", *HEADS),
        volumes=tuple(layer.float().cpu().numpy() for layer in layers),
    )


def find_neighbours(model: nn.Module, batch: Batch, config: RSPNetConfig, rng: Rng, head: str) -> Neighbours:
    """Return the records of the queue whose keys are nearest to the queries, each record once, its own left out."""
    assert isinstance(model, RSPNet)
    query = model.query(relative_speeds(batch, config, rng)["query"])[HEADS.index(head)]
    known = model.queue.records >= 0
    cosines, order = (query @ model.queue.rows(head)[known].T).sort(dim=1, descending=True)
    owners = model.queue.records[known][order]
    found: list[list[tuple[int, float]]] = []
    for own, records, values in zip(batch.index.tolist(), owners.tolist(), cosines.tolist(), strict=True):
        nearest: dict[int, float] = {}
        for record, value in zip(records, values, strict=True):
            if record != own and len(nearest) < NEAREST:
                nearest.setdefault(record, 1 - value)
        found.append(list(nearest.items()))
    count = min(len(row) for row in found)
    return Neighbours(
        view=f"neighbours-{head}",
        title=f"Nearest by {head}",
        step=0,
        note="Among the keys of the queue, each record once. Neighbours by appearance should look alike, those by "
        "motion run alike: the two lists should differ.",
        metric="1 - cosine",
        queries=batch.index.cpu().numpy(),
        neighbours=np.array([[record for record, _ in row[:count]] for row in found], np.int64).reshape(
            len(found), count
        ),
        distances=np.array([[far for _, far in row[:count]] for row in found], np.float32).reshape(len(found), count),
    )


def show_alike(model: nn.Module, batch: Batch, choice: Choice, config: RSPNetConfig, rng: Rng) -> Neighbours:  # noqa: ARG001
    """Return the nearest records by appearance."""
    return find_neighbours(model, batch, config, rng, "appearance")


def show_in_step(model: nn.Module, batch: Batch, choice: Choice, config: RSPNetConfig, rng: Rng) -> Neighbours:  # noqa: ARG001
    """Return the nearest records by motion."""
    return find_neighbours(model, batch, config, rng, "motion")


def probe_both(model: nn.Module, data: ClaimData, config: Any, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return accuracies of logistic probes of speed and of shape, and how often held-out speeds are judged right."""
    assert isinstance(model, RSPNet)
    train, _ = data.features(model, "train", PROBED)
    test, _ = data.features(model, "test")
    found = {}
    for name, field, classes in (("speed", "speed", 3), ("shape", "label", 4)):
        labels, truth = data.field(field, "train", PROBED).long(), data.field(field, "test").long()
        predicted, _ = logistic_probe(train, labels, test, classes)
        found[f"{name} probe accuracy"] = float((predicted == truth).float().mean())
    right, judged = 0.0, 0
    for number, batch in enumerate(data.batches("test", 0)):
        views = relative_speeds(batch, config, Rng(0, number, batch.index))
        nearer, farther = judge(model, views)
        right += float((nearer > farther).sum())
        judged += len(batch)
    return found | {"speed ranking accuracy": right / judged}


# fmt: off
METHOD = Method(
    id="rspnet",
    title="RSPNet",
    idea="Which clip runs at the query's speed, and which clips are of its video?",
    paper=Paper(
        title="RSPNet: Relative Speed Perception for Unsupervised Video Representation Learning",
        authors="Chen, Huang, He et al.", year=2021, venue="AAAI 2021",
        url="https://arxiv.org/abs/2011.07949",
        # official models/resnet.py, ResNet-18 without its classifier (33,203,904), and two heads 512 → 128 with bias;
        # what is trained: the key network doubles it
        parameters={"paper": 33_203_904 + 2 * (512 * 128 + 128)},
    ),
    families=("contrastive", "predictive"),
    needs=(NEED, TIMES),
    config=RSPNetConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "encoder": "cnn3d-micro", "projection": 64, "queue_length": 1024,
                    "key_memory": 0.99, "crop_area": (0.47, 1.0), "evaluation_clips": 3,
                    "appearance_weight": 0.1, "appearance_ramp": (0.6, 0.8)},
            # with SGD the speed task does not set in within some hundred steps of so small a network
            training={"steps": 500, "batch_size": 16, "learning_rate": 1e-3, "weight_decay": 1e-4,
                      "betas": (0.9, 0.999), "warmup_share": 0.0},
        ),
        "small": Preset(
            config={"image_px": 64, "encoder": "r2plus1d-10", "queue_length": 4096, "key_memory": 0.996,
                    "evaluation_clips": 5},
            training={"steps": 20_000, "batch_size": 64, "optimiser": "sgd", "learning_rate": 0.05,
                      "weight_decay": 1e-4, "warmup_share": 0.02},
        ),
        # 200 epochs of Kinetics-400, four devices of 64 records; the rate falls to a thousandth
        "paper": Preset(training={"steps": 187_500, "batch_size": 64, "optimiser": "sgd", "learning_rate": 0.1,
                                  "reference_batch": 64, "final_learning_rate": 4e-4, "weight_decay": 1e-4,
                                  "warmup_share": 0.0, "precision": "float32"}),
    },
    views=relative_speeds,
    model=RSPNet,
    windows=two_windows,
    inspections=(
        Look("speeds", Pictures, "Three clips and their speeds", show_strips,
             "Query, a clip of the same speed and the same clip at the other speed, with their similarities.",
             "random"),
        Look("judgements", TextTable, "Judgements of speed", show_judgements,
             "Which of two clips the motion head takes for the one of the query's speed.",
             "random"),
        Look("leads", Histogram, "Lead of the same speed", show_leads,
             "By how much the clip of the same speed is more similar; beyond the margin nothing is learned any more.",
             "random"),
        Look("activation", VolumeStack, "What drives the similarity", show_activation,
             "Places of a clip that make it similar to another of the same video, for each head.",
             "random"),
        Look("neighbours-appearance", Neighbours, "Nearest by appearance", show_alike,
             "Records of the queue that the appearance head takes for similar.",
             "random"),
        Look("neighbours-motion", Neighbours, "Nearest by motion", show_in_step,
             "Records of the queue that the motion head takes for similar.",
             "random"),
        Look("drift", Histogram, "Query against key network", show_drift,
             "How far the key network lags behind, and how much of the queue is filled.",
             "random"),
    ),
    nodes=(
        PipelineNode(id="video", text="video", column=0, row=1, role="data"),
        PipelineNode(id="query", text="query, its speed", column=1, row=0, role="data"),
        PipelineNode(id="same", text="key, same speed", column=1, row=1, role="data"),
        PipelineNode(id="other", text="key, other speed", column=1, row=2, role="data"),
        PipelineNode(id="network", text="network, two heads", column=2, row=0, role="encoder"),
        PipelineNode(id="key", text="key network", column=2, row=1.5, role="target"),
        PipelineNode(id="queue", text="queue", column=3, row=2, role="target"),
        PipelineNode(id="speed", text="same speed?", column=4, row=0, role="loss"),
        PipelineNode(id="instance", text="same video?", column=4, row=1, role="loss"),
    ),
    edges=(
        PipelineEdge(source="video", target="query"),
        PipelineEdge(source="video", target="same"),
        PipelineEdge(source="video", target="other"),
        PipelineEdge(source="query", target="network"),
        PipelineEdge(source="same", target="key"),
        PipelineEdge(source="other", target="key"),
        PipelineEdge(source="network", target="key", dashed=True),
        PipelineEdge(source="network", target="speed"),
        PipelineEdge(source="network", target="instance"),
        PipelineEdge(source="key", target="speed"),
        PipelineEdge(source="key", target="instance"),
        PipelineEdge(source="key", target="queue", dashed=True),
        PipelineEdge(source="queue", target="instance"),
    ),
    good_at="Actions and speeds in videos that move; retrieval of clips by motion or by look; convolutional networks.",
    bad_at="Videos without motion, or with repeated frames; short runs, in which the speed task may not set in.",
    claim=Claim(
        statement="Judging relative speed teaches motion, which telling videos apart neglects.",
        sample="speeds",
        arms=(
            Arm("relative speed", config={"appearance_weight": 0.0}),
            Arm("instances", config={"speed_weight": 0.0, "appearance_weight": 1.0, "appearance_ramp": (0.0, 0.0)}),
            Arm("both, instances late", training={"steps": 800},
                config={"appearance_weight": 0.15, "appearance_ramp": (0.4, 0.6)}),
            Arm("untrained", training={"steps": 0}),
        ),
        metric=probe_both,
        primary="speed probe accuracy",
        expected="the speed probe above instances alone, and near it where both are trained; that instances add to "
        "the probe of shape was not seen in all runs of this size and is reported, not asserted",
        training={"steps": 400},
    ),
    suggested_sample="speeds",
    learns_share=0.05,
)
