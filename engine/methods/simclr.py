"""SimCLR: two views of a picture attract, all other pictures of the batch repel.

What the two views share is what the features keep: with crops alone the colour histogram suffices, so colours are
distorted as well. A small head is trained on top and thrown away, and features are taken before it.

Paper:      Chen, Kornblith, Norouzi, Hinton. A Simple Framework for Contrastive Learning of Visual Representations.
            ICML 2020. arXiv:2002.05709
Equations:  NT-Xent (1); augmentations appendix A; learning rates appendix B
Reference:  google-research/simclr (Apache 2.0; not read: the notes this file follows take the paper's description), and
            vturrisi/solo-learn, losses/simclr.py and CIFAR settings (MIT; nothing copied)
Differs:    any encoder can be used; small pictures get a small residual network with a 3 × 3 stem. Over several devices
            negatives come from all of them, but batch norm sees only its own records unless the loop synchronises it.
            Blur comes before the colours, crops are resampled on the device for the whole batch. The defaults distort
            colours half as much as the paper, as its CIFAR setting does, and do not blur, as pictures are small.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.evaluation.linear import logistic_probe
from engine.form_fields import (
    CropArea,
    FlipChance,
    GreyChance,
    ImagePx,
    LocalChance,
    LocalLength,
    LocalLevel,
    Temperature,
    setting,
)
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.encoders import build_encoder
from engine.networks.heads import Projector
from engine.objectives.contrastive import Contrast, nt_xent
from engine.protocol.inspections import Choice, Histogram, Similarity
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.crops import CropRecipe, crop_views
from engine.views.local import local_recipe
from engine.views.pixels import evaluation_view
from engine.views.rng import Rng

NEED = Need(kinds=(FieldKind.IMAGE,), channels=(1, 3), smallest_px=8, what="the pictures to learn from")
BINS = 40


# fmt: off
class SimCLRConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit pictures of about 64 px."""

    image_px: ImagePx = 64
    crop_area: CropArea = (0.08, 1.0)
    flip: FlipChance = 0.5
    colour_strength: Annotated[float, setting(
        "Colour strength", "How much brightness, contrast, saturation and hue change: 1 as in the paper for ImageNet, "
        "0.5 as for CIFAR, 0 leaves colours alone.", "Views", 0.0, 2.0, "×")] = 0.5
    colour_chance: Annotated[float, setting(
        "Colour changes", "How often a view's colours change.", "Views", 0.0, 1.0, "of views", advanced=True)] = 0.8
    grey_chance: GreyChance = 0.2
    blur_chance: Annotated[float, setting(
        "Blur", "How often a view is blurred. 0 for pictures below about 100 px.", "Views", 0.0, 1.0, "of views")] = 0.0
    blur_px: Annotated[tuple[Annotated[float, Meta(ge=0.01, le=20)], Annotated[float, Meta(ge=0.01, le=20)]], setting(
        "Blur radius", "Smallest and largest standard deviation of the blur.", "Views", unit="px", advanced=True,
        )] = (0.1, 2.0)
    local_level: LocalLevel = "off"
    local_length: LocalLength = 0.25
    local_chance: LocalChance = 0.5
    encoder: Annotated[str, setting(
        "Encoder", "resnet-micro, resnet-small, resnet-medium, resnet-18-small-stem, vit-micro, vit-mini, vit-tiny, "
        "vit-small, vit-base, or the name of any image model of timm, such as resnet50.",
        "Network")] = "resnet-18-small-stem"
    projector_width: Annotated[int, setting(
        "Head width", "Hidden channels of the head. 0 takes the width of the encoder's features, as in the paper.",
        "Network", 0, 8192, "channels")] = 0
    projection: Annotated[int, setting(
        "Projection", "Channels in which views are compared.", "Network", 8, 2048, "channels")] = 128
    temperature: Temperature = 0.2
# fmt: on


