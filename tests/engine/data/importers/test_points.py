"""Point clouds of every format arrive with their columns, labels and units; bad files are named."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import h5py
import laspy
import numpy as np
import pytest

from engine.data.importers import plan_import, run_import
from engine.data.importers.points import POINTS
from engine.data.importers.points_glimpse import PointSettings
from engine.data.importers.sources import list_sources
from engine.data.importers.units import Values
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.engine.data.making import silent

PLY = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("label", "i4")])


def imported(root: Path, **options: object) -> Dataset:
    """Import a folder and open the result."""
    out = root.with_suffix(".h5")
    run_import([root], ImportOptions(kind="points", **options), out, silent)  # type: ignore[arg-type]
    return Dataset.open(out)


def read_here(root: Path, **settings: object) -> tuple[tuple[str, ...], Values]:
    """Read the only file of a folder in this process; returns the columns and the first record."""
    chosen = PointSettings(**settings)  # type: ignore[arg-type]
    survey = POINTS.survey(list_sources([root]), ImportOptions(), chosen)
    unit = survey.units[0]
    values = next(iter(POINTS.read_unit(unit, tuple(entry.path for entry in unit.sources), chosen)))
    return survey.fields[0].channels, values


def record(dataset: Dataset, field: str = "points", number: int = 0) -> Array:
    """Return one record's values."""
    return np.asarray(dataset.read(field, [number])[0])


