"""What a drop would do, while the mouse still holds it: at most 200 names and first bytes."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py

from engine.data.hdf5_guard import require_sound
from engine.data.importers.amounts import counted
from engine.data.importers.channels_tiff import TIFF_MARKS
from engine.data.importers.clips_finding import VIDEO_SUFFIXES, begins_like_video
from engine.data.importers.dicom_headers import SUFFIXES as DICOM_SUFFIXES
from engine.data.importers.image_survey import IMAGE_SUFFIXES
from engine.data.importers.sources import is_archive
from engine.data.importers.volumes_files import looks_like_volume_file, suffix_of
from engine.data.layout import FORMAT
from engine.data.pictures import sniff

_MOST_FILES = 200
_MOST_NAMES = 5000
_ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Glance:
    """What a drop would do, in one line, and whether it is refused."""

    text: str
    accepted: bool
    target: Literal["import", "run", "settings", "none"] = "import"


def peek(paths: Sequence[str | Path]) -> Glance:
    """Judge what was dropped by names and first bytes of at most 200 files; never raises for what it finds."""
    roots = [Path(path).expanduser() for path in paths]
    missing = next((path for path in roots if not path.exists()), None)
    if not roots or missing is not None:
        return Glance(f"{missing or 'Nothing'} does not exist.", accepted=False, target="none")
    if len(roots) == 1 and (special := _special(roots[0])) is not None:
        return special
    found: Counter[str] = Counter()
    more = False
    for path in _files(roots):
        if found.total() >= _MOST_FILES:
            more = True
            break
        found[_what(path)] += 1
    others = found.pop("", 0)
    parts = [counted(found[what], what) for what in (*_KINDS, _ARCHIVE) if found[what]]
    if not parts:
        return Glance("No file that can be imported.", accepted=False, target="none")
    ends = [f"{counted(others, 'file')} not loaded"] if others else []
    text = ("At least " if more else "") + " and ".join(parts)
    return Glance(", ".join([text, *ends]) + ".", accepted=True)


def _what(path: Path) -> str:
    """Return the word for a file that can be imported, or ""."""
    if is_archive(path):
        return _ARCHIVE
    return next((what for what, fits in _KINDS.items() if fits(path)), "")


def _special(path: Path) -> Glance | None:
    if path.is_dir() and (path / "run.yaml").is_file():
        return Glance(f"The run {path.name}: opens it.", accepted=True, target="run")
    if path.suffix.lower() in {".yaml", ".yml"} and path.is_file():
        return Glance(f"Settings of a run: fills in the form from {path.name}.", accepted=True, target="settings")
    if path.suffix.lower() == ".h5" and path.is_file():
        if not h5py.is_hdf5(path):
            return Glance(f"{path.name} is not an HDF5 file.", accepted=False, target="none")
        if _is_dataset(path):
            return Glance(f"{path.name} is a dataset; put it into the workspace folder.", accepted=False)
    return None


def _is_dataset(path: Path) -> bool:
    try:
        require_sound(path)
        with h5py.File(path, "r", locking=False) as file:
            return bool(file.attrs.get("format") == FORMAT)
    except (OSError, RuntimeError):
        return False


def _files(roots: Sequence[Path]) -> Iterator[Path]:
    """Yield files breadth first, at most a few thousand names deep."""
    waiting: deque[Path] = deque(roots)
    looked = 0
    while waiting and looked < _MOST_NAMES:
        path = waiting.popleft()
        if not path.is_dir():
            looked += 1
            yield path
            continue
        try:
            with os.scandir(path) as children:
                for child in children:
                    looked += 1
                    if looked >= _MOST_NAMES:
                        break
                    if child.name.startswith("."):
                        continue
                    if child.is_dir(follow_symlinks=False):
                        waiting.append(Path(child.path))
                    elif child.is_file():
                        yield Path(child.path)
        except OSError:
            continue  # a folder that cannot be read is named by the plan


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(256)
    except OSError:
        return b""


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and bool(sniff(_head(path)[:16]))


def _is_dicom(path: Path) -> bool:
    suffix = path.suffix.lower()
    open_name = not suffix or suffix in DICOM_SUFFIXES or suffix[1:].isdigit()
    return open_name and _head(path)[128:132] == b"DICM"


def _is_volume(path: Path) -> bool:
    return looks_like_volume_file(path.name, _head(path)) if suffix_of(path.name) else False


def _is_video(path: Path) -> bool:
    return path.suffix.lower().lstrip(".") in VIDEO_SUFFIXES and begins_like_video(_head(path))


def _is_slide(path: Path) -> bool:
    return path.suffix.lower() in {".svs", ".ndpi", ".scn"} and _head(path)[:4] in TIFF_MARKS


def _is_ome_tiff(path: Path) -> bool:
    return path.name.lower().endswith((".ome.tif", ".ome.tiff")) and _head(path)[:4] in TIFF_MARKS


def _is_in_zarr(path: Path) -> bool:
    return path.name == "zarr.json" or any(parent.suffix.lower() == ".zarr" for parent in path.parents)


def _is_arrays(path: Path) -> bool:
    head = _head(path)
    return (path.suffix.lower() in {".h5", ".hdf5"} and head[:8] == b"\x89HDF\r\n\x1a\n") or (
        path.suffix.lower() in {".npz", ".pt"} and head[:4] == b"PK\3\4"
    )


def _called(*suffixes: str) -> Callable[[Path], bool]:
    """Return whether a file's name ends so; its content is judged by the plan."""
    return lambda path: path.suffix.lower() in suffixes


# what a file is called → whether it is that; the first that fits
_KINDS: dict[str, Callable[[Path], bool]] = {
    "multi-channel picture": _is_ome_tiff,
    "Zarr piece": _is_in_zarr,
    "slide": _is_slide,
    "video": _is_video,
    "image": _is_picture,
    "DICOM file": _is_dicom,
    "volume file": _is_volume,
    "array file": _is_arrays,
    "point cloud": _called(".ply", ".pcd", ".las", ".laz", ".xyz", ".off", ".obj", ".stl"),
    "recording": _called(".wav", ".flac", ".bvh", ".textgrid"),
    "table": _called(".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"),
    "text file": _called(".txt"),
}
