"""Clips: which frames are taken, and that one crop and one change of colours holds for all of them."""

import torch
from torch.testing import assert_close

from engine.protocol.schema import FieldKind, FieldSpec
from engine.views.clips import (
    ClipRecipe,
    crop_clips,
    frames_by_step,
    frames_by_time,
    plain_clips,
    still_share,
    take_frames,
)
from engine.views.rng import Rng

SPEC = FieldSpec(name="clip", kind=FieldKind.CLIP, shape=(6, 3, 20, 24), mean=(0.5,) * 3, std=(0.25,) * 3)


def clips(records: int = 3, frames: int = 6) -> torch.Tensor:
    return torch.randint(256, (records, frames, 3, 20, 24), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def rng(records: int = 3, seed: int = 0) -> Rng:
    return Rng(seed, 0, torch.arange(records))


def test_that_every_nth_frame_is_taken() -> None:
    assert frames_by_step(torch.tensor([1, 2]), 4).tolist() == [[0, 1, 2, 3], [0, 2, 4, 6]]


def test_that_evenly_spaced_times_give_every_nth_frame() -> None:
    step = torch.tensor([1, 2, 3])
    times = (torch.arange(12) / 12.0 + 3.0).expand(3, 12).double()
    assert torch.equal(frames_by_time(times, step, 4), frames_by_step(step, 4))


def test_that_a_gap_in_the_times_is_not_taken_for_speed() -> None:
    times = torch.tensor([[0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 8.0, 9.0]])  # frames 4 and 5 of a steady clip are missing
    assert frames_by_time(times, torch.tensor([2]), 5).tolist() == [[0, 2, 3, 4, 6]]


def test_that_a_video_that_begins_anew_goes_on_in_time() -> None:
    times = torch.tensor([[3.0, 4.0, 5.0, 0.0, 1.0, 2.0, 3.0]])
    assert frames_by_time(times, torch.tensor([2]), 4).tolist() == [[0, 2, 4, 6]]


def test_that_frames_are_taken_per_record() -> None:
    videos = clips()
    taken = take_frames(videos, torch.tensor([[0, 5], [1, 1], [2, 3]]))
    assert torch.equal(taken[0, 1], videos[0, 5])
    assert torch.equal(taken[2, 0], videos[2, 2])


def test_that_identical_neighbouring_frames_are_counted() -> None:
    videos = clips(2, 5)
    videos[1, 3] = videos[1, 2]
    assert_close(still_share(videos), torch.tensor([0.0, 0.25]))


def test_that_all_frames_of_a_clip_get_the_same_crop_and_colours() -> None:
    videos = clips(3, 1).expand(-1, 4, -1, -1, -1)
    recipe = ClipRecipe(size_px=16, jitter=(0.4, 0.4, 0.4, 0.4), grey_chance=0.5, blur_chance=0.5)
    views = crop_clips(videos, rng(), recipe, spec=SPEC)
    assert views.shape == (3, 3, 4, 16, 16)
    assert_close(views, views[:, :, :1].expand_as(views))
    other = crop_clips(videos, rng(seed=1), recipe, spec=SPEC)
    assert not torch.allclose(views, other, atol=0.1)


def test_that_a_whole_crop_without_colours_is_the_plain_clip() -> None:
    videos = clips()[..., :20]
    recipe = ClipRecipe(size_px=20, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
    assert_close(crop_clips(videos, rng(), recipe, spec=SPEC), plain_clips(videos, 20, spec=SPEC), atol=1e-4, rtol=1e-4)
