"""A plan names files that were cut, and no file that can be read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from engine.data.endings import lacks_end
from engine.data.importers import plan_import, run_import
from engine.data.pictures import decode_picture
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.engine.data.making import encoded, image_folder, picture, silent

SIZE = (120, 90)
GARBAGE = {"none": b"", "padding": bytes(5000), "film": b"ftypmp42" * 300_000, "second": encoded(9, "JPEG", SIZE)}


def with_preview() -> bytes:
    """Return a JPEG whose EXIF holds a whole JPEG of its own, end marker included."""
    exif = Image.Exif()
    exif[0x9C9B] = encoded(3, "JPEG", (40, 30))
    out = io.BytesIO()
    picture(4, SIZE).save(out, "JPEG", exif=exif)
    return out.getvalue()


def progressive() -> bytes:
    """Return a JPEG of several scans."""
    out = io.BytesIO()
    picture(5, SIZE).save(out, "JPEG", progressive=True)
    return out.getvalue()


FILES = {"jpeg": encoded(1, "JPEG", SIZE), "preview": with_preview(), "progressive": progressive(), "png": encoded(2)}


def kind_of(name: str) -> str:
    """Return the format of one of `FILES`."""
    return "png" if name == "png" else "jpeg"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("garbage", GARBAGE)
def test_that_a_whole_file_has_its_end_whatever_follows(name: str, garbage: str) -> None:
    assert not lacks_end(io.BytesIO(FILES[name] + GARBAGE[garbage]), kind_of(name))


@pytest.mark.parametrize("name", FILES)
def test_that_a_cut_file_lacks_its_end_wherever_it_is_cut(name: str) -> None:
    data = FILES[name]
    for length in {*range(20, len(data), max(1, len(data) // 200)), len(data) - 1}:
        assert lacks_end(io.BytesIO(data[:length]), kind_of(name)), length


def test_that_formats_without_an_end_marker_are_not_judged() -> None:
    assert not lacks_end(io.BytesIO(encoded(1, "BMP")[:50]), "bmp")


def test_that_a_plan_names_what_the_import_leaves_out_and_nothing_else(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 4)
    bad = {
        "ant/cut.jpg": FILES["jpeg"][:-300],
        "bee/cut.png": FILES["png"][:-100],
        "cow/head.jpg": FILES["preview"][:2500],
    }
    odd = {"ant/film.jpg": FILES["jpeg"] + GARBAGE["film"], "bee/no_end.png": encoded(6)[:-12]}
    for name, data in (bad | odd).items():
        (root / name).write_bytes(data)
    assert decode_picture(odd["bee/no_end.png"]).shape == (3, 18, 24)
    plan, _ = plan_import([root], ImportOptions(), Workspace(tmp_path / "w"))
    assert {each.path for each in plan.skipped} == set(bad)
    assert plan.records == 14
    run_import([root], ImportOptions(), tmp_path / "d.h5", silent)
    with Dataset.open(tmp_path / "d.h5") as dataset:
        assert {each.path for each in dataset.info.skipped} == set(bad)
        assert {each.path: each.reason for each in plan.skipped} == {
            each.path: each.reason for each in dataset.info.skipped
        }


def test_that_a_cut_file_of_another_size_does_not_decide_the_shape(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "data", 2)
    (root / "ant" / "cut.jpg").write_bytes(FILES["jpeg"][:-300])
    run_import([root], ImportOptions(), tmp_path / "d.h5", silent)
    with Dataset.open(tmp_path / "d.h5") as dataset:
        assert dataset.schema.fields[0].shape == (3, 18, 24)


def test_that_files_which_all_lack_their_end_are_still_read_where_they_can_be(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(3):
        (tmp_path / "data" / f"{number}.png").write_bytes(encoded(number)[:-12])
    assert run_import([tmp_path / "data"], ImportOptions(), tmp_path / "d.h5", silent).records == 3
    with pytest.raises(DataError, match="truncated"):
        decode_picture(FILES["jpeg"][:-300])
