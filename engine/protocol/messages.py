"""Contract 4, message: what crosses between the window, the supervisor and its workers.

One tagged union of strict structs. A request is imperative and carries an `id`; asking twice with one id does
the thing once. A reply carries the id of its request. An event is past tense and carries the sequence number
`seq` that the supervisor gave it within one `epoch` (its lifetime); after a gap the window asks `Replay(after)`.
Arrays never stand in a message: they follow it as raw frames (`wire.py`).

Change anything here and raise `PROTOCOL_VERSION`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from engine.protocol.forms import FormField
from engine.protocol.inspections import Choice
from engine.protocol.schema import DatasetInfo, FieldSpec, Need, Skipped

PROTOCOL_VERSION = 4

RunState = Literal[
    "queued", "starting", "training", "paused", "stopping", "stopped", "finished", "failed", "interrupted"
]
JobKind = Literal[
    "import", "sample", "dry-run", "evaluate", "project", "export", "examine", "combine",
    "features", "map", "neighbourhood", "layers", "hand-on",
]  # fmt: skip
TABLE_FORMATS = {"parquet": ".parquet", "npz": ".npz", "csv": ".csv", "projector": ""}
"""Tables of features, or of the points of a map, and how their files end; "" = a folder."""
EXPORT_FORMATS = {
    "timm": "", "safetensors": ".safetensors", "onnx": ".onnx", "torchscript": ".pt", "report": ".html",
} | TABLE_FORMATS  # fmt: skip
"""Formats in which a run is handed on, and how their files end; "" = a folder."""
Projection = Literal["PCA", "UMAP", "t-SNE", "PaCMAP"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag=True):
    """Base of every message."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what stands inside messages."""


# ── records ──────────────────────────────────────────────────────────────────────────────────────────


class Failure(Record, frozen=True, kw_only=True):
    """What happened, what to do, and the details."""

    kind: str
    message: str
    hint: str = ""
    traceback: str = ""


class Preset(Record, frozen=True, kw_only=True):
    """A named set of settings: of the method and of the training loop."""

    config: dict[str, Any]
    training: dict[str, Any]


class ViewInfo(Record, frozen=True, kw_only=True):
    """One inspection that a method offers."""

    name: str
    kind: str  # tag of the inspection kind
    title: str
    description: str = ""


class PipelineNode(Record, frozen=True, kw_only=True):
    """A box of a method's figure. `column`, `row` are grid places, `role` picks the colour."""

    id: str
    text: str
    column: float
    row: float
    role: Literal["data", "encoder", "predictor", "decoder", "target", "loss", "other"] = "other"


class PipelineEdge(Record, frozen=True, kw_only=True):
    """An arrow of a method's figure; dashed = no gradient flows."""

    source: str
    target: str
    dashed: bool = False
    text: str = ""


class ArmResult(Record, frozen=True, kw_only=True):
    """What one arm of a claim experiment measured."""

    name: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    interval: tuple[float, float]


class ClaimResult(Record, frozen=True, kw_only=True):
    """The measured outcome of a claim experiment, as `selfsight claim --json` prints it."""

    method: str
    arms: tuple[ArmResult, ...]
    metric: str
    effect: float
    interval: tuple[float, float]
    expected: str
    verdict: Literal["shown", "not shown", "contradicted"]
    seconds: float  # elapsed, whatever else the machine did
    processor_seconds: float = -1.0  # of all runs together; -1 = not measured
    details: dict[str, Any] = {}


class ClaimInfo(Record, frozen=True, kw_only=True):
    """What a method claims, and what was measured."""

    statement: str
    metric: str
    arms: tuple[str, ...]
    expected: str
    measured: ClaimResult | None = None


class MethodInfo(Record, frozen=True, kw_only=True):
    """All that the window needs of a method: it never imports one."""

    id: str
    title: str
    idea: str  # one line
    year: int
    venue: str
    paper: str  # full title
    authors: str
    url: str
    families: tuple[str, ...]
    needs: tuple[Need, ...]
    form: tuple[FormField, ...]  # the method's settings
    training_form: tuple[FormField, ...]  # the loop's settings
    presets: dict[str, Preset]  # name → differences from the defaults
    views: tuple[ViewInfo, ...]
    nodes: tuple[PipelineNode, ...] = ()
    edges: tuple[PipelineEdge, ...] = ()
    good_at: str = ""
    bad_at: str = ""
    suggested_sample: str = "textures"
    claim: ClaimInfo | None = None
    differs: str = ""
    source: str = "built in"  # or the package that brings it, or "file PATH"
    broken: Failure | None = None  # a plug-in that could not be loaded


class SampleInfo(Record, frozen=True, kw_only=True):
    """One bundled sample dataset."""

    name: str
    kinds: tuple[str, ...]
    records: int
    real: bool  # from real pixels
    description: str
    size_bytes: int = 0


class RunSpec(Record, frozen=True, kw_only=True):
    """Everything needed to do a run again; stands in run.yaml."""

    schema_version: int = 1
    name: str = ""  # folder name; "" = made from date, method, dataset
    method: str
    dataset: str  # path of the dataset file
    dataset_checksum: str = ""
    preset: str = "small"
    config: dict[str, Any] = {}  # complete values, not differences, once the run is created
    training: dict[str, Any] = {}
    seed: int = 0
    device: str = "auto"
    versions: dict[str, str] = {}
    created: str = ""  # ISO 8601, UTC
    copied_from: str = ""  # run it duplicates, or whose checkpoint it continues


