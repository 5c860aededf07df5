"""Random field augmentations: contrast between views that bend and change colour differently at every place.

Ordinary augmentations turn, scale, shear, shift and recolour a view as a whole. Here each of these is a smooth function
of the place, drawn as a Gaussian random field. Mild fields teach what a mere turn cannot, strong ones destroy pictures.

Paper:      Mansfield, Afkanpour, Morningstar, Singhal. Random Field Augmentations for Self-Supervised Representation
            Learning. NeurIPS 2023 workshop on Symmetry and Geometry in Neural Representations. arXiv:2311.03629
Equations:  the transformations and their order as on the page this file follows; NT-Xent as in SimCLR, (1)
Reference:  no code of the authors is public (no licence); the body of the paper was not at hand. Spectra, strengths and
            the place in the pipeline are choices of ours, all of them settings.
Differs:    blur comes before the fields, with the crop. Where a field reaches out of a view it sees its mirror image.
            The defaults suit small pictures, with colours distorted half as much as in the paper. SimCLR and DINO take
            the same views as an option of theirs. The claim takes the paper's colours and five passes over the pictures
            in batches of 64, where the page this file follows has fifteen in batches of 128: they would not fit into
            ten minutes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.evaluation.knn import knn_predict
from engine.evaluation.linear import logistic_probe
from engine.form_fields import CropArea, FlipChance, GreyChance, ImagePx, LocalChance, LocalLength, Temperature, setting
from engine.inspections.generic import as_picture
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.encoders import build_encoder
from engine.networks.heads import Projector
from engine.objectives.contrastive import nt_xent
from engine.protocol.inspections import Choice, Curves, Pictures
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.crops import CropRecipe, crop_views
from engine.views.local import (
    COLOURS,
    LEVELS,
    MOVES,
    LocalFields,
    LocalRecipe,
    Strengths,
    field_names,
    folded_share,
    mesh,
    paint_fields,
    places,
    sample_places,
    stretch,
)
from engine.views.pixels import denormalise, evaluation_view, is_bounded, normalise
from engine.views.random_fields import covariance, draw_noise, make_fields
from engine.views.rng import Rng

NEED = Need(kinds=(FieldKind.IMAGE,), channels=(1, 3), smallest_px=8, what="the pictures to learn from")
SHORTEST = 0.1  # the length whose noise is drawn where lengths are compared
FACTORS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
LENGTHS = (0.1, 0.25, 0.5, 1.0, 1e6)
DRAWN = 256
BLOCKS = 16  # per side, in which sensitivity is shown
SHIFTED_SPLIT = 2  # the test split, number of `SPLITS`


# fmt: off
class RandomFieldConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit pictures of about 64 px."""

    image_px: ImagePx = 64
    crop_area: CropArea = (0.08, 1.0)
    flip: FlipChance = 0.5
    colour_strength: Annotated[float, setting(
        "Colour strength", "How much the colours of a view change as a whole: 1 as SimCLR for ImageNet, 0.5 as for "
        "CIFAR, 0 not at all.", "Views", 0.0, 2.0, "×")] = 0.5
    grey_chance: GreyChance = 0.2
    blur_chance: Annotated[float, setting(
        "Blur", "How often a view is blurred. 0 for pictures below about 100 px.", "Views", 0.0, 1.0, "of views")] = 0.0
    chance: LocalChance = 0.5
    each_chance: Annotated[float, setting(
        "Each field", "How often each of the seven changes takes part in a view that changes locally.",
        "Views", 0.0, 1.0, "of views", advanced=True)] = 1.0
    length: LocalLength = 0.25
    strength: Annotated[float, setting(
        "Field strength", "Multiplies the seven standard deviations: 1 is mild, about 2.5 the border line, 7 destroys "
        "pictures.", "Views", 0.0, 20.0, "×")] = 1.0
    turn: Annotated[float, setting(
        "Turn", "Standard deviation of the angle by which a place turns about the middle of the view.",
        "Views", 0.0, 3.2, "rad", advanced=True)] = LEVELS["mild"].turn
    scale: Annotated[float, setting(
        "Scale", "Standard deviation of the logarithm of the scale along either axis.",
        "Views", 0.0, 2.0, advanced=True)] = LEVELS["mild"].scale
    shear: Annotated[float, setting(
        "Shear", "Standard deviation of the shear.", "Views", 0.0, 2.0, advanced=True)] = LEVELS["mild"].shear
    shift: Annotated[float, setting(
        "Shift", "Standard deviation of the shift along either axis.",
        "Views", 0.0, 2.0, "half sides", advanced=True)] = LEVELS["mild"].shift
    hue: Annotated[float, setting(
        "Hue", "Standard deviation of the hue; a whole turn of the colour circle is 1.",
        "Views", 0.0, 1.0, "turns", advanced=True)] = LEVELS["mild"].hue
    saturation: Annotated[float, setting(
        "Saturation", "Standard deviation of the logarithm of the saturation.",
        "Views", 0.0, 3.0, advanced=True)] = LEVELS["mild"].saturation
    brightness: Annotated[float, setting(
        "Brightness", "Standard deviation of the logarithm of the brightness.",
        "Views", 0.0, 3.0, advanced=True)] = LEVELS["mild"].brightness
    family: Annotated[Literal["gaussian", "power law"], setting(
        "Family", "Covariance of the fields: a Gaussian of the distance, or that of a power law in frequency.",
        "Views", advanced=True)] = "gaussian"
    exponent: Annotated[float, setting(
        "Exponent", "Of the power law. Below 4 the fields have no gradient and fold pictures at every pixel.",
        "Views", 2.5, 10.0, advanced=True)] = 5.0
    keeps_gradient: Annotated[bool, setting(
        "Keep gradients", "Let the strengths grow with the length, so that neighbours part as fast at any length.",
        "Views", advanced=True)] = False
    one_scale: Annotated[bool, setting(
        "One scale", "Scale both axes alike.", "Views", advanced=True)] = False
    keeps_mean: Annotated[bool, setting(
        "Keep the mean", "Let saturation and brightness have the mean 1, not the median.",
        "Views", advanced=True)] = False
    prevents_folds: Annotated[bool, setting(
        "Prevent folds", "Shorten the displacements of a view until nothing in it folds.",
        "Views", advanced=True)] = False
    encoder: Annotated[str, setting(
        "Encoder", "resnet-micro, resnet-small, resnet-medium, resnet-18-small-stem, vit-micro, vit-mini, vit-tiny, "
        "vit-small, vit-base, or the name of any image model of timm, such as resnet50.",
        "Network")] = "resnet-18-small-stem"
    projector_width: Annotated[int, setting(
        "Head width", "Hidden channels of the head. 0 takes the width of the encoder's features.",
        "Network", 0, 8192, "channels")] = 0
    projection: Annotated[int, setting(
        "Projection", "Channels in which views are compared.", "Network", 8, 2048, "channels")] = 128
    temperature: Temperature = 0.2
