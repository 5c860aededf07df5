"""Whole-Heart: paint in hidden space-time patches of every plane of a heart from the visible ones of all planes.

A cardiac examination is a few moving planes through one beating heart: three long axes and a stack of short ones. One
masked autoencoder sees them together, so that what one plane hides can be told from the others, and its class token
must stand for the whole heart. Positions travel with the tokens, hence any plane may be missing.

Paper:      Zhang, Chen, Shit, Schnabel, Rueckert, Pan. Whole Heart 3D+T Representation Learning Through Sparse 2D
            Cardiac MR Images. MICCAI 2024. arXiv:2406.00329
Equations:  mean squared error of all patches, visible and hidden; positions: group, plane, time, row, column
Reference:  Yundi-Zhang/WholeHeartRL @ HEAD of 2024, models/reconstruction_models.py, utils/model_related.py,
            data/datasets.py, configs/config_reconstruction.yaml (no licence: nothing copied)
Differs:    no segmentation is used: planes are cut out around what moves, and the middle planes of the stack are
            taken; the code uses labels for both. Cycles of any number of frames are resampled along the closed cycle
            instead of being left out. Missing planes are allowed in training, too: their tokens are the first to be
            hidden and have no loss. Turned planes are filled up with their mirror image instead of 0. Hiding a whole
            plane and a loss on hidden patches alone are options of ours, as are features that add the mean token to
            the class token, which alone knows little after short training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.errors import ConfigError, MethodError
from engine.evaluation.regression import Ridge, fine_tuned_predictions, ridge_regression, score
from engine.form_fields import Depth, Heads, ImagePx, setting
from engine.inspections.planes import crossing_lines, plane_places
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.decoder import MaskedDecoder
from engine.networks.patches import patchify, unpatchify
from engine.networks.planes import PlaneViT, plane_positions
from engine.protocol.inspections import Choice, Curves, PointCloud, Similarity, TextTable, VolumeStack
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema, assign
from engine.views.masks import Mask, mask_from
from engine.views.pixels import to_float
from engine.views.planes import (
    fit_planes,
    middle_planes,
    resample_cycle,
    scale_intensity,
    stretch_contrast,
    turn_planes,
)
from engine.views.rng import Rng

SHORT = Need(
    kinds=(FieldKind.CINE,), name="sax", fields=("sax", "short_axis"), or_any=True, channels=(1,),
    what="the short-axis stack, or any stack of moving planes",
)  # fmt: skip
LONG = Need(
    kinds=(FieldKind.CINE,), name="lax", fields=("lax", "long_axis"), channels=(1,), optional=True,
    what="the long-axis planes",
)  # fmt: skip
COMPANIONS = tuple(
    Need(kinds=(FieldKind.NUMBER,), of=owner, suffix=suffix, optional=True, what=what)
    for owner in ("lax", "sax")
    for suffix, what in (("present", "which planes were taken"), ("planes", "where the planes lie, for display"))
)
MOVING_SHARE = 0.8  # pixels that change more than this share of a record's are said to move
# subjects of a claim whose numbers are known: with 100 no features of this sample, nor its pixels, tell ejection; what
# the features tell with 100 is measured beside it
LABELLED, FEW_LABELLED = 400, 100
TUNING_STEPS = 100


# fmt: off
class WholeHeartConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults are the released configuration."""

    image_px: ImagePx = 128
    frames: Annotated[int, setting(
        "Frames", "Phases of the cycle; cycles of another number of frames are resampled.", "Views", 2, 128,
        "frames")] = 50
    uses: Annotated[Literal["all planes", "short axis"], setting(
        "Planes", "Whether long-axis planes are used where there are any.", "Views")] = "all planes"
    sax_planes: Annotated[int, setting(
        "Short-axis planes", "How many planes in the middle of the stack are used.", "Views", 1, 24, "planes")] = 6
    clipped_share: Annotated[float, setting(
        "Clipped values", "Share of a record's brightest and darkest values that is clipped when it is scaled to 0…1; "
        "0 = least and largest, as in the paper, 0.005 keeps one bright vessel from darkening the rest.",
        "Views", 0.0, 0.1, "of values", advanced=True)] = 0.0
    flip: Annotated[float, setting(
        "Mirror", "How often all planes of a record are mirrored.", "Views", 0.0, 1.0, "of records")] = 0.5
    turn_degrees: Annotated[float, setting(
        "Turn", "All planes of a record are turned by one angle in ± this.", "Views", 0.0, 180.0, "°")] = 180.0
    contrast_chance: Annotated[float, setting(
        "Contrast", "How often every frame of a record is stretched to its full range.", "Views", 0.0, 1.0,
        "of records")] = 0.5
    mask_share: Annotated[float, setting(
        "Mask share", "Share of the patches of all planes that is hidden.", "Views", 0.05, 0.95, "of patches")] = 0.7
    plane_mask_chance: Annotated[float, setting(
        "Hide a plane", "How often one whole plane is hidden as part of the same share. 0 as in the paper; 0.8 makes "
        "the class token useful sooner.", "Views", 0.0, 1.0, "of records")] = 0.0
    patch_frames: Annotated[int, setting(
        "Patch frames", "Frames of a patch; it must divide the frames.", "Network", 1, 64, "frames")] = 25
    patch_px: Annotated[int, setting(
        "Patch side", "Side of a patch; it must divide the picture side.", "Network", 2, 64, "px")] = 8
    width: Annotated[int, setting(
        "Width", "Of encoder and decoder: 1 + a multiple of 8, and a multiple of the heads.", "Network", 9, 4097,
        "channels")] = 1025
    depth: Depth = 6
    heads: Heads = 5
    decoder_depth: Annotated[int, setting(
        "Decoder depth", "Blocks of the decoder, which is thrown away after training.", "Network", 1, 16,
        "blocks")] = 2
    pool: Annotated[Literal["class", "class and mean"], setting(
        "Features from", "The class token, or it and the mean of the tokens, twice as long.", "Network",
        )] = "class and mean"
    loss_on: Annotated[Literal["all", "hidden"], setting(
        "Loss on", "All patches, as in the paper, or the hidden ones alone.", "Losses")] = "all"
