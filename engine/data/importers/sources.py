"""What was dropped: files of folders, zip and tar archives as one list of entries; archives are read, never unpacked.

Archives come from anywhere, so their entries are checked (paths, links, devices, sizes, ratios, counts) and read
into memory one at a time; nothing of them is ever written under a name of theirs.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from engine.errors import DataError
from engine.protocol.schema import Skipped

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MOST_ENTRIES = 5_000_000
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
    path: Path  # the file, or the archive that holds it
    member: str = ""  # name inside the archive; "" = a file on its own
    changed_ns: int = 0

    @property
    def suffix(self) -> str:
        """File name extension in lower case, with the dot."""
        last = self.name.rpartition("/")[2]  # asked a million times, for which a path object is too slow
        dot = last.rfind(".")
        return last[dot:].lower() if 0 < dot < len(last) - 1 else ""


@dataclass(slots=True)
class Listing:
    """All entries found, what was left out with its reason, and whether everything was looked at."""

    entries: list[Entry] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    junk: int = 0
    complete: bool = True
    _heads: dict[str, bytes] = field(default_factory=dict)
    _suffixes: tuple[int, frozenset[str]] = (-1, frozenset())

    def suffixes(self) -> frozenset[str]:
        """Return the extensions that occur, so that a family that has none need not look at every name."""
        if self._suffixes[0] != len(self.entries):
            self._suffixes = len(self.entries), frozenset(entry.suffix for entry in self.entries)
        return self._suffixes[1]

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


def list_sources(paths: Sequence[str | Path], most: int = MOST_ENTRIES) -> Listing:
    """Return the entries of files, folders and archives, in a fixed order.

    Args:
        paths: what was dropped.
        most: stop after so many entries; the listing then says that it is not complete.

    Raises:
        DataError: a path does not exist, or an archive is a bomb or damaged beyond listing.
    """
    listing = Listing()
    several = len(paths) > 1
    for path in (Path(each).expanduser() for each in paths):
        if not path.exists():
            raise DataError(f"{path} does not exist.", "Check the path.")
        prefix = f"{path.name}/" if several and (path.is_dir() or is_archive(path)) else ""
        if path.is_dir():
            found = _walk(path, prefix, listing)
        elif is_archive(path):
            found = _archive(path, prefix, listing)
        else:
            found = iter((_file(path, path.name),))
        for entry in found:
            if len(listing.entries) >= most:
                listing.complete = False
                return listing
            listing.entries.append(entry)
    return listing


def _file(path: Path, name: str) -> Entry:
    status = path.stat()
    return Entry(name, status.st_size, path, changed_ns=status.st_mtime_ns)


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK


def _walk(folder: Path, prefix: str, listing: Listing) -> Iterator[Entry]:
    try:
        children = sorted(os.scandir(folder), key=lambda each: each.name)
    except OSError as error:
        listing.skipped.append(Skipped(path=prefix or str(folder), reason=f"the folder cannot be read: {error}"))
        return
    for child in children:
        name = prefix + child.name
        if _is_junk(child.name):
            listing.junk += 1
        elif child.is_dir(follow_symlinks=False):
            yield from _walk(Path(child.path), name + "/", listing)
        elif child.is_dir():
            listing.skipped.append(Skipped(path=name, reason="a link to a folder; drop that folder itself"))
        elif not child.is_file():
            listing.skipped.append(Skipped(path=name, reason="not a regular file, or a link to nowhere"))
        else:
            yield _file(Path(child.path), name)


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