def vertices(count: int = 50, seed: int = 0) -> Array:
    """Return random vertices with colours and labels."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, PLY)
    for axis in "xyz":
        rows[axis] = rng.normal(size=count)
    for colour in ("red", "green", "blue"):
        rows[colour] = rng.integers(0, 256, count)
    rows["label"] = rng.integers(0, 4, count)
    return rows


def write_ply(path: Path, rows: Array, order: Literal["", "<", ">"] = "<") -> None:
    """Write vertices; `order` "" = ascii."""
    kinds = {"f4": "float", "u1": "uchar", "i4": "int"}
    names = [f"property {kinds[rows.dtype[name].str[1:]]} {name}" for name in rows.dtype.names or ()]
    form = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}[order]
    head = ["ply", f"format {form} 1.0", "comment made by a test", f"element vertex {len(rows)}", *names, "end_header"]
    body = (
        "\n".join(" ".join(repr(value.item()) for value in row) for row in rows).encode()
        if not order
        else rows.astype(rows.dtype.newbyteorder(order)).tobytes()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(head).encode() + b"\n" + body)


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_that_ply_vertices_arrive_exactly_in_every_encoding(tmp_path: Path, order: Literal["", "<", ">"]) -> None:
    rows = vertices()
    write_ply(tmp_path / "d" / "a.ply", rows, order)
    channels, values = read_here(tmp_path / "d")
    assert channels == ("x", "y", "z", "red", "green", "blue")
    points = values["points"]
    assert np.array_equal(points[:, :3], np.stack([rows[axis] for axis in "xyz"], 1))
    assert np.array_equal(points[:, 3], rows["red"].astype(np.float32) / np.float32(255))
    assert np.array_equal(values["points_labels"], rows["label"])


def test_that_clouds_of_different_length_stay_as_they_are(tmp_path: Path) -> None:
    for count in (20, 35, 50):
        write_ply(tmp_path / "d" / f"{count}.ply", vertices(count, count))
    dataset = imported(tmp_path / "d")
    assert [len(each) for each in dataset.read("points", range(3))] == [20, 35, 50]


def test_that_features_which_one_file_lacks_are_told_and_left_out(tmp_path: Path) -> None:
    write_ply(tmp_path / "d" / "a.ply", vertices())
    write_ply(tmp_path / "d" / "b.ply", vertices(seed=1)[["x", "y", "z"]].astype([(axis, "f4") for axis in "xyz"]))
    plan, _ = plan_import([tmp_path / "d"], ImportOptions(), Workspace(tmp_path / "w"))
    assert any("red" in warning for warning in plan.warnings)
    assert record(imported(tmp_path / "d")).shape == (50, 3)


def test_that_gaussians_have_colour_and_opacity_between_0_and_1(tmp_path: Path) -> None:
    names = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "f_rest_0", "opacity", "scale_0", "rot_0"]
    rows = np.zeros(9, [(name, "f4") for name in names])
    rows["x"], rows["opacity"], rows["f_dc_0"] = np.arange(9), -50.0, 1.0
    write_ply(tmp_path / "d" / "a.ply", rows)
    channels, values = read_here(tmp_path / "d")
    assert channels[3:] == ("red", "green", "blue", "opacity")
    assert values["points"][0, 3:] == pytest.approx([0.78209479, 0.5, 0.5, 0.0])


def write_pcd(path: Path, data: str, rows: Array) -> None:
    """Write x, y, z and a packed colour."""
    head = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
        f"WIDTH {len(rows)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(rows)}\nDATA {data}\n"
    )
    if data == "ascii":
        body = "\n".join(" ".join(str(value) for value in row) for row in rows.tolist()).encode()
    elif data == "binary":
        body = rows.tobytes()
    else:
        import imagecodecs

        plain = b"".join(np.ascontiguousarray(rows[name]).tobytes() for name in rows.dtype.names or ())
        packed = imagecodecs.lzf_encode(plain)
        body = struct.pack("<II", len(packed), len(plain)) + packed
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head.encode() + body)


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_that_pcd_points_arrive_without_those_at_nan(tmp_path: Path, data: str) -> None:
    rows = np.zeros(100, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
    rows["x"] = np.arange(100)
    rows["rgb"] = 0x00FF8000
    rows["y"][7] = np.nan
    write_pcd(tmp_path / "d" / "a.pcd", data, rows)
    points = read_here(tmp_path / "d")[1]["points"]
    assert len(points) == 99
    assert points[0] == pytest.approx([0, 0, 0, 1.0, 128 / 255, 0.0])


@pytest.mark.parametrize("suffix", ["las", "laz"])
def test_that_las_and_laz_keep_millimetres_far_from_the_origin(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    xyz = np.round(rng.uniform(0, 50, (200, 3)), 3) + np.array([443_000.0, 5_400_000.0, 100.0])
    las = laspy.create(point_format=2, file_version="1.2")
    las.header.scales, las.header.offsets = np.full(3, 0.001), np.array([443_000.0, 5_400_000.0, 0.0])
    las.x, las.y, las.z = xyz.T
    las.classification = rng.integers(0, 9, 200)
    las.red = las.green = las.blue = rng.integers(0, 65536, 200)
    (tmp_path / "d").mkdir()
    las.write(tmp_path / "d" / f"a.{suffix}")
    dataset = imported(tmp_path / "d")
    spec = dataset.schema.get("points")
    assert spec is not None
    assert spec.unit == "m"
    points = record(dataset)
    assert np.abs(points[:, :3] + record(dataset, "points_origin") - xyz).max() < 1e-4
    assert np.array_equal(record(dataset, "points_labels"), np.asarray(las.classification))
    assert points[:, 4].max() <= 1.0


OFF_CUBE = """8 6 0
0 0 0
1 0 0
1 1 0
0 1 0
0 0 1
1 0 1
1 1 1
0 1 1
4 0 1 2 3
4 4 5 6 7
4 0 1 5 4
4 1 2 6 5
4 2 3 7 6
4 3 0 4 7
"""


def obj_cube() -> str:
    """Return the cube as OBJ."""
    rows = [line.split() for line in OFF_CUBE.splitlines()[1:]]
    points = [f"v {' '.join(row)}" for row in rows[:8]]
    faces = [f"f {' '.join(f'{int(word) + 1}/1' for word in row[1:])}" for row in rows[8:]]
    return "\n".join([*points, *faces])


def stl_cube() -> bytes:
    """Return one side of the cube, as binary STL."""
    corners = [[(0, 0, 0), (1, 0, 0), (1, 1, 0)], [(0, 0, 0), (1, 1, 0), (0, 1, 0)]]
    rows = b"".join(
        struct.pack("<3f", 0, 0, 1) + b"".join(struct.pack("<3f", *corner) for corner in side) + b"\0\0"
        for side in corners
    )
    return b"\0" * 80 + struct.pack("<I", 2) + rows


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.off", "OFF" + OFF_CUBE), ("a.off", "OFF\n" + OFF_CUBE), ("a.obj", obj_cube()), ("a.stl", stl_cube())],
)
def test_that_points_lie_on_the_surface_with_its_normals(tmp_path: Path, name: str, content: str | bytes) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / name).write_bytes(content.encode() if isinstance(content, str) else content)
    points = read_here(tmp_path / "d", surface_points=600)[1]["points"]
    assert points.shape == (600, 6)
    on_side = np.abs(points[:, :3] * (1 - points[:, :3])).min(axis=1)
    assert on_side.max() < 1e-6
    assert np.linalg.norm(points[:, 3:], axis=1) == pytest.approx(np.ones(600), abs=1e-5)


def test_that_the_same_seed_samples_the_same_points(tmp_path: Path) -> None:
    for name in ("d", "e"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.off").write_text("OFF\n" + OFF_CUBE)
    first, second = (read_here(tmp_path / name)[1]["points"] for name in "de")
    assert np.array_equal(first, second)


def test_that_class_and_split_folders_of_modelnet_are_understood(tmp_path: Path) -> None:
    for number, name in enumerate(("chair/train/1.off", "chair/test/2.off", "sofa/train/3.off")):
        path = tmp_path / "ModelNet40" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("OFF\n" + OFF_CUBE.replace("\n1 1 1\n", f"\n1 1 {2 + number}\n"))
    dataset = imported(tmp_path / "ModelNet40")
    assert dataset.info.labels["label"] == {"chair": 2, "sofa": 1}
    assert dataset.info.splits["test"] == 1


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ("{x} {y} {z}", ("x", "y", "z")),
        ("{x},{y},{z},0.0,0.6,0.8", ("x", "y", "z", "nx", "ny", "nz")),
        ("{x} {y} {z} 12 200 255", ("x", "y", "z", "red", "green", "blue")),
    ],
)
def test_that_tables_of_numbers_are_understood_without_a_header(
    tmp_path: Path, text: str, channels: tuple[str, ...]
) -> None:
    (tmp_path / "d").mkdir()
    rows = np.random.default_rng(0).normal(size=(30, 3)).tolist()
    (tmp_path / "d" / "a.txt").write_text("\n".join(text.format(x=x, y=y, z=z) for x, y, z in rows))
    found, values = read_here(tmp_path / "d")
    assert found == channels
    assert np.array_equal(values["points"][:, :3], np.array(rows, np.float32))


def test_that_a_header_names_the_columns_of_a_csv(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.csv").write_text("z,y,x,Energy,label\n" + "".join(f"3,2,{n},0.5,{n % 2}\n" for n in range(12)))
    _, values = read_here(tmp_path / "d")
    assert values["points"][5].tolist() == [5.0, 2.0, 3.0, 0.5]
    assert values["points_labels"].tolist() == [0, 1] * 6


def test_that_npy_points_arrive(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    (tmp_path / "d").mkdir()
    np.save(tmp_path / "d" / "02691156-1.npy", values)
    assert np.array_equal(read_here(tmp_path / "d")[1]["points"], values)


def modelnet(path: Path) -> Array:
    """Write a file as ModelNet40 ships it."""
    data = np.random.default_rng(0).normal(size=(6, 32, 3)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["data"] = data
        file["label"] = np.array([[0], [1], [0], [1], [2], [0]], np.uint8)
    return data


def test_that_every_row_of_a_modelnet_file_is_a_record_with_its_class(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    data = modelnet(tmp_path / "d" / "ply_data_test0.h5")
    (tmp_path / "d" / "shape_names.txt").write_text("airplane\nbathtub\nbed\n")
    dataset = imported(tmp_path / "d")
    assert np.array_equal(np.stack(list(dataset.read("points", range(6)))), data)
    assert dataset.info.labels["label"] == {"airplane": 3, "bathtub": 2, "bed": 1}
    assert dataset.info.splits == {"test": 6}


def pilarnet(path: Path) -> None:
    """Write three events; the second one's clusters do not fit its points."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        point = file.create_dataset("point", (3,), h5py.vlen_dtype(np.float32))
        cluster = file.create_dataset("cluster", (3,), h5py.vlen_dtype(np.float32))
        for number, count in enumerate((10, 20, 30)):
            rows = rng.uniform(0, 768, (count, 8)).astype(np.float32)
            rows[:, 3] = number + 0.25
            point[number] = rows.reshape(-1)
            first = 4 if number != 1 else 5000
            cluster[number] = np.array([[first, 0, 0, 0, 4], [count - 4, 1, 1, 0, 1]], np.float32).reshape(-1)


