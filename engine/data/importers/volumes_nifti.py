"""Headers of NIfTI-1 and NIfTI-2 files (.nii, .nii.gz) and of pairs (.hdr with .img), through nibabel."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from engine.data.importers.volumes_header import VolumeHeader, from_xyz, make_header
from engine.errors import DataError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
_RGB = 128  # data type code
_HEADER_BYTES = 540


def start_of(head: bytes) -> bytes:
    """Return the decoded first bytes of a file of which `head` is the beginning."""
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEADER_BYTES)
    except zlib.error:
        return b""


def is_nifti(head: bytes) -> bool:
    """Whether a file starts like NIfTI, packed or not."""
    start = start_of(head)
    return start[:4] in {b"\x5c\x01\0\0", b"\0\0\x01\x5c", b"\x1c\x02\0\0", b"\0\0\x02\x1c"}


def count_axes(head: bytes) -> int:
    """Return the number of axes longer than 1, at least 3, as the first bytes say; 0 = they say nothing."""
    start = start_of(head)
    if len(start) < 80:
        return 0
    order = "<" if start[0] else ">"
    wide = start[:4] in {b"\x1c\x02\0\0", b"\0\0\x02\x1c"}
    dim = np.frombuffer(start, f"{order}i{8 if wide else 2}", 8 if not wide else 6, 16 if wide else 40)
    axes = int(dim[0])
    while axes > 3 and axes < len(dim) and dim[axes] <= 1:
        axes -= 1
    return max(axes, 3)


def look_at_nifti(file: BinaryIO, name: str) -> VolumeHeader:
    """Return the header of a file opened at its start.

    Raises:
        DataError: it is not NIfTI, damaged, or of a kind that is not read.
    """
    from nibabel.nifti1 import Nifti1Header  # half a second, for those who have such files
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError

    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    start = _unpack_start(file) if packed else file.read(_HEADER_BYTES)
    if not is_nifti(start) or len(start) < 348:
        raise DataError("the file is truncated: its header is cut" if is_nifti(start) else "is not a NIfTI file")
    wide = start[:4] in {b"\x1c\x02\0\0", b"\0\0\x02\x1c"}
    if wide and len(start) < _HEADER_BYTES:
        raise DataError("the file is truncated: its header is cut")
    try:
        with np.errstate(all="ignore"):  # over numbers that are none, which are refused
            header = Nifti2Header(start[:540], check=False) if wide else Nifti1Header(start[:348], check=False)
            return _described(header, name, packed=packed)
    except (HeaderDataError, ValueError, KeyError) as error:
        raise DataError(f"its header is damaged: {error}") from error


def _unpack_start(file: BinaryIO) -> bytes:
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            return stream.read(_HEADER_BYTES)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"the gzip stream is damaged: {error}") from error


def _described(header: Nifti1Header, name: str, *, packed: bool) -> VolumeHeader:
    magic = bytes(header["magic"].item())[:3]
    pair = magic in {b"ni1", b"ni2"}
    if magic not in {b"n+1", b"n+2"} and not pair:
        raise DataError("is an Analyze file, which says nothing sure of left and right; convert it to NIfTI")
    shape = tuple(int(side) for side in header.get_data_shape())
    if any(side != 1 for side in shape[5:]):
        raise DataError(f"has {len(shape)} axes")
    x, y, z, t, c = (*shape, 1, 1, 1, 1, 1)[:5]
    rgb = int(header["datatype"]) == _RGB
    if rgb and c != 1:
        raise DataError("has both colours and a fifth axis")
    slope, inter = header.get_slope_inter()
    space, time = header.get_xyzt_units()
    affine = np.array(header.get_best_affine(), np.float64)
    affine[:3] *= _MM.get(space, 1.0)
    spaced = float(header["pixdim"][4]) * _SECONDS.get(time, 1.0) if t > 1 else math.nan
    order = "<" if header.endianness == "<" else ">"
    stored = np.dtype("u1") if rgb else header.get_data_dtype().newbyteorder(order)
    at = int(header["vox_offset"]) if pair else max(int(header["vox_offset"]), int(header["sizeof_hdr"]) + 4)
    if at < 0 or not math.isfinite(float(header["vox_offset"])):
        raise DataError("says its values begin before the file")
    known = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    return make_header(
        {"W": x, "H": y, "D": z, "T": t, "C": 3 if rgb else c},
        "TDHWC" if rgb else "CTDHW",
        stored,
        from_xyz(affine),
        encoding="gzip" if packed and not pair else "raw",
        at=0 if packed else at,
        skip=at if packed else 0,
        slope=1.0 if slope is None else float(slope),
        inter=0.0 if inter is None or slope is None else float(inter),
        frame_s=spaced if spaced > 0 else math.nan,
        doubt="" if known else "it does not say how it lies in the patient; left and right are a guess",
        channels=("red", "green", "blue") if rgb else (),
        labels=int(header["intent_code"]) == 1002,
        data_files=(_image_name(name),) if pair else (),
    )


def _image_name(name: str) -> str:
    stem = PurePosixPath(name).name
    return (stem[:-7] + ".img.gz") if stem.lower().endswith(".hdr.gz") else stem[:-4] + ".img"
