"""CroCo: paint nine tenths of one view of a scene from the rest of it and from a second view.

What the second view shows must be found in it and moved to where the first view has it, so the network has to learn
what corresponds and how far things are. Both views pass the same encoder; a decoder looks from one at the other.

Paper:      Weinzaepfel, Leroy, Lucas et al. CroCo: Self-Supervised Pre-training for 3D Vision Tasks by Cross-View
            Completion. NeurIPS 2022. arXiv:2210.10716
Equations:  the paper's cross-view completion loss: mean squared error of normalised pixels over masked patches
Reference:  naver/croco: models/croco.py, blocks.py, criterion.py, pretrain.py, datasets/transforms.py (CC BY-NC-SA 4.0:
            read by those who wrote the notes this file follows, nothing copied; the notes name no commit)
Differs:    Version 1; rotary positions and the larger decoder of version 2 are not offered. Crops lie between pixels
            and are resampled once; the authors cut whole pixels. Contrast and saturation are one map and values are
            clipped once, where torchvision clips after each. Where a record has more than two views, an ordered pair is
            drawn at each step, of those that see enough of each other if the data say so. `embed` gives the encoder's
            tokens of the first view. Replacing the second view by that of another record, or leaving it out (which is
            MAE with this decoder's width), is offered because the paper compares with it. The defaults suit small
            pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.errors import ConfigError, MethodError
from engine.evaluation.correspondence import TrueMatches, chance_of_match, match_accuracy, true_matches
from engine.evaluation.dense_regression import mean_log_depth, ridge_regression, rmse
from engine.form_fields import Depth, Heads, ImagePx, PatchPx, Width, setting
from engine.inspections.attentions import chosen_layer
from engine.inspections.generic import as_picture
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.cross import CrossDecoder
from engine.networks.decoder import MaskedDecoder
from engine.networks.patches import patchify, unpatchify
from engine.networks.vit import ViT
from engine.objectives.masked import masked_mean, normalise_patches
from engine.protocol.inspections import Attention, Choice, Curves, FeatureMap, Matches, Pictures
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.crops import CropRecipe, crop_views
from engine.views.masks import Mask, random_mask
from engine.views.pixels import denormalise, evaluation_view
from engine.views.rng import Rng

NEED = Need(kinds=(FieldKind.PAIR, FieldKind.VIEWS), smallest_px=8, what="two or more views of one scene")
NEEDS = (
    NEED,
    Need(kinds=(FieldKind.NUMBER,), of="pair", suffix="depth", optional=True, what="depth, to test"),
    Need(kinds=(FieldKind.NUMBER,), of="pair", suffix="intrinsics", optional=True, what="cameras, to test"),
    Need(kinds=(FieldKind.NUMBER,), of="pair", suffix="poses", optional=True, what="cameras' places, to test"),
    Need(kinds=(FieldKind.NUMBER,), fields=("covisibility",), name="covisibility", optional=True,
         what="how much of one view another sees, to choose pairs"),
)  # fmt: skip
MONITORED = 4  # records whose loss with other second views is followed


# fmt: off
class CroCoConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit pictures of about 64 px."""

    image_px: ImagePx = 64
    crop_side: Annotated[float, setting(
        "Crop side", "Side of the crop that each view is cut to, on its own, at a random place; the paper cuts 224 of "
        "256.", "Views", 0.3, 1.0, "of the picture")] = 0.875
    colour_jitter: Annotated[float, setting(
        "Colour jitter", "How much brightness, contrast and saturation vary, for each view on its own.",
        "Views", 0.0, 1.0, "±")] = 0.4
    least_covisibility: Annotated[float, setting(
        "Least shared view", "Pairs of which each view sees at least so much of the other are taken, where the data "
        "tell and there are any.", "Views", 0.0, 1.0, "of pixels", advanced=True)] = 0.5
    mask_share: Annotated[float, setting(
        "Mask share", "How many patches of the first view the encoder never sees. So many that the second is needed: "
        "0.90 in the paper.", "Views", 0.1, 0.98, "of patches")] = 0.9
    second_view: Annotated[Literal["same scene", "unrelated", "none"], setting(
        "Second view", "Another view of the scene (the method), one of another record of the batch, or none: the last "
        "two show what the second view is worth.", "Views", advanced=True)] = "same scene"
    patch_px: PatchPx = 8
    width: Width = 192
    depth: Depth = 12
    heads: Heads = 3
    decoder_width: Annotated[int, setting(
        "Decoder width", "Channels of the decoder, a multiple of its heads and of 4.",
        "Network", 16, 1024, "channels")] = 128
    decoder_depth: Annotated[int, setting(
        "Decoder depth", "Blocks that look at the own view, then at the second.", "Network", 1, 16, "blocks")] = 4
    decoder_heads: Annotated[int, setting(
        "Decoder heads", "Attention heads of each block of the decoder.", "Network", 1, 32, "heads", advanced=True)] = 4
