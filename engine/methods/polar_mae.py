"""PoLAr-MAE: hide most patches of a particle event, predict their points as sets and the energy of each point.

An event is a sparse cloud of places with energies. Adaptive spheres around dense places are its tokens; of the hidden
ones a decoder predicts the points in place and energy, and a second head the energy of points whose places it is told.

Paper:      Young, Jwa, Terao. Particle Trajectory Representation Learning with Masked Point Modeling. 2025.
            arXiv:2502.02558
Equations:  the paper numbers none used here: Chamfer distance in four dimensions, mean squared error of energies
Reference:  DeepLearnPhysics/PoLAr-MAE @ 1505a10: polarmae/layers, polarmae/models/ssl, configs/polarmae.yml (licence
            not stated in the notes this file follows; read, nothing copied)
Differs:    Points are grouped before the event is turned, in voxels, and the groups are turned after: the same but for
            rounding, and voxels on the edge of a sphere do not change sides with the angle. Ties of the suppression go
            to the lower index; the released sort is not stable. Groups beyond the context are left out, the least dense
            first, and a curve says how many; the code enlarges the context. Patch networks, encoder and heads see what
            is real, gathered, which equals the code's masks; what padding adds to a maximum is added. Hidden patches
            are not embedded at all, as at this commit; an earlier one embeds them for their share in the batch norm.
            The energy head is as wide as the encoder, as in the notes; this commit's is narrower. In evaluation the
            global norm takes mean and spread of one event, as features must not depend on batch neighbours; dropout is
            off. Weight decay spares biases and gains. Low-energy scatter is not removed from training, because labels
            would be needed; the claim leaves it out of the score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from engine.data.batch import Batch, Ragged
from engine.evaluation.point_segmentation import tuned_point_f1
from engine.evaluation.token_svm import classes_of_groups, f1_scores, linear_svm, principal_components
from engine.form_fields import Depth, DropPath, Heads, Width, setting
from engine.inspections.attentions import chosen_layer
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.padded_transformer import PaddedTransformer
from engine.networks.pointnet import MiniPointNet
from engine.networks.points import (
    PointGroups,
    group_points,
    interpolate_tokens,
    owner_of,
    pad_groups,
    place_of,
    sum_groups,
)
from engine.networks.vit import take_tokens
from engine.objectives.chamfer import chamfer_distance
from engine.protocol.inspections import Choice, Curves, Histogram, PointCloud
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema
from engine.views.rng import Rng

NEED = Need(kinds=(FieldKind.POINTS,), what="the events: x, y, z and energy of every point")
LABELS = Need(kinds=(FieldKind.NUMBER,), of="points", suffix="labels", optional=True, what="particle types, to test")
MOST_TOKENS = 15_000
LABELLED_EVENTS, TUNING_STEPS = 10, 100  # of the second part of the claim: types of all points from few labels
TYPES = ("shower", "track", "Michel electron", "delta ray")  # classes of the token test, by number


# fmt: off
class PoLArMAEConfig(Config, frozen=True, kw_only=True):
    """What a user may change; lengths are in the unit of the points, for detectors voxels."""

    box: Annotated[float, setting(
        "Box", "Side of the cube that the events lie in; it is brought to the unit sphere. Where it is much too large, "
        "the positions of tokens all look alike.", "Views", 0.001, 1e6, "voxels")] = 768.0
    energy_threshold: Annotated[float, setting(
        "Energy threshold", "Points with less energy are dropped; also the offset of the logarithmic scale.",
        "Views", 1e-6, 1e3, "MeV")] = 0.13
    energy_max: Annotated[float, setting(
        "Largest energy", "The energy that becomes 1 on the logarithmic scale.", "Views", 1e-3, 1e6, "MeV")] = 20.0
    turns: Annotated[bool, setting(
        "Turn", "Turn each batch by three random angles.", "Views")] = True
    mask_share: Annotated[float, setting(
        "Mask share", "How many of an event's tokens the encoder never sees; the paper uses 0.60.",
        "Views", 0.1, 0.95, "of tokens")] = 0.6
    radius: Annotated[float, setting(
        "Group radius", "Of the sphere of points that make a token. Too small, and tokens hold single points; too "
        "large, and few tokens are left.", "Network", 1e-4, 1e5, "voxels")] = 5.0
    overlap: Annotated[float, setting(
        "Spacing", "Centres are at least this many diameters apart: 1 never overlaps, less overlaps more.",
        "Network", 0.2, 1.5, "diameters")] = 0.72
    points_per_group: Annotated[int, setting(
        "Points per token", "Of fuller spheres so many points are taken, each farthest from the others.",
        "Network", 2, 256, "points")] = 32
    candidates: Annotated[int, setting(
        "Candidates", "How many points of a sphere are looked at to choose from.", "Network", 2, 4096, "points",
        advanced=True)] = 256
    context: Annotated[int, setting(
        "Context", "Most tokens of an event; the least dense beyond are left out.", "Network", 4, 4096, "tokens")] = 512
    patch_width: Annotated[int, setting(
        "Patch network width", "First layer of the network that turns points into a token; the others are two and four "
        "times as wide.", "Network", 8, 512, "channels", advanced=True)] = 128
    width: Width = 384
    depth: Depth = 12
    heads: Heads = 6
    decoder_depth: Annotated[int, setting(
        "Decoder depth", "Blocks of the decoder, as wide as the encoder.", "Network", 1, 16, "blocks")] = 4
    drop_path: DropPath = 0.25
    attention_dropout: Annotated[float, setting(
        "Attention dropout", "Share of the attention weights that is left out in training.", "Network", 0.0, 0.9,
        "of weights", advanced=True)] = 0.05
    norm: Annotated[Literal["masked global", "layer"], setting(
        "Norm", "One mean and spread for the whole batch, as in the authors' code, or each token on its own.",
        "Network", advanced=True)] = "masked global"
    energy_weight: Annotated[float, setting(
        "Energy weight", "How much energies of told places count beside the sets of points. 0 leaves the head out, "
        "which is Point-MAE.", "Losses", 0.0, 100.0, "×")] = 1.0
    visible_weight: Annotated[float, setting(
        "Visible weight", "How much the points of visible tokens count, decoded from the encoder directly. The paper "
        "uses 0.", "Losses", 0.0, 100.0, "×", advanced=True)] = 0.0
# fmt: on


def masked_event(batch: Batch, config: PoLArMAEConfig, rng: Rng) -> dict[str, Tensor]:
    """Return the tokens of turned events and which are hidden; T tokens in the longest event.

    Of the visible tokens `points` (P, 4), local places and scaled energies, token by token, with `points_lengths` (B,),
    `sizes` (.,) points of each token with `sizes_lengths` (B,), and which they are as `keep` (B, V) with `keep_real`;
    the same of the hidden ones as `hidden_points`, `hidden_sizes`, and `hidden` (H,) with `hidden_lengths`. Of all
    `centres` (B, T, 3), `token_real` (B, T), and `left_out` (B,) beyond the context.
    """
    angles = [rng.scalar_uniform(-math.pi, math.pi) for _ in range(3)] if config.turns else [0.0] * 3
    groups = tokenise(batch.ragged("points"), config)
    views = token_views(groups, config, turn_matrix(angles, groups.values.device))
    return views | hide_tokens(views, config.mask_share, rng.spawn("mask"))


def tokenise(points: Ragged, config: PoLArMAEConfig) -> PointGroups:
    """Return the spheres of points above the energy threshold."""
    return group_points(
        points,
        keep=points.data[:, 3] > config.energy_threshold,
        radius=config.radius,
        overlap=config.overlap,
        points_per_group=config.points_per_group,
        candidates=config.candidates,
        context=config.context,
    )


def token_views(groups: PointGroups, config: PoLArMAEConfig, turn: Tensor) -> dict[str, Tensor]:
    """Return tokens as the network takes them: turned, centres in the unit sphere, energies scaled."""
    points, sizes = groups.points()
    energy = scale_energy(points[:, 3:4], config.energy_threshold, config.energy_max)
    centres = (groups.centres - config.box / 2) / (config.box * math.sqrt(3) / 2)
    longest = groups.longest
    real = torch.arange(longest, device=centres.device) < groups.lengths[:, None]
    return {
        "points": torch.cat((points[:, :3] @ turn.T, energy), dim=1),
        "points_lengths": sum_groups(sizes, groups.lengths),
        "sizes": sizes,
        "sizes_lengths": groups.lengths,
        "keep": torch.arange(longest, device=centres.device).expand(real.shape),
        "keep_real": real,
        "centres": pad_groups(centres @ turn.T, groups.lengths, longest),
        "token_real": real,
        "left_out": groups.left_out,
    }


def turn_matrix(angles: list[float], device: torch.device) -> Tensor:
    """Return the rotation (3, 3) by Euler angles about x, y and z, in radians, composed in that order."""
    matrix = torch.eye(3, dtype=torch.float64)
    for axis, angle in enumerate(angles):
        one, other = (place for place in range(3) if place != axis)
        sine = math.sin(angle) * (1 if axis != 1 else -1)
        about = torch.eye(3, dtype=torch.float64)
        about[one, one] = about[other, other] = math.cos(angle)
        about[one, other], about[other, one] = -sine, sine
        matrix = matrix @ about
    return matrix.float().to(device)


def scale_energy(energy: Tensor, threshold: float, highest: float) -> Tensor:
    """Return energies on a logarithmic scale: −1 at 0, 1 at `highest`; the threshold is the offset ε."""
    low, high = math.log10(threshold), math.log10(threshold + highest)
    return 2 * ((energy.clamp_min(0) + threshold).log10() - low) / (high - low) - 1


def energy_of(scaled: Tensor, threshold: float, highest: float) -> Tensor:
    """Return the inverse of `scale_energy`."""
    low, high = math.log10(threshold), math.log10(threshold + highest)
    return 10 ** ((scaled + 1) / 2 * (high - low) + low) - threshold


def hide_tokens(views: Views, share: float, rng: Rng) -> dict[str, Tensor]:
    """Return the views of whole events with ⌊share · n⌋ of the n tokens of each hidden, uniformly."""
    lengths, real = views["sizes_lengths"], views["token_real"]
    hidden = (lengths * share).long()
    visible = lengths - hidden
    scores = torch.where(real, rng.uniform(real.shape[1]), 2.0)
    is_hidden = scores.argsort(dim=1, stable=True).argsort(dim=1) < hidden[:, None]
    keep = (is_hidden | ~real).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(visible.max())]
    of_hidden = is_hidden[real]
    points_of_hidden = of_hidden[owner_of(views["sizes"], len(views["points"]))]
    hidden_points = sum_groups(views["sizes"] * of_hidden, lengths)
    return {
        **views,
        "points": views["points"][~points_of_hidden],
        "points_lengths": views["points_lengths"] - hidden_points,
        "sizes": views["sizes"][~of_hidden],
        "sizes_lengths": visible,
        "keep": keep,
        "keep_real": torch.arange(keep.shape[1], device=keep.device) < visible[:, None],
        "hidden": is_hidden.nonzero()[:, 1],
        "hidden_lengths": hidden,
        "hidden_points": views["points"][points_of_hidden],
        "hidden_points_lengths": hidden_points,
        "hidden_sizes": views["sizes"][of_hidden],
        "hidden_sizes_lengths": hidden,
    }


class PoLArMAE(nn.Module):
    """Patch network, encoder of visible tokens, decoder of all, two heads. Views: those of `masked_event`."""

    def __init__(self, config: PoLArMAEConfig, schema: Schema) -> None:
        del schema  # points have four columns, whatever they are called
        super().__init__()
        width, points, first = config.width, config.points_per_group, config.patch_width
        widths = (first, 2 * first, 4 * first)
        shape: dict[str, Any] = {"norm": config.norm, "attention_dropout": config.attention_dropout}
        self.embed_patch = MiniPointNet(4, width, points, widths)
        self.embed_place = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.encoder = PaddedTransformer(width, config.depth, config.heads, drop_path=config.drop_path, **shape)
        self.mask_token = nn.Parameter(torch.empty(width))
        self.decoder = PaddedTransformer(width, config.decoder_depth, config.heads, final_norm=True, **shape)
        self.predict_points = nn.Linear(width, 4 * points)
        self.tells_energy = config.energy_weight > 0
        if self.tells_energy:
            self.embed_shape = MiniPointNet(3, width, points, widths, knows_order=True)
            self.predict_energy = nn.Linear(2 * width, points)
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)
        self.config = config

    def step(self, views: Views, progress: float) -> Step:  # noqa: ARG002 nothing is scheduled
        """Return Chamfer loss + energy loss over the hidden tokens of one batch."""
        latent, hidden = self.decode(views)
        sizes = views["hidden_sizes"]
        truth, real = self.places(views["hidden_points"], sizes)
        predicted = self.points(hidden)
        parts = {"points": _mean(chamfer_distance(predicted, truth, real))}
        with torch.no_grad():
            blob = predicted.mean(dim=0, keepdim=True).expand_as(predicted)
            fixed = _mean(chamfer_distance(blob, truth, real)).clamp_min(1e-12)
        monitors = {
            "points, to one fixed set": parts["points"].detach() / fixed,
            "tokens per event": views["token_real"].sum(dim=1).float().mean(),
            "points per token": _mean(views["sizes"].float()),
            "tokens left out": views["left_out"].float().mean(),
        }
        if self.tells_energy:
            error = energy_loss(self.energies(hidden, views["hidden_points"], sizes), truth[..., 3], real)
            parts["energy"] = self.config.energy_weight * error
            monitors["energy unexplained"] = error.detach() / energy_variance(truth[..., 3], real)
        if self.config.visible_weight > 0:
            parts["visible"] = self.config.visible_weight * self.visible_loss(latent, views)
        return Step(torch.stack(list(parts.values())).sum(), parts, monitors)

    def visible_loss(self, latent: Tensor, views: Views) -> Tensor:
        """Return the Chamfer loss of visible tokens (B, V, E), read by the same head straight from the encoder."""
        truth, real = self.places(views["points"], views["sizes"])  # (., K, 4)
        owner = owner_of(views["sizes_lengths"], len(truth))
        place = place_of(views["sizes_lengths"], len(truth))
        return _mean(chamfer_distance(self.points(latent[owner, place]), truth, real))

    def places(self, points: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (R, 4) of groups of `sizes` (G,) as (G, K, 4), and which of the K are real (G, K)."""
        count = self.config.points_per_group
        return pad_groups(points, sizes, count), torch.arange(count, device=points.device) < sizes[:, None]

    def decode(self, views: Views) -> tuple[Tensor, Tensor]:
        """Return the encoder's visible tokens (B, V, E) and the decoder's hidden ones (H, E)."""
        tokens, place = self.enter(views)
        keep, keep_real, real = views["keep"], views["keep_real"], views["token_real"]
        latent = self.encoder(tokens, take_tokens(place, keep), keep_real)
        size = real.shape[1]
        filled = self.mask_token.to(latent.dtype).expand(len(real), size + 1, -1)
        where = torch.where(keep_real, keep, size).unsqueeze(2).expand_as(latent)  # padding lands in the last place
        whole = filled.scatter(1, where, latent)[:, :size]
        decoded = self.decoder(whole, place, real)
        return latent, decoded[owner_of(views["hidden_lengths"], len(views["hidden"])), views["hidden"]]

    def enter(self, views: Views) -> tuple[Tensor, Tensor]:
        """Return visible tokens embedded (B, V, E) and the positions of all tokens (B, T, E)."""
        tokens = self.embed_patch(views["points"], views["sizes"])
        return pad_groups(tokens, views["sizes_lengths"], views["keep"].shape[1]), self.embed_place(views["centres"])

    def points(self, tokens: Tensor) -> Tensor:
        """Return the predicted points (…, K, 4) float32 of decoded tokens (…, E)."""
        return self.predict_points(tokens).float().unflatten(-1, (-1, 4))

    def energies(self, tokens: Tensor, points: Tensor, sizes: Tensor) -> Tensor:
        """Return energies (H, K) float32 of decoded tokens (H, E) for the true places of their points (Q, 3…)."""
        shape = self.embed_shape(points[:, :3], sizes)
        energy: Tensor = self.predict_energy(torch.cat((shape, tokens.to(shape.dtype)), dim=1))
        return energy.float()

    def layers(self, views: Views) -> list[Tensor]:
        """Return the tokens (B, T, E) of whole events after every block of the encoder."""
        tokens, place = self.enter(views)
        return self.encoder.layers(tokens, place, views["token_real"])

    def embed(self, batch: Batch) -> Features:
        """Return maximum and mean of the tokens (B, 2E), and the tokens (B, T, E), of whole events, not turned."""
        views = evaluation_views(batch, self.config)
        tokens, real = self.layers(views)[-1].float(), views["token_real"].unsqueeze(2)
        lowest = torch.finfo(tokens.dtype).min
        most = tokens.masked_fill(~real, lowest).amax(dim=1).masked_fill(~real.any(dim=1), 0.0)
        mean = tokens.masked_fill(~real, 0.0).sum(dim=1) / real.sum(dim=1).clamp_min(1)
        return Features(torch.cat((most, mean), dim=1), tokens, (tokens.shape[1],), views["sizes_lengths"])


