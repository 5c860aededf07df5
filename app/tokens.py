"""The colours of the window, as one table; every style, palette and plot is made from it.

Contrast is that of WCAG 2.2: (L1 + 0.05) / (L2 + 0.05) with relative luminance L in sRGB.
"""

from __future__ import annotations

from typing import Final

COLOURS: Final[dict[str, tuple[str, str]]] = {  # name → light, dark
    "window": ("#F2F4F6", "#14171B"),
    "surface": ("#FFFFFF", "#1B1F24"),
    "raised": ("#FFFFFF", "#252A31"),
    "sunken": ("#E9ECF0", "#0E1114"),
    "mat": ("#DFE3E8", "#0E1114"),
    "hover": ("#E4E8EC", "#262C33"),
    "line": ("#D9DDE3", "#2E343C"),
    "control": ("#7C8390", "#6C7582"),
    "text": ("#15191F", "#E9ECF0"),
    "text2": ("#464E5B", "#B4BBC6"),
    "text3": ("#5F6877", "#98A1AE"),
    "accent": ("#0A6870", "#4CC3C9"),
    "on_accent": ("#FFFFFF", "#06282A"),
    "accent_soft": ("#D9EEEF", "#143A3E"),
    "ok": ("#1A6E3C", "#62CB8C"),
    "ok_soft": ("#E0F2E6", "#15321F"),
    "warn": ("#855200", "#E8B552"),
    "warn_soft": ("#FCEFD3", "#382A10"),
    "error": ("#B0231B", "#FF8F84"),
    "error_soft": ("#FBE5E2", "#421E1B"),
    "info": ("#2A559E", "#8FB8FA"),
    "info_soft": ("#E3ECF9", "#1A2B47"),
}

CATEGORICAL_NAMES: Final = (
    "blue", "orange", "teal", "magenta", "violet", "green", "wine", "grey", "sky", "gold", "rose", "navy",
)  # fmt: skip
CATEGORICAL: Final[tuple[tuple[str, ...], tuple[str, ...]]] = (
    (
        "#606DEB",
        "#A44D00",
        "#1A9A9C",
        "#E2438A",
        "#5F30B1",
        "#719554",
        "#661411",
        "#69665D",
        "#2BB9F3",
        "#BDB02B",
        "#DD9E96",
        "#222F51",
    ),
    (
        "#4F74EA",
        "#E45A00",
        "#399571",
        "#C57CB7",
        "#A7A6FE",
        "#8EC76E",
        "#B8413C",
        "#A6A5A4",
        "#AFDDF2",
        "#ECE641",
        "#FFC9C0",
        "#676189",
    ),
)
LINE_COLOURS: Final = 8
"""How many of the categorical colours have 3 : 1 against the panel and may colour lines."""

COLOUR_MAPS: Final[dict[str, tuple[str, str]]] = {
    # purpose: (light, dark), names of the `cmap` package
    "scalar": ("viridis", "viridis"),
    "attention": ("inferno", "inferno"),
    "heat": ("inferno", "inferno"),
    "error": ("magma", "magma"),
    "signed": ("crameri:vik", "crameri:berlin"),
    "similarity": ("crameri:vik", "crameri:berlin"),
    "density": ("crameri:batlow", "crameri:batlow"),
    "order": ("crameri:batlow", "crameri:batlow"),
    "angle": ("crameri:romaO", "crameri:romaO"),
    "flow": ("crameri:romaO", "crameri:romaO"),
    "intensity": ("gray", "gray"),
}

TYPE: Final[dict[str, tuple[int, int, int]]] = {
    # role: (size in px, weight, line height in px)
    "figure": (22, 500, 28),
    "h1": (18, 500, 24),
    "h2": (15, 500, 20),
    "title": (13, 500, 18),
    "body": (13, 400, 18),
    "small": (12, 400, 16),
    "tick": (11, 400, 14),
}

STATES: Final[dict[str, tuple[str, str, str]]] = {
    # state of a run or job: (icon, colour token, word)
    "queued": ("clock", "text2", "Queued"),
    "starting": ("spinner-gap", "info", "Starting"),
    "training": ("circle-fill", "accent", "Training"),
    "running": ("circle-fill", "accent", "Running"),
    "paused": ("pause", "warn", "Paused"),
    "stopping": ("stop", "text2", "Stopping"),
    "stopped": ("stop", "text2", "Stopped"),
    "cancelled": ("stop", "text2", "Cancelled"),
    "finished": ("check-circle", "ok", "Finished"),
    "done": ("check-circle", "ok", "Done"),
    "failed": ("x-circle", "error", "Failed"),
    "interrupted": ("arrow-clockwise", "warn", "Interrupted, can resume"),
    "unreachable": ("link-break", "warn", "Engine not reachable"),
}


def luminance(colour: str) -> float:
    """Return the relative luminance (0…1) of a colour written #RRGGBB."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Return the contrast (1…21) of two colours written #RRGGBB."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)
