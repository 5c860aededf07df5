"""Coding of messages, inspections and arrays into frames, and back, with limits.

A message is a list of frames: frame 0 is the msgpack of the struct, then for every array one frame of msgpack
`(dtype, shape)` and one of raw bytes in C order. Both ends treat the other as untrusted: unknown types, wrong
fields, object arrays, negative or over-large shapes and trailing bytes are refused with `WireError`.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_type_hints

import msgspec
import numpy as np

from engine.protocol import inspections, messages
from engine.protocol.inspections import Array, Inspection

MAX_HEADER_BYTES = 64 * 2**20
MAX_ARRAY_BYTES = 2 * 2**30
MAX_ARRAYS = 256
_DTYPES = frozenset(
    "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 float32 float64 complex64".split()  # noqa: SIM905
)


class WireError(ValueError):
    """Frames that are not a well-formed message."""


_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[messages.REQUESTS])  # noqa: UP007
_answers: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(
    Union[(*messages.REPLIES, *messages.EVENTS, messages.LiveView)]
)
_workers: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[messages.WORKER_MESSAGES])  # noqa: UP007
_array_header = msgspec.msgpack.Decoder(tuple[str, tuple[int, ...]])


def encode(message: messages.Message, arrays: Sequence[Array] = ()) -> list[bytes | memoryview]:
    """Return the frames of a message and its arrays; array memory is borrowed, not copied, where contiguous."""
    frames: list[bytes | memoryview] = [_encoder.encode(message)]
    for array in arrays:
        frames.extend(_encode_array(array))
    return frames


def _encode_array(array: Array) -> tuple[bytes, memoryview]:
    array = np.ascontiguousarray(array)
    if array.dtype.name not in _DTYPES:
        msg = f"arrays of type {array.dtype} do not travel"
        raise WireError(msg)
    return _encoder.encode((array.dtype.name, array.shape)), array.reshape(-1).view(np.uint8).data


def decode_request(frames: Sequence[bytes]) -> messages.Request:
    """Read a request.

    Raises:
        WireError: the frames are not one.
    """
    return _decode(_requests, frames)[0]  # type: ignore[no-any-return]


def decode_answer(frames: Sequence[bytes]) -> tuple[messages.Message, list[Array]]:
    """Read a reply, an event or a live view, and its arrays.

    Raises:
        WireError: the frames are not one.
    """
    return _decode(_answers, frames)


def decode_worker(frames: Sequence[bytes]) -> tuple[messages.Message, list[Array]]:
    """Read a message between worker and supervisor, and its arrays.

    Raises:
        WireError: the frames are not one.
    """
    return _decode(_workers, frames)


def _decode(decoder: msgspec.msgpack.Decoder[Any], frames: Sequence[bytes]) -> tuple[Any, list[Array]]:
    if not frames or len(frames[0]) > MAX_HEADER_BYTES:
        msg = "no header, or one that is too large"
        raise WireError(msg)
    try:
        message = decoder.decode(frames[0])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"not a message of protocol {messages.PROTOCOL_VERSION}: {error}"
        raise WireError(msg) from error
    return message, decode_arrays(frames[1:])


def decode_arrays(frames: Sequence[bytes]) -> list[Array]:
    """Read arrays from their frames; the arrays are read-only views of the frames.

    Raises:
        WireError: a frame is missing, of an unknown type or of another size than its header says.
    """
    if len(frames) % 2 or len(frames) > 2 * MAX_ARRAYS:
        msg = f"{len(frames)} array frames"
        raise WireError(msg)
    arrays: list[Array] = []
    for header, data in zip(frames[::2], frames[1::2], strict=True):
        try:
            dtype, shape = _array_header.decode(header)
        except msgspec.MsgspecError as error:
            msg = f"bad array header: {error}"
            raise WireError(msg) from error
        if dtype not in _DTYPES or len(shape) > 8 or any(side < 0 for side in shape):
            msg = f"array of type {dtype[:20]!r} and shape {shape[:9]}"
            raise WireError(msg)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size > MAX_ARRAY_BYTES or size != len(data):
            msg = f"array of {size} bytes in a frame of {len(data)}"
            raise WireError(msg)
        arrays.append(np.frombuffer(data, dtype=dtype).reshape(shape))
    return arrays


# ── inspections: header + arrays, on the wire and on disk ────────────────────────────────────────────

_KINDS: dict[str, type[Inspection]] = {
    kind.__struct_config__.tag: kind  # type: ignore[misc]
    for kind in get_args(get_args(inspections.AnyInspection)[0])
}
_HINTS = {tag: get_type_hints(kind) for tag, kind in _KINDS.items()}


def split_inspection(inspection: Inspection) -> tuple[bytes, list[Array]]:
    """Return an inspection's header (JSON, arrays replaced by their numbers) and its arrays."""
    arrays: list[Array] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return {"array": len(arrays) - 1}
        if isinstance(value, tuple) and value and all(isinstance(item, np.ndarray) for item in value):
            return [plain(item) for item in value]
        return value

    header = {name: plain(getattr(inspection, name)) for name in inspection.__struct_fields__}
    header["kind"] = type(inspection).__struct_config__.tag
    return msgspec.json.encode(header), arrays


