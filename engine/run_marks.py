"""What a person says of a run: tags, and whether it is put away. `marks.json` in its folder, replaced whole.

Beside run.yaml, not in it: a run can be tagged while another process trains it and owns run.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from engine.durable import write_atomic
from engine.errors import ConfigError

MARKS_FILE = "marks.json"
MOST_TAGS, LONGEST_TAG = 32, 40
_TAG = re.compile(r"[^\x00-\x1f\x7f,]+")


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Tags in alphabetical order, and whether the run is kept out of the list."""

    tags: tuple[str, ...] = ()
    archived: bool = False


def read_marks(folder: Path) -> Marks:
    """Return the marks of the run at `folder`; none where there is no file, or where it cannot be understood."""
    try:
        found = msgspec.json.decode((folder / MARKS_FILE).read_bytes(), type=Marks)
        return Marks(tags=checked_tags(found.tags), archived=found.archived)
    except (OSError, msgspec.MsgspecError, ConfigError):
        return Marks()


def mark_run(
    folder: Path, *, add: Iterable[str] = (), remove: Iterable[str] = (), archived: bool | None = None
) -> Marks:
    """Add and remove tags of the run at `folder`, put it away or back (None = as it is); return its marks.

    Raises:
        ConfigError: a tag cannot be one, or there are too many.
        DiskFull: there is no space; the marks are as before.
    """
    old = read_marks(folder)
    tags = (set(old.tags) | set(checked_tags(add))) - {tag.strip() for tag in remove}
    if len(tags) > MOST_TAGS:
        raise ConfigError(f"{folder.name} would have {len(tags)} tags.", f"A run has at most {MOST_TAGS}; remove some.")
    new = Marks(tags=_sorted(tags), archived=old.archived if archived is None else archived)
    if new != old:
        write_atomic(folder / MARKS_FILE, msgspec.json.encode(new))
    return new


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags without surrounding space, each once, in alphabetical order.

    Raises:
        ConfigError: one is empty, too long, or holds a comma or a control character.
    """
    found = {tag.strip() for tag in tags}
    for tag in found:
        if len(tag) > LONGEST_TAG or not _TAG.fullmatch(tag):
            raise ConfigError(
                f"{tag[:60]!r} cannot be a tag.", f"Use 1 to {LONGEST_TAG} characters, without commas and line breaks."
            )
    return _sorted(found)


def _sorted(tags: set[str]) -> tuple[str, ...]:
    return tuple(sorted(tags, key=lambda tag: (tag.casefold(), tag)))
