"""Whether an image file ends where it should: found by its end marker, without decoding a pixel.

A JPEG ends with the marker FF D9, which cannot occur inside coded pixels (there FF is followed by 00 or a restart
marker); a PNG ends with the chunk IEND. What follows the marker (a second picture, a film, padding) does no harm.
"""

from __future__ import annotations

from typing import BinaryIO

from engine.data.jpeg_frame import HEAD_BYTES, read_jpeg_frame

_TAIL_BYTES = 1024
_PIECE_BYTES = 1024 * 1024
JPEG_END = b"\xff\xd9"
_PNG_END = b"IEND\xaeB`\x82"
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def lacks_end(file: BinaryIO, kind: str) -> bool:
    """Return whether a JPEG or PNG file lacks its end marker; False for other kinds.

    Reads a kilobyte of a file that is as it should be, and all of one that seems cut.
    """
    if kind == "png":
        return not _holds(file, _PNG_END, 8)
    if kind != "jpeg":
        return False
    pixels = _start_of_pixels(file)
    return pixels < 0 or not _holds(file, JPEG_END, pixels)


def _holds(file: BinaryIO, mark: bytes, start: int) -> bool:
    """Return whether `mark` occurs behind `start`: first looked for at the end, then everywhere."""
    size = file.seek(0, 2)
    at = max(start, size - _TAIL_BYTES)
    file.seek(at)
    if mark in file.read(_TAIL_BYTES):
        return True
    file.seek(start)
    carried = b""
    while piece := file.read(_PIECE_BYTES):
        if mark in carried + piece:
            return True
        carried = piece[-len(mark) + 1 :]
    return False


def _start_of_pixels(file: BinaryIO) -> int:
    """Return where the coded pixels of a JPEG begin, behind the header segments; -1 = it ends before."""
    file.seek(0)
    frame = read_jpeg_frame(file.read(HEAD_BYTES))
    if frame is not None:
        return frame.pixels_at
    at = 2
    while True:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return -1
        marker = head[1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _STANDALONE:
            at += 2
        elif marker == _END_OF_IMAGE:
            return -1
        elif marker == _START_OF_SCAN:
            return at + 2 + int.from_bytes(head[2:4], "big")
        else:
            at += 2 + int.from_bytes(head[2:4], "big")
