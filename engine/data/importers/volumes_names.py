"""What names of volume files say: label maps and their images, channels of one patient, patients, classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from engine.data.importers.volumes_files import stem_of

_LABEL_WORDS = r"segmentations?|seg|dseg|labels?|labelmap|masks?|gt|groundtruth|annotations?"
_LABEL_END = re.compile(rf"[_.-](?:{_LABEL_WORDS})$", re.IGNORECASE)
_LABEL_FOLDER = re.compile(rf"(?:{_LABEL_WORDS})(?:tr|ts|va|val)?", re.IGNORECASE)
_CHANNEL_END = re.compile(r"_(\d{4})$")
_PATIENT_WORD = r"(?:sub|subj|subject|patient|pat|case|pid)[-_]?\d[0-9a-z]*"
_PATIENT = re.compile(rf"(?:^|[/_.-])({_PATIENT_WORD})(?=[/_.-]|$)", re.IGNORECASE)
_PATIENT_FOLDER = re.compile(_PATIENT_WORD, re.IGNORECASE)
_FOLDER_SPLITS = {"imagestr": "train", "imagests": "test", "imagesva": "val", "imagesval": "val"}
_NO_CLASS = re.compile(r"images?|volumes?|data|anat|func|dwi|perf|pet|nifti|scans?|ses-\w+", re.IGNORECASE)


def is_label_name(name: str) -> bool:
    """Whether a file is called like a label map, or lies in a folder called like one for label maps."""
    path = PurePosixPath(name)
    folder = path.parent.name
    return bool(_LABEL_END.search(stem_of(path.name)) or _LABEL_FOLDER.fullmatch(folder))


def case_of(name: str) -> tuple[str, str]:
    """Return folder and stem by which an image and its label map find each other."""
    path = PurePosixPath(name)
    stem = stem_of(path.name)
    folders = [part for part in path.parent.parts if not _LABEL_FOLDER.fullmatch(part)]
    folders = [part for part in folders if not _NO_CLASS.fullmatch(part) and part.lower() not in _FOLDER_SPLITS]
    return "/".join(folders), _CHANNEL_END.sub("", _LABEL_END.sub("", stem)).lower()


def label_for(image: str, labels: dict[tuple[str, str], str]) -> str:
    """Return the name of the label map that belongs to an image, or "": of the same stem, or of its longest start."""
    folder, stem = case_of(image)
    while stem:
        if (folder, stem) in labels:
            return labels[folder, stem]
        cut = max(stem.rfind(mark) for mark in "_-.")
        if cut <= 0:
            return ""
        stem = stem[:cut]
    return ""


def channel_of(name: str) -> tuple[str, int]:
    """Return what files of several channels have in common, and the channel: `case_0001.nii.gz` → (`case`, 1)."""
    stem = stem_of(name)
    found = _CHANNEL_END.search(stem)
    in_images = PurePosixPath(name).parent.name.lower() in _FOLDER_SPLITS
    return (stem[: found.start()], int(found.group(1))) if found and in_images else (name, 0)


def patient_of(name: str) -> str:
    """Return the patient or case whom a name speaks of: `patient001`, `sub-07`; "" = none."""
    found = _PATIENT.findall(stem_of(name))
    return str(found[0]).lower() if found else ""


def without_structure(names: Sequence[str]) -> list[str]:
    """Return names without folders that order files but name no class; train and test folders by these names."""
    told = []
    for name in names:
        path = PurePosixPath(name)
        parts: list[str] = []
        for part in path.parent.parts:
            if part.lower() in _FOLDER_SPLITS:
                parts.insert(0, _FOLDER_SPLITS[part.lower()])
            elif not _NO_CLASS.fullmatch(part) and not _PATIENT_FOLDER.fullmatch(part):
                parts.append(part)
        told.append("/".join([*parts, path.name]))
    return told
