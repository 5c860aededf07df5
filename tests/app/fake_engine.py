"""The wire, faked: what the window sends is kept, what the engine would say is said by the test."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Signal

from engine.protocol import messages
from engine.protocol.forms import FormField
from engine.protocol.inspections import Inspection
from engine.protocol.messages import (
    ClaimInfo,
    DeviceInfo,
    Event,
    Failed,
    Failure,
    JobSummary,
    Message,
    MethodInfo,
    MetricsRow,
    PipelineEdge,
    PipelineNode,
    Preset,
    Request,
    RunEvent,
    RunSpec,
    RunSummary,
    SampleInfo,
    Snapshot,
    ViewInfo,
)
from engine.protocol.schema import DatasetInfo, FieldKind, FieldSpec, Need, Schema

R = TypeVar("R", bound=Request)
Answer = Callable[[Message, list[Any]], None]


class FakeEngine(QObject):
    """Signals and methods of `EngineClient`, without an engine."""

    state_changed = Signal(str)
    snapshot_received = Signal(object)
    event_received = Signal(object)
    view_received = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = "starting"
        self.detail = "The engine is starting."
        self.sent: list[Request] = []
        self.closed = False
        self.starts = 0
        self.automatic: dict[type[Request], Callable[[Any], tuple[Message, list[Any]]]] = {}
        self._then: dict[str, Answer | None] = {}
        self._numbers = itertools.count(1)
        self._seq = itertools.count(1)

    def start(self) -> None:
        self.starts += 1

    def close(self) -> None:
        self.closed = True

    def new_id(self) -> str:
        return f"id-{next(self._numbers)}"

    def send(self, request: Request, then: Answer | None = None) -> None:
        self.sent.append(request)
        self._then[request.id] = then
        answer = self.automatic.get(type(request))
        if answer is not None:
            self.reply(request, *answer(request))

    # ── for tests ────────────────────────────────────────────────────────────────────────────────

    def connect_with(self, snapshot: Snapshot | None = None) -> None:
        """Become connected and deliver a snapshot (the sample one by default)."""
        self.set_state("connected", "The engine runs on this computer.")
        self.snapshot_received.emit(snapshot or sample_snapshot())

    def set_state(self, state: str, detail: str = "") -> None:
        self.state, self.detail = state, detail
        self.state_changed.emit(state)

    def reply(self, request: Request, reply: Message, arrays: list[Any] | None = None) -> None:
        """Answer a request once; the reply's id need not be set."""
        then = self._then.pop(request.id)
        if then is not None:
            then(reply, arrays or [])

    def fail(self, request: Request, message: str, hint: str = "", kind: str = "error") -> None:
        self.reply(request, Failed(id=request.id, failure=Failure(kind=kind, message=message, hint=hint)))

    def answer(self, kind: type[R], make: Callable[[R], tuple[Message, list[Any]]]) -> None:
        """Answer every request of a kind by itself from now on."""
        self.automatic[kind] = make

    def emit_event(self, event: Event) -> None:
        self.event_received.emit(event)

    def emit_view(self, run: str, inspection: Inspection) -> None:
        live = messages.LiveView(run=run, view=inspection.view, step=inspection.step)
        self.view_received.emit(live, inspection)

    def requests(self, kind: type[R]) -> list[R]:
        """Return what was sent of one kind, oldest first."""
        return [request for request in self.sent if isinstance(request, kind)]

    def last(self, kind: type[R]) -> R:
        """Return the newest request of a kind."""
        return self.requests(kind)[-1]


def ready_engine() -> FakeEngine:
    """Return an engine that answers for methods, samples and histories by itself."""
    engine = FakeEngine()
    engine.answer(messages.ListMethods, lambda r: (messages.Methods(id=r.id, methods=sample_methods()), []))
    engine.answer(messages.ListSamples, lambda r: (messages.SampleList(id=r.id, samples=sample_samples()), []))
    engine.answer(messages.ListEvaluations, lambda r: (messages.Evaluations(id=r.id, run=r.run, results=()), []))
    engine.answer(messages.FetchRun, lambda r: (sample_history(r), []))
    return engine


