"""ChAda-ViT: every channel of a picture becomes patches of its own, and attention runs over all of them at once.

One patch embedding serves all channels, a learnt vector says in which slot a channel came, and one class token sums up
the record, so that pictures of one to ten stains live in one space. It is trained by self-distillation: a student
predicts from one crop of a picture what its moving average says of another.

Paper:      Bourriez, Bendidi, Cohen et al. ChAda-ViT: Channel Adaptive Attention for Joint Representation Learning of
            Heterogeneous Microscopy Images. CVPR 2024. arXiv:2311.15264
Equations:  none numbered; tokens and masks of section 3, the loss of DINO, Eq. (1) to (4) there
Reference:  nicoboou/chada_vit: src/backbones/vit/chada_vit.py, src/methods/dino.py, src/data/channels_strategies.py
            (MIT; nothing copied; the notes this file follows name no commit)
Differs:    padding is known from the channel counts, where the code looks for tokens that are exactly zero; only real
            tokens pass through the linear layers. Any number of slots gets slot vectors (the code adds them for ten
            only). Views are two large crops: the small ones of the code never reach its loss. Every channel is first
            brought from its darkest and brightest pixel to 0 and 1. Blur comes with the crop, before the intensities.
            The usual pre-norm block can be chosen and is used by the small presets, which also standardise every
            channel. Crop areas, blur chances and recipe are not published: DINO's are used. Mixing "within channels"
            and "one channel" and the objective "labels" serve the comparison of architectures. The claim is measured
            on pictures of 2 to 4 channels, both spots in the first two: `cells`, with up to ten channels in other
            orders, had proved too hard for so few steps. Its arms on own views take 60 steps, which show nothing yet.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from engine.data.batch import Batch, Ragged
from engine.errors import ConfigError
from engine.evaluation.knn import knn_predict
from engine.evaluation.linear import logistic_probe
from engine.form_fields import CropArea, Depth, DropPath, FlipChance, Heads, ImagePx, PatchPx, Share, Width, setting
from engine.inspections.channels import (
    ShownChannels,
    channel_names,
    make_channel_attention,
    make_channel_dropout,
    make_channel_matrix,
    make_channel_shares,
)
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.channels import BlockStyle, ChannelViT, Mixing, channel_owners
from engine.networks.heads import DinoHead
from engine.networks.teacher import MomentumTeacher, cosine_ramp
from engine.objectives.distillation import mean_entropy, self_distillation_loss, teacher_distribution, updated_centre
from engine.protocol.inspections import Attention, Choice, Histogram, Similarity, TextTable
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema, assign
from engine.views.channels import ChannelRecipe, channel_view, plain_channels, standardised, unit_range
from engine.views.rng import Rng

NEEDS = (
    Need(kinds=(FieldKind.CHANNELS,), smallest_px=8, ragged=True, what="pictures of one to ten channels"),
    Need(kinds=(FieldKind.NUMBER,), of="channels", suffix="names", optional=True, what="what each channel shows"),
    Need(kinds=(FieldKind.LABEL,), name="label", fields=("label",), optional=True,
         what="classes, for the objective 'labels' and the claim"),
)  # fmt: skip
USAGE_MEMORY = 0.98
BINS = 40
TOP = 3
_OWN_VIEWS = {"steps": 60, "batch_size": 32}
Sharpness = Annotated[float, Meta(ge=0.005, le=1.0)]


# fmt: off
class ChAdaViTConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit pictures of about 64 px."""

    image_px: ImagePx = 64
    crop_area: CropArea = (0.4, 1.0)
    flip: FlipChance = 0.5
    flip_vertical: Annotated[float, setting(
        "Mirror up and down", "How often a view is mirrored top to bottom; sensible in microscopy, off in the paper.",
        "Views", 0.0, 1.0, "of views")] = 0.0
    shift: Annotated[float, setting(
        "Intensity shift", "A number uniform in plus or minus this is added to every channel, of values in 0…1.",
        "Views", 0.0, 1.0)] = 0.3
    gain: Annotated[tuple[Annotated[float, Meta(ge=0.0, le=4.0)], Annotated[float, Meta(ge=0.0, le=4.0)]], setting(
        "Intensity gain", "Every channel is then multiplied by a number uniform between these and clipped to 0…1.",
        "Views", unit="×")] = (0.5, 1.5)
    blur_chances: Annotated[tuple[Share, Share], setting(
        "Blur", "How often the first and the second view are blurred; DINO: 1 and 0.1.",
        "Views", unit="of views", advanced=True)] = (0.0, 0.0)
    standardise: Annotated[bool, setting(
        "Standardise channels", "Bring every channel of a view to mean 0 and deviation 1; helps short runs.",
        "Views", advanced=True)] = True
    shuffle_slots: Annotated[bool, setting(
        "Shuffle slots", "Give the channels of a record random slots, so that their order says nothing.",
        "Views", advanced=True)] = False
    patch_px: PatchPx = 8
    slots: Annotated[int, setting(
        "Slots", "Most channels that a record may have; each slot has a learnt vector.",
        "Network", 1, 64, "channels")] = 10
    width: Width = 192
    depth: Depth = 12
    heads: Heads = 2
    mlp_width: Annotated[int, setting(
        "MLP width", "Hidden channels of the MLP in every block.", "Network", 16, 8192, "channels")] = 768
    block: Annotated[BlockStyle, setting(
        "Block", "The published block normalises after its sums, twice with one norm; pre-norm is the usual one.",
        "Network", advanced=True)] = "pre-norm"
    mixing: Annotated[Mixing, setting(
        "Attention", "Joint: every patch sees all channels. Within channels: patches see their own channel, the class "
        "token all. One channel: each channel is encoded alone, then the mean is taken.", "Network")] = "joint"
    drop_path: DropPath = 0.0
    outputs: Annotated[int, setting(
        "Outputs", "Length of the distribution that student and teacher agree on; it must shrink with the data.",
        "Network", 16, 131072, "prototypes")] = 1024
    head_width: Annotated[int, setting(
        "Head width", "Hidden channels of the head.", "Network", 16, 4096, "channels", advanced=True)] = 512
    bottleneck: Annotated[int, setting(
        "Bottleneck", "Channels before the outputs, brought to unit length.",
        "Network", 8, 1024, "channels", advanced=True)] = 128
    objective: Annotated[Literal["own views", "labels"], setting(
        "Objective", "Own views: self-distillation, as published. Labels: ordinary training with the record's class, "
        "to compare architectures.", "Losses", advanced=True)] = "own views"
    teacher_memory: Annotated[float, setting(
        "Teacher memory", "How much of the teacher remains at an update; rises to 1 with a cosine. Less for short runs",
        "Losses", 0.0, 1.0)] = 0.996
    student_temperature: Annotated[float, setting(
        "Student temperature", "Divides the student's scores before the softmax.", "Losses", 0.01, 1.0)] = 0.1
    teacher_temperatures: Annotated[tuple[Sharpness, Sharpness], setting(
        "Teacher temperature", "First and last temperature of the teacher. Below the student's: sharpening.",
        "Losses")] = (0.04, 0.07)
    temperature_warmup: Annotated[float, setting(
        "Temperature warm-up", "Share of the run during which the teacher's temperature rises linearly.",
        "Losses", 0.0, 1.0, "of the run", advanced=True)] = 0.3
    centre_memory: Annotated[float, setting(
        "Centre memory", "How much of the centre remains at an update.", "Losses", 0.0, 1.0, advanced=True)] = 0.9
    freeze_share: Annotated[float, setting(
        "Freeze last layer", "Share of the run during which the last layer stands still; one epoch in the paper.",
        "Losses", 0.0, 1.0, "of the run", advanced=True)] = 0.01
