"""MFM: take the low or the high frequencies of a picture away, and let any encoder predict them.

No patch is hidden and no token is special, so convolutional networks learn this way as well as transformers: edges
must be told from smooth regions, or lighting and colour from edges. The decoder is one linear layer.

Paper:      Xie, Li, Zhan, Liu, Ong, Loy. Masked Frequency Modeling for Self-Supervised Visual Pre-Training. ICLR 2023.
            arXiv:2206.07706
Equations:  the page this file follows numbers none: filters as in the paper's section 3.2, loss as in its 3.3
Reference:  Jiahao000/MFM: models/mfm.py, models/frequency_loss.py, data/data_mfm.py, configs (licence and commit not
            noted by those who read it for the page this file follows; nothing copied)
Differs:    the radius shrinks with the picture. Weights by error, spectra of patches, spectra averaged over a batch and
            a transformer as decoder, which the authors' code offers switched off, are not offered. The blur that stands
            beside the filters is not cut to a kernel of 7 to 21 pixels. Crops are resampled on the device for the
            whole batch. Values that have no bounds are not clipped. Any encoder whose features form a map can be used;
            the small convolutional ones are residual networks. Of the arms that could be compared, the claim has those
            that fit into ten minutes: the method, copying, and the untrained network.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.errors import ConfigError
from engine.evaluation.linear import ridge_probe
from engine.evaluation.segmentation import class_iou, labelled_places, segmentation_probe
from engine.form_fields import CropArea, FlipChance, ImagePx, setting
from engine.inspections.generic import as_picture, picture_key
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.encoders import build_encoder
from engine.networks.vit import ViT
from engine.objectives.frequency import masked_spectral_loss, ring_means, spectral_distance, spectrum
from engine.protocol.inspections import Choice, Curves, Pictures
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, FieldSpec, Need, Schema
from engine.views.crops import CropRecipe, crop_views
from engine.views.frequency import (
    add_noise,
    blur,
    lose_resolution,
    remove_frequencies,
    removed_frequencies,
    scaled_radius,
)
from engine.views.pixels import denormalise, evaluation_view, is_bounded, normalise
from engine.views.rng import Rng

NEED = Need(kinds=(FieldKind.IMAGE, FieldKind.CHANNELS), smallest_px=8, what="the pictures to learn from")
POSITION_STD = 0.02
FILTERS_SHOWN = 64
PROBE_NOISE = 0.1
LEVELS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)


# fmt: off
class MFMConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit pictures of about 64 px."""

    image_px: ImagePx = 64
    crop_area: CropArea = (0.2, 1.0)
    flip: FlipChance = 0.5
    corruption: Annotated[Literal["frequencies", "resolution", "blur", "noise", "nothing"], setting(
        "Corruption", "What is done to the input: frequencies are removed (the method), or resolution is lost, blur or "
        "noise added, or nothing at all, for comparison. With these four the loss counts all frequencies.",
        "Views")] = "frequencies"
    low_pass_share: Annotated[float, setting(
        "Low-pass share", "How often the high frequencies are removed; otherwise the low ones are. The paper: 0.5 for "
        "transformers, 0.3 for ResNet-50.", "Views", 0.0, 1.0, "of records")] = 0.5
    radius: Annotated[int, setting(
        "Radius", "Frequencies nearer to the middle of the spectrum than this are low. 0 takes 16 at 224 px and "
        "proportionally less for smaller pictures.", "Views", 0, 256, "cycles per picture")] = 0
    outer_radius: Annotated[int, setting(
        "Outer radius", "Frequencies at or beyond this are left out of the game. 0 = there is no such limit.",
        "Views", 0, 512, "cycles per picture", advanced=True)] = 0
    reduction: Annotated[int, setting(
        "Lost resolution", "Factor of reduction where the corruption is a loss of resolution.",
        "Views", 2, 32, "×", advanced=True)] = 8
    blur_px: Annotated[float, setting(
        "Blur", "Standard deviation where the corruption is a blur.", "Views", 0.1, 20.0, "px", advanced=True)] = 5.0
    noise: Annotated[float, setting(
        "Noise", "Standard deviation where the corruption is noise; white is 1. The paper: 75 / 255.",
        "Views", 0.01, 2.0, advanced=True)] = 75 / 255
    encoder: Annotated[str, setting(
        "Encoder", "vit-micro, vit-mini, vit-tiny, vit-small, vit-base, resnet-micro, resnet-small, resnet-medium, "
        "resnet-18-small-stem, or the name of any image model of timm whose features form a map, such as resnet50.",
        "Network")] = "vit-tiny"
    patch_px: Annotated[int, setting(
        "Patch side", "Side of the patches of our transformers; it must divide the picture side. 0 takes an eighth of "
        "the picture, at most 16 px.", "Network", 0, 64, "px")] = 8
    counted: Annotated[Literal["removed", "all"], setting(
        "Counted frequencies", "Whether the loss counts the removed frequencies only, as the method does, or all.",
        "Losses", advanced=True)] = "removed"
