"""SelfPatch: beside DINO, the student predicts from each patch what the teacher says of that patch's neighbours.

Neighbours mostly belong to the same thing. The teacher sums up those of the eight around a patch that resemble it most;
agreeing with that keeps patches meaningful, where DINO alone cares about the picture as a whole.

Paper:      Yun, Lee, Kim, Shin. Patch-level Representation Learning for Self-supervised Vision Transformers.
            CVPR 2022. arXiv:2206.07990
Equations:  neighbour selection, aggregation, patch loss and total as in the paper's section 3; DINO's (1) to (4)
Reference:  alinlab/SelfPatch: main_selfpatch.py, selfpatch_vision_transformer.py (licence and commit not noted by those
            who read it for the page this file follows; nothing copied)
Differs:    the last layers are frozen at the start by leaving their weights out of the graph. With accumulated batches
            the centres move once per update, by their mean. Crops are resampled on the device for the whole batch, blur
            comes before the colours, and the defaults do not blur, as pictures are small.
            The claim learns five times as fast as the tiny preset: at that one's rate the encoder's weights moved by
            2 % of their length in 300 steps and no arm's probe differed from the untrained one's by 0.01. In a look at
            one seed (150 steps, half the probe's pictures) it gave 0.615 with the loss of patches, 0.610 without, both
            less than untrained (0.634): in the first twenty steps, before the centres are where the outputs are, a run
            this short learns one answer for all pictures, and then has hardly begun to tell them apart.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.errors import ConfigError
from engine.evaluation.segmentation import labelled_places, mean_iou, place_neighbours, segmentation_probe
from engine.form_fields import (
    BlurChances,
    ColourStrength,
    CropArea,
    Depth,
    DropPath,
    FlipChance,
    GreyChance,
    Heads,
    ImagePx,
    PatchPx,
    SmallCropArea,
    SolariseChance,
    Width,
    setting,
)
from engine.inspections.attentions import chosen_layer, make_attention
from engine.inspections.generic import as_picture
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.aggregation import Border, Chosen, PatchAggregation, choose_neighbours, neighbour_cosines
from engine.networks.blocks import Init
from engine.networks.heads import DinoHead
from engine.networks.teacher import MomentumTeacher, cosine_ramp
from engine.networks.vit import ViT
from engine.objectives.distillation import (
    mean_entropy,
    patch_distillation_loss,
    self_distillation_loss,
    teacher_distribution,
    updated_centre,
)
from engine.protocol.inspections import Attention, Choice, Histogram, Matches, Pictures
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.crops import CropRecipe, crop_views, multi_crop
from engine.views.pixels import denormalise, evaluation_view
from engine.views.rng import Rng

NEED = Need(kinds=(FieldKind.IMAGE,), channels=(1, 3), smallest_px=8, what="the pictures to learn from")
USAGE_MEMORY = 0.98
BINS = 40
MATCHES_SHOWN = 24
PURE = 0.8  # share of a patch that one texture covers; less lies near a boundary


# fmt: off
class SelfPatchConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit pictures of about 64 px."""

    image_px: ImagePx = 64
    crop_area: CropArea = (0.25, 1.0)
    local_px: Annotated[int, setting(
        "Small crop side", "Side of the small crops; a multiple of the patch side, of at least three patches.",
        "Views", 8, 256, "px")] = 32
    local_area: SmallCropArea = (0.05, 0.25)
    local_crops: Annotated[int, setting(
        "Small crops", "How many small crops there are beside the two large ones. Each makes a step slower.",
        "Views", 0, 16, "per record")] = 4
    flip: FlipChance = 0.5
    colour_strength: ColourStrength = 1.0
    grey_chance: GreyChance = 0.2
    blur_chances: BlurChances = (0.0, 0.0, 0.0)
    solarise_chance: SolariseChance = 0.2
    patch_px: PatchPx = 8
    width: Width = 192
    depth: Depth = 12
    heads: Heads = 3
    drop_path: DropPath = 0.1
    aggregation_blocks: Annotated[int, setting(
        "Aggregation blocks", "Blocks in which the class token looks at patches.",
        "Network", 1, 8, "blocks", advanced=True)] = 2
    first_weights: Annotated[Init, setting(
        "First weights", "Of encoder and aggregation: a truncated normal of deviation 0.02, as in the paper, or larger "
        "the narrower a layer is (xavier). With small ones a narrow network's class token hardly tells pictures apart.",
        "Network", advanced=True)] = "truncated normal"
    outputs: Annotated[int, setting(
        "Outputs", "Length of the distribution on which student and teacher agree for pictures; 65 536 for a million "
        "of them.", "Network", 16, 131072, "prototypes")] = 2048
    patch_outputs: Annotated[int, setting(
        "Patch outputs", "The same for patches; 4 096 in the paper.", "Network", 16, 131072, "prototypes")] = 512
    head_width: Annotated[int, setting(
        "Head width", "Hidden channels of both heads.", "Network", 16, 4096, "channels", advanced=True)] = 512
    bottleneck: Annotated[int, setting(
        "Bottleneck", "Channels before the outputs, brought to unit length.",
        "Network", 8, 1024, "channels", advanced=True)] = 128
    trains_gain: Annotated[bool, setting(
        "Train the last gain", "Let the length of the last layers' rows be trained; less stable.",
        "Network", advanced=True)] = False
    pool: Annotated[Literal["class", "mean"], setting(
        "Features from", "The vector of a picture: the token that sums up its patches, or their mean.",
        "Network", advanced=True)] = "class"
    neighbours: Annotated[int, setting(
        "Neighbours", "How many of the eight around a patch the teacher sums up; 4 in the paper.",
        "Target", 1, 8, "patches")] = 4
    choice: Annotated[Literal["similar", "random"], setting(
        "Choice", "Which neighbours: the most similar ones, or any.", "Target", advanced=True)] = "similar"
    border: Annotated[Border, setting(
        "Border", "What lies beyond the border: the other side, as in the authors' code, or nothing.",
        "Target", advanced=True)] = "wrap"
    patch_weight: Annotated[float, setting(
        "Patch weight", "Weight of the loss of patches beside that of pictures; 0.1 in the paper, 0 is DINO.",
        "Losses", 0.0, 10.0, "×")] = 0.1
    teacher_memory: Annotated[float, setting(
        "Teacher memory", "How much of the teacher remains at an update; rises to 1 with a cosine. Less for short runs",
        "Losses", 0.0, 1.0)] = 0.996
    student_temperature: Annotated[float, setting(
        "Student temperature", "Divides the student's scores before the softmax.", "Losses", 0.01, 1.0)] = 0.1
    teacher_temperature: Annotated[float, setting(
        "Teacher temperature", "Divides the teacher's scores. Below the student's: sharpening; without it all outputs "
        "become alike.", "Losses", 0.005, 1.0)] = 0.04
    centre_memory: Annotated[float, setting(
        "Centre memory", "How much of the centres remains at an update.", "Losses", 0.0, 1.0, advanced=True)] = 0.9
    freeze_share: Annotated[float, setting(
        "Freeze last layers", "Share of the run during which the last layers stand still; one epoch in the paper.",
        "Losses", 0.0, 1.0, "of the run", advanced=True)] = 0.01
