"""Clips: which frames are taken, and that one crop and one change of colours holds for all of them."""

import torch
from torch.testing import assert_close

from engine.protocol.schema import FieldKind, FieldSpec
from engine.views.clips import (
    ClipRecipe,
    crop_clips,
    even_starts,
    frame_numbers,
    frame_numbers_by_time,
    plain_clips,
    random_starts,
    still_share,
    take_frames,
)
from engine.views.rng import Rng

SPEC = FieldSpec(name="clip", kind=FieldKind.CLIP, shape=(6, 3, 20, 24), mean=(0.5,) * 3, std=(0.25,) * 3)


def clips(records: int = 3, frames: int = 6) -> torch.Tensor:
    return torch.randint(256, (records, frames, 3, 20, 24), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def rng(records: int = 3, seed: int = 0) -> Rng:
    return Rng(seed, 0, torch.arange(records))


def test_that_numbers_go_on_from_the_beginning_after_the_end() -> None:
    numbers = frame_numbers(torch.tensor([0, 4]), torch.tensor([1, 2]), 4, 7)
    assert numbers.tolist() == [[0, 1, 2, 3], [4, 6, 1, 3]]


def test_that_evenly_spaced_times_give_the_numbers_of_frames() -> None:
    start, step = torch.tensor([0, 4, 2]), torch.tensor([1, 2, 3])
    times = (torch.arange(7) / 12.0 + 3.0).expand(3, 7).double()
    assert frame_numbers_by_time(times, start, step, 4).tolist() == frame_numbers(start, step, 4, 7).tolist()


def test_that_a_gap_in_the_times_is_not_taken_for_speed() -> None:
    times = torch.tensor([[0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 8.0, 9.0]])  # frames 4 and 5 of a steady clip are missing
    assert frame_numbers_by_time(times, torch.tensor([0]), 2, 5).tolist() == [[0, 2, 3, 4, 6]]


def test_that_a_span_begins_where_it_fits_and_anywhere_in_a_short_video() -> None:
    starts = random_starts(rng(500), 10, 8)
    assert sorted(set(starts.tolist())) == [0, 1, 2]
    assert sorted(set(random_starts(rng(500), 5, 8).tolist())) == [0, 1, 2, 3, 4]


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


def test_that_starts_are_spread_from_the_first_to_the_last_place() -> None:
    assert even_starts(72, 16, 3).tolist() == [0, 28, 56]
    assert even_starts(72, 16, 1).tolist() == [28]
    assert even_starts(8, 16, 3).tolist() == [0, 0, 0]