# fmt: on


def two_views(batch: Batch, config: RandomFieldConfig, rng: Rng) -> dict[str, Tensor]:
    """Return two views of every record, `first` and `second`, (B, C, s, s) each, with fields of their own."""
    first, second = crop_views(batch["image"], rng, crop_recipe(config), 2, spec=batch.specs["image"])
    return {"first": first, "second": second}


def crop_recipe(config: RandomFieldConfig) -> CropRecipe:
    """Return SimCLR's crops and colours with the local changes in between and after."""
    strength = config.colour_strength
    return CropRecipe(
        size_px=config.image_px,
        scale=config.crop_area,
        flip=config.flip,
        jitter=(0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength),
        grey_chance=config.grey_chance,
        blur_chance=config.blur_chance,
        interpolation="bicubic",
        local=field_recipe(config) if config.chance > 0 and config.strength > 0 else None,
    )


def field_recipe(config: RandomFieldConfig) -> LocalRecipe:
    """Return how the fields are drawn."""
    strengths = Strengths(
        turn=config.turn,
        scale=config.scale,
        shear=config.shear,
        shift=config.shift,
        hue=config.hue,
        saturation=config.saturation,
        brightness=config.brightness,
    )
    return LocalRecipe(
        strengths=strengths.times(config.strength),
        length=config.length,
        family=config.family,
        exponent=config.exponent,
        chance=config.chance,
        each_chance=config.each_chance,
        keeps_gradient=config.keeps_gradient,
        one_scale=config.one_scale,
        keeps_mean=config.keeps_mean,
        prevents_folds=config.prevents_folds,
    )