# fmt: on


def corrupted_crop(batch: Batch, config: MFMConfig, rng: Rng) -> dict[str, Tensor]:
    """Return one crop `image` and `corrupted`, (B, C, s, s) each, normalised, and which frequencies are gone.

    `removed` (B, s, s) bool, frequency 0 in the middle; `is_low_pass` (B,) bool. Corruptions that are no filters count
    as removing everything.
    """
    recipe = CropRecipe(size_px=config.image_px, scale=config.crop_area, flip=config.flip, interpolation="bicubic")
    image = crop_views(batch["image"], rng.spawn("crop"), recipe, 1, spec=batch.specs["image"])[0]
    return {"image": image} | corrupt(image, config, rng.spawn("corruption"), batch.specs["image"])


def corrupt(image: Tensor, config: MFMConfig, rng: Rng, spec: FieldSpec) -> dict[str, Tensor]:
    """Return `corrupted`, `removed` and `is_low_pass` of normalised pictures (B, C, s, s); see `corrupted_crop`.

    The corruption comes before the normalisation. A picture without its mean is dark by half: clipping it is part of
    the method.
    """
    values = denormalise(image, spec)
    bounds = (0.0, 1.0) if is_bounded(spec) else (-math.inf, math.inf)
    side = image.shape[-1]
    removed = torch.ones(len(image), side, side, dtype=torch.bool, device=image.device)
    is_low_pass = torch.ones(len(image), dtype=torch.bool, device=image.device)
    if config.corruption == "frequencies":
        removed, is_low_pass = removed_frequencies(
            rng,
            side,
            radius=config.radius or scaled_radius(side),
            outer_radius=config.outer_radius,
            low_pass_share=config.low_pass_share,
        )
        values = remove_frequencies(values, removed)
    elif config.corruption == "resolution":
        values = lose_resolution(values, config.reduction, bounds)
    elif config.corruption == "blur":
        values = blur(values, config.blur_px)
    elif config.corruption == "noise":
        values = add_noise(values, rng, config.noise)
    return {"corrupted": normalise(values.clamp(*bounds), spec), "removed": removed, "is_low_pass": is_low_pass}