def energy_loss(predicted: Tensor, truth: Tensor, real: Tensor) -> Tensor:
    """Return the mean squared error of energies (H, K) over all real points."""
    return ((predicted - truth).square() * real).sum() / real.sum().clamp_min(1)


def energy_variance(energy: Tensor, real: Tensor) -> Tensor:
    """Return the variance of the energies (H, K) of real points: the error of always predicting their mean."""
    count = real.sum().clamp_min(1)
    mean = (energy * real).sum() / count
    return (((energy - mean).square() * real).sum() / count).clamp_min(1e-12)


def _mean(values: Tensor) -> Tensor:
    return values.sum() / max(1, len(values))


def evaluation_views(batch: Batch, config: PoLArMAEConfig) -> dict[str, Tensor]:
    """Return the tokens of events as they lie."""
    return token_views(tokenise(batch.ragged("points"), config), config, torch.eye(3, device=batch.index.device))


def _first(batch: Batch) -> Batch:
    """Return the first record alone; a cloud is shown one at a time."""
    points = batch.ragged("points")
    fields: dict[str, Any] = {"points": Ragged(points.data[: points.sizes[0]], points.lengths[:1])}
    return Batch(fields, batch.index[:1], batch.specs)


def show_event(model: nn.Module, batch: Batch, choice: Choice, config: PoLArMAEConfig, rng: Rng) -> PointCloud:  # noqa: ARG001
    """Return an event: points of visible tokens, of hidden ones, and what is predicted for the hidden ones."""
    assert isinstance(model, PoLArMAE)
    batch = _first(batch)
    groups = tokenise(batch.ragged("points"), config)
    views = token_views(groups, config, torch.eye(3, device=batch.index.device))
    views |= hide_tokens(views, config.mask_share, Rng(0, choice.mask_seed, batch.index))
    _, decoded = model.decode(views)
    row = views["hidden"]  # of a single event
    is_hidden = torch.zeros(len(groups.values), dtype=torch.bool, device=row.device).index_fill(0, row, value=True)
    cloud = batch.ragged("points").data
    pieces = []
    for part, chosen in enumerate((~is_hidden, is_hidden)):
        rows = groups.index[chosen][groups.point_real[chosen]].unique()
        pieces.append(torch.cat((cloud[rows], cloud.new_full((len(rows), 1), part)), dim=1))
    guess, real = model.points(decoded), groups.point_real[row]
    places = groups.centres[row].unsqueeze(1) + config.radius * guess[..., :3]
    energy = energy_of(guess[..., 3:], config.energy_threshold, config.energy_max).clamp(0, 1e6)
    predicted = torch.cat((places, energy, torch.full_like(energy, 2)), dim=2)[real]
    return _cloud(
        "event",
        "Visible, hidden and predicted points",
        batch,
        torch.cat((*pieces, predicted)),
        ("energy, MeV", "0 visible, 1 hidden, 2 predicted"),
        "Predictions are sets around true centres: only as many points as the token really has.",
    )


