"""Alice: the same place in two patients should mean the same, seen whole or in part, and be painted from a part.

Crops are taken at one anatomical place of different patients. A student that sees masked crops agrees with a slow
teacher of another patient on what the crop is, and with the teacher's view of the same crop on what each patch means,
after a cross-attention has put the student's own question to both; and it paints the hidden columns.

Paper:      Jiang, Sun, Lu, Yang, Zhang et al. Anatomical Invariance Modeling and Semantic Alignment for
            Self-supervised Learning in 3D Medical Image Analysis. ICCV 2023. arXiv:2302.05615
Equations:  agreement between patients, agreement of aligned patches, squared error of all voxels; their weighted sum
Reference:  alibaba-damo-academy/alice @ HEAD of 2023, main-DDP.py, engine_pretrain.py, loss.py, CASA/CASA_Module.py,
            models/head.py, models/nnFormer.py, utils.py (Apache 2.0; does not run as released, nothing copied)
Differs:    places are wanted coordinates of a common body, drawn for each step: every patient of a batch is cropped
            there, and each is paired with the next; the code matches one random point of each volume with the volume
            before by a trained network of its own. Known correspondences or the box around the body take its place,
            and no match is refused; a trained matcher is not built. Positions are one sine table, the code's are random
            and lost in checkpoints. The bias of relative places has an entry for each of them, the code confuses some.
            The teacher is in evaluation mode, the aligned target without dropout, its head a copy of the student's
            with two last layers. The four projections that are never used are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.evaluation.linear import logistic_probe
from engine.form_fields import setting
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.blocks import init_linear
from engine.networks.heads import Projector, UnitLinear
from engine.networks.swin3d import NnFormer
from engine.networks.teacher import MomentumTeacher, cosine_ramp
from engine.objectives.distillation import mean_entropy, teacher_distribution, updated_centre
from engine.protocol.inspections import Choice, Histogram, Matches, Similarity, VolumeStack
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.anatomy import (
    body_coordinates,
    crop_around,
    cut_windows,
    join_windows,
    match_places,
    scale_densities,
    score_volume,
    wanted_coordinates,
)
from engine.views.rng import Rng

VOLUME = Need(kinds=(FieldKind.VOLUME,), channels=(1,), what="scans of one region of the body")
TEMPLATE = Need(
    kinds=(FieldKind.NUMBER,), name="template", fields=("template",), optional=True,
    what="(3, d, h, w), where each place lies in a common body",
)  # fmt: skip
FIRST_ORGAN = 2  # after air and body, in the masks of the claim
LEARNT_PEOPLE, TESTED_PEOPLE = 8, 24  # of a claim
Level = tuple[Annotated[int, Meta(ge=1, le=64)], ...]


# fmt: off
class AliceConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults are the released ones."""

    crop_voxels: Annotated[int, setting(
        "Crop side", "Side of the cubes that are cut out.", "Views", 16, 192, "voxels")] = 64
    places: Annotated[int, setting(
        "Places", "Places of the body in a step, at which every patient of the batch is cropped.", "Views", 1, 32,
        "places")] = 1
    matcher: Annotated[Literal["known", "body", "random"], setting(
        "Same place", "How a place is found in another patient: by known correspondences (where the data have them, "
        "else by the box around the body), by that box, or not at all.", "Views")] = "known"
    jitter_voxels: Annotated[float, setting(
        "Jitter", "By how much a place is missed on purpose.", "Views", 0.0, 32.0, "voxels", advanced=True)] = 0.0
    reach: Annotated[float, setting(
        "Reach", "How far from the middle of the body places are drawn.", "Views", 0.1, 1.0, "half sides",
        advanced=True)] = 0.8
    bounds: Annotated[tuple[Annotated[float, Meta(ge=-5000, le=50000)], Annotated[float, Meta(ge=-5000, le=50000)]],
        setting("Window", "Values that become 0 and 1, for scans in HU; others are scaled by their own range.",
                "Views", unit="HU")] = (-125.0, 225.0)
    mask_voxels: Annotated[int, setting(
        "Mask cell", "Side of the columns that are hidden, from top to bottom of the crop.", "Views", 2, 96,
        "voxels")] = 16
    mask_share: Annotated[float, setting(
        "Mask share", "Share of the columns that is hidden from the student.", "Views", 0.05, 0.95,
        "of columns")] = 0.75
    student_noise: Annotated[float, setting(
        "Noise", "Standard deviation of noise on the student's crops, 0 as released.", "Views", 0.0, 1.0,
        "of the window", advanced=True)] = 0.0
    patch: Annotated[int, setting(
        "Patch", "Side of the finest tokens, 2 or 4.", "Network", 2, 4, "voxels")] = 2
    width: Annotated[int, setting(
        "Width", "Of the finest level; each coarser one is twice as wide.", "Network", 6, 384, "channels")] = 48
    depths: Annotated[Level, setting("Depths", "Blocks of each level.", "Network", unit="blocks")] = (2, 2, 2, 2)
    heads: Annotated[Level, setting("Heads", "Attention heads of each level.", "Network", unit="heads")] = (
        6, 12, 24, 48)
    windows: Annotated[Level, setting(
        "Windows", "Side of the attention windows of each level.", "Network", unit="tokens")] = (4, 4, 8, 4)
    drop_path: Annotated[float, setting(
        "Drop path", "How often the last block is skipped in training.", "Network", 0.0, 0.9, "of records",
        advanced=True)] = 0.2
    head_width: Annotated[int, setting(
        "Head width", "Hidden channels of the head.", "Network", 16, 4096, "channels")] = 2048
    bottleneck: Annotated[int, setting(
        "Bottleneck", "Channels before the prototypes.", "Network", 8, 1024, "channels")] = 256
    prototypes: Annotated[int, setting(
        "Prototypes", "Outputs in which crops and patches are compared.", "Network", 8, 65_536, "prototypes")] = 512
    align_heads: Annotated[int, setting(
        "Alignment heads", "Heads of the cross-attention that aligns patches.", "Network", 1, 32, "heads")] = 8
    align_width: Annotated[int, setting(
        "Alignment width", "Channels of each of its heads.", "Network", 4, 256, "channels", advanced=True)] = 64
    align_hidden: Annotated[int, setting(
        "Alignment hidden", "Hidden channels of its MLP.", "Network", 16, 8192, "channels", advanced=True)] = 2048
    aligned: Annotated[bool, setting(
        "Align patches", "Put the student's question to student and teacher before comparing patches.",
        "Network")] = True
    crop_weight: Annotated[float, setting(
        "Weight of crops", "Weight of the agreement between patients.", "Losses", 0.0, 100.0)] = 1.0
    patch_weight: Annotated[float, setting(
        "Weight of patches", "Weight of the agreement of patches.", "Losses", 0.0, 100.0)] = 1.0
    paint_weight: Annotated[float, setting(
        "Weight of painting", "Weight of half the squared error of voxels.", "Losses", 0.0, 1000.0)] = 10.0
    student_temperature: Annotated[float, setting(
        "Student temperature", "Divides the student's outputs.", "Losses", 0.01, 2.0)] = 0.1
    teacher_temperatures: Annotated[
        tuple[Annotated[float, Meta(ge=0.001, le=1)], Annotated[float, Meta(ge=0.001, le=1)]],
        setting("Teacher temperature", "First and last one. Raise it to 0.04 if the teacher soon uses few prototypes.",
                "Losses")] = (0.008, 0.01)
    temperature_share: Annotated[float, setting(
        "Temperature warm-up", "Share of the run over which the teacher's temperature rises.", "Losses", 0.0, 1.0,
        "of the run", advanced=True)] = 0.03
    freeze_share: Annotated[float, setting(
        "Freeze", "Share of the run in which the last layers of the head stand still.", "Losses", 0.0, 1.0,
        "of the run", advanced=True)] = 0.001
    centre_memory: Annotated[float, setting(
        "Centre memory", "How much of the centres remains at an update.", "Losses", 0.0, 1.0, advanced=True)] = 0.9
    teacher_memory: Annotated[float, setting(
        "Teacher memory", "How much of the teacher remains at the first update; 1 at the last.", "Target", 0.0,
        1.0)] = 0.996
