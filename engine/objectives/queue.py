"""A memory of the newest keys, from which contrast takes its negatives (MoCo: He et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.objectives.gather import gather_rows


class MemoryQueue(nn.Module):
    """The newest `length` keys of each kind, with the record each came from; everything is a buffer.

    Rows are random unit vectors of record -1 until they are replaced. All processes hold the same rows, as each adds
    the keys of all. Any batch size fits.

    Args:
        length: K.
        dim: of a key.
        kinds: names of the kinds of keys that are added together.
    """

    place: Tensor
    records: Tensor

    def __init__(self, length: int, dim: int, kinds: tuple[str, ...] = ("keys",)) -> None:
        super().__init__()
        self.length = length
        self.kinds = kinds
        for kind in kinds:
            self.register_buffer(f"rows_{kind}", F.normalize(torch.randn(length, dim), dim=1))
        self.register_buffer("records", torch.full((length,), -1, dtype=torch.int64))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))  # where the next key goes

    def rows(self, kind: str = "keys") -> Tensor:
        """Return all keys of a kind, (K, D); in no order."""
        return self.get_buffer(f"rows_{kind}")

    def filled(self) -> Tensor:
        """Return the share of rows that hold a key of a record, a scalar."""
        return (self.records >= 0).float().mean()

    @torch.no_grad()
    def add(self, keys: dict[str, Tensor], records: Tensor) -> None:
        """Replace the oldest rows by the keys (B, D) of every kind, and note the records (B,) they are of.

        A key that is not finite changes no row: one broken batch must not spoil the negatives of the next thousand.
        """
        owners = gather_rows(records)[0][-self.length :]
        places = (self.place + torch.arange(len(owners), device=owners.device)) % self.length
        for kind in self.kinds:
            buffer = self.rows(kind)
            new = gather_rows(keys[kind].detach().to(buffer.dtype))[0][-self.length :]
            usable = torch.isfinite(new).all(dim=1, keepdim=True)
            buffer[places] = torch.where(usable, new, buffer[places])
        self.records[places] = owners
        self.place.copy_((self.place + len(owners)) % self.length)


@dataclass(frozen=True, slots=True)
class QueueContrast:
    """What InfoNCE against a queue says of one kind of positive; both of (B,)."""

    losses: Tensor  # cross-entropy of picking the positive, nats
    rank: Tensor  # how many negatives are more similar than the positive; 0 = right


def queue_contrast(
    queries: Tensor, positives: Sequence[Tensor], negatives: Tensor, temperature: float
) -> list[QueueContrast]:
    """Return InfoNCE of queries (B, D) for each kind of positive (B, D), all against the same negatives (K, D).

    -log(exp(q·k⁺/τ) / (exp(q·k⁺/τ) + Σ exp(q·n/τ))); He et al. 2020, Eq. (1). Rows have unit length.
    """
    others = queries @ negatives.T / temperature  # (B, K)
    total = others.logsumexp(dim=1)
    found = []
    for positive in positives:
        near = (queries * positive).sum(dim=1) / temperature
        losses = F.softplus(total - near)  # = log(exp(near) + exp(total)) - near
        found.append(QueueContrast(losses, (others.detach() > near.detach().unsqueeze(1)).sum(dim=1)))
    return found