class RunSummary(Record, frozen=True, kw_only=True):
    """One row of the list of runs."""

    run: str  # folder name
    spec: RunSpec
    state: RunState
    step: int = 0
    steps: int = 0
    saved_step: int = -1  # last complete checkpoint; -1 = none
    latest: dict[str, float | None] = {}  # newest value of each metric; None = not finite
    spark: tuple[float, ...] = ()  # ≤ 40 values of the loss over the run
    failure: Failure | None = None
    started: str = ""
    seconds: float = 0.0  # trained so far
    device: str = ""
    folder: str = ""
    tags: tuple[str, ...] = ()  # in alphabetical order
    archived: bool = False  # kept out of the list unless asked for


class MetricsRow(Record, frozen=True, kw_only=True):
    """One line of metrics.jsonl. None = not finite."""

    step: int
    time_s: float
    values: dict[str, float | None]


class RunEvent(Record, frozen=True, kw_only=True):
    """One line of events.jsonl: something that happened to a run."""

    time: str  # ISO 8601, UTC, milliseconds
    step: int
    kind: str  # state, checkpoint, warning, quality, health, note, failure
    level: Literal["info", "ok", "warn", "error"] = "info"
    text: str = ""  # a whole sentence
    data: dict[str, Any] = {}


class JobSummary(Record, frozen=True, kw_only=True):
    """An import, a sample being made, a dry run, an evaluation, a projection."""

    job: str
    kind: JobKind
    title: str
    state: JobState
    done: float = 0.0  # counted work, in `unit`
    total: float = 0.0  # 0 = unknown
    unit: str = ""
    current: str = ""  # the item being worked on
    rate: float = 0.0  # units a second
    seconds_left: float = -1.0  # -1 = not known yet
    subject: str = ""  # dataset or run it belongs to
    result: dict[str, Any] = {}
    failure: Failure | None = None


class DeviceInfo(Record, frozen=True, kw_only=True):
    """A device that runs can be placed on."""

    id: str  # "cpu", "cuda:0"
    name: str
    memory_bytes: int = 0
    used_bytes: int = 0
    busy_percent: float = 0.0
    run: str = ""  # the run that holds it


class Recognised(Record, frozen=True, kw_only=True):
    """One group of what was dropped."""

    kind: str  # field kind, or "" = not loaded
    count: int
    text: str  # "12 431 images"
    detail: str = ""  # "JPEG and PNG, 64 × 64 to 640 × 480 px, RGB"
    reading: str = ""  # "read as image (3, 64, 64)"
    level: Literal["ok", "warn", "error"] = "ok"
    importer: str = ""  # that would read it; "" = none


class ImportOptions(Record, frozen=True, kw_only=True):
    """What the user may change of an import before it starts."""

    name: str = ""  # dataset name; "" = from the folder
    kind: str = ""  # "" = as recognised
    size_px: int = 0  # 0 = keep each image's size; else shorter side to this, centre crop
    keep_encoded: bool = False  # keep JPEG/PNG bytes as they are
    labels: Literal["folders", "table", "none"] = "folders"
    table: str = ""  # path of a CSV or JSONL manifest
    val_share: float = 0.1
    test_share: float = 0.0
    split_by: str = ""  # "" = per record, "label" = stratified, else the name of a group field
    drop_duplicates: bool = True
    settings: dict[str, Any] = {}  # of the importer; `ImportPlan.form` says which there are


