"""DINO: a student predicts, from any crop of a picture, what its own moving average says of a large crop.

There are no labels, no negatives and no reconstruction. Centring keeps the teacher from giving one answer to all
pictures, sharpening from giving none; together they leave it something to say about each.

Paper:      Caron, Touvron, Misra et al. Emerging Properties in Self-Supervised Vision Transformers. ICCV 2021.
            arXiv:2104.14294
Equations:  loss (1) to (3), centre (4); algorithm 1
Reference:  facebookresearch/dino: main_dino.py, utils.py, vision_transformer.py (Apache 2.0; nothing copied; the notes
            this file follows name no commit)
Differs:    the last layer is frozen at the start by leaving its weights out of the graph instead of dropping their
            gradients afterwards, which comes to the same. With accumulated batches the centre moves
            once per update, by their mean. Crops are resampled on the device for the whole batch, blur comes before the
            colours. Only transformers are offered. The defaults suit small pictures: fewer outputs, no blur.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.errors import ConfigError
from engine.evaluation.knn import knn_predict
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
    LocalChance,
    LocalLength,
    LocalLevel,
    PatchPx,
    SmallCropArea,
    SolariseChance,
    Width,
    setting,
)
from engine.inspections.prototypes import make_prototypes
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.heads import DinoHead
from engine.networks.teacher import MomentumTeacher, cosine_ramp
from engine.networks.vit import ViT
from engine.objectives.distillation import mean_entropy, self_distillation_loss, teacher_distribution, updated_centre
from engine.protocol.inspections import Choice, Histogram, Prototypes
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.crops import CropRecipe, multi_crop
from engine.views.local import local_recipe
from engine.views.pixels import evaluation_view
from engine.views.rng import Rng

NEED = Need(kinds=(FieldKind.IMAGE,), channels=(1, 3), smallest_px=8, what="the pictures to learn from")
USAGE_MEMORY = 0.98
BINS = 40
Sharpness = Annotated[float, Meta(ge=0.005, le=1.0)]


# fmt: off
class DINOConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit pictures of about 64 px."""

    image_px: ImagePx = 64
    crop_area: CropArea = (0.4, 1.0)
    local_px: Annotated[int, setting(
        "Small crop side", "Side of the small crops; a multiple of the patch side. Below about 24 px they show too "
        "little: use none.", "Views", 8, 256, "px")] = 32
    local_area: SmallCropArea = (0.05, 0.4)
    local_crops: Annotated[int, setting(
        "Small crops", "How many small crops the student sees beside the two large ones. Each makes a step slower.",
        "Views", 0, 16, "per record")] = 6
    flip: FlipChance = 0.5
    colour_strength: ColourStrength = 1.0
    grey_chance: GreyChance = 0.2
    blur_chances: BlurChances = (0.0, 0.0, 0.0)
    solarise_chance: SolariseChance = 0.2
    local_level: LocalLevel = "off"
    local_length: LocalLength = 0.25
    local_chance: LocalChance = 0.5
    patch_px: PatchPx = 8
    width: Width = 192
    depth: Depth = 12
    heads: Heads = 3
    drop_path: DropPath = 0.1
    outputs: Annotated[int, setting(
        "Outputs", "Length of the distribution that student and teacher agree on. It must shrink with the data: 65 536 "
        "for a million pictures, some hundreds for a few thousand.", "Network", 16, 131072, "prototypes")] = 2048
    head_width: Annotated[int, setting(
        "Head width", "Hidden channels of the head.", "Network", 16, 4096, "channels", advanced=True)] = 512
    bottleneck: Annotated[int, setting(
        "Bottleneck", "Channels before the outputs, brought to unit length.",
        "Network", 8, 1024, "channels", advanced=True)] = 128
    trains_gain: Annotated[bool, setting(
        "Train the last gain", "Let the length of the last layer's rows be trained; less stable.",
        "Network", advanced=True)] = False
    teacher_memory: Annotated[float, setting(
        "Teacher memory", "How much of the teacher remains at an update; rises to 1 with a cosine. Less for short runs",
        "Losses", 0.0, 1.0)] = 0.996
    student_temperature: Annotated[float, setting(
        "Student temperature", "Divides the student's scores before the softmax.", "Losses", 0.01, 1.0)] = 0.1
    teacher_temperatures: Annotated[tuple[Sharpness, Sharpness], setting(
        "Teacher temperature", "First and last temperature of the teacher. Below the student's: sharpening; without it "
        "all outputs become alike.", "Losses")] = (0.04, 0.07)
    temperature_warmup: Annotated[float, setting(
        "Temperature warm-up", "Share of the run during which the teacher's temperature rises linearly.",
        "Losses", 0.0, 1.0, "of the run", advanced=True)] = 0.3
    centres: Annotated[bool, setting(
        "Centre", "Subtract the running mean of the teacher's outputs. Without it one output takes all pictures.",
        "Losses", advanced=True)] = True
    centre_memory: Annotated[float, setting(
        "Centre memory", "How much of the centre remains at an update.", "Losses", 0.0, 1.0, advanced=True)] = 0.9
    freeze_share: Annotated[float, setting(
        "Freeze last layer", "Share of the run during which the last layer stands still; one epoch in the paper.",
        "Losses", 0.0, 1.0, "of the run", advanced=True)] = 0.01