def two_crops(batch: Batch, config: SimCLRConfig, rng: Rng) -> dict[str, Tensor]:
    """Return two views of every record, `first` and `second`, (B, C, s, s) each."""
    strength = config.colour_strength
    recipe = CropRecipe(
        size_px=config.image_px,
        scale=config.crop_area,
        flip=config.flip,
        jitter=(0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength),
        jitter_chance=config.colour_chance,
        grey_chance=config.grey_chance,
        blur_chance=config.blur_chance,
        blur_sigma=config.blur_px,
        interpolation="bicubic",
        local=local_recipe(config.local_level, config.local_length, config.local_chance),
    )
    first, second = crop_views(batch["image"], rng, recipe, 2, spec=batch.specs["image"])
    return {"first": first, "second": second}


class SimCLR(nn.Module):
    """Encoder and head. Views: `first` and `second`, (B, C, s, s) each."""

    def __init__(self, config: SimCLRConfig, schema: Schema) -> None:
        super().__init__()
        spec = NEED.find(schema)
        channels = int((spec.shape[0] if spec else None) or 3)
        self.encoder = build_encoder(config.encoder, channels=channels, size_px=config.image_px)
        width = int(self.encoder.dim)  # type: ignore[arg-type]
        hidden = config.projector_width or width
        self.projector = Projector((width, hidden, config.projection), norm="batch", last_norm="affine")
        self.temperature = config.temperature
        self.image_px = config.image_px

    def step(self, views: Views, progress: float) -> Step:  # noqa: ARG002 nothing is scheduled
        """Return NT-Xent of one batch of pairs."""
        contrast = self.contrast(views)
        monitors = {
            "contrastive accuracy": contrast.accuracy,
            "positive similarity": contrast.positive.mean(),
            "hardest negative": contrast.hardest.mean(),
        }
        return Step(contrast.loss, {"nt-xent": contrast.loss}, monitors)

    def contrast(self, views: Views) -> Contrast:
        """Return the loss and the similarities of positives and hardest negatives; both views go in as one batch."""
        first, second = self.project(torch.cat([views["first"], views["second"]])).chunk(2)
        return nt_xent(first, second, self.temperature)

    def project(self, pictures: Tensor) -> Tensor:
        """Return the projections (B, P) of pictures (B, C, s, s)."""
        return self.projector(self.encoder.features(pictures).pooled)  # type: ignore[operator]

    def embed(self, batch: Batch) -> Features:
        """Return the encoder's features of whole pictures, before the head."""
        return self.encoder.features(evaluation_view(batch, "image", self.image_px))  # type: ignore[operator]


def show_similarity(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: SimCLRConfig,
    rng: Rng,
) -> Similarity:
    """Return the cosines between first and second views of the records; positives lie on the diagonal."""
    assert isinstance(model, SimCLR)
    views = two_crops(batch, config, rng)
    first, second = (F.normalize(model.project(views[name]).float(), dim=1) for name in ("first", "second"))
    records = batch.index.cpu().numpy()
    names = tuple(f"record {record}" for record in records)
    return Similarity(
        view="similarity",
        title="Similarity of views",
        step=0,
        note="Rows are first views, columns second views of the same records; only the diagonal should be bright.",
        values=(first @ second.T).cpu().numpy(),
        rows=names,
        columns=names,
        row_records=records,
        column_records=records,
    )


def show_histogram(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: SimCLRConfig,
    rng: Rng,
) -> Histogram:
    """Return how similar positives and their hardest negatives are among the shown records."""
    assert isinstance(model, SimCLR)
    contrast = model.contrast(two_crops(batch, config, rng))
    edges = torch.linspace(-1, 1, BINS + 1)
    counts = [
        torch.histc(values.float().cpu().clamp(-1, 1), BINS, -1, 1) for values in (contrast.positive, contrast.hardest)
    ]
    return Histogram(
        view="positives-negatives",
        title="Positives and hardest negatives",
        step=0,
        note="Cosines of projections; the hardest negative is the most similar other record among the shown ones.",
        edges=edges.numpy(),
        counts=torch.stack(counts).numpy(),
        series=("positive", "hardest negative"),
        unit="cosine",
    )