# fmt: on


def mask_planes(batch: Batch, config: WholeHeartConfig, rng: Rng) -> dict[str, Tensor]:
    """Return `planes` (B, S, T, s, s) in 0…1, long axes first, which are `present` (B, S), and what is hidden.

    `mask` (B, N) bool, True = hidden; `keep` (B, V) and `restore` (B, N) int64 as in `Mask`.
    """
    planes, present = prepare_planes(batch, config)
    planes = turn_planes(planes, rng.spawn("turn"), flip=config.flip, turn_degrees=config.turn_degrees)
    planes = stretch_contrast(planes, rng.spawn("contrast").chance(config.contrast_chance))
    planes = torch.where(present[:, :, None, None, None], planes, 0.0)
    mask = draw_mask(config, rng.spawn("mask"), present)
    return {"planes": planes, "present": present, "mask": mask.mask, "keep": mask.keep, "restore": mask.restore}


def prepare_planes(batch: Batch, config: WholeHeartConfig) -> tuple[Tensor, Tensor]:
    """Return the planes of raw records (B, S, T, s, s), scaled to 0…1, and which are there (B, S) bool."""
    groups = [_prepare_group(batch, config, key) for key in ("lax", "sax") if key in batch and _is_used(config, key)]
    planes = torch.cat([planes for planes, _ in groups], dim=1)
    present = torch.cat([present for _, present in groups], dim=1)
    return scale_intensity(planes, present, config.clipped_share), present


def _is_used(config: WholeHeartConfig, key: str) -> bool:
    return key == "sax" or config.uses == "all planes"


def _prepare_group(batch: Batch, config: WholeHeartConfig, key: str) -> tuple[Tensor, Tensor]:
    stack = to_float(batch[key], batch.specs[key])[:, :, 0]  # (B, T, S, H, W)
    known = f"{key}_present"
    ones = torch.ones(len(stack), stack.shape[2], dtype=torch.bool, device=stack.device)
    present = batch[known] > 0 if known in batch else ones
    if key == "sax":
        stack, present = middle_planes(stack, present, config.sax_planes)
    return fit_planes(resample_cycle(stack, config.frames), config.image_px).planes, present


def token_grid(config: WholeHeartConfig) -> tuple[int, int, int]:
    """Return the tokens of one plane along time, row and column.

    Raises:
        ConfigError: the patches do not tile the planes.
    """
    if config.frames % config.patch_frames or config.image_px % config.patch_px:
        raise ConfigError(
            f"Patches of {config.patch_frames} frames × {config.patch_px} px do not tile {config.frames} frames of "
            f"{config.image_px} px.",
            "Choose divisors.",
        )
    side = config.image_px // config.patch_px
    return config.frames // config.patch_frames, side, side