# fmt: on


def matched_crops(batch: Batch, config: AliceConfig, rng: Rng) -> dict[str, Tensor]:
    """Return crops of every record at the step's places: `clean` and `seen` (B, G, 1, s, s, s), values 0…1.

    `seen` is what the student gets: hidden columns are 0, `mask` (B, G, s, s) bool says which (True = hidden).
    """
    volumes = scaled(batch, config)
    places, _ = find_places(batch, volumes, config, rng)
    side = config.crop_voxels
    clean = crop_around(volumes, places, side)
    cells = side // config.mask_voxels
    hidden = math.ceil(config.mask_share * cells * cells)
    order = rng.spawn("mask").words(config.places, cells * cells).argsort(dim=2)
    mask = (order.argsort(dim=2) < hidden).view(len(batch), config.places, cells, cells)
    mask = mask.repeat_interleave(config.mask_voxels, dim=2).repeat_interleave(config.mask_voxels, dim=3)
    seen = clean
    if config.student_noise > 0:
        seen = seen + config.student_noise * rng.spawn("noise").normal(*clean.shape[1:])
    seen = torch.where(mask[:, :, None, None], 0.0, seen)  # the same columns at every height
    return {"clean": clean, "seen": seen, "mask": mask}


def scaled(batch: Batch, config: AliceConfig) -> Tensor:
    """Return the volumes (B, 1, D, H, W) as float32 in 0…1."""
    is_ct = batch.specs["volume"].unit == "HU"
    return scale_densities(batch["volume"], config.bounds if is_ct else None)


def coordinates(batch: Batch, volumes: Tensor, config: AliceConfig) -> Tensor:
    """Return where places of the volumes lie in a common body, (B, 3, d, h, w)."""
    if config.matcher == "known" and TEMPLATE.key in batch and batch[TEMPLATE.key].ndim == 5:
        return batch[TEMPLATE.key].float()
    return body_coordinates(volumes)


