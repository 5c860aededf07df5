"""What every import settles before it reads: is there room, where do files come from, is it the one of before."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from engine.data.importers.sources import Entry
from engine.data.writer import part_folder
from engine.errors import DiskFull

_SPARE_BYTES = 16 * 1024**2
_MOST_ORIGINS = 1000
_LONGEST_ORIGIN = 2000


def require_space(expected: int, out: Path) -> None:
    """Make the folder of `out` and see that a dataset of `expected` bytes fits beside what it is made of.

    Raises:
        DiskFull: it does not.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    needed = 2 * expected + _SPARE_BYTES  # the streams, and the file made of them
    begun = part_folder(out)
    if begun.is_dir():  # of an import that was interrupted: it goes on there, or makes room
        needed -= sum(file.stat().st_size for file in begun.iterdir())
    free = shutil.disk_usage(out.parent).free
    if needed > free:
        raise DiskFull(
            f"The import needs {needed:,} bytes on the disk of {out.parent}; {free:,} are free.",
            "Free some space, choose a smaller size, or keep images encoded.",
        )


def fingerprint(units: Iterable[tuple[tuple[str, ...], Iterable[Entry]]]) -> str:
    """Return a digest of what is said of each unit and of its files' names, sizes and times of change."""
    digest = hashlib.sha256()
    for said, sources in units:
        digest.update(("\0".join(said) + "\n").encode(errors="replace"))
        for entry in sources:
            digest.update(f"{entry.name}\0{entry.size}\0{entry.changed_ns}\n".encode(errors="replace"))
    return digest.hexdigest()


def origins(entries: Iterable[Entry]) -> str:
    """Return what was dropped, as a dataset's provenance tells it: folders and archives, not what lies in them."""
    found: dict[str, None] = {}
    for place, entry in enumerate(entries):
        if place >= _MOST_ORIGINS:
            break
        depth = min(entry.name.count("/"), len(entry.path.parents) - 1)
        found[str(entry.path if entry.member else entry.path.parents[depth])] = None
    return ", ".join(sorted(found))[:_LONGEST_ORIGIN]