def show_tokens(model: nn.Module, batch: Batch, choice: Choice, config: PoLArMAEConfig, rng: Rng) -> PointCloud:  # noqa: ARG001
    """Return the centres of an event's tokens, and how many points each holds."""
    batch = _first(batch)
    groups = tokenise(batch.ragged("points"), config)
    count = groups.point_real.sum(dim=1, keepdim=True).float()
    note = f"Each is a sphere of radius {config.radius:g} of at most {config.points_per_group} points."
    rows = torch.cat((groups.centres, torch.full_like(count, config.radius), count), dim=1)
    return _cloud("tokens", "Centres of the tokens", batch, rows, ("radius, voxels", "points"), note)


def show_attention(model: nn.Module, batch: Batch, choice: Choice, config: PoLArMAEConfig, rng: Rng) -> PointCloud:  # noqa: ARG001
    """Return where a token looks, painted on the points of its event: all heads, then each."""
    assert isinstance(model, PoLArMAE)
    batch = _first(batch)
    views = evaluation_views(batch, config)
    tokens, place = model.enter(views)
    layer = chosen_layer(choice, config.depth)
    query = choice.query if 0 <= choice.query < tokens.shape[1] else 0
    weights = model.encoder.attention(tokens, place, views["token_real"], layer)[:, :, query]  # (1, heads, T)
    by_token = torch.cat((weights.mean(dim=1, keepdim=True), weights), dim=1).transpose(1, 2)
    note = f"Token {query} (the densest is 0) asks in block {layer + 1} of {config.depth}; weights of a head sum to 1."
    columns = ("all heads", *(f"head {head + 1}" for head in range(config.heads)))
    shown = _painted("attention", "Where a token looks", batch, config, by_token, 1, columns, note)
    over = token_of_points(batch, config).cpu().numpy()
    return msgspec.structs.replace(shown, tokens=over, query=query, layer=layer, layers=config.depth)


