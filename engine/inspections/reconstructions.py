"""Reconstructions as data: input, mask, output and error of masked pictures, in the units of the screen."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.data.batch import Batch
from engine.inspections.generic import as_picture, picture_key
from engine.protocol.inspections import Reconstruction
from engine.views.pixels import denormalise

BEST_PSNR_DB = 99.0


def make_reconstruction(
    batch: Batch, image: Tensor, output: Tensor, mask: Tensor, grid: tuple[int, int], *, title: str, note: str
) -> Reconstruction:
    """Return a reconstruction whose visible patches are pasted in.

    `image` and `output` (B, C, H, W) are normalised as the network sees them, `mask` (B, N) bool with 1 = masked.
    The error is the absolute difference of values in 0…1, the PSNR that of the masked part.
    """
    _, spec = picture_key(batch)
    truth, guess = (denormalise(value.float(), spec).clamp(0, 1) for value in (image, output))
    size = (truth.shape[-2] // grid[0], truth.shape[-1] // grid[1])
    hidden = mask.view(-1, 1, *grid).repeat_interleave(size[0], dim=2).repeat_interleave(size[1], dim=3)
    guess = torch.where(hidden, guess, truth)
    difference = guess - truth
    weight = hidden.expand_as(difference).float()
    squared = (difference.square() * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3)).clamp_min(1)
    psnr = (-10 * squared.clamp_min(1e-12).log10()).clamp(max=BEST_PSNR_DB)
    return Reconstruction(
        view="reconstruction",
        title=title,
        step=0,
        note=f"{note} Average squared error behind the PSNR: masked part only.",
        records=batch.index.cpu().numpy(),
        input=as_picture(truth),
        mask=mask.view(-1, *grid).cpu().numpy(),
        output=as_picture(guess),
        error=difference.abs().mean(dim=1).cpu().numpy(),
        psnr_db=psnr.cpu().numpy(),
    )