class RandomFieldContrast(nn.Module):
    """Encoder and head of SimCLR. Views: `first` and `second`, (B, C, s, s) each."""

    def __init__(self, config: RandomFieldConfig, schema: Schema) -> None:
        super().__init__()
        spec = NEED.find(schema)
        channels = int((spec.shape[0] if spec else None) or 3)
        self.encoder = build_encoder(config.encoder, channels=channels, size_px=config.image_px)
        width = self.encoder.dim
        hidden = config.projector_width or width
        self.projector = Projector((width, hidden, config.projection), norm="batch", last_norm="affine")
        self.temperature = config.temperature
        self.image_px = config.image_px

    def step(self, views: Views, progress: float) -> Step:  # noqa: ARG002 nothing is scheduled
        """Return NT-Xent of one batch of pairs."""
        features: Features = self.encoder.features(torch.cat([views["first"], views["second"]]))
        first, second = self.projector(features.pooled).chunk(2)
        contrast = nt_xent(first, second, self.temperature)
        monitors = {"contrastive accuracy": contrast.accuracy, "positive similarity": contrast.positive.mean()}
        return Step(contrast.loss, {"nt-xent": contrast.loss}, monitors)

    def embed(self, batch: Batch) -> Features:
        """Return the encoder's features of whole pictures, before the head."""
        features: Features = self.encoder.features(evaluation_view(batch, "image", self.image_px))
        return features


class Laboratory:
    """Whole pictures and one draw of fields for each, which are looked at under changing strengths and lengths."""

    def __init__(self, batch: Batch, config: RandomFieldConfig, rng: Rng) -> None:
        self.spec = batch.specs["image"]
        self.image = evaluation_view(batch, "image", config.image_px)
        self.recipe = replace(field_recipe(config), chance=1.0, each_chance=1.0)
        self.size = (config.image_px,) * 2
        self._rng = rng
        names = field_names(2)
        length = min(SHORTEST, config.length)
        self._noise = draw_noise(rng.spawn("noise"), 1, len(names), self.size, length=length, family=config.family)

    def fields(self, factor: float = 1.0, length: float = 0.0) -> LocalFields:
        """Return the fields at a multiple of the strengths, and at another length; the noise stays."""
        recipe = replace(self.recipe.at_strength(factor), length=length or self.recipe.length)
        return LocalFields(self._rng, recipe, 1, self.size, self._noise)

    def where(self, fields: LocalFields) -> Tensor:
        """Return where each pixel comes from, (B, s, s, 2)."""
        return places(
            fields.make(which=MOVES), one_scale=self.recipe.one_scale, prevents_folds=self.recipe.prevents_folds
        )

    def view(self, fields: LocalFields) -> Tensor:
        """Return the normalised view that the fields make of the pictures, (B, C, s, s)."""
        moved = sample_places(denormalise(self.image, self.spec), self.where(fields))
        painted = paint_fields(
            moved,
            fields.make(which=COLOURS),
            fields.sigma[:, COLOURS],
            keeps_mean=self.recipe.keeps_mean,
            is_bounded=is_bounded(self.spec),
        )
        return normalise(painted, self.spec)

    def pictures(self, values: Tensor) -> Tensor:
        """Return normalised values as pictures of three channels, (B, 3, s, s) in 0…1."""
        return denormalise(values, self.spec).expand(-1, 3, -1, -1)


def heat(field: Tensor, sigma: Tensor) -> Tensor:
    """Return signed fields (B, s, s) as pictures (B, 3, s, s): blue below 0, red above, full at 2.5 σ; 0 is white."""
    share = (field / (2.5 * sigma.clamp_min(1e-12)).view(-1, 1, 1)).clamp(-1, 1)
    over, under = share.clamp_min(0), -share.clamp_max(0)
    return torch.stack((1 - under, 1 - over - under, 1 - over), dim=1)


