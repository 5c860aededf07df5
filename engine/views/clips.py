"""Clips: which frames are taken, and one crop and one change of colours for all frames of a clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
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


def frame_numbers(start: Tensor, step: Tensor | int, count: int, frames: int) -> Tensor:
    """Return start, start + step, … (B, count) int64, beginning anew at the end of a video of `frames` frames.

    Args:
        start: (B,) int64.
        step: frames from one to the next, (B,) or one for all.
        count: how many.
        frames: of the video.
    """
    along = torch.arange(count, device=start.device)
    each = step.unsqueeze(1) if isinstance(step, Tensor) else step
    return (start.unsqueeze(1) + along * each) % frames


def frame_numbers_by_time(times: Tensor, start: Tensor, step: Tensor | int, count: int) -> Tensor:
    """Return the frames nearest to evenly spaced times, (B, count) int64: as `frame_numbers`, at any frame rate.

    A record's interval is the median of its own; where its frames are evenly spaced, the result is that of
    `frame_numbers`.

    Args:
        times: (B, T) ascending.
        start: (B,) int64, the first frame.
        step: intervals from one to the next, (B,) or one for all.
        count: how many.
    """
    since = (times - times[:, :1]).double()
    interval = (since[:, 1:] - since[:, :-1]).median(dim=1).values.clamp_min(1e-9).unsqueeze(1)
    along = torch.arange(count, device=times.device)
    each = step.unsqueeze(1) if isinstance(step, Tensor) else step
    wanted = (since.gather(1, start.unsqueeze(1)) + along * each * interval) % (since[:, -1:] + interval)
    middles = ((since[:, 1:] + since[:, :-1]) / 2).contiguous()
    return torch.searchsorted(middles, wanted - 1e-6 * interval)


def random_starts(rng: Rng, frames: int, span: int) -> Tensor:
    """Return where a span of frames begins, (B,) int64, uniform over the places where it fits, else over all."""
    return rng.integers(0, frames - span + 1 if frames >= span else frames)


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


def even_starts(frames: int, span: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """Return `count` starts (count,) int64, spread evenly so that a span of frames fits; one lies in the middle."""
    room = max(0, frames - span)
    if count == 1:
        return torch.full((1,), room // 2, dtype=torch.int64, device=device)
    return torch.arange(count, device=device) * room // (count - 1)
