"""CAE: predict the representation of hidden patches in the encoder's own space, and only then decode them.

The encoder sees visible patches only. A regressor of cross-attention predicts the latents of the hidden patches; they
must agree with what the same encoder says of those patches, and a separate decoder turns them into tokens.

Paper:      Chen, Ding, Wang et al. Context Autoencoder for Self-Supervised Representation Learning. IJCV 2023.
            arXiv:2202.03026
Equations:  regressor, alignment and reconstruction losses of its section 3; total loss with lambda = 2
Reference:  Atten4Vis/CAE: models/modeling_cae.py, modeling_cae_helper.py, furnace/masking_generator.py,
            scripts/cae_base_800e.sh (licence not stated in the notes this file follows, nothing copied; the notes name
            no commit)
Differs:    the tokens are those of a k-means vocabulary of normalised patches, learnt from the data before the first
            step, instead of DALL-E's dVAE, which would be a download; pixels are offered instead, a small dVAE is not.
            Block masks that miss their count after ten failures are filled up beside the blocks. The smallest block is
            a twelfth of the patches instead of 16, which is the same on the paper's 14 × 14 grid. `embed` pools the
            mean of the patch tokens unless `pool` says "class". Target weights are the encoder's own (the authors
            alias them). The defaults suit small pictures.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.evaluation.linear import ridge_probe
from engine.form_fields import (
    CropArea,
    Depth,
    DropPath,
    FlipChance,
    Heads,
    ImagePx,
    PatchPx,
    PooledFrom,
    Width,
    setting,
)  # fmt: skip
from engine.inspections.attentions import chosen_layer, make_attention
from engine.inspections.generic import picture_key
from engine.inspections.reconstructions import make_reconstruction
from engine.method import (
    Arm,
    Claim,
    ClaimData,
    Config,
    Features,
    Look,
    Method,
    Paper,
    Pass,
    Prepare,
    Preset,
    Step,
    Views,
)  # fmt: skip
from engine.networks.blocks import Block, CrossAttention, drop_path_rates, init_linear, residual_drop, residual_scale
from engine.networks.patches import patchify, unpatchify
from engine.networks.positions import sine_positions
from engine.networks.vit import ViT, take_tokens
from engine.objectives.kmeans import kmeans, nearest_centroids
from engine.objectives.masked import normalise_patches
from engine.protocol.inspections import Attention, Choice, Reconstruction
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.crops import CropRecipe, crop_views_with_grid, same_crops
from engine.views.masks import Mask, block_mask, random_mask
from engine.views.pixels import denormalise, evaluation_view
from engine.views.rng import Rng

NEED = Need(kinds=(FieldKind.IMAGE, FieldKind.CHANNELS), smallest_px=8, what="the pictures to learn from")
PATCHES_PER_CODE = 256
MOST_PATCHES = 400_000


# fmt: off
class CAEConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit pictures of about 64 px."""

    image_px: ImagePx = 64
    crop_area: CropArea = (0.08, 1.0)
    flip: FlipChance = 0.5
    mask_share: Annotated[float, setting(
        "Mask share", "How many of the patches the encoder never sees. More makes the task harder and each step "
        "cheaper; the paper uses 0.50.", "Views", 0.1, 0.9, "of patches")] = 0.5
    mask_shape: Annotated[Literal["blocks", "random"], setting(
        "Mask shape", "Rectangles that add up to the share, as in the paper, or single patches.", "Views")] = "blocks"
    target: Annotated[Literal["codes", "pixels"], setting(
        "Decoder predicts", "The number of the nearest entry in a vocabulary of patches, or normalised pixels.",
        "Target")] = "codes"
    vocabulary: Annotated[int, setting(
        "Vocabulary", "Entries of the vocabulary, found by k-means over patches before the first step.",
        "Target", 8, 16384, "codes")] = 512
    code_px: Annotated[int, setting(
        "Code patch side", "Side of a vocabulary patch. If it is not the patch side, codes are read off a copy of the "
        "same crop at another size (the paper: 8 beside 16).", "Target", 2, 32, "px", advanced=True)] = 8
    patch_px: PatchPx = 8
    width: Width = 192
    depth: Depth = 12
    heads: Heads = 3
    regressor_depth: Annotated[int, setting(
        "Regressor depth", "Cross-attention blocks that predict hidden latents from visible ones.",
        "Network", 1, 12, "blocks")] = 4
    decoder_depth: Annotated[int, setting(
        "Decoder depth", "Blocks that turn predicted latents into tokens or pixels; they never see visible latents.",
        "Network", 1, 12, "blocks")] = 4
    decoder_width: Annotated[int, setting(
        "Decoder width", "Width of regressor and decoder. 0 takes the encoder's; another adds a linear layer between.",
        "Network", 0, 2048, "channels", advanced=True)] = 0
    layer_scale: Annotated[float, setting(
        "Layer scale", "First value of the factor on every residual branch: 0.1 for Base, 1e-5 for Large, 0 for none.",
        "Network", 0.0, 1.0, "×", advanced=True)] = 0.1
    drop_path: DropPath = 0.1
    pool: PooledFrom = "mean"
    align_weight: Annotated[float, setting(
        "Alignment weight", "How much the agreement of predicted and true latents counts beside decoding. 0 leaves it "
        "out.", "Losses", 0.0, 10.0, "×")] = 2.0
