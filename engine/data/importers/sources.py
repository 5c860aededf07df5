"""What was dropped: files of folders, zip and tar archives as one list of entries; archives are read, never unpacked.

Archives come from anywhere, so their entries are checked (paths, links, devices, sizes, ratios, counts) and read
into memory one at a time; nothing of them is ever written under a name of theirs.
"""

from __future__ import annotations

import itertools
import math
import operator
import os
import re
import stat
import tarfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from engine.errors import DataError
from engine.protocol.schema import Skipped

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MOST_ENTRIES = 5_000_000
LARGE_LISTING = 20_000  # files of which a part is judged first
_BLOCKS, _BLOCK = 8, 400  # of neighbouring files, from folder to folder where that is not far
_RARE = 100  # files of one extension
_COUNTED_AT_ONCE = 5000
_NAME = operator.attrgetter("name")
LARGEST_ENTRY_BYTES = 2 * 1024**3
LARGEST_ARCHIVE_BYTES = 4 * 1024**4  # unpacked
LARGEST_RATIO = 1000  # unpacked to packed, where the unpacked part is larger than …
RATIO_MATTERS_BYTES = 64 * 1024**2
_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db", "icon\r"})
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: on its own, or a member of an archive."""

    name: str  # relative to what was dropped, with forward slashes; shown and stored
    size: int  # bytes
    place: str | Path  # the file, or the archive that holds it; a text where there may be a million
    member: str = ""  # name inside the archive; "" = a file on its own
    changed_ns: int = 0

    @property
    def path(self) -> Path:
        """The file, or the archive that holds it."""
        return Path(self.place)

    @property
    def suffix(self) -> str:
        """File name extension in lower case, with the dot."""
        return _suffix(self.name)


def _folder(name: str) -> str:
    return name[: name.rfind("/") + 1]


def _suffix(name: str) -> str:
    dot = name.rfind(".")  # asked a million times, for which a path object is too slow
    return name[dot:].lower() if name.rfind("/") + 1 < dot < len(name) - 1 else ""


@dataclass(slots=True)
class Listing:
    """All entries found, what was left out with its reason, and whether everything was looked at."""

    entries: list[Entry] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    junk: int = 0
    complete: bool = True
    whole: Listing | None = None  # of which this is a sample
    _heads: dict[str, bytes] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _counted: int = 0

    def counts(self) -> Counter[str]:
        """Return how many entries have each extension; what was counted before is not counted again."""
        if self._counted != len(self.entries):
            fresh = self.entries[self._counted :] if self._counted < len(self.entries) else self.entries
            self._counts = self._counts if fresh is not self.entries else Counter()
            self._counts.update([_suffix(entry.name) for entry in fresh])
            self._counted = len(self.entries)
        return self._counts

    def suffixes(self) -> Set[str]:
        """Return the extensions that occur, so that a family that has none need not look at every name."""
        return self.counts().keys()

    def having(self, suffixes: Set[str]) -> list[Entry]:
        """Return the entries with these extensions, in order; nothing is looked at where none or all have them."""
        there = self.suffixes()
        if suffixes.isdisjoint(there):
            return []
        if there <= suffixes:
            return list(self.entries)
        return [entry for entry in self.entries if _suffix(entry.name) in suffixes]

    def sample(self) -> Listing:
        """Return a part that stands for a large listing or one that is still growing, itself where it is small.

        Blocks of neighbours from everywhere, since files that belong together lie together; and all of those whose
        extension is rare, since a single table may say what the others are.
        """
        if len(self.entries) <= (LARGE_LISTING if self.complete else 2 * _BLOCKS * _BLOCK):
            return self
        step = len(self.entries) // _BLOCKS
        blocks = [self._block(start) for start in range(0, step * _BLOCKS, step)]
        rare = {suffix for suffix, count in self.counts().items() if count <= _RARE}
        chosen = {entry.name: entry for block in blocks for entry in block}
        if rare:
            chosen |= {entry.name: entry for entry in self.entries if _suffix(entry.name) in rare}
        return Listing(list(chosen.values()), self.skipped, self.junk, complete=False, whole=self, _heads=self._heads)

    def _block(self, start: int) -> list[Entry]:
        """Return about `_BLOCK` neighbours, as whole folders if those are small."""
        stop = start + _BLOCK
        near = [
            place
            for place in range(max(1, start), min(stop + _BLOCK, len(self.entries)))
            if _folder(self.entries[place].name) != _folder(self.entries[place - 1].name)
        ]
        first = next((place for place in near if place < start + _BLOCK // 2), start) if start else 0
        last = next((place for place in near if place >= first + _BLOCK // 2), stop)
        return self.entries[first:last]

    def folders(self) -> Counter[str]:
        """Return how many files each folder holds itself."""
        return Counter([_folder(entry.name) for entry in self.entries])

    def head(self, entry: Entry) -> bytes:
        """Return the first 4096 bytes of a file; b"" of a member of an archive, and of what cannot be read.

        They are remembered, since every importer looks at them.
        """
        if entry.member:
            return b""
        known = self._heads.get(entry.name)
        if known is None:
            try:
                with entry.path.open("rb") as file:
                    known = file.read(4096)
            except OSError:
                known = b""  # the reader names it
            if len(self._heads) < 20_000:
                self._heads[entry.name] = known
        return known


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive that can be read."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


class Counting:
    """A listing that grows: a million files are counted bit by bit, and may be looked at meanwhile."""

    def __init__(self, paths: Sequence[str | Path], most: int = MOST_ENTRIES) -> None:
        self.listing = Listing(complete=False)
        self._most = most
        self._found = _entries(paths, self.listing)

    def go_on(self, seconds: float = math.inf, told: Callable[[int], None] | None = None) -> bool:
        """Count for so long.

        Args:
            seconds: after which to pause.
            told: called with the number of files so far, often enough for an import to be cancelled by what it raises.

        Returns:
            Whether everything was counted; if not, call again. More than `most` entries are never listed.

        Raises:
            DataError: a path does not exist, or an archive is a bomb or damaged beyond listing.
        """
        entries = self.listing.entries
        until = time.monotonic() + seconds
        while not self.listing.complete and len(entries) < self._most:
            before = len(entries)
            entries.extend(itertools.islice(self._found, min(_COUNTED_AT_ONCE, self._most - before)))
            if len(entries) - before < min(_COUNTED_AT_ONCE, self._most - before):
                self.listing.complete = True
            if told is not None and not self.listing.complete:
                told(len(entries))
            if time.monotonic() > until:
                break
        return self.listing.complete or len(entries) >= self._most


def list_sources(
    paths: Sequence[str | Path], most: int = MOST_ENTRIES, told: Callable[[int], None] | None = None
) -> Listing:
    """Return the entries of files, folders and archives, in a fixed order.

    Args:
        paths: what was dropped.
        most: stop after so many entries; the listing then says that it is not complete.
        told: called with the number of files so far; what it raises ends the listing.

    Raises:
        DataError: a path does not exist, or an archive is a bomb or damaged beyond listing.
    """
    counting = Counting(paths, most)
    counting.go_on(told=told)
    if not counting.listing.complete and next(counting._found, None) is None:  # noqa: SLF001 (same module)
        counting.listing.complete = True
    return counting.listing


def _entries(paths: Sequence[str | Path], listing: Listing) -> Iterator[Entry]:
    several = len(paths) > 1
    for path in (Path(each).expanduser() for each in paths):
        if not path.exists():
            raise DataError(f"{path} does not exist.", "Check the path.")
        prefix = f"{path.name}/" if several and (path.is_dir() or is_archive(path)) else ""
        if path.is_dir():
            yield from _walk(str(path), prefix, listing)
        elif is_archive(path):
            yield from _archive(path, prefix, listing)
        else:
            status = path.stat()
            yield Entry(path.name, status.st_size, path, changed_ns=status.st_mtime_ns)


def _is_junk(name: str) -> bool:
    return name[0] == "." or name.lower() in _JUNK


def _walk(folder: str, prefix: str, listing: Listing) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as found:
            children = sorted(found, key=_NAME)
    except OSError as error:
        listing.skipped.append(Skipped(path=prefix or folder, reason=f"the folder cannot be read: {error}"))
        return
    for child in children:
        name = prefix + child.name
        if _is_junk(child.name):
            listing.junk += 1
        elif child.is_dir(follow_symlinks=False):
            yield from _walk(child.path, name + "/", listing)
        elif child.is_file():
            try:
                status = child.stat()
            except OSError as error:  # gone since the folder was read
                listing.skipped.append(Skipped(path=name, reason=f"cannot be read: {error.strerror or error}"))
                continue
            yield Entry(name, status.st_size, child.path, changed_ns=status.st_mtime_ns)
        elif child.is_dir():
            listing.skipped.append(Skipped(path=name, reason="a link to a folder; drop that folder itself"))
        else:
            listing.skipped.append(Skipped(path=name, reason="not a regular file, or a link to nowhere"))


def _archive(path: Path, prefix: str, listing: Listing) -> Iterator[Entry]:
    members = _zip_members if path.name.lower().endswith(".zip") else _tar_members
    packed = max(1, path.stat().st_size)
    changed = path.stat().st_mtime_ns
    total = 0
    seen: set[str] = set()
    for count, (name, size, reason) in enumerate(members(path)):
        if count >= MOST_ENTRIES:
            raise DataError(
                f"{path.name} has more than {MOST_ENTRIES:,} entries; it is refused.", "Unpack it yourself."
            )
        total += size
        if total > LARGEST_ARCHIVE_BYTES or (total > RATIO_MATTERS_BYTES and total > LARGEST_RATIO * packed):
            raise DataError(
                f"{path.name} unpacks to more than {total:,} bytes from {packed:,}; it is refused as an archive bomb.",
                "If it is genuine, unpack it yourself and drop the folder.",
            )
        unsafe = unsafe_name(name)
        if not unsafe and any(_is_junk(part) for part in PurePosixPath(name).parts):
            listing.junk += 1
            continue
        refusal = reason or unsafe or ("a second entry of the same name" if name in seen else "")
        seen.add(name)
        if refusal:
            listing.skipped.append(Skipped(path=prefix + name, reason=refusal))
        else:
            yield Entry(prefix + name.removeprefix("./"), size, path, member=name, changed_ns=changed)


def unsafe_name(name: str) -> str:
    """Return why an archive member's name is not accepted, or ""."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "an absolute path inside an archive"
    if ".." in parts:
        return "a path that leaves the archive"
    if "\0" in name or any(ord(letter) < 32 for letter in name):
        return "control characters in its name"
    if any(_RESERVED.fullmatch(part) for part in parts):
        return "a name that Windows reserves"
    return ""


