"""What every encoder gives for free: attention, and dense features as colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.data.batch import Batch, Ragged
from engine.errors import MethodError
from engine.inspections.feature_colours import COLOURS, MOST_POINTS, fit_palette, foreground, segment, thin
from engine.inspections.rollout import block_weights, rolled_weights
from engine.inspections.space import Space, shown_key, space_of
from engine.method import Features, Look, Method
from engine.networks.channels import channel_owners, segment_mean
from engine.protocol.inspections import Attention, Choice, FeatureMap
from engine.protocol.messages import ViewInfo
from engine.protocol.schema import FieldKind, FieldSpec
from engine.views.channels import plain_channels, unit_range
from engine.views.pixels import denormalise, evaluation_view
from engine.views.rng import Rng

PICTURES = (FieldKind.IMAGE, FieldKind.CHANNELS)
SPATIAL = frozenset(
    {
        *PICTURES, FieldKind.VOLUME, FieldKind.CLIP, FieldKind.CINE, FieldKind.VIEWS, FieldKind.PAIR, FieldKind.GRID,
    }
)  # fmt: skip
LARGEST_PICTURE_PX = 512
_FEATURES = "features of the records"


def picture_key(batch: Batch) -> tuple[str, FieldSpec]:
    """Return key and spec of the field to show.

    Raises:
        MethodError: the batch holds no picture.
    """
    for key, spec in batch.specs.items():
        if spec.kind in PICTURES:
            return key, spec
    raise MethodError("This view shows pictures, and the data has none.", "Choose another view.")


def as_picture(image: Tensor) -> np.ndarray[Any, Any]:
    """Return (B, C, H, W) values in 0…1 as float32 with 1 or 3 channels; other counts show their first channels."""
    channels = image.shape[1]
    if channels == 2:
        image = image[:, :1]
    elif channels > 3:
        image = image[:, :3]
    return image.clamp(0, 1).float().cpu().numpy()


def shown_picture(batch: Batch, key: str, size_px: int = 0) -> Tensor:
    """Return the plain pictures of a field, (B, C, s, s), values 0…1; `size_px` 0 keeps their size.

    Where every record has another number of channels, they are brought to 0…1 each and averaged.
    """
    if isinstance(batch.fields[key], Ragged):
        channels = batch.ragged(key)
        size = min(LARGEST_PICTURE_PX, size_px or min(channels.data.shape[1:]))
        owner, _ = channel_owners(channels.lengths, len(channels.data))
        return segment_mean(plain_channels(unit_range(channels.data), size), owner, len(batch)).unsqueeze(1)
    size = min(LARGEST_PICTURE_PX, size_px or batch[key].shape[-1])
    return denormalise(evaluation_view(batch, key, size), batch.specs[key])


def compute_attention(model: nn.Module, batch: Batch, choice: Choice, _config: Any, _rng: Rng) -> Attention:
    """Attention weights of one block for one query token, for the chosen records.

    Raises:
        MethodError: the encoder has no attention.
    """
    encoder: Any = getattr(model, "encoder", None)
    if encoder is None or not hasattr(encoder, "attention"):
        raise MethodError(
            "This run's encoder has no attention to show.",
            "A convolutional network has none; where the method offers a transformer, choose it in the settings.",
        )
    if not hasattr(encoder, "grid"):
        raise MethodError("The tokens of this run's encoder lie on no grid.", "Look at the method's own views.")
    grid = tuple(int(side) for side in encoder.grid)
    inputs, space = _encoder_input(model, batch, grid)
    layers = int(encoder.depth)
    layer = choice.layer if 0 <= choice.layer < layers else layers - 1
    if choice.attention == "rollout":
        weights = rolled_weights(encoder, inputs, batch, layer).unsqueeze(1)
    else:
        weights = block_weights(encoder, inputs, batch, layer).float()
    prefix = int(encoder.prefix)
    tokens = int(np.prod(grid))
    if weights.shape[-1] != prefix + tokens:
        raise MethodError("The tokens of this run's encoder lie on no grid.", "Choose another view.")
    query = choice.query
    if not 0 <= query < tokens:
        query = -1 if prefix else int(np.ravel_multi_index(tuple(side // 2 for side in grid), grid))
    row = weights[:, :, 0 if query < 0 else prefix + query]
    return Attention(
        view="attention",
        title="Attention",
        step=0,
        note=space.note,
        records=batch.index.cpu().numpy(),
        input=as_picture(space.values),
        axes=space.axes,
        steps=space.steps,
        units=space.units,
        grid=grid,
        layer=layer,
        layers=layers,
        heads=int(weights.shape[1]),
        way=choice.attention,
        ways=("block", "rollout"),
        query=query,
        weights=row[:, :, prefix:].cpu().numpy(),
        prefix=row[:, :, :prefix].sum(dim=2).cpu().numpy(),
    )


def _encoder_input(model: nn.Module, batch: Batch, grid: tuple[int, ...]) -> tuple[tuple[Any, ...], Space]:
    """Return what `embed` gives the encoder, and how it is shown.

    Raises:
        MethodError: the model does not say, and the field is no picture that can be guessed.
    """
    given = getattr(model, "encoder_input", None)
    if given is not None:
        inputs = given(batch)
        return inputs if isinstance(inputs, tuple) else (inputs,), space_of(batch, shown_key(batch)[0], len(grid))
    key, spec = shown_key(batch)
    if len(grid) != 2 or spec.kind not in PICTURES:
        raise MethodError(f"There is no general view of attention on {spec.kind}.", "Look at the method's own views.")
    image = evaluation_view(batch, key, grid[0] * int(model.encoder.patch[0]))  # type: ignore[union-attr, index]
    return (image,), Space(denormalise(image, spec), "HW", (1.0, 1.0), ("", ""), "")


def compute_feature_map(model: nn.Module, batch: Batch, choice: Choice, config: Any, _rng: Rng) -> FeatureMap:
    """Three principal components of dense features as colours, foreground and segments, fitted on the shown records.

    Colours of the same records keep their meaning while checkpoints change, where the batch remembers.

    Raises:
        MethodError: the method gives no dense features.
    """
    features, dense = _dense_features(model, batch)
    flat = dense.flatten(0, 1)
    first = min(choice.components, max(0, flat.shape[1] - COLOURS))
    points, fitted_on = _points_to_fit(model, batch, flat, choice.fit_records)
    palette = fit_palette(points, first + COLOURS)
    scores = palette.scores(flat)
    count, grid = len(batch), features.grid
    space = _shown_space(batch, int(getattr(config, "image_px", 0)), len(grid))

    def on_grid(values: Tensor) -> np.ndarray[Any, Any]:
        return values.view(count, -1, COLOURS).transpose(1, 2).reshape(count, COLOURS, *grid).float().cpu().numpy()

    segments = segment(flat, choice.segments).view(count, *grid) if choice.segments > 1 else torch.zeros(0)
    return FeatureMap(
        view="feature-map",
        title="Features as colours",
        step=0,
        note=space.note,
        records=batch.index.cpu().numpy(),
        input=as_picture(space.values),
        axes=space.axes,
        steps=space.steps,
        units=space.units,
        grid=grid,
        colours=on_grid(palette.colours(flat, first)),
        explained=palette.shares[first : first + COLOURS].float().cpu().numpy(),
        fitted_on=fitted_on,
        first=first,
        scores=on_grid(scores[:, first : first + COLOURS]),
        foreground=foreground(scores).view(count, *grid).cpu().numpy(),
        segments=segments.cpu().numpy(),
    )


def _points_to_fit(model: nn.Module, batch: Batch, flat: Tensor, wanted: int) -> tuple[Tensor, int]:
    """Return what components are fitted on (N, E), and of how many records it is: the shown ones, or many."""
    if batch.others is None or batch.remembered is None or wanted <= len(batch):
        return thin(flat), len(batch)
    key = (_FEATURES, wanted)
    if key not in batch.remembered:
        parts = [_dense_features(model, other)[1].flatten(0, 1) for other in batch.others(wanted)]
        every = max(1, sum(map(len, parts)) // MOST_POINTS)
        count = sum(map(len, parts)) * len(batch) // len(flat)
        batch.remembered[key] = torch.cat([part[::every] for part in parts]), count
    points: tuple[Tensor, int] = batch.remembered[key]
    return points


def _dense_features(model: nn.Module, batch: Batch) -> tuple[Features, Tensor]:
    """Return the features of a batch, and the dense ones (B, N, E) as float32.

    Raises:
        MethodError: the method gives none, or they lie on no grid.
    """
    memory = batch.remembered if batch.remembered is not None else {}
    if _FEATURES not in memory:
        memory[_FEATURES] = model.embed(batch)  # type: ignore[operator]
    features: Features = memory[_FEATURES]
    if features.dense is None:
        raise MethodError("This method gives one vector per record and no dense features.", "Choose another view.")
    if features.lengths is not None:
        raise MethodError("The dense features of this method lie on no grid.", "Look at the method's own views.")
    return features, features.dense.float()


def _shown_space(batch: Batch, image_px: int, count: int) -> Space:
    # pictures as `embed` sees them: the centre square at its size
    if count == 2 and any(spec.kind in PICTURES for spec in batch.specs.values()):
        image = shown_picture(batch, picture_key(batch)[0], image_px)
        return Space(image, "HW", (1.0, 1.0), ("", ""), "")
    return space_of(batch, shown_key(batch)[0], count)


GENERIC_LOOKS = (
    Look(
        "attention",
        Attention,
        "Attention",
        compute_attention,
        "Where the chosen patch looks, for every head of a block; the weights of a row sum to 100 %.",
    ),
    Look(
        "feature-map",
        FeatureMap,
        "Features as colours",
        compute_feature_map,
        "The three strongest components of the dense features as red, green and blue.",
    ),
)
EMBEDDING_VIEW = ViewInfo(
    name="embedding",
    kind="embedding",
    title="Embedding map",
    description="A fixed sample of records in two dimensions.",
)


def looks_for(method: Method) -> dict[str, Look]:
    """Return every view that can be computed for a method, by name.

    Its own come first; the generic ones of other names follow, if the method's data lie in space.
    """
    own = {look.name: look for look in method.inspections}
    if not any(kind in SPATIAL for need in method.needs for kind in need.kinds):
        return own
    return own | {look.name: look for look in GENERIC_LOOKS if look.name not in own}


def view_infos(method: Method) -> tuple[ViewInfo, ...]:
    """Return all views of a method as data, the embedding map included."""
    found = tuple(
        ViewInfo(
            name=look.name,
            kind=str(look.kind.__struct_config__.tag),
            title=look.title,
            description=look.description,
        )
        for look in looks_for(method).values()
    )
    return (*found, EMBEDDING_VIEW)
