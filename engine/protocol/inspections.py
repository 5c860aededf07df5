"""Contract 3, inspection: a typed thing to look at.

Plain arrays with units and axes; no Qt, no torch, never a drawn figure. A viewer registers for one kind.
Pictures are float32 in 0…1, (C, H, W) with C 1 or 3, unless a field says otherwise; masks are bool, 1 = masked.
Every inspection is stored in the run (`inspections/0001200-reconstruction.npz`), so that live views can be
replayed, and travels as a header plus raw array frames (`wire.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np

from engine.protocol.forms import FormField

Array = np.ndarray[Any, np.dtype[Any]]


def _nothing() -> Array:
    return np.zeros(0, np.float32)


class Inspection(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every inspection says of itself."""

    view: str  # the name under which the method lists it, e.g. "reconstruction"
    title: str
    step: int  # the step after which it was computed
    note: str = ""  # what the reader must know to read it right (how values were un-normalised, …)
    steering: tuple[FormField, ...] = ()  # settings that `Choice.settings` may change; `default` is what was used
    takes_mask: bool = False  # whether `Choice.hidden` may choose the mask


class Spatial(Inspection, frozen=True, kw_only=True):
    """What lies on pictures, volumes, clips or cines, and what their axes are."""

    axes: str = ""  # letters of the space, T frames, D H W: "THW"; "" = the last of DHW, as many as there are
    steps: tuple[float, ...] = ()  # from one sample of the input to the next along each axis; () = 1
    units: tuple[str, ...] = ()  # of the steps: "s", "mm"; "" = samples


class Reconstruction(Spatial, frozen=True, kw_only=True, tag="reconstruction"):
    """Input, what the network saw of it, what it made of it, and how far that is off."""

    records: Array  # (B,) int64, record numbers in the dataset
    labels: tuple[str, ...] = ()  # one per record, "" where there is none
    input: Array  # (B, C, *space)
    mask: Array  # (B, *grid) bool, 1 = hidden from the encoder
    output: Array  # (B, C, *space)
    error: Array  # (B, *space) squared or absolute error, see `error_unit`
    error_unit: str = "absolute difference, 0…1"
    psnr_db: Array  # (B,) over the masked part


class Attention(Spatial, frozen=True, kw_only=True, tag="attention"):
    """Where a query token looks: softmax weights that sum to 1 over the tokens (prefix tokens included)."""

    records: Array  # (B,)
    labels: tuple[str, ...] = ()
    input: Array  # (B, C, *space)
    grid: tuple[int, ...]  # tokens per spatial axis
    layer: int  # 0-based block whose weights these are
    layers: int  # how many blocks there are
    heads: int
    way: str = "block"  # as `Choice.attention`; "rollout": through all blocks up to `layer`, one head
    ways: tuple[str, ...] = ("block",)  # that can be chosen
    query: int  # token index in the grid (row-major); -1 = the class token
    weights: Array  # (B, heads, N) float32 over the N grid tokens
    prefix: Array  # (B, heads) share of attention that goes to class and register tokens


class FeatureMap(Spatial, frozen=True, kw_only=True, tag="feature-map"):
    """Dense features as colours: three principal components, fitted once per checkpoint, signs fixed."""

    records: Array
    labels: tuple[str, ...] = ()
    input: Array  # (B, C, *space)
    grid: tuple[int, ...]
    colours: Array  # (B, 3, *grid) 0…1
    explained: Array  # (3,) share of variance
    fitted_on: int  # records
    first: int = 0  # component that is red
    scores: Array = msgspec.field(default_factory=_nothing)  # (B, 3, *grid) the components themselves
    foreground: Array = msgspec.field(default_factory=_nothing)  # (B, *grid) bool, by the first component
    segments: Array = msgspec.field(default_factory=_nothing)  # (B, *grid) int64, k-means, the largest first


class Prototypes(Inspection, frozen=True, kw_only=True, tag="prototypes"):
    """How much each prototype is used, and the records nearest to it."""

    usage: Array  # (K,) shares of all prototypes; sum 1 where all are here
    nearest: Array  # (K, R) record numbers
    pictures: Array  # (K, R, C, H, W)


class Matches(Inspection, frozen=True, kw_only=True, tag="matches"):
    """Correspondences between two pictures, best first."""

    left: Array  # (C, H, W)
    right: Array
    from_px: Array  # (M, 2) x, y
    to_px: Array  # (M, 2)
    scores: Array  # (M,)


class Neighbours(Inspection, frozen=True, kw_only=True, tag="neighbours"):
    """The nearest records to each query."""

    metric: str
    queries: Array  # (B,) record numbers
    neighbours: Array  # (B, K)
    distances: Array  # (B, K)
    labels: tuple[str, ...] = ()


class Similarity(Inspection, frozen=True, kw_only=True, tag="similarity"):
    """A matrix of similarities between rows and columns."""

    values: Array  # (R, C)
    unit: str = "cosine"
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    row_records: Array
    column_records: Array


class Histogram(Inspection, frozen=True, kw_only=True, tag="histogram"):
    """One or several distributions over common bins."""

    edges: Array  # (bins + 1,)
    counts: Array  # (series, bins)
    series: tuple[str, ...]
    unit: str = ""


