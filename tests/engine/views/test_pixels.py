import torch
from torch.testing import assert_close

from engine.data.batch import Batch
from engine.protocol.schema import FieldKind, FieldSpec
from engine.views.pixels import denormalise, evaluation_view, normalise, to_float
from tests.engine.views.samples import SPEC, pictures, stored


def test_that_integers_are_scaled_by_their_largest_value() -> None:
    assert to_float(torch.tensor([0, 255], dtype=torch.uint8), SPEC).tolist() == [0.0, 1.0]
    assert to_float(torch.tensor([65535]).to(torch.uint16), SPEC).tolist() == [1.0]


def test_that_floats_are_kept_as_stored() -> None:
    assert to_float(torch.tensor([-3.0, 700.0], dtype=torch.float64), SPEC).tolist() == [-3.0, 700.0]


def test_that_denormalise_undoes_normalise() -> None:
    images = pictures(2, 5, 6)
    assert_close(denormalise(normalise(images, SPEC), SPEC), images)
    assert not torch.equal(normalise(images, SPEC), images)


def test_that_channels_of_clips_and_volumes_are_normalised_along_their_own_axis() -> None:
    for kind, shape in ((FieldKind.CLIP, (2, 4, 3, 8, 8)), (FieldKind.VOLUME, (2, 3, 8, 8, 8))):
        spec = FieldSpec(name="x", kind=kind, mean=(1.0, 2.0, 3.0), std=(1.0, 1.0, 1.0))
        axis = shape.index(3)
        result = normalise(torch.zeros(shape), spec).movedim(axis, 0)
        assert [float(channel.mean()) for channel in result] == [-1.0, -2.0, -3.0]


def test_that_a_field_without_statistics_spans_minus_one_to_one() -> None:
    spec = FieldSpec(name="image", kind=FieldKind.IMAGE)
    assert normalise(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2), spec).unique().tolist() == [
        -1.0,
        1.0,
    ]


def test_that_a_constant_channel_does_not_divide_by_zero() -> None:
    spec = FieldSpec(name="image", kind=FieldKind.IMAGE, mean=(0.5,), std=(0.0,))
    assert normalise(torch.zeros(1, 1, 2, 2), spec).unique().tolist() == [-0.5]


def test_that_evaluation_sees_the_centre_at_the_wanted_size() -> None:
    images = stored(2, 30, 50)
    batch = Batch({"image": images}, torch.arange(2), {"image": SPEC})
    view = evaluation_view(batch, "image", 30)
    assert_close(view, normalise(images[:, :, :, 10:40] / 255, SPEC))
    assert evaluation_view(batch, "image", 16).shape == (2, 3, 16, 16)


def test_that_evaluation_takes_a_volume() -> None:
    spec = FieldSpec(name="volume", kind=FieldKind.VOLUME, dtype="float32")
    batch = Batch({"volume": torch.rand(1, 1, 8, 12, 12)}, torch.arange(1), {"volume": spec})
    assert evaluation_view(batch, "volume", 6).shape == (1, 1, 6, 6, 6)
