"""Momentum teachers: a slow copy of a student that gives targets and gets no gradient."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from typing import Any, Literal

import torch
from torch import Tensor, nn

BufferPolicy = Literal["copy", "keep", "average"]


def cosine_ramp(start: float, end: float, progress: float) -> float:
    """Return a value that goes from `start` to `end` along half a cosine while `progress` goes from 0 to 1."""
    return end + (start - end) * (math.cos(math.pi * min(max(progress, 0.0), 1.0)) + 1) / 2


@torch.no_grad()
def update_teacher(
    student: nn.Module,
    teacher: nn.Module,
    momentum: float,
    *,
    exclude: Collection[str] = (),
    buffers: BufferPolicy = "keep",
) -> None:
    """Move the teacher's parameters towards the student's: teacher ← momentum · teacher + (1 - momentum) · student.

    Args:
        student: what is trained.
        teacher: a module with (at least) parameters of the same names.
        momentum: 0 = copy, 1 = stand still.
        exclude: prefixes of names that are left alone ("centre", "head.last").
        buffers: "keep": the teacher's own (MoCo: its own batch statistics); "copy": the student's, exactly;
            "average": floating-point ones like parameters, others copied.

    Raises:
        KeyError: the student lacks a parameter of the teacher that is not excluded.
    """
    skipped = tuple(exclude)
    sources = dict(student.named_parameters())
    wanted = [(target, sources[name]) for name, target in teacher.named_parameters() if not _starts(name, skipped)]
    _move(wanted, momentum)
    if buffers == "keep":
        return
    stores = dict(student.named_buffers())
    pairs = [(target, stores[name]) for name, target in teacher.named_buffers() if not _starts(name, skipped)]
    averaged = [(target, source) for target, source in pairs if buffers == "average" and target.is_floating_point()]
    _move(averaged, momentum)
    done = {id(target) for target, _ in averaged}
    for target, source in pairs:
        if id(target) not in done:
            target.copy_(source)


def _starts(name: str, prefixes: tuple[str, ...]) -> bool:
    return bool(prefixes) and name.startswith(prefixes)


def _move(pairs: list[tuple[Any, Any]], momentum: float) -> None:
    if not pairs:
        return
    targets: list[Tensor] = [target for target, _ in pairs]
    sources: list[Tensor] = [source.to(target.dtype) for target, source in pairs]
    torch._foreach_lerp_(targets, sources, 1.0 - momentum)


class MomentumTeacher(nn.Module):
    """A frozen copy of `student`, in its own right: saved with the model, never trained, calls like the student.

    Args:
        student: copied at construction.
        exclude: see `update_teacher`.
        buffers: see `update_teacher`.
        mode: "follow" the student's training mode (batch norm then uses the batch's statistics), or always "eval".
    """

    def __init__(
        self,
        student: nn.Module,
        *,
        exclude: Collection[str] = (),
        buffers: BufferPolicy = "keep",
        mode: Literal["follow", "eval"] = "follow",
    ) -> None:
        super().__init__()
        self.network = copy.deepcopy(student).requires_grad_(requires_grad=False)
        self._exclude = tuple(exclude)
        self._buffer_policy: BufferPolicy = buffers
        self._is_eval = mode == "eval"
        self.train()

    def train(self, mode: bool = True) -> MomentumTeacher:  # noqa: FBT001, FBT002  (torch's signature)
        """Set the mode; a teacher built with mode="eval" stays in evaluation mode."""
        super().train(mode and not self._is_eval)
        return self

    @torch.no_grad()
    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Return what the network says, without gradients."""
        return self.network(*inputs, **options)

    def update(self, student: nn.Module, momentum: float) -> None:
        """Move towards the student."""
        update_teacher(student, self.network, momentum, exclude=self._exclude, buffers=self._buffer_policy)