# fmt: on


def multi_crops(batch: Batch, config: DINOConfig, rng: Rng) -> dict[str, Tensor]:
    """Return `large` (B, 2, C, s, s) and, if there are any, `small` (B, L, C, l, l) crops."""
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
        local=local_recipe(config.local_level, config.local_length, config.local_chance),
    )
    recipes = [(large, 1), (replace(large, blur_chance=second, solarise_chance=config.solarise_chance), 1)]
    if config.local_crops:
        local = replace(large, size_px=config.local_px, scale=config.local_area, blur_chance=small)
        recipes.append((local, config.local_crops))
    crops = [
        crop.pixels.transpose(0, 1) for crop in multi_crop(batch["image"], rng, recipes, spec=batch.specs["image"])
    ]
    views = {"large": torch.cat(crops[:2], dim=1)}
    return views | {"small": crops[2]} if config.local_crops else views


class Network(nn.Module):
    """Encoder and head; student and teacher are one each."""

    def __init__(self, config: DINOConfig, channels: int) -> None:
        super().__init__()
        self.encoder = ViT(
            size=(config.image_px,) * 2,
            patch=(config.patch_px,) * 2,
            channels=channels,
            dim=config.width,
            depth=config.depth,
            heads=config.heads,
            positions="learned",
            drop_path=config.drop_path,
            init="truncated normal",
        )
        self.head = DinoHead(
            config.width,
            config.outputs,
            hidden=config.head_width,
            bottleneck=config.bottleneck,
            is_gain_frozen=not config.trains_gain,
        )

    def forward(self, groups: list[Tensor], *, is_last_frozen: bool = False) -> Tensor:
        """Return logits (V, B, K) of groups of views, (B, V', C, s, s) each; the head runs once over all."""
        records = len(groups[0])
        tokens = [self.encoder(group.transpose(0, 1).flatten(0, 1))[:, 0] for group in groups]
        logits = self.head(torch.cat(tokens), is_last_frozen=is_last_frozen)
        return logits.view(-1, records, logits.shape[-1])


class DINO(nn.Module):
    """Student, teacher and centre. Views: `large` and `small` of `multi_crops`."""

    centre: Tensor
    pending: Tensor
    pending_batches: Tensor
    usage: Tensor

    def __init__(self, config: DINOConfig, schema: Schema) -> None:
        super().__init__()
        if config.local_crops and config.local_px % config.patch_px:
            raise ConfigError(
                f"Patches of {config.patch_px} px do not tile small crops of {config.local_px} px.",
                "Change one of them.",
            )
        spec = NEED.find(schema)
        self.student = Network(config, int((spec.shape[0] if spec else None) or 3))
        self.teacher = MomentumTeacher(self.student, mode="eval")  # evaluation: no drop path
        self.register_buffer("centre", torch.zeros(config.outputs))
        self.register_buffer("pending", torch.zeros(config.outputs))  # sum of teacher means since the last update
        self.register_buffer("pending_batches", torch.zeros(()))
        self.register_buffer("usage", torch.full((config.outputs,), 1 / config.outputs))  # running mean, for views only
        self.config = config

    @property
    def encoder(self) -> ViT:
        """The teacher's encoder, which `embed` uses."""
        network = self.teacher.network
        assert isinstance(network, Network)
        return network.encoder

    def step(self, views: Views, progress: float) -> Step:
        """Return the cross-entropy of the student's with the teacher's distributions over all pairs of views."""
        config = self.config
        large = views["large"]
        teacher_logits = self.teacher([large])  # (2, B, K)
        groups = [large, views["small"]] if "small" in views else [large]
        student_logits = self.student(groups, is_last_frozen=progress < config.freeze_share)  # (2 + L, B, K)
        probabilities = teacher_distribution(teacher_logits, self.centre, teacher_temperature(config, progress))
        loss = self_distillation_loss(student_logits, probabilities, config.student_temperature)
        with torch.no_grad():
            mean = probabilities.mean(dim=(0, 1))
            if self.training:
                self.pending += teacher_logits.float().mean(dim=(0, 1))
                self.pending_batches += 1
                self.usage.lerp_(mean, 1 - USAGE_MEMORY)
            entropy = mean_entropy(probabilities)
            monitors = {
                "teacher entropy": entropy,
                "divergence from teacher": loss.detach() - entropy,
                "prototypes in use": mean_entropy(mean).exp(),
                "centre length": self.centre.norm(),
            }
        return Step(loss, {"distillation": loss}, monitors)

    @torch.no_grad()
    def after_update(self, progress: float) -> None:
        """Move the teacher towards the student and the centre towards the teacher's mean output; Eq. (4)."""
        self.teacher.update(self.student, cosine_ramp(self.config.teacher_memory, 1.0, progress))
        if self.config.centres:
            mean = self.pending / self.pending_batches.clamp_min(1)
            moved = updated_centre(self.centre, mean[None], self.config.centre_memory)
            # a batch whose loss was not finite must not spoil the centre for good
            usable = (self.pending_batches > 0) & torch.isfinite(mean).all()
            self.centre.copy_(torch.where(usable, moved, self.centre))
        self.pending.zero_()
        self.pending_batches.zero_()

    def embed(self, batch: Batch) -> Features:
        """Return the teacher's class token (B, E) and patch tokens (B, N, E) of whole pictures."""
        return self.encoder.features(evaluation_view(batch, "image", self.config.image_px), "class")