class MFM(nn.Module):
    """Encoder and a linear decoder of every place. Views: `image`, `corrupted`, `removed`, `is_low_pass`."""

    def __init__(self, config: MFMConfig, schema: Schema) -> None:
        super().__init__()
        spec = NEED.find(schema)
        channels = int((spec.shape[0] if spec else None) or 3)
        self.encoder = build_encoder(
            config.encoder, channels=channels, size_px=config.image_px, patch_px=config.patch_px
        )
        if isinstance(self.encoder, ViT):
            start_small(self.encoder)
        self.stride = self._stride(channels, config)
        self.decoder = nn.Linear(self.encoder.dim, channels * self.stride**2)
        nn.init.trunc_normal_(self.decoder.weight, std=0.02)
        nn.init.zeros_(self.decoder.bias)
        self.image_px = config.image_px
        self.counts_all = config.counted == "all" or config.corruption != "frequencies"

    @torch.no_grad()
    def _stride(self, channels: int, config: MFMConfig) -> int:
        """Return how many pixels a place of the encoder's map has along an axis."""
        was_training = self.encoder.training
        sample = next(self.encoder.parameters()).new_zeros(1, channels, config.image_px, config.image_px)
        features: Features = self.encoder.eval().features(sample)
        self.encoder.train(was_training)
        if features.dense is None or config.image_px % features.grid[0] or features.grid[0] != features.grid[1]:
            raise ConfigError(
                f"The features of {config.encoder} at {config.image_px} px form no map that tiles the picture.",
                "Choose another encoder, or a side that its stride divides.",
            )
        return config.image_px // features.grid[0]

    def no_decay(self) -> set[str]:
        """Return positions and class token, which the authors leave without weight decay."""
        return {f"encoder.{name}" for name in self.encoder.no_decay()} if isinstance(self.encoder, ViT) else set()

    def step(self, views: Views, progress: float) -> Step:  # noqa: ARG002 nothing is scheduled
        """Return the mean spectral distance over the removed frequencies of the batch."""
        removed = views["removed"]
        weighed = torch.ones_like(removed) if self.counts_all else removed
        distance = spectral_distance(self.predict(views["corrupted"]), views["image"])  # (B, s, s)
        loss = masked_spectral_loss(distance, weighed)
        with torch.no_grad():
            copying = spectral_distance(views["corrupted"], views["image"])
            is_low_pass = views["is_low_pass"].view(-1, 1, 1)
            monitors = {"input as the answer": masked_spectral_loss(copying, weighed)}
            if not self.counts_all:
                monitors |= {
                    "high frequencies": masked_spectral_loss(distance, weighed & is_low_pass),
                    "low frequencies": masked_spectral_loss(distance, weighed & ~is_low_pass),
                }
        return Step(loss, {"spectral distance": loss}, monitors)

    def predict(self, pictures: Tensor) -> Tensor:
        """Return the pictures (B, C, s, s) that the decoder makes of the encoder's map of corrupted ones."""
        features: Features = self.encoder.features(pictures)
        assert features.dense is not None
        blocks = self.decoder(features.dense).transpose(1, 2)  # (B, C·p·p, N), the channel slowest
        return F.pixel_shuffle(blocks.reshape(*blocks.shape[:2], *features.grid), self.stride)

    def embed(self, batch: Batch) -> Features:
        """Return the mean of the map (B, E) and its places (B, N, E), of whole and clean pictures."""
        features: Features = self.encoder.features(evaluation_view(batch, "image", self.image_px))
        return features


@torch.no_grad()
def start_small(encoder: ViT) -> None:
    """Divide what block i adds to the stream by √(2 i), and draw positions within one standard deviation (BEiT)."""
    for number, block in enumerate(encoder.blocks, start=1):
        for layer in (block.attn.proj, block.mlp.fc2):  # type: ignore[union-attr]
            layer.weight.div_(math.sqrt(2 * number))  # type: ignore[union-attr, operator]
    nn.init.trunc_normal_(encoder.pos_embed, std=POSITION_STD, a=-POSITION_STD, b=POSITION_STD)
    nn.init.trunc_normal_(encoder.patch_embed.proj.weight, std=0.02)
    nn.init.zeros_(encoder.patch_embed.proj.bias)


def composite(views: Views, output: Tensor) -> Tensor:
    """Return pictures (B, C, s, s) of the kept frequencies of the original and the removed ones of the output."""
    kept = remove_frequencies(views["image"], views["removed"])
    return kept + remove_frequencies(output, ~views["removed"])