def token_of_points(batch: Batch, config: PoLArMAEConfig) -> Tensor:
    """Return the token whose centre is nearest to each point of one event, (N,) int64."""
    points = batch.ragged("points")
    centres = tokenise(points, config).centres
    return torch.cat([torch.cdist(some, centres).argmin(dim=1) for some in points.data[:, :3].split(4096)])


def show_features(model: nn.Module, batch: Batch, choice: Choice, config: PoLArMAEConfig, rng: Rng) -> PointCloud:  # noqa: ARG001
    """Return the three strongest components of an event's tokens as colours of its points."""
    assert isinstance(model, PoLArMAE)
    batch = _first(batch)
    tokens = model.layers(evaluation_views(batch, config))[-1]
    flat = tokens[0].float()
    components = principal_components(flat, flat, 3)[0].float()
    low, high = components.amin(dim=0), components.amax(dim=0)
    colours = ((components - low) / (high - low).clamp_min(1e-12)).unsqueeze(0)
    note = "Components of this event's tokens, brought to points by the five nearest."
    return _painted("feature-map", "Features as colours", batch, config, colours, 5, ("red", "green", "blue"), note)


def _painted(
    view: str,
    title: str,
    batch: Batch,
    config: PoLArMAEConfig,
    by_token: Tensor,
    nearest: int,
    columns: tuple[str, ...],
    note: str,
) -> PointCloud:
    points = batch.ragged("points")
    centres = tokenise(points, config).centres.unsqueeze(0)
    real = torch.ones(centres.shape[:2], dtype=torch.bool, device=centres.device)
    values = interpolate_tokens(by_token, centres, real, points, nearest)
    return _cloud(view, title, batch, torch.cat((points.data[:, :3], values), dim=1), columns, note)