# fmt: on


def masked_pair(batch: Batch, config: CroCoConfig, rng: Rng) -> dict[str, Tensor]:
    """Return a view `image` and a second one `other`, (B, C, H, W), cut and coloured independently; and the mask.

    `mask` (B, N) bool, True = hidden in `image`; `keep` (B, V) and `restore` (B, N) as in `Mask`.
    """
    images, spec = batch["pair"], batch.specs["pair"]
    first, second = choose_pair(batch, config.least_covisibility, rng.spawn("pair"))
    jitter = (config.colour_jitter,) * 3
    recipe = CropRecipe(
        size_px=config.image_px,
        scale=(config.crop_side**2,) * 2,
        ratio=(1.0, 1.0),
        flip=0.0,
        jitter=(*jitter, 0.0),
        jitter_chance=1.0,
        interpolation="bicubic",
    )
    rows = torch.arange(len(images), device=images.device)
    views = {
        "image": crop_views(images[rows, first], rng.spawn("first"), recipe, 1, spec=spec)[0],
        "other": crop_views(images[rows, second], rng.spawn("second"), recipe, 1, spec=spec)[0],
    }
    return views | _mask_views(draw_mask(config, rng.spawn("mask")))


def choose_pair(batch: Batch, least: float, rng: Rng) -> tuple[Tensor, Tensor]:
    """Return which view of each record comes first and which second, (B,) int64 each.

    Of two views the first is first, as in the authors' code; of more, one of all ordered pairs is drawn.
    """
    count = batch["pair"].shape[1]
    zero = torch.zeros(len(batch), dtype=torch.int64, device=batch.index.device)
    if count == 2:
        return zero, zero + 1
    allowed = ~torch.eye(count, dtype=torch.bool, device=zero.device).expand(len(batch), -1, -1)
    if "covisibility" in batch and batch["covisibility"].shape[1:] == (count, count):
        shared = torch.minimum(batch["covisibility"], batch["covisibility"].mT)
        seen = allowed & (shared >= least)
        allowed = torch.where(seen.any(dim=(1, 2), keepdim=True), seen, allowed)
    scores = rng.uniform(count * count).masked_fill(~allowed.flatten(1), -1.0)
    chosen = scores.argmax(dim=1)
    return chosen // count, chosen % count