# fmt: on


def aligned_crops(batch: Batch, config: CAEConfig, rng: Rng) -> dict[str, Tensor]:
    """Return one crop `image` (B, C, H, W), and which patches are hidden, as `mask`, `keep`, `hidden`, `restore`.

    For codes also `coarse` (B, C, h, w), the same crop at the tokenizer's size, values 0…1.
    """
    spec = batch.specs["image"]
    recipe = CropRecipe(size_px=config.image_px, scale=config.crop_area, flip=config.flip, interpolation="bicubic")
    crops = crop_views_with_grid(batch["image"], rng.spawn("crop"), recipe, 1, spec=spec)
    views = {"image": crops.pixels[0]} | _mask_views(draw_mask(config, rng.spawn("mask")))
    if config.target == "codes":
        views["coarse"] = same_crops(batch["image"], crops.grid, _coarse_px(config), spec, "lanczos")[0]
    return views


def draw_mask(config: CAEConfig, rng: Rng) -> Mask:
    """Return a mask that hides the same number of patches of every record."""
    side = config.image_px // config.patch_px
    masked = round(side * side * config.mask_share)
    if config.mask_shape == "random":
        return random_mask(rng, side * side, masked)
    return block_mask(rng, (side, side), masked, min_block=max(2, side * side // 12))


def evaluation_views(batch: Batch, config: CAEConfig, rng: Rng) -> dict[str, Tensor]:
    """Return the views of whole, unchanged pictures; only the mask is random."""
    views = {"image": evaluation_view(batch, "image", config.image_px)} | _mask_views(draw_mask(config, rng))
    if config.target == "codes":
        views["coarse"] = _coarse_view(batch, config)
    return views


def _mask_views(mask: Mask) -> dict[str, Tensor]:
    return {"mask": mask.mask, "keep": mask.keep, "hidden": mask.hidden, "restore": mask.restore}


def _coarse_px(config: CAEConfig) -> int:
    return config.image_px // config.patch_px * config.code_px


def _coarse_view(batch: Batch, config: CAEConfig) -> Tensor:
    return denormalise(evaluation_view(batch, "image", _coarse_px(config), "lanczos"), batch.specs["image"])


class RegressorBlock(nn.Module):
    """Queries of hidden places look at visible latents and at each other; note where the residual stream restarts."""

    def __init__(self, width: int, heads: int, *, layer_scale: float, drop_path: float) -> None:
        super().__init__()
        self.norm_query, self.norm_key, self.norm_value, self.norm_mlp = (nn.LayerNorm(width, eps=1e-6) for _ in "qkvm")
        self.attention = CrossAttention(width, heads, key_bias=False)
        self.mlp = Mlp(width, 4 * width)
        self.scale_attention = residual_scale(width, layer_scale)
        self.scale_mlp = residual_scale(width, layer_scale)
        self.drop = residual_drop(drop_path)

    def forward(self, query: Tensor, visible: Tensor, query_position: Tensor, visible_position: Tensor) -> Tensor:
        """Return the next queries (B, M, D) from queries (B, M, D), visible latents (B, V, D) and their positions."""
        asked, key, context = self._inputs(query, visible, query_position, visible_position)
        value = self.norm_value(context)
        query = query + self.drop(self.scale_attention(self.attention(asked, key, value)))
        query = self.norm_mlp(query)  # replaces the residual stream, unlike a standard pre-norm block
        return query + self.drop(self.scale_mlp(self.mlp(query)))

    def weights(self, query: Tensor, visible: Tensor, query_position: Tensor, visible_position: Tensor) -> Tensor:
        """Return where the queries look, (B, heads, M, V + M)."""
        asked, key, _ = self._inputs(query, visible, query_position, visible_position)
        return self.attention.weights(asked, key)

    def _inputs(
        self, query: Tensor, visible: Tensor, query_position: Tensor, visible_position: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        context = torch.cat([visible, query], dim=1)
        position = torch.cat([visible_position, query_position], dim=1)
        return self.norm_query(query + query_position), self.norm_key(context + position), context


class CAE(nn.Module):
    """Encoder, regressor, decoder and vocabulary. Views: those of `aligned_crops`."""

    positions: Tensor
    centroids: Tensor

    def __init__(self, config: CAEConfig, schema: Schema) -> None:
        super().__init__()
        spec = NEED.find(schema)
        channels = int((spec.shape[0] if spec else None) or 3)
        width = config.decoder_width or config.width
        shape = {"layer_scale": config.layer_scale}
        self.encoder = ViT(
            size=(config.image_px,) * 2,
            patch=(config.patch_px,) * 2,
            channels=channels,
            dim=config.width,
            depth=config.depth,
            heads=config.heads,
            positions="sine",
            sine_order="row first",
            layer_scale=config.layer_scale,
            drop_path=config.drop_path,
            key_bias=False,
        )
        self.bridge: nn.Module = nn.Identity()
        if width != config.width:
            self.bridge = nn.Sequential(nn.Linear(config.width, width), nn.LayerNorm(width, eps=1e-6))
        self.query = nn.Parameter(torch.empty(1, 1, width))
        rates = drop_path_rates(config.drop_path, config.regressor_depth)
        self.regressor = nn.ModuleList(RegressorBlock(width, config.heads, drop_path=rate, **shape) for rate in rates)
        self.regressor_norm = nn.LayerNorm(width, eps=1e-6)
        rates = drop_path_rates(config.drop_path, config.decoder_depth)
        self.decoder = nn.ModuleList(
            Block(width, config.heads, drop_path=rate, key_bias=False, **shape) for rate in rates
        )
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decodes_codes = config.target == "codes"
        outputs = config.vocabulary if self.decodes_codes else channels * config.patch_px**2
        self.predict = nn.Linear(width, outputs)
        self.register_buffer("positions", sine_positions(self.encoder.grid, width, "row first").unsqueeze(0))
        entries = config.vocabulary if self.decodes_codes else 0
        self.register_buffer("centroids", torch.zeros(entries, channels * config.code_px**2))
        for part in (self.bridge, self.regressor, self.decoder, self.predict):
            init_linear(part, "xavier")
        for token in (self.query, self.encoder.cls_token, self.encoder.patch_embed.proj.weight):
            assert token is not None
            nn.init.trunc_normal_(token, std=0.02, a=-0.02, b=0.02)
        self.patch, self.code_patch = (config.patch_px,) * 2, (config.code_px,) * 2
        self.image_px, self.pool, self.align_weight = config.image_px, config.pool, config.align_weight

    def step(self, views: Views, progress: float) -> Step:  # noqa: ARG002 nothing is scheduled
        """Return decoding loss + lambda × alignment loss of one batch."""
        predicted = self.regress(views)[-1]  # (B, M, D)
        with torch.no_grad():
            latent = self.true_latent(views)  # same weights, hidden patches only
        output = self.decode(predicted, views["hidden"])
        target = self.target(views)
        monitors = agreement(predicted.detach(), latent)
        if self.decodes_codes:
            decoding = code_loss(output, target)
            monitors["token accuracy"] = (output.detach().argmax(dim=-1) == target).float().mean()
        else:
            decoding = (output.float() - target).square().mean()
        alignment = alignment_loss(predicted, latent)
        parts = {"decoding": decoding, "alignment": self.align_weight * alignment}
        return Step(parts["decoding"] + parts["alignment"], parts, monitors)

    def true_latent(self, views: Views) -> Tensor:
        """Return what the encoder says of the hidden patches alone, (B, M, D), without the class token."""
        return self.bridge(self.encoder(views["image"], keep=views["hidden"])[:, 1:])

    def regress(self, views: Views) -> list[Tensor]:
        """Return the queries before every block of the regressor and, last, the predicted latents; (B, M, D) each."""
        visible = self.bridge(self.encoder(views["image"], keep=views["keep"])[:, 1:])
        position, query_position = self.places(views["keep"]), self.places(views["hidden"])
        queries = [self.query.expand(*views["hidden"].shape, -1)]
        for block in self.regressor:
            queries.append(block(queries[-1], visible, query_position, position))
        return [*queries[:-1], self.regressor_norm(queries[-1])]

    def decode(self, latent: Tensor, places: Tensor) -> Tensor:
        """Return scores of codes (B, M, K), or pixels, of latents (B, M, D) at `places` (B, M), and nothing else."""
        hidden = latent + self.places(places)
        for block in self.decoder:
            hidden = block(hidden)
        return self.predict(self.decoder_norm(hidden))

    @torch.no_grad()
    def target(self, views: Views) -> Tensor:
        """Return the codes (B, M) int64 of the hidden patches, or their normalised pixels (B, M, p·p·C)."""
        if self.decodes_codes:
            return self.codes(views["coarse"]).gather(1, views["hidden"])
        return take_tokens(normalise_patches(patchify(views["image"], self.patch)).values, views["hidden"])

    def codes(self, coarse: Tensor) -> Tensor:
        """Return the nearest vocabulary entries (B, N) int64 of the normalised patches of `coarse` (B, C, h, w)."""
        patches = normalise_patches(patchify(coarse, self.code_patch)).values
        return nearest_centroids(patches.flatten(0, 1), self.centroids).view(len(coarse), -1)

    def embed(self, batch: Batch) -> Features:
        """Return the mean patch token or the class token (B, E), and all patch tokens (B, N, E), of whole pictures."""
        return self.encoder.features(evaluation_view(batch, "image", self.image_px), self.pool)

    def places(self, places: Tensor) -> Tensor:
        """Return the positions (B, M, D) of `places` (B, M)."""
        return take_tokens(self.positions.expand(len(places), -1, -1), places)


def alignment_loss(predicted: Tensor, latent: Tensor) -> Tensor:
    """Return the mean of (ẑ − sg(z̄))² over all entries (B, M, D), in float32."""
    return (predicted.float() - latent.detach().float()).square().mean()


def code_loss(scores: Tensor, codes: Tensor) -> Tensor:
    """Return the cross-entropy of scores (B, M, K) with codes (B, M)."""
    return F.cross_entropy(scores.float().flatten(0, 1), codes.flatten())


def agreement(predicted: Tensor, latent: Tensor) -> dict[str, Tensor]:
    """Return the share of the latents' variance that the prediction leaves unexplained, and their spread.

    Both (B, M, D). The raw alignment loss alone misleads: the scale of the target is free.
    """
    flat = latent.float().flatten(0, 1)
    variance = flat.var(dim=0, correction=0).mean()
    error = (predicted.float().flatten(0, 1) - flat).square().mean()
    return {"unexplained": error / variance.clamp_min(1e-8), "latent spread": variance.sqrt()}


def learn_vocabulary(model: nn.Module, data: Pass, config: CAEConfig, rng: Rng) -> None:
    """Fill the vocabulary: k-means over normalised patches of random crops, 15 Lloyd iterations."""
    assert isinstance(model, CAE)
    if config.target != "codes":
        return
    wanted = min(MOST_PATCHES, PATCHES_PER_CODE * config.vocabulary)
    tokens = (config.image_px // config.patch_px) ** 2
    per_record = min(tokens, -(-wanted // max(1, data.records)))
    seed = int(rng.integers(0, 2**31))
    found, done = [], 0
    for batch in data.batches:
        own = Rng(seed, 0, batch.index)
        patches = patchify(aligned_crops(batch, config, own)["coarse"], model.code_patch)
        chosen = take_tokens(patches, own.spawn("patches").permutation(tokens)[:, :per_record])
        found.append(normalise_patches(chosen).values.flatten(0, 1))
        done += len(batch)
        data.progress(done, data.records, "reading patches")
    points = torch.cat(found)
    start = rng.permutation(len(points))[0][torch.arange(config.vocabulary, device=points.device) % len(points)]
    model.centroids.copy_(
        kmeans(points, points[start], progress=lambda at, of: data.progress(at, of, "k-means over patches"))
    )


def show_reconstruction(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: CAEConfig,
    rng: Rng,
) -> Reconstruction:
    """Return whole pictures, what was hidden of them, and what regressor and decoder made of it."""
    assert isinstance(model, CAE)
    views = evaluation_views(batch, config, rng)
    output = model.decode(model.regress(views)[-1], views["hidden"])
    visible = torch.zeros(len(batch), views["keep"].shape[1], output.shape[-1], device=output.device)
    whole = take_tokens(torch.cat([visible, output.float()], dim=1), views["restore"])
    return _painted(model, batch, views, whole, "reconstruction", "Reconstruction")


def show_latent_space(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: CAEConfig,
    rng: Rng,
) -> Reconstruction:
    """Return what the decoder makes of the encoder's own latents of the whole picture, without the regressor."""
    assert isinstance(model, CAE)
    views = evaluation_views(batch, config, rng)
    latent = model.bridge(model.encoder(views["image"])[:, 1:])
    places = torch.arange(latent.shape[1], device=latent.device).expand(len(batch), -1)
    views["mask"] = torch.zeros_like(views["mask"])
    output = model.decode(latent, places).float()
    return _painted(model, batch, views, output, "latent-space", "Latent-space check")


def _painted(model: CAE, batch: Batch, views: Views, output: Tensor, view: str, title: str) -> Reconstruction:
    _, spec = picture_key(batch)
    if model.decodes_codes:
        normalised = normalise_patches(patchify(views["coarse"], model.code_patch))
        painted = normalised.restore(model.centroids[output.argmax(dim=-1)])
        truth, output = views["coarse"], unpatchify(painted, model.code_patch, model.encoder.grid)
        note = "Each patch is the vocabulary entry that the decoder finds likeliest"
    else:
        normalised = normalise_patches(patchify(views["image"], model.patch))
        painted = unpatchify(normalised.restore(output), model.patch, model.encoder.grid)
        truth, output = denormalise(views["image"], spec), denormalise(painted, spec)
        note = "Each patch holds the pixels that the decoder predicts"
    return make_reconstruction(
        view=view,
        title=title,
        note=f"{note}, shown with the true mean and spread of that patch.",
        records=batch.index,
        truth=truth,
        output=output,
        mask=views["mask"],
        grid=model.encoder.grid,
        pastes_visible=view == "reconstruction",
    )


def show_regressor_attention(model: nn.Module, batch: Batch, choice: Choice, config: CAEConfig, rng: Rng) -> Attention:
    """Return where one hidden place looks: at visible latents and at other hidden places' queries."""
    assert isinstance(model, CAE)
    views = evaluation_views(batch, config, rng)
    layer = chosen_layer(choice, config.regressor_depth)
    visible = model.bridge(model.encoder(views["image"], keep=views["keep"])[:, 1:])
    positions = (model.places(views["hidden"]), model.places(views["keep"]))
    block = model.regressor[layer]
    assert isinstance(block, RegressorBlock)
    weights = block.weights(model.regress(views)[layer], visible, *positions)
    wanted = choice.query if 0 <= choice.query < views["mask"].shape[1] else views["mask"].shape[1] // 2
    nearest = (views["hidden"] - wanted).abs().argmin(dim=1)  # records hide different places
    row = weights[torch.arange(len(batch), device=weights.device), :, nearest]  # (B, heads, V + M)
    return make_attention(
        view="regressor-attention",
        title="Where the regressor looks",
        note="The asking place is the hidden patch nearest to the chosen one in reading order.",
        batch=batch,
        image=views["image"],
        weights=row.gather(2, views["restore"][:, None].expand(-1, row.shape[1], -1)),
        prefix=0,
        grid=model.encoder.grid,
        layer=layer,
        layers=config.regressor_depth,
        query=wanted,
    )


def check_latent_space(model: nn.Module, data: ClaimData, config: Any, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return how well the decoder reads the encoder's own latents of hidden patches, and how well these are predicted.

    Codes of hidden patches from true latents, without the regressor: right at chance if the two spaces differ.
    """
    assert isinstance(model, CAE)
    right, count, unexplained, codes = 0, 0, [], []
    for batch in data.batches("test", 1000):
        views = evaluation_views(batch, config, Rng(0, 0, batch.index))
        latent, truth = model.true_latent(views), model.target(views)
        right += int((model.decode(latent, views["hidden"]).argmax(dim=-1) == truth).sum())
        count += truth.numel()
        codes.append(truth.flatten())
        unexplained.append(float(agreement(model.regress(views)[-1], latent)["unexplained"]))
    train, labels = data.features(model, "train", 2000)
    test, answers = data.features(model, "test", 1000)
    predicted, _ = ridge_probe(train, labels, test, len(data.classes))
    return {
        "code accuracy from the encoder's latents": right / count,
        "share of the most frequent code": float(torch.cat(codes).bincount().max()) / count,
        "unexplained share of the latents": sum(unexplained) / len(unexplained),
        "ridge probe accuracy": float((predicted == answers).float().mean()),
    }


# fmt: off
METHOD = Method(
    id="cae",
    title="CAE",
    idea="Predicts the representation of hidden patches before decoding them.",
    paper=Paper(
        title="Context Autoencoder for Self-Supervised Representation Learning",
        authors="Chen, Ding, Wang et al.", year=2023, venue="IJCV 2023", url="https://arxiv.org/abs/2202.03026",
    ),
    families=("masked modelling", "predictive"),
    needs=(NEED,),
    config=CAEConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "patch_px": 4, "code_px": 4, "vocabulary": 128, "width": 64, "depth": 4,
                    "heads": 4, "regressor_depth": 2, "decoder_depth": 2},
            training={"steps": 1000, "batch_size": 64, "learning_rate": 1.5e-3, "warmup_share": 0.1, "clip_norm": 3.0,
                      "betas": (0.9, 0.999)},
        ),
        "small": Preset(training={"steps": 20_000, "batch_size": 256, "learning_rate": 1e-3, "warmup_share": 0.05,
                                  "final_learning_rate": 1e-5, "clip_norm": 3.0, "betas": (0.9, 0.999)}),
        "paper": Preset(
            config={"image_px": 224, "patch_px": 16, "code_px": 8, "vocabulary": 8192, "width": 768, "depth": 12,
                    "heads": 12},
            # CAE-B: 800 epochs of ImageNet-1K at 2048 records per update, 20 of them warm-up, absolute rate
            training={"steps": 500_000, "batch_size": 256, "accumulate": 8, "learning_rate": 1.5e-3,
                      "final_learning_rate": 1e-5, "warmup_share": 0.025, "weight_decay": 0.05,
                      "betas": (0.9, 0.999), "clip_norm": 3.0},
        ),
    },
    views=aligned_crops,
    model=CAE,
    prepare=Prepare(run=learn_vocabulary, what="k-means over patches", records=4000),
    inspections=(
        Look("reconstruction", Reconstruction, "Reconstruction", show_reconstruction,
             "The picture, what the encoder saw of it, and what was decoded from the predicted latents.",
             steers=("mask_share", "mask_shape"), takes_mask=True),
        Look("latent-space", Reconstruction, "Latent-space check", show_latent_space,
             "The decoder reads the encoder's own latents: it can only if predictions live in the encoder's space."),
        Look("regressor-attention", Attention, "Where the regressor looks", show_regressor_attention,
             "Attention of one hidden place over visible latents and other hidden places.",
             steers=("mask_share", "mask_shape"), takes_mask=True),
    ),
    nodes=(
        PipelineNode(id="picture", text="masked picture", column=0, row=0.5, role="data"),
        PipelineNode(id="encoder", text="encoder", column=1, row=0, role="encoder"),
        PipelineNode(id="target", text="target", column=1, row=1, role="target"),
        PipelineNode(id="regressor", text="regressor", column=2, row=0, role="predictor"),
        PipelineNode(id="decoder", text="decoder", column=3, row=0, role="decoder"),
    ),
    edges=(
        PipelineEdge(source="picture", target="encoder", text="visible"),
        PipelineEdge(source="picture", target="target", text="hidden"),
        PipelineEdge(source="encoder", target="regressor"),
        PipelineEdge(source="regressor", target="decoder"),
        PipelineEdge(source="target", target="regressor", dashed=True, text="align"),
    ),
    good_at="Features whose evidence is spread over patches: attentive probes, segmentation, detection.",
    bad_at="Very small pictures, where a vocabulary of patches says little; its class token after short training.",
    claim=Claim(
        statement="With alignment the regressor predicts in the encoder's own space: the decoder can read latents that "
        "come straight from the encoder.",
        sample="shapescenes",
        arms=(Arm("aligned, weight 2"), Arm("not aligned, weight 0", config={"align_weight": 0.0})),
        metric=check_latent_space,
        primary="code accuracy from the encoder's latents",
        expected="clearly higher with alignment, by more than 0.02; without it near the most frequent code",
        training={"steps": 400},
        margin=0.02,
    ),
)
