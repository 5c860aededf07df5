"""What should be known of a dataset before a network learns from it: leaks between splits, twins, empty records.

Near duplicates are found by a difference hash of 16 × 16 bits of each record's thumbnail (Zauner 2010, section 3.2,
at twice its size per side), so that every kind that can be drawn can be compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
from PIL import Image

from engine.data.examination_distributions import distributions
from engine.data.store import Dataset
from engine.data.thumbnails import Thumbnails
from engine.protocol.inspections import Array
from engine.protocol.messages import Examination, Finding
from engine.protocol.schema import SPLITS, FieldKind

Progress = Callable[[float, float, str, str], None]

HASH_SIDE = 16
NEAR_BITS = 10  # of 256: pictures scaled, compressed or slightly brightened differ by fewer
_PX = 64
_PIECE = 64
_BANDS = 16  # of 16 bits: two hashes that differ in fewer than 16 bits agree in one of them
_MOST_PAIRS_A_BUCKET = 200
_MOST_NAMED = 200


def examine(dataset: Dataset, progress: Progress | None = None) -> Examination:
    """Look at every record once.

    Args:
        dataset: stays the caller's.
        progress: called with (records done, records in all, "records", ""); may raise to cancel.
    """
    index = dataset.select(None)
    hashes, is_flat = _hash_records(dataset, index, progress)
    seen = hashes.any(axis=1) | is_flat
    splits = _splits(dataset, index)
    findings = [_balance(dataset, index), *_groups(dataset, index, splits)]
    findings += _twins(index[seen & ~is_flat], hashes[seen & ~is_flat], splits[seen & ~is_flat])
    findings.append(_flat(index[is_flat]))
    count = float(len(index))
    spread_over = distributions(dataset, None if progress is None else lambda *_: progress(count, count, "records", ""))
    return Examination(
        records=len(index),
        compared=int(seen.sum()),
        findings=tuple(each for each in findings if each is not None),
        distributions=spread_over,
    )


def difference_hash(picture: Array) -> Array:
    """Return the hash (256,) bool of a picture (3, H, W) uint8: is each of 16 × 16 places darker than its neighbour?"""
    grey = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))).convert("L")
    small = np.asarray(grey.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX), np.int16)
    return np.asarray(small[:, 1:] > small[:, :-1]).reshape(-1)


def near_pairs(hashes: Array, most_bits: int = NEAR_BITS) -> list[tuple[int, int]]:
    """Return the pairs (i < j) of rows of `hashes` (N, 256) bool that differ in at most `most_bits` bits.

    Rows are compared where they agree in one of 16 bands, so that none is missed for `most_bits` < 16; of more than
    200 rows that agree in a band, each is compared with the next 200 only.
    """
    packed = np.packbits(hashes, axis=1)
    bands = packed.reshape(len(packed), _BANDS, -1)
    found: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for row, key in enumerate(bands[:, band]):
            buckets[key.tobytes()].append(row)
        for members in buckets.values():
            for place, first in enumerate(members):
                others = np.array(members[place + 1 : place + 1 + _MOST_PAIRS_A_BUCKET], np.int64)
                if len(others) == 0:
                    continue
                differing = np.bitwise_count(packed[others] ^ packed[first]).sum(axis=1)
                found.update((first, int(other)) for other in others[differing <= most_bits])
    return sorted(found)


def _hash_records(dataset: Dataset, index: Array, progress: Progress | None) -> tuple[Array, Array]:
    """Return the hash of every record (n, 256) bool (all False: not drawable), and whether it is of one colour."""
    thumbnails = Thumbnails()
    hashes = np.zeros((len(index), HASH_SIDE**2), bool)
    is_flat = np.zeros(len(index), bool)
    for first in range(0, len(index), _PIECE):
        chosen = index[first : first + _PIECE]
        pictures, sizes = thumbnails.fetch(dataset, 0, tuple(chosen.tolist()), _PX)
        for place, (picture, (height, width)) in enumerate(zip(pictures, sizes.tolist(), strict=True)):
            if not height or not width:
                continue
            top, left = (_PX - height) // 2, (_PX - width) // 2
            inside = picture[:, top : top + height, left : left + width]
            hashes[first + place] = difference_hash(inside)
            is_flat[first + place] = all(np.ptp(channel) == 0 for channel in inside)
        if progress is not None:
            progress(float(min(first + _PIECE, len(index))), float(len(index)), "records", "")
    return hashes, is_flat


def _splits(dataset: Dataset, index: Array) -> Array:
    spec = dataset.schema.first(FieldKind.SPLIT)
    return np.zeros(len(index), np.int64) if spec is None else np.asarray(dataset.column(spec.name))[index]


def _balance(dataset: Dataset, index: Array) -> Finding | None:
    spec = dataset.schema.first(FieldKind.LABEL)
    if spec is None or not spec.classes:
        return None
    values = np.asarray(dataset.column(spec.name))[index]
    counts = Counter(values[values >= 0].tolist())
    missing = int((values < 0).sum())
    if not counts:
        return None
    most, least = max(counts, key=lambda code: counts[code]), min(counts, key=lambda code: counts[code])
    text = (
        f"{len(counts)} classes; {spec.classes[least]} has {counts[least]} records, {spec.classes[most]} {counts[most]}"
    )
    text += f"; {missing} without a label." if missing else "."
    return Finding(what=text, level="warn" if counts[most] >= 10 * counts[least] else "ok")


def _groups(dataset: Dataset, index: Array, splits: Array) -> list[Finding]:
    """Return for each group field whether one of its groups lies in several splits."""
    findings = []
    for spec in dataset.schema.fields:
        if spec.kind is not FieldKind.GROUP:
            continue
        names = dataset.column(spec.name)
        where: dict[str, set[int]] = defaultdict(set)
        for record, split in zip(index.tolist(), splits.tolist(), strict=True):
            where[names[record]].add(split)
        torn = {name for name, places in where.items() if len(places) > 1}
        concerned = tuple(record for record in index.tolist() if names[record] in torn)
        train = SPLITS.index("train")
        leaking = tuple(
            record
            for record, split in zip(index.tolist(), splits.tolist(), strict=True)
            if split != train and names[record] in torn
        )
        if torn:
            text = f"{len(torn)} of {len(where)} values of {spec.name} lie in more than one split: a leak."
            findings.append(
                Finding(
                    what=text, level="error", records=concerned[:_MOST_NAMED], count=len(concerned),
                    leave_out=leaking,
                )
            )  # fmt: skip
        else:
            findings.append(Finding(what=f"No value of {spec.name} lies in more than one split.", level="ok"))
    return findings


def _twins(index: Array, hashes: Array, splits: Array) -> list[Finding]:
    pairs = near_pairs(hashes)
    if not pairs:
        return [Finding(what="No two records look nearly the same.", level="ok")]
    twins = sorted({place for pair in pairs for place in pair})
    findings = [
        Finding(
            what=f"{len(twins)} records look nearly the same as another.", level="warn", count=len(twins),
            records=tuple(index[twins[:_MOST_NAMED]].tolist()),
        )
    ]  # fmt: skip
    train = SPLITS.index("train")
    across = [(a, b) for a, b in pairs if splits[a] != splits[b]]
    if across:
        held_out = sorted({place for pair in across for place in pair if splits[place] != train})
        findings.append(
            Finding(
                what=f"{len(held_out)} held-out records look nearly the same as one of another split: a leak.",
                level="error", count=len(held_out), records=tuple(index[held_out[:_MOST_NAMED]].tolist()),
                leave_out=tuple(index[held_out].tolist()),
            )
        )  # fmt: skip
    return findings


def _flat(index: Array) -> Finding | None:
    if len(index) == 0:
        return Finding(what="No record is of one colour throughout.", level="ok")
    records = tuple(index.tolist())
    return Finding(
        what=f"{len(index)} records are of one colour throughout.", level="warn", count=len(index),
        records=records[:_MOST_NAMED], leave_out=records,
    )  # fmt: skip