def test_that_events_keep_length_energy_and_labels_and_a_bad_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    pilarnet(tmp_path / "d" / "generic_v2_3_v1.h5")
    dataset = imported(tmp_path / "d")
    spec = dataset.schema.get("points")
    assert spec is not None
    assert (spec.unit, spec.channels[3]) == ("voxel", "energy")
    assert [len(each) for each in dataset.read("points", range(2))] == [10, 30]
    assert record(dataset, number=1)[0, 3] == 2.25
    assert record(dataset, "points_labels").tolist() == [4] * 4 + [1] * 6
    assert record(dataset, "points_instances").tolist() == [0] * 4 + [1] * 6
    assert [each.path for each in dataset.info.skipped] == ["generic_v2_3_v1.h5#1"]


def test_that_a_cloud_is_thinned_and_cut_into_tiles_when_asked(tmp_path: Path) -> None:
    write_ply(tmp_path / "d" / "a.ply", vertices(400))
    thinned = imported(tmp_path / "d", settings={"most_points": 100})
    assert record(thinned).shape == (100, 6)
    tiled = imported(tmp_path / "d", settings={"tile": 2.0})
    assert len(tiled) > 1
    assert sum(len(each) for each in tiled.read("points", range(len(tiled)))) == 400


def las_of_nothing() -> bytes:
    """Return a LAS header that declares a billion points."""
    head = bytearray(375)
    head[:4] = b"LASF"
    head[24:26] = b"\1\2"
    head[94:96], head[96:100] = struct.pack("<H", 227), struct.pack("<I", 227)
    head[104], head[105:107], head[107:111] = 0, struct.pack("<H", 20), struct.pack("<I", 1_000_000_000)
    return bytes(head)


