"""Settings that most methods have, each declared once with unit, range and explanation.

    class MAEConfig(Config, frozen=True, kw_only=True):
        image_px: ImagePx = 64

A method whose explanation differs declares its own.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

_VIEWS = {"group": "Views"}
_NETWORK = {"group": "Network"}

Share = Annotated[float, Meta(ge=0.0, le=1.0)]

ImagePx = Annotated[
    int,
    Meta(
        ge=16,
        le=512,
        title="Picture side",
        description="Pictures are cropped and resized to squares of this side before the network sees them.",
        extra=_VIEWS | {"unit": "px"},
    ),
]
CropArea = Annotated[
    tuple[Annotated[float, Meta(ge=0.01, le=1.0)], Annotated[float, Meta(ge=0.01, le=1.0)]],
    Meta(
        title="Crop area",
        description="Smallest and largest share of the picture that a random crop covers.",
        extra=_VIEWS | {"unit": "of the picture"},
    ),
]
FlipChance = Annotated[
    float,
    Meta(
        ge=0.0,
        le=1.0,
        title="Mirror",
        description="How often a view is mirrored left to right. 0 where sides matter, as in hearts and digits.",
        extra=_VIEWS | {"unit": "of views"},
    ),
]
PatchPx = Annotated[
    int,
    Meta(
        ge=2,
        le=64,
        title="Patch side",
        description="Side of the squares the picture is cut into; it must divide the picture side. "
        "Halving it makes four times as many patches and a step several times slower.",
        extra=_NETWORK | {"unit": "px"},
    ),
]
Width = Annotated[
    int,
    Meta(
        ge=16,
        le=2048,
        title="Encoder width",
        description="Length of the vector for each patch; a multiple of the number of heads and of 4.",
        extra=_NETWORK | {"unit": "channels"},
    ),
]
Depth = Annotated[
    int,
    Meta(
        ge=1,
        le=48,
        title="Encoder depth",
        description="Transformer blocks of the encoder, one after another.",
        extra=_NETWORK | {"unit": "blocks"},
    ),
]
Heads = Annotated[
    int,
    Meta(
        ge=1,
        le=32,
        title="Heads",
        description="Attention heads of each block of the encoder; they must divide its width.",
        extra=_NETWORK | {"unit": "heads"},
    ),
]
DropPath = Annotated[
    float,
    Meta(
        ge=0.0,
        le=0.9,
        title="Drop path",
        description="How often the last block is skipped for a record in training; earlier ones linearly less.",
        extra=_NETWORK | {"unit": "of records", "advanced": True},
    ),
]
