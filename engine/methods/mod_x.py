"""Mod-X: go on training image and text encoders on one domain after another without their spaces turning apart.

The contrast of pairs is that of CLIP. From the second domain on, the whole matrix of similarities that the model of the
domain before gives to the batch, mismatched pairs included, is kept row by row, where that model was right.

Paper:      Ni, Wei, Tang, Zhuang, Tian. Continual Vision-Language Representation Learning with Off-Diagonal
            Information. ICML 2023. arXiv:2305.07437
Equations:  contrast, selection ("cognition align") and distillation of section 4
Reference:  ZixuanNi/Mod-X: ModX_Training/continue_train_model.py, clip/model.py (no licence; nothing copied; the notes
            this file follows name no commit)
Differs:    words are hashed to numbers instead of cut into CLIP's byte pairs, so that nothing is loaded first.
            Rows that the old model ranked wrongly are left out of the sum; the code copies the new row over the old,
            which comes to the same. Where two captions are equal the old model counts as right. Biases and norms take
            no weight decay. Only the transformer for images is offered, not the residual network. The small presets
            crop a little, where the paper does not; the tasks are classes of a label called "task".
            The claim's tasks call the same things by the same words, as hashed words have no synonyms, and differ in
            their mixture, as COCO and Flickr30K do. With no shape, colour, ground or order of words in common, a model
            of the first task ranked 0.01 to 0.03 of the next one's pairs first among 64, which is chance: nothing was
            kept. Now it is about 0.35, half as many as of its own (one seed; how much tasks share was chosen by this
            number alone).
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.evaluation.retrieval import recalls
from engine.form_fields import CropArea, Depth, Heads, ImagePx, PatchPx, Width, setting
from engine.inspections.attentions import chosen_layer
from engine.inspections.image_text import make_change, make_nearest_texts, make_pair_map, make_rotation, make_similarity
from engine.inspections.text_attention import make_text_attention
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
    Stage,
    Step,
    Views,
)
from engine.networks.text import ClipViT, TextTransformer, hash_words, unit, words_of
from engine.objectives.gather import gather_rows
from engine.objectives.image_text import distil_rows, rotation_degrees
from engine.objectives.paired import cosine_matrix, paired_infonce, rank_one_share
from engine.protocol.inspections import Choice, Embedding, Histogram, Similarity, TextTable
from engine.protocol.messages import PipelineEdge, PipelineNode
from engine.protocol.schema import FieldKind, Need, Schema, assign
from engine.views.crops import CropRecipe, crop_views
from engine.views.pixels import evaluation_view
from engine.views.rng import Rng

NEEDS = (
    Need(kinds=(FieldKind.IMAGE,), channels=(1, 3), smallest_px=8, what="the pictures"),
    Need(kinds=(FieldKind.TEXT,), fields=("text", "caption"), or_any=True, what="what they show, in words"),
    Need(kinds=(FieldKind.TEXT,), name="captions", fields=("captions",), optional=True, what="several texts a picture"),
    Need(kinds=(FieldKind.LABEL,), name="task", fields=("task",), optional=True, what="the tasks of the stream"),
)
FIRST_TEMPERATURE = 0.07
LARGEST_SCALE = math.log(100)
PROBE_SHARE = 0.05


# fmt: off
class ModXConfig(Config, frozen=True, kw_only=True):
    """What a user may change; the defaults suit pictures of about 64 px and short sentences."""

    image_px: ImagePx = 64
    crop_area: CropArea = (0.9, 1.0)
    patch_px: PatchPx = 8
    width: Width = 192
    depth: Depth = 6
    heads: Heads = 3
    text_width: Annotated[int, setting(
        "Text width", "Length of the vector of each word.", "Network", 16, 2048, "channels")] = 192
    text_depth: Annotated[int, setting(
        "Text depth", "Transformer blocks of the text encoder.", "Network", 1, 48, "blocks")] = 4
    text_heads: Annotated[int, setting(
        "Text heads", "Attention heads of each text block; they must divide its width.",
        "Network", 1, 32, "heads")] = 3
    vocabulary: Annotated[int, setting(
        "Vocabulary", "Numbers that words are hashed to; some times more than there are different words.",
        "Network", 64, 200_000, "words", advanced=True)] = 16384
    context: Annotated[int, setting(
        "Longest text", "Words and punctuation marks of a text that are read, start and end included.",
        "Network", 8, 512, "tokens")] = 48
    embedding: Annotated[int, setting(
        "Shared space", "Length of the vectors that pictures and texts are compared by.",
        "Network", 8, 2048, "dim")] = 128
    streams: Annotated[bool, setting(
        "One task after another", "Train on the tasks in their order, without going back. Off: all at once, what "
        "continual training is compared with.", "Target")] = True
    base_share: Annotated[float, setting(
        "First task", "How much longer the first task is trained than each later one.",
        "Target", 0.1, 20.0, "×")] = 2.0
    distil_weight: Annotated[float, setting(
        "Keep similarities", "Weight of the old model's similarities. The term is a sum over the rows of a batch: it "
        "grows with the batch. 0: plain continued training.", "Losses", 0.0, 1000.0, "×")] = 20.0
    selects: Annotated[bool, setting(
        "Only where right", "Keep the similarities of a row only where the old model ranked its partner first. Without "
        "it, the model hardly learns anything new.", "Losses")] = True
    has_diagonal: Annotated[bool, setting(
        "Keep matched pairs, too", "Matched pairs are part of what is kept, as in the released code; the paper writes "
        "of the others.", "Losses", advanced=True)] = True
    probes: Annotated[int, setting(
        "Probe pairs", "Pairs of each task that are set aside for the curve of what is forgotten; never trained on "
        "again.", "Evaluation", 8, 1024, "pairs", advanced=True)] = 64
# fmt: on


def pairs(batch: Batch, config: ModXConfig, rng: Rng) -> dict[str, Tensor]:
    """Return `image` (B, C, s, s) and `text` (B, L) int64; of several captions one is drawn."""
    recipe = CropRecipe(size_px=config.image_px, scale=config.crop_area, ratio=(0.9, 1.1), flip=0.0)
    image = crop_views(batch["image"], rng.spawn("crop"), recipe, 1, spec=batch.specs["image"])[0]
    texts = batch.texts["text"]
    if "captions" in batch:
        draws = rng.spawn("caption").uniform().tolist()
        drawn = zip(texts, batch.texts["captions"], draws, strict=True)
        texts = tuple((several := captions_of(whole, text))[int(draw * len(several))] for text, whole, draw in drawn)
    return {"image": image, "text": hash_words(texts, config.vocabulary, config.context).to(image.device)}


def captions_of(stored: str, text: str) -> tuple[str, ...]:
    """Return the captions of a JSON list; what is none leaves the record's `text`."""
    try:
        found = json.loads(stored)
    except ValueError:
        return (text,)
    return tuple(str(each) for each in found) if isinstance(found, list) and found else (text,)


