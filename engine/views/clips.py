"""Clips: which frames are taken, and one crop and one change of colours for all frames of a clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.protocol.schema import FieldSpec
from engine.views.blur import gaussian_blur
from engine.views.colour import Colour, apply_colour, colour_maps, draw_colour
from engine.views.geometry import centre_grid, random_grid, sample_grid
from engine.views.pixels import channel_statistics, is_bounded, value_scale
from engine.views.resample import Interpolation
from engine.views.rng import Rng


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRecipe:
    """How a clip is cropped and coloured; the same for all of its frames."""

    size_px: int
    scale: tuple[float, float] = (0.4, 1.0)  # share of the area
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width / height
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # brightness, contrast, saturation, hue
    jitter_chance: float = 1.0
    grey_chance: float = 0.0
    blur_chance: float = 0.0
    blur_sigma: float = 1.5  # pixels of the view
    interpolation: Interpolation = "bilinear"


def frames_by_step(step: Tensor, count: int) -> Tensor:
    """Return 0, step, 2·step, … (B, count) int64 of steps (B,)."""
    return torch.arange(count, device=step.device) * step.unsqueeze(1)


def frames_by_time(times: Tensor, step: Tensor, count: int) -> Tensor:
    """Return the frames nearest to 0, 1, … `count` - 1 times `step` intervals after the first, (B, count) int64.

    A record's interval is the median of its own; where its frames are evenly spaced, the result is that of
    `frames_by_step`. A varying rate is not taken for a speed.

    Args:
        times: (B, T) ascending; where they fall back (a video that begins anew), one interval has passed.
        step: (B,) intervals from one frame to the next.
        count: how many.
    """
    passed = times.diff(dim=1).double()
    interval = torch.where(passed > 0, passed, torch.nan).nanmedian(dim=1, keepdim=True).values
    interval = interval.nan_to_num(1.0)
    since = F.pad(torch.where(passed > 0, passed, interval).cumsum(dim=1), (1, 0))
    wanted = frames_by_step(step, count) * interval
    middles = ((since[:, 1:] + since[:, :-1]) / 2).contiguous()
    return torch.searchsorted(middles, wanted - 1e-6 * interval)


def take_frames(clips: Tensor, numbers: Tensor) -> Tensor:
    """Return frames (B, n, …) of clips (B, T, …) by numbers (B, n)."""
    rows = torch.arange(len(clips), device=clips.device).unsqueeze(1)
    return clips[rows, numbers]


def still_share(frames: Tensor) -> Tensor:
    """Return which share of neighbouring frames of clips (B, T, …) are identical, (B,): repeats fake a speed."""
    return (frames[:, 1:] == frames[:, :-1]).flatten(2).all(dim=2).float().mean(dim=1)


def crop_clips(frames: Tensor, rng: Rng, recipe: ClipRecipe, *, spec: FieldSpec) -> Tensor:
    """Return one random view of each clip, (B, C, T, s, s) float32, normalised by `spec`.

    Args:
        frames: (B, T, C, H, W) as stored.
        rng: of the records.
        recipe: what is drawn. Hue, saturation and grey need three channels.
        spec: of the field.
    """
    records, count, channels = frames.shape[:3]
    grid = random_grid(rng, frames.shape[3:], 1, scale=recipe.scale, ratio=recipe.ratio, flip=recipe.flip)
    stacked = sample_grid(frames.flatten(1, 2), grid, recipe.size_px, recipe.interpolation, scale=value_scale(frames))[
        0
    ]
    pictures = stacked.view(records * count, channels, *stacked.shape[2:])
    mean, std = channel_statistics(spec, channels)
    centre, gain = pictures.new_tensor(mean), 1 / pictures.new_tensor(std)
    matrix, offset = None, -centre
    if any(recipe.jitter) or recipe.grey_chance > 0:
        drawn = draw_colour(rng, 1, recipe.jitter, recipe.jitter_chance, recipe.grey_chance)
        colour = _for_frames(drawn, count)
        matrix, shift = colour_maps(colour, pictures.mean(dim=(2, 3)))
        offset = shift - centre
    bounds = None
    if is_bounded(spec):
        bounds = [(-middle / spread, (1 - middle) / spread) for middle, spread in zip(mean, std, strict=True)]
    finished = apply_colour(pictures, matrix, offset * gain, gain, bounds)
    if recipe.blur_chance > 0:
        sigma = torch.where(rng.chance(recipe.blur_chance), recipe.blur_sigma, 0.0).view(-1)
        finished = gaussian_blur(finished, sigma.repeat_interleave(count), recipe.blur_sigma)
    return finished.view(records, count, channels, *stacked.shape[2:]).transpose(1, 2)


def _for_frames(colour: Colour, count: int) -> Colour:
    repeated = {name: getattr(colour, name).repeat_interleave(count) for name in Colour.__slots__}
    return Colour(**repeated)


def plain_clips(frames: Tensor, size_px: int, *, spec: FieldSpec) -> Tensor:
    """Return the largest centred square of clips (B, T, C, H, W), (B, C, T, s, s) float32, normalised."""
    records, count, channels = frames.shape[:3]
    grid = centre_grid(frames.shape[3:], records, frames.device)
    stacked = sample_grid(frames.flatten(1, 2), grid, size_px, scale=value_scale(frames))[0]
    mean, std = (stacked.new_tensor(values).view(-1, 1, 1, 1) for values in channel_statistics(spec, channels))
    return (stacked.view(records, count, channels, *stacked.shape[2:]).transpose(1, 2) - mean) / std
