"""Example records of the checks: of every kind, ragged where data are, with companions that fit their owners."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from engine.contract.subject import Subject
from engine.data.windows import Window
from engine.errors import MethodError
from engine.method import Method
from engine.methods import simclr
from engine.protocol.schema import FieldKind, Need


def subject_of(*needs: Need, with_optional: bool = True) -> Subject:
    """Return example records for some needs."""
    method: Method = dataclasses.replace(simclr.METHOD, needs=needs)
    return Subject.of(method, with_optional=with_optional)


def test_that_pictures_of_any_number_of_channels_come_ragged_with_their_names() -> None:
    needs = (
        Need(kinds=(FieldKind.CHANNELS,), ragged=True),
        Need(kinds=(FieldKind.NUMBER,), of="channels", suffix="names"),
    )
    batch = subject_of(*needs).batch(4)
    pictures, names = batch.ragged("channels"), batch.ragged("channels_names")
    assert len(set(pictures.lengths.tolist())) > 2
    assert torch.equal(pictures.lengths, names.lengths)
    assert batch.specs["channels_names"].classes


def test_that_members_of_a_bag_come_with_places_and_stains_and_some_lack_one() -> None:
    companions = [
        Need(kinds=(FieldKind.NUMBER,), of="bag", suffix=suffix, optional=True) for suffix in ("coordinates", "stains")
    ]
    batch = subject_of(Need(kinds=(FieldKind.BAG,)), *companions).batch(3)
    bag, stains = batch.ragged("bag"), batch.ragged("bag_stains")
    assert len(bag.data) == len(stains.data) == len(batch.ragged("bag_coordinates").data)
    assert [len(part.unique()) for part in stains.data.split(stains.lengths.tolist())] == [3, 3, 2]


def test_that_two_texts_differ_and_a_mask_fits_its_picture() -> None:
    needs = (
        Need(kinds=(FieldKind.TEXT,)),
        Need(kinds=(FieldKind.TEXT,), name="other"),
        Need(kinds=(FieldKind.VOLUME,)),
        Need(kinds=(FieldKind.MASK,)),
        Need(kinds=(FieldKind.MASK,), of="volume", suffix="second"),
    )
    batch = subject_of(*needs).batch(2)
    assert batch.texts["text"] != batch.texts["other"]
    assert batch["mask"].shape == batch["volume_second"].shape == batch["volume"][:, 0].shape


def test_that_records_can_be_without_what_is_optional() -> None:
    needs = Need(kinds=(FieldKind.PAIR,)), Need(kinds=(FieldKind.NUMBER,), of="pair", suffix="depth", optional=True)
    assert subject_of(*needs).batch(2)["pair_depth"].shape == subject_of(*needs).batch(2)["pair"][:, :, 0].shape
    assert "pair_depth" not in subject_of(*needs, with_optional=False).batch(2)


def test_that_a_companion_of_nothing_is_refused() -> None:
    with pytest.raises(MethodError, match="clip_times_s"):
        subject_of(Need(kinds=(FieldKind.IMAGE,)), Need(kinds=(FieldKind.NUMBER,), of="clip", suffix="times_s"))


@pytest.mark.parametrize("suffix", ["times_s", "intrinsics", "planes", "present", "affine", "origin", "rate_hz"])
def test_that_companions_do_not_depend_on_the_batch(suffix: str) -> None:
    needs = Need(kinds=(FieldKind.CINE,)), Need(kinds=(FieldKind.NUMBER,), of="cine", suffix=suffix)
    subject = subject_of(*needs)
    key = f"cine_{suffix}"
    assert torch.equal(subject.batch(3)[key][2:], subject.batch(1, first=2)[key])


def windowed(window: Window, *needs: Need) -> Subject:
    """Return example records of a method that takes windows of its first need."""
    method = dataclasses.replace(simclr.METHOD, needs=needs, windows=lambda _config, _schema: {needs[0].key: window})
    return Subject.of(method)


CLIP = Need(kinds=(FieldKind.CLIP,))


def test_that_windows_come_out_of_larger_and_smaller_records() -> None:
    subject = windowed(
        Window(size={"T": 8, "H": 16}, count=2), CLIP, Need(kinds=(FieldKind.MASK,), of="clip", suffix="mask")
    )
    batch = subject.batch(4)
    assert subject.schema.fields[0].shape[:1] == subject.schema.fields[1].shape[:1] == (None,)
    assert batch["clip"].shape[:4] == (4, 2, 8, 3)
    assert batch["clip_mask"].shape[:4] == (4, 2, 8, 16)
    assert batch.specs["clip"].shape == batch["clip"].shape[2:]
    assert len(set(batch.places["clip"].whole[:, 0].tolist())) == 4
    assert batch.places["clip"].extent[3, 0].tolist() == [6, 12]


def test_that_example_windows_do_not_depend_on_the_batch_and_move_from_step_to_step() -> None:
    subject = windowed(Window(size={"T": 4}, short="repeat"), CLIP)
    assert torch.equal(subject.batch(4)["clip"][2:3], subject.batch(1, first=2)["clip"])
    assert not torch.equal(subject.batch(4)["clip"], subject.batch(4, draw=1)["clip"])
    assert torch.equal(subject.shown(2)["clip"], subject.shown(4)["clip"][:2])
