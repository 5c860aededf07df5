"""Views of volumes, clips and cines: the space under them, and the general views on grids of any number of axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.data.batch import Batch, Places
from engine.errors import MethodError
from engine.inspections.generic import compute_attention, compute_feature_map
from engine.inspections.reconstructions import make_reconstruction
from engine.inspections.space import LARGEST_SIDE, space_of
from engine.method import Features
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec
from engine.views.rng import Rng

CLIP = FieldSpec(name="clip", kind=FieldKind.CLIP, shape=(6, 3, 8, 12))
VOLUME = FieldSpec(
    name="ct", kind=FieldKind.VOLUME, shape=(1, 6, 8, 12), dtype="int16", unit="HU", spacing_mm=(4, 1, 2)
)


def batch_of(spec: FieldSpec, key: str, **fields: Tensor) -> Batch:
    """Return two random records."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 250, (2, *(side or 1 for side in spec.shape)), generator=generator)
    values = values.to(torch.uint8 if spec.dtype == "uint8" else torch.int16)
    return Batch({key: values, **fields}, torch.arange(2), {key: spec})


class Cubes(nn.Module):
    """Means of 2 × 4 × 4 blocks as tokens, with an attention that looks at equals."""

    grid, prefix, depth = (3, 2, 3), 0, 1

    def __init__(self) -> None:
        super().__init__()
        self.encoder = self

    def tokens(self, batch: Batch) -> Tensor:
        """Return (B, 18, 3)."""
        clip = batch["clip"].float().movedim(2, 1) / 255
        return nn.functional.avg_pool3d(clip, (2, 4, 4)).flatten(2).transpose(1, 2)

    def encoder_input(self, batch: Batch) -> Tensor:
        """Return the tokens."""
        return self.tokens(batch)

    def attention(self, tokens: Tensor, layer: int) -> Tensor:
        """Return softmax weights (B, 1, N, N)."""
        return (tokens @ tokens.transpose(1, 2)).softmax(dim=2).unsqueeze(1)

    def embed(self, batch: Batch) -> Features:
        """Return the tokens as dense features."""
        tokens = self.tokens(batch)
        return Features(tokens.mean(dim=1), tokens, self.grid)


def test_that_a_clip_is_shown_along_time_with_seconds() -> None:
    times = torch.arange(6).double().expand(2, 6) / 25
    space = space_of(batch_of(CLIP, "clip", clip_times_s=times), "clip")
    assert space.values.shape == (2, 3, 6, 8, 12)
    assert (space.axes, space.units) == ("THW", ("s", "", ""))
    assert space.steps == pytest.approx((0.04, 1, 1))


def test_that_a_volume_is_shown_in_millimetres_and_says_how_its_values_were_scaled() -> None:
    batch = batch_of(VOLUME, "volume")
    space = space_of(batch, "volume")
    assert (space.axes, space.steps, space.units) == ("DHW", (4.0, 1.0, 2.0), ("mm",) * 3)
    assert "HU" in space.note
    assert float(space.values.min()) == 0
    assert float(space.values.max()) == 1
    flat = batch["volume"].flatten(1).float()
    order = flat.argsort(dim=1)
    assert (space.values.flatten(1).gather(1, order).diff(dim=1) >= 0).all()


def test_that_large_volumes_are_shown_more_coarsely_and_steps_grow_alike() -> None:
    spec = FieldSpec(name="v", kind=FieldKind.VOLUME, shape=(1, 4, 4, 2 * LARGEST_SIDE), spacing_mm=(1, 1, 0.5))
    space = space_of(batch_of(spec, "volume"), "volume")
    assert space.values.shape == (2, 1, 4, 4, LARGEST_SIDE)
    assert space.steps == (1.0, 1.0, 1.0)


def test_that_the_stride_of_a_window_counts() -> None:
    batch = batch_of(VOLUME, "volume")
    zeros = torch.zeros(2, 1, 1, dtype=torch.int64)
    places = {"volume": Places("D", (6,), zeros, torch.full((2, 1), 3.0), zeros + 6, zeros[:, 0] + 18)}
    strided = Batch(batch.fields, batch.index, batch.specs, places=places)
    assert space_of(strided, "volume").steps == (12.0, 1.0, 2.0)


def test_that_attention_and_features_lie_on_a_grid_of_three_axes() -> None:
    model, batch = Cubes(), batch_of(CLIP, "clip")
    rng: Any = Rng(0, 0, batch.index)
    attention = compute_attention(model, batch, Choice(query=4), None, rng)
    assert attention.grid == (3, 2, 3)
    assert attention.axes == "THW"
    assert attention.input.shape == (2, 3, 6, 8, 12)
    expected = model.attention(model.tokens(batch), 0)[:, :, 4]
    assert np.allclose(attention.weights, expected.numpy())
    features = compute_feature_map(model, batch, Choice(), None, rng)
    assert features.colours.shape == (2, 3, 3, 2, 3)
    assert features.input.shape == (2, 3, 6, 8, 12)


def test_that_a_model_that_does_not_say_what_its_encoder_gets_has_no_attention_on_clips() -> None:
    model = Cubes()
    model.encoder_input = None  # type: ignore[assignment, method-assign]
    batch = batch_of(CLIP, "clip")
    with pytest.raises(MethodError, match="attention on clip"):
        compute_attention(model, batch, Choice(), None, Rng(0, 0, batch.index))


def test_that_reconstructions_have_any_number_of_axes() -> None:
    truth = torch.rand(2, 1, 4, 6, 8, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(2, 12, dtype=torch.bool)
    mask[:, 5] = True  # block (0, 1, 1) of 2 × 3 × 2
    found = make_reconstruction(
        view="r", title="", note="", records=torch.arange(2), truth=truth, output=torch.zeros_like(truth), mask=mask,
        grid=(2, 3, 2), axes="THW", units=("s", "mm", "mm"), steps=(0.1, 1.0, 1.0),
    )  # fmt: skip
    index = np.unravel_index(5, (2, 3, 2))
    block = tuple(slice(place * size, (place + 1) * size) for place, size in zip(index, (2, 2, 4), strict=True))
    assert (found.output[:, 0][(slice(None), *block)] == 0).all()
    hidden = truth[:, 0][(slice(None), *block)]
    expected = -10 * torch.log10(hidden.flatten(1).square().mean(dim=1))
    assert np.allclose(found.psnr_db, expected)