def draw_mask(config: WholeHeartConfig, rng: Rng, present: Tensor) -> Mask:
    """Return what is hidden: uniform over the tokens of all planes; missing planes (B, S) go first, then a chosen one.

    N - int(N (1 - r)) tokens are hidden in every record.
    """
    records, planes = present.shape
    tokens = planes * int(np.prod(token_grid(config)))
    masked = tokens - int(tokens * (1 - config.mask_share) + 1e-9)
    lottery = torch.where(present, rng.uniform(planes), -1.0)
    chosen = torch.nn.functional.one_hot(lottery.argmax(dim=1), planes).bool()
    chosen &= rng.chance(config.plane_mask_chance).unsqueeze(1)
    first = 2.0 * ~present + 1.0 * (chosen & present)  # (B, S)
    scores = rng.uniform(tokens) + first.repeat_interleave(tokens // planes, dim=1)
    mask = torch.zeros(records, tokens, dtype=torch.bool, device=present.device)
    mask.scatter_(1, scores.topk(masked, dim=1).indices, value=True)
    return mask_from(mask, masked)


class WholeHeart(nn.Module):
    """Encoder of visible tokens of all planes and decoder of all. Views: those of `mask_planes`."""

    def __init__(self, config: WholeHeartConfig, schema: Schema) -> None:
        super().__init__()
        long = assign((SHORT, LONG), schema).get("lax") if config.uses == "all planes" else None
        groups = (int(long.shape[2] or 0) if long else 0, config.sax_planes)
        grid = token_grid(config)
        patch = (config.patch_frames, config.patch_px, config.patch_px)
        self.encoder = PlaneViT(
            groups=groups,
            size=(config.frames, config.image_px, config.image_px),
            patch=patch,
            dim=config.width,
            depth=config.depth,
            heads=config.heads,
        )
        positions = plane_positions(groups, grid, config.width)
        self.decoder = MaskedDecoder(
            grid=self.encoder.grid,
            encoder_dim=config.width,
            dim=config.width,
            depth=config.decoder_depth,
            heads=config.heads,
            outputs=int(np.prod(patch)),
            norm_eps=1e-5,
            positions=torch.cat((torch.zeros(1, config.width), positions)),
        )
        self.config = config

    def step(self, views: Views, progress: float) -> Step:  # noqa: ARG002 nothing is scheduled
        """Return the squared error of the painted planes."""
        predicted, target = self.predict(views).float(), self.target(views["planes"])
        there = self.encoder.present_tokens(views["present"])
        counted = there & views["mask"] if self.config.loss_on == "hidden" else there
        errors = (predicted - target).square()  # (B, N, P)
        loss = _mean_over(errors.mean(dim=2), counted)
        with torch.no_grad():
            moving = self.target(moving_pixels(views["planes"]).unsqueeze(2).expand_as(views["planes"]).float())
            weight = moving * there.unsqueeze(2)
            monitors = {
                "PSNR, dB": decibels(_mean_over(errors.mean(dim=2), there)),
                "PSNR of hidden patches, dB": decibels(_mean_over(errors.mean(dim=2), there & views["mask"])),
                "error where it moves": (errors.sqrt() * weight).sum() / weight.sum().clamp_min(1),
                "missing planes": 1 - views["present"].float().mean(),
            }
        return Step(loss, {"reconstruction": loss}, monitors)

    def predict(self, views: Views) -> Tensor:
        """Return the painted patches (B, N, P), values 0…1, of all planes."""
        latent = self.encoder(views["planes"], views["present"], views["keep"])
        return self.decoder(latent, views["restore"]).sigmoid()

    def target(self, planes: Tensor) -> Tensor:
        """Return planes (B, S, T, H, W) as patches (B, N, P)."""
        flat = patchify(planes.flatten(0, 1).unsqueeze(1), self.encoder.patch)
        return flat.view(len(planes), -1, flat.shape[2])

    def paint(self, patches: Tensor) -> Tensor:
        """Return patches (B, N, P) as planes (B, S, T, H, W)."""
        flat = patches.reshape(len(patches) * self.encoder.planes, -1, patches.shape[2])
        return unpatchify(flat, self.encoder.patch, self.encoder.grid[1:])[:, 0].unflatten(0, (-1, self.encoder.planes))

    def encode(self, planes: Tensor, present: Tensor) -> Features:
        """Return features of planes (B, S, T, s, s) of which `present` (B, S) bool are there; others are not seen."""
        tokens = self.encoder(planes, present)
        there = self.encoder.present_tokens(present).unsqueeze(2)
        dense = torch.where(there, tokens[:, 1:], 0.0)
        pooled = tokens[:, 0]
        if self.config.pool == "class and mean":
            pooled = torch.cat((pooled, dense.sum(dim=1) / there.sum(dim=1).clamp_min(1)), dim=1)
        return Features(pooled, dense, self.encoder.grid)

    def embed(self, batch: Batch) -> Features:
        """Return features of whole records: pooled (B, E), and patches of all planes (B, N, E), 0 where missing."""
        return self.encode(*prepare_planes(batch, self.config))


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of values (B, N) over the chosen ones, (B, N) bool; 0 where none is."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)


def decibels(error: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of a mean squared error of values in 0…1."""
    return -10 * error.clamp_min(1e-10).log10()


def moving_pixels(planes: Tensor) -> Tensor:
    """Return which pixels (B, S, H, W) of planes (B, S, T, H, W) change most: the upper fifth of a record."""
    spread = planes.std(dim=2, correction=0)
    flat = spread.flatten(1)
    limit = flat.kthvalue(max(1, int(MOVING_SHARE * flat.shape[1])), dim=1).values
    return spread > limit.view(-1, 1, 1, 1)


def plane_names(model: WholeHeart, batch: Batch) -> tuple[str, ...]:
    """Return how the planes are called: long 1, long 2, …, short 1, short 2, …."""
    short = model.config.sax_planes
    long = model.encoder.planes - short
    del batch
    return (*(f"long {number + 1}" for number in range(long)), *(f"short {number + 1}" for number in range(short)))


def _evaluation_views(batch: Batch, config: WholeHeartConfig, rng: Rng) -> dict[str, Tensor]:
    planes, present = prepare_planes(batch, config)
    mask = draw_mask(config, rng, present)
    return {"planes": planes, "present": present, "mask": mask.mask, "keep": mask.keep, "restore": mask.restore}


def _movie(planes: Tensor) -> np.ndarray[Any, Any]:
    """Return the planes (S, T, H, W) of one record as a moving volume (T, S, H, W)."""
    return planes.transpose(0, 1).float().cpu().numpy()


def show_movie(model: nn.Module, batch: Batch, choice: Choice, config: WholeHeartConfig, rng: Rng) -> VolumeStack:  # noqa: ARG001
    """Return all planes of the first record: as they are, as the encoder sees them, as painted, and the difference."""
    assert isinstance(model, WholeHeart)
    views = _evaluation_views(batch, config, rng)
    painted = model.paint(model.predict(views))[0]
    hidden = model.paint(views["mask"].unsqueeze(2).expand(-1, -1, int(np.prod(model.encoder.patch))).float())[0]
    planes = views["planes"][0]
    painted = torch.where(views["present"][0, :, None, None, None], painted, 0.0)
    missing = [
        name for name, there in zip(plane_names(model, batch), views["present"][0].tolist(), strict=True) if not there
    ]
    return VolumeStack(
        view="movie",
        title="Planes over time",
        step=0,
        note=f"Slices are {', '.join(plane_names(model, batch))}. Values 0…1. Hidden patches are black in the masked "
        f"layer. {'Missing: ' + ', '.join(missing) + '.' if missing else 'No plane is missing.'}",
        record=int(batch.index[0]),
        layers=("input", "masked input", "painted", "error"),
        volumes=tuple(_movie(layer) for layer in (planes, planes * (1 - hidden), painted, (painted - planes).abs())),
    )


def show_curve(model: nn.Module, batch: Batch, choice: Choice, config: WholeHeartConfig, rng: Rng) -> Curves:  # noqa: ARG001
    """Return the mean brightness of the pixels that move, over the cycle, in the planes and as painted."""
    assert isinstance(model, WholeHeart)
    views = _evaluation_views(batch, config, rng)
    moving = (moving_pixels(views["planes"]) & views["present"][:, :, None, None]).unsqueeze(2)
    painted = model.paint(model.predict(views))
    curves, names = [], []
    for name, planes in (("input", views["planes"]), ("painted", painted)):
        means = (planes * moving).sum(dim=(1, 3, 4)) / moving.sum(dim=(1, 3, 4)).clamp_min(1)
        curves.append(means.float().cpu().numpy())
        names += [f"record {record}, {name}" for record in batch.index.tolist()]
    return Curves(
        view="cycle",
        title="Brightness over the cycle",
        step=0,
        note="Mean of the fifth of a record's pixels that change most, blood against wall: it falls and rises with the "
        "ventricle. A flat painted line means that only the mean picture was learned.",
        x=np.arange(config.frames, dtype=np.float32) / config.frames,
        values=np.concatenate(curves),
        series=tuple(names),
        x_name="share of the cycle",
        unit="0…1",
        dashed=tuple(name for name in names if name.endswith("input")),
    )


def _class_attention(model: WholeHeart, batch: Batch, choice: Choice) -> tuple[Tensor, Tensor, Tensor, int]:
    """Return planes, presence, the class token's weights (B, heads, 1 + N) in the chosen block, and its number."""
    planes, present = prepare_planes(batch, model.config)
    layer = choice.layer if 0 <= choice.layer < model.encoder.depth else model.encoder.depth - 1
    return planes, present, model.encoder.attention(planes, present, layer)[:, :, 0], layer


def _grow(weights: Tensor, model: WholeHeart) -> Tensor:
    """Return weights of tokens (N,) as planes (S, T, H, W), each token as large as its patch."""
    size = int(np.prod(model.encoder.patch))
    return model.paint(weights.view(1, -1, 1).expand(-1, -1, size))[0]


def show_class_attention(
    model: nn.Module,
    batch: Batch,
    choice: Choice,
    config: WholeHeartConfig,  # noqa: ARG001
    rng: Rng,  # noqa: ARG001
) -> VolumeStack:
    """Return where the class token of the first record looks, over planes and time, as a mean over heads."""
    assert isinstance(model, WholeHeart)
    planes, _, weights, layer = _class_attention(model, batch, choice)
    mean = weights[0, :, 1:].mean(dim=0)
    return VolumeStack(
        view="attention",
        title="Where the class token looks",
        step=0,
        note=f"Block {layer + 1} of {model.encoder.depth}, mean of {model.encoder.heads} heads, scaled by the largest "
        f"({float(mean.max()):.2%} of the attention). Slices are {', '.join(plane_names(model, batch))}.",
        record=int(batch.index[0]),
        layers=("input", "attention"),
        volumes=(_movie(planes[0]), _movie(_grow(mean / mean.max().clamp_min(1e-12), model))),
    )


def show_plane_shares(model: nn.Module, batch: Batch, choice: Choice, config: WholeHeartConfig, rng: Rng) -> Similarity:  # noqa: ARG001
    """Return how much of its attention the class token gives to each plane, by head, as a mean over the records."""
    assert isinstance(model, WholeHeart)
    _, _, weights, layer = _class_attention(model, batch, choice)
    shares = weights[:, :, 1:].unflatten(2, (model.encoder.planes, -1)).sum(dim=3).mean(dim=0)  # (heads, S)
    return Similarity(
        view="plane-shares",
        title="Attention by plane",
        step=0,
        note=f"Which planes the class token uses in block {layer + 1}, mean of the shown records; what is missing from "
        "100 % it gives to itself. A missing plane gets none.",
        values=shares.cpu().numpy(),
        unit="share of the attention",
        rows=tuple(f"head {head + 1}" for head in range(model.encoder.heads)),
        columns=plane_names(model, batch),
        row_records=np.zeros(0, np.int64),
        column_records=np.zeros(0, np.int64),
    )


def _geometry(batch: Batch, config: WholeHeartConfig) -> Tensor:
    """Return where the pixels of the first record's planes lie, (S, 4, 4) float64: (column, row, 0, 1) → mm.

    Raises:
        MethodError: the data do not say where the planes lie.
    """
    found = []
    for key in ("lax", "sax"):
        if key not in batch or not _is_used(config, key):
            continue
        if f"{key}_planes" not in batch:
            raise MethodError("The data do not say where the planes lie.", "Import DICOM files, which do.")
        placed = batch[f"{key}_planes"][:1].double()
        stack = to_float(batch[key][:1], batch.specs[key])[:, :, 0]
        if key == "sax":
            stack, _ = middle_planes(stack, torch.ones_like(placed[:, :, 0, 0]).bool(), config.sax_planes)
            first = max(0, (placed.shape[1] - config.sax_planes) // 2)
            placed = placed[:, first : first + config.sax_planes]
        fitted = fit_planes(stack, config.image_px)
        to_record = torch.eye(4, dtype=torch.float64, device=placed.device)
        to_record[0, 0] = to_record[1, 1] = fitted.step
        to_record[0, 3], to_record[1, 3] = fitted.corner[0, 1], fitted.corner[0, 0]
        found.append(placed[0] @ to_record)
    return torch.cat(found)


def show_crossing(model: nn.Module, batch: Batch, choice: Choice, config: WholeHeartConfig, rng: Rng) -> VolumeStack:
    """Return where the decoder looks to paint one hidden patch of the first record, and where its plane is crossed.

    Raises:
        MethodError: the data do not say where the planes lie.
    """
    assert isinstance(model, WholeHeart)
    views = _evaluation_views(batch, config, rng)
    mask = views["mask"][0] & model.encoder.present_tokens(views["present"])[0]
    query = choice.query if 0 <= choice.query < len(mask) else _middle_hidden(mask, model)
    plane = query // model.encoder.tokens_of_plane
    latent = model.encoder(views["planes"], views["present"], views["keep"])
    layer = choice.layer if 0 <= choice.layer < config.decoder_depth else config.decoder_depth - 1
    weights = model.decoder.attention(latent, views["restore"], layer)[0, :, 1 + query, 1:].mean(dim=0)
    names = plane_names(model, batch)
    lines = crossing_lines(_geometry(batch, config), plane, config.image_px).float()
    asking = _grow(torch.nn.functional.one_hot(torch.tensor(query), len(mask)).float().to(weights.device), model)
    return VolumeStack(
        view="crossing",
        title="What a hidden patch asks the other planes",
        step=0,
        note=f"A patch of {names[plane]} is painted; attention of decoder block {layer + 1}, mean of heads, scaled by "
        f"the largest. The lines are where {names[plane]} crosses the others: they should light up. Slices are "
        f"{', '.join(names)}.",
        record=int(batch.index[0]),
        layers=("input", "attention", "asking patch", "crossing lines"),
        volumes=(
            _movie(views["planes"][0]),
            _movie(_grow(weights / weights.max().clamp_min(1e-12), model)),
            _movie(asking),
            _movie(lines.unsqueeze(1).expand(-1, config.frames, -1, -1)),
        ),
    )


def _middle_hidden(mask: Tensor, model: WholeHeart) -> int:
    """Return the hidden token (N,) nearest to the middle of the last long-axis plane, or of the first plane at all."""
    grid = model.encoder.grid
    long = model.encoder.planes - model.config.sax_planes
    wanted = (max(0, long - 1), 0, grid[2] // 2, grid[3] // 2)
    places = torch.stack(torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij"), dim=-1).view(-1, 4)
    far = (places - torch.tensor(wanted)).abs().float() @ torch.tensor([1000.0, 1.0, 10.0, 10.0])
    return int(torch.where(mask.cpu(), far, torch.inf).argmin())


def show_scene(model: nn.Module, batch: Batch, choice: Choice, config: WholeHeartConfig, rng: Rng) -> PointCloud:  # noqa: ARG001
    """Return the first record's planes in space: a point per pixel, bright as the first frame, and as painted.

    Raises:
        MethodError: the data do not say where the planes lie.
    """
    assert isinstance(model, WholeHeart)
    views = _evaluation_views(batch, config, rng)
    painted = model.paint(model.predict(views))[0, :, 0]
    stride = max(1, config.image_px // 64)
    places = plane_places(_geometry(batch, config), config.image_px)[:, ::stride, ::stride]
    present = views["present"][0]
    columns = [layer[:, ::stride, ::stride][present].flatten() for layer in (views["planes"][0, :, 0], painted)]
    number = torch.arange(model.encoder.planes, device=present.device).view(-1, 1, 1).expand(places.shape[:3])
    return PointCloud(
        view="scene",
        title="Planes in space",
        step=0,
        note="The first frame of every plane where it was taken, one point per pixel.",
        record=int(batch.index[0]),
        points=places[present].reshape(-1, 3).float().cpu().numpy(),
        unit="mm",
        columns=("input", "painted", "plane"),
        values=torch.stack([*columns, number[present].flatten().float()], dim=1).float().cpu().numpy(),
    )


def show_missing(model: nn.Module, batch: Batch, choice: Choice, config: WholeHeartConfig, rng: Rng) -> TextTable:  # noqa: ARG001
    """Return how much the features of the shown records change when a plane is left out.

    Raises:
        MethodError: fewer than three records are shown.
    """
    assert isinstance(model, WholeHeart)
    if len(batch) < 3:
        raise MethodError("Features are compared after taking off their mean.", "Show three records or more.")
    planes, present = prepare_planes(batch, config)
    whole = model.encode(planes, present).pooled
    centre = whole.mean(dim=0)
    rows = []
    for number, name in enumerate(plane_names(model, batch)):
        fewer = present.clone()
        fewer[:, number] = False
        cosine = torch.cosine_similarity(model.encode(planes, fewer).pooled - centre, whole - centre, dim=1)
        lacked = int((~present[:, number]).sum())
        rows.append((name, f"{float(cosine.mean()):.3f}", f"{float(cosine.min()):.3f}", str(lacked)))
    return TextTable(
        view="missing-planes",
        title="Without one plane",
        step=0,
        note=f"Cosine between features with and without a plane, after the mean of the {len(batch)} shown records was "
        "taken off: uncentred it is always near 1.",
        columns=("left out", "mean cosine", "least cosine", "records that lack it anyway"),
        rows=tuple(rows),
        records=batch.index.cpu().numpy(),
    )


def encode_all(model: WholeHeart, inputs: Mapping[str, Tensor], without: int = -1) -> Tensor:
    """Return the features (N, E) of prepared `planes` and `present`, of all records without one plane if asked."""
    present = inputs["present"].clone()
    if without >= 0:
        present[:, without] = False
    parts = zip(inputs["planes"].split(50), present.split(50), strict=True)
    return torch.cat([model.encode(planes, there).pooled for planes, there in parts])


def predict_function(model: nn.Module, data: ClaimData, config: Any, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return how well ejection fraction and volume follow from features, with all planes and with one left out.

    Ridge on `LABELLED` subjects. For the missing planes it is fitted on them with all planes and without each one.
    """
    assert isinstance(model, WholeHeart)
    parts = {}
    for part, records in (("train", LABELLED), ("test", 0)):
        found = [prepare_planes(batch, model.config) for batch in data.batches(part, records)]  # type: ignore[arg-type]
        parts[part] = {
            "planes": torch.cat([planes for planes, _ in found]),
            "present": torch.cat([present for _, present in found]),
        }
    count = model.encoder.planes

    whole = {part: encode_all(model, inputs) for part, inputs in parts.items()}
    fewer = {part: [encode_all(model, inputs, plane) for plane in range(count)] for part, inputs in parts.items()}
    numbers = {
        name: (data.field(name, "train", LABELLED).to(rng.device), data.field(name, "test").to(rng.device))
        for name in ("ejection_fraction", "end_diastolic_volume")
    }
    ejection, truth = numbers["ejection_fraction"]
    fitted = Ridge.fit(whole["train"], ejection)
    result = score(fitted(whole["test"]), truth)
    volume = ridge_regression(
        whole["train"], numbers["end_diastolic_volume"][0], whole["test"], numbers["end_diastolic_volume"][1]
    )
    few = ridge_regression(whole["train"][:FEW_LABELLED], ejection[:FEW_LABELLED], whole["test"], truth)
    alone = {part: features[:, : model.config.width] for part, features in whole.items()}  # the class token
    told = ridge_regression(alone["train"], ejection, alone["test"], truth)
    copies = 1 + count
    robust = Ridge.fit(
        torch.cat([whole["train"], *fewer["train"]]), ejection.repeat(copies), penalty=fitted.penalty * copies
    )
    centre = whole["train"].mean(dim=0)
    cosine = torch.stack(
        [torch.cosine_similarity(without - centre, whole["test"] - centre, dim=1) for without in fewer["test"]]
    )
    tuned = fine_tuned_predictions(
        model,
        _encode_rows,
        parts["train"],
        ejection,
        parts["test"],
        steps=TUNING_STEPS,
        learning_rate=1e-3,
    )
    return {
        "ejection fraction R²": result.r2,
        "ejection fraction error, points": result.error,
        "ejection fraction R², 100 labelled": few.r2,
        "ejection fraction R², class token alone": told.r2,
        "end-diastolic volume R²": volume.r2,
        "ejection fraction R², all planes, fitted with gaps": score(robust(whole["test"]), truth).r2,
        "ejection fraction R², one plane missing": float(
            np.mean([score(robust(without), truth).r2 for without in fewer["test"]])
        ),
        "centred cosine, one plane missing": float(cosine.mean()),
        "ejection fraction R², fine-tuned": score(tuned, truth).r2,
    }


def _encode_rows(model: nn.Module, rows: Any) -> Tensor:
    assert isinstance(model, WholeHeart)
    return model.encode(rows["planes"], rows["present"]).pooled


# fmt: off
METHOD = Method(
    id="whole-heart",
    title="Whole-Heart",
    idea="Paints hidden patches of each plane of a beating heart from the visible ones of all planes.",
    paper=Paper(
        title="Whole Heart 3D+T Representation Learning Through Sparse 2D Cardiac MR Images",
        authors="Zhang, Chen, Shit et al.", year=2024, venue="MICCAI 2024",
        url="https://arxiv.org/abs/2406.00329",
        # the released configuration by the shapes of the official code: six and two timm blocks of width 1025, patch
        # 25×8×8, without the fixed position tables
        parameters={"paper": 105_307_025},
    ),
    families=("masked modelling",),
    needs=(SHORT, LONG, *COMPANIONS),
    config=WholeHeartConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "frames": 8, "sax_planes": 3, "patch_frames": 4, "width": 65, "depth": 3,
                    "decoder_depth": 1, "flip": 0.0, "turn_degrees": 0.0, "contrast_chance": 0.0,
                    "plane_mask_chance": 0.8},
            training={"steps": 600, "batch_size": 16, "learning_rate": 1e-3, "weight_decay": 0.0,
                      "betas": (0.9, 0.999), "warmup_share": 0.05},
        ),
        "small": Preset(
            config={"image_px": 96, "frames": 20, "patch_frames": 10, "width": 385, "heads": 7},
            training={"steps": 20_000, "batch_size": 8, "learning_rate": 3e-4, "weight_decay": 0.0,
                      "betas": (0.9, 0.999), "warmup_share": 0.02},
        ),
        # 300 epochs of 1000 subjects, one at a time; the rate stays (the loop's cosine ends where it begins)
        "paper": Preset(training={"steps": 300_000, "batch_size": 1, "learning_rate": 1e-4, "weight_decay": 0.0,
                                  "final_learning_rate": 1e-4, "betas": (0.9, 0.999), "warmup_share": 0.0,
                                  "precision": "float32"}),
    },
    views=mask_planes,
    model=WholeHeart,
    inspections=(
        Look("movie", VolumeStack, "Planes over time", show_movie,
             "All planes of a record: input, what the encoder sees, what is painted, the difference."),
        Look("cycle", Curves, "Brightness over the cycle", show_curve,
             "How the moving pixels brighten and darken, in the planes and as painted."),
        Look("attention", VolumeStack, "Where the class token looks", show_class_attention,
             "Attention of the class token over planes and time."),
        Look("plane-shares", Similarity, "Attention by plane", show_plane_shares,
             "Which planes the class token uses, by head."),
        Look("crossing", VolumeStack, "What a hidden patch asks the other planes", show_crossing,
             "Attention of one hidden patch in the decoder, beside the lines where its plane crosses the others."),
        Look("missing-planes", TextTable, "Without one plane", show_missing,
             "How much the features change when a plane is left out."),
        Look("scene", PointCloud, "Planes in space", show_scene,
             "The planes where they were taken, bright as measured or as painted."),
    ),
    nodes=(
        PipelineNode(id="long", text="long-axis planes", column=0, row=0, role="data"),
        PipelineNode(id="short", text="short-axis planes", column=0, row=1, role="data"),
        PipelineNode(id="mask", text="space-time patches, 70 % hidden", column=1, row=0.5, role="data"),
        PipelineNode(id="encoder", text="encoder of all planes", column=2, row=0.5, role="encoder"),
        PipelineNode(id="heart", text="class token: the heart", column=3, row=0, role="other"),
        PipelineNode(id="decoder", text="decoder", column=3, row=1, role="decoder"),
        PipelineNode(id="loss", text="all planes painted", column=4, row=1, role="loss"),
    ),
    edges=(
        PipelineEdge(source="long", target="mask"),
        PipelineEdge(source="short", target="mask"),
        PipelineEdge(source="mask", target="encoder", text="visible"),
        PipelineEdge(source="encoder", target="heart"),
        PipelineEdge(source="encoder", target="decoder"),
        PipelineEdge(source="decoder", target="loss"),
    ),
    good_at="Volumes and ejection fraction from sparse planes; examinations in which a plane is missing.",
    bad_at="Single volumes without motion; fine detail, as whole cycles lie in few patches; other frame orders.",
    claim=Claim(
        statement="Learning from all planes together tells more of a heart's function than the short axis alone.",
        sample="hearts",
        arms=(
            Arm("all planes", config={"plane_mask_chance": 0.0}),
            Arm("short axis only", config={"plane_mask_chance": 0.0, "uses": "short axis"}),
            Arm("all planes, whole ones hidden", config={"plane_mask_chance": 0.8}),
            Arm("untrained", training={"steps": 0}),
        ),
        metric=predict_function,
        primary="ejection fraction R²",
        expected="R² of all planes above that of the short axis alone, both above the untrained network's; volume R² "
        "above 0.9; one missing plane costs about 0.1 of R² at most; centred cosine about 0.9. Ridge on 400 subjects: "
        "with 100, as first planned, no features of this sample, nor its pixels, told ejection",
        training={"steps": 450},
        margin=0.03,
    ),
    suggested_sample="hearts",
    learns_share=0.05,
)