def _zip_members(path: Path) -> Iterator[tuple[str, int, str]]:
    _check_zip_count(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path.name} is not a readable zip archive: {error}.", "Pack it again.") from error
    for member in members:
        mode = member.external_attr >> 16
        if member.is_dir():
            continue
        reason = ""
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            reason = "a link or device inside an archive"
        elif member.flag_bits & 1:
            reason = "encrypted"
        elif member.file_size > LARGEST_ENTRY_BYTES:
            reason = f"larger than {LARGEST_ENTRY_BYTES:,} bytes"
        yield member.filename, member.file_size, reason


def _check_zip_count(path: Path) -> None:
    """Refuse a zip whose own directory speaks of too many entries, before anything is allocated for them."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 65_600))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        return
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    if directory == 0xFFFFFFFF:
        wide = tail.rfind(b"PK\x06\x06")
        directory = int.from_bytes(tail[wide + 40 : wide + 48], "little") if wide >= 0 else 0
    if directory > 46 * MOST_ENTRIES:
        raise DataError(f"{path.name} has too many entries; it is refused.", "Unpack it yourself.")


def _tar_members(path: Path) -> Iterator[tuple[str, int, str]]:
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # a list that would grow with every entry
                if member.isdir():
                    continue
                reason = "" if member.isreg() else "a link or device inside an archive"
                if member.size > LARGEST_ENTRY_BYTES:
                    reason = f"larger than {LARGEST_ENTRY_BYTES:,} bytes"
                yield member.name, member.size if member.isreg() else 0, reason
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path.name} is not a readable tar archive: {error}.", "Pack it again.") from error


class ArchiveReader:
    """Reads members of archives; fastest in the order in which they were listed. A context manager."""

    def __init__(self) -> None:
        self._zips: dict[Path, zipfile.ZipFile] = {}
        self._tars: dict[Path, tuple[tarfile.TarFile, Iterator[tarfile.TarInfo]]] = {}

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all archives."""
        for opened in self._zips.values():
            opened.close()
        for tar, _ in self._tars.values():
            tar.close()

    def read(self, entry: Entry) -> bytes:
        """Return the content of an archive member.

        Raises:
            DataError: the member is damaged, or longer than the archive said.
        """
        try:
            read = self._from_zip if entry.path.name.lower().endswith(".zip") else self._from_tar
            data = read(entry)
        except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, zlib.error, NotImplementedError) as error:
            raise DataError(f"damaged inside the archive ({error})") from error
        except (KeyError, RuntimeError, ValueError) as error:
            raise DataError(f"cannot be read from the archive ({error})") from error
        if len(data) != entry.size:
            raise DataError(f"has {len(data):,} bytes; the archive said {entry.size:,}")
        return data

    def _from_zip(self, entry: Entry) -> bytes:
        archive = self._zips.get(entry.path)
        if archive is None:
            archive = self._zips[entry.path] = zipfile.ZipFile(entry.path)
        with archive.open(entry.member) as file:
            return file.read(entry.size + 1)

    def _from_tar(self, entry: Entry) -> bytes:
        for _ in range(2):  # where the member lies behind the reading place: once more from the start
            opened = self._tars.get(entry.path)
            if opened is None:
                tar = tarfile.open(entry.path, "r:*")  # noqa: SIM115 (kept open between members)
                opened = self._tars[entry.path] = tar, iter(tar)
            tar, members = opened
            for member in members:
                tar.members = []  # type: ignore[attr-defined]
                if member.name == entry.member and member.isreg():
                    file = tar.extractfile(member)
                    return file.read(entry.size + 1) if file else b""
            tar.close()
            del self._tars[entry.path]
        msg = f"no member {entry.member}"
        raise KeyError(msg)