# fmt: on


def two_crops(batch: Batch, config: ChAdaViTConfig, rng: Rng) -> dict[str, Tensor]:
    """Return `channels` (M, V, s, s), the channels of all records one after another, and `channels_lengths` (B,).

    V is 2, or 1 where the objective is `labels`; then `label` (B,) is there, too. With shuffled slots, `order`
    (B, slots) says which slot each channel takes.

    Raises:
        ConfigError: a record has more channels than there are slots.
    """
    ragged = batch.ragged("channels")
    most = max(ragged.sizes)
    if most > config.slots:
        raise ConfigError(
            f"A record has {most} channels, and there are {config.slots} slots.", f"Set slots to {most} or more."
        )
    owner, slot = channel_owners(ragged.lengths, len(ragged.data))
    unit = Ragged(unit_range(ragged.data), ragged.lengths, ragged.sizes)
    is_labelled = config.objective == "labels"
    views = []
    for number, blur in enumerate(config.blur_chances[: 1 if is_labelled else 2]):
        recipe = ChannelRecipe(
            size_px=config.image_px,
            scale=config.crop_area,
            flip=(config.flip_vertical, config.flip),
            shift=config.shift,
            gain=config.gain,
            blur_chance=blur,
        )
        views.append(channel_view(unit, owner, slot, config.slots, rng.spawn(number), recipe))
    pixels = torch.stack(views, dim=1)
    found = {
        "channels": standardised(pixels) if config.standardise else pixels,
        "channels_lengths": ragged.lengths,
    }
    if config.shuffle_slots:
        found["order"] = rng.spawn("slots").permutation(config.slots)
    return found | {"label": batch["label"]} if is_labelled else found


