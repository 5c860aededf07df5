"""MAE: hide three quarters of the patches, encode the rest, let a light decoder paint what is missing.

The encoder works on the visible patches only and never sees a mask token, which makes it cheap and keeps its input
like that of later use. Hidden pixels are told by far-away context alone, so it must represent objects, not textures.

Paper:      He, Chen, Xie, Li, Dollár, Girshick. Masked Autoencoders Are Scalable Vision Learners. CVPR 2022.
            arXiv:2111.06377
Equations:  the paper numbers none: masking, encoder, decoder and target as in its section 3, recipe as in its table 8
Reference:  facebookresearch/mae: models_mae.py, main_pretrain.py, util/pos_embed.py (CC BY-NC 4.0: read by those who
            wrote the notes this file follows, nothing copied; the notes name no commit)
Differs:    `embed` pools the mean of the patch tokens unless `pool` says "class", because the class token is weak
            after short training. Crops are resampled on the device for the whole batch, bicubic and anti-aliased, not
            by Pillow. Visible tokens stay in image order; the authors shuffle them, which changes nothing, as
            positions are added before. The defaults suit small pictures; the preset `paper` has ViT-L/16. Any number
            of channels is taken. Block and grid masks are offered because the paper compares them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from torch import Tensor, nn

from engine.data.batch import Batch
from engine.errors import ConfigError
from engine.evaluation.linear import ridge_probe
from engine.form_fields import CropArea, Depth, FlipChance, Heads, ImagePx, PatchPx, PooledFrom, Width, setting
from engine.inspections.attentions import chosen_layer, make_attention
from engine.inspections.generic import picture_key
from engine.inspections.reconstructions import make_reconstruction
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.decoder import MaskedDecoder
from engine.networks.patches import patchify, unpatchify
from engine.networks.vit import ViT
from engine.objectives.masked import NormalisedPatches, masked_mean, normalise_patches
from engine.protocol.inspections import Attention, Choice, Reconstruction
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.crops import CropRecipe, crop_views
from engine.views.masks import Mask, block_mask, grid_mask, random_mask
from engine.views.pixels import denormalise, evaluation_view
from engine.views.rng import Rng

NEED = Need(kinds=(FieldKind.IMAGE, FieldKind.CHANNELS), smallest_px=8, what="the pictures to learn from")


# fmt: off
class MAEConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit pictures of about 64 px."""

    image_px: ImagePx = 64
    crop_area: CropArea = (0.2, 1.0)
    flip: FlipChance = 0.5
    mask_share: Annotated[float, setting(
        "Mask share", "How many of the patches the encoder never sees. More makes the task harder and each step "
        "cheaper; the paper uses 0.75.", "Views", 0.05, 0.95, "of patches")] = 0.75
    mask_shape: Annotated[Literal["random", "blocks", "grid"], setting(
        "Mask shape", "Random patches (the paper's choice), large blocks (harder), or a regular grid (easier; always "
        "75 %).", "Views")] = "random"
    patch_px: PatchPx = 8
    width: Width = 192
    depth: Depth = 12
    heads: Heads = 3
    decoder_width: Annotated[int, setting(
        "Decoder width", "Channels of the decoder, a multiple of its heads and of 4. It is thrown away after training.",
        "Network", 16, 1024, "channels")] = 128
    decoder_depth: Annotated[int, setting(
        "Decoder depth", "Blocks of the decoder. One block is as good for fine-tuning, more help linear probes.",
        "Network", 1, 16, "blocks")] = 4
    decoder_heads: Annotated[int, setting(
        "Decoder heads", "Attention heads of each block of the decoder.", "Network", 1, 32, "heads", advanced=True)] = 4
    pool: PooledFrom = "mean"
    normalise_targets: Annotated[bool, setting(
        "Normalise targets", "Predict pixels with mean 0 and variance 1 in every patch: contrast and detail instead of "
        "brightness. Better features in the paper.", "Losses")] = True
# fmt: on


def masked_crop(batch: Batch, config: MAEConfig, rng: Rng) -> dict[str, Tensor]:
    """Return one crop `image` (B, C, H, W), and which patches are hidden.

    `mask` (B, N) bool, True = hidden; `keep` (B, V) and `restore` (B, N) int64 as in `Mask`.
    """
    recipe = CropRecipe(size_px=config.image_px, scale=config.crop_area, flip=config.flip, interpolation="bicubic")
    image = crop_views(batch["image"], rng.spawn("crop"), recipe, 1, spec=batch.specs["image"])[0]
    mask = draw_mask(config, rng.spawn("mask"))
    return {"image": image, "mask": mask.mask, "keep": mask.keep, "restore": mask.restore}