def teacher_temperature(config: DINOConfig, progress: float) -> float:
    """Return the teacher's temperature: linear from the first to the last during the warm-up, then constant."""
    first, last = config.teacher_temperatures
    if progress >= config.temperature_warmup:
        return last
    return first + (last - first) * progress / config.temperature_warmup


def show_usage(
    model: nn.Module,
    batch: Batch,  # noqa: ARG001
    choice: Choice,  # noqa: ARG001
    config: DINOConfig,
    rng: Rng,  # noqa: ARG001
) -> Histogram:
    """Return how many prototypes get how much of the teacher's attention, over the last hundred steps or so."""
    assert isinstance(model, DINO)
    share = (model.usage.float() * config.outputs).clamp_min(1e-4).log10().cpu()
    top = math.log10(config.outputs)
    edges = torch.linspace(-4, max(top, 1.0), BINS + 1)
    return Histogram(
        view="prototype-usage",
        title="Use of prototypes",
        step=0,
        note="0 = used as often as if all were used alike; all mass at the far right end = one takes everything.",
        edges=edges.numpy(),
        counts=torch.histc(share, BINS, -4, float(edges[-1]))[None].numpy(),
        series=("prototypes",),
        unit="log10 of the share × number of prototypes",
    )


def show_prototypes(model: nn.Module, batch: Batch, choice: Choice, config: DINOConfig, rng: Rng) -> Prototypes:  # noqa: ARG001
    """Return the prototypes that the teacher uses most, with the pictures that it gives them to."""
    assert isinstance(model, DINO)
    answer = partial(teacher_answers, model, config)
    return make_prototypes(view="prototypes", title="Prototypes", batch=batch, key="image", scores=answer)


def teacher_answers(model: DINO, config: DINOConfig, batch: Batch) -> Tensor:
    """Return the teacher's probabilities (B, K) for whole pictures, at its last temperature."""
    image = evaluation_view(batch, "image", config.image_px)
    return teacher_distribution(model.teacher([image[:, None]])[0], model.centre, teacher_temperature(config, 1))


