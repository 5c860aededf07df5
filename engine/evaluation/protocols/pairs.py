"""Models that compare records with texts, as protocols ask them.

Such a model has `pair_vectors(batch)` → unit vectors (B, E) of the records and of their texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.data.batch import Batch
from engine.errors import ConfigError
from engine.evaluation.protocols.setting import NETWORKS, Setting
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind

BATCH = 256


def pair_vectors(setting: Setting, which: int, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return vectors (B, E) of a batch's records and texts by the trained (0) or untrained (1) network, on the CPU.

    Raises:
        ConfigError: the model compares nothing with texts.
    """
    model: Any = setting.network(which)
    if not hasattr(model, "pair_vectors"):
        raise ConfigError(f"{setting.run.method.id} compares no records with texts.", "Choose another protocol.")
    with torch.no_grad():
        records, texts = model.pair_vectors(batch.to(setting.device))
    return records.float().cpu(), texts.float().cpu()


def all_vectors(setting: Setting, which: int, records: Array) -> tuple[Tensor, Tensor]:
    """Return vectors (n, E) of records and of their own texts."""
    parts, done = [], 0
    for batch in setting.loader().in_order(records, BATCH):
        parts.append(pair_vectors(setting, which, batch))
        done += len(batch)
        setting.report(which * len(records) + done, 2 * len(records), "records", NETWORKS[which])
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def text_key(setting: Setting) -> str:
    """Return the key under which the method reads its text.

    Raises:
        ConfigError: it reads none.
    """
    for need in setting.run.method.needs:
        if FieldKind.TEXT in need.kinds and not need.optional:
            return need.key
    raise ConfigError(f"{setting.run.method.id} reads no texts.", "Choose another protocol.")


def text_vectors(setting: Setting, which: int, texts: Sequence[str], record: int) -> Tensor:
    """Return vectors (n, E) of any texts; `record` is one that stands beside them and does not matter."""
    key, loader, found = text_key(setting), setting.loader(), []
    for first in range(0, len(texts), BATCH):
        some = tuple(texts[first : first + BATCH])
        batch = loader.at(np.full(len(some), record))
        found.append(pair_vectors(setting, which, replace(batch, texts={**batch.texts, key: some}))[1])
    return torch.cat(found)
