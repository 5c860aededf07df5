"""VICReg: two views of a picture agree, while every feature keeps its spread and no two features say the same.

Paper: Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization", ICLR 2022,
    https://arxiv.org/abs/2105.04906
Equations: 1 (variance), 3 and 4 (covariance), 5 (invariance), 6 (their sum).
Reference: none was read.
Differs: nothing known.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.method import Config, Features, Method, Paper, Preset, Step, Views
from engine.networks.encoders import build_encoder
from engine.networks.heads import Projector
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.crops import CropRecipe, crop_views
from engine.views.pixels import evaluation_view
from engine.views.rng import Rng

Weight = Annotated[float, Meta(ge=0, le=100, description="Weight of one part of the loss.", extra={"group": "Losses"})]


class VICRegConfig(Config, frozen=True, kw_only=True):
    """What a user may change."""

    image_px: Annotated[
        int, Meta(ge=16, le=512, description="Side of the views.", extra={"unit": "px", "group": "Views"})
    ] = 32
    invariance: Weight = 25.0
    variance: Weight = 25.0
    covariance: Weight = 1.0
    width: Annotated[int, Meta(ge=8, le=8192, description="Of the expander.", extra={"group": "Network"})] = 128


def two_crops(batch: Batch, config: VICRegConfig, rng: Rng) -> dict[str, Tensor]:
    """Return two views `a` and `b`, (B, C, s, s) each."""
    recipe = CropRecipe(size_px=config.image_px, scale=(0.3, 1.0), jitter=(0.4, 0.4, 0.2, 0.1), jitter_chance=0.8)
    a, b = crop_views(batch["image"], rng, recipe, 2, spec=batch.specs["image"])
    return {"a": a, "b": b}


def variance_loss(z: Tensor) -> Tensor:
    """Return equation 1 of z (B, D): the mean hinge of each feature's standard deviation at 1."""
    return F.relu(1.0 - torch.sqrt(z.var(dim=0) + 1e-4)).mean()


def covariance_loss(z: Tensor) -> Tensor:
    """Return equation 4 of z (B, D): the squared covariances between different features, over D."""
    centred = z - z.mean(dim=0)
    covariance = centred.T @ centred / (len(z) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / z.shape[1]


class VICReg(nn.Module):
    """Encoder and expander. Views: `a` and `b`, (B, C, s, s) each."""

    def __init__(self, config: VICRegConfig, schema: Schema) -> None:
        super().__init__()
        spec = NEED.find(schema)
        self.config = config
        self.encoder = build_encoder(
            "resnet-micro", channels=int((spec.shape[0] if spec else None) or 3), size_px=config.image_px
        )
        self.expander = Projector((int(self.encoder.dim), config.width, config.width), norm="batch")

    def step(self, views: Views, progress: float) -> Step:
        """Return equation 6."""
        z = self.expander(self.encoder.features(torch.cat([views["a"], views["b"]])).pooled).float()
        a, b = z.chunk(2)
        parts = {
            "invariance": self.config.invariance * F.mse_loss(a, b),
            "variance": self.config.variance * (variance_loss(a) + variance_loss(b)),
            "covariance": self.config.covariance * (covariance_loss(a) + covariance_loss(b)),
        }
        return Step(torch.stack(list(parts.values())).sum(), parts)

    def embed(self, batch: Batch) -> Features:
        """Return the encoder's features of whole pictures."""
        return self.encoder.features(evaluation_view(batch, "image", self.config.image_px))


NEED = Need(kinds=(FieldKind.IMAGE,), channels=(1, 3), smallest_px=8, what="pictures")

METHOD = Method(
    id="vicreg",
    title="VICReg",
    idea="Two views agree, every feature keeps its spread, and no two features say the same.",
    paper=Paper(
        title="VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning",
        authors="Bardes, Ponce, LeCun",
        year=2022,
        venue="ICLR 2022",
        url="https://arxiv.org/abs/2105.04906",
    ),
    families=("contrastive",),
    needs=(NEED,),
    config=VICRegConfig,
    presets={
        "tiny": Preset(training={"steps": 200, "batch_size": 64, "learning_rate": 1e-3}),
        "small": Preset(config={"image_px": 64, "width": 512}, training={"steps": 20_000, "batch_size": 256}),
        "paper": Preset(config={"image_px": 224, "width": 8192}, training={"steps": 500_000, "batch_size": 2048}),
    },
    views=two_crops,
    model=VICReg,
    inspections=(),
    nodes=(
        PipelineNode(id="views", text="two views", column=0, row=0, role="data"),
        PipelineNode(id="encoder", text="encoder", column=1, row=0, role="encoder"),
        PipelineNode(id="loss", text="three terms", column=2, row=0, role="loss"),
    ),
    edges=(PipelineEdge(source="views", target="encoder"), PipelineEdge(source="encoder", target="loss")),
    good_at="Small batches; no teacher, no negatives.",
    bad_at="Three weights to balance.",
)
