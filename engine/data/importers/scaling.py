"""A plan that was made of a part of a very large heap, with the numbers of the whole: estimates, and called so."""

from __future__ import annotations

import msgspec

from engine.data.importers.amounts import thousands as spaced
from engine.data.importers.naming import count_classes
from engine.data.importers.sources import Listing
from engine.protocol.messages import ImportPlan, Recognised

_COUNTED_KINDS = frozenset({"label", "split"})  # how many there are does not grow with the heap
_JUDGED = "Judged by"


def scaled(plan: ImportPlan, part: Listing, whole: Listing) -> ImportPlan:
    """Return the plan of `part` with numbers for `whole`.

    Files and bytes are counted. Records are scaled by how many files there are for each one looked at, leaving out
    files whose extension is rare, all of which were looked at.
    """
    counts, looked_at = whole.counts(), part.counts()
    common = [suffix for suffix, count in looked_at.items() if counts[suffix] > count]
    ratio = sum(counts[suffix] for suffix in common) / max(1, sum(looked_at[suffix] for suffix in common))
    ratio = max(1.0, ratio)
    classes = count_classes(whole.folders()) if plan.classes and plan.options.labels == "folders" else {}
    if not plan.classes.keys() <= classes.keys():  # from a table, say
        classes = {name: round(count * ratio) for name, count in plan.classes.items()}
    judged = f"{_JUDGED} {spaced(len(part.entries))} of {spaced(len(whole.entries))} files; the import looks at all."
    return msgspec.structs.replace(
        plan,
        files=len(whole.entries) + len(whole.skipped) + whole.junk,
        bytes=sum(entry.size for entry in whole.entries),
        records=round(plan.records * ratio),
        complete=False,
        recognised=tuple(_scaled_group(group, ratio, len(classes)) for group in plan.recognised),
        classes=classes,
        duplicates=(),
        will_take_bytes=round(plan.will_take_bytes * ratio),
        seconds=plan.seconds * ratio if plan.seconds >= 0 else plan.seconds,
        warnings=(judged, *(text for text in plan.warnings if not text.startswith(_JUDGED))),
    )


def _scaled_group(group: Recognised, ratio: float, classes: int) -> Recognised:
    if group.kind == "label" and classes:
        text = group.text.replace(spaced(group.count), spaced(classes), 1)
        return msgspec.structs.replace(group, count=classes, text=text)
    if group.kind in _COUNTED_KINDS or not group.count:
        return group
    if not group.kind:
        return msgspec.structs.replace(group, text=f"at least {group.text}")
    count = round(group.count * ratio)
    text = group.text.replace(spaced(group.count), f"about {spaced(count)}", 1).partition(" from ")[0]
    return msgspec.structs.replace(group, count=count, text=text)
