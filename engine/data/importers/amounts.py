"""Numbers of things in words, as plans tell them."""

from __future__ import annotations


def thousands(number: int) -> str:
    """Return a whole number with thin spaces between its thousands."""
    return f"{number:,}".replace(",", "\u202f")


def counted(number: int, one: str, many: str = "") -> str:
    """Return "1 image", "12 431 images"."""
    return f"{thousands(number)} {one if number == 1 else many or one + 's'}"