class Clip(nn.Module):
    """Image and text encoder and the scale of their similarities."""

    def __init__(self, config: ModXConfig, channels: int) -> None:
        super().__init__()
        self.image = ClipViT(
            size_px=config.image_px, patch_px=config.patch_px, channels=channels, dim=config.width,
            depth=config.depth, heads=config.heads, outputs=config.embedding,
        )  # fmt: skip
        self.text = TextTransformer(
            vocabulary=config.vocabulary, context=config.context, dim=config.text_width, depth=config.text_depth,
            heads=config.text_heads, outputs=config.embedding,
        )  # fmt: skip
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / FIRST_TEMPERATURE)))

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit vectors (B, E) float32 of images and texts."""
        return unit(self.image(image)[0]), unit(self.text(text))


class ModX(nn.Module):
    """The model of this task and that of the task before. Views: `image` and `text` of `pairs`."""

    probe_images: Tensor
    probe_texts: Tensor
    recall: Tensor

    def __init__(self, config: ModXConfig, schema: Schema, previous: nn.Module | None = None) -> None:
        super().__init__()
        fields = assign(NEEDS, schema)
        channels = int(fields["image"].shape[0] or 3)
        self.tasks = task_names(config, schema)
        self.network = Clip(config, channels)
        self.old: Clip | None = None
        shape = (len(self.tasks), config.probes)
        self.register_buffer("probe_images", torch.zeros(*shape, channels, config.image_px, config.image_px))
        self.register_buffer("probe_texts", torch.zeros(*shape, config.context, dtype=torch.int64))
        self.register_buffer("recall", torch.zeros(len(self.tasks)), persistent=False)
        self.task = 0
        if isinstance(previous, ModX):
            self.task = previous.task + 1
            self.network.load_state_dict(previous.network.state_dict())
            self.old = copy.deepcopy(previous.network).requires_grad_(requires_grad=False)
            self.probe_images.copy_(previous.probe_images)
            self.probe_texts.copy_(previous.probe_texts)
        self.config = config
        self._probed = -1.0  # progress at the last look at the probes

    @property
    def encoder(self) -> ClipViT:
        """The image encoder."""
        return self.network.image

    def step(self, views: Views, progress: float) -> Step:
        """Return the contrast of pairs and, from the second task on, the distance from the old similarities."""
        config = self.config
        image, text = (gather_rows(rows)[0] for rows in self.network(views["image"], views["text"]))
        cosine = cosine_matrix(image, text)
        parts = {"contrast": paired_infonce(cosine, self.network.log_scale.exp())}
        monitors = {
            "temperature": (-self.network.log_scale.detach()).exp(),
            "caption found first": rank_one_share(cosine),
        }
        if self.old is not None:
            with torch.no_grad():
                before = cosine_matrix(*(gather_rows(rows)[0] for rows in self.old(views["image"], views["text"])))
            options = {"selects": config.selects, "has_diagonal": config.has_diagonal}
            forth, back = distil_rows(cosine, before, **options), distil_rows(cosine.T, before.T, **options)
            if config.distil_weight > 0:
                parts["old similarities"] = config.distil_weight * (forth.loss + back.loss) / 2
            monitors["old model right, image to text"] = forth.is_right.float().mean()
            monitors["old model right, text to image"] = back.is_right.float().mean()
        if self.training:
            self._look_at_probes(progress)
        for number, name in enumerate(self.tasks[: self.task + 1]):
            monitors[f"R@1 of the probes of {name}"] = self.recall[number].clone()
        return Step(torch.stack(tuple(parts.values())).sum(), parts, monitors)

    @torch.no_grad()
    def after_update(self, progress: float) -> None:  # noqa: ARG002
        """Keep the logarithm of the scale between 0 and ln 100."""
        self.network.log_scale.clamp_(0, LARGEST_SCALE)

    def embed(self, batch: Batch) -> Features:
        """Return unit vectors of the images (B, E), and their patches (B, N, D)."""
        pooled, dense = self.network.image(evaluation_view(batch, "image", self.config.image_px))
        return Features(unit(pooled), dense, self.network.image.grid)

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors (B, E) of texts, in the space of `embed`."""
        tokens = hash_words(texts, self.config.vocabulary, self.config.context)
        return unit(self.network.text(tokens.to(self.network.log_scale.device)))

    def pair_vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return unit vectors (B, E) of whole images and of their (first) texts."""
        return self.network(*self.plain(batch))

    def plain(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return whole images (B, C, s, s) and token numbers of their (first) texts (B, L)."""
        image = evaluation_view(batch, "image", self.config.image_px)
        return image, hash_words(batch.texts["text"], self.config.vocabulary, self.config.context).to(image.device)

    @torch.no_grad()
    def _look_at_probes(self, progress: float) -> None:
        """Measure now and then how many probes of every task so far find their caption first."""
        if self._probed <= progress < self._probed + PROBE_SHARE:
            return
        self._probed = progress
        known = self.task + 1
        vectors = self.network(self.probe_images[:known].flatten(0, 1), self.probe_texts[:known].flatten(0, 1))
        image, text = (rows.view(known, -1, rows.shape[1]) for rows in vectors)
        self.recall[:known] = rank_one_share(cosine_matrix(image, text))