def _cloud(view: str, title: str, batch: Batch, rows: Tensor, columns: tuple[str, ...], note: str) -> PointCloud:
    values = rows.float().cpu().numpy()
    spec = batch.specs.get("points")
    return PointCloud(
        view=view,
        title=title,
        step=0,
        note=note,
        record=int(batch.index[0]),
        points=values[:, :3],
        unit=spec.unit if spec else "",
        columns=columns,
        values=values[:, 3:],
    )


def show_energies(model: nn.Module, batch: Batch, choice: Choice, config: PoLArMAEConfig, rng: Rng) -> Curves:  # noqa: ARG001
    """Return predicted energies over true ones for hidden points: median and tenths, in bins of equal counts."""
    assert isinstance(model, PoLArMAE)
    views = evaluation_views(batch, config)
    views |= hide_tokens(views, config.mask_share, rng.spawn("mask"))
    _, decoded = model.decode(views)
    sizes = views["hidden_sizes"]
    truth, real = model.places(views["hidden_points"], sizes)
    guess = (
        model.energies(decoded, views["hidden_points"], sizes) if model.tells_energy else model.points(decoded)[..., 3]
    )
    pair = energy_of(torch.stack((truth[..., 3], guess))[:, real], config.energy_threshold, config.energy_max)
    pair = pair.clamp(0, 1e6)[:, pair[0].argsort()]
    bins = [part for part in pair.tensor_split(12, dim=1) if part.shape[1]]
    x = [float(part[0].median()) for part in bins]
    x = [place + 1e-6 * number for number, place in enumerate(x)]  # ascending even where bins coincide
    lines = [[float(part[1].quantile(share)) for part in bins] for share in (0.1, 0.5, 0.9)]
    return Curves(
        view="energies",
        title="Predicted and true energy",
        step=0,
        note="" if model.tells_energy else "Without the energy head: energies of the predicted sets, in their order.",
        x=np.array(x, np.float32),
        values=np.array([*lines, x], np.float32).reshape(4, len(x)),
        series=("a tenth below", "median", "a tenth above", "perfect"),
        x_name="true energy, MeV",
        unit="MeV",
        dashed=("perfect",),
    )


