"""Which image a caption belongs to: by the path a table writes, or by the name of the file beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from engine.data.importers.sources import Entry
from engine.data.importers.texts_rows import Row, TextTable

_IMAGE_COLUMNS = (
    "image", "image_path", "img", "img_path", "file", "file_name", "filename", "filepath", "file_path", "path",
    "image_name", "image_file", "image_id", "id", "key", "name", "photo", "picture", "url",
)  # fmt: skip
_FITS_SHARE = 0.5


def key_of(name: str) -> tuple[str, str]:
    """Return folder and key of a file; the key ends at the first dot, as in WebDataset."""
    folder, _, last = name.rpartition("/")
    return folder, last.split(".", 1)[0] or last


class ImageIndex:
    """Finds images by what tables call them."""

    def __init__(self, images: Iterable[Entry]) -> None:
        self._by_file: dict[str, list[Entry]] = {}
        self._by_stem: dict[str, list[Entry]] = {}
        for entry in images:
            last = entry.name.rpartition("/")[2]
            self._by_file.setdefault(last, []).append(entry)
            self._by_stem.setdefault(PurePosixPath(last).stem, []).append(entry)

    def find(self, said: str) -> Entry | str:
        """Return the image that a table calls `said`, or why there is none, as half a sentence."""
        path = said.strip().replace("\\", "/").split("?", 1)[0]
        while path.startswith("./"):
            path = path[2:]
        last = path.rpartition("/")[2]
        found = self._by_file.get(last) or self._by_stem.get(last) or []
        if len(found) > 1:
            found = _best_of(found, path)
        if not found:
            return f"there is no image {said[:200]!r} among the files" if said else "names no image"
        return found[0] if len(found) == 1 else f"{len(found)} images are called {said[:200]!r}"


def _best_of(found: Sequence[Entry], path: str) -> list[Entry]:
    """Return those whose folders agree with `path` the furthest from the end."""
    wanted = path.split("/")[:-1][::-1]

    def agreeing(entry: Entry) -> int:
        folders = entry.name.split("/")[:-1][::-1]
        same = 0
        for own, asked in zip(folders, wanted, strict=False):
            if own != asked:
                break
            same += 1
        return same

    best = max(agreeing(entry) for entry in found)
    if not wanted or best == 0:
        exact = [entry for entry in found if entry.name == path]
        return exact or list(found)
    return [entry for entry in found if agreeing(entry) == best]


def image_column(table: TextTable, index: ImageIndex, asked: str = "") -> str:
    """Return the column whose values name images of the index; "" = none.

    Raises:
        DataError: the column asked for is not there.
    """
    if asked:
        return table.pick((), asked)
    known = [table.pick((name,)) for name in _IMAGE_COLUMNS]
    for column in dict.fromkeys((*filter(None, known), *table.columns)):
        values = [_said(row, column) for row in table.head if row.get(column) is not None]
        hits = sum(not isinstance(index.find(value), str) for value in values)
        if values and hits >= _FITS_SHARE * len(values):
            return column
    return ""


def _said(row: Row, column: str) -> str:
    return str(row[column])