def task_names(config: ModXConfig, schema: Schema) -> tuple[str, ...]:
    """Return the tasks of the stream in their order; a single one where there is none, or all are trained at once."""
    task = assign(NEEDS, schema).get("task")
    return task.classes if config.streams and task is not None and task.classes else ("all",)


def set_probes_aside(model: nn.Module, data: Pass, config: ModXConfig, rng: Rng) -> None:  # noqa: ARG001
    """Keep some pairs of the task that begins, as they are."""
    assert isinstance(model, ModX)
    read = [model.plain(batch) for batch in data.batches]
    images, texts = (torch.cat(part) for part in zip(*read, strict=True))
    places = torch.arange(config.probes, device=images.device) % len(images)
    model.probe_images[model.task] = images[places]
    model.probe_texts[model.task] = texts[places]
    data.progress(len(images), len(images), "probe pairs")


def phases(config: ModXConfig, schema: Schema) -> tuple[Stage, ...]:
    """Return a stage for each task, on its records alone; each begins with the weights of the one before."""
    names = task_names(config, schema)
    prepare = Prepare(set_probes_aside, "probe pairs of the task", records=config.probes)
    stages = []
    for number, name in enumerate(names):

        def of_task(_config: Any, columns: Mapping[str, Any], number: int = number) -> Any:
            return np.asarray(columns["task"]) == number

        records = of_task if len(names) > 1 else None
        share = 1.0 if number else config.base_share
        stages.append(Stage(name=name, share=share, views=pairs, model=ModX, prepare=prepare, records=records))
    return tuple(stages)