def join_inspection(header: bytes, arrays: Sequence[Array]) -> Inspection:
    """Return the inspection of a header and its arrays.

    Raises:
        WireError: the header is not that of a known kind, or an array is missing.
    """
    try:
        values = msgspec.json.decode(header, type=dict[str, Any])
        tag = values.pop("kind")
        kind, hints = _KINDS[tag], _HINTS[tag]
        found = {name: _restore(hints[name], value, arrays) for name, value in values.items()}
        return kind(**found)
    except (msgspec.MsgspecError, KeyError, TypeError, IndexError, ValueError) as error:
        msg = f"not an inspection: {error}"
        raise WireError(msg) from error


def _restore(hint: Any, value: Any, arrays: Sequence[Array]) -> Any:
    if hint == Array:
        return arrays[_number_of(value)]
    if hint == tuple[Array, ...]:
        return tuple(arrays[_number_of(item)] for item in value)
    return msgspec.convert(value, hint)


def _number_of(value: Any) -> int:
    number = value["array"]
    if not isinstance(number, int) or number < 0:
        msg = f"array number {number!r}"
        raise ValueError(msg)
    return number


def pack_inspection(inspection: Inspection) -> list[Array]:
    """Return an inspection as arrays that follow a `LiveView`, `WorkerView` or `InspectionData`: header first."""
    header, arrays = split_inspection(inspection)
    return [np.frombuffer(header, dtype=np.uint8), *arrays]


def unpack_inspection(arrays: Sequence[Array]) -> Inspection:
    """Return the inspection of arrays made by `pack_inspection`.

    Raises:
        WireError: they are not one.
    """
    if not arrays or arrays[0].dtype != np.uint8:
        msg = "no inspection header"
        raise WireError(msg)
    return join_inspection(arrays[0].tobytes(), arrays[1:])


def save_inspection(path: Path, inspection: Inspection) -> None:
    """Write an inspection as .npz beside `path`, then rename it into place."""
    header, arrays = split_inspection(inspection)
    buffer = io.BytesIO()
    named = {f"a{number}": array for number, array in enumerate(arrays)}
    np.savez_compressed(buffer, header=np.frombuffer(header, dtype=np.uint8), **named)  # type: ignore[arg-type]
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(buffer.getvalue())
    partial.replace(path)


def load_inspection(path: Path) -> Inspection:
    """Read an inspection written by `save_inspection`.

    Raises:
        WireError: the file is not one.
    """
    try:
        # from memory: numpy leaves a file open when it is not a complete archive
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            count = len(stored.files) - 1
            return join_inspection(stored["header"].tobytes(), [stored[f"a{number}"] for number in range(count)])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        msg = f"{path.name} is not a stored inspection: {error}"
        raise WireError(msg) from error
