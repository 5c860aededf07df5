"""DICOM: values and places as other libraries read them; series told apart; what is odd is named."""

from __future__ import annotations

import contextlib
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from engine.data.importers.dicom import DICOM_CINES, DICOM_IMAGES, DICOM_VOLUMES
from engine.data.importers.peeking import peek
from engine.data.importers.sources import list_sources
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from tests.engine.data.importers.dicom_files import (
    AXIAL,
    CAPTURE,
    CR,
    MR,
    OBLIQUE,
    REPORT,
    place_of,
    uid,
    write_enhanced,
    write_file,
    write_series,
)  # fmt: skip
from tests.engine.data.importers.reading import imported, left_out, pixel_at, read, survey, value_at

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def voxels(shape: tuple[int, ...] = (6, 8, 10), seed: int = 1, high: int = 2000) -> np.ndarray[Any, Any]:
    """Return random stored values (D, H, W)."""
    return np.random.default_rng(seed).integers(0, high, shape).astype(np.uint16)


def sitk_series(folder: Path) -> sitk.Image:
    """Return a series as SimpleITK reads it."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE, (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), (-1.0, 0, 0, 0, 1.0, 0)])
def test_that_a_series_lies_where_simpleitk_says_with_its_values(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    write_series(tmp_path, voxels(), orientation=orientation)
    reference = sitk_series(tmp_path)
    values = sitk.GetArrayFromImage(reference)
    (record,) = read(DICOM_VOLUMES, tmp_path)
    assert record["volume"].dtype == np.int16
    assert sorted(record["volume"].ravel()) == sorted(values.ravel())
    for x, y, z in [(0, 0, 0), (9, 7, 5), (3, 6, 2)]:
        point = reference.TransformIndexToPhysicalPoint((x, y, z))
        found = value_at(record["volume"], record["volume_affine"], (-point[0], -point[1], point[2]))
        assert found == values[z, y, x]
    assert sorted(np.round(record["volume_spacing_mm"], 6)) == [0.75, 1.25, 2.5]


def test_that_a_marker_on_the_patients_left_is_left_whichever_way_it_was_stored(tmp_path: Path) -> None:
    stored = np.zeros((6, 8, 10), np.uint16)
    stored[4, 2, 9] = 1500  # head, front, left: rows run to the back, columns to the left
    write_series(tmp_path / "dicom", stored)
    (record,) = read(DICOM_VOLUMES, tmp_path / "dicom")
    assert np.argwhere(record["volume"][0] == 476).tolist() == [[4, 5, 0]]
    from engine.data.importers.volumes import VOLUMES

    image = sitk_series(tmp_path / "dicom")
    for name in ("a.nii.gz", "b.nrrd", "c.mha"):
        (tmp_path / name).mkdir()
        sitk.WriteImage(image, str(tmp_path / name / name))
        (other,) = read(VOLUMES, tmp_path / name)
        assert np.array_equal(other["volume"], record["volume"])
        assert np.allclose(other["volume_affine"], record["volume_affine"], atol=1e-3)


def test_that_slices_are_ordered_by_place_and_not_by_name_or_number(tmp_path: Path) -> None:
    levels: list[float] = [3, 0, 5, 1, 4, 2]
    write_series(tmp_path, voxels(), levels=levels)
    (record,) = read(DICOM_VOLUMES, tmp_path)
    expected = voxels()[np.argsort(levels)].astype(np.int32) - 1024
    assert np.array_equal(record["volume"][0], expected[:, ::-1, ::-1])


def test_that_each_slice_has_its_own_scale(tmp_path: Path) -> None:
    for level in range(4):
        write_series(
            tmp_path, voxels((1, 8, 10), seed=level), levels=[level], names=f"{level}.dcm", SOPClassUID=MR,
            Modality="MR", RescaleSlope=0.5 + level, RescaleIntercept=-level,
        )  # fmt: skip
    (record,) = read(DICOM_VOLUMES, tmp_path)
    assert record["volume"].dtype == np.float32
    for level in range(4):
        expected = voxels((1, 8, 10), seed=level)[0] * (0.5 + level) - level
        assert np.allclose(record["volume"][0, level, ::-1, ::-1], expected)


def test_that_stored_values_far_from_the_patient_become_air(tmp_path: Path) -> None:
    stored = voxels().astype(np.int16)
    stored[:, 0, 0] = -2000
    stored[:, 0, 1] = 1999
    write_series(tmp_path, stored, PixelPaddingValue=1999, RescaleIntercept=0)
    (record,) = read(DICOM_VOLUMES, tmp_path)
    assert (record["volume"][0, :, -1, -1] == -1024).all()
    assert (record["volume"][0, :, -1, -2] == -1024).all()


def test_that_two_series_and_a_localiser_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(), names="a{level}.dcm")
    write_series(tmp_path, voxels((4, 8, 10), 2), names="b{level}.dcm", SeriesInstanceUID=uid("b"), SeriesNumber=4)
    write_series(
        tmp_path, voxels((2, 8, 10), 3), names="l{level}.dcm", SeriesInstanceUID=uid("l"),
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )  # fmt: skip
    write_file(tmp_path / "report.dcm", None, SOPClassUID=REPORT)
    write_file(tmp_path / "shot.dcm", voxels((8, 10)), SOPClassUID=CAPTURE)
    found = survey(DICOM_VOLUMES, tmp_path)
    assert [len(unit.sources) for unit in found.units] == [6, 4]
    assert left_out(found) == {
        "l0.dcm and 1 more file": "a localiser",
        "report.dcm": "a report or a list of key images",
        "shot.dcm": "a secondary capture, such as a screenshot",
    }


def test_that_images_sent_twice_are_left_out(tmp_path: Path) -> None:
    paths = write_series(tmp_path, voxels(), names="{level}.dcm")
    (tmp_path / "copy.dcm").write_bytes(paths[2].read_bytes())
    write_series(tmp_path, voxels()[3:4], levels=[3], names="z.dcm", InstanceNumber=99)
    found = survey(DICOM_VOLUMES, tmp_path)
    assert [len(unit.sources) for unit in found.units] == [6]
    assert left_out(found) == {
        "copy.dcm": "the same image as 2.dcm, by its identifier",
        "z.dcm": "a second image at the place of 3.dcm",
    }


def test_that_a_missing_slice_is_filled_split_at_or_left_out_as_wished(tmp_path: Path) -> None:
    stored = np.repeat(np.arange(12, dtype=np.uint16)[:, None, None] * 100, 8, axis=1).repeat(10, axis=2)
    paths = write_series(tmp_path, stored)
    paths[5].unlink()
    found = survey(DICOM_VOLUMES, tmp_path)
    assert "1 slice seems to be missing" in found.warnings[0]
    (record,) = read(DICOM_VOLUMES, tmp_path)
    assert record["volume"].shape == (1, 12, 8, 10)
    assert record["volume"][0, :, 0, 0].tolist() == (np.arange(12) * 100 - 1024).tolist()
    assert np.isclose(record["volume_spacing_mm"][0], 2.5)
    parts = read(DICOM_VOLUMES, tmp_path, gaps="split")
    assert [part["volume"].shape[1] for part in parts] == [5, 6]
    with pytest.raises(DataError, match="1 slice missing"):
        read(DICOM_VOLUMES, tmp_path, gaps="leave out")


def test_that_too_many_missing_slices_leave_the_stack_out(tmp_path: Path) -> None:
    for path in write_series(tmp_path, voxels((12, 8, 10)))[3:7]:
        path.unlink()
    with pytest.raises(DataError, match="4 slices missing"):
        read(DICOM_VOLUMES, tmp_path)


def test_that_a_tilted_gantry_is_straightened(tmp_path: Path) -> None:
    depth, tilt = 9, np.radians(15)
    z, y = np.meshgrid(np.arange(depth), np.arange(40), indexing="ij")
    upright = np.exp(-(((y - 20) ** 2) / 30 + ((z - 4) ** 2) / 4)) * 1000
    shear = np.tan(tilt) * 2.5 / 1.25  # rows by which each slice lies further to the back
    sheared = np.array(
        [np.interp(np.arange(40) + shear * (level - 4), np.arange(40), upright[level]) for level in range(depth)]
    )
    stored = np.repeat(np.rint(sheared)[:, :, None], 10, axis=2).astype(np.uint16)
    for level in range(depth):
        at = [0.0, 1.25 * shear * (level - 4), 2.5 * level]
        write_series(tmp_path, stored[level : level + 1], names=f"{level}.dcm", ImagePositionPatient=at)
    found = survey(DICOM_VOLUMES, tmp_path)
    assert "15.0°" in found.warnings[0]
    (record,) = read(DICOM_VOLUMES, tmp_path)
    cosines = record["volume_affine"][:3, :3] / record["volume_spacing_mm"]
    assert np.allclose(np.abs(cosines.T @ cosines), np.eye(3), atol=1e-6)
    error = np.abs(record["volume"][0, :, ::-1, 0] + 1024.0 - upright)[:, 8:32]
    assert error.max() < 40


def test_that_slices_taken_several_times_become_a_cine(tmp_path: Path) -> None:
    stored = voxels((4, 3, 8, 10))
    for time in range(4):
        write_series(
            tmp_path, stored[time], names=f"t{time}-{{level}}.dcm", SOPClassUID=MR, Modality="MR", RescaleSlope=None,
            RescaleIntercept=None, RescaleType=None, TriggerTime=40.0 * time, InstanceNumber=1, step=9.0,
        )  # fmt: skip
    assert left_out(survey(DICOM_CINES, tmp_path)) == {}
    with pytest.raises(DataError, match="import them as cine"):
        survey(DICOM_VOLUMES, tmp_path)
    (record,) = read(DICOM_CINES, tmp_path)
    assert record["cine"].dtype == np.uint16
    assert np.array_equal(record["cine"][:, 0], stored[:, :, ::-1, ::-1])
    assert np.allclose(record["cine_times_s"], [0, 0.04, 0.08, 0.12])
    listing = list_sources([tmp_path])
    assert (DICOM_CINES.recognise(listing), DICOM_VOLUMES.recognise(listing)) == (12, 0)


def test_that_breath_holds_are_joined_and_repeated_ones_left_out(tmp_path: Path) -> None:
    stored = voxels((5, 4, 8, 10))

    def breath_hold(level: int, number: int, frames: np.ndarray[Any, Any]) -> None:
        for time, plane in enumerate(frames):
            write_file(
                tmp_path / f"s{number}" / f"{time}", plane, SOPClassUID=MR, Modality="MR", SeriesNumber=number,
                SeriesInstanceUID=uid(str(number)), TriggerTime=30.0 * time, ImageOrientationPatient=list(OBLIQUE),
                PixelSpacing=[1.5, 1.5], ImagePositionPatient=place_of(level, OBLIQUE, 8.0, (0.0, 0.0, 0.0)),
            )  # fmt: skip

    for level in range(4):
        breath_hold(level, 10 + level, stored[:, level])
    breath_hold(2, 30, stored[:, 2] + 7)
    found = survey(DICOM_CINES, tmp_path)
    assert list(left_out(found).values()) == ["an earlier series of a slice that was taken again"]
    (record,) = read(DICOM_CINES, tmp_path)
    assert record["cine"].shape == (5, 1, 4, 8, 10)
    expected = stored.copy()
    expected[:, 2] += 7
    assert sorted(record["cine"][3, 0].ravel()) == sorted(expected[3].ravel())
    assert np.allclose(record["cine_spacing_mm"], [8.0, 1.5, 1.5])
    assert len(read(DICOM_CINES, tmp_path, join=False)) == 5


def test_that_each_plane_of_a_cine_lies_where_it_was_taken_even_unevenly(tmp_path: Path) -> None:
    stored, heights = voxels((3, 4, 8, 10)), (0.0, 1.0, 2.4, 3.0)
    places = [place_of(height, OBLIQUE, 8.0, (5.0, -20.0, 30.0)) for height in heights]
    for time in range(3):
        for level, place in enumerate(places):
            write_file(
                tmp_path / f"{time}-{level}", stored[time, level], SOPClassUID=MR, Modality="MR",
                TriggerTime=30.0 * time, ImageOrientationPatient=list(OBLIQUE), PixelSpacing=[1.5, 1.2],
                ImagePositionPatient=place,
            )  # fmt: skip
    (record,) = read(DICOM_CINES, tmp_path)
    right, down = np.array(OBLIQUE[:3]), np.array(OBLIQUE[3:])
    for level, row, column in ((0, 0, 0), (1, 3, 9), (2, 7, 4), (3, 2, 6)):
        lps = np.array(places[level]) + right * 1.2 * column + down * 1.5 * row
        at = (-lps[0], -lps[1], lps[2])
        assert pixel_at(record["cine"], record["cine_planes"], at) == stored[0, level, row, column]


@pytest.mark.parametrize("times", [1, 3])
def test_that_enhanced_files_are_read_frame_by_frame(tmp_path: Path, times: int) -> None:
    stored = voxels((times * 4, 8, 10))
    write_enhanced(tmp_path / "a.dcm", stored, times=times)
    if times == 1:
        (record,) = read(DICOM_VOLUMES, tmp_path)
        assert np.array_equal(record["volume"][0], stored[:, ::-1, ::-1])
        assert np.allclose(record["volume_spacing_mm"], [4.0, 1.5, 1.5])
    else:
        (record,) = read(DICOM_CINES, tmp_path)
        assert np.array_equal(record["cine"][:, 0], stored.reshape(3, 4, 8, 10)[:, :, ::-1, ::-1])


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_jp2klossless.dcm",
     "MR_small_jpeg_ls_lossless.dcm", "MR_small_implicit.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm"],
)  # fmt: skip
def test_that_files_of_pydicom_have_the_values_that_pydicom_reads(name: str) -> None:
    path = PYDICOM_FILES / name
    expected = pydicom.pixels.apply_modality_lut(pydicom.dcmread(path).pixel_array, pydicom.dcmread(path))
    expected = np.maximum(expected, -1024) if pydicom.dcmread(path).Modality == "CT" else expected
    (record,) = read(DICOM_VOLUMES, path)
    assert np.array_equal(record["volume"][0, 0, ::-1, ::-1], expected)


def test_that_the_folder_of_pydicom_is_sorted_by_series(tmp_path: Path) -> None:
    found = survey(DICOM_VOLUMES, PYDICOM_FILES / "dicomdirtests", gaps="split")
    described = {unit.name.split("/")[-1]: len(unit.sources) for unit in found.units}
    assert described["005 SmartScore - Gated 0.5 sec"] == 5
    reasons = set(left_out(found).values())
    assert {"a localiser", "a directory of DICOM files", "projections computed from a volume"} <= reasons
    assert "a radiograph or photograph; import it as an image" in reasons


def test_that_files_without_extension_are_recognised_by_their_content(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(), names="IM{level:04d}")
    write_series(tmp_path, voxels(seed=2), names="1.2.840.{level}", SeriesInstanceUID=uid("other"))
    (tmp_path / "README").write_text("x" * 500)
    listing = list_sources([tmp_path])
    assert DICOM_VOLUMES.recognise(listing) == 12
    assert "README" not in survey(DICOM_VOLUMES, tmp_path).explained


def test_that_a_glance_counts_files_by_what_they_are(tmp_path: Path) -> None:
    for path in write_series(tmp_path, voxels((3, 8, 10)), names="IM{level:04d}"):
        assert peek([path]).text == "1 DICOM file."
    sitk.WriteImage(sitk_series(tmp_path), str(tmp_path / "a.nii.gz"))
    sitk.WriteImage(sitk_series(tmp_path), str(tmp_path / "b.mha"))
    (tmp_path / "c.nrrd").write_text("hello")
    assert peek([tmp_path]).text == "3 DICOM files and 2 volume files, 1 file not loaded."


def test_that_mixed_scanners_are_warned_of(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(), names="a{level}.dcm")
    write_series(
        tmp_path, voxels(seed=2), names="b{level}.dcm", SOPClassUID=MR, Modality="MR", SeriesInstanceUID=uid("mr")
    )
    assert survey(DICOM_VOLUMES, tmp_path).warnings == ("CT and MR are mixed; their values mean different things.",)


def test_that_patients_are_groups_under_pseudonyms(tmp_path: Path) -> None:
    for number, patient in enumerate(["MRN-1", "MRN-2", "MRN-1"]):
        write_series(
            tmp_path / f"{number}", voxels(seed=number), PatientID=patient, StudyInstanceUID=uid(f"study{number}"),
            SeriesInstanceUID=uid(f"series{number}"),
        )  # fmt: skip
    dataset = imported(DICOM_VOLUMES, tmp_path, tmp_path / "d.h5", val_share=0.0)
    groups = dataset.column("patient")
    assert groups[0] == groups[2] != groups[1]
    assert dataset.column("name") == [
        f"{groups[0]}/study 1/003 thorax", f"{groups[1]}/study 1/003 thorax", f"{groups[0]}/study 2/003 thorax",
    ]  # fmt: skip
    assert dataset.schema.fields[0].unit == "HU"
    content = (tmp_path / "d.h5").read_bytes()
    assert b"MRN-1" not in content
    assert b"Doe" not in content


def test_that_radiographs_are_bright_where_bone_is(tmp_path: Path) -> None:
    stored = np.linspace(0, 4095, 80).reshape(8, 10).astype(np.uint16)
    usual = {"SOPClassUID": CR, "Modality": "CR", "BitsStored": 12, "HighBit": 11}
    write_file(tmp_path / "a.dcm", stored, PhotometricInterpretation="MONOCHROME1", **usual)
    write_file(tmp_path / "b.dcm", stored, WindowCenter=[2048, 1], WindowWidth=[1024, 2], **usual)
    dark, windowed = (record["image"] for record in read(DICOM_IMAGES, tmp_path))
    assert dark.dtype == np.uint8
    assert (np.diff(dark.ravel().astype(int)) <= 0).all()
    assert (dark.max(), dark.min()) == (255, 0)
    expected = pydicom.pixels.apply_voi_lut(stored, pydicom.dcmread(tmp_path / "b.dcm"), index=0) / 4095 * 255
    assert np.abs(windowed[0] - expected).max() <= 0.51
    stored_dark, stored_plain = (record["image"] for record in read(DICOM_IMAGES, tmp_path, values="stored"))
    assert np.array_equal(stored_dark[0], 4095 - stored)
    assert np.array_equal(stored_plain[0], stored)


@pytest.mark.parametrize(
    "name", ["examples_rgb_color.dcm", "examples_jpeg2k.dcm", "examples_palette.dcm", "SC_rgb_jpeg_dcmtk.dcm"]
)
def test_that_coloured_stills_have_the_colours_that_pydicom_reads(name: str) -> None:
    found = pydicom.dcmread(PYDICOM_FILES / name)
    expected = found.pixel_array
    if found.PhotometricInterpretation == "PALETTE COLOR":
        expected = (pydicom.pixels.apply_color_lut(expected, found)[..., :3] >> 8).astype(np.uint8)
    (record,) = read(DICOM_IMAGES, PYDICOM_FILES / name)
    assert np.array_equal(record["image"], expected.transpose(2, 0, 1))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _text(path: Path) -> None:
    path.write_text("hello " * 100)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _no_pixels(path: Path) -> None:
    found = pydicom.dcmread(path)
    del found.PixelData
    found.save_as(path)


def _no_size(path: Path) -> None:
    found = pydicom.dcmread(path)
    found.Rows = 0
    found.save_as(path)


def _huge(path: Path) -> None:
    found = pydicom.dcmread(path)
    found.Rows = found.Columns = 65535
    found.NumberOfFrames = 60000
    found.save_as(path)


def _film(path: Path) -> None:
    found = pydicom.dcmread(path)
    found.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    found.PixelData = pydicom.encaps.encapsulate([b"\0" * 100])
    found["PixelData"].is_undefined_length = True
    found.save_as(path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_cut, "its pixels cannot be decoded"),
        (_text, "is not a DICOM file"),
        (_empty, "is not a DICOM file"),
        (_no_pixels, "has no pixels"),
        (_no_size, "has no picture"),
        (_huge, "says it has 515,380,347,000,000 bytes"),
        (_film, "is compressed as MPEG2 Main Profile / Main Level, which cannot be decoded"),
    ],
)
def test_that_bad_files_are_named_with_reasons(tmp_path: Path, spoil: Any, reason: str) -> None:
    (path,) = write_series(tmp_path, voxels((1, 8, 10)))
    spoil(path)
    with pytest.raises(DataError) as caught:
        read(DICOM_VOLUMES, tmp_path)
    assert reason in caught.value.message


def test_that_a_decoder_that_panics_names_the_file(tmp_path: Path) -> None:
    data = bytearray((PYDICOM_FILES / "MR_small_RLE.dcm").read_bytes())
    end = data.rfind(b"\xfe\xff\xdd\xe0")
    data[end - 1000 : end] = bytes([0x81, 7]) * 500  # runs of 128 pixels, many more than there are
    (tmp_path / "a.dcm").write_bytes(data)
    with pytest.raises(DataError, match="cannot be decoded"):
        read(DICOM_VOLUMES, tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_that_random_damage_is_named_or_harmless(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = (PYDICOM_FILES / "CT_small.dcm" if seed % 2 else write_enhanced(tmp_path / "e", voxels())).read_bytes()
    path = tmp_path / "in" / "a.dcm"
    path.parent.mkdir()
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(132, min(4000, len(data)), rng.integers(1, 9)):
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data) // 2, 2 * len(data))])
        with contextlib.suppress(DataError):
            read(DICOM_VOLUMES, path)


def test_that_unsigned_hounsfield_units_stay_as_they_are(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(), RescaleIntercept=0)
    (record,) = read(DICOM_VOLUMES, tmp_path)
    assert np.array_equal(record["volume"][0], voxels()[:, ::-1, ::-1])


def test_that_slices_without_positions_are_named(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(), ImagePositionPatient=None)
    with pytest.raises(DataError, match="do not say where they lie"):
        read(DICOM_VOLUMES, tmp_path)


def test_that_a_dataset_of_good_and_bad_series_holds_the_good_and_names_the_bad(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_series(root / "good", voxels())
    bad = write_series(root / "bad", voxels(seed=5), SeriesInstanceUID=uid("bad"), SeriesNumber=9)
    _cut(bad[3])
    _text(root / "bad" / "note.dcm")
    with zipfile.ZipFile(root / "packed.zip", "w") as archive:
        for path in write_series(tmp_path / "x", voxels(seed=7), names="IM{level}", SeriesInstanceUID=uid("zip")):
            archive.write(path, path.name)
    plan, pictures = DICOM_VOLUMES.plan(list_sources([root]), ImportOptions(), tmp_path / "d.h5")
    assert (plan.records, len(pictures)) == (1, 1)
    dataset = imported(DICOM_VOLUMES, root, tmp_path / "d.h5")
    assert len(dataset) == 1
    assert min(left_out(dataset).values()) == "is not a DICOM file"
    assert any("its pixels cannot be decoded" in reason for reason in left_out(dataset).values())
    packed = imported(DICOM_VOLUMES, root / "packed.zip", tmp_path / "e.h5")
    assert np.array_equal(packed.read("volume", [0])[0][0], voxels(seed=7)[:, ::-1, ::-1].astype(np.int16) - 1024)


@pytest.mark.skipif(os.name == "nt", reason="permissions are different there")
def test_that_classes_are_taken_from_folders_unless_they_are_patients(tmp_path: Path) -> None:
    for number in range(8):
        write_file(
            tmp_path / ("sick" if number % 2 else "well") / f"{number}.dcm", voxels((8, 10), number), SOPClassUID=CR,
            Modality="CR", PatientID=f"P{number}", SeriesInstanceUID=uid(f"s{number}"),
        )  # fmt: skip
    found = survey(DICOM_IMAGES, tmp_path)
    assert {unit.label for unit in found.units} == {"sick", "well"}
    for number in range(4):
        write_series(
            tmp_path / "ct" / f"p{number}", voxels(seed=number), PatientID=f"P{number}",
            SeriesInstanceUID=uid(f"c{number}"),
        )  # fmt: skip
    assert {unit.label for unit in survey(DICOM_VOLUMES, tmp_path / "ct").units} == {""}


def test_that_lists_of_what_is_left_out_name_no_patient(tmp_path: Path) -> None:
    folder = tmp_path / "Doe_Jane MRN-12345"
    write_series(tmp_path / "a", voxels())
    write_series(
        folder, voxels((2, 8, 10)), names="Doe-{level}.dcm", SeriesInstanceUID="1.2.3", SeriesDescription="scout"
    )
    (folder / "jane.dcm").write_bytes(b"no DICOM")
    told = left_out(survey(DICOM_VOLUMES, tmp_path))
    assert len(told) == 2
    words = " ".join([*told, *told.values()]).lower()
    assert [name for name in ("doe", "jane", "12345") if name in words] == []
    assert all("p-" in path and path.startswith("p-") for path in told)