def measure_teacher(model: nn.Module, data: ClaimData, config: Any, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return what the teacher's outputs tell of a held-out picture, and the accuracy of neighbours.

    The information is H(mean p) − mean H(p), in nats: 0 if all pictures get one answer, and 0 if they get none.
    """
    assert isinstance(model, DINO)
    probabilities = torch.cat([teacher_answers(model, config, batch) for batch in data.batches("test", 1000)])
    entropy = mean_entropy(probabilities)
    train, labels = data.features(model, "train", 4000)
    test, truth = data.features(model, "test", 1000)
    predicted = knn_predict(test, train, labels, len(data.classes))
    return {
        "information in the teacher's outputs": float(mean_entropy(probabilities.mean(dim=0)) - entropy),
        "teacher entropy": float(entropy),
        "kNN accuracy": float((predicted == truth).float().mean()),
    }


# fmt: off
METHOD = Method(
    id="dino",
    title="DINO",
    idea="A student matches its own moving average across crops.",
    paper=Paper(
        title="Emerging Properties in Self-Supervised Vision Transformers",
        authors="Caron, Touvron, Misra et al.", year=2021, venue="ICCV 2021", url="https://arxiv.org/abs/2104.14294",
        # ViT-S/16 without classifier and its head of 65 536 outputs; the teacher is not counted
        parameters={"paper": 43_952_256},
    ),
    families=("self-distillation",),
    needs=(NEED,),
    config=DINOConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "local_px": 24, "local_crops": 2, "patch_px": 4, "width": 96, "depth": 4,
                    "heads": 4, "outputs": 256, "head_width": 256, "bottleneck": 64, "teacher_memory": 0.98,
                    "teacher_temperatures": (0.04, 0.04),
                    "drop_path": 0.0, "freeze_share": 0.05},
            training={"steps": 500, "batch_size": 128, "learning_rate": 1e-3, "weight_decay": 0.04,
                      "final_weight_decay": 0.4, "warmup_share": 0.1, "clip_norm": 3.0, "clip_each": True,
                      "betas": (0.9, 0.999), "final_learning_rate": 1e-6},
        ),
        "small": Preset(training={"steps": 20_000, "batch_size": 256, "learning_rate": 5e-4, "weight_decay": 0.04,
                                  "final_weight_decay": 0.4, "warmup_share": 0.1, "clip_norm": 3.0, "clip_each": True,
                                  "betas": (0.9, 0.999), "final_learning_rate": 1e-6}),
        "paper": Preset(
            config={"image_px": 224, "local_px": 96, "local_crops": 8, "patch_px": 16, "width": 384, "depth": 12,
                    "heads": 6, "outputs": 65536, "head_width": 2048, "bottleneck": 256,
                    "blur_chances": (1.0, 0.1, 0.5), "temperature_warmup": 0.0375, "freeze_share": 0.00125},
            # ViT-S/16: 800 epochs of ImageNet-1K at 1024 per update; warm-up 10 epochs, temperature 30, freeze 1
            training={"steps": 1_000_800, "batch_size": 128, "accumulate": 8, "learning_rate": 5e-4,
                      "reference_batch": 256, "final_learning_rate": 1e-6, "warmup_share": 0.0125,
                      "weight_decay": 0.04, "final_weight_decay": 0.4, "betas": (0.9, 0.999),
                      "clip_norm": 3.0, "clip_each": True},
        ),
    },
    views=multi_crops,
    model=DINO,
    inspections=(
        Look("prototype-usage", Histogram, "Use of prototypes", show_usage,
             "How unevenly the teacher uses its outputs; all mass on one means collapse."),
        Look("prototypes", Prototypes, "Prototypes", show_prototypes,
             "What the teacher's outputs stand for: those used most, each with the pictures that get it."),
    ),
    nodes=(
        PipelineNode(id="crops", text="crops", column=0, row=0.5, role="data"),
        PipelineNode(id="student", text="student", column=1, row=0, role="encoder"),
        PipelineNode(id="teacher", text="teacher", column=1, row=1, role="encoder"),
        PipelineNode(id="softmax", text="softmax", column=2, row=0, role="target"),
        PipelineNode(id="centre", text="centre", column=2, row=1, role="target"),
        PipelineNode(id="match", text="match", column=3, row=0.5, role="loss"),
    ),
    edges=(
        PipelineEdge(source="crops", target="student", text="all"),
        PipelineEdge(source="crops", target="teacher", text="large"),
        PipelineEdge(source="student", target="teacher", dashed=True, text="average"),
        PipelineEdge(source="student", target="softmax"),
        PipelineEdge(source="teacher", target="centre", dashed=True),
        PipelineEdge(source="softmax", target="match"),
        PipelineEdge(source="centre", target="match", dashed=True),
    ),
    good_at="Neighbours and attention maps that follow objects, without fine-tuning.",
    bad_at="Small data and short runs: temperatures, outputs and teacher memory must be adjusted; slow steps.",
    claim=Claim(
        statement="Centring and sharpening together keep the teacher's outputs informative; without one they collapse.",
        sample="shapetex",
        arms=(
            Arm("centre and sharpen"),
            Arm("no centre", config={"centres": False}),
            Arm("no sharpening", config={"teacher_temperatures": (0.1, 0.1)}),
        ),
        metric=measure_teacher,
        primary="information in the teacher's outputs",
        expected="more than 0.5 nat above the arm without centre, which has collapsed to near 0",
        config={"local_crops": 0},
        training={"steps": 200, "batch_size": 64},
        margin=0.5,
    ),
    # the loss is this divergence plus the teacher's entropy, which rises as the centre settles
    learns_monitor="divergence from teacher",
    learns_share=0.5,
)