def show_frequencies(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: MFMConfig,
    rng: Rng,
) -> Pictures:
    """Return whole pictures, their spectra, what was removed, what was left, and what the network made of it."""
    assert isinstance(model, MFM)
    views, spec = _evaluation_views(batch, config, rng)
    output = model.predict(views["corrupted"]).float()
    height = spectrum(denormalise(views["image"], spec)).abs().mean(dim=1, keepdim=True).log1p()  # (B, 1, s, s)
    shape = views["image"].shape
    columns = {
        "original": denormalise(views["image"], spec),
        "spectrum": (height / height.amax(dim=(2, 3), keepdim=True)).expand(shape),
        "kept": (~views["removed"]).float().unsqueeze(1).expand(shape),
        "input": denormalise(views["corrupted"], spec),
        "prediction": denormalise(output, spec),
        "composite": denormalise(composite(views, output), spec),
    }
    return Pictures(
        view="frequencies",
        title="Removed frequencies",
        step=0,
        note="Spectra are log(1 + amplitude), frequency 0 in the middle. The prediction is free where frequencies were "
        "kept; the composite takes those from the original.",
        records=batch.index.cpu().numpy(),
        columns=tuple(columns),
        pictures=np.stack([as_picture(picture) for picture in columns.values()], axis=1),
    )


def show_spectral_error(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: MFMConfig,
    rng: Rng,
) -> Curves:
    """Return how far prediction and original are apart on rings of frequencies, once for each kind of filter."""
    assert isinstance(model, MFM)
    _, spec = picture_key(batch)
    image = evaluation_view(batch, "image", config.image_px)
    lines, names, dashed = [], [], []
    for name, share in (("high removed", 1.0), ("low removed", 0.0)):
        views = {"image": image} | corrupt(image, _filtering(config, share), rng.spawn(name), spec)
        everything = torch.ones_like(views["removed"])
        for who, answer in ((name, model.predict(views["corrupted"])), (f"{name}, the input", views["corrupted"])):
            lines.append(ring_means(spectral_distance(answer, image), everything))
            names.append(who)
        dashed.append(names[-1])
    return Curves(
        view="spectral-error",
        title="Error by frequency",
        step=0,
        note="Distance of the spectra of prediction and original; dashed, that of the network's input. Left of "
        "the mark are the low frequencies.",
        x=np.arange(len(lines[0]), dtype=np.float32),
        values=torch.stack(lines).cpu().numpy(),
        series=tuple(names),
        x_name="cycles per picture",
        unit="spectral distance, normalised values",
        is_log=True,
        dashed=tuple(dashed),
        marks=(float(config.radius or scaled_radius(config.image_px)),),
    )


def show_robustness(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: MFMConfig,
    rng: Rng,
) -> Curves:
    """Return how alike the features of clean pictures and of noisy or blurred ones are."""
    assert isinstance(model, MFM)
    _, spec = picture_key(batch)
    image = evaluation_view(batch, "image", config.image_px)
    values = denormalise(image, spec)
    clean = model.encoder.features(image).pooled.float()
    lines: dict[str, list[Tensor]] = {"noise": [], "blur": []}
    for level in LEVELS:
        noisy = add_noise(values, rng.spawn("noise"), level)
        blurred = blur(values, level * 10) if level else values
        for name, disturbed in (("noise", noisy), ("blur", blurred)):
            pooled = model.encoder.features(normalise(disturbed, spec)).pooled.float()
            lines[name].append(F.cosine_similarity(clean - clean.mean(dim=0), pooled - clean.mean(dim=0)).mean())
    return Curves(
        view="robustness",
        title="Robustness of features",
        step=0,
        note="Cosine of the features of clean and disturbed pictures, about the mean of the shown ones. Noise: "
        "standard deviation, white is 1. Blur: standard deviation in tens of pixels.",
        x=np.array(LEVELS, np.float32),
        values=torch.stack([torch.stack(line) for line in lines.values()]).cpu().numpy(),
        series=tuple(lines),
        x_name="strength of the disturbance",
        unit="cosine",
    )


