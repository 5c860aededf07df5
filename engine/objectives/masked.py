"""What masked methods share: the mean over hidden places, and targets normalised patch by patch.

Paper: He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022 (arXiv 2111.06377), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

NORMALISATION_EPS = 1e-6


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `values` (B, N) where `mask` (B, N) is 1, over the whole batch at once; a float32 scalar.

    A mask without a single 1 gives 0, not a division by zero.
    """
    weight = mask.to(values.device).float()
    return (values.float() * weight).sum() / weight.sum().clamp_min(1.0)


@dataclass(frozen=True, slots=True)
class NormalisedPatches:
    """Patches with mean 0 and variance 1 each, and what undoes it."""

    values: Tensor  # (B, N, P)
    mean: Tensor  # (B, N, 1)
    scale: Tensor  # (B, N, 1), sqrt of the unbiased variance + 1e-6

    def restore(self, values: Tensor) -> Tensor:
        """Return `values` (B, N, P), in normalised units, in the units of the original patches."""
        return values * self.scale + self.mean


def normalise_patches(patches: Tensor) -> NormalisedPatches:
    """Return patches (B, N, P) normalised one by one: (t − mean) / sqrt(var + 1e-6), the variance unbiased."""
    patches = patches.float()
    mean = patches.mean(dim=-1, keepdim=True)
    scale = (patches.var(dim=-1, keepdim=True) + NORMALISATION_EPS).sqrt()
    return NormalisedPatches((patches - mean) / scale, mean, scale)
