"""MADELEINE: one vector for a slide, by making the same tissue in different stains give the same vector.

A case is a bag of patch features for each of its stains. One aggregator with several attention heads turns every bag
into a vector; the vector of H&E must find that of each other stain among the other cases (global), and the tokens of
the two bags are matched by optimal transport (local). Stains may be missing.

Paper:      Jaume, Vaidya, Zhang et al. Multistain Pretraining for Slide Representation Learning in Pathology.
            ECCV 2024. arXiv:2408.02859
Equations:  multi-head gated attention, global InfoNCE and local graph optimal transport of section 3
Reference:  mahmoodlab/MADELEINE: models/Model.py, models/abmil.py, utils/loss.py, datasets/wsi_dataset.py (CC BY-NC-ND
            4.0; nothing copied; the notes this file follows name no commit)
Differs:    stain codes go to the rows of their stain (the code attaches them in another order). Tokens for the local
            loss are drawn from the sampled tokens; the code draws numbers below the number of cases. The plan of the
            Gromov-Wasserstein part is a constant. A missing stain never counts in the thresholds of the costs. On
            several devices each contrasts its own cases. The last weights are kept, not those of the best rank (the
            rank is a curve). Intra-slide views, which the released scripts leave off, are not offered. The defaults
            suit small bags.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data.batch import Batch, Ragged
from engine.errors import ConfigError
from engine.evaluation.few_shot import few_shot_auc
from engine.form_fields import setting
from engine.inspections.bags import make_heads, make_plan, make_retrieval, make_stain_map, make_top_members
from engine.method import Arm, Claim, ClaimData, Config, Features, Look, Method, Paper, Preset, Step, Views
from engine.networks.bags import BagEncoder
from engine.objectives.paired import cosine_matrix, paired_infonce, rank_one_share
from engine.objectives.transport import cosine_cost, graph_transport, ipot
from engine.protocol.inspections import Choice, Embedding, Matches, Pictures, Similarity, TextTable
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema, assign
from engine.views.bags import draw_members
from engine.views.rng import Rng

NEEDS = (
    Need(kinds=(FieldKind.BAG,), what="patch features of all slides of a case"),
    Need(kinds=(FieldKind.NUMBER,), of="bag", suffix="stains", what="the stain of each patch"),
    Need(kinds=(FieldKind.NUMBER,), of="bag", suffix="coordinates", optional=True, what="where patches lie, for views"),
)
SIGNAL = Need(kinds=(FieldKind.NUMBER,), of="bag", suffix="signal", what="which patches carry the case, to test")
SHOWN_TOKENS = 256


# fmt: off
class MADELEINEConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit bags of some hundred patches."""

    tokens: Annotated[int, setting(
        "Patches", "How many patches of each stain a step takes; smaller bags are drawn from several times.",
        "Views", 4, 16384, "per stain")] = 256
    transport_tokens: Annotated[int, setting(
        "Patches matched", "How many of them the local loss matches; its time grows with the square.",
        "Views", 4, 1024, "per stain")] = 64
    hidden: Annotated[int, setting("Width", "Channels of a patch in each head.", "Network", 8, 2048, "channels")] = 256
    heads: Annotated[int, setting(
        "Heads", "Attention networks, each over its own slice of the widened patches.", "Network", 1, 16, "heads")] = 4
    gate: Annotated[int, setting(
        "Attention width", "Hidden channels of every attention network.",
        "Network", 8, 2048, "channels", advanced=True)] = 256
    embedding: Annotated[int, setting("Slide vector", "Length of a slide's vector.", "Network", 8, 2048, "dim")] = 256
    token_width: Annotated[int, setting(
        "Token width", "Channels of the tokens that the local loss compares.",
        "Network", 8, 1024, "channels", advanced=True)] = 128
    stain_code: Annotated[int, setting(
        "Stain code", "Length of a learnt code of the stain beside every patch; 0 = none, as in the released scripts.",
        "Network", 0, 256, "channels", advanced=True)] = 0
    pooling: Annotated[Literal["attention", "mean of features"], setting(
        "Slide vector from", "Attention: as published. Mean of features: the mean of the H&E features as they are, the "
        "baseline to compare with; what is trained has no part in it.", "Network", advanced=True)] = "attention"
    temperature: Annotated[float, setting(
        "Temperature", "Divides the cosines of slides. The paper's 0.001 looks at the hardest case only.",
        "Losses", 0.0005, 2.0)] = 0.02
    local_weight: Annotated[float, setting(
        "Local weight", "Weight of the optimal transport between the patches of two stains; 0 leaves it out.",
        "Losses", 0.0, 10.0, "×")] = 1.0
    local_sum: Annotated[Literal["sum", "mean"], setting(
        "Local reduction", "Sum over the cases of the batch, as published, or their mean. A sum grows with the batch "
        "and can drown the global part.", "Losses")] = "mean"