def plain_view(batch: Batch, config: ChAdaViTConfig) -> Ragged:
    """Return the channels of whole records without changes, data (M, s, s) float32 and lengths (B,)."""
    ragged = batch.ragged("channels")
    channels = plain_channels(unit_range(ragged.data), config.image_px)
    return Ragged(standardised(channels) if config.standardise else channels, ragged.lengths, ragged.sizes)


class Network(nn.Module):
    """Encoder and head; student and teacher are one each."""

    def __init__(self, config: ChAdaViTConfig, classes: int) -> None:
        super().__init__()
        self.encoder = ChannelViT(
            size_px=config.image_px,
            patch_px=config.patch_px,
            slots=config.slots,
            dim=config.width,
            depth=config.depth,
            heads=config.heads,
            hidden=config.mlp_width,
            style=config.block,
            mixing=config.mixing,
            dropout=config.drop_path,
        )
        self.head: DinoHead | nn.Linear = (
            nn.Linear(config.width, classes)
            if config.objective == "labels"
            else DinoHead(config.width, config.outputs, hidden=config.head_width, bottleneck=config.bottleneck)
        )

    def forward(self, views: Views, *, is_last_frozen: bool = False) -> Tensor:
        """Return logits (V, B, K) of the views of `two_crops`; all pass through in one batch."""
        channels, lengths = views["channels"], views["channels_lengths"]
        count = channels.shape[1]
        order = views["order"].repeat(count, 1) if "order" in views else None
        pooled = self.encoder(channels.transpose(0, 1).flatten(0, 1), lengths.repeat(count), order).pooled
        frozen = {"is_last_frozen": is_last_frozen} if isinstance(self.head, DinoHead) else {}
        logits: Tensor = self.head(pooled, **frozen)
        return logits.view(count, len(lengths), -1)