def draw_mask(config: CroCoConfig, rng: Rng) -> Mask:
    """Return a fresh mask for every record; int(N · share) patches are hidden."""
    tokens = (config.image_px // config.patch_px) ** 2
    return random_mask(rng, tokens, int(tokens * config.mask_share))


def _mask_views(mask: Mask) -> dict[str, Tensor]:
    return {"mask": mask.mask, "keep": mask.keep, "restore": mask.restore}


def plain_view(batch: Batch, number: int, size_px: int) -> Tensor:
    """Return view `number` of each record, whole and unchanged, (B, C, s, s), normalised."""
    spec = batch.specs["pair"]
    return evaluation_view(Batch({"view": batch["pair"][:, number]}, batch.index, {"view": spec}), "view", size_px)


class CroCo(nn.Module):
    """One encoder for both views, a decoder from one to the other. Views: those of `masked_pair`."""

    def __init__(self, config: CroCoConfig, schema: Schema) -> None:
        super().__init__()
        if config.image_px % config.patch_px:
            raise ConfigError(
                f"Patches of {config.patch_px} px do not tile {config.image_px} px.", "Change one of them."
            )
        spec = NEED.find(schema)
        channels = int((spec.shape[1] if spec else None) or 3)
        self.patch = (config.patch_px,) * 2
        self.encoder = ViT(
            size=(config.image_px,) * 2,
            patch=self.patch,
            channels=channels,
            dim=config.width,
            depth=config.depth,
            heads=config.heads,
            class_token=False,
            positions="sine",
            sine_order="column first",
        )
        shape: dict[str, Any] = {
            "grid": self.encoder.grid,
            "encoder_dim": config.width,
            "dim": config.decoder_width,
            "depth": config.decoder_depth,
            "heads": config.decoder_heads,
            "outputs": channels * config.patch_px**2,
        }
        self.sees_second = config.second_view != "none"
        self.is_paired = config.second_view == "same scene"
        self.decoder = CrossDecoder(**shape) if self.sees_second else MaskedDecoder(prefix=0, **shape)
        self.image_px = config.image_px

    def step(self, views: Views, progress: float) -> Step:  # noqa: ARG002 nothing is scheduled
        """Return the loss of one batch: mean squared error of normalised pixels over the hidden patches."""
        visible = self.encoder(views["image"], keep=views["keep"])
        target = normalise_patches(patchify(views["image"].float(), self.patch)).values
        if not self.sees_second:
            loss = completion_loss(self.decoder(visible, views["restore"]), target, views["mask"])
            return Step(loss, {"completion": loss})
        second = self.encoder(views["other"] if self.is_paired else views["other"].roll(1, 0))
        predicted = self.decoder(visible, views["restore"], second)
        loss = completion_loss(predicted, target, views["mask"])
        few = slice(0, MONITORED)
        return Step(
            loss,
            {"completion": loss},
            self.second_view_losses(views, visible[few], second[few], predicted[few], target[few]),
        )

    @torch.no_grad()
    def second_view_losses(
        self, views: Views, visible: Tensor, second: Tensor, predicted: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Return the loss of a few records with the right second view, a wrong, a grey one, and the first view itself.

        What the right one gains against a wrong one says how much the second view is used. Given are those records'
        visible tokens, the tokens of the view they were painted with, what was painted, and what is there.
        """
        few = slice(0, len(target))
        mask, restore, image = views["mask"][few], views["restore"][few], views["image"][few]
        seen = second if self.is_paired else self.encoder(views["other"][few])
        replaced = {
            "loss, wrong view": seen.roll(1, 0),
            "loss, grey view": self.encoder(torch.zeros_like(image[:1])).expand_as(seen),
            "loss, first view twice": self.encoder(image),
        }
        right = predicted if self.is_paired else self.decoder(visible, restore, seen)
        found = {"loss, right view": completion_loss(right, target, mask)} | {
            name: completion_loss(self.decoder(visible, restore, tokens), target, mask)
            for name, tokens in replaced.items()
        }
        return {"gain of the right view": found["loss, wrong view"] - found["loss, right view"], **found}

    def complete(self, views: Views, second: Tensor | None) -> Tensor:
        """Return predicted normalised patches (B, N, p·p·C) of the first view, with a second picture (B, C, H, W)."""
        visible = self.encoder(views["image"], keep=views["keep"])
        if second is None or not self.sees_second:
            predicted: Tensor = self.decoder(visible, views["restore"])
        else:
            predicted = self.decoder(visible, views["restore"], self.encoder(second))
        return predicted.float()

    def binocular(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the tokens (B, N, .) of all blocks of the decoder side by side, with nothing hidden, for two pictures.

        Raises:
            MethodError: this network was trained without a second view.
        """
        if not isinstance(self.decoder, CrossDecoder):
            raise MethodError("This network has no second view.", "Train it with one.")
        return torch.cat(self.decoder.layers(self.encoder(first), self.encoder(second)), dim=2).float()

    def embed(self, batch: Batch) -> Features:
        """Return the mean token (B, E) and all tokens (B, N, E) of the first view of each record."""
        tokens = self.encoder(plain_view(batch, 0, self.image_px))
        return Features(tokens.mean(dim=1), tokens, self.encoder.grid)


def completion_loss(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared error (B, N, P) over the entries of a patch and then over all hidden patches."""
    return masked_mean((predicted.float() - target).square().mean(dim=-1), mask)


def _plain_pair(batch: Batch, config: CroCoConfig, rng: Rng) -> dict[str, Tensor]:
    views = {"image": plain_view(batch, 0, config.image_px), "other": plain_view(batch, 1, config.image_px)}
    return views | _mask_views(draw_mask(config, rng))


def _decoder(model: nn.Module) -> tuple[CroCo, CrossDecoder]:
    assert isinstance(model, CroCo)
    if not isinstance(model.decoder, CrossDecoder):
        raise MethodError("This network was trained without a second view.", "Choose another view.")
    return model, model.decoder


def _paint(model: CroCo, views: Views, second: Tensor) -> Tensor:
    """Return the first view with its hidden patches as they are painted, in its own mean and spread."""
    patches = patchify(views["image"], model.patch)
    painted = normalise_patches(patches).restore(model.complete(views, second))
    return unpatchify(torch.where(views["mask"].unsqueeze(2), painted, patches), model.patch, model.encoder.grid)


def show_completion(model: nn.Module, batch: Batch, choice: Choice, config: CroCoConfig, rng: Rng) -> Pictures:  # noqa: ARG001
    """Return the second view, the first with its mask, what is painted, and the same with other second views."""
    assert isinstance(model, CroCo)
    views = _plain_pair(batch, config, rng)
    image, other, spec = views["image"], views["other"], batch.specs["pair"]
    hidden = views["mask"].unsqueeze(2)
    grey = torch.zeros_like(image)
    patches = patchify(image, model.patch)
    masked = torch.where(hidden, 0.0, patches)
    shown = {
        "view 2": other,
        "view 1, masked": unpatchify(masked, model.patch, model.encoder.grid),
        "painted": _paint(model, views, other),
        "view 1": image,
    }
    if model.sees_second:
        shown["with a wrong view 2"] = _paint(model, views, other.roll(1, 0))
        shown["with a grey view 2"] = _paint(model, views, grey)
        shown["with view 1 twice"] = _paint(model, views, image)
    pictures = [as_picture(denormalise(picture, spec)) for picture in shown.values()]
    return Pictures(
        view="completion",
        title="Completion from the second view",
        step=0,
        note="Painted patches have mean 0 and variance 1; they are shown with view 1's true mean and spread, which "
        "tells their colour.",
        records=batch.index.cpu().numpy(),
        columns=tuple(shown),
        pictures=np.stack(pictures, axis=1),
    )


def cross_weights(model: CroCo, decoder: CrossDecoder, first: Tensor, second: Tensor) -> list[Tensor]:
    """Return where all patches of the first picture look in the second, nothing hidden, (B, heads, N, N) by block."""
    return list(decoder.attention(model.encoder(first), None, model.encoder(second)))


def show_cross_attention(model: nn.Module, batch: Batch, choice: Choice, config: CroCoConfig, rng: Rng) -> Attention:  # noqa: ARG001
    """Return where one patch of the first view looks in the second."""
    croco, decoder = _decoder(model)
    first, second = plain_view(batch, 0, config.image_px), plain_view(batch, 1, config.image_px)
    layer = chosen_layer(choice, config.decoder_depth)
    weights = cross_weights(croco, decoder, first, second)[layer].float()
    rows, columns = croco.encoder.grid
    query = choice.query if 0 <= choice.query < rows * columns else rows // 2 * columns + columns // 2
    note = f"The patch in row {query // columns + 1}, column {query % columns + 1} of view 1 asks; view 2 is shown."
    truth = known_matches(batch, croco.encoder.grid)
    if truth is not None and bool(truth.known[0, query]):
        x, y = truth.pixels[0, query].tolist()
        note += f" In the first record it truly lies at {x:.0f}, {y:.0f} px of the stored view."
    return Attention(
        view="cross-attention",
        title="Where the first view looks in the second",
        step=0,
        note=note,
        records=batch.index.cpu().numpy(),
        input=as_picture(denormalise(second, batch.specs["pair"])),
        grid=croco.encoder.grid,
        layer=layer,
        layers=config.decoder_depth,
        heads=weights.shape[1],
        query=query,
        weights=weights[:, :, query].cpu().numpy(),
        prefix=np.zeros(weights.shape[:2], np.float32),
    )


def _middles(places: Tensor, columns: int, patch_px: int) -> Any:
    """Return x and y of the middles of patches (M,), in pixels, (M, 2)."""
    xy = torch.stack((places % columns, places // columns), dim=1).float()
    return ((xy + 0.5) * patch_px - 0.5).cpu().numpy()


def show_matches(model: nn.Module, batch: Batch, choice: Choice, config: CroCoConfig, rng: Rng) -> Matches:  # noqa: ARG001
    """Return for each patch of the first view the patch of the second that it looks at most, the surest first."""
    croco, decoder = _decoder(model)
    first, second = plain_view(batch, 0, config.image_px)[:1], plain_view(batch, 1, config.image_px)[:1]
    layer = chosen_layer(choice, config.decoder_depth)
    score, place = cross_weights(croco, decoder, first, second)[layer].float().mean(dim=1)[0].max(dim=1)
    order = score.argsort(descending=True, stable=True)
    columns = croco.encoder.grid[1]
    spec = batch.specs["pair"]
    return Matches(
        view="matches",
        title="Most attended patches",
        step=0,
        note=f"Mean over heads of block {layer + 1} of {config.decoder_depth}.",
        left=as_picture(denormalise(first, spec))[0],
        right=as_picture(denormalise(second, spec))[0],
        from_px=_middles(order, columns, config.patch_px),
        to_px=_middles(place[order], columns, config.patch_px),
        scores=score[order].cpu().numpy(),
    )


def known_matches(batch: Batch, grid: tuple[int, ...], size: int = 2) -> TrueMatches | None:
    """Return the true matches of the first two views, if the data have depth and cameras, and None otherwise.

    Views are shown whole only where they are square; of others nothing is known here.
    """
    names = ("pair_depth", "pair_intrinsics", "pair_poses")
    height, width = batch["pair"].shape[-2:]
    if any(name not in batch for name in names) or height != width:
        return None
    depth, intrinsics, poses = (batch[name][:, :size] for name in names)
    return true_matches(depth, intrinsics, poses, (grid[0], grid[1]))


def show_accuracy(model: nn.Module, batch: Batch, choice: Choice, config: CroCoConfig, rng: Rng) -> Curves:  # noqa: ARG001
    """Return, block by block, how often the most attended patch lies within one patch of the true one.

    Raises:
        MethodError: the data tell no depth or cameras.
    """
    croco, decoder = _decoder(model)
    grid = croco.encoder.grid
    truth = known_matches(batch, grid)
    if truth is None:
        raise MethodError("True matches need square views with depth and cameras.", "Choose another view.")
    first, second = plain_view(batch, 0, config.image_px), plain_view(batch, 1, config.image_px)
    size = (batch["pair"].shape[-2], batch["pair"].shape[-1])
    hits = [
        float(match_accuracy(weights.mean(dim=1).argmax(dim=2), truth, (grid[0], grid[1]), size))
        for weights in cross_weights(croco, decoder, first, second)
    ]
    chance = float(chance_of_match(truth, (grid[0], grid[1]), size))
    return Curves(
        view="match-accuracy",
        title="Correspondences found",
        step=0,
        note=f"{int(truth.known.sum())} patches of the first view are seen in the second.",
        x=np.arange(1, len(hits) + 1, dtype=np.float32),
        values=np.array([hits, [chance] * len(hits)], np.float32),
        series=("most attended patch within one of the true one", "chance"),
        x_name="block of the decoder",
        unit="share",
        dashed=("chance",),
    )


def show_encoder_attention(model: nn.Module, batch: Batch, choice: Choice, config: CroCoConfig, rng: Rng) -> Attention:  # noqa: ARG001
    """Return where one patch of the first view looks within it, in the encoder."""
    assert isinstance(model, CroCo)
    image = plain_view(batch, 0, config.image_px)
    layer = chosen_layer(choice, config.depth)
    weights = model.encoder.attention(image, layer)
    rows, columns = model.encoder.grid
    query = choice.query if 0 <= choice.query < rows * columns else rows // 2 * columns + columns // 2
    return Attention(
        view="attention",
        title="Attention within the first view",
        step=0,
        records=batch.index.cpu().numpy(),
        input=as_picture(denormalise(image, batch.specs["pair"])),
        grid=model.encoder.grid,
        layer=layer,
        layers=config.depth,
        heads=weights.shape[1],
        query=query,
        weights=weights[:, :, query].float().cpu().numpy(),
        prefix=np.zeros(weights.shape[:2], np.float32),
    )


def show_features(model: nn.Module, batch: Batch, choice: Choice, config: CroCoConfig, rng: Rng) -> FeatureMap:  # noqa: ARG001
    """Return the encoder's tokens of both views as colours on common axes: what corresponds has one colour."""
    assert isinstance(model, CroCo)
    pictures = torch.cat([plain_view(batch, number, config.image_px) for number in (0, 1)])
    tokens = model.encoder(pictures).float()
    flat = tokens.flatten(0, 1).double()
    centred = flat - flat.mean(dim=0)
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    axes = vectors[:, -3:].flip(1)
    axes = axes * torch.where(axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)
    scores = centred @ axes
    low, high = scores.quantile(0.02, dim=0), scores.quantile(0.98, dim=0)
    colours = ((scores - low) / (high - low).clamp_min(1e-12)).clamp(0, 1).view(len(pictures), -1, 3)
    grid, spec = model.encoder.grid, batch.specs["pair"]
    records = batch.index.cpu().numpy()
    return FeatureMap(
        view="feature-map",
        title="Features of both views as colours",
        step=0,
        note="First all first views, then all second views; components of both together.",
        records=np.concatenate([records, records]),
        labels=("view 1",) * len(records) + ("view 2",) * len(records),
        input=as_picture(denormalise(pictures, spec)),
        grid=grid,
        colours=colours.transpose(1, 2).reshape(len(pictures), 3, *grid).float().cpu().numpy(),
        explained=(values.flip(0)[:3] / values.sum().clamp_min(1e-30)).float().cpu().numpy(),
        fitted_on=len(pictures),
    )


def measure_geometry(model: nn.Module, data: ClaimData, config: CroCoConfig, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return what the right second view saves, errors of depth read from frozen tokens, and correspondences found."""
    assert isinstance(model, CroCo)
    grid = (model.encoder.grid[0], model.encoder.grid[1])
    losses, hits = [], []
    for batch in data.batches("test", 0):
        if not isinstance(model.decoder, CrossDecoder):
            break
        views = _plain_pair(batch, config, Rng(0, 0, batch.index).spawn("mask"))
        target = normalise_patches(patchify(views["image"], model.patch)).values
        seconds = (views["other"], views["other"].roll(1, 0))
        found = [completion_loss(model.complete(views, second), target, views["mask"]) for second in seconds]
        losses.append(torch.stack(found) * len(batch))
        truth = known_matches(batch, grid)
        if truth is not None:
            size = (batch["pair"].shape[-2], batch["pair"].shape[-1])
            weights = cross_weights(model, model.decoder, views["image"], views["other"])
            chosen = [block.mean(dim=1).argmax(dim=2) for block in weights]
            shares = [match_accuracy(places, truth, grid, size) for places in chosen]
            hits.append(torch.stack([*shares, chance_of_match(truth, grid, size)]) * len(batch))
    records = sum(len(batch) for batch in data.batches("test", 0))
    right, wrong = torch.stack(losses).sum(dim=0).tolist() if losses else (1.0, 1.0)
    numbers = {"share of the loss that the right view saves": 1 - right / wrong}
    if hits:
        *blocks, chance = (torch.stack(hits).sum(dim=0) / records).tolist()
        numbers |= {"correspondences, best block": max(blocks), "correspondences, chance": chance}
    train, goal = depth_of_tokens(model, data.batches("train", 0), grid, config.image_px)
    test, depth = depth_of_tokens(model, data.batches("test", 0), grid, config.image_px)
    return {**numbers, "RMSE of log depth": rmse(ridge_regression(train, goal, test), depth)}


def depth_of_tokens(
    model: CroCo, batches: Iterator[Batch], grid: tuple[int, int], size_px: int
) -> tuple[Tensor, Tensor]:
    """Return the encoder's tokens (R, E) of all first and second views, and the log depth (R, 1) where it is known."""
    tokens, goals = [], []
    for batch in batches:
        for number in range(2):
            depth, known = mean_log_depth(batch["pair_depth"][:, number], grid)
            tokens.append(model.encoder(plain_view(batch, number, size_px)).float()[known])
            goals.append(depth[known].unsqueeze(1))
    return torch.cat(tokens), torch.cat(goals)


# fmt: off
METHOD = Method(
    id="croco",
    title="CroCo",
    idea="Paints most of one view of a scene with the help of a second view.",
    paper=Paper(
        title="CroCo: Self-Supervised Pre-training for 3D Vision Tasks by Cross-View Completion",
        authors="Weinzaepfel, Leroy, Lucas et al.", year=2022, venue="NeurIPS 2022",
        url="https://arxiv.org/abs/2210.10716",
        # ViT-B/16 and the small decoder (512, 8 blocks), by the shapes of the official code
        parameters={"paper": 120_076_288},
    ),
    families=("masked modelling",),
    needs=NEEDS,
    config=CroCoConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "patch_px": 4, "width": 96, "depth": 4, "heads": 4,
                    "decoder_width": 64, "decoder_depth": 3, "decoder_heads": 4},
            training={"steps": 600, "batch_size": 32, "learning_rate": 1e-3, "warmup_share": 0.1},
        ),
        "small": Preset(training={"steps": 20_000, "batch_size": 256, "learning_rate": 5e-4, "warmup_share": 0.1}),
        "paper": Preset(
            config={"image_px": 224, "patch_px": 16, "width": 768, "depth": 12, "heads": 12,
                    "decoder_width": 512, "decoder_depth": 8, "decoder_heads": 16},
            # 400 epochs of 1.82 million pairs at 256 pairs per update, 40 of them warm-up
            training={"steps": 2_840_000, "batch_size": 64, "accumulate": 4, "learning_rate": 1.5e-4,
                      "reference_batch": 256, "warmup_share": 0.1, "weight_decay": 0.05, "betas": (0.9, 0.95)},
        ),
    },
    views=masked_pair,
    model=CroCo,
    suggested_sample="rooms",
    inspections=(
        Look("completion", Pictures, "Completion", show_completion,
             "The second view, the masked first one and what is painted; then the same with a wrong second view, a "
             "grey one, and the first view twice.", steers=("mask_share",), takes_mask=True),
        Look("matches", Matches, "Correspondences", show_matches,
             "For each patch of the first view the patch of the second that it looks at most."),
        Look("cross-attention", Attention, "Cross-attention", show_cross_attention,
             "Where one patch of the first view looks in the second, for every head of a block."),
        Look("match-accuracy", Curves, "Correspondences found", show_accuracy,
             "How often the most attended patch is the right one, block by block, where depth and cameras are known."),
        Look("attention", Attention, "Attention within a view", show_encoder_attention,
             "Where one patch looks within the first view, in the encoder."),
        Look("feature-map", FeatureMap, "Features of both views", show_features,
             "The strongest components of both views' tokens as colours on common axes."),
    ),
    nodes=(
        PipelineNode(id="first", text="view 1, masked", column=0, row=0, role="data"),
        PipelineNode(id="second", text="view 2", column=0, row=1, role="data"),
        PipelineNode(id="encoder", text="encoder", column=1, row=0, role="encoder"),
        PipelineNode(id="same", text="same encoder", column=1, row=1, role="encoder"),
        PipelineNode(id="decoder", text="cross-attention decoder", column=2, row=0.5, role="decoder"),
        PipelineNode(id="pixels", text="hidden pixels", column=3, row=0.5, role="loss"),
    ),
    edges=(
        PipelineEdge(source="first", target="encoder", text="visible"),
        PipelineEdge(source="second", target="same", text="all"),
        PipelineEdge(source="encoder", target="decoder", text="queries"),
        PipelineEdge(source="same", target="decoder", text="keys, values"),
        PipelineEdge(source="decoder", target="pixels"),
    ),
    good_at="Depth, flow, stereo, relative pose: tasks of two views, and dense geometry from one.",
    bad_at="Telling objects apart (linear classification); data without overlapping views; short runs, since the "
    "second view is used only after a plateau.",
    claim=Claim(
        statement="The second view of the scene is used: with it the hidden patches are painted better than with a "
        "wrong one, which a network trained with unrelated second views never learns.",
        sample="rooms",
        arms=(
            Arm("CroCo"),
            Arm("unrelated second view", config={"second_view": "unrelated"}),
            Arm("MAE, 75 % hidden", config={"second_view": "none", "mask_share": 0.75}),
        ),
        metric=measure_geometry,
        primary="share of the loss that the right view saves",
        expected="at least 0.10 with the right second view in training, 0 without; depth is read better than from MAE "
        "by 5 %",
        config={"image_px": 24},
        training={"steps": 1000},
        seeds=2,
        margin=0.1,
    ),
)