def find_places(batch: Batch, volumes: Tensor, config: AliceConfig, rng: Rng) -> tuple[Tensor, Tensor]:
    """Return the places (B, G, 3) of this step in every record, voxels, and how sure each match is (B, G)."""
    space = tuple(volumes.shape[2:])
    wanted = wanted_coordinates(rng, config.places, config.reach)
    if config.matcher == "random":
        wanted = rng.spawn("elsewhere").uniform(config.places, 3, low=-config.reach, high=config.reach)
    found = match_places(coordinates(batch, volumes, config), wanted, space)
    shift = config.jitter_voxels * rng.spawn("jitter").uniform(config.places, 3, low=-1.0, high=1.0)
    return found.places + shift, found.scores


@dataclass(frozen=True, slots=True)
class Said:
    """What backbone and head say of crops."""

    crop: Tensor  # (N, K)
    encoded: Tensor  # (N, T, K), of the coarsest tokens
    decoded: Tensor  # (N, T', K), of the first decoded tokens
    painted: Tensor | None  # (N, 1, s, s, s)


class Network(nn.Module):
    """Backbone and the head of three outputs."""

    def __init__(self, config: AliceConfig) -> None:
        super().__init__()
        self.backbone = NnFormer(
            side=config.crop_voxels, channels=1, patch=config.patch, dim=config.width, depths=config.depths,
            heads=config.heads, windows=config.windows, drop_path=config.drop_path,
        )  # fmt: skip
        top, below = self.backbone.dims[-1], self.backbone.dims[-2]
        self.from_encoder = nn.Linear(top, top)
        self.from_decoder = nn.Linear(below, top)
        self.mlp = Projector(
            (top, config.head_width, config.head_width, config.bottleneck), norm="none", activation="gelu"
        )
        init_linear(self.mlp, "truncated normal")
        self.last = UnitLinear(config.bottleneck, config.prototypes)
        self.last_patch = UnitLinear(config.bottleneck, config.prototypes)

    def forward(self, crops: Tensor, *, paints: bool = True, is_last_frozen: bool = False) -> Said:
        """Return what is said of crops (N, 1, s, s, s)."""
        maps = self.backbone(crops, None if paints else 1)
        encoded = self.from_encoder(maps.levels[-1].flatten(1, 3))
        decoded = self.from_decoder(maps.decoded[0].flatten(1, 3))
        crop = self.last(self._point(maps.pooled), is_frozen=is_last_frozen)
        tokens = [self.last_patch(self._point(part), is_frozen=is_last_frozen) for part in (encoded, decoded)]
        return Said(crop, tokens[0], tokens[1], maps.painted)

    def _point(self, x: Tensor) -> Tensor:
        return F.normalize(self.mlp(x).float(), dim=-1, eps=1e-6)