class ChAdaViT(nn.Module):
    """Student, teacher and centre. Views: those of `two_crops`."""

    centre: Tensor
    pending: Tensor
    pending_batches: Tensor
    usage: Tensor

    def __init__(self, config: ChAdaViTConfig, schema: Schema) -> None:
        super().__init__()
        fields = assign(NEEDS, schema)
        is_labelled = config.objective == "labels"
        if is_labelled and "label" not in fields:
            raise ConfigError("There are no labels to learn from.", "Choose the objective 'own views', or other data.")
        self.student = Network(config, len(fields["label"].classes) if is_labelled else 0)
        self.teacher = None if is_labelled else MomentumTeacher(self.student, mode="eval")
        self.register_buffer("centre", torch.zeros(config.outputs))
        self.register_buffer("pending", torch.zeros(config.outputs))  # sum of teacher means since the last update
        self.register_buffer("pending_batches", torch.zeros(()))
        self.register_buffer("usage", torch.full((config.outputs,), 1 / config.outputs))  # running mean, for views only
        self.config = config
        names = fields["channels_names"].classes if "channels_names" in fields else ()
        self.names = names or fields["channels"].channels

    @property
    def network(self) -> Network:
        """What `embed` uses: the teacher, or the student where there is none."""
        network = self.student if self.teacher is None else self.teacher.network
        assert isinstance(network, Network)
        return network

    def step(self, views: Views, progress: float) -> Step:
        """Return the cross-entropy of the student's with the teacher's distribution of the other view."""
        config = self.config
        if self.teacher is None:
            return label_step(self.student(views)[0], views["label"])
        teacher_logits = self.teacher(views)  # (2, B, K)
        student_logits = self.student(views, is_last_frozen=progress < config.freeze_share)
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
                "share of full entropy": entropy / math.log(config.outputs),
                "divergence from teacher": loss.detach() - entropy,
                "prototypes in use": mean_entropy(mean).exp(),
                "centre length": self.centre.norm(),
            }
        return Step(loss, {"distillation": loss}, monitors)

    @torch.no_grad()
    def after_update(self, progress: float) -> None:
        """Move the teacher towards the student and the centre towards the teacher's mean output."""
        if self.teacher is None:
            return
        self.teacher.update(self.student, cosine_ramp(self.config.teacher_memory, 1.0, progress))
        mean = self.pending / self.pending_batches.clamp_min(1)
        # a batch whose loss was not finite must not spoil the centre for good
        usable = (self.pending_batches > 0) & torch.isfinite(mean).all()
        self.centre.copy_(
            torch.where(usable, updated_centre(self.centre, mean[None], self.config.centre_memory), self.centre)
        )
        self.pending.zero_()
        self.pending_batches.zero_()

    def embed(self, batch: Batch) -> Features:
        """Return the class token (B, E), and the mean of the channels' tokens at every place (B, P, E)."""
        plain = plain_view(batch, self.config)
        tokens = self.network.encoder(plain.data, plain.lengths)
        return Features(tokens.pooled, tokens.dense(), tokens.grid)


def label_step(logits: Tensor, label: Tensor) -> Step:
    """Return the cross-entropy of logits (B, K) with classes (B,), records of class -1 left out."""
    known = (label >= 0).float()
    share = known / known.sum().clamp_min(1)
    loss = (F.cross_entropy(logits.float(), label.clamp_min(0), reduction="none") * share).sum()
    right = ((logits.detach().argmax(dim=1) == label).float() * share).sum()
    return Step(loss, {"classification": loss}, {"accuracy": right})


def teacher_temperature(config: ChAdaViTConfig, progress: float) -> float:
    """Return the teacher's temperature: linear from the first to the last during the warm-up, then constant."""
    first, last = config.teacher_temperatures
    if progress >= config.temperature_warmup:
        return last
    return first + (last - first) * progress / config.temperature_warmup


def _shown(model: ChAdaViT, batch: Batch) -> ShownChannels:
    return ShownChannels(batch, plain_view(batch, model.config), channel_names(batch, model.names))


