"""How numbers are written, and read back: thin no-break spaces, true minus, digits that the interval supports."""

from __future__ import annotations

import math

THIN = "\u202f"
MINUS = "\u2212"
ABSENT = "—"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def count(value: float | None) -> str:
    """Write a whole number: 20000 → "20 000"."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{round(value):,}".replace(",", THIN).replace("-", MINUS)


def number(value: float | None, digits: int | None = None) -> str:
    """Write a number with `digits` decimals, or with three significant digits; "—" for absent, "0" for zero."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if digits is not None:
        text = f"{value:,.{digits}f}"
    elif value == 0:
        text = "0"
    elif float(value).is_integer() and abs(value) < 1e15:
        text = f"{value:,.0f}"
    elif 1e-3 <= abs(value) < 1e5:
        text = f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    else:
        text = scientific(value)
    if text.lstrip("-").strip("0.") == "" and text.startswith("-"):
        text = text[1:]
    return text.replace(",", THIN).replace("-", MINUS) if "e" not in text else text


def scientific(value: float) -> str:
    """Write 0.00015 as "1.5e-4", as short as reads back exactly to six digits."""
    mantissa, _, exponent = f"{value:.5e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def setting(value: object) -> str:
    """Write the value of a setting as a form shows and reads it: "1.5e-4", "0.50", "blocks"."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        if value == 0:
            return "0"
        return f"{value:.6g}" if 1e-3 <= abs(value) < 1e6 else scientific(value)
    if isinstance(value, list | tuple):
        return ", ".join(setting(item) for item in value)
    return ABSENT if value is None else str(value)


def interval(mean: float | None, half: float | None) -> tuple[str, str]:
    """Write a mean and half its interval with as many digits as the interval supports: ("78.2", "± 0.8")."""
    if mean is None or not math.isfinite(mean):
        return ABSENT, ""
    if half is None or not math.isfinite(half):
        return number(mean), ""
    if half == 0:
        return number(mean), "± 0"
    exponent = math.floor(math.log10(half))
    digits = max(0, (1 if half < 1.95 * 10.0**exponent else 0) - exponent)
    return number(mean, digits), f"± {number(half, digits)}"


def share(value: float | None, digits: int = 1) -> str:
    """Write a share of one: 0.714 → "71.4 %"."""
    return ABSENT if value is None or not math.isfinite(value) else f"{number(value * 100, digits)}{THIN}%"


def size(value: float | None) -> str:
    """Write a size in bytes: 246000000 → "246 MB", 4900000000 → "4.9 GB"."""
    if value is None or not math.isfinite(value):
        return ABSENT
    exponent = 0
    scaled = float(value)
    while abs(scaled) >= 999.5 and exponent < len(_UNITS) - 1:
        scaled /= 1000
        exponent += 1
    digits = 1 if exponent and abs(scaled) < 9.95 else 0
    text = number(scaled, digits)
    return f"{text.removesuffix('.0')} {_UNITS[exponent]}".replace(" ", THIN)


def memory(used: float, total: float) -> str:
    """Write how much of a memory is used: "17.8 of 24 GB" (GB of 2^30 bytes, as devices are sold)."""
    one, all_ = used / 2**30, total / 2**30
    return f"{number(one, 1)} of {number(all_, 0)}{THIN}GB"


def duration(seconds: float | None) -> str:
    """Write a duration with its two largest units: 4080 → "1 h 8 min"."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return ABSENT
    if seconds < 10:
        return f"{number(seconds, 1).removesuffix('.0')} s".replace(" ", THIN)
    whole = round(seconds)
    parts: list[tuple[int, str]] = []
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        amount, whole = divmod(whole, length)
        if amount or parts:
            parts.append((amount, unit))
    return " ".join(f"{amount}{THIN}{unit}" for amount, unit in parts[:2] if amount)


def plural(amount: float, one: str, many: str = "") -> str:
    """Write a counted thing: 1 → "1 record", 20000 → "20 000 records"."""
    return f"{count(amount)} {one if round(amount) == 1 else many or one + 's'}"


def plain(text: str) -> str:
    """Return a written number as the clipboard wants it: ASCII, no thousands marks."""
    return text.replace(THIN, "").replace("\u00a0", "").replace(MINUS, "-").strip()


def read_number(text: str) -> float:
    """Read what a person types: "1.5e-4", "1 000", "−3", "0,5" (a single comma is a decimal mark).

    Raises:
        ValueError: it is not a number.
    """
    cleaned = plain(text).replace(" ", "")
    if cleaned.count(",") == 1 and "." not in cleaned:
        cleaned = cleaned.replace(",", ".")
    value = float(cleaned)
    if not math.isfinite(value):
        msg = f"{text!r} is not a finite number"
        raise ValueError(msg)
    return value


def short(value: float) -> str:
    """Return a whole number as a count, any other as a number."""
    return count(int(value)) if value == int(value) else number(value)