class Alignment(nn.Module):
    """One block of cross-attention, norms last: what is the meaning of my patch, in these features?"""

    def __init__(self, dim: int, heads: int, width: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(dim, heads * width, bias=False) for _ in range(3))
        self.out = nn.Linear(heads * width, dim, bias=False)
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, query: Tensor, context: Tensor, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return (N, T, D) for queries (N, T, D) and context (N, T', D), and the answer's size beside the question's.

        A share that goes to 0 says that the context is ignored: then student and teacher agree for nothing.
        """
        values = self._split(self.v(context))
        answer = F.scaled_dot_product_attention(self._split(self.q(query)), self._split(self.k(context)), values)
        answer = F.dropout(self.out(answer.transpose(1, 2).flatten(2)), dropout, training=dropout > 0)
        share = answer.detach().float().norm(dim=2).mean() / query.detach().float().norm(dim=2).mean().clamp_min(1e-12)
        hidden = self.norm1(query + answer)
        return self.norm2(hidden + F.dropout(self.fc2(F.relu(self.fc1(hidden))), dropout, training=dropout > 0)), share

    def weights(self, query: Tensor, context: Tensor) -> Tensor:
        """Return the softmax weights (N, heads, T, T')."""
        q, k = self._split(self.q(query)).float(), self._split(self.k(context)).float()
        return (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).softmax(dim=3)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Alice(nn.Module):
    """Student, teacher, alignment and two centres. Views: those of `matched_crops`."""

    crop_centre: Tensor
    patch_centre: Tensor

    def __init__(self, config: AliceConfig, schema: Schema) -> None:  # noqa: ARG002 one channel, whatever the data
        super().__init__()
        self.student = Network(config)
        self.teacher = MomentumTeacher(self.student, mode="eval")
        self.alignment = (
            Alignment(config.prototypes, config.align_heads, config.align_width, config.align_hidden)
            if config.aligned
            else None
        )
        for name in ("crop", "patch"):
            self.register_buffer(f"{name}_centre", torch.zeros(config.prototypes))
            self.register_buffer(f"pending_{name}", torch.zeros(config.prototypes))
        self.register_buffer("pending_batches", torch.zeros(()))
        self.config = config

    def step(self, views: Views, progress: float) -> Step:
        """Return the weighted sum of the three losses; each patient is paired with the next, in both directions."""
        config = self.config
        records, places = views["clean"].shape[:2]
        clean, seen = views["clean"].flatten(0, 1), views["seen"].flatten(0, 1)
        with torch.no_grad():
            target: Said = self.teacher(clean, paints=False)
        said: Said = self.student(seen, is_last_frozen=progress < config.freeze_share)
        temperature = teacher_temperature(config, progress)
        crops = teacher_distribution(target.crop, self.crop_centre, temperature).view(records, places, -1)
        student_crops = said.crop.view(records, places, -1)
        crop_loss = (
            cross_entropy(student_crops.roll(-1, 0), crops, config.student_temperature)
            + cross_entropy(student_crops.roll(1, 0), crops, config.student_temperature)
        ) / 2
        asked, answered, share = self.aligned_patches(said, target, dropout=0.1 if self.training else 0.0)
        patches = teacher_distribution(answered, self.patch_centre, temperature)
        patch_loss = cross_entropy(asked, patches, config.student_temperature)
        assert said.painted is not None
        squared = (said.painted.float() - clean).square()
        parts = {
            "crops": config.crop_weight * crop_loss,
            "patches": config.patch_weight * patch_loss,
            "painting": config.paint_weight * 0.5 * squared.mean(),
        }
        with torch.no_grad():
            if self.training:
                self.get_buffer("pending_crop").add_(target.crop.float().mean(dim=0))
                self.get_buffer("pending_patch").add_(answered.float().mean(dim=(0, 1)))
                self.get_buffer("pending_batches").add_(1)
            hidden = views["mask"].flatten(0, 1)[:, None, None].expand_as(squared)
            agreed = crops.argmax(dim=2) == student_crops.roll(-1, 0).argmax(dim=2)
            monitors = {
                "patients agree": agreed.float().mean(),
                "crop target entropy": mean_entropy(crops),
                "entropy of the mean crop target": mean_entropy(crops.mean(dim=(0, 1))),
                "patch target entropy": mean_entropy(patches),
                "entropy of the mean patch target": mean_entropy(patches.mean(dim=(0, 1))),
                "answer beside question": share,
                "squared error of hidden voxels": (squared * hidden).sum() / hidden.sum().clamp_min(1),
            }
        return Step(sum(parts.values(), torch.zeros((), device=clean.device)), parts, monitors)

    def aligned_patches(self, said: Said, target: Said, dropout: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """Return the student's patches as seen by itself and by the teacher (N, T, K), the latter without gradient."""
        if self.alignment is None:
            return said.encoded, target.encoded.detach(), said.crop.new_zeros(())
        asked, share = self.alignment(said.encoded, said.decoded, dropout)
        with torch.no_grad():
            answered, _ = self.alignment(said.encoded, target.decoded)
        return asked, answered, share

    @torch.no_grad()
    def after_update(self, progress: float) -> None:
        """Move the teacher towards the student, and the centres towards the teacher's mean outputs."""
        self.teacher.update(self.student, cosine_ramp(self.config.teacher_memory, 1.0, progress))
        batches = self.get_buffer("pending_batches")
        for name in ("crop", "patch"):
            pending, centre = self.get_buffer(f"pending_{name}"), self.get_buffer(f"{name}_centre")
            mean = pending / batches.clamp_min(1)
            moved = updated_centre(centre, mean[None], self.config.centre_memory)
            centre.copy_(torch.where((batches > 0) & torch.isfinite(mean).all(), moved, centre))
            pending.zero_()
        batches.zero_()

    @property
    def network(self) -> Network:
        """The teacher's network, whose features are kept."""
        network = self.teacher.network
        assert isinstance(network, Network)
        return network

    def embed(self, batch: Batch) -> Features:
        """Return the mean over windows of the coarsest features (B, E), and tokens of the whole volume (B, N, E').

        Windows of the crop's side cover the volume, half overlapping. A token holds the first decoded features and,
        around them, the coarsest ones.
        """
        side, backbone = self.config.crop_voxels, self.network.backbone
        windows = cut_windows(scaled(batch, self.config), side, side // 2)
        counts = windows.shape[:4]
        maps = backbone(windows.reshape(-1, 1, side, side, side), 1)
        pooled = maps.pooled.view(len(batch), -1, maps.pooled.shape[1]).mean(dim=1)
        coarse = maps.levels[-1]
        for axis in (1, 2, 3):
            coarse = coarse.repeat_interleave(2, dim=axis)
        tokens = torch.cat((maps.decoded[0], coarse), dim=4)
        dense = join_windows(tokens.unflatten(0, counts), tokens.shape[1] // 2)
        return Features(pooled, dense.flatten(2).transpose(1, 2), tuple(dense.shape[2:]))


def cross_entropy(student: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return the mean over all but the last axis of -Σ_k p_k log softmax(s / τ)_k."""
    return -(target * F.log_softmax(student.float() / temperature, dim=-1)).sum(dim=-1).mean()


def teacher_temperature(config: AliceConfig, progress: float) -> float:
    """Return the teacher's temperature: linear from the first to the last, then constant."""
    first, last = config.teacher_temperatures
    return first + (last - first) * min(1.0, progress / config.temperature_share if config.temperature_share else 1.0)


def _volume(x: Tensor) -> np.ndarray[Any, Any]:
    """Return a volume (D, H, W) as float32."""
    return x.detach().float().cpu().numpy()


def show_pair(model: nn.Module, batch: Batch, choice: Choice, config: AliceConfig, rng: Rng) -> VolumeStack:  # noqa: ARG001
    """Return the first patient with a place, the next patient, how well each voxel there fits, and the match."""
    volumes = scaled(batch, config)
    space = tuple(volumes.shape[2:])
    other = min(1, len(batch) - 1)
    field = coordinates(batch, volumes, config)
    places, scores = find_places(batch, volumes, config, rng)
    grid = field.new_tensor(field.shape[2:])
    cell = (places[0, 0] / field.new_tensor(space) * grid).long()
    cell = torch.minimum(cell.clamp_min(0), grid.long() - 1)
    fit = score_volume(field[other : other + 1], field[0, :, cell[0], cell[1], cell[2]], space)[0]
    marks = [crop_mark(space, places[record, 0]) for record in (0, other)]
    written = [", ".join(f"{float(value):.0f}" for value in places[record, 0]) for record in (0, other)]
    return VolumeStack(
        view="pair",
        title="The same place in two patients",
        step=0,
        note=f"Place ({written[0]}) of record {int(batch.index[0])} and its match ({written[1]}) in record "
        f"{int(batch.index[other])}, (z, y, x) in voxels; score of the match {float(scores[other, 0]):.2f}. The last "
        "layer says how well each voxel of the second patient fits the place in the first.",
        record=int(batch.index[0]),
        layers=("patient", "place", "other patient", "match", "fit"),
        volumes=tuple(
            _volume(layer) for layer in (volumes[0, 0], marks[0], volumes[other, 0], marks[1], fit.clamp(0, 1))
        ),
        spacing_mm=batch.specs["volume"].spacing_mm,
    )


def crop_mark(space: tuple[int, ...], place: Tensor) -> Tensor:
    """Return 1 in the 3×3×3 voxels around a place (3,), 0 elsewhere, (D, H, W)."""
    apart = [
        (torch.arange(side, device=place.device) - place[axis])
        .abs()
        .view([-1 if other == axis else 1 for other in range(3)])
        for axis, side in enumerate(space)
    ]
    return ((apart[0] <= 1.5) & (apart[1] <= 1.5) & (apart[2] <= 1.5)).float()


def show_matches(model: nn.Module, batch: Batch, choice: Choice, config: AliceConfig, rng: Rng) -> Matches:  # noqa: ARG001
    """Return places of the body in the first two patients, on their front views (means from front to back)."""
    volumes = scaled(batch, config)
    other = min(1, len(batch) - 1)
    drawn = [find_places(batch, volumes, config, rng.spawn(draw)) for draw in range(12)]
    places = torch.cat([each[0] for each in drawn], dim=1)
    scores = torch.cat([each[1] for each in drawn], dim=1)[other]
    order = scores.argsort(descending=True)
    fronts = volumes[:, 0].mean(dim=2)  # (B, D, W)
    fronts = fronts / fronts.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    xz = places[:, :, [2, 0]]
    return Matches(
        view="matches",
        title="Matched places",
        step=0,
        note=f"Records {int(batch.index[0])} and {int(batch.index[other])}, mean from front to back; places of several "
        "draws. Scores are those of the match in the second patient.",
        left=fronts[0][None].cpu().numpy(),
        right=fronts[other][None].cpu().numpy(),
        from_px=xz[0][order].cpu().numpy(),
        to_px=xz[other][order].cpu().numpy(),
        scores=scores[order].cpu().numpy(),
    )


def show_painting(model: nn.Module, batch: Batch, choice: Choice, config: AliceConfig, rng: Rng) -> VolumeStack:  # noqa: ARG001
    """Return a crop of the first record, as the student sees it, and as it paints it."""
    assert isinstance(model, Alice)
    views = matched_crops(batch, config, rng)
    said: Said = model.student(views["seen"][0, :1])
    assert said.painted is not None
    clean, seen, painted = views["clean"][0, 0, 0], views["seen"][0, 0, 0], said.painted[0, 0].clamp(0, 1)
    return VolumeStack(
        view="painting",
        title="Hidden columns, painted",
        step=0,
        note="Hidden columns reach from top to bottom of the crop and are 0, which also is the value of air.",
        record=int(batch.index[0]),
        layers=("crop", "seen", "painted", "error"),
        volumes=tuple(_volume(layer) for layer in (clean, seen, painted, (painted - clean).abs())),
        spacing_mm=batch.specs["volume"].spacing_mm,
    )


def show_alignment(model: nn.Module, batch: Batch, choice: Choice, config: AliceConfig, rng: Rng) -> VolumeStack:
    """Return where one patch of the student looks in its own and in the teacher's features of the same crop."""
    assert isinstance(model, Alice)
    views = matched_crops(batch, config, rng)
    said: Said = model.student(views["seen"][0, :1], paints=False)
    target: Said = model.teacher(views["clean"][0, :1], paints=False)
    tokens = said.encoded.shape[1]
    side = round(tokens ** (1 / 3))
    query = choice.query if 0 <= choice.query < tokens else (side // 2) * (side * side + side + 1)
    layers = {"crop": views["clean"][0, 0, 0], "seen": views["seen"][0, 0, 0]}
    peaks = []
    for name, context in (("student", said.decoded), ("teacher", target.decoded)):
        if model.alignment is None:
            continue
        weights = model.alignment.weights(said.encoded, context)[0, :, query].mean(dim=0)
        cells = round(len(weights) ** (1 / 3))
        peaks.append(f"{name} at most {float(weights.max()):.2%}, {math.exp(float(mean_entropy(weights))):.0f} places")
        cube = (weights / weights.max().clamp_min(1e-12)).view(1, 1, cells, cells, cells)
        layers[f"attention to {name}"] = F.interpolate(cube, scale_factor=config.crop_voxels // cells)[0, 0]
    return VolumeStack(
        view="alignment",
        title="What a patch asks student and teacher",
        step=0,
        note=f"Patch {query} of {tokens}, mean of heads, scaled by the largest ({'; '.join(peaks) or 'not aligned'}). "
        "Both should become alike and compact.",
        record=int(batch.index[0]),
        layers=tuple(layers),
        volumes=tuple(_volume(layer) for layer in layers.values()),
        spacing_mm=batch.specs["volume"].spacing_mm,
    )


def show_prototypes(model: nn.Module, batch: Batch, choice: Choice, config: AliceConfig, rng: Rng) -> Histogram:  # noqa: ARG001
    """Return how much the teacher uses each prototype, for crops and for patches, the most used first."""
    assert isinstance(model, Alice)
    clean = matched_crops(batch, config, rng)["clean"].flatten(0, 1)
    target: Said = model.teacher(clean, paints=False)
    temperature = teacher_temperature(config, 1.0)
    crops = teacher_distribution(target.crop, model.crop_centre, temperature)
    _, answered, _ = model.aligned_patches(target, target)
    patches = teacher_distribution(answered, model.patch_centre, temperature).flatten(0, 1)
    usage = [part.mean(dim=0) for part in (crops, patches)]
    entropies = "; ".join(
        f"{name}: entropy of the mean {float(mean_entropy(mean)):.2f}, mean entropy {float(mean_entropy(part)):.2f}"
        for name, mean, part in zip(("crops", "patches"), usage, (crops, patches), strict=True)
    )
    return Histogram(
        view="prototypes",
        title="Prototypes in use",
        step=0,
        note=f"Shares of {config.prototypes} prototypes, most used first. In nats, {entropies}; an entropy of the mean "
        "below 1 warns of collapse.",
        edges=np.arange(config.prototypes + 1, dtype=np.float32),
        counts=torch.stack([mean.sort(descending=True).values for mean in usage]).cpu().numpy(),
        series=("crops", "patches"),
        unit="prototype, by rank",
    )


def show_places(model: nn.Module, batch: Batch, choice: Choice, config: AliceConfig, rng: Rng) -> Similarity:  # noqa: ARG001
    """Return how alike crops of all shown patients at three heights of the body are; anatomy should win."""
    assert isinstance(model, Alice)
    volumes = scaled(batch, config)
    heights = volumes.new_tensor([[z, 0.0, 0.0] for z in (-0.6, 0.0, 0.6)])
    places = match_places(coordinates(batch, volumes, config), heights, tuple(volumes.shape[2:])).places
    crops = crop_around(volumes, places, config.crop_voxels).transpose(0, 1).flatten(0, 1)  # places, then patients
    pooled = model.network.backbone(crops, 0).pooled.float()
    unit = F.normalize(pooled - pooled.mean(dim=0), dim=1)
    records = batch.index.cpu().numpy()
    names = tuple(f"{where}, record {record}" for where in ("low", "middle", "high") for record in records)
    return Similarity(
        view="places",
        title="Places and patients",
        step=0,
        note="Cosines of the teacher's features of crops, less their mean. Blocks on the diagonal are one place in all "
        "patients; bright stripes beside them would be one patient in all places.",
        values=(unit @ unit.T).cpu().numpy(),
        rows=names,
        columns=names,
        row_records=np.tile(records, 3),
        column_records=np.tile(records, 3),
    )


def know_organs(model: nn.Module, data: ClaimData, config: Any, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return how well a linear probe tells organs from tokens, and how far organs are missed in the next patient.

    The token at an organ's centre is looked for among all tokens of the next patient; each lies in the middle of a crop
    of its own. Beside it stands how far organs are missed by who looks at the same place of the volume, whatever is
    there, and by who always takes the token next to the truth.
    """
    assert isinstance(model, Alice)
    tokens, labels, volumes = {}, {}, {}
    for part, people in (("train", LEARNT_PEOPLE), ("test", TESTED_PEOPLE)):
        batches = list(data.batches(part, people))  # type: ignore[arg-type]
        found = [model.embed(batch) for batch in batches]
        tokens[part] = torch.cat([each.dense for each in found if each.dense is not None]).float().cpu()
        masks = data.field("mask", part, people).long()  # type: ignore[arg-type]
        side = masks.shape[1] // found[0].grid[0]  # voxels of a token
        labels[part] = masks[:, side // 2 :: side, side // 2 :: side, side // 2 :: side].flatten(1) - FIRST_ORGAN
        volumes[part] = torch.cat([scaled(batch, model.config) for batch in batches])
    chosen = {part: labels[part] >= 0 for part in labels}
    predicted, _ = logistic_probe(
        tokens["train"][chosen["train"]],
        labels["train"][chosen["train"]],
        tokens["test"][chosen["test"]],
        len(data.field("landmarks", "test", 1)[0]),
    )
    accuracy = float((predicted == labels["test"][chosen["test"]]).float().mean())
    missed = find_organs(model, volumes["test"], data.field("landmarks", "test", TESTED_PEOPLE).to(rng.device))
    return {
        "retrieval error, voxels": missed[0],
        "error of the same place, voxels": missed[1],
        "error of the nearest token, voxels": missed[2],
        "organ probe accuracy": accuracy,
    }


def find_organs(model: Alice, volumes: Tensor, centres: Tensor) -> tuple[float, float, float]:
    """Return by how many voxels organs are missed in the next person: by features, by place, and at the least.

    Args:
        model: whose teacher describes places.
        volumes: (P, 1, D, H, W), values 0…1.
        centres: (P, organs, 3) voxels (z, y, x), NaN where an organ is missing.
    """
    cell = token_voxels(model)
    axes = [torch.arange(size // cell, device=volumes.device) * cell + (cell - 1) / 2 for size in volumes.shape[2:]]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=3).flatten(0, 2)  # (N, 3)
    everywhere = torch.stack([describe_places(model, volume, grid) for volume in volumes])  # (P, N, E)
    mean = everywhere.mean(dim=(0, 1))
    errors = []
    for person in range(len(volumes) - 1):
        both = torch.isfinite(centres[person]).all(1) & torch.isfinite(centres[person + 1]).all(1)
        asked, truth = centres[person][both], centres[person + 1][both]
        query = F.normalize(describe_places(model, volumes[person], asked) - mean, dim=1)
        alike = query @ F.normalize(everywhere[person + 1] - mean, dim=1).T
        answers = (alike.argmax(1), torch.cdist(asked, grid).argmin(1), torch.cdist(truth, grid).argmin(1))
        errors.append(torch.stack([(grid[answer] - truth).norm(dim=1) for answer in answers]))
    by_features, by_place, least = torch.cat(errors, dim=1).mean(dim=1).tolist()
    return by_features, by_place, least


def token_voxels(model: Alice) -> int:
    """Return the side of a token of the first decoded features, in voxels."""
    return model.config.patch << (len(model.config.depths) - 2)


def describe_places(model: Alice, volume: Tensor, places: Tensor) -> Tensor:
    """Return the token (N, E) at each place (N, 3) of a volume (1, D, H, W), in the middle of a crop around it.

    So every token has the same place in its window, and the network's knowledge of that place tells nothing. Tokens of
    fixed windows are nearest to those of the same place in the window: by them organs were "found" at the same place of
    the volume, to the last digit, in five of eight runs, trained on matched places or on random ones.
    """
    side, cell = model.config.crop_voxels, token_voxels(model)
    crops = crop_around(volume[None], places[None] - (cell - 1) / 2, side)[0]
    found = []
    for part in crops.split(128):
        maps = model.network.backbone(part, 1)
        middle = maps.decoded[0].shape[1] // 2
        coarse = maps.levels[-1].shape[1] // 2
        found.append(
            torch.cat((maps.decoded[0][:, middle, middle, middle], maps.levels[-1][:, coarse, coarse, coarse]), dim=1)
        )
    return torch.cat(found).float()


# fmt: off
METHOD = Method(
    id="alice",
    title="Alice",
    idea="The same place in two patients means the same, whole or masked, and hidden columns are painted.",
    paper=Paper(
        title="Anatomical Invariance Modeling and Semantic Alignment for Self-supervised Learning in 3D Medical Image "
        "Analysis",
        authors="Jiang, Sun, Lu et al.", year=2023, venue="ICCV 2023", url="https://arxiv.org/abs/2302.05615",
        # what is trained, counted in the official code: nnFormer at 64³ without its unused heads and mask token
        # (9,723,409), head with two last layers (5,993,472), alignment without its unused projections (3,150,336)
        parameters={"paper": 18_867_217},
    ),
    families=("self-distillation", "masked modelling"),
    needs=(VOLUME, TEMPLATE),
    config=AliceConfig,
    presets={
        "tiny": Preset(
            config={"crop_voxels": 32, "mask_voxels": 8, "patch": 4, "width": 24, "depths": (1, 1, 1),
                    "heads": (3, 6, 12), "windows": (4, 4, 2), "drop_path": 0.0, "head_width": 128, "bottleneck": 64,
                    "prototypes": 128, "align_heads": 4, "align_width": 16, "align_hidden": 128, "jitter_voxels": 1.0,
                    "teacher_temperatures": (0.04, 0.04), "teacher_memory": 0.99, "freeze_share": 0.02},
            training={"steps": 400, "batch_size": 8, "learning_rate": 1e-3, "weight_decay": 0.04, "warmup_share": 0.1,
                      "betas": (0.9, 0.999), "clip_norm": 3.0, "clip_each": True},
        ),
        "small": Preset(
            config={"crop_voxels": 32, "places": 4, "width": 24, "mask_voxels": 8, "depths": (2, 2, 2),
                    "heads": (3, 6, 12), "windows": (4, 4, 4), "head_width": 512, "prototypes": 256,
                    "align_heads": 4, "align_hidden": 512, "teacher_temperatures": (0.03, 0.04)},
            training={"steps": 10_000, "batch_size": 8, "learning_rate": 5e-4, "weight_decay": 0.04,
                      "final_weight_decay": 0.4, "warmup_share": 0.05, "betas": (0.9, 0.999), "clip_norm": 3.0,
                      "clip_each": True},
        ),
        # 1000 epochs of 2000 scans, eight devices of eight scans; the rate is ours, as the released one would rise
        "paper": Preset(training={"steps": 31_250, "batch_size": 8, "learning_rate": 5e-4, "final_learning_rate": 1e-6,
                                  "weight_decay": 0.04, "final_weight_decay": 0.4, "warmup_share": 0.05,
                                  "betas": (0.9, 0.999), "clip_norm": 3.0, "clip_each": True,
                                  "precision": "float32"}),
    },
    views=matched_crops,
    model=Alice,
    inspections=(
        Look("pair", VolumeStack, "The same place in two patients", show_pair,
             "A place in one patient, its match in another, and how well every voxel there fits."),
        Look("matches", Matches, "Matched places", show_matches,
             "Places of the body in two patients, joined by lines."),
        Look("painting", VolumeStack, "Hidden columns, painted", show_painting,
             "A crop, what the student sees of it, what it paints, and the difference."),
        Look("alignment", VolumeStack, "What a patch asks student and teacher", show_alignment,
             "Where one patch of the student looks in its own and in the teacher's features."),
        Look("prototypes", Histogram, "Prototypes in use", show_prototypes,
             "How much the teacher uses each prototype for crops and for patches."),
        Look("places", Similarity, "Places and patients", show_places,
             "How alike crops of several patients at several heights are."),
    ),
    nodes=(
        PipelineNode(id="first", text="patient A", column=0, row=0, role="data"),
        PipelineNode(id="second", text="patient B", column=0, row=2, role="data"),
        PipelineNode(id="match", text="same place", column=1, row=1, role="other"),
        PipelineNode(id="student", text="student, columns hidden", column=2, row=0, role="encoder"),
        PipelineNode(id="teacher", text="teacher", column=2, row=2, role="target"),
        PipelineNode(id="align", text="cross-attention", column=3, row=1, role="predictor"),
        PipelineNode(id="paint", text="painted voxels", column=4, row=0, role="loss"),
        PipelineNode(id="patches", text="patches agree", column=4, row=1, role="loss"),
        PipelineNode(id="crops", text="patients agree", column=4, row=2, role="loss"),
    ),
    edges=(
        PipelineEdge(source="first", target="match"),
        PipelineEdge(source="second", target="match"),
        PipelineEdge(source="match", target="student"),
        PipelineEdge(source="match", target="teacher"),
        PipelineEdge(source="student", target="teacher", dashed=True),
        PipelineEdge(source="student", target="align", text="asks"),
        PipelineEdge(source="teacher", target="align"),
        PipelineEdge(source="align", target="patches"),
        PipelineEdge(source="student", target="paint"),
        PipelineEdge(source="student", target="crops"),
        PipelineEdge(source="teacher", target="crops"),
    ),
    good_at="Scans of one region of the body: organs found again in other patients, segmentation with few labels.",
    bad_at="Bodies in any position or of different regions; scans of different sizes, which must be brought to one.",
    claim=Claim(
        statement="Pairing the same place of different patients makes organs easier to find again than pairing places "
        "at random.",
        sample="phantoms",
        arms=(
            Arm("same place"),
            Arm("random places", config={"matcher": "random"}),
            Arm("painting alone", config={"crop_weight": 0.0, "patch_weight": 0.0}),
            Arm("without alignment", config={"aligned": False}),
        ),
        metric=know_organs,
        primary="retrieval error, voxels",
        expected="a smaller retrieval error than with random places, at best 0.8 of it; an organ probe 3 points or "
        "more above painting alone; without alignment in between",
        config={"places": 2},
        training={"steps": 300, "batch_size": 4},
        seeds=2,
        higher_is_better=False,
    ),
    suggested_sample="phantoms",
    learns_share=0.05,
)
