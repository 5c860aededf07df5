"""Contract 2, method: one file that reads like its paper; the loop knows no method, no method knows the loop.

A method file ends with one record, `METHOD = Method(...)`, built from

    Config        a frozen struct: every hyper-parameter with unit, range, explanation
    views         (batch, config, rng) → augmented, masked views; no I/O, whole batches, on the device
    model         (config, schema) → nn.Module with `step`, `embed`, and perhaps `after_update`
    inspections   typed things to look at beyond what every encoder gives for free
    windows       (some) (config, schema) → what to cut out of larger records: clips, blocks, crops
    prepare       (some) a pass over the data at the start or every n epochs
    stages        (some) an ordered list: what a later stage takes from the earlier
    claim         the small experiment that shows the paper's central claim

How to write one: resources/help/add-a-method.md. What it must pass: engine/checks.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
from torch import Tensor, nn

from engine.data.windows import Window
from engine.protocol.inspections import Choice, Inspection
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import Need, Schema

if TYPE_CHECKING:
    from engine.data.batch import Batch
    from engine.views.rng import Rng

Family = Literal[
    "masked modelling", "self-distillation", "contrastive", "clustering", "predictive", "generative", "retrieval"
]
Views = Mapping[str, Tensor]
"""What `views` returns and `step` takes: named tensors; the first axis of each is the batch.

A view NAME may instead hold the rows of all records one after another, with how many rows each record has in the view
NAME_lengths, or in the view lengths that several share.
"""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every method's settings. Each field: `Annotated[type, Meta(ge=…, le=…, title=…, description=…)]`.

    `extra={"unit": …, "group": "Views" | "Network" | "Losses", "advanced": True}` places it in the form.
    """


@dataclass(frozen=True, slots=True)
class Step:
    """What one training step gives: the loss to descend, its named parts, and numbers worth a curve."""

    loss: Tensor  # scalar, float32
    parts: Mapping[str, Tensor]  # weighted scalars that add up to `loss`
    monitors: Mapping[str, Tensor] = field(default_factory=dict)  # detached scalars: accuracy, entropy, …


@dataclass(frozen=True, slots=True)
class Features:
    """What an encoder says of a batch."""

    pooled: Tensor  # (B, E), one vector per record
    dense: Tensor | None = None  # (B, N, E), one per place
    grid: tuple[int, ...] = ()  # N = product of grid; (T, H, W) of clips, (D, H, W) of volumes, (N,) of points
    lengths: Tensor | None = None  # (B,) places that a record has, where they differ; the rest of N is padding


class Model(Protocol):
    """What a method's module offers besides being an `nn.Module`. Everything stateful is a parameter or buffer.

    `progress` runs from 0 to 1 over the run (of the stage, where there are several).
    Optional: `after_update(progress)` for momentum teachers, queues and centres, called after each update;
    `encoder`, the network to look into (attention, feature maps): an `engine.networks` encoder, in evaluation
    the weights that `embed` uses; `encoder_input(batch)`, what `embed` gives that encoder (a tensor, or a tuple of the
    arguments of its `attention` before the layer), without which attention is shown for pictures only;
    `embed_text(texts)` → (B, E) in the space of `embed`'s pooled features, of methods that compare texts with records;
    `no_decay()` → names of parameters without weight decay beyond biases and 1-D ones.
    """

    def step(self, views: Views, progress: float) -> Step:
        """Return the loss of one batch of views."""
        ...

    def embed(self, batch: Batch) -> Features:
        """Return features of raw records: no augmentation, no mask, no dependence on batch neighbours."""
        ...


@dataclass(frozen=True, slots=True)
class Paper:
    """Where the method comes from."""

    title: str
    authors: str  # "Chen, Ding, Wang et al."
    year: int
    venue: str
    url: str  # "https://arxiv.org/abs/2202.03026"
    parameters: Mapping[str, int] = field(default_factory=dict)  # published or official-code counts, by preset


ViewsFunction = Callable[["Batch", Any, "Rng"], Views]
WindowsFunction = Callable[[Any, Schema], Mapping[str, Window]]
"""(config, schema) → by key of a need, what to cut out of every record of its field."""
ModelFactory = Callable[[Any, Schema], nn.Module]


@dataclass(frozen=True, slots=True)
class Look:
    """One inspection of a method: its name, its kind, and how it is computed from a model.

    `compute(model, batch, choice, config, rng)` gets the chosen records as a batch, runs under `no_grad` in
    evaluation mode with its own `rng`, and returns an `Inspection` of kind `kind` whose `step` it leaves 0
    (the caller fills it in).
    """

    name: str
    kind: type[Inspection]
    title: str
    compute: Callable[[nn.Module, Batch, Choice, Any, Rng], Inspection]
    description: str = ""
    windows: Literal["fixed", "random"] = "fixed"  # "random": several windows a record and their places, as in training
    steers: tuple[str, ...] = ()  # settings that may differ from the run's while looking: share and shape of a mask
    takes_mask: bool = False  # its mask comes from `engine.views.masks` with `rng`, and may be painted by hand