# fmt: on


def multi_crops(batch: Batch, config: SelfPatchConfig, rng: Rng) -> dict[str, Tensor]:
    """Return `large` (B, 2, C, s, s) and, if there are any, `small` (B, L, C, l, l) crops.

    With a random choice of neighbours also `large_scores` (B, 2, N, 8) and `small_scores`, which decide it.
    """
    first, second, small = config.blur_chances
    strength = config.colour_strength
    large = CropRecipe(
        size_px=config.image_px,
        scale=config.crop_area,
        flip=config.flip,
        jitter=(0.4 * strength, 0.4 * strength, 0.2 * strength, 0.1 * strength),
        grey_chance=config.grey_chance,
        blur_chance=first,
        interpolation="bicubic",
    )
    recipes = [(large, 1), (replace(large, blur_chance=second, solarise_chance=config.solarise_chance), 1)]
    if config.local_crops:
        local = replace(large, size_px=config.local_px, scale=config.local_area, blur_chance=small)
        recipes.append((local, config.local_crops))
    crops = [
        crop.pixels.transpose(0, 1) for crop in multi_crop(batch["image"], rng, recipes, spec=batch.specs["image"])
    ]
    views = {"large": torch.cat(crops[:2], dim=1)}
    if config.local_crops:
        views["small"] = crops[2]
    if config.choice == "random":
        for name, crop in tuple(views.items()):
            places = (crop.shape[-1] // config.patch_px) ** 2
            views[f"{name}_scores"] = rng.spawn(f"{name} scores").uniform(crop.shape[1], places, 8)
    return views


class Network(nn.Module):
    """Encoder of patches, aggregation and two heads; student and teacher are one each."""

    def __init__(self, config: SelfPatchConfig, channels: int) -> None:
        super().__init__()
        self.encoder = ViT(
            size=(config.image_px,) * 2,
            patch=(config.patch_px,) * 2,
            channels=channels,
            dim=config.width,
            depth=config.depth,
            heads=config.heads,
            class_token=False,
            final_norm=False,
            positions="learned",
            drop_path=config.drop_path,
            init=config.first_weights,
        )
        self.aggregation = PatchAggregation(
            config.width, config.heads, blocks=config.aggregation_blocks, init=config.first_weights
        )
        self.image_head, self.patch_head = (
            DinoHead(
                config.width,
                outputs,
                hidden=config.head_width,
                bottleneck=config.bottleneck,
                is_gain_frozen=not config.trains_gain,
            )
            for outputs in (config.outputs, config.patch_outputs)
        )
        self.patch_px, self.neighbours, self.border = config.patch_px, config.neighbours, config.border

    def choose(self, tokens: Tensor, side: int, scores: Tensor | None = None) -> Chosen:
        """Return the neighbours of tokens (n, N, D) on a square grid, by `scores` (n, N, 8) or by resemblance."""
        grid = (side, side)
        found = neighbour_cosines(tokens, grid) if scores is None else scores
        return choose_neighbours(found, grid, self.neighbours, self.border)

    def forward(
        self,
        groups: list[Tensor],
        *,
        aggregates: bool,
        scores: list[Tensor | None] | None = None,
        is_last_frozen: bool = False,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return logits of pictures (V, B, K), and of patches (V', B, N, K') for each group (B, V', C, s, s).

        Args:
            groups: crops of one size each.
            aggregates: whether patches stand for their chosen neighbours (teacher) or for themselves (student).
            scores: of neighbours, for each group; by default how alike they are.
            is_last_frozen: whether the last layers get no gradient.
        """
        records = len(groups[0])
        images, patches = [], []
        for number, group in enumerate(groups):
            tokens = self.encoder(group.transpose(0, 1).flatten(0, 1))  # (V'·B, N, D)
            image, dense = self.aggregation(tokens)
            if aggregates:
                given = None if scores is None else scores[number]
                by = None if given is None else given.transpose(0, 1).flatten(0, 1)
                dense = self.aggregation.aggregate(tokens, self.choose(tokens, group.shape[-1] // self.patch_px, by))
            images.append(image)
            logits = self.patch_head(dense, is_last_frozen=is_last_frozen)
            patches.append(logits.unflatten(0, (-1, records)))
        return self.image_head(torch.cat(images), is_last_frozen=is_last_frozen).unflatten(0, (-1, records)), patches


class SelfPatch(nn.Module):
    """Student, teacher and two centres. Views: `large` and `small` of `multi_crops`."""

    centre: Tensor
    patch_centre: Tensor
    pending: Tensor
    patch_pending: Tensor
    pending_batches: Tensor
    usage: Tensor

    def __init__(self, config: SelfPatchConfig, schema: Schema) -> None:
        super().__init__()
        if config.local_crops and config.local_px % config.patch_px:
            raise ConfigError(
                f"Patches of {config.patch_px} px do not tile small crops of {config.local_px} px.",
                "Change one of them.",
            )
        smallest = min(config.image_px, config.local_px if config.local_crops else config.image_px)
        if smallest < 3 * config.patch_px:
            raise ConfigError(
                f"Crops of {smallest} px hold less than three patches of {config.patch_px} px along a side.",
                "A patch needs eight neighbours: make the crops larger or the patches smaller.",
            )
        spec = NEED.find(schema)
        self.student = Network(config, int((spec.shape[0] if spec else None) or 3))
        self.teacher = MomentumTeacher(self.student, mode="eval")  # evaluation: no drop path
        self.register_buffer("centre", torch.zeros(config.outputs))
        self.register_buffer("patch_centre", torch.zeros(config.patch_outputs))
        self.register_buffer("pending", torch.zeros(config.outputs))  # sums of teacher means since the last update
        self.register_buffer("patch_pending", torch.zeros(config.patch_outputs))
        self.register_buffer("pending_batches", torch.zeros(()))
        self.register_buffer("usage", torch.full((config.patch_outputs,), 1 / config.patch_outputs))
        self.config = config

    @property
    def network(self) -> Network:
        """The teacher's network."""
        network = self.teacher.network
        assert isinstance(network, Network)
        return network

    @property
    def encoder(self) -> ViT:
        """The teacher's encoder, which `embed` uses."""
        return self.network.encoder

    def step(self, views: Views, progress: float) -> Step:
        """Return the cross-entropies of pictures, over pairs of crops, and of patches, within each crop."""
        config = self.config
        names = [name for name in ("large", "small") if name in views]
        groups, scores = [views[name] for name in names], [views.get(f"{name}_scores") for name in names]
        teacher_images, teacher_patches = self.teacher(groups, aggregates=True, scores=scores)
        images, patches = self.student(groups, aggregates=False, is_last_frozen=progress < config.freeze_share)
        sharpness = config.teacher_temperature
        probabilities = teacher_distribution(teacher_images[:2], self.centre, sharpness)
        image_loss = self_distillation_loss(images, probabilities, config.student_temperature)
        crops = sum(len(each) for each in patches)
        targets = [teacher_distribution(each, self.patch_centre, sharpness) for each in teacher_patches]
        patch_loss = torch.stack(
            [
                len(student) / crops * patch_distillation_loss(student, target, config.student_temperature)
                for student, target in zip(patches, targets, strict=True)
            ]
        ).sum()
        weighted = config.patch_weight * patch_loss
        with torch.no_grad():
            places = sum(each.shape[:-1].numel() for each in targets)
            mean_target = torch.stack([each.flatten(0, -2).sum(dim=0) for each in targets]).sum(dim=0) / places
            self._remember(teacher_images, teacher_patches, mean_target)
            entropy = mean_entropy(probabilities)
            patch_entropy = torch.stack(
                [len(each) / crops * mean_entropy(each.flatten(0, -2)) for each in targets]
            ).sum()
            # what a student would pay that gives all pictures the teacher's mean answer, and all patches theirs
            one_answer = mean_entropy(probabilities.mean(dim=(0, 1))) + config.patch_weight * mean_entropy(mean_target)
            monitors = {
                "loss above one answer for all": image_loss.detach() + weighted.detach() - one_answer,
                "divergence from teacher": image_loss.detach()
                - entropy
                + weighted.detach()
                - config.patch_weight * patch_entropy,
                "divergence of patches": patch_loss.detach() - patch_entropy,
                "teacher entropy": entropy,
                "teacher entropy of patches": patch_entropy,
                "patch prototypes in use": mean_entropy(self.usage).exp(),
                "centre length": self.centre.norm(),
                "patch centre length": self.patch_centre.norm(),
            }
        return Step(image_loss + weighted, {"pictures": image_loss, "patches": weighted}, monitors)

    def _remember(self, images: Tensor, patches: list[Tensor], mean_target: Tensor) -> None:
        """Add up what moves the centres: means over all crops, and over all patches of all crops."""
        if not self.training:
            return
        count = sum(each.shape[:-1].numel() for each in patches)
        self.pending += images.float().mean(dim=(0, 1))
        self.patch_pending += (
            torch.stack([each.float().flatten(0, -2).sum(dim=0) for each in patches]).sum(dim=0) / count
        )
        self.pending_batches += 1
        self.usage.lerp_(mean_target, 1 - USAGE_MEMORY)

    @torch.no_grad()
    def after_update(self, progress: float) -> None:
        """Move the teacher towards the student and the centres towards the teacher's mean outputs."""
        self.teacher.update(self.student, cosine_ramp(self.config.teacher_memory, 1.0, progress))
        for centre, pending in ((self.centre, self.pending), (self.patch_centre, self.patch_pending)):
            mean = pending / self.pending_batches.clamp_min(1)
            moved = updated_centre(centre, mean[None], self.config.centre_memory)
            # a batch whose loss was not finite must not spoil the centre for good
            usable = (self.pending_batches > 0) & torch.isfinite(mean).all()
            centre.copy_(torch.where(usable, moved, centre))
            pending.zero_()
        self.pending_batches.zero_()

    def no_decay(self) -> set[str]:
        """Return the positions and the class token of the student."""
        names = {f"student.encoder.{name}" for name in self.student.encoder.no_decay()}
        return names | {"student.aggregation.cls_token"}

    def embed(self, batch: Batch) -> Features:
        """Return the teacher's patch tokens (B, N, E) of whole pictures, and what sums them up (B, E)."""
        image = evaluation_view(batch, "image", self.config.image_px)
        tokens = self.encoder(image)
        pooled = self.network.aggregation(tokens)[0] if self.config.pool == "class" else tokens.mean(dim=1)
        return Features(pooled, tokens, self.encoder.grid)


def show_neighbours(
    model: nn.Module,
    batch: Batch,
    choice: Choice,
    config: SelfPatchConfig,
    rng: Rng,  # noqa: ARG001
) -> Pictures:
    """Return one patch of each picture, which of its neighbours the teacher chose, and what resembles it."""
    assert isinstance(model, SelfPatch)
    image = evaluation_view(batch, "image", config.image_px)
    rows, columns = model.encoder.grid
    query = choice.query if 0 <= choice.query < rows * columns else rows // 2 * columns + columns // 2
    taught, learnt = model.encoder(image), model.student.encoder(image)
    chosen = model.network.choose(taught, rows)
    cosines = neighbour_cosines(taught, (rows, columns))[:, query]
    shown = denormalise(image, batch.specs["image"]).expand(-1, 3, -1, -1).clamp(0, 1)
    numbers = torch.arange(rows * columns, device=image.device)
    is_query = (numbers == query).expand(len(batch), -1)
    is_chosen = (chosen.index[:, query, :, None] == numbers).any(dim=1)
    framed = shown
    for where, colour in ((is_chosen, (1.0, 0.25, 0.1)), (is_query, (1.0, 0.9, 0.1))):
        framed = _frame(framed, where.view(-1, rows, columns), config.patch_px, colour)
    pictures = {"the patch and its choice": framed}
    for name, tokens in (("alike, teacher", taught), ("alike, student", learnt)):
        unit = F.normalize(tokens.float(), dim=2)
        alike = ((unit @ unit[:, query, :, None]).view(-1, 1, rows, columns) + 1) / 2
        pictures[name] = (
            alike.repeat_interleave(config.patch_px, 2).repeat_interleave(config.patch_px, 3).expand_as(shown)
        )
    listed = "; ".join(
        f"record {record}: " + " ".join(f"{float(value):.2f}" for value in row)
        for record, row in zip(batch.index.tolist(), cosines, strict=True)
    )
    return Pictures(
        view="neighbours",
        title="Chosen neighbours",
        step=0,
        note="Yellow: the patch; red: the neighbours the teacher sums up. Beside it the cosine with every patch, black "
        f"−1, white 1. Cosines with the eight neighbours, row by row: {listed}.",
        records=batch.index.cpu().numpy(),
        columns=tuple(pictures),
        pictures=np.stack([as_picture(picture) for picture in pictures.values()], axis=1),
    )


def _frame(images: Tensor, where: Tensor, patch_px: int, colour: tuple[float, float, float]) -> Tensor:
    """Return images (B, 3, H, W) with the border of the patches `where` (B, rows, columns) painted."""
    inside = torch.zeros(patch_px, patch_px, dtype=torch.bool, device=images.device)
    edge = max(1, patch_px // 8)
    inside[edge : patch_px - edge, edge : patch_px - edge] = True
    pixels = where.repeat_interleave(patch_px, 1).repeat_interleave(patch_px, 2)
    border = pixels & ~inside.repeat(where.shape[1], where.shape[2])
    return torch.where(border.unsqueeze(1), images.new_tensor(colour).view(3, 1, 1), images)


def show_class_attention(
    model: nn.Module,
    batch: Batch,
    choice: Choice,
    config: SelfPatchConfig,
    rng: Rng,  # noqa: ARG001
) -> Attention:
    """Return where the class token of the teacher looks when it sums up a picture."""
    assert isinstance(model, SelfPatch)
    image = evaluation_view(batch, "image", config.image_px)
    layer = chosen_layer(choice, config.aggregation_blocks)
    return make_attention(
        view="class-attention",
        title="What sums up the picture",
        note="Attention of the class token over all patches, in the blocks after the encoder.",
        batch=batch,
        image=image,
        weights=model.network.aggregation.weights(model.encoder(image), layer),
        prefix=1,
        grid=model.encoder.grid,
        layer=layer,
        layers=config.aggregation_blocks,
        query=-1,
    )


def show_matches(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: SelfPatchConfig,
    rng: Rng,
) -> Matches:
    """Return which patches of two crops of the first picture are each other's nearest."""
    assert isinstance(model, SelfPatch)
    recipe = CropRecipe(size_px=config.image_px, scale=(0.4, 0.8), flip=0.0, interpolation="bicubic")
    spec = batch.specs["image"]
    left, right = crop_views(batch["image"], rng, recipe, 2, spec=spec)[:, :1]
    first, second = (F.normalize(model.encoder(crop)[0].float(), dim=1) for crop in (left, right))
    cosines = first @ second.T
    there, back = cosines.argmax(dim=1), cosines.argmax(dim=0)
    mutual = (back[there] == torch.arange(len(there), device=there.device)).nonzero().squeeze(1)
    scores = cosines[mutual, there[mutual]]
    best = scores.argsort(descending=True)[:MATCHES_SHOWN]
    middles = mesh_px(model.encoder.grid, config.patch_px, first.device)
    return Matches(
        view="matches",
        title="The same place in two crops",
        step=0,
        note=f"Patches of two crops of record {int(batch.index[0])} that are each other's nearest, by cosine.",
        left=as_picture(denormalise(left, spec))[0],
        right=as_picture(denormalise(right, spec))[0],
        from_px=middles[mutual[best]].cpu().numpy(),
        to_px=middles[there[mutual[best]]].cpu().numpy(),
        scores=scores[best].cpu().numpy(),
    )


def mesh_px(grid: tuple[int, ...], patch_px: int, device: torch.device) -> Tensor:
    """Return x and y of the middle of each patch (N, 2), in pixels."""
    down, across = torch.meshgrid(*(torch.arange(side, device=device) for side in grid), indexing="ij")
    return (torch.stack((across.flatten(), down.flatten()), dim=1) + 0.5) * patch_px


def show_usage(
    model: nn.Module,
    batch: Batch,  # noqa: ARG001
    choice: Choice,  # noqa: ARG001
    config: SelfPatchConfig,
    rng: Rng,  # noqa: ARG001
) -> Histogram:
    """Return how many patch prototypes get how much of the teacher's attention, over the last fifty steps or so."""
    assert isinstance(model, SelfPatch)
    share = (model.usage.float() * config.patch_outputs).clamp_min(1e-4).log10().cpu()
    top = math.log10(config.patch_outputs)
    edges = torch.linspace(-4, top, BINS + 1)
    return Histogram(
        view="patch-prototypes",
        title="Use of patch prototypes",
        step=0,
        note="0 = used as often as if all were used alike; all mass at the far right end = one takes everything.",
        edges=edges.numpy(),
        counts=torch.histc(share, BINS, -4, top)[None].numpy(),
        series=("prototypes",),
        unit="log10 of the share × number of prototypes",
    )


def measure_places(model: nn.Module, data: ClaimData, config: SelfPatchConfig, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return what frozen patches tell of the texture under them, over all and near boundaries, and how they are chosen.

    `same region` is the share of the teacher's chosen neighbours that have the class of their patch; wrapped neighbours
    count as any.
    """
    assert isinstance(model, SelfPatch)
    classes = len(data.classes)
    train, known = labelled_places(model, data, "train", 500, classes=classes)
    test, expected = labelled_places(model, data, "test", 500, classes=classes)
    linear = segmentation_probe(train, known.labels, test, classes)
    near = place_neighbours(train, known.labels, test, classes)
    right, is_mixed = linear == expected.labels, expected.purity < PURE
    pairs = torch.cat(
        [F.normalize(part, dim=2).mean(dim=1).square().sum(dim=1) for part in test.split(100)]
    )  # the mean cosine of all pairs of a picture's patches is the squared length of their mean
    chosen = choose_neighbours(neighbour_cosines(test, model.encoder.grid), model.encoder.grid, config.neighbours)
    of_chosen = expected.labels.gather(1, chosen.index.flatten(1)).view(chosen.index.shape)
    return {
        "patch probe accuracy": float(right.float().mean()),
        "near boundaries": float(right[is_mixed].float().mean()),
        "mean IoU": mean_iou(linear, expected.labels, classes),
        "patch kNN accuracy": float((near == expected.labels).float().mean()),
        "same region": float((of_chosen == expected.labels.unsqueeze(2)).float().mean()),
        "likeness of all patches": float(pairs.mean()),
    }


# fmt: off
METHOD = Method(
    id="selfpatch",
    title="SelfPatch",
    idea="DINO whose patches also agree with their neighbours.",
    paper=Paper(
        title="Patch-level Representation Learning for Self-supervised Vision Transformers",
        authors="Yun, Lee, Kim, Shin", year=2022, venue="CVPR 2022", url="https://arxiv.org/abs/2206.07990",
        # ViT-S/16 without class token and norm, two class-attention blocks, heads of 65 536 and 4 096 outputs, by the
        # shapes of the official code; the teacher is not counted
        parameters={"paper": 54_058_752},
    ),
    families=("self-distillation",),
    needs=(NEED,),
    config=SelfPatchConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 64, "local_px": 32, "local_crops": 2, "patch_px": 8, "width": 64, "depth": 4,
                    "heads": 4, "drop_path": 0.0, "outputs": 512, "patch_outputs": 128, "head_width": 256,
                    "bottleneck": 64, "first_weights": "xavier", "teacher_memory": 0.98, "freeze_share": 0.05},
            # in single runs of 60 steps the teacher's outputs told 0.67 nat of a picture at this rate and 0.36 at 1e-3,
            # from different first weights; that the features become useful in so few steps was not seen
            training={"steps": 300, "batch_size": 32, "learning_rate": 2e-4, "weight_decay": 0.04,
                      "final_weight_decay": 0.4, "warmup_share": 0.1, "clip_norm": 3.0, "clip_each": True,
                      "betas": (0.9, 0.999), "final_learning_rate": 1e-6},
        ),
        "small": Preset(training={"steps": 20_000, "batch_size": 128, "learning_rate": 5e-4, "weight_decay": 0.04,
                                  "final_weight_decay": 0.4, "warmup_share": 0.1, "clip_norm": 3.0, "clip_each": True,
                                  "betas": (0.9, 0.999), "final_learning_rate": 1e-6}),
        "paper": Preset(
            config={"image_px": 224, "local_px": 96, "local_crops": 8, "patch_px": 16, "width": 384, "depth": 12,
                    "heads": 6, "outputs": 65536, "patch_outputs": 4096, "head_width": 2048, "bottleneck": 256,
                    "blur_chances": (1.0, 0.1, 0.5), "freeze_share": 0.005},
            # 200 epochs of ImageNet-1K at 1024 per update; warm-up 10 epochs, last layers frozen for 1
            training={"steps": 250_200, "batch_size": 128, "accumulate": 8, "learning_rate": 5e-4,
                      "reference_batch": 256, "final_learning_rate": 1e-6, "warmup_share": 0.05,
                      "weight_decay": 0.04, "final_weight_decay": 0.4, "betas": (0.9, 0.999),
                      "clip_norm": 3.0, "clip_each": True},
        ),
    },
    views=multi_crops,
    model=SelfPatch,
    inspections=(
        Look("neighbours", Pictures, "Chosen neighbours", show_neighbours,
             "A patch, the neighbours the teacher sums up for it, and what resembles it, to teacher and student."),
        Look("class-attention", Attention, "What sums up the picture", show_class_attention,
             "Where the class token looks, in the blocks after the encoder."),
        Look("matches", Matches, "The same place in two crops", show_matches,
             "Patches of two crops that are each other's nearest."),
        Look("patch-prototypes", Histogram, "Use of patch prototypes", show_usage,
             "How unevenly the teacher uses its patch outputs; all mass on one means collapse."),
    ),
    nodes=(
        PipelineNode(id="crops", text="crops", column=0, row=0.5, role="data"),
        PipelineNode(id="student", text="student", column=1, row=0, role="encoder"),
        PipelineNode(id="teacher", text="teacher", column=1, row=1, role="encoder"),
        PipelineNode(id="patches", text="patch", column=2, row=0, role="predictor"),
        PipelineNode(id="neighbours", text="neighbours", column=2, row=1, role="target"),
        PipelineNode(id="pictures", text="pictures agree", column=3, row=0, role="loss"),
        PipelineNode(id="places", text="patches agree", column=3, row=1, role="loss"),
    ),
    edges=(
        PipelineEdge(source="crops", target="student"),
        PipelineEdge(source="crops", target="teacher"),
        PipelineEdge(source="student", target="teacher", dashed=True, text="average"),
        PipelineEdge(source="student", target="patches"),
        PipelineEdge(source="teacher", target="neighbours", text="most alike"),
        PipelineEdge(source="patches", target="pictures", text="summed up"),
        PipelineEdge(source="patches", target="places"),
        PipelineEdge(source="neighbours", target="places", dashed=True),
    ),
    good_at="Dense tasks: segmentation, detection, tracking; pictures of several extended regions.",
    bad_at="Pictures that are one texture, where neighbours tell nothing; steps about a third dearer than DINO's.",
    claim=Claim(
        statement="Agreeing with similar neighbours, beside DINO, makes patches tell more of what lies under them.",
        sample="scenes",
        arms=(
            Arm("similar neighbours"),
            Arm("pictures only", config={"patch_weight": 0.0}),
            Arm("random neighbours", config={"choice": "random"}),
            Arm("all neighbours", config={"neighbours": 8}),
            Arm("untrained", training={"steps": 0}),
        ),
        metric=measure_places,
        primary="patch probe accuracy",
        expected="2 to 5 points more than DINO alone; near boundaries no worse than with random or all neighbours",
        training={"steps": 150, "learning_rate": 1e-3},
        margin=0.02,
    ),
    suggested_sample="scenes",
    # not a divergence, which vanishes in a collapse, too: this is never below 0 if student or teacher gives one answer
    # for all, flat or sharp, so falling by more than all of it means that they agree on what tells records apart
    learns_monitor="loss above one answer for all",
    learns_share=1.3,
)