# fmt: off
def show_channel_attention(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Attention:  # noqa: ARG001
    """Return where the class token looks in every channel of the record with most channels; a row per channel."""
    assert isinstance(model, ChAdaViT)
    return make_channel_attention(model.network.encoder, _shown(model, batch), choice, view="attention")


def show_channel_matrix(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Similarity:  # noqa: ARG001
    """Return how much the channels of the record with most channels look at each other."""
    assert isinstance(model, ChAdaViT)
    return make_channel_matrix(model.network.encoder, _shown(model, batch), choice, view="channel-matrix")


def show_channel_shares(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Histogram:  # noqa: ARG001
    """Return how the class token's attention is spread over the channels of every record."""
    assert isinstance(model, ChAdaViT)
    return make_channel_shares(model.network.encoder, _shown(model, batch), choice, view="channel-shares")


def show_dropout(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Similarity:  # noqa: ARG001
    """Return how far the embedding moves when one channel is left out, for every record and channel."""
    assert isinstance(model, ChAdaViT)
    return make_channel_dropout(model.network.encoder, _shown(model, batch), view="channel-dropout")
# fmt: on


def show_assignments(
    model: nn.Module,
    batch: Batch,
    choice: Choice,  # noqa: ARG001
    config: ChAdaViTConfig,
    rng: Rng,
) -> TextTable:
    """Return the three strongest prototypes of the teacher for both views of each record."""
    assert isinstance(model, ChAdaViT)
    rows: list[tuple[str, ...]] = []
    if model.teacher is not None:
        logits = model.teacher(two_crops(batch, config, rng))
        probabilities = teacher_distribution(logits, model.centre, config.teacher_temperatures[1])
        share, prototype = probabilities.topk(min(TOP, config.outputs), dim=2)
        for record, number in enumerate(batch.index.tolist()):
            both = [
                ", ".join(
                    f"{one} ({part:.0%})"
                    for one, part in zip(prototype[view, record].tolist(), share[view, record].tolist(), strict=True)
                )
                for view in range(2)
            ]
            common = len(set(prototype[0, record].tolist()) & set(prototype[1, record].tolist()))
            rows.append((str(number), both[0], both[1], str(common)))
    return TextTable(
        view="assignments",
        title="Prototypes of two views",
        step=0,
        note="The teacher's three strongest prototypes for two random views of each record, and how many they share.",
        columns=("record", "first view", "second view", "in common"),
        rows=tuple(rows),
        records=batch.index.cpu().numpy(),
    )


def show_usage(
    model: nn.Module,
    batch: Batch,  # noqa: ARG001
    choice: Choice,  # noqa: ARG001
    config: ChAdaViTConfig,
    rng: Rng,  # noqa: ARG001
) -> Histogram:
    """Return how many prototypes get how much of the teacher's attention, over the last hundred steps or so."""
    assert isinstance(model, ChAdaViT)
    share = (model.usage.float() * config.outputs).clamp_min(1e-4).log10().cpu()
    edges = torch.linspace(-4, max(math.log10(config.outputs), 1.0), BINS + 1)
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


def measure_colocalisation(model: nn.Module, data: ClaimData, config: Any, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return accuracies of 20 neighbours and of a linear probe on held-out records whose class is known."""
    assert isinstance(model, ChAdaViT)
    features: dict[str, Tensor] = {}
    labels: dict[str, Tensor] = {}
    for part in ("train", "test"):
        batches = list(data.batches(part, 0))  # type: ignore[arg-type]
        label = torch.cat([batch["label"] for batch in batches])
        pooled = torch.cat([model.embed(batch).pooled for batch in batches])
        features[part], labels[part] = pooled[label >= 0], label[label >= 0]
    classes = int(labels["train"].max()) + 1
    near = knn_predict(features["test"], features["train"], labels["train"], classes)
    linear, _ = logistic_probe(features["train"], labels["train"], features["test"], classes)
    return {
        "20-NN accuracy": float((near == labels["test"]).float().mean()),
        "linear accuracy": float((linear == labels["test"]).float().mean()),
    }


# fmt: off
METHOD = Method(
    id="chada-vit",
    title="ChAda-ViT",
    idea="One transformer for pictures of any number of channels.",
    paper=Paper(
        title="ChAda-ViT: Channel Adaptive Attention for Joint Representation Learning of Heterogeneous Microscopy "
              "Images",
        authors="Bourriez, Bendidi, Cohen et al.", year=2024, venue="CVPR 2024",
        url="https://arxiv.org/abs/2311.15264",
        # the encoder alone: the released chada_vit() with 192 channels, 12 blocks, MLP 2048, ten slots, 224 px;
        # 49 344 patch embedding + 192 class token + 37 824 places + 1 920 slots + 12 × 937 664 blocks + 384 norm
        parameters={"paper": 11_341_632},
    ),
    families=("self-distillation",),
    needs=NEEDS,
    config=ChAdaViTConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "crop_area": (0.5, 1.0), "patch_px": 8, "width": 64, "depth": 3, "heads": 4,
                    "mlp_width": 128, "outputs": 128, "head_width": 128, "bottleneck": 32, "teacher_memory": 0.99,
                    "teacher_temperatures": (0.04, 0.04)},
            training={"steps": 400, "batch_size": 32, "learning_rate": 1e-3, "weight_decay": 0.04,
                      "warmup_share": 0.1, "clip_norm": 3.0, "clip_each": True, "betas": (0.9, 0.999)},
        ),
        "small": Preset(training={"steps": 20_000, "batch_size": 128, "learning_rate": 5e-4, "weight_decay": 0.04,
                                  "warmup_share": 0.1, "clip_norm": 3.0, "clip_each": True, "betas": (0.9, 0.999)}),
        "paper": Preset(
            config={"image_px": 224, "patch_px": 16, "depth": 12, "mlp_width": 2048, "block": "post-norm",
                    "standardise": False, "blur_chances": (1.0, 0.1), "outputs": 65536, "head_width": 2048,
                    "bottleneck": 256, "temperature_warmup": 0.075, "freeze_share": 0.0025},
            # 400 epochs of 104 093 pictures at 512 per update; warm-up of 10 epochs
            training={"steps": 81_320, "batch_size": 64, "accumulate": 8, "learning_rate": 5e-4,
                      "reference_batch": 256, "warmup_share": 0.025, "weight_decay": 0.04, "betas": (0.9, 0.999),
                      "clip_norm": 3.0, "clip_each": True},
        ),
    },
    views=two_crops,
    model=ChAdaViT,
    inspections=(
        Look("attention", Attention, "Attention in every channel", show_channel_attention,
             "Where the class token looks, channel by channel."),
        Look("channel-matrix", Similarity, "Attention between channels", show_channel_matrix,
             "How much each channel looks at each other one."),
        Look("channel-shares", Histogram, "Attention to each channel", show_channel_shares,
             "How the class token's attention is spread over the channels."),
        Look("channel-dropout", Similarity, "What each channel contributes", show_dropout,
             "How far the embedding moves when a channel is left out."),
        Look("assignments", TextTable, "Prototypes of two views", show_assignments,
             "The teacher's strongest prototypes for two views of each record."),
        Look("prototype-usage", Histogram, "Use of prototypes", show_usage,
             "How unevenly the teacher uses its outputs; all mass on one means collapse."),
    ),
    nodes=(
        PipelineNode(id="crops", text="two crops", column=0, row=0.5, role="data"),
        PipelineNode(id="tokens", text="patches of each channel", column=1, row=0.5, role="data"),
        PipelineNode(id="student", text="student", column=2, row=0, role="encoder"),
        PipelineNode(id="teacher", text="teacher", column=2, row=1, role="encoder"),
        PipelineNode(id="softmax", text="softmax", column=3, row=0, role="target"),
        PipelineNode(id="centre", text="centre", column=3, row=1, role="target"),
        PipelineNode(id="match", text="match", column=4, row=0.5, role="loss"),
    ),
    edges=(
        PipelineEdge(source="crops", target="tokens", text="+ place, slot"),
        PipelineEdge(source="tokens", target="student"),
        PipelineEdge(source="tokens", target="teacher"),
        PipelineEdge(source="student", target="teacher", dashed=True, text="average"),
        PipelineEdge(source="student", target="softmax"),
        PipelineEdge(source="teacher", target="centre", dashed=True),
        PipelineEdge(source="softmax", target="match"),
        PipelineEdge(source="centre", target="match", dashed=True),
    ),
    good_at="Pictures whose channels differ in number and kind: one network and one space for all assays.",
    bad_at="Short runs on little data: self-distillation settles slowly; steps grow with the number of channels.",
    claim=Claim(
        statement="Attention across channels sees what lies between channels; channels encoded alone cannot.",
        sample="spot-pairs",
        arms=(
            Arm("joint attention", config={"objective": "labels"}),
            Arm("one channel at a time", config={"objective": "labels", "mixing": "one channel"}),
            Arm("within channels", config={"objective": "labels", "mixing": "within channels"}),
            Arm("joint attention, own views", training=_OWN_VIEWS),
            Arm("one channel at a time, own views", config={"mixing": "one channel"}, training=_OWN_VIEWS),
        ),
        metric=measure_colocalisation,
        primary="20-NN accuracy",
        expected="with labels, joint attention is more than 0.15 above channels encoded alone; without labels the "
                 "difference is not expected within minutes",
        training={"steps": 600, "batch_size": 64},
        margin=0.15,
    ),
    suggested_sample="cells",
    # the loss is this divergence plus the teacher's entropy, which rises as the centre settles
    learns_monitor="divergence from teacher",
    learns_share=0.5,
)