class Pass(Protocol):
    """What `prepare` gets to read the data with: batches in a fixed order, and a way to say how far it is."""

    batches: Iterator[Batch]
    records: int

    def progress(self, done: int, total: int, what: str) -> None:
        """Say how far it is; raises the loop's cancellation."""
        ...


@dataclass(frozen=True, slots=True)
class Prepare:
    """A pass over the data before the first step, and again every `every_epochs` (0 = only once).

    Of a method with windows it gets those at fixed places.

    `run(model, data, config, rng)` writes its result into the model's buffers, so that checkpoints hold it.
    """

    run: Callable[[nn.Module, Pass, Any, Rng], None]
    what: str  # "k-means over patches"
    every_epochs: float = 0.0
    records: int = 0  # how many it wants; 0 = all


@dataclass(frozen=True, slots=True)
class Stage:
    """One of several stages: a share of the steps, with its own views and model.

    `model(config, schema, previous)` gets the trained module of the stage before (None in the first).
    """

    name: str
    share: float
    views: ViewsFunction
    model: Callable[[Any, Schema, nn.Module | None], nn.Module]
    prepare: Prepare | None = None
    records: RecordFilter | None = None  # which records it trains on; None = all


RecordFilter = Callable[[Any, Mapping[str, Any]], Any]
"""(config, columns) → (N,) bool over all records; columns: annotations by the keys of their needs, and "record"."""
StagesFactory = Callable[[Any, Schema], tuple[Stage, ...]]
"""(config, schema) → stages, where their number follows from settings or data: one for each task of a stream."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of a claim experiment: what differs from the claim's base settings."""

    name: str
    method: str = ""  # "" = the method itself
    config: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)  # {"steps": 0} = the untrained network


class ClaimData(Protocol):
    """What a claim's metric reads the sample dataset with; "train" and "test" are its training and held-out part."""

    classes: tuple[str, ...]

    def batches(
        self, part: Literal["train", "test"], records: int = 0, *, only: Any = None, draw: int | None = None
    ) -> Iterator[Batch]:
        """Yield raw batches of the first `records` of a part (0 = all), on the model's device.

        `only` is (n,) bool over the part, of records to take; with `draw`, windows lie at random places.
        """
        ...

    def features(
        self, model: nn.Module, part: Literal["train", "test"], records: int = 0, *, only: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Return pooled features (N, E) and labels (N,), on the CPU, of the first `records` of a part (0 = all)."""
        ...

    def column(self, field: str, part: Literal["train", "test"]) -> Any:
        """Return an annotation of a part's records by the field's name: an array (n, …), or a list of strings."""
        ...

    def field(self, name: str, part: Literal["train", "test"], records: int = 0) -> Tensor:
        """Return a field that no need names, as stored, on the CPU, of the first `records` of a part (0 = all)."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """The small experiment that shows the paper's central claim.

    `metric(model, data, config, rng)` measures one trained arm (`data` is a `ClaimData`, `rng` has one record) and
    returns named numbers; `primary` is the one compared between the first arm (what the paper proposes) and the
    second (what it is compared with).
    """

    statement: str
    sample: str  # bundled dataset
    arms: tuple[Arm, ...]
    metric: Callable[[nn.Module, ClaimData, Any, Rng], Mapping[str, float]]
    primary: str
    expected: str  # a sentence: "with alignment > without, by more than 0.1"
    config: Mapping[str, Any] = field(default_factory=dict)  # on top of `tiny`, for all arms
    training: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 3
    needs: tuple[Need, ...] = ()  # fields that the metric reads beside the method's own: masks, depth, labels
    margin: float = 0.0  # the effect must exceed this to count as shown
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Preset:
    """Differences from the defaults of the method's settings and of the training settings."""

    config: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Method:
    """The record of a method."""

    id: str  # the name of its file, with dashes
    title: str
    idea: str  # one line for the card
    paper: Paper
    families: tuple[Family, ...]
    needs: tuple[Need, ...]
    config: type[Config]
    presets: Mapping[str, Preset]  # "tiny", "small", "paper"
    views: ViewsFunction
    model: ModelFactory
    inspections: tuple[Look, ...]
    nodes: tuple[PipelineNode, ...]  # the card's figure
    edges: tuple[PipelineEdge, ...]
    good_at: str
    bad_at: str
    claim: Claim | None = None
    prepare: Prepare | None = None
    windows: WindowsFunction | None = None  # what to cut out of larger records; None = records come whole
    stages: tuple[Stage, ...] | StagesFactory = ()  # () = one stage made of `views`, `model`, `prepare`
    suggested_sample: str = "textures"
    learns_share: float = 0.05  # 30 steps on one batch must lower the loss at least by this share
    learns_monitor: str = ""  # the monitor that must fall instead, where the loss contains a moving target's entropy
    known_failures: Mapping[str, str] = field(default_factory=dict)  # check → reason