def probe_shape(model: nn.Module, data: ClaimData, config: Any, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return the accuracy of a logistic probe of the class of shape, which colour does not tell."""
    train, labels = data.features(model, "train")
    test, truth = data.features(model, "test")
    predicted, _ = logistic_probe(train, labels, test, len(data.classes))
    return {"linear probe accuracy": float((predicted == truth).float().mean())}


# fmt: off
METHOD = Method(
    id="simclr",
    title="SimCLR",
    idea="Two views of a picture attract, all others of the batch repel.",
    paper=Paper(
        title="A Simple Framework for Contrastive Learning of Visual Representations",
        authors="Chen, Kornblith, Norouzi, Hinton", year=2020, venue="ICML 2020",
        url="https://arxiv.org/abs/2002.05709",
        # ResNet-50 without classifier, head 2048-2048-128 with two batch norms
        parameters={"paper": 27_968_832},
    ),
    families=("contrastive",),
    needs=(NEED,),
    config=SimCLRConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "encoder": "resnet-micro", "projection": 64},
            training={"steps": 500, "batch_size": 128, "learning_rate": 2e-3, "weight_decay": 1e-4,
                      "betas": (0.9, 0.999), "warmup_share": 0.1},
        ),
        "small": Preset(training={"steps": 20_000, "batch_size": 256, "learning_rate": 1e-3, "weight_decay": 1e-4,
                                  "betas": (0.9, 0.999), "warmup_share": 0.05}),
        "paper": Preset(
            config={"image_px": 224, "encoder": "resnet50", "colour_strength": 1.0, "blur_chance": 0.5,
                    "temperature": 0.1},
            # 1000 epochs of ImageNet-1K at 4096 records per update, 10 of them warm-up. The negatives of a device are
            # those of one batch: accumulating does not add any, so this needs the batch in memory, or many devices
            training={"steps": 312_000, "batch_size": 4096, "optimiser": "lars", "learning_rate": 0.3,
                      "reference_batch": 256, "weight_decay": 1e-6, "momentum": 0.9, "warmup_share": 0.01},
        ),
    },
    views=two_crops,
    model=SimCLR,
    inspections=(
        Look("similarity", Similarity, "Similarity of views", show_similarity,
             "Cosines between first and second views of the records; positives on the diagonal."),
        Look("positives-negatives", Histogram, "Positives and hardest negatives", show_histogram,
             "How similar two views of one record are, beside the most similar other record."),
    ),
    nodes=(
        PipelineNode(id="views", text="two views", column=0, row=0.5, role="data"),
        PipelineNode(id="first", text="encoder", column=1, row=0, role="encoder"),
        PipelineNode(id="second", text="encoder", column=1, row=1, role="encoder"),
        PipelineNode(id="head", text="head", column=2, row=0.5, role="predictor"),
        PipelineNode(id="contrast", text="contrast", column=3, row=0.5, role="loss"),
    ),
    edges=(
        PipelineEdge(source="views", target="first"),
        PipelineEdge(source="views", target="second"),
        PipelineEdge(source="first", target="head"),
        PipelineEdge(source="second", target="head"),
        PipelineEdge(source="head", target="contrast"),
    ),
    good_at="Linear probes and neighbours soon after the start; any encoder; classes that colour does not tell.",
    bad_at="Small batches, as negatives come from the batch; dense tasks; data whose colours carry the meaning.",
    claim=Claim(
        statement="Distorting colours is what makes contrast learn shapes: with crops alone colour is a shortcut.",
        sample="shapetex",
        arms=(
            Arm("crops and colours"),
            Arm("crops only", config={"colour_strength": 0.0, "grey_chance": 0.0}),
            Arm("untrained", training={"steps": 0}),
        ),
        metric=probe_shape,
        primary="linear probe accuracy",
        expected="higher by 10 points or more with colour distortion",
        config={"colour_strength": 1.0, "crop_area": (0.2, 1.0)},
        training={"steps": 200},
        margin=0.1,
    ),
    learns_share=0.05,
)