class Pictures(Inspection, frozen=True, kw_only=True, tag="pictures"):
    """Records as rows, stages of a computation as columns: original, spectrum, mask, corrupted, predicted."""

    records: Array  # (B,) record numbers
    labels: tuple[str, ...] = ()  # one per record, "" where there is none
    columns: tuple[str, ...]  # K names
    pictures: Array  # (B, K, C, H, W)
    colours: str = ""  # what pictures of one channel show from 0 to 1, where that is no brightness: "attention"


class Curves(Inspection, frozen=True, kw_only=True, tag="curves"):
    """Lines over one axis: an error over frequency, a covariance over distance."""

    x: Array  # (P,) ascending
    values: Array  # (S, P)
    series: tuple[str, ...]
    x_name: str = ""  # with its unit: "distance from the centre of the spectrum, cycles per picture"
    unit: str = ""  # of the values
    is_log: bool = False  # values are positive and best seen on a logarithmic axis
    dashed: tuple[str, ...] = ()  # series that are references, not measurements
    marks: tuple[float, ...] = ()  # places on the x axis worth a vertical line


class VolumeStack(Inspection, frozen=True, kw_only=True, tag="volume-stack"):
    """Layers of one volume or cine: image, mask, reconstruction, attention, features."""

    record: int
    layers: tuple[str, ...]
    volumes: tuple[Array, ...]  # each ((T,) D, H, W)
    spacing_mm: tuple[float, ...] = ()
    orientation: str = ""


class PointCloud(Inspection, frozen=True, kw_only=True, tag="point-cloud"):
    """Points with named columns."""

    record: int
    points: Array  # (N, 3)
    unit: str = ""
    columns: tuple[str, ...] = ()
    values: Array  # (N, columns)
    tokens: Array = msgspec.field(default_factory=_nothing)  # (N,) int64, the token over each point, for `Choice.query`
    query: int = -1  # the token that asks, where the values answer a token
    layer: int = 0  # 0-based block that the values come from
    layers: int = 0  # how many blocks can be chosen


class Gaussians(Inspection, frozen=True, kw_only=True, tag="gaussians"):
    """Gaussian splats."""

    record: int
    centres: Array  # (N, 3)
    scales: Array  # (N, 3)
    rotations: Array  # (N, 4) quaternion w, x, y, z
    colours: Array  # (N, 3)
    opacities: Array  # (N,)


class Samples(Inspection, frozen=True, kw_only=True, tag="samples"):
    """Generated pictures, each beside its nearest training record."""

    pictures: Array  # (B, C, H, W)
    nearest: Array  # (B, C, H, W)
    nearest_records: Array  # (B,)
    seed: int


class Motion(Inspection, frozen=True, kw_only=True, tag="motion"):
    """Joint positions over time."""

    record: int
    positions: Array  # (T, J, 3)
    parents: tuple[int, ...]
    joints: tuple[str, ...]
    frames_per_s: float


class TextTable(Inspection, frozen=True, kw_only=True, tag="text-table"):
    """Rows of text and numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    records: Array


class Embedding(Inspection, frozen=True, kw_only=True, tag="embedding"):
    """A map of a fixed sample of records; aligned with the previous step so that it does not jump."""

    projection: str  # "PCA" or "UMAP"
    records: Array  # (N,)
    points: Array  # (N, 2) float32
    labels: Array  # (N,) int64, index into classes, -1 = none
    classes: tuple[str, ...] = ()
    total: int  # records that could have been shown
    chosen: str  # how the shown ones were chosen, e.g. "stratified by label"
    explained: tuple[float, ...] = ()  # PCA only


AnyInspection = Annotated[
    Reconstruction
    | Attention
    | FeatureMap
    | Prototypes
    | Matches
    | Neighbours
    | Similarity
    | Histogram
    | Pictures
    | Curves
    | VolumeStack
    | PointCloud
    | Gaussians
    | Samples
    | Motion
    | TextTable
    | Embedding,
    msgspec.Meta(description="One inspection of any kind."),
]


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the watcher steers; a view reads what concerns it."""

    NEWEST: ClassVar[int] = -1

    step: int = NEWEST  # of a stored checkpoint; -1 = as it is now
    dataset: str = ""  # path of other data that fits; "" = the run's own
    records: tuple[int, ...] = ()  # which records to show; () = the run's fixed sample
    count: int = 4  # how many, when records is ()
    layer: int = NEWEST  # 0-based block; -1 = the last
    attention: Literal["block", "rollout"] = "block"  # of one block, or followed through all blocks up to it
    query: int = -1  # token index in the grid; -1 = class token, or the centre where there is none
    slice: int = NEWEST
    mask_seed: int = 0
    hidden: tuple[int, ...] = ()  # token indices hidden by hand; () = the method draws its mask
    settings: tuple[tuple[str, bool | int | float | str], ...] = ()  # instead of the run's, of those that a view steers
    components: Annotated[int, msgspec.Meta(ge=0)] = 0  # the first of the three components that are colours
    segments: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0  # k of k-means over dense features; 0 = none
    fit_records: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 0  # colours fitted on so many; 0 = on the shown ones
    projection: str = "PCA"

    @property
    def is_elsewhere(self) -> bool:
        """Whether a stored checkpoint or other data is meant, which a process that trains does not look at."""
        return self.step != self.NEWEST or self.dataset != ""
