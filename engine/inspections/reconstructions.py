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
    axes: str = "",
    steps: tuple[float, ...] = (),
    units: tuple[str, ...] = (),
    pastes_visible: bool = True,
) -> Reconstruction:
    """Return a reconstruction, by default with the visible patches pasted in.

    Args:
        view: name of the view.
        title: of the view.
        note: what the reader must know.
        records: (B,) record numbers.
        truth: (B, C, *space), space (H, W), (T, H, W), (D, H, W) or (T, D, H, W); values 0…1; what leaves that range
            is clipped.
        output: the same, as the network paints it.
        mask: (B, N) bool, 1 = hidden from the encoder.
        grid: patches along each axis of the space, N in all.
        axes: letters of the space, see `engine.protocol.inspections.Spatial`.
        steps: from one sample to the next along each axis.
        units: of the steps.
        pastes_visible: whether error and PSNR are those of the hidden part alone; otherwise of the whole output.
    """
    truth, output = truth.float().clamp(0, 1), output.float().clamp(0, 1)
    hidden = mask.view(-1, 1, *grid)
    for axis, (side, places) in enumerate(zip(truth.shape[2:], grid, strict=True)):
        hidden = hidden.repeat_interleave(side // places, dim=2 + axis)
    painted = hidden if pastes_visible else torch.ones_like(hidden)
    output = torch.where(painted, output, truth)
    difference = output - truth
    count = painted.expand_as(difference).flatten(1).sum(dim=1).clamp_min(1)
    psnr = -10 * (difference.square().flatten(1).sum(dim=1) / count).clamp_min(1e-12).log10()
    return Reconstruction(
        view=view,
        title=title,
        step=0,
        note=note,
        axes=axes,
        steps=steps,
        units=units,
        records=records.cpu().numpy(),
        input=as_picture(truth),
        mask=mask.view(-1, *grid).cpu().numpy(),
        output=as_picture(output),
        error=difference.abs().mean(dim=1).cpu().numpy(),
        psnr_db=psnr.clamp(max=BEST_PSNR_DB).cpu().numpy(),
    )