def show_sizes(model: nn.Module, batch: Batch, choice: Choice, config: PoLArMAEConfig, rng: Rng) -> Histogram:  # noqa: ARG001
    """Return how many tokens hold how many points: all 1, and the radius is too small."""
    groups = tokenise(batch.ragged("points"), config)
    count = groups.point_real.sum(dim=1).cpu().numpy()
    tokens = ", ".join(str(length) for length in groups.lengths.tolist())
    edges = np.arange(config.points_per_group + 2) - 0.5
    counts = np.histogram(count, edges)[0].astype(np.int64)[None]
    note = f"The events have {tokens} tokens; the context is {config.context}."
    return Histogram(
        view="token-sizes",
        title="Points per token",
        step=0,
        note=note,
        edges=edges,
        counts=counts,
        series=("tokens",),
        unit="points",
    )


def labelled_tokens(model: PoLArMAE, batches: Iterator[Batch], config: PoLArMAEConfig) -> tuple[Tensor, Tensor]:
    """Return tokens (R, E) that hold a particle of a known type, and which types they hold (R, types) bool."""
    tokens, targets = [], []
    for batch in batches:
        groups = tokenise(batch.ragged("points"), config)
        views = token_views(groups, config, torch.eye(3, device=batch.index.device))
        types = classes_of_groups(batch.ragged("points_labels").data, groups.index, groups.point_real, len(TYPES))
        told = types.any(dim=1)
        tokens.append(model.layers(views)[-1][views["token_real"]][told].float())
        targets.append(types[told])
    return torch.cat(tokens), torch.cat(targets)