def show_laboratory(
    model: nn.Module,  # noqa: ARG001
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: RandomFieldConfig,
    rng: Rng,
) -> Pictures:
    """Return pictures, what local changes make of them, the bent grid, what folds, and every field."""
    lab = Laboratory(batch, config, rng)
    fields = lab.fields()
    where = lab.where(fields)
    theta = fields.make()
    plain = lab.pictures(lab.image)
    u = mesh(lab.size, plain.device)
    side = config.image_px
    lines = ((torch.arange(side, device=plain.device) % max(2, side // 8)) == 0).float()
    grid = torch.maximum(lines[:, None], lines[None, :]).expand(len(plain), 1, -1, -1)
    folds = (stretch(where) <= 0).unsqueeze(1)
    red = plain.new_tensor((1.0, 0.1, 0.1)).view(3, 1, 1)
    changed = lab.pictures(lab.view(fields))
    columns = {
        "picture": plain,
        "local view": changed,
        "grid": 1 - 0.8 * sample_places(grid.contiguous(), where).expand(-1, 3, -1, -1),
        "folds": torch.where(folds, red, 0.5 * changed + 0.5),
        **{name: heat(theta[:, number], fields.sigma[:, number]) for number, name in enumerate(field_names(2))},
    }
    distance = (where - u).square().sum(dim=-1).mean().sqrt()
    sigmas = ", ".join(
        f"{name} {float(sigma):.2g}" for name, sigma in zip(field_names(2), fields.sigma[0], strict=True)
    )
    return Pictures(
        view="laboratory",
        title="Local changes",
        step=0,
        note=f"Fields are blue below 0 and red above, full at 2.5 σ; length {config.length:g} sides; σ: {sigmas}. "
        f"{float(folded_share(where).mean()):.1%} of the pixels fold (red); places move by {float(distance):.2f} half "
        "sides.",
        records=batch.index.cpu().numpy(),
        columns=tuple(columns),
        pictures=np.stack([as_picture(picture) for picture in columns.values()], axis=1),
    )


def show_strengths(
    model: nn.Module,  # noqa: ARG001
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: RandomFieldConfig,
    rng: Rng,
) -> Pictures:
    """Return the same draw of fields at growing strengths, and at growing lengths."""
    lab = Laboratory(batch, config, rng)
    columns = {f"× {factor:g}": lab.fields(factor) for factor in FACTORS}
    if config.family == "gaussian":
        columns |= {"length ∞" if length > 100 else f"length {length:g}": lab.fields(1.0, length) for length in LENGTHS}
    return Pictures(
        view="strengths",
        title="Strengths and lengths",
        step=0,
        note="One draw of fields for each picture: first at multiples of the strengths, then at other lengths.",
        records=batch.index.cpu().numpy(),
        columns=tuple(columns),
        pictures=np.stack([as_picture(lab.pictures(lab.view(fields))) for fields in columns.values()], axis=1),
    )


def show_statistics(
    model: nn.Module,  # noqa: ARG001
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: RandomFieldConfig,
    rng: Rng,
) -> Curves:
    """Return the covariance of drawn fields over the distance beside the one they should have."""
    size = (config.image_px,) * 2
    each = -(-DRAWN // len(batch))
    noise = draw_noise(rng, each, 1, size, length=config.length, family=config.family)
    fields = make_fields(noise, size, length=config.length, family=config.family, exponent=config.exponent)
    lags = torch.arange(0, config.image_px * 3 // 4, max(1, config.image_px // 32))
    found = torch.stack([(fields[..., : config.image_px - lag] * fields[..., lag:]).mean() for lag in lags.tolist()])
    distance = lags / config.image_px
    target = covariance(distance, length=config.length, family=config.family, exponent=config.exponent)
    return Curves(
        view="statistics",
        title="Statistics of fields",
        step=0,
        note=f"Covariance of {fields.shape[0] * fields.shape[1]} drawn fields; dashed, what it should be.",
        x=distance.numpy(),
        values=torch.stack((found.cpu(), target)).numpy(),
        series=("drawn", "asked for"),
        x_name="distance, sides",
        unit="covariance",
        dashed=("asked for",),
    )


def show_preservation(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: RandomFieldConfig,
    rng: Rng,
) -> Curves:
    """Return what is left of pictures at growing strengths: in the encoder's features, and of their edges."""
    assert isinstance(model, RandomFieldContrast)
    lab = Laboratory(batch, config, rng)
    middle = model.encoder.features(lab.image).pooled.float().mean(dim=0)
    clean = model.encoder.features(lab.image).pooled.float() - middle
    edges = _edges(lab.image)
    alike, kept = [], []
    for factor in FACTORS:
        view = lab.view(lab.fields(factor))
        alike.append(F.cosine_similarity(clean, model.encoder.features(view).pooled.float() - middle).mean())
        kept.append(F.cosine_similarity(edges, _edges(view)).mean())
    return Curves(
        view="preservation",
        title="What is left of pictures",
        step=0,
        note="Cosine of features of pictures and of their local views, about the mean of the shown ones, and the "
        "correlation of their edges. The mark is the strength in use.",
        x=np.array(FACTORS, np.float32) * config.strength,
        values=torch.stack((torch.stack(alike), torch.stack(kept))).cpu().numpy(),
        series=("features", "edges"),
        x_name="field strength, ×",
        unit="correlation",
        marks=(config.strength,),
    )


def _edges(image: Tensor) -> Tensor:
    """Return the lengths of gradients about their mean, (B, s · s)."""
    down, across = torch.gradient(image.float().mean(dim=1), dim=(1, 2))
    length = (down.square() + across.square()).sqrt().flatten(1)
    return length - length.mean(dim=1, keepdim=True)


def show_sensitivity(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: RandomFieldConfig,
    rng: Rng,
) -> Pictures:
    """Return where each field moves the features most: |dz/dθ(u)| along one direction, drawn at random."""
    assert isinstance(model, RandomFieldContrast)
    lab = Laboratory(batch, config, rng)
    names = field_names(2)
    with torch.enable_grad():
        theta = torch.zeros(len(batch), len(names), *lab.size, device=lab.image.device, requires_grad=True)
        values = denormalise(lab.image, lab.spec)
        moved = sample_places(values, places(theta[:, MOVES]))
        none = torch.zeros(len(batch), 3, device=values.device)
        view = normalise(paint_fields(moved, theta[:, COLOURS], none, is_bounded=is_bounded(lab.spec)), lab.spec)
        features = model.encoder.features(view).pooled.float()
        direction = rng.spawn("direction").normal(features.shape[1])
        (slope,) = torch.autograd.grad((F.normalize(features) * direction).sum(), theta)
    block = max(1, config.image_px // BLOCKS)  # fields are smooth: what counts is a change of a neighbourhood
    height = F.avg_pool2d(slope, block, ceil_mode=True).abs()
    height = F.interpolate(height / height.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12), size=lab.size)
    columns = {"picture": lab.pictures(lab.image)}
    columns |= {name: height[:, number : number + 1].expand(-1, 3, -1, -1) for number, name in enumerate(names)}
    return Pictures(
        view="sensitivity",
        title="Sensitivity",
        step=0,
        note="How much the features of a picture change with each field at each place; each in its own range.",
        records=batch.index.cpu().numpy(),
        columns=tuple(columns),
        pictures=np.stack([as_picture(picture) for picture in columns.values()], axis=1),
    )


def measure_shapes(model: nn.Module, data: ClaimData, config: RandomFieldConfig, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return accuracies of a linear probe and of neighbours, on pictures bent as in training and bent more."""
    train, labels = data.features(model, "train")
    test, truth = data.features(model, "test")
    is_shifted = data.field("split", "test") == SHIFTED_SPLIT
    linear, _ = logistic_probe(train, labels, test, len(data.classes))
    near = knn_predict(test, train, labels, len(data.classes))
    found = {}
    for name, predicted in (("linear probe", linear), ("kNN", near)):
        right = (predicted == truth).float()
        found[f"{name}, bent more"] = float(right[is_shifted].mean())
        found[f"{name}, bent alike"] = float(right[~is_shifted].mean())
    return found


# fmt: off
METHOD = Method(
    id="random-field-augmentations",
    title="Random fields",
    idea="Contrasts views that bend and change colour smoothly.",
    paper=Paper(
        title="Random Field Augmentations for Self-Supervised Representation Learning",
        authors="Mansfield, Afkanpour, Morningstar, Singhal", year=2023, venue="NeurIPS 2023 workshop NeurReps",
        url="https://arxiv.org/abs/2311.03629",
        # the host's: ResNet-50 without classifier, head 2048-2048-128 with two batch norms
        parameters={"paper": 27_968_832},
    ),
    families=("contrastive",),
    needs=(NEED,),
    config=RandomFieldConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "encoder": "resnet-micro", "projection": 64, "crop_area": (0.2, 1.0)},
            training={"steps": 480, "batch_size": 128, "learning_rate": 2e-3, "weight_decay": 1e-4,
                      "betas": (0.9, 0.999), "warmup_share": 0.1},
        ),
        "small": Preset(training={"steps": 20_000, "batch_size": 256, "learning_rate": 1e-3, "weight_decay": 1e-4,
                                  "betas": (0.9, 0.999), "warmup_share": 0.05}),
        "paper": Preset(
            config={"image_px": 224, "encoder": "resnet50", "colour_strength": 1.0, "blur_chance": 0.5,
                    "temperature": 0.1},
            # SimCLR's recipe: 100 epochs of ImageNet-1K at 4096 records per update, 10 of them warm-up
            training={"steps": 31_200, "batch_size": 4096, "optimiser": "lars", "learning_rate": 0.3,
                      "reference_batch": 256, "weight_decay": 1e-6, "momentum": 0.9, "warmup_share": 0.1},
        ),
    },
    views=two_views,
    model=RandomFieldContrast,
    inspections=(
        Look("laboratory", Pictures, "Local changes", show_laboratory,
             "Pictures, what the fields make of them, the bent grid, what folds, and every field."),
        Look("strengths", Pictures, "Strengths and lengths", show_strengths,
             "One draw of fields at growing strengths and lengths."),
        Look("preservation", Curves, "What is left of pictures", show_preservation,
             "How alike features and edges stay as the fields grow stronger."),
        Look("sensitivity", Pictures, "Sensitivity", show_sensitivity,
             "Where in a picture each field changes the features most."),
        Look("statistics", Curves, "Statistics of fields", show_statistics,
             "Covariance of drawn fields over the distance, beside the one asked for."),
    ),
    nodes=(
        PipelineNode(id="crops", text="two crops", column=0, row=0.5, role="data"),
        PipelineNode(id="fields", text="fields", column=1, row=0, role="data"),
        PipelineNode(id="views", text="bent views", column=1, row=1, role="data"),
        PipelineNode(id="encoder", text="encoder", column=2, row=0.5, role="encoder"),
        PipelineNode(id="head", text="head", column=3, row=0.5, role="predictor"),
        PipelineNode(id="contrast", text="contrast", column=4, row=0.5, role="loss"),
    ),
    edges=(
        PipelineEdge(source="crops", target="views"),
        PipelineEdge(source="fields", target="views"),
        PipelineEdge(source="views", target="encoder"),
        PipelineEdge(source="encoder", target="head"),
        PipelineEdge(source="head", target="contrast"),
    ),
    good_at="Things that bend and light that is uneven; data that differ from those of training in that way.",
    bad_at="Exact geometry: lengths, angles and shades that carry the meaning. Strong fields destroy pictures.",
    claim=Claim(
        statement="Mild local changes help where pictures bend and are lit in ways never seen; strong ones hurt.",
        sample="bentshapes",
        arms=(
            Arm("mild fields", config={"strength": 1.5}),
            Arm("no fields", config={"chance": 0.0}),
            Arm("strong fields", config={"turn": 0.6, "scale": 0.36, "shear": 0.36, "shift": 0.24, "hue": 0.15,
                                         "saturation": 0.9, "brightness": 0.9, "chance": 1.0}),
            Arm("mild, not local", config={"strength": 1.5, "length": 1e6}),
        ),
        metric=measure_shapes,
        primary="linear probe, bent more",
        expected="2 points or more above no fields on pictures bent more, not below it on those bent alike; strong "
        "fields several points below mild ones; changes of the whole view between none and local ones",
        config={"colour_strength": 1.0},  # with less, the two colours of a picture tell it from all others
        training={"steps": 350, "batch_size": 64},
        margin=0.02,
    ),
    suggested_sample="bentshapes",
)