def draw_mask(config: MAEConfig, rng: Rng) -> Mask:
    """Return a fresh mask for every record; N − int(N (1 − r)) patches are hidden, rounded as the authors do."""
    side = config.image_px // config.patch_px
    masked = side * side - int(side * side * (1 - config.mask_share))
    if config.mask_shape == "grid":
        return grid_mask(rng, (side, side))
    if config.mask_shape == "blocks":
        return block_mask(rng, (side, side), masked, min_block=max(2, side * side // 12))
    return random_mask(rng, side * side, masked)


class MAE(nn.Module):
    """Encoder of visible patches and decoder of all. Views: `image`, `mask`, `keep`, `restore` of `masked_crop`."""

    def __init__(self, config: MAEConfig, schema: Schema) -> None:
        super().__init__()
        if config.image_px % config.patch_px:
            raise ConfigError(
                f"Patches of {config.patch_px} px do not tile {config.image_px} px.", "Change one of them."
            )
        spec = NEED.find(schema)
        channels = int((spec.shape[0] if spec else None) or 3)
        self.encoder = ViT(
            size=(config.image_px,) * 2,
            patch=(config.patch_px,) * 2,
            channels=channels,
            dim=config.width,
            depth=config.depth,
            heads=config.heads,
            positions="sine",
            sine_order="column first",
        )
        self.decoder = MaskedDecoder(
            grid=self.encoder.grid,
            encoder_dim=config.width,
            dim=config.decoder_width,
            depth=config.decoder_depth,
            heads=config.decoder_heads,
            outputs=channels * config.patch_px**2,
        )
        self.patch = (config.patch_px,) * 2
        self.image_px = config.image_px
        self.normalises_targets = config.normalise_targets
        self.pool = config.pool

    def step(self, views: Views, progress: float) -> Step:  # noqa: ARG002 nothing is scheduled
        """Return the loss of one batch: mean squared error over the hidden patches."""
        predicted = self.predict(views)  # (B, N, P)
        target, _ = self.target(views["image"])
        loss = reconstruction_loss(predicted, target, views["mask"])
        return Step(loss, {"reconstruction": loss})

    def predict(self, views: Views) -> Tensor:
        """Return the predicted patches (B, N, p·p·C) in the units of the target, for all places."""
        latent = self.encoder(views["image"], keep=views["keep"])  # (B, 1 + V, E)
        return self.decoder(latent, views["restore"])

    def target(self, image: Tensor) -> tuple[Tensor, NormalisedPatches | None]:
        """Return what is to be predicted (B, N, p·p·C), and how to undo its normalisation, if any."""
        patches = patchify(image.float(), self.patch)
        if not self.normalises_targets:
            return patches, None
        normalised = normalise_patches(patches)
        return normalised.values, normalised

    def embed(self, batch: Batch) -> Features:
        """Return the mean patch token or the class token (B, E), and all patch tokens (B, N, E), of whole pictures."""
        tokens = self.encoder(evaluation_view(batch, "image", self.image_px))  # (B, 1 + N, E)
        dense = tokens[:, 1:]
        return Features(tokens[:, 0] if self.pool == "class" else dense.mean(dim=1), dense, self.encoder.grid)


def reconstruction_loss(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared error (B, N, P) over the entries of a patch and then over all hidden patches."""
    return masked_mean((predicted.float() - target).square().mean(dim=-1), mask)


def show_reconstruction(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: MAEConfig,
    rng: Rng,
) -> Reconstruction:
    """Return whole pictures, what was hidden of them and what the decoder made of it."""
    assert isinstance(model, MAE)
    views = _evaluation_views(batch, config, rng)
    predicted = model.predict(views).float()
    _, normalised = model.target(views["image"])
    note = "The decoder predicts pixels."
    if normalised is not None:
        predicted = normalised.restore(predicted)
        note = "Predictions have mean 0 and variance 1 per patch; they are shown with the true mean and spread."
    _, spec = picture_key(batch)
    return make_reconstruction(
        view="reconstruction",
        title="Reconstruction",
        note=note,
        records=batch.index,
        truth=denormalise(views["image"], spec),
        output=denormalise(unpatchify(predicted, model.patch, model.encoder.grid), spec),
        mask=views["mask"],
        grid=model.encoder.grid,
    )


def show_decoder_attention(model: nn.Module, batch: Batch, choice: Choice, config: MAEConfig, rng: Rng) -> Attention:
    """Return where the decoder looks to paint one place: the chosen one, or the first hidden one."""
    assert isinstance(model, MAE)
    views = _evaluation_views(batch, config, rng)
    layer = chosen_layer(choice, config.decoder_depth)
    latent = model.encoder(views["image"], keep=views["keep"])
    weights = model.decoder.attention(latent, views["restore"], layer)  # (B, heads, 1 + N, 1 + N)
    chosen = 0 <= choice.query < views["mask"].shape[1]
    query = choice.query if chosen else int(views["mask"][0].float().argmax())
    return make_attention(
        view="decoder-attention",
        title="Where the decoder looks",
        note="One place of the masked picture asks; a hidden place holds only its position at first.",
        batch=batch,
        image=views["image"],
        weights=weights[:, :, 1 + query],
        prefix=1,
        grid=model.encoder.grid,
        layer=layer,
        layers=config.decoder_depth,
        query=query,
    )


def _evaluation_views(batch: Batch, config: MAEConfig, rng: Rng) -> dict[str, Tensor]:
    mask = draw_mask(config, rng)
    image = evaluation_view(batch, "image", config.image_px)
    return {"image": image, "mask": mask.mask, "keep": mask.keep, "restore": mask.restore}


def probe_shapes(model: nn.Module, data: ClaimData, config: Any, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return the accuracy of a closed-form ridge probe with 4 000 labelled pictures on held-out ones."""
    train, labels = data.features(model, "train", 4000)
    test, truth = data.features(model, "test")
    predicted, _ = ridge_probe(train, labels, test, len(data.classes))
    return {"ridge probe accuracy": float((predicted == truth).float().mean())}


# fmt: off
METHOD = Method(
    id="mae",
    title="MAE",
    idea="Encodes a quarter of the patches and paints in the rest.",
    paper=Paper(
        title="Masked Autoencoders Are Scalable Vision Learners",
        authors="He, Chen, Xie et al.", year=2022, venue="CVPR 2022", url="https://arxiv.org/abs/2111.06377",
        # ViT-L/16 and 8-block decoder without the fixed position tables, by the shapes of the official code
        parameters={"paper": 329_239_296},
    ),
    families=("masked modelling",),
    needs=(NEED,),
    config=MAEConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "patch_px": 4, "width": 64, "depth": 4, "heads": 4,
                    "decoder_width": 48, "decoder_depth": 1, "decoder_heads": 4},
            training={"steps": 1500, "batch_size": 64, "learning_rate": 1.5e-3, "warmup_share": 0.067},
        ),
        "small": Preset(training={"steps": 20_000, "batch_size": 256, "learning_rate": 1e-3, "warmup_share": 0.05}),
        "paper": Preset(
            config={"image_px": 224, "patch_px": 16, "width": 1024, "depth": 24, "heads": 16,
                    "decoder_width": 512, "decoder_depth": 8, "decoder_heads": 16, "pool": "class"},
            # 800 epochs of ImageNet-1K at 4096 records per update, 40 of them warm-up
            training={"steps": 249_600, "batch_size": 256, "accumulate": 16, "learning_rate": 1.5e-4,
                      "reference_batch": 256, "warmup_share": 0.05, "weight_decay": 0.05, "betas": (0.9, 0.95)},
        ),
    },
    views=masked_crop,
    model=MAE,
    inspections=(
        Look("reconstruction", Reconstruction, "Reconstruction", show_reconstruction,
             "The picture, what the encoder saw of it, and what the decoder painted in; visible patches are pasted.",
             steers=("mask_share", "mask_shape"), takes_mask=True),
        Look("decoder-attention", Attention, "Where the decoder looks", show_decoder_attention,
             "Attention of one place in the decoder over all places of the masked picture.",
             steers=("mask_share", "mask_shape"), takes_mask=True),
    ),
    nodes=(
        PipelineNode(id="picture", text="masked picture", column=0, row=0, role="data"),
        PipelineNode(id="encoder", text="encoder", column=1, row=0, role="encoder"),
        PipelineNode(id="decoder", text="decoder", column=2, row=0, role="decoder"),
        PipelineNode(id="pixels", text="hidden pixels", column=3, row=0, role="data"),
    ),
    edges=(
        PipelineEdge(source="picture", target="encoder", text="visible patches"),
        PipelineEdge(source="encoder", target="decoder"),
        PipelineEdge(source="decoder", target="pixels"),
    ),
    good_at="Fine-tuning and dense tasks, large networks, little augmentation; a step is cheap as most is hidden.",
    bad_at="Linear probes and neighbours after short training; small data with little large-scale structure.",
    claim=Claim(
        statement="Hiding most of a picture (75 %) gives better features for a linear probe than hiding little (15 %).",
        sample="shapescenes",
        arms=(
            Arm("hide 75 %"),
            Arm("hide 15 %", config={"mask_share": 0.15}),
            Arm("untrained", training={"steps": 0}),
        ),
        metric=probe_shapes,
        primary="ridge probe accuracy",
        expected="hiding 75 % is better than hiding 15 %, at tiny scale by 1 to 5 points",
        training={"steps": 500, "learning_rate": 2e-3},
    ),
)