def cut_laz() -> bytes:
    """Return two thirds of a LAZ file."""
    las = laspy.create(point_format=0, file_version="1.2")
    las.x, las.y, las.z = np.random.default_rng(0).uniform(0, 9, (3, 500))
    file = io.BytesIO()
    las.write(file, do_compress=True)
    content = file.getvalue()
    return content[: len(content) * 2 // 3]


BAD: dict[str, Callable[[], bytes]] = {
    "zero.ply": lambda: b"",
    "cut.ply": lambda: (
        b"ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty float x\nproperty float y\n"
        b"property float z\nend_header\n1234"
    ),
    "bomb.ply": lambda: (
        b"ply\nformat binary_big_endian 1.0\nelement vertex 99999999999\nproperty float x\n"
        b"property float y\nproperty float z\nend_header\n"
    ),
    "noz.ply": lambda: (
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nend_header\n1 2\n"
    ),
    "nan.ply": lambda: (
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
        b"property float z\nend_header\nnan nan nan\n"
    ),
    "text.pcd": lambda: b"hello",
    "cut.pcd": lambda: (
        b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 9\nHEIGHT 1\nPOINTS 9\nDATA binary\n12"
    ),
    "bomb.las": las_of_nothing,
    "cut.laz": cut_laz,
    "cut.off": lambda: b"OFF\n100 100 0\n0 0 0\n",
    "flat.off": lambda: b"OFF\n3 1 0\n0 0 0\n1 1 1\n2 2 2\n3 0 1 2\n",
    "range.off": lambda: b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n",
}


def test_that_bad_clouds_are_named_with_reasons_and_the_rest_is_imported(tmp_path: Path) -> None:
    write_ply(tmp_path / "d" / "good.ply", vertices()[["x", "y", "z"]].astype([(axis, "f4") for axis in "xyz"]))
    for name, content in BAD.items():
        (tmp_path / "d" / name).write_bytes(content())
    dataset = imported(tmp_path / "d", settings={"features": "none"})
    assert {each.path for each in dataset.info.skipped} == set(BAD)
    assert all(each.reason for each in dataset.info.skipped)
    assert len(dataset) == 1


def test_that_a_file_whose_points_lie_in_another_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    modelnet(tmp_path / "secret.h5")
    with h5py.File(tmp_path / "d" / "a.h5", "w") as file:
        file["data"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "data")
    with pytest.raises(DataError):
        imported(tmp_path / "d")


def test_that_a_pickled_npy_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    np.save(tmp_path / "d" / "a.npy", np.array([[{}, {}, {}]] * 9, dtype=object), allow_pickle=True)
    with pytest.raises(DataError):
        imported(tmp_path / "d")
