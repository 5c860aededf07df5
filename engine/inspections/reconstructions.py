"""Reconstructions as data: input, mask, output and error of pictures, in the units of the screen."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.inspections.generic import as_picture
from engine.protocol.inspections import Reconstruction

BEST_PSNR_DB = 99.0


def make_reconstruction(
    *,
    view: str,
    title: str,
    note: str,
    records: Tensor,
    truth: Tensor,
    output: Tensor,
    mask: Tensor,
    grid: tuple[int, ...],
    pastes_visible: bool = True,
) -> Reconstruction:
    """Return a reconstruction, by default with the visible patches pasted in.

    Args:
        view: name of the view.
        title: of the view.
        note: what the reader must know.
        records: (B,) record numbers.
        truth: (B, C, H, W), values 0…1; what leaves that range is clipped.
        output: the same, as the network paints it.
        mask: (B, N) bool, 1 = hidden from the encoder.
        grid: rows and columns of patches, N in all.
        pastes_visible: whether error and PSNR are those of the hidden part alone; otherwise of the whole output.
    """
    truth, output = truth.float().clamp(0, 1), output.float().clamp(0, 1)
    rows, columns = truth.shape[-2] // grid[0], truth.shape[-1] // grid[1]
    hidden = mask.view(-1, 1, *grid).repeat_interleave(rows, dim=2).repeat_interleave(columns, dim=3)
    painted = hidden if pastes_visible else torch.ones_like(hidden)
    output = torch.where(painted, output, truth)
    difference = output - truth
    count = painted.expand_as(difference).sum(dim=(1, 2, 3)).clamp_min(1)
    psnr = -10 * (difference.square().sum(dim=(1, 2, 3)) / count).clamp_min(1e-12).log10()
    return Reconstruction(
        view=view,
        title=title,
        step=0,
        note=note,
        records=records.cpu().numpy(),
        input=as_picture(truth),
        mask=mask.view(-1, *grid).cpu().numpy(),
        output=as_picture(output),
        error=difference.abs().mean(dim=1).cpu().numpy(),
        psnr_db=psnr.clamp(max=BEST_PSNR_DB).cpu().numpy(),
    )
