"""Writing small DICOM files for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT, MR, ENHANCED_MR = (f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("2", "4", "4.1"))
CR, CAPTURE, REPORT = (f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("1", "7", "88.11"))
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)  # rows along (0.8, 0.6, 0), columns downwards


def uid(text: str) -> str:
    """Return an identifier made of a text."""
    return str(generate_uid(entropy_srcs=[text]))


def write_file(path: Path, pixels: np.ndarray[Any, Any] | None, **elements: Any) -> Path:
    """Write one file; `elements` go over what is usual."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = Dataset()
    found.file_meta = meta
    usual: dict[str, Any] = {
        "SOPClassUID": CT, "SOPInstanceUID": uid(str(path)), "Modality": "CT", "PatientID": "MRN-12345",
        "PatientName": "Doe^Jane", "StudyInstanceUID": uid("study"), "SeriesInstanceUID": uid("series"),
        "SeriesNumber": 3, "SeriesDescription": "thorax", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    }  # fmt: skip
    if pixels is not None:
        usual |= {
            "Rows": pixels.shape[-2], "Columns": pixels.shape[-1], "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 8 * pixels.itemsize,
            "BitsStored": 8 * pixels.itemsize, "HighBit": 8 * pixels.itemsize - 1,
            "PixelRepresentation": int(pixels.dtype.kind == "i"),
        }  # fmt: skip
        if pixels.ndim > 2:
            usual["NumberOfFrames"] = len(pixels)
    for name, value in (usual | elements).items():
        if value is not None:
            setattr(found, name, value)
    if pixels is not None:
        found.PixelData = pixels.tobytes()
    meta.MediaStorageSOPClassUID = found.SOPClassUID
    meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID
    found.save_as(path, enforce_file_format=True)
    return path


def place_of(level: float, orientation: tuple[float, ...], step: float, origin: tuple[float, ...]) -> list[float]:
    """Return the position of a slice."""
    normal = np.cross(orientation[:3], orientation[3:])
    return (np.array(origin) + normal * step * level).tolist()


def write_series(
    folder: Path,
    pixels: np.ndarray[Any, Any],
    *,
    orientation: tuple[float, ...] = AXIAL,
    step: float = 2.5,
    origin: tuple[float, ...] = (-30.0, -40.0, 100.0),
    levels: list[float] | None = None,
    names: str = "{level:03d}.dcm",
    **elements: Any,
) -> list[Path]:
    """Write slices (D, H, W), the first at `origin`, the others along the normal; returns their paths."""
    usual: dict[str, Any] = {
        "ImageOrientationPatient": list(orientation), "PixelSpacing": [1.25, 0.75], "SliceThickness": 99.0,
        "RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU",
    }  # fmt: skip
    paths = []
    for level, plane in enumerate(pixels):
        at = levels[level] if levels else level
        own = {
            "InstanceNumber": len(pixels) - level,  # against the order in space
            "ImagePositionPatient": place_of(at, orientation, step, origin),
        }
        paths.append(write_file(folder / names.format(level=level), plane, **(usual | own | elements)))
    return paths


def frame_group(**sequences: dict[str, Any]) -> Dataset:
    """Return an item of functional groups: sequence → elements of its one item."""
    group = Dataset()
    for name, elements in sequences.items():
        item = Dataset()
        for key, value in elements.items():
            setattr(item, key, value)
        setattr(group, name, Sequence([item]))
    return group


def write_enhanced(path: Path, pixels: np.ndarray[Any, Any], *, times: int = 1) -> Path:
    """Write an enhanced MR file of (T·D, H, W) frames, time by time."""
    depth = len(pixels) // times
    frames = [
        frame_group(
            PlanePositionSequence={"ImagePositionPatient": place_of(number % depth, AXIAL, 4.0, (1.0, 2.0, 3.0))},
            FrameContentSequence={"TemporalPositionIndex": number // depth + 1},
            PixelValueTransformationSequence={"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"},
        )
        for number in range(len(pixels))
    ]
    shared = frame_group(
        PlaneOrientationSequence={"ImageOrientationPatient": list(AXIAL)},
        PixelMeasuresSequence={"PixelSpacing": [1.5, 1.5], "SliceThickness": 4.0},
    )
    return write_file(
        path, pixels, SOPClassUID=ENHANCED_MR, Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        SharedFunctionalGroupsSequence=Sequence([shared]), PerFrameFunctionalGroupsSequence=Sequence(frames),
    )  # fmt: skip