def _before(model: nn.Module, batch: Batch) -> tuple[ModX, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the model, vectors now, and vectors of the task before (in the first task: the same)."""
    assert isinstance(model, ModX)
    now = model.pair_vectors(batch)
    return model, now, now if model.old is None else model.old(*model.plain(batch))


# fmt: off
def show_similarity(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Similarity:  # noqa: ARG001
    """Return the cosines of images and captions now."""
    _, now, old = _before(model, batch)
    return make_similarity(now, old, batch, view="similarity", title="Similarities now", is_old=False)


def show_old_similarity(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Similarity:  # noqa: ARG001
    """Return the cosines of images and captions of the model before this task; rows it got wrong are named."""
    _, now, old = _before(model, batch)
    return make_similarity(now, old, batch, view="similarity-old", title="Similarities before this task", is_old=True)


def show_change(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Similarity:  # noqa: ARG001
    """Return by how much the softmax of each row of similarities has changed since the task before."""
    _, now, old = _before(model, batch)
    return make_change(now, old, batch)


def show_rotation(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Histogram:  # noqa: ARG001
    """Return by how much images and texts have turned since the task before; apart = spatial disorder."""
    assert isinstance(model, ModX)
    known = model.task + 1
    image, text = model.probe_images[:known].flatten(0, 1), model.probe_texts[:known].flatten(0, 1)
    now = model.network(image, text)
    return make_rotation(now, now if model.old is None else model.old(image, text))


def show_pair_map(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Embedding:  # noqa: ARG001
    """Return images and captions, now and before this task, in two dimensions."""
    _, now, old = _before(model, batch)
    return make_pair_map(now, old, batch)


def show_text_attention(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> Similarity:  # noqa: ARG001
    """Return which words of the first shown caption each of its words attends to."""
    assert isinstance(model, ModX)
    encoder = model.network.text
    layer = chosen_layer(choice, encoder.depth)
    weights = encoder.attention(model.plain(batch)[1][:1], layer)[0]
    return make_text_attention(
        weights, words_of(batch.texts["text"][0])[: config.context - 2], record=int(batch.index[0]),
        layer=layer, layers=encoder.depth, view="text-attention", title="Attention of words",
    )


def show_captions(model: nn.Module, batch: Batch, choice: Choice, config: Any, rng: Rng) -> TextTable:  # noqa: ARG001
    """Return the nearest of the shown captions to every shown image, now and before this task."""
    _, now, old = _before(model, batch)
    return make_nearest_texts(now, old, batch)
# fmt: on


def measure_forgetting(model: nn.Module, data: ClaimData, config: Any, rng: Rng) -> dict[str, float]:  # noqa: ARG001
    """Return recall at 1, the mean of both directions, on the held-out pairs of every task, and rotations."""
    assert isinstance(model, ModX)
    names = data.column("task", "test")
    found: dict[str, float] = {}
    angles: list[tuple[Tensor, Tensor]] = []
    for number in sorted(set(np.asarray(names).tolist())):
        batches = list(data.batches("test", only=np.asarray(names) == number))
        image, text = (torch.cat(rows) for rows in zip(*(model.pair_vectors(batch) for batch in batches), strict=True))
        recall = recalls(image, text, torch.arange(len(text), device=text.device), ks=(1,))
        found[f"R@1 of task {number + 1}"] = (recall["image to text R@1"] + recall["text to image R@1"]) / 2
        if model.old is not None and number == 0:
            before = [model.old(*model.plain(batch)) for batch in batches]
            old_image, old_text = (torch.cat(rows) for rows in zip(*before, strict=True))
            angles.append((rotation_degrees(old_image, image), rotation_degrees(old_text, text)))
    turned = [float((image.mean() - text.mean()).abs()) for image, text in angles]
    return found | {"rotation of images and texts apart, degrees": turned[0] if turned else 0.0}


# fmt: off
METHOD = Method(
    id="mod-x",
    title="Mod-X",
    idea="Image and text encoders that learn one domain after another.",
    paper=Paper(
        title="Continual Vision-Language Representation Learning with Off-Diagonal Information",
        authors="Ni, Wei, Tang, Zhuang, Tian", year=2023, venue="ICML 2023", url="https://arxiv.org/abs/2305.07437",
        # CLIP's ViT-B/32 with its text encoder, as released by OpenAI; the old model is not counted
        parameters={"paper": 151_277_313},
    ),
    families=("contrastive", "self-distillation"),
    needs=NEEDS,
    config=ModXConfig,
    presets={
        "tiny": Preset(
            config={"image_px": 32, "width": 64, "depth": 3, "heads": 4, "text_width": 64, "text_depth": 2,
                    "text_heads": 4, "vocabulary": 1024, "context": 32, "embedding": 32},
            training={"steps": 800, "batch_size": 64, "learning_rate": 1e-3, "weight_decay": 0.1,
                      "warmup_share": 0.2, "betas": (0.9, 0.999)},
        ),
        "small": Preset(training={"steps": 12_000, "batch_size": 128, "learning_rate": 5e-4, "weight_decay": 0.1,
                                  "warmup_share": 0.2, "betas": (0.9, 0.999)}),
        "paper": Preset(
            config={"image_px": 224, "crop_area": (1.0, 1.0), "patch_px": 32, "width": 768, "depth": 12, "heads": 12,
                    "text_width": 512, "text_depth": 12, "text_heads": 8, "vocabulary": 49408, "context": 77,
                    "embedding": 512, "base_share": 19.5, "probes": 32},
            # COCO (113 287 images) first, then fifths of Flickr30K: 35 epochs each at 280 a step
            training={"steps": 17_786, "batch_size": 280, "learning_rate": 5e-4, "weight_decay": 0.1,
                      "warmup_share": 0.2, "betas": (0.9, 0.999)},
        ),
    },
    views=pairs,
    model=ModX,
    stages=phases,
    inspections=(
        Look("similarity", Similarity, "Similarities now", show_similarity,
             "Cosine of every shown image with every shown caption."),
        Look("similarity-old", Similarity, "Similarities before this task", show_old_similarity,
             "The same by the old model; rows that it ranked wrongly are not kept."),
        Look("similarity-change", Similarity, "Change of similarities", show_change,
             "How far the softmax of each row has moved since the task before."),
        Look("rotation", Histogram, "Rotation since the task before", show_rotation,
             "By how much images and texts have turned; if they turn differently, they drift apart."),
        Look("pair-map", Embedding, "Images and texts", show_pair_map,
             "Images and captions, now and before this task, in two dimensions."),
        Look("text-attention", Similarity, "Attention of words", show_text_attention,
             "Which earlier words of the first shown caption each of its words looks at."),
        Look("nearest-captions", TextTable, "Nearest captions", show_captions,
             "The nearest caption to every shown image, now and before this task."),
    ),
    nodes=(
        PipelineNode(id="image", text="image", column=0, row=0, role="data"),
        PipelineNode(id="text", text="text", column=0, row=1, role="data"),
        PipelineNode(id="new", text="two encoders", column=1, row=0, role="encoder"),
        PipelineNode(id="old", text="task before", column=1, row=1, role="encoder"),
        PipelineNode(id="matrix", text="similarities", column=2, row=0, role="target"),
        PipelineNode(id="kept", text="rows it got right", column=2, row=1, role="target"),
        PipelineNode(id="contrast", text="contrast", column=3, row=0, role="loss"),
        PipelineNode(id="distil", text="keep", column=3, row=1, role="loss"),
    ),
    edges=(
        PipelineEdge(source="image", target="new"),
        PipelineEdge(source="text", target="new"),
        PipelineEdge(source="image", target="old"),
        PipelineEdge(source="text", target="old"),
        PipelineEdge(source="new", target="old", dashed=True, text="copied at each task"),
        PipelineEdge(source="new", target="matrix"),
        PipelineEdge(source="old", target="kept", dashed=True),
        PipelineEdge(source="matrix", target="contrast"),
        PipelineEdge(source="matrix", target="distil"),
        PipelineEdge(source="kept", target="distil", dashed=True),
    ),
    good_at="Pairs of images and texts that arrive domain after domain, when old data is no longer there.",
    bad_at="Domains that the old model understands nothing of: it then keeps nothing; small batches say little.",
    claim=Claim(
        statement="On a stream of domains without going back, keeping the old similarities forgets less than plain "
                  "continued training.",
        sample="captions",
        arms=(
            Arm("Mod-X"),
            Arm("plain continued", config={"distil_weight": 0.0}),
            Arm("without selection", config={"selects": False}),
            Arm("all at once", config={"streams": False}),
        ),
        metric=measure_forgetting,
        primary="R@1 of task 1",
        expected="after the last task more than 0.02 above plain continued training on the first task's held-out "
                 "pairs; all at once is the upper bound, and without selection little new is learnt",
        config={"context": 20},  # the longest of these sentences has 17 words and marks, beside start and end
        margin=0.02,
    ),
    suggested_sample="captions",
)
