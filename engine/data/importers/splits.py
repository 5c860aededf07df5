"""Dividing records into train, val and test by content, so that the same files always fall the same way."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from engine.protocol.inspections import Array
from engine.protocol.schema import SPLITS

UNDECIDED = -1


def assign_splits(given: Array, units: Sequence[bytes], strata: Array, *, val_share: float, test_share: float) -> Array:
    """Return the split of every record, (N,) int64, index into `SPLITS`.

    Args:
        given: (N,) int64, splits that are already decided; -1 = undecided. A split that is given anywhere is
            complete: none of the undecided goes there.
        units: N keys; records with one key (same content, same patient) always stay together.
        strata: (N,) int64; shares are kept within each value.
        val_share: wanted share of the undecided.
        test_share: wanted share of the undecided.
    """
    result = np.where(given == UNDECIDED, SPLITS.index("train"), given)
    open_records = np.flatnonzero(given == UNDECIDED)
    wanted = {"val": val_share, "test": test_share}
    for name in ("val", "test"):
        if (given == SPLITS.index(name)).any():
            wanted[name] = 0.0
    for stratum in np.unique(strata[open_records]):
        members: dict[bytes, list[int]] = {}
        for record in open_records[strata[open_records] == stratum].tolist():
            members.setdefault(units[record], []).append(record)
        keys = sorted(members, key=lambda key: hashlib.blake2b(key, digest_size=8).digest())
        total = sum(len(records) for records in members.values())
        for name in ("test", "val"):
            taken, target = 0, round(wanted[name] * total)
            while keys and taken < target:
                records = members[keys.pop(0)]
                result[records] = SPLITS.index(name)
                taken += len(records)
    return result.astype(np.int64)