class ImportPlan(Record, frozen=True, kw_only=True):
    """What an import would do; nothing is written yet."""

    paths: tuple[str, ...]
    options: ImportOptions
    importer: str
    files: int
    bytes: int
    records: int
    complete: bool  # False: judged by a part, numbers are estimates
    recognised: tuple[Recognised, ...]
    classes: dict[str, int] = {}
    skipped: tuple[Skipped, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    sizes: str = ""  # "64 × 64 to 640 × 480 px"
    schema_text: str = ""  # "image 3 × 64 × 64, uint8"
    will_write: str = ""  # path
    will_take_bytes: int = 0
    free_bytes: int = 0
    seconds: float = -1.0  # estimate; -1 = none
    preview_names: tuple[str, ...] = ()  # pictures follow as arrays, in this order
    warnings: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()  # any of these can be asked for instead (`ImportOptions.kind`)
    form: tuple[FormField, ...] = ()  # settings of the importer
    counting: bool = False  # numbers are "so far"; ask again for more


class RecordRow(Record, frozen=True, kw_only=True):
    """One record in a list, without its pixels."""

    index: int
    name: str
    label: str = ""
    split: str = ""
    excluded: bool = False
    values: dict[str, Any] = {}


class Finding(Record, frozen=True, kw_only=True):
    """One thing that was found about a dataset, the records it concerns, and those that could be left out for it."""

    what: str  # a sentence
    level: Literal["ok", "warn", "error"]
    records: tuple[int, ...] = ()  # at most 200 of them
    count: int = 0
    leave_out: tuple[int, ...] = ()  # () = nothing to do


class Distribution(Record, frozen=True, kw_only=True):
    """How one quantity of a field is distributed: counts in bins, or in named classes."""

    field: str
    what: Literal["size", "length", "spacing", "intensity", "classes"]
    name: str  # "height", "red", "along depth"
    unit: str = ""  # "px", "mm", "" = plain numbers
    edges: tuple[float, ...] = ()  # of the bins, one more than counts; () = named
    names: tuple[str, ...] = ()  # of the classes
    counts: tuple[int, ...] = ()
    low: float = 0.0
    median: float = 0.0
    high: float = 0.0
    rule: str = ""  # what was looked at, half a sentence


class Examination(Record, frozen=True, kw_only=True):
    """All that was found about a dataset."""

    records: int
    compared: int  # records that could be drawn and compared
    findings: tuple[Finding, ...]
    distributions: tuple[Distribution, ...] = ()


class CombineOptions(Record, frozen=True, kw_only=True):
    """A dataset to be made of one or several others: which, how, which of their records, with which labels."""

    sources: tuple[str, ...]  # names in the workspace, or paths
    how: Literal["concatenate", "join", "stream"] = "concatenate"
    name: str = ""  # "" = from the sources
    where: str = ""  # a filter that records have to pass, in the language of `ListRecords`
    ranges: tuple[tuple[int, int], ...] = ()  # first … last + 1 of the records of a single source; () = all
    table: str = ""  # CSV or JSONL with a column that names records (or their numbers) and one of labels or splits
    rename: dict[str, str] = {}  # label → another name; two that become one are merged; "" = no label
    split_by: str = ""  # "" = splits stay, "records", "label" = in each class alike, else the name of a group field
    val_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0  # of the new splits
    tasks_by: str = ""  # stream: "" = a task for each dataset, else the label field whose classes are the tasks
    parts: int = 1  # stream: each dataset in so many tasks, in the order of its records
    with_excluded: bool = False  # take records in that the user excluded


class CombinePlan(Record, frozen=True, kw_only=True):
    """What comes out of a combination; `problems` are why it cannot be made."""

    options: CombineOptions
    records: int
    taken: tuple[int, ...]  # records of each source
    fields: tuple[FieldSpec, ...]
    splits: dict[str, int] = {}
    labels: dict[str, int] = {}  # of the first label field
    tasks: dict[str, int] = {}  # in their order
    notes: tuple[str, ...] = ()  # sentences: what is renamed, widened, missing
    problems: tuple[str, ...] = ()
    will_write: str = ""  # path
    will_take_bytes: int = 0  # about
    free_bytes: int = 0


class ExportFormat(Record, frozen=True, kw_only=True):
    """A plain format that a dataset can be written as."""

    id: str
    title: str
    keeps: str = ""  # what of a record goes into it, and what does not


class ExportPlan(Record, frozen=True, kw_only=True):
    """What an export would write."""

    formats: tuple[ExportFormat, ...]  # that the dataset has, the usual one first
    format: str  # chosen
    records: int
    fields: tuple[str, ...]  # that go into files; the other annotations go into the table
    folder: str
    free_bytes: int = 0
    problem: str = ""  # why it cannot be written there


class DryRunResult(Record, frozen=True, kw_only=True):
    """Will it fit, how long will it take: measured by a few real steps."""

    parameters: int
    trainable: int
    memory_bytes: int
    memory_total_bytes: int
    samples_per_second: float
    step_seconds: float
    seconds_per_epoch: float
    seconds_total: float
    disk_bytes: int
    device: str
    precision: str
    fits: bool
    advice: str = ""


class FeatureChoice(Record, frozen=True, kw_only=True):
    """Features of which records under which checkpoint."""

    step: int = -1  # of the checkpoint; -1 = the newest
    dataset: str = ""  # name in the workspace, or path; "" = the run's own
    split: str = ""  # "" = all records that are not excluded
    most: int = 0  # take so many records at most; 0 = all
    chosen: Literal["random", "stratified"] = "random"  # how, if there are more; stratified: by label, evenly
    seed: int = 0  # of that choice


class FeatureSet(Record, frozen=True, kw_only=True):
    """Features that a run keeps so that they need not be computed again; may be deleted at any time."""

    key: str  # folder in the run's `features`
    step: int
    dataset: str  # name
    checksum: str
    kind: Literal["pooled", "dense"]
    width: int
    records: int  # that are kept so far
    bytes: int


class MapOptions(Record, frozen=True, kw_only=True):
    """How features become points."""

    projection: Projection = "PCA"
    dimensions: Literal[2, 3] = 2
    neighbours: int = 15  # UMAP, PaCMAP: 2 … 500
    minimum_distance: float = 0.1  # UMAP: 0 … 0.99
    perplexity: float = 30.0  # t-SNE: 2 … 500, at most a third of the records
    seed: int = 0


class MapColumn(Record, frozen=True, kw_only=True):
    """What a map knows of every point: a class (array int32, index into `names`, -1 = none) or a number (float32)."""

    name: str  # "label", "split", "patient", "cluster", "prediction", "agreement", …
    kind: Literal["class", "number"]
    names: tuple[str, ...] = ()
    unit: str = ""
    what: str = ""  # where it comes from, where that is not the dataset: "k-means of the features, 10 clusters"


class MapInfo(Record, frozen=True, kw_only=True):
    """A stored map of embeddings: what it shows, and how it was made."""

    key: str  # file in the run's `maps`
    run: str
    step: int
    dataset: str  # name
    path: str  # of the dataset
    checksum: str
    split: str
    shown: int  # points
    total: int  # records that could have been shown
    chosen: str  # how the shown ones were chosen, in words: "all", "at random (seed 0)", …
    options: MapOptions
    columns: tuple[MapColumn, ...] = ()
    explained: tuple[float, ...] = ()  # share of variance of each axis; PCA only
    onto: str = ""  # key of the map whose axes these are; "" = its own
    aligned_with: str = ""  # key of the map to which it was rotated; "" = none
    started_from: str = ""  # key of the map from whose points it was begun; "" = from scratch
    agreement: float = -1.0  # how often the 10 nearest by features have the same label; -1 = no labels
    seconds: float = 0.0  # for features, points and columns
    created: str = ""  # ISO 8601, UTC

    @property
    def title(self) -> str:
        """Say how many of how many are shown, and how they were chosen."""
        return f"showing {self.shown:,} of {self.total:,}, {self.chosen}"


class NeighbourhoodInfo(Record, frozen=True, kw_only=True):
    """What the nearest neighbours of all features tell of them."""

    key: str  # file in the run's `neighbourhoods`
    run: str
    step: int
    dataset: str  # name
    path: str
    checksum: str
    split: str
    shown: int  # records looked at
    total: int
    chosen: str
    k: int
    exact: bool
    recall: float  # share of true neighbours that an approximate index found, measured on some records; 1 = exact
    label: str  # field; "" = none
    classes: tuple[str, ...]
    hubness: float  # skewness of how often a record is among the k nearest of others; above 1 there are hubs
    orphans: float  # share of records that are nobody's neighbour
    mutual: float  # share of neighbour pairs that are neighbours both ways
    agreement: float  # share of neighbours with the record's label; -1 = no labels
    duplicates_above: float  # cosine
    duplicates: int  # pairs in all; at most 10 000 of them are stored
    surprising: int  # neighbour pairs with different labels in all; at most 1 000 are stored, the nearest first
    seconds: float
    created: str


class LayerSimilarity(Record, frozen=True, kw_only=True):
    """Linear CKA between the layers of two networks on the same records."""

    run: str
    step: int
    other: str
    other_step: int
    rows: tuple[str, ...]  # layers of `run`, from input to output
    columns: tuple[str, ...]  # of `other`
    values: tuple[tuple[float, ...], ...]  # 1 = the same up to rotation and scale; may be a little below 0
    records: int
    dataset: str
    what: str  # which estimator, in words


# ── requests: window → supervisor ────────────────────────────────────────────────────────────────────


class Request(Message, frozen=True, kw_only=True):
    """Base of requests. `id` is unique; the same id is never done twice."""

    id: str


class Hello(Request, frozen=True, kw_only=True):
    """The first message of a window."""

    protocol: int
    client: str  # name and version of the window


class Attach(Request, frozen=True, kw_only=True):
    """Ask for a full snapshot and all events from then on."""


class Replay(Request, frozen=True, kw_only=True):
    """Ask for the events after `after` of `epoch` that were missed; answered by events or a new snapshot."""

    epoch: str
    after: int


class Ping(Request, frozen=True, kw_only=True):
    """Are you there? Sent every two seconds; answered by `Done`."""


class ListMethods(Request, frozen=True, kw_only=True):
    """Ask for `Methods`."""


class AddMethod(Request, frozen=True, kw_only=True):
    """Add a method file, or put another in the place of one of the same name; answered by `Methods` with it."""

    name: str  # of the file
    text: str


class RemoveMethod(Request, frozen=True, kw_only=True):
    """Delete the user's file that a method comes from; answered by `Methods` without it."""

    method: str


class ListSamples(Request, frozen=True, kw_only=True):
    """Ask for `SampleList`."""


class Peek(Request, frozen=True, kw_only=True):
    """What would a drop of these paths do? Reads names and at most 200 files' first bytes; `Peeked`."""

    paths: tuple[str, ...]


class PlanImport(Request, frozen=True, kw_only=True):
    """Recognise and plan, write nothing; answered by `Planned` (+ preview arrays)."""

    paths: tuple[str, ...]
    options: ImportOptions = ImportOptions()


class StartImport(Request, frozen=True, kw_only=True):
    """Import as a job; answered by `JobAccepted`."""

    paths: tuple[str, ...]
    options: ImportOptions


class MakeSample(Request, frozen=True, kw_only=True):
    """Make a bundled sample dataset as a job; answered by `JobAccepted`."""

    name: str


class CancelJob(Request, frozen=True, kw_only=True):
    """Stop a job; an import keeps what it needs to be resumed."""

    job: str


class DescribeDataset(Request, frozen=True, kw_only=True):
    """Ask for `DatasetDescribed`."""

    dataset: str
    verify: bool = False


class ListRecords(Request, frozen=True, kw_only=True):
    """Ask for rows `first … first + count` of those that pass the filter; `Records`."""

    dataset: str
    first: int
    count: int
    filter: str = ""  # "label = brick and split = train", or words to find in the name
    split: str = ""
    label: str = ""


class FetchThumbnails(Request, frozen=True, kw_only=True):
    """Ask for pictures of records, (N, 3, px, px) uint8, letterboxed; `Thumbnails` + 1 array (+ sizes)."""

    dataset: str
    records: tuple[int, ...]
    px: int


class OpenRecord(Request, frozen=True, kw_only=True):
    """Ask for all of one record, thinned out where it is larger than `most_bytes`; `RecordOpened` + its arrays."""

    dataset: str
    record: int
    most_bytes: int = 64 * 1024**2  # of one field


class EditRecords(Request, frozen=True, kw_only=True):
    """Set label, split or exclusion of records. The change is an overlay that can be undone; `Done`."""

    dataset: str
    records: tuple[int, ...]
    label: str | None = None
    split: str | None = None
    excluded: bool | None = None


class ExamineDataset(Request, frozen=True, kw_only=True):
    """Look for leaks between splits, near duplicates and empty records as a job; its result is an `Examination`."""

    dataset: str


class PlanCombine(Request, frozen=True, kw_only=True):
    """Work out what a combination of datasets would be; writes nothing."""

    options: CombineOptions


class StartCombine(Request, frozen=True, kw_only=True):
    """Make a dataset of others as a job; its result has `dataset`, `path`, `records` and `skipped`."""

    options: CombineOptions


class PlanExport(Request, frozen=True, kw_only=True):
    """Say which plain formats a dataset can be written as, and what would be written."""

    dataset: str
    folder: str = ""
    format: str = ""  # "" = the usual one of its kind
    where: str = ""


class StartExport(Request, frozen=True, kw_only=True):
    """Write a dataset as plain files as a job; its result has `folder`, `records`, `files` and `skipped`."""

    dataset: str
    folder: str  # must not exist, or be empty
    format: str = ""
    where: str = ""


class DeleteDataset(Request, frozen=True, kw_only=True):
    """Move a dataset file into the workspace's bin."""

    dataset: str


class DryRun(Request, frozen=True, kw_only=True):
    """Measure a few real steps as a job; its result is a `DryRunResult`."""

    spec: RunSpec


class CheckSettings(Request, frozen=True, kw_only=True):
    """Check settings against the data without starting anything; answered by `SettingsChecked`."""

    spec: RunSpec


class StartRun(Request, frozen=True, kw_only=True):
    """Create a run folder and queue it; answered by `RunAccepted`."""

    spec: RunSpec


class ControlRun(Request, frozen=True, kw_only=True):
    """Act on a run: pause, resume (a paused, stopped or interrupted one), stop, checkpoint, kill, move up."""

    run: str
    action: Literal["pause", "resume", "stop", "checkpoint", "kill", "first"]


class ContinueRun(Request, frozen=True, kw_only=True):
    """Train a finished or stopped run for more steps."""

    run: str
    steps: int


class DeleteRun(Request, frozen=True, kw_only=True):
    """Move a run folder into the workspace's bin."""

    run: str


class MarkRuns(Request, frozen=True, kw_only=True):
    """Tag runs and put them away or back; answered by `Done`, or by `Failed` that names the first that could not be."""

    runs: tuple[str, ...]
    add: tuple[str, ...] = ()  # tags
    remove: tuple[str, ...] = ()
    archived: bool | None = None  # None = as it is


class FetchRun(Request, frozen=True, kw_only=True):
    """Ask for metrics and events after given lines; answered by `RunHistory`."""

    run: str
    metrics_after: int = 0  # lines already known
    events_after: int = 0


class FetchLog(Request, frozen=True, kw_only=True):
    """Ask for the tail of a run's log.txt; answered by `LogTail`."""

    run: str
    bytes: int = 64_000


class ListInspections(Request, frozen=True, kw_only=True):
    """Ask which steps of which views a run has stored; `StoredInspections`."""

    run: str


class ListEvaluations(Request, frozen=True, kw_only=True):
    """Ask for the evaluations kept in a run; answered by `Evaluations`."""

    run: str


class FetchInspection(Request, frozen=True, kw_only=True):
    """Ask for a stored inspection; answered by `InspectionData` + arrays."""

    run: str
    view: str
    step: int


class Watch(Request, frozen=True, kw_only=True):
    """Keep a live view of a run coming (or stop it); each delivery costs one credit of this subscription."""

    run: str
    view: str
    choice: Choice = Choice()
    credits: int = 1
    on: bool = True


class Evaluate(Request, frozen=True, kw_only=True):
    """Evaluate a run's checkpoint as a job."""

    run: str
    protocol: str
    dataset: str = ""  # "" = the run's own


class HandOn(Request, frozen=True, kw_only=True):
    """Write a run's result for other tools as a job (a report: of several runs); its result has `out`."""

    runs: tuple[str, ...]
    format: str  # a key of EXPORT_FORMATS
    map: str = ""  # key of a stored map of the run: its points as a table; "" = the features
    out: str  # path of a file with that format's ending, or of a folder that is new or empty


class Project(Request, frozen=True, kw_only=True):
    """Make a map (UMAP …) of the run's fixed sample as a job; the result is stored as an inspection."""

    run: str
    projection: str
    step: int = -1  # -1 = newest stored embedding


class MakeFeatures(Request, frozen=True, kw_only=True):
    """Compute and keep the features of records as a job; its result is a `FeatureSet`.

    Records whose features are kept already are not computed again; a cancelled job keeps what it has. Dense ones
    (one vector for each place) are refused where records differ in their number of places.
    """

    run: str
    choice: FeatureChoice = FeatureChoice()
    dense: bool = False


class ListFeatures(Request, frozen=True, kw_only=True):
    """Ask which features a run keeps; `FeatureSets`."""

    run: str


class DeleteFeatures(Request, frozen=True, kw_only=True):
    """Free the space of kept features; `Done`."""

    run: str
    key: str = ""  # "" = all


class MakeMap(Request, frozen=True, kw_only=True):
    """Make a map of embeddings as a job; its result has `run` and `keys`, one for each checkpoint, in their order.

    The map is rotated to lie as the newest map of the same data, projection and dimensions does; within a history each
    also begins at the points of the one before. With `onto` the records are placed into the axes of a stored map of
    this run, from the same checkpoint; projection, dimensions and settings are then that map's.
    """

    run: str
    choice: FeatureChoice = FeatureChoice(most=10_000)
    options: MapOptions = MapOptions()
    steps: tuple[int, ...] = ()  # a map of each of these checkpoints instead of `choice.step`, ascending
    onto: str = ""


class ListMaps(Request, frozen=True, kw_only=True):
    """Ask for the stored maps of a run, newest first; `Maps`."""

    run: str


class FetchMap(Request, frozen=True, kw_only=True):
    """Ask for a stored map; `MapData` + arrays."""

    run: str
    key: str


class DeleteMap(Request, frozen=True, kw_only=True):
    """Remove a stored map; `Done`."""

    run: str
    key: str


class FindNeighbours(Request, frozen=True, kw_only=True):
    """Ask which records are nearest to one record, to a file, or to a text; `NeighboursFound`.

    Exactly one of `record`, `path`, `text` is given. Searched are the kept features of `choice` (see `MakeFeatures`);
    where they are not complete, the answer is `Failed` with the kind "features-missing". The first question about a
    run loads its network and takes seconds.
    """

    run: str
    choice: FeatureChoice = FeatureChoice()
    record: int = -1  # of the dataset that is searched
    path: str = ""  # of a file of the kind that the run was trained on
    text: str = ""  # for methods that embed texts and pictures in one space
    k: int = 20  # 1 … 1000
    exclude_self: bool = True


class MakeNeighbourhood(Request, frozen=True, kw_only=True):
    """Find hubs, surprising pairs, near duplicates and outliers of all features as a job; its result has `key`."""

    run: str
    choice: FeatureChoice = FeatureChoice()
    k: int = 10  # 1 … 100
    duplicates_above: float = 0.99  # cosine


class ListNeighbourhoods(Request, frozen=True, kw_only=True):
    """Ask for the stored neighbourhoods of a run, newest first; `Neighbourhoods`."""

    run: str


class FetchNeighbourhood(Request, frozen=True, kw_only=True):
    """Ask for a stored neighbourhood; `NeighbourhoodData` + arrays."""

    run: str
    key: str


class CompareLayers(Request, frozen=True, kw_only=True):
    """Compare the layers of two runs' networks (linear CKA) as a job; its result is a `LayerSimilarity`."""

    run: str
    other: str
    step: int = -1
    other_step: int = -1
    dataset: str = ""  # "" = that of `run`; must fit both
    split: str = ""
    most: int = 1000  # records, chosen at random
    seed: int = 0


class SetBudget(Request, frozen=True, kw_only=True):
    """Set the share of training time that live views may take."""

    share: float


class StopEngine(Request, frozen=True, kw_only=True):
    """Save and stop every run, then end the engine."""


# ── replies: supervisor → window ─────────────────────────────────────────────────────────────────────


class Reply(Message, frozen=True, kw_only=True):
    """Base of replies; `id` is the request's."""

    id: str


class Welcome(Reply, frozen=True, kw_only=True):
    """The handshake succeeded."""

    protocol: int
    engine: str  # version
    epoch: str
    pid: int
    host: str
    workspace: str


class Failed(Reply, frozen=True, kw_only=True):
    """The request was not done, and why."""

    failure: Failure


class Done(Reply, frozen=True, kw_only=True):
    """The request was done; nothing more to say."""


class Snapshot(Reply, frozen=True, kw_only=True):
    """All that is, at `seq`."""

    epoch: str
    seq: int
    workspace: str
    datasets: tuple[DatasetInfo, ...]
    runs: tuple[RunSummary, ...]
    jobs: tuple[JobSummary, ...]
    devices: tuple[DeviceInfo, ...]
    disk_free_bytes: int
    disk_total_bytes: int
    inspection_budget: float


class Methods(Reply, frozen=True, kw_only=True):
    """All methods, built in and installed."""

    methods: tuple[MethodInfo, ...]


class SampleList(Reply, frozen=True, kw_only=True):
    """All bundled samples."""

    samples: tuple[SampleInfo, ...]


class Peeked(Reply, frozen=True, kw_only=True):
    """What a drop would do, in one line, and whether it is refused."""

    text: str
    accepted: bool
    target: Literal["import", "run", "settings", "none"] = "import"


class Planned(Reply, frozen=True, kw_only=True):
    """The plan; arrays: one (3, H, W) uint8 picture for each of `plan.preview_names`."""

    plan: ImportPlan


class CombinePlanned(Reply, frozen=True, kw_only=True):
    """Answer to `PlanCombine`."""

    plan: CombinePlan


class ExportPlanned(Reply, frozen=True, kw_only=True):
    """Answer to `PlanExport`."""

    plan: ExportPlan


class JobAccepted(Reply, frozen=True, kw_only=True):
    """The job is queued."""

    job: str


class DatasetDescribed(Reply, frozen=True, kw_only=True):
    """A dataset."""

    info: DatasetInfo


class Records(Reply, frozen=True, kw_only=True):
    """Rows of a dataset, and how many pass the filter in all."""

    dataset: str
    first: int
    total: int
    rows: tuple[RecordRow, ...]


class Thumbnails(Reply, frozen=True, kw_only=True):
    """Arrays: (N, 3, px, px) uint8; (N, 2) int32 height and width inside the letterbox."""

    dataset: str
    records: tuple[int, ...]
    px: int


class RecordValue(Record, frozen=True, kw_only=True):
    """One field of a record: a text, or an array that follows."""

    spec: FieldSpec
    text: str = ""
    array: int = -1  # place among the arrays that follow; -1 = none
    shape: tuple[int, ...] = ()  # of the whole value
    step: tuple[int, ...] = ()  # along each axis every so-manieth value was sent; () = all were


class RecordOpened(Reply, frozen=True, kw_only=True):
    """One record; its arrays follow."""

    dataset: str
    record: int
    name: str
    values: tuple[RecordValue, ...]


class SettingsChecked(Reply, frozen=True, kw_only=True):
    """Every problem of the settings, and why the method does not fit the data, if so."""

    problems: tuple[tuple[str, str], ...]  # setting, sentence
    misfit: str = ""
    command: str = ""  # the exact `selfsight train …` line


class RunAccepted(Reply, frozen=True, kw_only=True):
    """The run is queued."""

    run: str


class RunHistory(Reply, frozen=True, kw_only=True):
    """What was missed of a run."""

    run: str
    metrics: tuple[MetricsRow, ...]
    events: tuple[RunEvent, ...]
    metrics_lines: int  # known after this
    events_lines: int
    more: bool = False  # ask again
    command: str = ""


class LogTail(Reply, frozen=True, kw_only=True):
    """The end of a run's log."""

    run: str
    text: str


class StoredInspections(Reply, frozen=True, kw_only=True):
    """View → steps, ascending."""

    run: str
    steps: dict[str, tuple[int, ...]]


class Evaluations(Reply, frozen=True, kw_only=True):
    """The newest kept evaluation of each protocol and dataset, oldest first.

    Each is `{run, protocol, metric, value, interval, details, dataset, time}`, as `selfsight evaluate --json` says it.
    """

    run: str
    results: tuple[dict[str, Any], ...]


class InspectionData(Reply, frozen=True, kw_only=True):
    """An inspection; header and arrays follow as frames."""

    run: str
    view: str
    step: int


class FeatureSets(Reply, frozen=True, kw_only=True):
    """What a run keeps."""

    run: str
    sets: tuple[FeatureSet, ...]


class Maps(Reply, frozen=True, kw_only=True):
    """Stored maps, newest first."""

    run: str
    maps: tuple[MapInfo, ...]


class MapData(Reply, frozen=True, kw_only=True):
    """A map; arrays: points (N, D) float32, records (N,) int64, then one (N,) for each of `info.columns`."""

    info: MapInfo


class NeighboursFound(Reply, frozen=True, kw_only=True):
    """The nearest records, nearest first."""

    run: str
    step: int
    dataset: str  # name
    path: str
    query: str  # what was asked for, in words
    records: tuple[int, ...]
    cosines: tuple[float, ...]  # 1 = same direction
    labels: tuple[str, ...]  # "" = none
    names: tuple[str, ...]
    mutual: tuple[bool, ...] = ()  # whether the query is among the k nearest of that record; () = not told
    searched: int  # records
    exact: bool
    seconds: float  # embedding and search


class Neighbourhoods(Reply, frozen=True, kw_only=True):
    """Stored neighbourhoods, newest first."""

    run: str
    neighbourhoods: tuple[NeighbourhoodInfo, ...]


class NeighbourhoodData(Reply, frozen=True, kw_only=True):
    """A neighbourhood; arrays as follows, of N records with k neighbours each.

    records (N,) int64; neighbours (N, k) int64, record numbers, nearest first; cosines (N, k) float32; occurrences
    (N,) int32, of how many others it is among the k nearest; mutual (N,) int32, of its neighbours that have it as
    neighbour; distance (N,) float32, mean of 1 − cosine to its neighbours; agreement (N,) float32, share of neighbours
    with its label, NaN = no label; surprising (P, 2) int64, record numbers of near pairs with different labels;
    their cosines (P,) float32; duplicates (Q, 2) int64; their cosines (Q,) float32; outliers (R,) int64, record
    numbers, the farthest from their neighbours first.
    """

    info: NeighbourhoodInfo


# ── events: supervisor → every attached window ───────────────────────────────────────────────────────


class Event(Message, frozen=True, kw_only=True):
    """Base of events. `seq` counts up by one within `epoch`."""

    seq: int = 0


class RunChanged(Event, frozen=True, kw_only=True):
    """A run's row is new or different."""

    summary: RunSummary


class RunRemoved(Event, frozen=True, kw_only=True):
    """A run is gone."""

    run: str


class MetricsAppended(Event, frozen=True, kw_only=True):
    """Lines `first_line …` of the run's metrics."""

    run: str
    first_line: int
    rows: tuple[MetricsRow, ...]


class EventsAppended(Event, frozen=True, kw_only=True):
    """Lines `first_line …` of the run's events."""

    run: str
    first_line: int
    rows: tuple[RunEvent, ...]


class InspectionStored(Event, frozen=True, kw_only=True):
    """A view of a step was stored in the run."""

    run: str
    view: str
    step: int


class ViewRefused(Event, frozen=True, kw_only=True):
    """A watched view of a run that rests cannot be computed; `text` says why."""

    run: str
    view: str
    text: str


class JobChanged(Event, frozen=True, kw_only=True):
    """A job's row is new or different."""

    job: JobSummary


class DatasetChanged(Event, frozen=True, kw_only=True):
    """A dataset is new or different."""

    info: DatasetInfo


class DatasetRemoved(Event, frozen=True, kw_only=True):
    """A dataset is gone."""

    name: str


class DevicesChanged(Event, frozen=True, kw_only=True):
    """Fresh device and disk figures, at most every two seconds."""

    devices: tuple[DeviceInfo, ...]
    disk_free_bytes: int


class EngineStopping(Event, frozen=True, kw_only=True):
    """The engine ends; `reason` is a sentence."""

    reason: str


class LiveView(Message, frozen=True, kw_only=True):
    """Latest-value-wins delivery for a `Watch`; not an event, has no sequence number; arrays follow."""

    run: str
    view: str
    step: int
    cost_s: float = 0.0


# ── worker ↔ supervisor ──────────────────────────────────────────────────────────────────────────────


class WorkerReady(Message, frozen=True, kw_only=True):
    """A worker process is up. `token` is the secret the supervisor gave it."""

    job: str
    token: str
    pid: int
    device: str = ""


class WorkerMetrics(Message, frozen=True, kw_only=True):
    """Lines were appended to metrics.jsonl."""

    run: str
    first_line: int
    rows: tuple[MetricsRow, ...]


class WorkerEvents(Message, frozen=True, kw_only=True):
    """Lines were appended to events.jsonl."""

    run: str
    first_line: int
    rows: tuple[RunEvent, ...]


class WorkerStored(Message, frozen=True, kw_only=True):
    """An inspection was stored."""

    run: str
    view: str
    step: int


class WorkerView(Message, frozen=True, kw_only=True):
    """A live view that somebody watches; header and arrays follow as frames."""

    run: str
    view: str
    step: int
    cost_s: float = 0.0


class WorkerRefused(Message, frozen=True, kw_only=True):
    """A view that somebody watches cannot be computed."""

    run: str
    view: str
    failure: Failure


class WorkerProgress(Message, frozen=True, kw_only=True):
    """How far a job is."""

    job: str
    done: float
    total: float
    unit: str
    current: str = ""


class WorkerAlive(Message, frozen=True, kw_only=True):
    """Sent every two seconds; without it the worker counts as not responding."""

    job: str


class WorkerAsked(Message, frozen=True, kw_only=True):
    """What the supervisor asks the process that looks at a run; answered by a reply with the question's id."""

    question: FindNeighbours


class WorkerFinished(Message, frozen=True, kw_only=True):
    """The job ended; the process exits next."""

    job: str
    result: dict[str, Any] = {}
    failure: Failure | None = None


class WorkerCommand(Message, frozen=True, kw_only=True):
    """What the supervisor tells a worker."""

    action: Literal["pause", "resume", "stop", "checkpoint", "cancel", "watch", "unwatch", "budget"]
    view: str = ""
    choice: Choice = Choice()
    share: float = 0.02


REQUESTS = (
    Hello, Attach, Replay, Ping, ListMethods, AddMethod, RemoveMethod, ListSamples, Peek, PlanImport, StartImport,
    MakeSample, CancelJob,
    DescribeDataset, ListRecords, FetchThumbnails, OpenRecord, EditRecords, ExamineDataset, PlanCombine, StartCombine,
    PlanExport, StartExport, DeleteDataset, DryRun, CheckSettings, StartRun, ControlRun, ContinueRun, DeleteRun,
    MarkRuns, FetchRun, FetchLog, ListInspections, ListEvaluations, FetchInspection, Watch, Evaluate, HandOn, Project,
    SetBudget, StopEngine,
    MakeFeatures, ListFeatures, DeleteFeatures, MakeMap, ListMaps, FetchMap, DeleteMap, FindNeighbours,
    MakeNeighbourhood, ListNeighbourhoods, FetchNeighbourhood, CompareLayers,
)  # fmt: skip
REPLIES = (
    Welcome, Failed, Done, Snapshot, Methods, SampleList, Peeked, Planned, CombinePlanned, ExportPlanned, JobAccepted,
    DatasetDescribed, Records, Thumbnails, RecordOpened, SettingsChecked, RunAccepted, RunHistory, LogTail,
    StoredInspections, Evaluations, InspectionData, FeatureSets, Maps, MapData, NeighboursFound, Neighbourhoods,
    NeighbourhoodData,
)  # fmt: skip
EVENTS = (
    RunChanged, RunRemoved, MetricsAppended, EventsAppended, InspectionStored, ViewRefused, JobChanged,
    DatasetChanged, DatasetRemoved, DevicesChanged, EngineStopping,
)  # fmt: skip
WORKER_MESSAGES = (
    WorkerReady, WorkerMetrics, WorkerEvents, WorkerStored, WorkerView, WorkerRefused, WorkerProgress,
    WorkerAlive, WorkerFinished, WorkerCommand, WorkerAsked,
)  # fmt: skip