# ── sample content ───────────────────────────────────────────────────────────────────────────────────

LABELS = ("brick", "grass", "gravel", "fur", "starfield", "tissue", "lunar", "retina", "petals", "temple")


def image_schema(channels: int = 3, px: int = 64) -> Schema:
    return Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(channels, px, px)),
            FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=LABELS),
            FieldSpec(name="split", kind=FieldKind.SPLIT, dtype="int64", classes=("train", "val", "test")),
            FieldSpec(name="name", kind=FieldKind.NAME, dtype="str"),
        )
    )


def sample_dataset(name: str = "textures", records: int = 20_000, **changes: Any) -> DatasetInfo:
    values: dict[str, Any] = {
        "name": name,
        "path": f"/work/cardiac-lab/datasets/{name}.h5",
        "records": records,
        "schema": image_schema(),
        "splits": {"train": records * 8 // 10, "val": records // 10, "test": records // 10},
        "labels": {"label": dict.fromkeys(LABELS, records // len(LABELS))},
        "size_bytes": 246_000_000,
        "checksum": "9f2c41d0",
        "provenance": {"source": "sample textures", "made": "2025-11-20T10:00:00Z"},
    }
    return DatasetInfo(**values | changes)


def volume_dataset() -> DatasetInfo:
    volume = FieldSpec(name="volume", kind=FieldKind.VOLUME, shape=(1, 96, 176, 176), dtype="int16", unit="HU")
    return sample_dataset("thorax-ct", 1_920, schema=Schema(fields=(volume,)), labels={}, size_bytes=98_000_000_000)


def sample_spec(method: str = "cae", dataset: str = "textures", **changes: Any) -> RunSpec:
    values: dict[str, Any] = {
        "name": f"2025-11-20-{method}-{dataset}-3",
        "method": method,
        "dataset": f"/work/cardiac-lab/datasets/{dataset}.h5",
        "config": {"mask_ratio": 0.5, "depth": 4},
        "training": {"steps": 5000, "batch_size": 64, "learning_rate": 1.5e-4},
        "created": "2025-11-20T13:57:00Z",
        "device": "cuda:0",
    }
    return RunSpec(**values | changes)


def sample_run(run: str = "2025-11-20-cae-textures-3", state: Any = "training", **changes: Any) -> RunSummary:
    values: dict[str, Any] = {
        "run": run,
        "spec": sample_spec(),
        "state": state,
        "step": 1240,
        "steps": 5000,
        "saved_step": 1200,
        "latest": {
            "loss": 0.388,
            "loss/reconstruction": 0.288,
            "loss/alignment": 0.1,
            "quality/knn": 0.714,
            "quality/rank": 84.0,
            "speed/samples_per_second": 312.0,
        },
        "spark": tuple(1.2 * math.exp(-i / 10) + 0.3 for i in range(40)),
        "started": "2025-11-20T13:57:00Z",
        "seconds": 255.0,
        "device": "cuda:0",
        "folder": f"/work/cardiac-lab/runs/{run}",
    }
    return RunSummary(**values | changes)


def sample_rows(count: int = 248, every: int = 5) -> tuple[MetricsRow, ...]:
    rows = []
    for number in range(count):
        step = number * every
        wave = 0.02 * math.sin(number * 1.7) + 0.015 * math.cos(number * 0.61)
        reconstruction = 0.28 + 0.8 * math.exp(-step / 300) + wave
        alignment = 0.1 + 0.3 * math.exp(-step / 280) + wave / 2
        values: dict[str, float | None] = {
            "loss": reconstruction + alignment,
            "loss/reconstruction": reconstruction,
            "loss/alignment": alignment,
        }
        rows.append(MetricsRow(step=step, time_s=step * 0.205, values=values))
    return tuple(rows)


def sample_events() -> tuple[RunEvent, ...]:
    return (
        RunEvent(time="2025-11-20T13:57:01.000Z", step=0, kind="state", text="Training began on cuda:0."),
        RunEvent(
            time="2025-11-20T14:05:02.000Z",
            step=600,
            kind="checkpoint",
            level="ok",
            text="Checkpoint saved at step 600, verified, 86 MB.",
            data={"step": 600},
        ),
        RunEvent(
            time="2025-11-20T14:06:38.000Z",
            step=1071,
            kind="warning",
            level="warn",
            text="Gradient norm 8.4 at step 1071, clipped to 1.0; 1 of 1240 steps.",
        ),
        RunEvent(
            time="2025-11-20T14:07:05.000Z",
            step=1200,
            kind="checkpoint",
            level="ok",
            text="Checkpoint saved at step 1200, verified, 86 MB.",
            data={"step": 1200},
        ),
    )


def sample_history(request: messages.FetchRun) -> messages.RunHistory:
    rows, events = sample_rows(), sample_events()
    return messages.RunHistory(
        id=request.id,
        run=request.run,
        metrics=rows[request.metrics_after :],
        events=events[request.events_after :],
        metrics_lines=len(rows),
        events_lines=len(events),
        command="selfsight train --method cae --data textures.h5",
    )


def sample_devices() -> tuple[DeviceInfo, ...]:
    gib = 2**30
    return (
        DeviceInfo(
            id="cuda:0",
            name="RTX A5000",
            memory_bytes=24 * gib,
            used_bytes=int(17.8 * gib),
            busy_percent=96,
            run="2025-11-20-cae-textures-3",
        ),
        DeviceInfo(id="cpu", name="CPU, 16 cores", memory_bytes=64 * gib, used_bytes=12 * gib, busy_percent=20),
    )


def sample_snapshot(**changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "id": "snapshot",
        "epoch": "epoch-1",
        "seq": 0,
        "workspace": "/work/cardiac-lab",
        "datasets": (sample_dataset(), volume_dataset()),
        "runs": (
            sample_run(),
            sample_run(
                "2025-11-19-mae-textures-1",
                "finished",
                spec=sample_spec("mae", name="2025-11-19-mae-textures-1"),
                step=5000,
                saved_step=5000,
                seconds=2460.0,
            ),
            sample_run("2025-11-20-dino-textures-1", "queued", spec=sample_spec("dino"), step=0, saved_step=-1),
        ),
        "jobs": (
            JobSummary(
                job="job-1",
                kind="import",
                title="Importing slides-2024",
                state="running",
                done=373,
                total=612,
                unit="files",
                current="slide-0373.tif",
                rate=1.3,
                seconds_left=184,
                subject="slides-2024",
            ),
        ),
        "devices": sample_devices(),
        "disk_free_bytes": 412_000_000_000,
        "disk_total_bytes": 1_000_000_000_000,
        "inspection_budget": 0.02,
    }
    return Snapshot(**values | changes)


def empty_snapshot() -> Snapshot:
    return sample_snapshot(datasets=(), runs=(), jobs=())


def sample_samples() -> tuple[SampleInfo, ...]:
    return (
        SampleInfo(
            name="textures",
            kinds=("image", "label"),
            records=20_000,
            real=True,
            description="Ten kinds of surface, cut from photographs.",
            size_bytes=246_000_000,
        ),
        SampleInfo(
            name="shapes-3d",
            kinds=("volume",),
            records=500,
            real=False,
            description="Blobs and rods in noise.",
            size_bytes=131_000_000,
        ),
        SampleInfo(name="tracks", kinds=("points",), records=2_000, real=False, description="Particle tracks."),
    )


def sample_form() -> tuple[FormField, ...]:
    return (
        FormField(
            name="mask_ratio",
            title="Mask share",
            kind="float",
            default=0.75,
            minimum=0.1,
            maximum=0.9,
            unit="of patches",
            description="How many of the patches the encoder never sees. More makes the task harder.",
            group="Views",
        ),
        FormField(
            name="mask_shape",
            title="Mask shape",
            kind="choice",
            default="blocks",
            choices=("blocks", "random", "grid"),
            description="How hidden patches lie together.",
            group="Views",
        ),
        FormField(
            name="crop_area",
            title="Crop area",
            kind="tuple",
            item_kind="float",
            length=2,
            default=[0.2, 1.0],
            minimum=0.0,
            maximum=1.0,
            unit="of the image",
            description="Smallest and largest share of the picture that a crop shows.",
            group="Views",
        ),
        FormField(
            name="depth",
            title="Regressor depth",
            kind="int",
            default=4,
            minimum=1,
            maximum=12,
            unit="blocks",
            description="How many cross-attention blocks predict the hidden representation.",
            group="Network",
        ),
        FormField(
            name="key_bias",
            title="Bias on keys",
            kind="bool",
            default=True,
            description="Whether keys have a bias of their own.",
            group="Network",
            advanced=True,
        ),
        FormField(
            name="positions",
            title="Positions",
            kind="str",
            default="sine",
            description="How a token knows its place.",
            group="Network",
            advanced=True,
        ),
    )


def sample_training_form() -> tuple[FormField, ...]:
    return (
        FormField(
            name="steps", title="Steps", kind="int", default=5000, minimum=1, description="Updates.", group="Training"
        ),
        FormField(
            name="batch_size",
            title="Batch size",
            kind="int",
            default=64,
            minimum=1,
            maximum=65536,
            unit="images",
            description="How many records one update sees.",
            group="Training",
        ),
        FormField(
            name="learning_rate",
            title="Learning rate",
            kind="float",
            default=1.5e-4,
            minimum=1e-6,
            maximum=1e-2,
            unit="at batch 256",
            description="Step length of the optimiser.",
            group="Training",
        ),
    )


def sample_method(method: str = "cae", title: str = "CAE", **changes: Any) -> MethodInfo:
    values: dict[str, Any] = {
        "id": method,
        "title": title,
        "idea": "Predicts the representation of hidden patches before decoding them.",
        "year": 2023,
        "venue": "IJCV",
        "paper": "Context autoencoder for self-supervised representation learning",
        "authors": "Chen, Ding, Wang et al.",
        "url": "https://arxiv.org/abs/2202.03026",
        "families": ("masked modelling",),
        "needs": (Need(kinds=(FieldKind.IMAGE,), channels=(1, 3), smallest_px=16),),
        "form": sample_form(),
        "training_form": sample_training_form(),
        "presets": {
            "tiny": Preset(config={"depth": 1}, training={"steps": 200, "batch_size": 32}),
            "small": Preset(config={"mask_ratio": 0.5}, training={"batch_size": 64}),
            "paper": Preset(config={"depth": 4}, training={"batch_size": 2048, "steps": 500_000}),
        },
        "views": (
            ViewInfo(name="reconstruction", kind="reconstruction", title="Reconstruction"),
            ViewInfo(name="attention", kind="attention", title="Attention"),
            ViewInfo(name="embedding", kind="embedding", title="Embedding map"),
        ),
        "nodes": (
            PipelineNode(id="x", text="picture", column=0, row=0.5, role="data"),
            PipelineNode(id="e", text="encoder", column=1, row=0, role="encoder"),
            PipelineNode(id="t", text="target", column=1, row=1, role="target"),
            PipelineNode(id="r", text="regressor", column=2, row=0, role="predictor"),
            PipelineNode(id="d", text="decoder", column=3, row=0, role="decoder"),
        ),
        "edges": (
            PipelineEdge(source="x", target="e"),
            PipelineEdge(source="x", target="t"),
            PipelineEdge(source="e", target="r"),
            PipelineEdge(source="r", target="d"),
            PipelineEdge(source="t", target="r", dashed=True),
        ),
        "good_at": "Dense features from few labels.",
        "bad_at": "Very small images.",
        "claim": ClaimInfo(
            statement="Alignment in representation space helps.",
            metric="linear probe accuracy",
            arms=("with alignment", "without"),
            expected="with alignment > without",
        ),
    }
    return MethodInfo(**values | changes)


def sample_methods() -> tuple[MethodInfo, ...]:
    volume = (Need(kinds=(FieldKind.VOLUME,)),)
    return (
        sample_method(),
        sample_method("mae", "MAE", year=2022, venue="CVPR", idea="Encodes a quarter of the patches."),
        sample_method("dino", "DINO", year=2021, venue="ICCV", families=("self-distillation",)),
        sample_method("alice", "Alice", venue="ICCV", needs=volume, idea="Aligns one body part of two patients."),
    )
