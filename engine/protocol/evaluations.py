"""Evaluation protocols as data: what each is called, what it answers, and which data and methods it fits.

The window lists them from here without torch; how each is measured stands in `engine.evaluation.protocols`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from engine.protocol.schema import COMPANIONS, DatasetInfo, FieldKind, FieldSpec, Need, Schema, assign

MOST_NUMBERS = 16  # entries of a number that is worth predicting from one vector


class ProtocolInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol."""

    name: str  # as in `selfsight evaluate --protocol`
    title: str
    answers: str  # the question, as a sentence
    has_labels: bool = False  # needs a label of at least two classes
    held_out: bool = False  # needs records that are not trained on
    trains: bool = False  # needs records to train a probe on
    identities: bool = False  # needs a label, or groups that name an identity
    numbers: bool = False  # needs numbers of each record
    needs: tuple[Need, ...] = ()  # further fields
    pairs: bool = False  # of methods that compare pictures or volumes with texts
    generates: bool = False  # of methods that make samples
    lower_is_better: bool = False
    form: Literal["share", "number"] = "share"  # how the value is written


_MASK = Need(kinds=(FieldKind.MASK,), what="the class of every pixel")
_VIEWS = Need(kinds=(FieldKind.PAIR, FieldKind.VIEWS), name="views")
_DEPTH = Need(kinds=(FieldKind.NUMBER,), of="views", suffix="depth")
_CAMERAS = tuple(Need(kinds=(FieldKind.NUMBER,), of="views", suffix=suffix) for suffix in ("intrinsics", "poses"))
IDENTITIES = ("identity", "person", "subject")
"""Names of groups that say who or what a record shows."""
TAKEN_BY = ("camera", "video", "slide", "scene", "plate", "site")
"""Names of fields that say by what a record was taken: retrieval leaves out what is too easy to find."""

EVALUATIONS: tuple[ProtocolInfo, ...] = (
    ProtocolInfo(
        name="knn", title="kNN, k = 20", has_labels=True, held_out=True, trains=True,
        answers="Do the nearest neighbours of a record belong to its class?",
    ),
    ProtocolInfo(
        name="linear", title="Linear probe (LBFGS)", has_labels=True, held_out=True, trains=True,
        answers="How well do straight borders between features tell the classes apart?",
    ),
    ProtocolInfo(
        name="linear-sgd", title="Linear probe (SGD, 13 rates)", has_labels=True, held_out=True, trains=True,
        answers="The same, by the recipe of DINOv2: a head per learning rate, the best on held-out records.",
    ),
    ProtocolInfo(
        name="ridge", title="Ridge probe", has_labels=True, held_out=True, trains=True,
        answers="The linear probe in closed form, as it is measured while a run trains.",
    ),
    ProtocolInfo(
        name="few-shot", title="Few-shot and label efficiency", has_labels=True, held_out=True, trains=True,
        answers="How far do 1, 5 or 10 labels of each class go?",
    ),
    ProtocolInfo(
        name="fine-tuning", title="Fine-tuning", has_labels=True, held_out=True, trains=True,
        answers="How good does the whole network get when it is trained further with labels?",
    ),
    ProtocolInfo(
        name="segmentation", title="Segmentation, linear", held_out=True, trains=True, needs=(_MASK,),
        answers="What does a place of a picture know of the class of its pixels?",
    ),
    ProtocolInfo(
        name="segmentation-knn", title="Segmentation, kNN", held_out=True, trains=True, needs=(_MASK,),
        answers="Do the places that resemble a place most belong to its class?",
    ),
    ProtocolInfo(
        name="propagation", title="Label propagation in clips", held_out=True,
        needs=(Need(kinds=(FieldKind.CLIP,)), _MASK),
        answers="Can a mask be followed through a clip by features alone?",
    ),
    ProtocolInfo(
        name="parts", title="Part correspondence", held_out=True, needs=(_MASK,),
        answers="Is the place of another record that resembles a part most the same part?",
    ),
    ProtocolInfo(
        name="correspondence", title="Correspondence of views", held_out=True, needs=(_VIEWS, _DEPTH, *_CAMERAS),
        answers="Is the place of the other view that resembles a place most the true one?",
    ),
    ProtocolInfo(
        name="retrieval", title="Retrieval", held_out=True, identities=True,
        answers="Is what belongs together found first?",
    ),
    ProtocolInfo(
        name="conditional-retrieval", title="Conditional retrieval (GeneCIS)", held_out=True, pairs=True,
        needs=(
            Need(kinds=(FieldKind.TEXT,), name="condition", fields=("condition",)),
            Need(kinds=(FieldKind.LABEL,), name="role", fields=("role",)),
            Need(kinds=(FieldKind.GROUP,), name="template", fields=("template",)),
        ),
        answers="Given a picture and words that change it, is the picture that is meant found first?",
    ),
    ProtocolInfo(
        name="zero-shot", title="Zero-shot classification", has_labels=True, held_out=True, pairs=True,
        answers="Is the name of its class the text that fits a record best?",
    ),
    ProtocolInfo(
        name="cross-modal", title="Cross-modal retrieval", held_out=True, pairs=True,
        answers="Does a record find its text, and a text its record?",
    ),
    ProtocolInfo(
        name="regression", title="Regression of numbers", held_out=True, trains=True, numbers=True, form="number",
        answers="How much of a number (ejection fraction, pose, energy) can be read off the features?",
    ),
    ProtocolInfo(
        name="depth", title="Depth", held_out=True, trains=True, needs=(_VIEWS, _DEPTH), form="number",
        lower_is_better=True, answers="How far off is the depth of a place that a linear map reads off its features?",
    ),
    ProtocolInfo(
        name="flow", title="Flow between views", held_out=True, needs=(_VIEWS, _DEPTH, *_CAMERAS), form="number",
        lower_is_better=True, answers="By how many pixels does matching by features miss where a place moved?",
    ),
    ProtocolInfo(
        name="clustering", title="Clustering", held_out=True,
        answers="Do clusters found without labels agree with the classes?",
    ),
    ProtocolInfo(
        name="anomaly", title="Anomaly score", held_out=True, trains=True,
        answers="Does what was never seen lie far from what was?",
    ),
    ProtocolInfo(
        name="generation", title="Generated samples", held_out=True, generates=True, form="number",
        lower_is_better=True, answers="Are the features of generated samples spread like those of real ones?",
    ),
    ProtocolInfo(
        name="health", title="Health without labels", form="number",
        answers="How many directions are used, how evenly, and is anything dead?",
    ),
)  # fmt: skip