# fmt: on


def draw_patches(batch: Batch, config: MADELEINEConfig, rng: Rng) -> dict[str, Tensor]:
    """Return `tokens` (B, S, T, D), random patches of each stain, and `present` (B, S) bool."""
    stains = len(batch.specs["bag_stains"].classes)
    tokens, present = draw_members(batch.ragged("bag"), batch.ragged("bag_stains").data, stains, config.tokens, rng)
    return {"tokens": tokens, "present": present}


class MADELEINE(nn.Module):
    """One aggregator for all stains. Views: `tokens` and `present` of `draw_patches`; stain 0 is H&E."""

    def __init__(self, config: MADELEINEConfig, schema: Schema) -> None:
        super().__init__()
        fields = assign(NEEDS, schema)
        self.stains = fields["bag_stains"].classes
        if len(self.stains) < 2:
            raise ConfigError("The data names fewer than two stains.", "Choose data with several stains of each case.")
        width = int(fields["bag"].shape[-1] or 0)
        self.aggregator = BagEncoder(
            width + config.stain_code, hidden=config.hidden, heads=config.heads, gate=config.gate,
            outputs=config.embedding,
        )  # fmt: skip
        has_local = config.local_weight > 0
        self.token_projector = nn.Linear(config.hidden * config.heads, config.token_width) if has_local else None
        self.stain_codes = nn.Embedding(len(self.stains), config.stain_code) if config.stain_code else None
        self.config = config

    def step(self, views: Views, progress: float) -> Step:  # noqa: ARG002
        """Return the sum over stains of the contrast of slides and the transport between their tokens."""
        config = self.config
        tokens, present = views["tokens"], views["present"]
        cases, stains, count = tokens.shape[:3]
        pooled = self.aggregator(self._coded(tokens.flatten(0, 1), stains))
        slides = pooled.vectors.view(cases, stains, -1).transpose(0, 1)  # (S, B, E)
        valid = (present[:, :1] & present[:, 1:]).T  # (S - 1, B)
        cosine = cosine_matrix(slides[:1], slides[1:])
        contrast = paired_infonce(cosine, 1 / config.temperature, valid).sum()
        parts = {"global": contrast}
        if self.token_projector is not None:
            few = min(config.transport_tokens, count)  # the tokens come in random order
            chosen = pooled.tokens.view(cases, stains, count, -1)[:, :, :few]
            parts["local"] = config.local_weight * self._local(self.token_projector(chosen).transpose(0, 1), valid)
        with torch.no_grad():
            share = pooled.attention.view(cases * stains, count, -1)
            entropy = -(share * share.clamp_min(1e-12).log()).sum(dim=1).mean() / np.log(count)
            found = rank_one_share(cosine, valid)
            monitors = {"attention entropy (1 = uniform)": entropy}
            for number, stain in enumerate(self.stains[1:]):
                monitors[f"cases with {stain}"] = valid[number].sum().float()
                monitors[f"{stain} found first"] = found[number]
        return Step(torch.stack(tuple(parts.values())).sum(), parts, monitors)

    def embed(self, batch: Batch) -> Features:
        """Return the vectors of the H&E bags, all patches, (B, E); not normalised. A case without H&E gives zeros."""
        return Features(self.slides(batch)[:, 0])

    def slides(self, batch: Batch) -> Tensor:
        """Return the vectors of all stains of each case, (B, S, E); zeros for those that are missing."""
        bag = batch.ragged("bag")
        stain = batch.ragged("bag_stains").data
        stains, cases = len(self.stains), len(bag.sizes)
        known = stain >= 0
        group = torch.where(known, bag.owner * stains + stain, cases * stains)
        ones = torch.ones_like(stain, dtype=torch.float32)
        size = torch.zeros(cases * stains + 1, device=ones.device).index_add(0, group, ones)
        if self.config.pooling == "mean of features":
            total = bag.data.new_zeros(len(size), bag.data.shape[1]).index_add(0, group, bag.data)
            vectors = total / size.clamp_min(1)[:, None]
        else:
            vectors = self.attend(bag, stain).vectors
        return (vectors.float() * (size > 0)[:, None])[:-1].view(cases, stains, -1)

    def attend(self, bag: Ragged, stain: Tensor) -> Any:
        """Return the bags of all cases and stains, numbered case · S + stain; patches of unknown stain come last."""
        stains, cases = len(self.stains), len(bag.sizes)
        group = torch.where(stain >= 0, bag.owner * stains + stain, cases * stains)
        members = bag.data.float()
        if self.stain_codes is not None:
            members = torch.cat((members, self.stain_codes(stain.clamp_min(0))), dim=1)
        return self.aggregator.pool(members, group, cases * stains + 1)

    def _coded(self, tokens: Tensor, stains: int) -> Tensor:
        if self.stain_codes is None:
            return tokens
        code = self.stain_codes(torch.arange(len(tokens), device=tokens.device) % stains)  # row r has stain r mod S
        return torch.cat((tokens, code[:, None].expand(-1, tokens.shape[1], -1)), dim=2)

    def _local(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Return the transport between H&E and each other stain, summed over stains, of tokens (S, B, n, D)."""
        left = tokens[:1].expand(len(tokens) - 1, -1, -1, -1)
        across, within = graph_transport(left, tokens[1:], valid)
        counts = valid.sum(dim=1)
        per_stain = ((across + within) * valid).sum(dim=1) * (counts > 1)
        if self.config.local_sum == "mean":
            per_stain = per_stain / counts.clamp_min(1)
        return per_stain.sum()


def _attended(model: nn.Module, batch: Batch) -> tuple[MADELEINE, Tensor, Tensor]:
    """Return the model, the attention of every patch (N, H) within its bag, and the patches as tokens (N, D)."""
    assert isinstance(model, MADELEINE)
    pooled = model.attend(batch.ragged("bag"), batch.ragged("bag_stains").data)
    tokens = pooled.tokens if model.token_projector is None else model.token_projector(pooled.tokens)
    return model, pooled.attention, tokens


# fmt: off
def show_retrieval(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Similarity:  # noqa: ARG001
    """Return the cosines of the H&E slides with the slides of all other stains of the shown cases."""
    assert isinstance(model, MADELEINE)
    return make_retrieval(model.slides(batch), batch, model.stains)


def show_heads(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Pictures:  # noqa: ARG001
    """Return what each head attends to on the H&E slide of each case, as a map of the slide."""
    model, attention, _ = _attended(model, batch)
    return make_heads(attention, batch, model.stains[0])


def show_plan(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Matches:  # noqa: ARG001
    """Return the strongest links of the transport plan between the H&E patches of a case and another stain's."""
    model, attention, tokens = _attended(model, batch)
    return make_plan(attention, tokens, batch, lambda left, right: ipot(cosine_cost(left, right), beta=0.5,
                                                                        iterations=30), SHOWN_TOKENS)


def show_top_patches(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> TextTable:  # noqa: ARG001
    """Return the patches of the H&E slides that each head attends to most and least."""
    model, attention, _ = _attended(model, batch)
    return make_top_members(attention, batch, model.stains[0])


def show_stain_map(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Embedding:  # noqa: ARG001
    """Return the slides of all stains of the shown cases in two dimensions, coloured by stain: they should mix."""
    assert isinstance(model, MADELEINE)
    return make_stain_map(model.slides(batch), batch, model.stains)
# fmt: on


def measure_few_shot(model: nn.Module, data: ClaimData, config: Any, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return the few-shot area under the curve (k = 10, ten draws), and how often the right case is found first.

    Where the data say which patches carry the case, also the share of the attention on H&E that these get, and which
    share of the patches they are.
    """
    assert isinstance(model, MADELEINE)
    features, labels = data.features(model, "test")
    slides = torch.cat([F.normalize(model.slides(batch), dim=2) for batch in data.batches("test", 0)])
    exists = slides.abs().sum(dim=2) > 0
    found = [
        rank_one_share(slides[both, 0] @ slides[both, stain].T)
        for stain in range(1, len(model.stains))
        if (both := exists[:, 0] & exists[:, stain]).any()
    ]
    attended, even = attention_on_signal(model, data)
    return {
        "few-shot AUC": float(few_shot_auc(features.numpy(), labels.numpy(), 10).mean()),
        "right case found first": float(torch.stack(found).mean()),
        "attention on signal patches": attended,
        "signal patches": even,
    }


def attention_on_signal(model: MADELEINE, data: ClaimData) -> tuple[float, float]:
    """Return the attention on those H&E patches that carry their case, mean of heads and cases, and their share."""
    weights, carries, members, sizes = [], [], [], []
    for batch in data.batches("test", 0):
        weights.append(_attended(model, batch)[1].mean(dim=1))
        carries.append(batch.ragged("bag_signal").data)
        members.append(batch.ragged("bag_stains").data == 0)
        sizes.append(batch.ragged("bag").lengths)
    he = torch.cat(members)
    cases = torch.cat(sizes)
    owner = torch.arange(len(cases), device=he.device).repeat_interleave(cases)[he]
    carried = torch.cat(carries)[he].double()
    measured = torch.stack((torch.cat(weights)[he].double() * carried, carried, torch.ones_like(carried)))
    sums = torch.zeros(3, len(cases), dtype=torch.float64, device=he.device).index_add(1, owner, measured)
    there = sums[2] > 0
    return float(sums[0, there].mean()), float((sums[1, there] / sums[2, there]).mean())


# fmt: off
METHOD = Method(
    id="madeleine",
    title="MADELEINE",
    idea="Slide vectors that agree across stains of the same tissue.",
    paper=Paper(
        title="Multistain Pretraining for Slide Representation Learning in Pathology",
        authors="Jaume, Vaidya, Zhang et al.", year=2024, venue="ECCV 2024", url="https://arxiv.org/abs/2408.02859",
        # counted from the released layers for 512 features: 1 582 080 before attention, 4 × 525 825 attention,
        # 1 049 088 projector, 262 272 token projector
        parameters={"paper": 4_996_740},
    ),
    families=("contrastive",),
    needs=NEEDS,
    config=MADELEINEConfig,
    presets={
        "tiny": Preset(
            config={"tokens": 64, "transport_tokens": 16, "hidden": 64, "heads": 2, "gate": 64, "embedding": 64,
                    "token_width": 32, "temperature": 0.05, "local_weight": 0.01},
            training={"steps": 300, "batch_size": 32, "learning_rate": 3e-3, "weight_decay": 0.01,
                      "warmup_share": 0.05, "betas": (0.9, 0.999)},
        ),
        "small": Preset(training={"steps": 5000, "batch_size": 64, "learning_rate": 3e-4, "weight_decay": 0.01,
                                  "warmup_share": 0.05, "betas": (0.9, 0.999)}),
        "paper": Preset(
            config={"tokens": 2048, "transport_tokens": 256, "hidden": 512, "heads": 4, "gate": 512, "embedding": 512,
                    "token_width": 128, "temperature": 0.001, "local_sum": "sum"},
            # 120 epochs of 4 211 slides in about 850 cases at 65 a step; warm-up of 5 epochs
            training={"steps": 1560, "batch_size": 65, "learning_rate": 1e-4, "final_learning_rate": 1e-8,
                      "weight_decay": 0.01, "warmup_share": 0.0417, "betas": (0.9, 0.999)},
        ),
    },
    views=draw_patches,
    model=MADELEINE,
    inspections=(
        Look("retrieval", Similarity, "Slides across stains", show_retrieval,
             "Cosine of every H&E slide with every other slide; each case should find itself."),
        Look("heads", Pictures, "Attention on the slide", show_heads,
             "What each head attends to, drawn where the patches lie."),
        Look("plan", Matches, "Matched patches", show_plan,
             "The strongest links of the transport plan between two stains of one case."),
        Look("top-patches", TextTable, "Most and least attended", show_top_patches,
             "The patches that every head attends to most and least."),
        Look("stain-map", Embedding, "Slides by stain", show_stain_map,
             "Slides of all stains in two dimensions; stains should mix, cases stay apart."),
    ),
    nodes=(
        PipelineNode(id="he", text="H&E patches", column=0, row=0, role="data"),
        PipelineNode(id="stain", text="other stain", column=0, row=1, role="data"),
        PipelineNode(id="heads", text="attention heads", column=1, row=0.5, role="encoder"),
        PipelineNode(id="slide", text="slide vectors", column=2, row=0, role="target"),
        PipelineNode(id="tokens", text="tokens", column=2, row=1, role="target"),
        PipelineNode(id="contrast", text="find the case", column=3, row=0, role="loss"),
        PipelineNode(id="transport", text="transport", column=3, row=1, role="loss"),
    ),
    edges=(
        PipelineEdge(source="he", target="heads"),
        PipelineEdge(source="stain", target="heads", text="if there"),
        PipelineEdge(source="heads", target="slide", text="pool"),
        PipelineEdge(source="heads", target="tokens"),
        PipelineEdge(source="slide", target="contrast"),
        PipelineEdge(source="tokens", target="transport"),
    ),
    good_at="Slide vectors from frozen patch features where the same tissue was stained several ways; few labels.",
    bad_at="Stains of different tissue, single stains; the summed local loss can drown the global one.",
    claim=Claim(
        statement="Slide vectors learnt across stains serve few-shot classifiers better than the mean of the patches.",
        sample="stains",
        arms=(
            Arm("global", config={"local_weight": 0.0}),
            Arm("mean of the patches", config={"pooling": "mean of features"}, training={"steps": 0}),
            Arm("untrained", training={"steps": 0}),
            Arm("global + 0.01 local", config={"local_weight": 0.01, "local_sum": "sum"}),
            Arm("global + local / cases", config={"local_weight": 1.0, "local_sum": "mean"}),
            Arm("global + local", config={"local_weight": 1.0, "local_sum": "sum"}),
            Arm("global, temperature 0.001", config={"local_weight": 0.0, "temperature": 0.001}),
        ),
        metric=measure_few_shot,
        needs=(SIGNAL,),
        primary="few-shot AUC",
        expected="more than 0.1 above the mean of the patches. That the local part helps is a claim about "
                 "large data and consecutive sections, whose background corresponds; here it does not",
        margin=0.1,
    ),
    suggested_sample="stains",
)
