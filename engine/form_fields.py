"""Settings that most methods have, each declared once, and a short way to declare the others.

class MAEConfig(Config, frozen=True, kw_only=True):
    image_px: ImagePx = 64
    mask_share: Annotated[float, setting("Mask share", "How many …", "Views", 0.05, 0.95, "of patches")] = 0.75
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Group = Literal["Import", "Views", "Network", "Target", "Losses"]


def setting(
    title: str,
    description: str,
    group: Group,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    *,
    advanced: bool = False,
) -> Meta:
    """Return the annotation of a setting: what the form shows, and the range that it accepts, ends included."""
    return Meta(
        ge=low,
        le=high,
        title=title,
        description=description,
        extra={"group": group, "unit": unit, "advanced": advanced},
    )


ImagePx = Annotated[
    int,
    setting(
        "Picture side",
        "Pictures are cropped and resized to squares of this side before the network sees them.",
        "Views", 16, 512, "px",
    ),
]  # fmt: skip
CropArea = Annotated[
    tuple[Annotated[float, Meta(ge=0.01, le=1.0)], Annotated[float, Meta(ge=0.01, le=1.0)]],
    setting(
        "Crop area",
        "Smallest and largest share of the picture that a random crop covers.",
        "Views", unit="of the picture",
    ),
]  # fmt: skip
FlipChance = Annotated[
    float,
    setting(
        "Mirror",
        "How often a view is mirrored left to right. 0 where sides matter, as in hearts and digits.",
        "Views", 0.0, 1.0, "of views",
    ),
]  # fmt: skip
ColourStrength = Annotated[
    float,
    setting(
        "Colour strength",
        "How much brightness, contrast, saturation and hue change: 1 as in the paper, 0 not at all.",
        "Views", 0.0, 2.0, "×",
    ),
]  # fmt: skip
GreyChance = Annotated[float, setting("Grey", "How often a view loses its colours.", "Views", 0.0, 1.0, "of views")]
BlurChances = Annotated[
    tuple[Share, Share, Share],
    setting(
        "Blur",
        "How often the first large, the second large and the small crops are blurred; the paper: 1, 0.1, 0.5.",
        "Views", unit="of views", advanced=True,
    ),
]  # fmt: skip
SolariseChance = Annotated[
    float,
    setting(
        "Solarise", "How often bright pixels of the second large crop are inverted.",
        "Views", 0.0, 1.0, "of views", advanced=True,
    ),
]  # fmt: skip
SmallCropArea = Annotated[
    tuple[Share, Share],
    setting(
        "Small crop area", "Smallest and largest share of the picture that a small crop covers.",
        "Views", unit="of the picture",
    ),
]  # fmt: skip
PatchPx = Annotated[
    int,
    setting(
        "Patch side",
        "Side of the squares the picture is cut into; it must divide the picture side. Halving it makes four times as "
        "many patches and a step several times slower.",
        "Network", 2, 64, "px",
    ),
]  # fmt: skip
Width = Annotated[
    int,
    setting(
        "Encoder width",
        "Length of the vector for each patch; a multiple of the number of heads and of 4.",
        "Network", 16, 2048, "channels",
    ),
]  # fmt: skip
Depth = Annotated[
    int,
    setting("Encoder depth", "Transformer blocks of the encoder, one after another.", "Network", 1, 48, "blocks"),
]
Heads = Annotated[
    int,
    setting(
        "Heads",
        "Attention heads of each block of the encoder; they must divide its width.",
        "Network", 1, 32, "heads",
    ),
]  # fmt: skip
DropPath = Annotated[
    float,
    setting(
        "Drop path",
        "How often the last block is skipped for a record in training; earlier ones linearly less.",
        "Network", 0.0, 0.9, "of records", advanced=True,
    ),
]  # fmt: skip
PooledFrom = Annotated[
    Literal["mean", "class"],
    setting(
        "Features from",
        "The vector of a picture: the mean of its patch tokens, or its class token.",
        "Network", advanced=True,
    ),
]  # fmt: skip
Temperature = Annotated[
    float,
    setting(
        "Temperature",
        "Divides similarities before the softmax; smaller makes the loss care about the hardest cases only.",
        "Losses", 0.01, 2.0,
    ),
]  # fmt: skip
LocalLevel = Annotated[
    Literal["off", "mild", "medium", "strong"],
    setting(
        "Local changes",
        "Turns, scales, shifts and colours that vary smoothly over a view, as Gaussian random fields. Mild ones help "
        "where parts of things bend and light is uneven; strong ones destroy what is seen.",
        "Views", advanced=True,
    ),
]  # fmt: skip
LocalLength = Annotated[
    float,
    setting(
        "Local length",
        "How far apart two places change alike; 1 is the view's side. Very large: the same change everywhere.",
        "Views", 0.02, 1e6, "of the side", advanced=True,
    ),
]  # fmt: skip
LocalChance = Annotated[
    float,
    setting("Local chance", "How often a view changes locally.", "Views", 0.0, 1.0, "of views", advanced=True),
]
