"""Headers of DICOM files: what the file is, whose, and where each of its frames lies. No pixel is read here."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from engine.data.importers.dicom_frames import Frame, read_frames, read_number, read_text, read_words
from engine.data.importers.sources import ArchiveReader, Entry, Listing
from engine.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = frozenset({".dcm", ".dicom", ".dic", ".ima"})
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_STACKED = frozenset({"2", "2.1", "2.2", "4", "4.1", "4.4", "128", "128.1", "130"})  # CT, MR, PET and their kin
_FLAT = frozenset(
    {
        "1",
        "1.1",
        "1.1.1",
        "1.2",
        "1.2.1",
        "1.3",
        "1.3.1",
        "6.1",
        "12.1",
        "12.2",
        "77.1.1",
        "77.1.2",
        "77.1.4",
        "77.1.5.1",
    }
)
_CAPTURES = frozenset({"7", "7.1", "7.2", "7.3", "7.4"})
_PROJECTIONS = frozenset({"CR", "DX", "MG", "RG", "IO", "PX", "XC", "RF", "XA"})
_REFUSED = {
    "66.4": "a segmentation object, which is not read",
    "66": "raw data of a scanner",
    "481.2": "a dose distribution, which is not read",
    "481.3": "contours for radiotherapy, which are not read",
    "481.5": "a plan for radiotherapy",
    "20": "a nuclear medicine image, which is not read",
    "104.1": "a document",
    "6": "an ultrasound image of a retired kind, which is not read",
}
_REFUSED_FAMILIES = {
    "88.": "a report or a list of key images",
    "11.": "a presentation state",
    "9.": "a waveform",
    "481.": "an object of radiotherapy, which is not read",
}
_DIRECTORY = "1.2.840.10008.1.3.10"
_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "Modality", "PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID",
    "SeriesNumber", "SeriesDescription", "InstanceNumber", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "ImageType", "EchoTime", "EchoNumbers", "AcquisitionNumber",
    "TemporalPositionIdentifier", "TriggerTime", "AcquisitionTime", "ContentTime", "DiffusionBValue",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
_MOST_REMEMBERED = 50_000
_remembered: dict[tuple[Any, ...], DicomHeader | str] = {}


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """One DICOM file."""

    entry: Entry
    sop_class: str  # its ending after the storage prefix; the whole where there is none
    instance: str
    modality: str
    patient: str
    study: str
    series: str
    number: int  # of the series
    description: str
    rows: int
    columns: int
    samples: int
    photometric: str
    bits: int  # stored
    allocated: int
    signed: bool
    rescale: str  # type of the rescaled values
    thickness: float  # NaN = unknown
    image_type: tuple[str, ...]
    person: str = ""  # the patient's name; for finding it in names of files, never stored
    frames: tuple[Frame, ...] = field(default=())

    @property
    def refusal(self) -> str:
        """Why the file is no picture that can be imported as volume or image, or ""."""
        if self.sop_class == _DIRECTORY:
            return "a directory of DICOM files"
        if self.sop_class in _REFUSED:
            return _REFUSED[self.sop_class]
        family = next((text for start, text in _REFUSED_FAMILIES.items() if self.sop_class.startswith(start)), "")
        if family:
            return family
        if self.is_loop:
            return "a loop of ultrasound or fluoroscopy; import it as a clip"
        return "" if self.is_stacked or self.is_flat or self.is_capture else "of a kind of DICOM that is not read"

    @property
    def is_stacked(self) -> bool:
        """Whether it is a slice, or a stack of slices."""
        return self.sop_class in _STACKED

    @property
    def is_flat(self) -> bool:
        """Whether it is a radiograph, photograph or still of a loop."""
        projection = self.is_capture and self.modality in _PROJECTIONS
        return (self.sop_class in _FLAT or projection) and len(self.frames) == 1

    @property
    def is_capture(self) -> bool:
        """Whether it is a secondary capture, as screenshots are."""
        return self.sop_class in _CAPTURES

    @property
    def is_loop(self) -> bool:
        """Whether it is a film of a plane."""
        return self.sop_class == "3.1" or (self.sop_class in _FLAT and len(self.frames) > 1)

    @property
    def bytes_decoded(self) -> int:
        """Size of all frames once decoded."""
        return self.rows * self.columns * self.samples * max(1, self.allocated // 8) * len(self.frames)


def dicom_entries(listing: Listing, entries: Sequence[Entry] | None = None) -> list[Entry]:
    """Return the DICOM files: those with "DICM" at byte 128, whatever they are called, and those called so.

    Files with the suffix of something else are not looked at. Members of tar archives go by their names only.
    """
    archives: dict[Any, zipfile.ZipFile] = {}
    try:
        return [
            entry
            for entry in (may_be_dicom(listing) if entries is None else entries)
            if entry.suffix in SUFFIXES or _start(listing, entry, archives)[128:132] == b"DICM"
        ]
    finally:
        for archive in archives.values():
            archive.close()


def may_be_dicom(listing: Listing) -> list[Entry]:
    """Return files called like DICOM, and those whose names leave it open: no suffix, or a number as of identifiers."""
    called = {suffix for suffix in listing.suffixes() if suffix in SUFFIXES}
    open_ = {suffix for suffix in listing.suffixes() if not suffix or suffix[1:].isdigit()}
    return [entry for entry in listing.having(called | open_) if entry.size > 132 or entry.suffix in called]


def _start(listing: Listing, entry: Entry, archives: dict[Any, zipfile.ZipFile]) -> bytes:
    if not entry.member:
        return listing.head(entry)
    if not entry.path.name.lower().endswith(".zip"):
        return b""
    try:
        if entry.path not in archives:
            archives[entry.path] = zipfile.ZipFile(entry.path)
        with archives[entry.path].open(entry.member) as file:
            return file.read(132)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, KeyError):
        return b""  # named when it is read


def read_headers(entries: Sequence[Entry]) -> list[DicomHeader | str]:
    """Return the header of every file, or why it has none; they are remembered until the files change."""
    found = []
    with ArchiveReader() as reader:
        for entry in entries:
            key = (str(entry.path), entry.member, entry.size, entry.changed_ns, entry.name)
            known = _remembered.get(key)
            if known is None:
                known = _read(entry, reader)
                if len(_remembered) < _MOST_REMEMBERED:
                    _remembered[key] = known
            found.append(known)
    return found


def _read(entry: Entry, reader: ArchiveReader) -> DicomHeader | str:
    try:
        file: BinaryIO = io.BytesIO(reader.read(entry)) if entry.member else entry.path.open("rb")
        with file:
            return look_at_dicom(file, entry)
    except DataError as error:
        return error.message
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def look_at_dicom(file: BinaryIO, entry: Entry) -> DicomHeader:
    """Return the header of a file opened at its start.

    Raises:
        DataError: it is not DICOM, or damaged.
    """
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values of unimportant elements
            found = dcmread(file, stop_before_pixels=True, force=True, specific_tags=list(_TAGS))
            return _described(found, entry)
    except DataError:
        raise
    except Exception as error:  # (damaged headers make pydicom raise anything; the file is named)
        raise DataError(f"its header is damaged: {type(error).__name__}: {str(error)[:120]}") from error


def _described(found: Dataset, entry: Entry) -> DicomHeader:
    sop_class = str(found.get("SOPClassUID", "") or found.file_meta.get("MediaStorageSOPClassUID", ""))
    if not sop_class:
        raise DataError("is not a DICOM file")
    header = DicomHeader(
        entry=entry,
        sop_class=sop_class.removeprefix(_STORAGE),
        instance=read_text(found, "SOPInstanceUID"),
        modality=read_text(found, "Modality").upper(),
        patient=read_text(found, "PatientID"),
        study=read_text(found, "StudyInstanceUID"),
        series=read_text(found, "SeriesInstanceUID"),
        number=int(read_number(found, "SeriesNumber", 0)),
        description=read_text(found, "SeriesDescription"),
        rows=int(read_number(found, "Rows", 0)),
        columns=int(read_number(found, "Columns", 0)),
        samples=int(read_number(found, "SamplesPerPixel", 1)),
        photometric=read_text(found, "PhotometricInterpretation").upper(),
        bits=int(read_number(found, "BitsStored", 16)),
        allocated=int(read_number(found, "BitsAllocated", 16)),
        signed=read_number(found, "PixelRepresentation", 0) == 1,
        rescale=read_text(found, "RescaleType").upper(),
        thickness=read_number(found, "SpacingBetweenSlices", read_number(found, "SliceThickness", math.nan)),
        image_type=read_words(found, "ImageType"),
        person=read_text(found, "PatientName"),
        frames=read_frames(found),
    )
    if not header.refusal and (header.rows < 1 or header.columns < 1):
        raise DataError("has no picture")
    return header
