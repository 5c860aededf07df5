"""A heap of DICOM files sorted by what they are, and what its records are called: no patient is named."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.data.importers.amounts import counted
from engine.data.importers.dicom_headers import DicomHeader, dicom_entries, may_be_dicom, read_headers
from engine.data.importers.dicom_series import Left, Stack, stack_series
from engine.data.importers.naming import Named, name_records
from engine.data.importers.sources import Listing
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import Skipped

_SHORTEST_NAME = 3  # letters of a part of a name that is looked for by itself
_SAMPLE = 100  # files of each of three places that are looked at to tell what a large heap is


@dataclass(slots=True)
class DicomHeap:
    """DICOM files by what they are."""

    stacks: list[Stack] = field(default_factory=list)
    flats: list[DicomHeader] = field(default_factory=list)
    captures: list[DicomHeader] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    headers: list[DicomHeader] = field(default_factory=list)  # of all files that have one

    def leave(self, headers: Sequence[DicomHeader], reason: str) -> None:
        """Leave files out together."""
        self.skipped.append(Skipped(path=name_files(headers), reason=reason))

    def leave_all(self, left: Sequence[Left]) -> None:
        """Leave out what grouping left."""
        for each in left:
            self.leave(each.headers, each.reason)

    def nothing(self, noun: str, listing: Listing) -> DataError:
        """Return what to say where there is none of what was asked for."""
        reasons = Counter(each.reason for each in self.skipped)
        why = "; ".join(reason for reason, _ in reasons.most_common(3))
        return DataError(f"There is no {noun} among {len(listing.entries)} files{f': {why}' if why else ''}.")


def sort_files(listing: Listing, *, sample: bool = False) -> DicomHeap:
    """Read headers and tell what each file is.

    Args:
        listing: what was dropped.
        sample: of a large heap, look at a part only.
    """
    heap = DicomHeap()
    entries = may_be_dicom(listing)
    if sample and len(entries) > 3 * _SAMPLE:
        middle = len(entries) // 2
        entries = [*entries[:_SAMPLE], *entries[middle : middle + _SAMPLE], *entries[-_SAMPLE:]]
    entries = dicom_entries(listing, entries)
    heap.names = {entry.name for entry in entries}
    slices: list[DicomHeader] = []
    refused: dict[str, list[DicomHeader]] = {}
    for entry, header in zip(entries, read_headers(entries), strict=True):
        if isinstance(header, str):
            heap.skipped.append(Skipped(path=entry.name, reason=header))
            continue
        heap.headers.append(header)
        if header.refusal:
            refused.setdefault(header.refusal, []).append(header)
        elif header.is_stacked:
            slices.append(header)
        elif header.is_flat:
            heap.flats.append(header)
        else:
            heap.captures.append(header)
    for reason, headers in refused.items():
        heap.leave(headers, reason)
    heap.stacks, left = stack_series(slices)
    heap.leave_all(left)
    return heap


def count_kinds(listing: Listing) -> tuple[int, int, int]:
    """Return how many files are of volumes, of cines and single pictures; of a large heap, judged by a part."""
    heap = sort_files(listing, sample=True)
    found = [
        sum(len(stack.files) for stack in heap.stacks if len(stack.rows) == 1),
        sum(len(stack.files) for stack in heap.stacks if len(stack.rows) > 1),
        len(heap.flats),
    ]
    if not any(found):
        found[2] = len(heap.captures)
    candidates = len(may_be_dicom(listing))
    scale = max(1.0, candidates / (3 * _SAMPLE))
    return round(found[0] * scale), round(found[1] * scale), round(found[2] * scale)


def owner_of(header: DicomHeader) -> str:
    """Return what stands for the patient: the identifier, else that of the study."""
    return header.patient or header.study or header.entry.name


def pseudonyms(headers: Sequence[DicomHeader]) -> dict[str, str]:
    """Return patient → pseudonym, the same for one heap of files whenever it is read.

    The salt is made of identifiers that a dataset does not hold, so that without the files it cannot be tried out.
    """
    salt = hashlib.blake2b("\0".join(sorted({header.series for header in headers})).encode()).digest()[:16]
    owners = {owner_of(header) for header in headers}
    return {owner: "p-" + hashlib.blake2b(owner.encode(), digest_size=5, salt=salt).hexdigest() for owner in owners}


def name_units(headers: Sequence[DicomHeader], aliases: dict[str, str]) -> list[str]:
    """Return names of records that name no patient: pseudonym, study, number and description of the series."""
    studies: dict[str, dict[str, int]] = {}
    used: Counter[str] = Counter()
    names = []
    for header in headers:
        own = studies.setdefault(owner_of(header), {})
        study = own.setdefault(header.study, len(own) + 1)
        text = re.sub(r"[^\w .+-]+", " ", header.description).strip()[:60]
        name = f"{aliases[owner_of(header)]}/study {study}/{f'{header.number:03d} {text}'.strip()}"
        used[name] += 1
        names.append(name if used[name] == 1 else f"{name} ({used[name]})")
    return names


def name_files(headers: Sequence[DicomHeader]) -> str:
    """Return what files that belong together are called in a list of what was left out."""
    more = f" and {counted(len(headers) - 1, 'more file')}" if len(headers) > 1 else ""
    return headers[0].entry.name + more


class Veil:
    """Puts pseudonyms in place of patients' names and identifiers, as far as the headers of a heap say them.

    Folders and files are often called after the patient, and lists of files that were left out are kept with a
    dataset.
    """

    def __init__(self, headers: Sequence[DicomHeader], aliases: dict[str, str]) -> None:
        known = pseudonyms(headers) | aliases
        self._alias: dict[str, str] = {}
        for header in headers:
            words = [word for word in re.split(r"[\^=,;\s]+", header.person) if len(word) >= _SHORTEST_NAME]
            for word in (header.person, header.patient, *words):
                if word:
                    self._alias.setdefault(word.lower(), known[owner_of(header)])
        longest_first = sorted(self._alias, key=len, reverse=True)
        words_of = "|".join(re.escape(word) for word in longest_first)
        self._pattern = re.compile(rf"(?<![^\W_])(?:{words_of})(?![^\W_])", re.IGNORECASE) if words_of else None

    def over(self, text: str) -> str:
        """Return a text without names and identifiers of patients."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._alias[found[0].lower()], text)

    def over_all(self, skipped: Sequence[Skipped]) -> tuple[Skipped, ...]:
        """Return a list of what was left out without names and identifiers of patients."""
        return tuple(Skipped(path=self.over(each.path), reason=self.over(each.reason)) for each in skipped)


def read_names(headers: Sequence[DicomHeader], listing: Listing, options: ImportOptions) -> list[Named]:
    """Return what folders or a table say; folders with a patient each are no classes."""
    said = name_records([header.entry.name for header in headers], listing, options)
    labels = {named.label for named in said if named.label}
    owners = {owner_of(header) for header in headers}
    if 2 * len(labels) > len(owners):
        return [replace(named, label="") for named in said]
    return said


def stored_type(header: DicomHeader, scales: set[tuple[float, float]]) -> tuple[str, bool]:
    """Return the type in which values are kept, and whether they are Hounsfield units."""
    whole = all(slope.is_integer() and inter.is_integer() for slope, inter in scales)
    hounsfield = header.modality == "CT" and header.rescale in {"", "HU"} and whole
    if hounsfield:
        return "int16", True
    if scales != {(1.0, 0.0)} or header.allocated > 16:
        return "float32", False
    if header.signed:
        return "int16", False
    return ("uint8" if header.allocated <= 8 else "uint16"), False
