"""Frames: what goes in comes out, and nothing else gets in."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.protocol import messages, wire
from engine.protocol.inspections import Attention, Embedding, Inspection, Reconstruction, VolumeStack


def reconstruction() -> Reconstruction:
    generator = np.random.default_rng(0)
    return Reconstruction(
        view="reconstruction",
        title="Reconstruction",
        step=1200,
        records=np.arange(2),
        labels=("brick", "grass"),
        input=generator.random((2, 3, 8, 8), np.float32),
        mask=generator.random((2, 4, 4)) < 0.5,
        output=generator.random((2, 3, 8, 8), np.float32),
        error=generator.random((2, 8, 8), np.float32),
        psnr_db=np.array([20.0, 21.5], np.float32),
    )


def test_that_a_request_survives_its_frames() -> None:
    request = messages.StartRun(id="7", spec=messages.RunSpec(method="cae", dataset="/x.h5", config={"image_px": 64}))
    assert wire.decode_request([bytes(frame) for frame in wire.encode(request)]) == request


def test_that_a_loss_that_is_not_finite_travels_as_none() -> None:
    row = messages.MetricsRow(step=3, time_s=1.0, values={"loss": None})
    event = messages.MetricsAppended(seq=1, run="r", first_line=0, rows=(row,))
    decoded, _ = wire.decode_answer([bytes(frame) for frame in wire.encode(event)])
    assert decoded == event


def test_that_arrays_arrive_with_type_shape_and_values() -> None:
    arrays = [np.arange(6, dtype=np.int32).reshape(2, 3), np.zeros((0, 4), np.float16), np.array([True, False])]
    _, found = wire.decode_answer([bytes(frame) for frame in wire.encode(messages.Done(id="1"), arrays)])
    for sent, received in zip(arrays, found, strict=True):
        assert received.dtype == sent.dtype
        np.testing.assert_array_equal(received, sent)


def test_that_object_arrays_are_refused() -> None:
    with pytest.raises(wire.WireError, match="do not travel"):
        wire.encode(messages.Done(id="1"), [np.array([{}], dtype=object)])


def test_that_a_header_that_lies_about_its_size_is_refused() -> None:
    frames = [bytes(frame) for frame in wire.encode(messages.Done(id="1"), [np.zeros(4, np.uint8)])]
    frames[1] = msgspec.msgpack.encode(("float64", (2**40,)))
    with pytest.raises(wire.WireError, match="array of"):
        wire.decode_answer(frames)


def test_that_a_worker_message_is_no_request() -> None:
    frames = [bytes(frame) for frame in wire.encode(messages.WorkerReady(job="1", token="x", pid=1))]
    with pytest.raises(wire.WireError):
        wire.decode_request(frames)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_that_random_frames_are_refused_and_nothing_worse(frames: list[bytes]) -> None:
    with pytest.raises(wire.WireError):
        wire.decode_request(frames)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_that_damaged_messages_are_refused_or_read_as_a_message(data: st.DataObject) -> None:
    frame = bytearray(wire.encode(messages.Replay(id="abc", epoch="e", after=12))[0])
    frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = wire.decode_request([bytes(frame)])
    except wire.WireError:
        return
    assert isinstance(decoded, messages.Request)


def test_that_an_inspection_survives_disk_and_wire(tmp_path: Path) -> None:
    original = reconstruction()
    wire.save_inspection(tmp_path / "a.npz", original)
    for restored in (wire.load_inspection(tmp_path / "a.npz"), wire.join_inspection(*wire.split_inspection(original))):
        assert isinstance(restored, Reconstruction)
        assert restored.labels == original.labels
        np.testing.assert_array_equal(restored.mask, original.mask)
        np.testing.assert_array_equal(restored.output, original.output)


def test_that_layers_of_a_volume_keep_their_order() -> None:
    stack = VolumeStack(
        view="v", title="t", step=0, record=1, layers=("a", "b"), volumes=(np.zeros((2, 2, 2)), np.ones((2, 2, 2)))
    )
    restored = wire.join_inspection(*wire.split_inspection(stack))
    assert isinstance(restored, VolumeStack)
    assert [float(volume.max()) for volume in restored.volumes] == [0.0, 1.0]


@pytest.mark.parametrize("cut", [0, 10, 100, 400])
def test_that_a_truncated_inspection_file_is_named_and_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "0001200-reconstruction.npz"
    wire.save_inspection(path, reconstruction())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(wire.WireError, match="0001200-reconstruction"):
        wire.load_inspection(path)


def test_that_every_inspection_kind_has_its_own_tag() -> None:
    assert Attention.__struct_config__.tag == "attention"
    assert Embedding.__struct_config__.tag == "embedding"
    kinds = {kind for each in Inspection.__subclasses__() for kind in (each.__subclasses__() or [each])}
    ours = {kind for kind in kinds if kind.__module__ == Inspection.__module__}  # a test may declare one of its own
    assert set(wire._KINDS.values()) == ours
