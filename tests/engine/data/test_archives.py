"""Archives from anywhere: good ones are read, hostile ones do no harm."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from engine.data.importers import run_import, sources
from engine.data.importers.sources import ArchiveReader, list_sources
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from tests.engine.data.making import encoded, silent

FILES = {f"set/{name}/{number}.png": encoded(number + 10 * len(name)) for name in ("a", "bb") for number in range(3)}


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    """Write a tar archive."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize(("name", "mode"), [("x.zip", ""), ("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.tgz", "w:gz")])
def test_that_archives_are_imported_like_folders(tmp_path: Path, name: str, mode: str) -> None:
    path = make_tar(tmp_path / name, FILES, mode) if mode else make_zip(tmp_path / name, FILES)
    run_import([path], ImportOptions(keep_encoded=True), tmp_path / "d.h5", silent)
    dataset = Dataset.open(tmp_path / "d.h5")
    assert dict(zip(dataset.column("name"), dataset.encoded("image", np.arange(6)), strict=True)) == FILES
    assert dataset.info.labels["label"] == {"a": 3, "bb": 3}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../out.png", "leaves"),
        ("a/../../out.png", "leaves"),
        ("..\\out.png", "leaves"),
        ("/etc/out.png", "absolute"),
        ("C:/out.png", "absolute"),
        ("a/con.png", "Windows"),
        ("a/\x07.png", "control"),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_that_members_with_unsafe_names_are_left_out(tmp_path: Path, name: str, reason: str, kind: str) -> None:
    make = make_zip if kind == "zip" else make_tar
    listing = list_sources([make(tmp_path / f"x.{kind}", {name: b"x", "good.png": b"y"})])
    assert [entry.name for entry in listing.entries] == ["good.png"]
    assert reason in listing.skipped[0].reason


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_that_links_and_devices_in_a_tar_are_left_out(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        member = tarfile.TarInfo("evil.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    listing = list_sources([tmp_path / "x.tar"])
    assert listing.entries == []
    assert "link or device" in listing.skipped[0].reason


def test_that_links_in_a_zip_are_left_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        member = zipfile.ZipInfo("evil.png")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    assert "link or device" in list_sources([tmp_path / "x.zip"]).skipped[0].reason


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_that_an_archive_bomb_is_refused(tmp_path: Path, kind: str) -> None:
    files = {f"{number}.png": bytes(40 * 1024**2) for number in range(2)}
    path = tmp_path / f"x.{kind}"
    make_zip(path, files) if kind == "zip" else make_tar(path, files, "w:gz")
    with pytest.raises(DataError, match="bomb"):
        list_sources([path])


def test_that_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_ENTRIES", 5)
    for path in (make_zip(tmp_path / "x.zip", FILES), make_tar(tmp_path / "x.tar", FILES)):
        with pytest.raises(DataError, match="entries"):
            list_sources([path])


def test_that_a_second_entry_of_the_same_name_is_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for data in (b"one", b"three"):
            member = tarfile.TarInfo("a.png")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    listing = list_sources([tmp_path / "x.tar"])
    assert [entry.size for entry in listing.entries] == [3]
    assert "second entry" in listing.skipped[0].reason


def test_that_a_damaged_member_is_named_and_the_rest_is_imported(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", FILES)
    with zipfile.ZipFile(path) as archive:
        place = archive.infolist()[2].header_offset + 60
    data = bytearray(path.read_bytes())
    data[place : place + 20] = bytes(20)
    path.write_bytes(data)
    info = run_import([path], ImportOptions(), tmp_path / "d.h5", silent)
    assert [each.path for each in info.skipped] == [list(FILES)[2]]
    assert info.records == 5


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz"])
def test_that_a_broken_archive_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b not an archive")
    with pytest.raises(DataError, match="not a readable"):
        list_sources([tmp_path / name])


def test_that_members_can_be_read_in_any_order(tmp_path: Path) -> None:
    entries = list_sources([make_tar(tmp_path / "x.tgz", FILES, "w:gz")]).entries
    with ArchiveReader() as reader:
        assert [reader.read(entry) for entry in reversed(entries)] == list(reversed(FILES.values()))


def test_that_nothing_is_written_outside_the_dataset(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = make_zip(tmp_path / "in" / "x.zip", {**FILES, "../evil.png": encoded(1), "/evil.png": encoded(2)})
    run_import([path], ImportOptions(), tmp_path / "out" / "d.h5", silent)
    assert sorted(each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("*") if each.is_file()) == [
        "in/x.zip",
        "out/d.h5",
    ]