BY_NAME = {info.name: info for info in EVALUATIONS}


def numbers_of(schema: Schema) -> tuple[FieldSpec, ...]:
    """Return the fields whose numbers describe a whole record: scalars and short vectors, no companions."""
    names = {field.name for field in schema.fields}

    def is_companion(name: str) -> bool:
        return any(name == f"{owner}_{suffix}" for owner in names for suffix in COMPANIONS)

    found = []
    for field in schema.fields:
        size = 1
        for side in field.shape:
            size *= side or MOST_NUMBERS + 1
        if field.kind is FieldKind.NUMBER and size <= MOST_NUMBERS and not is_companion(field.name):
            found.append(field)
    return tuple(found)


def identity_of(schema: Schema) -> FieldSpec | None:
    """Return the field that says what belongs together: a group that names an identity, or else the label."""
    named = (schema.get(name) for name in IDENTITIES)
    group = next((field for field in named if field is not None and field.kind is FieldKind.GROUP), None)
    return group or schema.first(FieldKind.LABEL)


def unfit(info: ProtocolInfo, needs: Sequence[Need], families: Sequence[str], data: DatasetInfo) -> str:
    """Return why a protocol cannot be measured, as a sentence, or "".

    Args:
        info: the protocol.
        needs: of the method.
        families: of the method.
        data: what the run is evaluated on.
    """
    if info.pairs and not any(FieldKind.TEXT in need.kinds and not need.optional for need in needs):
        return "For methods that compare pictures or volumes with texts; this one reads no texts."
    if info.generates and "generative" not in families:
        return "For generative methods, which make samples; this one makes none."
    return _missing_field(info, data) or _missing_records(info, data)


def _missing_field(info: ProtocolInfo, data: DatasetInfo) -> str:
    schema, label = data.schema, data.schema.first(FieldKind.LABEL)
    if info.has_labels and (label is None or len(label.classes) < 2):
        return f"{data.name} has no label of two or more classes."
    if info.identities and identity_of(schema) is None:
        return f"{data.name} has neither labels nor groups that say what belongs together."
    if info.numbers and not numbers_of(schema):
        return f"{data.name} has no number to predict."
    found = assign(info.needs, schema)
    for need in info.needs:
        if need.key not in found:
            what = f" ({need.what})" if need.what else ""
            return f"{data.name} has no {need.wanted}{what}."
    return ""


def _missing_records(info: ProtocolInfo, data: DatasetInfo) -> str:
    if info.held_out and not (data.splits.get("val", 0) + data.splits.get("test", 0)):
        return f"{data.name} has no held-out records; set splits on the Data page."
    if info.trains and not data.splits.get("train", 0):
        return f"{data.name} has no training records; set splits on the Data page."
    return ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number that a verdict rests on."""

    name: str  # "effective rank"
    value: float
    limit: float | None = None  # what it was compared with; None = told for its own sake


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a run, why one thinks so, and what to try; the data of a "health" event."""

    kind: Literal[
        "collapse", "dimensional collapse", "dead prototypes", "divergence", "copied teacher",
        "overfitting to the task", "leakage of the target", "recovered",
    ]  # fmt: skip
    level: Literal["ok", "warn", "error"]
    sentence: str
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[str, ...] = ()  # each an imperative sentence

    @property
    def text(self) -> str:
        """The sentence and what to try."""
        return " ".join((self.sentence, *self.remedies))