def probe_tokens(model: nn.Module, data: ClaimData, config: PoLArMAEConfig, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return the F1 of linear support vector machines that tell which particle types a token holds.

    And the mean F1 of the types of all points, after tuning the network on `LABELLED_EVENTS`.
    """
    assert isinstance(model, PoLArMAE)
    train, targets = labelled_tokens(model, data.batches("train", 400), config)
    test, truth = labelled_tokens(model, data.batches("test", 0), config)
    train, targets = train[:MOST_TOKENS], targets[:MOST_TOKENS]
    train, test = principal_components(train, test, min(32, train.shape[1]))
    scores = f1_scores(linear_svm(train, targets, test), truth)
    named = {f"F1, {name}": float(score) for name, score in zip(TYPES, scores, strict=True)}
    points = tuned_point_f1(
        model,
        described_points,
        list(data.batches("train", LABELLED_EVENTS)),
        list(data.batches("test", 0)),
        len(TYPES),
        steps=TUNING_STEPS,
    )
    return {"mean F1 of tokens": float(scores.mean()), "mean F1 of points, tuned": float(points.mean()), **named}


def described_points(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return features of an event's points (P, .), and their types (P,), −1 where there is none or it is scatter.

    The tokens next to a point, its place and energy, and maximum and mean of the event's tokens. In training the events
    are turned at random.
    """
    assert isinstance(model, PoLArMAE)
    config, points = model.config, batch.ragged("points")
    angles = (torch.rand(3) * 2 - 1) * math.pi if model.training and config.turns else torch.zeros(3)
    turn = turn_matrix(angles.tolist(), points.data.device)
    groups = tokenise(points, config)
    views = token_views(groups, config, turn)
    tokens, real = model.layers(views)[-1].float(), views["token_real"]
    centres = pad_groups(groups.centres, groups.lengths, groups.longest)
    near = interpolate_tokens(tokens, centres, real, points)
    filled = real.unsqueeze(2)
    most = tokens.masked_fill(~filled, torch.finfo(tokens.dtype).min).amax(dim=1)
    mean = tokens.masked_fill(~filled, 0.0).sum(dim=1) / filled.sum(dim=1).clamp_min(1)
    place = (points.data[:, :3] - config.box / 2) / (config.box * math.sqrt(3) / 2) @ turn.T
    energy = scale_energy(points.data[:, 3:4], config.energy_threshold, config.energy_max)
    whole = torch.cat((most, mean), dim=1)[points.owner]
    types = batch.ragged("points_labels").data.flatten().long()
    known = (types >= 0) & (types < len(TYPES)) & (points.data[:, 3] > config.energy_threshold)
    return torch.cat((near, place, energy, whole), dim=1), torch.where(known, types, -1)


# fmt: off
METHOD = Method(
    id="polar-mae",
    title="PoLAr-MAE",
    idea="Hides most patches of a particle event and predicts their points and energies.",
    paper=Paper(
        title="Particle Trajectory Representation Learning with Masked Point Modeling",
        authors="Young, Jwa, Terao", year=2025, venue="arXiv", url="https://arxiv.org/abs/2502.02558",
        # ViT-S, decoder of four blocks, two patch networks and the heads, by the shapes of the official code
        parameters={"paper": 29_635_872},
    ),
    families=("masked modelling",),
    needs=(NEED, LABELS),
    config=PoLArMAEConfig,
    presets={
        "tiny": Preset(
            # the bundled events deposit less in a voxel than a detector's, hence the lower threshold
            config={"box": 128.0, "radius": 4.0, "energy_threshold": 0.05, "points_per_group": 16, "candidates": 64,
                    "context": 96, "patch_width": 64, "width": 96, "depth": 4, "heads": 3, "decoder_depth": 2,
                    "drop_path": 0.1},
            training={"steps": 300, "batch_size": 8, "learning_rate": 5e-4, "betas": (0.9, 0.999), "clip_norm": 3.0},
        ),
        "small": Preset(
            config={"box": 128.0, "radius": 4.0, "energy_threshold": 0.05, "context": 192, "width": 192, "depth": 8,
                    "heads": 3, "decoder_depth": 2, "drop_path": 0.1},
            training={"steps": 20_000, "batch_size": 32, "learning_rate": 5e-4, "betas": (0.9, 0.999),
                      "clip_norm": 3.0},
        ),
        "paper": Preset(
            config={},
            # 128 events per update: 32 on each of four GPUs
            training={"steps": 500_000, "batch_size": 32, "accumulate": 4, "learning_rate": 1e-4,
                      "final_learning_rate": 8.6e-6, "warmup_share": 0.025, "weight_decay": 0.05,
                      "betas": (0.9, 0.999), "clip_norm": 3.0},
        ),
    },
    views=masked_event,
    model=PoLArMAE,
    suggested_sample="tracks",
    inspections=(
        Look("event", PointCloud, "Event", show_event,
             "Points of visible and hidden tokens, and the points predicted for the hidden ones, with their energies."),
        Look("energies", Curves, "Energies", show_energies,
             "Predicted over true energy of hidden points; a flat line means that it learnt the mean alone."),
        Look("tokens", PointCloud, "Tokens", show_tokens, "Centres of the spheres and how many points each holds."),
        Look("token-sizes", Histogram, "Points per token", show_sizes,
             "All tokens with one point: the radius is too small. Tokens left out: it is too small as well."),
        Look("attention", PointCloud, "Attention on points", show_attention,
             "Where one token looks, for every head; particles may stand out as wholes."),
        Look("feature-map", PointCloud, "Features on points", show_features,
             "The three strongest components of an event's tokens as colours of its points."),
    ),
    nodes=(
        PipelineNode(id="event", text="event", column=0, row=0.5, role="data"),
        PipelineNode(id="groups", text="spheres of points", column=1, row=0.5, role="other"),
        PipelineNode(id="encoder", text="patch network, encoder", column=2, row=0, role="encoder"),
        PipelineNode(id="decoder", text="decoder", column=3, row=0, role="decoder"),
        PipelineNode(id="points", text="hidden points", column=4, row=0, role="loss"),
        PipelineNode(id="places", text="places of hidden points", column=2, row=1, role="other"),
        PipelineNode(id="energy", text="their energies", column=4, row=1, role="loss"),
    ),
    edges=(
        PipelineEdge(source="event", target="groups"),
        PipelineEdge(source="groups", target="encoder", text="visible"),
        PipelineEdge(source="encoder", target="decoder"),
        PipelineEdge(source="decoder", target="points", text="Chamfer"),
        PipelineEdge(source="groups", target="places", text="hidden"),
        PipelineEdge(source="places", target="energy"),
        PipelineEdge(source="decoder", target="energy"),
    ),
    good_at="Sparse clouds of thin structures with a measured value: tracks, showers, fibres, lidar lines; few labels.",
    bad_at="Dense clouds whose groups overflow the context; clouds of shapes without energies, where Point-MAE "
    "(energy weight 0) is enough; data in another unit than the radius.",
    claim=Claim(
        statement="Learnt without labels, tokens tell particle types much better than those of an untrained network, "
        "and filling in energies helps a little.",
        sample="tracks",
        arms=(
            Arm("PoLAr-MAE"),
            Arm("untrained", training={"steps": 0}),
            Arm("Point-MAE, no energy loss", config={"energy_weight": 0.0}),
        ),
        metric=probe_tokens,
        primary="mean F1 of tokens",
        expected="at least 0.08 above the untrained network; up to 0.03 above Point-MAE",
        training={"steps": 500},
        margin=0.08,
    ),
)