def show_filters(
    model: nn.Module,
    batch: Batch,  # noqa: ARG001
    choice: Choice,  # noqa: ARG001
    config: MFMConfig,  # noqa: ARG001
    rng: Rng,  # noqa: ARG001
) -> Pictures:
    """Return the encoder's first layer as pictures: the strongest kernels, each in its own range of values."""
    assert isinstance(model, MFM)
    kernels = next(parameter for parameter in model.encoder.parameters() if parameter.ndim == 4).float()
    kernels = kernels[kernels.flatten(1).norm(dim=1).argsort(descending=True)][:FILTERS_SHOWN]
    kernels = kernels[: len(kernels) // 8 * 8]
    largest = kernels.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    shown = as_picture(0.5 + 0.5 * kernels / largest)
    return Pictures(
        view="filters",
        title="First-layer filters",
        step=0,
        note="The strongest kernels of the first layer, by the length of their weights; grey is 0.",
        records=np.zeros(0, np.int64),
        columns=("",) * 8,
        pictures=shown.reshape(-1, 8, *shown.shape[1:]),
    )


def _filtering(config: MFMConfig, low_pass_share: float) -> MFMConfig:
    return MFMConfig(
        image_px=config.image_px,
        radius=config.radius,
        outer_radius=config.outer_radius,
        low_pass_share=low_pass_share,
    )


def _evaluation_views(batch: Batch, config: MFMConfig, rng: Rng) -> tuple[dict[str, Tensor], FieldSpec]:
    _, spec = picture_key(batch)
    image = evaluation_view(batch, "image", config.image_px)
    return {"image": image} | corrupt(image, config, rng, spec), spec


def measure_features(model: nn.Module, data: ClaimData, config: MFMConfig, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return what pictures and single places tell of shapes, clean and noisy, and the error beside copying the input.

    A ridge probe of 4 000 pictures tells the class, a logistic probe of places the object from the ground. The error is
    that of high frequencies, which held-out pictures have lost, divided by the error of the input itself.
    """
    assert isinstance(model, MFM)
    train, labels = data.features(model, "train", 4000)
    test, truth = data.features(model, "test")
    predicted, _ = ridge_probe(train, labels, test, len(data.classes))
    places, known = labelled_places(model, data, "train", 500, classes=2)
    held_out, expected = labelled_places(model, data, "test", 500, classes=2)
    found = segmentation_probe(places, known.labels, held_out, 2)
    noisy: list[Tensor] = []
    errors: list[Tensor] = []
    copies: list[Tensor] = []
    for batch in data.batches("test", 1000):
        image, spec = evaluation_view(batch, "image", config.image_px), batch.specs["image"]
        disturbed = normalise(add_noise(denormalise(image, spec), Rng(0, 1, batch.index), PROBE_NOISE), spec)
        noisy.append(model.encoder.features(disturbed).pooled.float().cpu())
        views = corrupt(image, _filtering(config, 1.0), Rng(0, 0, batch.index), spec)
        for answer, kept in ((model.predict(views["corrupted"]), errors), (views["corrupted"], copies)):
            kept.append(masked_spectral_loss(spectral_distance(answer, image), views["removed"]))
    of_noisy, _ = ridge_probe(train, labels, torch.cat(noisy), len(data.classes))
    return {
        "ridge probe accuracy": float((predicted == truth).float().mean()),
        "with noise": float((of_noisy == truth[: len(of_noisy)]).float().mean()),
        "object IoU": float(class_iou(found, expected.labels, 2)[1]),
        "error beside copying": float(torch.stack(errors).mean() / torch.stack(copies).mean()),
    }


# fmt: off
METHOD = Method(
    id="mfm",
    title="MFM",
    idea="Predicts the low or high frequencies that a picture has lost.",
    paper=Paper(
        title="Masked Frequency Modeling for Self-Supervised Visual Pre-Training",
        authors="Xie, Li, Zhan et al.", year=2023, venue="ICLR 2023", url="https://arxiv.org/abs/2206.07706",
        # ViT-B/16 without classifier (85 798 656) and one linear map of 768 channels to 16 · 16 · 3 values
        parameters={"paper": 86_389_248},
    ),
    families=("masked modelling",),
    needs=(NEED,),
    config=MFMConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "encoder": "vit-micro", "patch_px": 4},
            training={"steps": 1000, "batch_size": 64, "learning_rate": 1.5e-3, "warmup_share": 0.067,
                      "clip_norm": 3.0},
        ),
        "small": Preset(training={"steps": 20_000, "batch_size": 256, "learning_rate": 1e-3, "warmup_share": 0.05,
                                  "clip_norm": 3.0}),
        "paper": Preset(
            config={"image_px": 224, "encoder": "vit-base", "patch_px": 16},
            # 300 epochs of ImageNet-1K at 2048 per update, 20 of them warm-up; the last rate is 2.5e-6 · 2048 / 512
            training={"steps": 187_500, "batch_size": 128, "accumulate": 16, "learning_rate": 3e-4,
                      "reference_batch": 512, "final_learning_rate": 1e-5, "warmup_share": 0.067,
                      "weight_decay": 0.05, "betas": (0.9, 0.95), "clip_norm": 3.0},
        ),
    },
    views=corrupted_crop,
    model=MFM,
    inspections=(
        Look("frequencies", Pictures, "Removed frequencies", show_frequencies,
             "Picture, spectrum, what was kept, the input, the prediction, and the two put together."),
        Look("spectral-error", Curves, "Error by frequency", show_spectral_error,
             "How wrong the prediction is at each frequency, beside the input; for both kinds of filter."),
        Look("robustness", Curves, "Robustness of features", show_robustness,
             "How much the features change with noise and blur."),
        Look("filters", Pictures, "First-layer filters", show_filters, "The strongest kernels of the first layer."),
    ),
    nodes=(
        PipelineNode(id="picture", text="picture", column=0, row=0.5, role="data"),
        PipelineNode(id="filter", text="filter", column=1, row=0, role="data"),
        PipelineNode(id="encoder", text="encoder", column=2, row=0, role="encoder"),
        PipelineNode(id="linear", text="linear map", column=3, row=0, role="decoder"),
        PipelineNode(id="spectrum", text="spectrum", column=3, row=1, role="target"),
        PipelineNode(id="difference", text="difference", column=4, row=0.5, role="loss"),
    ),
    edges=(
        PipelineEdge(source="picture", target="filter"),
        PipelineEdge(source="filter", target="encoder", text="low or high"),
        PipelineEdge(source="encoder", target="linear"),
        PipelineEdge(source="picture", target="spectrum"),
        PipelineEdge(source="linear", target="difference"),
        PipelineEdge(source="spectrum", target="difference", text="removed ones"),
    ),
    good_at="Convolutional networks and transformers alike; few augmentations; features that stand noise and blur.",
    bad_at="Costs a full pass over all patches; pictures that are all texture, where edges tell nothing of shapes.",
    claim=Claim(
        statement="Predicting frequencies that are missing, low or high, teaches more than copying whole pictures.",
        sample="shapescenes",
        arms=(
            Arm("low or high removed"),
            Arm("nothing removed", config={"corruption": "nothing"}),
            Arm("untrained", training={"steps": 0}),
        ),
        metric=measure_features,
        primary="ridge probe accuracy",
        expected="several points above copying and the untrained network; high frequencies predicted with an error at "
        "least 20 % below that of the input",
        training={"steps": 800, "learning_rate": 3e-3},
        margin=0.02,
    ),
    suggested_sample="shapescenes",
)
