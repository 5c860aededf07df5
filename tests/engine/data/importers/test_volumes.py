"""Volume files: values as other libraries read them, voxels where they belong, label maps beside, faults named."""

from __future__ import annotations

import contextlib
import gzip
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from engine.data.importers.sources import list_sources
from engine.data.importers.units import Values
from engine.data.importers.volumes import CINES, VOLUMES
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import FieldKind
from tests.engine.data.importers.reading import imported, left_out, pixel_at, read, survey, value_at

NIBABEL_FILES = Path(nibabel.__file__).parent / "tests" / "data"
SPACING = (1.5, 2.0, 4.0)  # x, y, z
ORIGIN = (-31.0, 12.0, 7.5)  # LPS
ANGLE = 0.3
DIRECTION = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1.0]])


def voxels(shape: tuple[int, ...] = (9, 11, 13), dtype: str = "int16", seed: int = 1) -> np.ndarray[Any, Any]:
    """Return random values (z, y, x)."""
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def sitk_image(values: np.ndarray[Any, Any]) -> sitk.Image:
    """Return an oblique image in LPS with unequal spacings."""
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(DIRECTION.ravel())
    return image


def nifti(path: Path, values: np.ndarray[Any, Any], affine: np.ndarray[Any, Any] | None = None) -> Path:
    """Write (x, y, z[, t]) values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else affine), path)
    return path


def millimetres(x: int, y: int, z: int) -> tuple[float, ...]:
    """Return where SimpleITK says a voxel of `sitk_image` is, in RAS."""
    point = sitk_image(voxels()).TransformIndexToPhysicalPoint((x, y, z))
    return -point[0], -point[1], point[2]


def one(root: Path, **settings: Any) -> Values:
    """Return the only record."""
    (record,) = read(VOLUMES, root, **settings)
    return record


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.nrrd", "v.nhdr", "v.mha", "v.mhd"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8", "float32"])
def test_that_every_format_gives_the_same_values_at_the_same_millimetres(
    tmp_path: Path, name: str, dtype: str, packed: bool
) -> None:
    values = voxels(dtype=dtype)
    sitk.WriteImage(sitk_image(values), str(tmp_path / name), useCompression=packed)
    record = one(tmp_path)
    assert record["volume"].dtype == dtype
    assert sorted(record["volume"].ravel()) == sorted(values.ravel())
    for x, y, z in [(0, 0, 0), (12, 10, 8), (3, 7, 2)]:
        found = value_at(record["volume"], record["volume_affine"], millimetres(x, y, z))
        assert found == values[z, y, x]
    assert np.allclose(record["volume_spacing_mm"], SPACING[::-1], atol=1e-5)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nii.gz"])
def test_that_axes_point_to_head_front_and_right(tmp_path: Path, name: str) -> None:
    image = sitk.PermuteAxes(sitk_image(voxels()), [2, 0, 1])
    sitk.WriteImage(sitk.Flip(image, [True, False, True]), str(tmp_path / name))
    record = one(tmp_path)
    assert record["volume"].shape == (1, 9, 11, 13)
    cosines = record["volume_affine"][:3, :3] / record["volume_spacing_mm"]
    assert np.argmax(np.abs(cosines), axis=0).tolist() == [2, 1, 0]
    assert (cosines[[2, 1, 0], [0, 1, 2]] > 0).all()
    assert value_at(record["volume"], record["volume_affine"], millimetres(3, 7, 2)) == voxels()[2, 7, 3]


@pytest.mark.parametrize("name", ["anatomical.nii", "standard.nii.gz", "example_nifti2.nii.gz", "example4d.nii.gz"])
def test_that_files_of_nibabel_read_as_nibabel_reads_them(tmp_path: Path, name: str) -> None:
    image = nibabel.as_closest_canonical(nibabel.load(NIBABEL_FILES / name))
    expected = np.asanyarray(image.dataobj)
    expected = expected[..., None] if expected.ndim == 3 else expected
    record = one(NIBABEL_FILES / name)
    found = record["volume"].transpose(3, 2, 1, 0)
    assert found.shape == expected.shape
    assert np.abs(found.astype(np.float64) - expected).max() <= 1e-6 * np.abs(expected).max()
    assert np.allclose(record["volume_affine"], image.affine[:, [2, 1, 0, 3]], atol=1e-4)


def test_that_big_endian_files_are_read(tmp_path: Path) -> None:
    values = voxels().T
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.dtype(">i2"))
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4), header), tmp_path / "a.nii")
    assert np.array_equal(one(tmp_path)["volume"][0], values.T)


@pytest.mark.parametrize(("slope", "inter"), [(2.5, -100.0), (0.0, 7.0), (np.nan, 3.0)])
def test_that_slopes_are_applied_and_useless_ones_ignored(tmp_path: Path, slope: float, inter: float) -> None:
    path = nifti(tmp_path / "a.nii", voxels().T)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([slope, inter], "<f4").tobytes()
    path.write_bytes(data)
    expected = nibabel.load(path).get_fdata()
    assert np.array_equal(one(tmp_path)["volume"][0].transpose(2, 1, 0), expected)


def test_that_a_file_without_any_orientation_is_warned_of(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", voxels().T)
    data = bytearray(path.read_bytes())
    data[252:256] = bytes(4)  # qform_code, sform_code
    path.write_bytes(data)
    assert "left and right are a guess" in survey(VOLUMES, tmp_path).warnings[0]


def test_that_a_file_with_only_a_qform_lies_where_nibabel_says(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(voxels().T, None)
    turned = np.diag([-1.5, 2.0, 4.0, 1.0]) @ np.eye(4)
    turned[:3, 3] = 5, 6, 7
    image.set_qform(turned, code=1)
    image.set_sform(None, code=0)
    nibabel.save(image, tmp_path / "a.nii")
    record = one(tmp_path)
    assert value_at(record["volume"], record["volume_affine"], tuple((turned @ (2, 3, 4, 1))[:3])) == voxels()[4, 3, 2]


def test_that_time_becomes_frames_with_their_times(tmp_path: Path) -> None:
    values = voxels((4, 1, 12, 10))  # (t, z, y, x): a plane over time
    image = nibabel.Nifti1Image(values.T, np.diag([1.5, 1.5, 8.0, 1.0]))
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 40.0
    nibabel.save(image, tmp_path / "cine.nii.gz")
    (record,) = read(CINES, tmp_path)
    assert np.array_equal(record["cine"][:, 0], values)
    assert np.allclose(record["cine_times_s"], [0, 0.04, 0.08, 0.12])


def test_that_a_fourth_axis_becomes_channels_when_volumes_are_wanted(tmp_path: Path) -> None:
    values = voxels((3, 9, 12, 10))
    nifti(tmp_path / "a.nii", values.T)
    assert np.array_equal(one(tmp_path)["volume"], values)
    assert np.array_equal(one(tmp_path, fourth="first")["volume"], values[:1])


def test_that_oblique_cine_stacks_keep_their_planes(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]) * (1.2, 1.2, 9.0)  # slices along x
    nifti(tmp_path / "a.nii", voxels((5, 3, 12, 10)).T, affine)
    (record,) = read(CINES, tmp_path)
    assert record["cine"].shape == (5, 1, 3, 12, 10)
    assert np.allclose(record["cine_spacing_mm"], [9.0, 1.2, 1.2])


def test_that_a_known_pixel_of_a_cine_lies_at_its_known_millimetre(tmp_path: Path) -> None:
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turned * (1.2, 1.5, 9.0), (-30.0, 12.0, 55.0)
    values = voxels((5, 3, 12, 10))  # (t, z, y, x)
    nifti(tmp_path / "a.nii", values.T, affine)
    (record,) = read(CINES, tmp_path)
    assert record["cine_planes"].shape == (3, 4, 4)
    for x, y, z in ((2, 3, 1), (9, 0, 2), (0, 11, 0)):
        place = tuple((affine @ (x, y, z, 1))[:3])
        assert pixel_at(record["cine"], record["cine_planes"], place) == values[0, z, y, x]


def test_that_files_are_counted_by_what_they_hold(tmp_path: Path) -> None:
    nifti(tmp_path / "still.nii.gz", voxels().T)
    nifti(tmp_path / "beating.nii.gz", voxels((3, 9, 12, 10)).T)
    np.save(tmp_path / "dense.npy", voxels())
    np.save(tmp_path / "cloud.npy", np.zeros((100, 3)))
    (tmp_path / "text.nrrd").write_text("hello")
    listing = list_sources([tmp_path])
    assert (VOLUMES.recognise(listing), CINES.recognise(listing)) == (2, 1)


def test_that_label_maps_become_masks_of_their_images(tmp_path: Path) -> None:
    flipped = np.diag([-2.0, 2.0, 3.0, 1.0])
    masks = {}
    for number in range(3):
        nifti(tmp_path / "imagesTr" / f"case_{number}_0000.nii.gz", voxels(seed=number).T, flipped)
        if number < 2:
            masks[number] = voxels(dtype="uint8", seed=50 + number) % 4
            nifti(tmp_path / "labelsTr" / f"case_{number}.nii.gz", masks[number].T, flipped)
    records = read(VOLUMES, tmp_path)
    assert [record["mask"].dtype for record in records] == [np.dtype("int16")] * 3
    for number, record in enumerate(records):
        assert np.array_equal(record["volume"][0], voxels(seed=number)[:, :, ::-1])
        assert np.array_equal(record["mask"], masks[number][:, :, ::-1] if number < 2 else np.full((9, 11, 13), -1))
    mask = next(spec for spec in survey(VOLUMES, tmp_path).fields if spec.kind is FieldKind.MASK)
    assert mask.shape == (9, 11, 13)


def test_that_numbered_files_of_one_case_are_its_channels(tmp_path: Path) -> None:
    for channel in (1, 0):
        nifti(tmp_path / "imagesTr" / f"case_7_000{channel}.nii.gz", voxels(seed=channel).T)
    record = one(tmp_path)
    assert np.array_equal(record["volume"], np.stack([voxels(seed=0), voxels(seed=1)]))


def test_that_a_label_map_that_lies_elsewhere_is_refused_and_its_image_stays(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii.gz", voxels().T)
    moved = np.diag([2.0, 2.0, 3.0, 1.0])
    moved[0, 3] = 2.0
    nifti(tmp_path / "a_seg.nii.gz", voxels(dtype="uint8").T, moved)
    nifti(tmp_path / "b_seg.nii.gz", voxels(dtype="uint8").T)
    found = survey(VOLUMES, tmp_path)
    assert [unit.name for unit in found.units] == ["a.nii.gz"]
    assert left_out(found) == {
        "a_seg.nii.gz": "a label map that lies elsewhere than its image a.nii.gz",
        "b_seg.nii.gz": "a label map without its image",
    }


@pytest.mark.parametrize(("label", "reason"), [(2.9999, ""), (2.5, "its label map holds 2.5, which is no label")])
def test_that_labels_are_whole_numbers(tmp_path: Path, label: float, reason: str) -> None:
    nifti(tmp_path / "a.nii", voxels().T)
    nifti(tmp_path / "a_label.nii", np.full((13, 11, 9), label, np.float32))
    if reason:
        with pytest.raises(DataError, match=reason):
            one(tmp_path)
    else:
        assert (one(tmp_path)["mask"] == 3).all()


def test_that_patients_are_groups_and_folders_are_classes(tmp_path: Path) -> None:
    for number, disease in enumerate(["DCM", "NOR", "DCM", "NOR"]):
        name = f"patient{number // 2:03d}_frame{number:02d}.nii.gz"
        nifti(tmp_path / disease / f"patient{number // 2:03d}" / name, voxels(seed=number).T)
    found = survey(VOLUMES, tmp_path)
    assert found.group == "patient"
    assert [(unit.label, unit.group) for unit in found.units] == [
        ("DCM", "patient000"), ("DCM", "patient001"), ("NOR", "patient000"), ("NOR", "patient001"),
    ]  # fmt: skip


def test_that_a_table_of_cases_gives_labels_and_splits(tmp_path: Path) -> None:
    for number in range(2):
        nifti(tmp_path / f"case_{number}.nii.gz", voxels(seed=number).T)
    (tmp_path / "cases.csv").write_text("id,label,split\ncase_0,sick,train\ncase_1,well,test\n")
    found = survey(VOLUMES, tmp_path)
    assert [(unit.label, unit.split) for unit in found.units] == [("sick", "train"), ("well", "test")]


def test_that_resampling_there_and_back_keeps_the_centre_of_mass(tmp_path: Path) -> None:
    z, y, x = np.meshgrid(*(np.arange(side) for side in (24, 26, 28)), indexing="ij")
    blob = 1000 * np.exp(-((z - 10) ** 2 + (y - 14) ** 2 + (x - 12) ** 2) / 30)
    nifti(tmp_path / "a" / "v.nii", blob.T.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))

    def centre(record: Values) -> np.ndarray[Any, Any]:
        weights = record["volume"][0].astype(np.float64)
        places = np.indices(weights.shape).reshape(3, -1)
        return record["volume_affine"][:3] @ (*(places @ weights.ravel() / weights.sum()), 1.0)

    coarse = one(tmp_path / "a", spacing_mm=3.0)
    assert coarse["volume"].shape == (1, 16, 17, 19)
    nifti(tmp_path / "b" / "v.nii", coarse["volume"][0].T, coarse["volume_affine"][:, [2, 1, 0, 3]])
    back = one(tmp_path / "b", spacing_mm=2.0)
    whole = one(tmp_path / "a")
    assert np.abs(centre(coarse) - centre(whole)).max() < 0.2
    assert np.abs(centre(back) - centre(whole)).max() < 0.2


def test_that_thick_slices_are_not_invented(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii", voxels().T, np.diag([1.0, 1.0, 8.0, 1.0]))
    record = one(tmp_path, spacing_mm=2.0)
    assert record["volume"].shape == (1, 9, 6, 6)
    assert record["volume_spacing_mm"][0] == 8.0


def test_that_cropping_keeps_the_body_and_its_place(tmp_path: Path) -> None:
    values = np.zeros((20, 20, 20), np.int16)
    values[4:9, 6:16, 2:12] = 500
    values[5, 7, 3] = 900
    nifti(tmp_path / "a.nii", values.T, np.diag([1.0, 2.0, 3.0, 1.0]))
    record = one(tmp_path, crop=True)
    assert record["volume"].shape == (1, 5, 10, 10)
    assert value_at(record["volume"], record["volume_affine"], (3.0, 14.0, 15.0)) == 900


@pytest.mark.parametrize("fortran", [False, True])
def test_that_numpy_volumes_are_read(tmp_path: Path, fortran: bool) -> None:
    values = voxels(dtype="float32")
    np.save(tmp_path / "a.npy", np.asfortranarray(values) if fortran else values)
    assert np.array_equal(one(tmp_path)["volume"][0], values)


def test_that_numpy_archives_give_volume_and_labels(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", image=voxels(), label=voxels(dtype="uint8") % 3, note=np.array([1]))
    record = one(tmp_path)
    assert np.array_equal(record["volume"][0], voxels())
    assert np.array_equal(record["mask"], voxels() % 3)


def _short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _huge(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    path.write_bytes(data)


def _negative(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[42:44] = np.array([-4], "<i2").tobytes()
    path.write_bytes(data)


def _flat(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[280:328] = bytes(48)
    path.write_bytes(data)


def _complex(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 9, 9), np.complex64), np.eye(4)), path)


def _text(path: Path) -> None:
    path.write_text("hello " * 100)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_short, "truncated: 2,474 of 2,574 bytes of values are there"),
        (_huge, "says it has 108,000,000,000,000 bytes"),
        (_negative, "-4"),
        (_flat, "its geometry is degenerate"),
        (_complex, "complex64, which is not read"),
        (_text, "is not a NIfTI file"),
        (_empty, "is not a NIfTI file"),
    ],
)
def test_that_bad_files_are_named_with_reasons(tmp_path: Path, spoil: Any, reason: str) -> None:
    spoil(nifti(tmp_path / "bad.nii", voxels().T))
    with pytest.raises(DataError) as caught:
        read(VOLUMES, tmp_path)
    assert reason in caught.value.message


@pytest.mark.parametrize("keep", [0.05, 0.6, 0.999])
def test_that_a_cut_gzip_stream_is_named(tmp_path: Path, keep: float) -> None:
    path = nifti(tmp_path / "a.nii.gz", voxels().T)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(DataError, match=r"truncated|damaged"):
        read(VOLUMES, tmp_path)


def test_that_a_flipped_bit_in_a_gzip_stream_is_named(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", voxels().T)
    data = bytearray(gzip.decompress(path.read_bytes()))
    packed = bytearray(gzip.compress(bytes(data), 0))
    packed[-500] ^= 1
    path.write_bytes(packed)
    with pytest.raises(DataError, match="damaged"):
        read(VOLUMES, tmp_path)


def test_that_large_packed_files_read_alike_in_one_member_and_in_two_and_damage_is_named(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 90, (80, 90, 100)).astype(np.int16)  # above what is unpacked at once
    path = nifti(tmp_path / "a.nii.gz", values.T)
    plain = gzip.decompress(path.read_bytes())
    assert np.array_equal(one(tmp_path)["volume"][0], values)
    for cut in (len(plain) // 2, len(plain)):  # in the second case, a member of nothing but zeros follows the values
        path.write_bytes(gzip.compress(plain[:cut], 1) + gzip.compress(plain[cut:] or bytes(9), 1))
        assert np.array_equal(one(tmp_path)["volume"][0], values)
    packed = bytearray(gzip.compress(plain, 0))
    packed[-500] ^= 1
    path.write_bytes(packed)
    with pytest.raises(DataError, match="damaged"):
        read(VOLUMES, tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.nrrd", "NRRD0004\ntype: float\ndimension: 3\nsizes: 4 4\nencoding: raw\n\n", "3 axes, and 2 sizes"),
        ("a.nrrd", "NRRD0004\ntype: block\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n\n", "type 'block'"),
        ("a.nrrd", "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 x 4\nencoding: raw\n\n", "its header is damaged"),
        ("a.nhdr", "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: ../x.raw\n", "beside"),
        ("a.mha", "NDims = 3\nDimSize = 4 4 4\nElementType = MET_WORD\nElementDataFile = LOCAL\n", "MET_WORD"),
        ("a.mhd", "NDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\nElementDataFile = gone.raw\n", "gone.raw"),
        ("a.mha", "NDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n", "truncated"),
        ("a.mha", "NDims = 3\nDimSize = 9 9 9\nElementType = MET_SHORT\n", "names no data file"),
    ],
)
def test_that_bad_headers_are_named_with_reasons(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "x.raw").write_bytes(bytes(128))
    (tmp_path / "inside" / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read(VOLUMES, tmp_path / "inside")
    assert reason in caught.value.message


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.npy", "a.npz"])
def test_that_random_damage_is_named_or_harmless(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, voxels())
    elif name.endswith("npz"):
        np.savez(path, image=voxels())
    else:
        sitk.WriteImage(sitk_image(voxels()), str(path))
    whole = path.read_bytes()
    rng = np.random.default_rng(len(name))
    for _ in range(100):
        data = bytearray(whole)
        for place in rng.integers(0, 600, rng.integers(1, 9)):
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data) // 2, 2 * len(data))])
        with contextlib.suppress(DataError):
            read(VOLUMES, path)


def test_that_python_objects_are_never_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.full((9, 9, 9), None, object))
    with pytest.raises(DataError, match="never opened"):
        read(VOLUMES, tmp_path)


def test_that_a_dataset_of_good_and_bad_files_holds_the_good_and_names_the_bad(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for number in range(4):
        nifti(root / f"sub-{number:02d}_T1w.nii.gz", voxels((9 + number, 11, 13), seed=number).T)
    broken = voxels(dtype="float32").T.copy()
    broken[3, 3, 3] = np.nan
    nifti(root / "sub-08_T1w.nii", broken)
    _short(nifti(root / "sub-09_T1w.nii", voxels().T))
    with zipfile.ZipFile(root / "more.zip", "w") as archive:
        archive.write(root / "sub-00_T1w.nii.gz", "again.nii.gz")
    dataset = imported(VOLUMES, root, tmp_path / "d.h5")
    assert dataset.column("patient") == [f"sub-{number:02d}" for number in range(4)]
    spec = dataset.schema.get("volume")
    assert spec is not None
    assert (spec.shape, spec.dtype, spec.spacing_mm) == ((1, None, 11, 13), "float32", (3.0, 2.0, 2.0))
    assert np.array_equal(dataset.read("volume", [2])[0][0], voxels((11, 11, 13), seed=2))
    assert np.allclose(dataset.read("volume_affine", [0])[0], np.diag([3.0, 2.0, 2.0, 1.0])[[2, 1, 0, 3]])
    reasons = left_out(dataset)
    assert reasons["sub-08_T1w.nii"] == "volume holds NaN or infinite values"
    assert "truncated" in reasons["sub-09_T1w.nii"]


def test_that_volumes_in_an_archive_are_read(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii.gz", voxels().T)
    sitk.WriteImage(sitk_image(voxels(seed=4)), str(tmp_path / "b.mhd"))
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name in ("a.nii.gz", "b.mhd", "b.raw"):
            archive.write(tmp_path / name, name)
    plan, pictures = VOLUMES.plan(list_sources([tmp_path / "data.zip"]), ImportOptions(), tmp_path / "d.h5")
    assert (plan.records, len(pictures)) == (2, 2)
    dataset = imported(VOLUMES, tmp_path / "data.zip", tmp_path / "d.h5")
    assert dataset.column("name") == ["a.nii.gz", "b.mhd"]
