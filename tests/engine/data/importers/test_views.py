"""Pictures with cameras arrive in one convention: a known point of the world lands at its known pixel."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from engine.data.importers import plan_import, run_import
from engine.data.importers.sources import list_sources
from engine.data.importers.views import VIEW_PAIRS, VIEWS
from engine.data.importers.views_frames import pinhole, rotation_of
from engine.data.importers.views_overlap import covisibility, small_view
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.engine.data.making import encoded, silent

WIDTH, HEIGHT, FOCAL = 32, 24, 30.0
QUATERNION = (0.9238795325, 0.0, 0.3826834324, 0.0)  # (w, x, y, z): 45° about y
CENTRE = np.array([1.0, 2.0, 3.0])


def pose(shift: float = 0.0) -> Array:
    """Return a camera → world pose in OpenCV's axes."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_of(QUATERNION)
    matrix[:3, 3] = CENTRE + np.array([shift, 0.0, 0.0])
    return matrix


def ahead(distance: float, shift: float = 0.0) -> Array:
    """Return the point of the world that lies on the optical axis."""
    return (pose(shift) @ (0, 0, distance, 1))[:3]


def projected(matrix: Array, camera: Array, point: Array) -> Array:
    """Return the pixel at which a point of the world is seen."""
    own = np.linalg.inv(camera) @ (*point, 1.0)
    return (matrix @ own[:3])[:2] / own[2]


def pictures(folder: Path, count: int, suffix: str = "png") -> list[str]:
    """Write pictures; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = {"png": "PNG", "jpg": "JPEG"}[suffix]
    for number in range(count):
        (folder / f"{number:03d}.{suffix}").write_bytes(encoded(number, kind, (WIDTH, HEIGHT)))
    return [f"{number:03d}.{suffix}" for number in range(count)]


def nerf(root: Path, count: int = 4, **more: object) -> Path:
    """Write transforms.json in OpenGL's axes."""
    names = pictures(root / "train", count)
    turned = [(pose(0.1 * n) @ np.diag([1, -1, -1, 1])).tolist() for n in range(count)]
    frames = [{"file_path": f"./train/{name[:-4]}", "transform_matrix": turned[n]} for n, name in enumerate(names)]
    said = {"camera_angle_x": 2 * math.atan(WIDTH / 2 / FOCAL), "frames": frames, **more}
    (root / "transforms_train.json").write_text(json.dumps(said))
    return root


def imported(root: Path, **options: object) -> Dataset:
    """Import and open the result."""
    out = root.with_suffix(".h5")
    run_import([root], ImportOptions(**options), out, silent)  # type: ignore[arg-type]
    return Dataset.open(out)


def read_here(root: Path, px: int = 0, **settings: object) -> dict[str, Array]:
    """Read the first record of a folder in this process."""
    chosen = VIEWS.settings(**settings)
    unit = VIEWS.survey(list_sources([root]), ImportOptions(size_px=px), chosen).units[0]
    return dict(next(iter(VIEWS.read_unit(unit, tuple(entry.path for entry in unit.sources), chosen))))


def check_axis(values: dict[str, Array], centre: tuple[float, float], shift: float = 0.1) -> None:
    """Assert that points ahead of the second camera fall onto its principal point, points to the right right of it."""
    matrix, camera = values["views_intrinsics"][1], values["views_poses"][1]
    assert projected(matrix, camera, ahead(2.0, shift)) == pytest.approx(centre, abs=1e-4)
    right = (pose(shift) @ (0.2, 0.1, 2.0, 1))[:3]
    u, v = projected(matrix, camera, right) - centre
    assert (u, v) == pytest.approx((0.2 * matrix[0, 0] / 2, 0.1 * matrix[1, 1] / 2), abs=1e-4)


def test_that_opengl_poses_and_an_angle_of_view_become_opencv_cameras(tmp_path: Path) -> None:
    values = read_here(nerf(tmp_path / "d"), views=4)
    assert values["views"].shape == (4, 3, HEIGHT, WIDTH)
    assert values["views_intrinsics"][0] == pytest.approx(pinhole(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))
    check_axis(values, (WIDTH / 2, HEIGHT / 2))


def test_that_a_size_changes_picture_and_camera_together(tmp_path: Path) -> None:
    values = read_here(nerf(tmp_path / "d"), px=12, views=4)
    assert values["views"].shape == (4, 3, 12, 12)
    assert values["views_intrinsics"][0] == pytest.approx(pinhole(FOCAL / 2, FOCAL / 2, 6.0, 6.0))
    check_axis(values, (6.0, 6.0))


def colmap_text(root: Path) -> Path:
    """Write a COLMAP model as text; poses are world → camera."""
    names = pictures(root / "images", 4)
    model = root / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text(f"# cameras\n1 PINHOLE {WIDTH} {HEIGHT} {FOCAL} {FOCAL} 16.0 12.0\n")
    lines = []
    for number, name in enumerate(names):
        inverse = np.linalg.inv(pose(0.1 * number))
        w, x, y, z = QUATERNION
        numbers = [w, -x, -y, -z, *inverse[:3, 3].tolist()]
        shown = " ".join(f"1.0 1.0 {point}" for point in range(number, number + 10))
        lines += [f"{number + 1} {' '.join(map(repr, numbers))} 1 {name}", shown + " 3.0 3.0 -1"]
    (model / "images.txt").write_text("# images\n" + "\n".join(lines) + "\n")
    (model / "points3D.txt").write_text("# points\n")
    return root


def colmap_binary(root: Path) -> Path:
    """Write the same model in binary."""
    colmap_text(root)
    model = root / "sparse" / "0"
    cameras = struct.pack("<QiiQQ4d", 1, 1, 1, WIDTH, HEIGHT, FOCAL, FOCAL, 16.0, 12.0)
    images = [struct.pack("<Q", 4)]
    lines = (model / "images.txt").read_text().splitlines()[1:]
    for line, points in zip(lines[::2], lines[1::2], strict=True):
        words, shown = line.split(), points.split()
        images.append(struct.pack("<i7di", int(words[0]), *map(float, words[1:8]), 1) + words[9].encode() + b"\0")
        images.append(struct.pack("<Q", len(shown) // 3))
        for place in range(0, len(shown), 3):
            images.append(struct.pack("<ddq", float(shown[place]), float(shown[place + 1]), int(shown[place + 2])))
    for path in model.glob("*.txt"):
        path.unlink()
    (model / "cameras.bin").write_bytes(cameras)
    (model / "images.bin").write_bytes(b"".join(images))
    return root


@pytest.mark.parametrize("write", [colmap_text, colmap_binary])
def test_that_colmap_poses_are_turned_to_camera_to_world(tmp_path: Path, write: object) -> None:
    values = read_here(write(tmp_path / "d"), views=4)  # type: ignore[operator]
    check_axis(values, (16.0, 12.0))


def test_that_points_of_the_model_tell_which_pictures_overlap(tmp_path: Path) -> None:
    dataset = imported(colmap_text(tmp_path / "d"), kind="pair", settings={"overlap": [0.75, 0.85]})
    assert np.asarray(dataset.column("covisibility")).tolist() == pytest.approx([0.8, 0.8])
    assert dataset.column("name")[0] == "images/000.png + 002.png"


def write_depth(path: Path, values: Array) -> None:
    """Write 16-bit depth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.png_encode(values.astype(np.uint16)))


def scannet(root: Path, count: int = 10) -> Path:
    """Write a scan of a wall 2 m away; every third pose is not finite."""
    pictures(root / "color", count, "jpg")
    (root / "pose").mkdir()
    (root / "intrinsic").mkdir()
    camera = np.eye(4)
    camera[:3, :3] = pinhole(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)
    np.savetxt(root / "intrinsic" / "intrinsic_color.txt", camera)
    for number in range(count):
        matrix = np.eye(4)
        matrix[0, 3] = 0.2 * number
        np.savetxt(root / "pose" / f"{number:03d}.txt", matrix if number % 3 != 2 else matrix - np.inf)
        write_depth(root / "depth" / f"{number:03d}.png", np.full((HEIGHT // 2, WIDTH // 2), 2000))
    return root


def test_that_a_scan_gives_depth_in_metres_and_names_pictures_without_pose(tmp_path: Path) -> None:
    dataset = imported(scannet(tmp_path / "d"), settings={"views": 3, "stride": 1})
    spec = dataset.schema.get("views_poses")
    assert spec is not None
    assert spec.unit == "m"
    depth = np.asarray(dataset.read("views_depth", [0])[0])
    assert depth.shape == (3, HEIGHT, WIDTH)
    assert (depth == 2.0).all()
    assert np.asarray(dataset.read("views_poses", [0])[0])[:, 0, 3].tolist() == pytest.approx([0.0, 0.2, 0.6])
    assert {each.path for each in dataset.info.skipped} == {"color/002.jpg", "color/005.jpg", "color/008.jpg"}


def test_that_pairs_overlap_as_asked(tmp_path: Path) -> None:
    settings = {"overlap": [0.5, 0.95], "stride": 1, "partners": 3}
    dataset = imported(scannet(tmp_path / "d"), kind="pair", settings=settings)
    poses = np.stack([np.asarray(each) for each in dataset.read("pair_poses", range(len(dataset)))])
    seen = 1 - np.abs(poses[:, 1, 0, 3] - poses[:, 0, 0, 3]) * FOCAL / 2 / WIDTH  # a wall slides past
    assert len(dataset) >= 5
    assert np.asarray(dataset.column("covisibility")) == pytest.approx(seen, abs=0.04)
    assert seen.min() >= 0.45


def test_that_what_is_hidden_is_not_seen_in_common() -> None:
    matrix = pinhole(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)
    wall = small_view(np.full((HEIGHT, WIDTH), 2.0, np.float32), matrix, np.eye(4))
    curtain = small_view(np.full((HEIGHT, WIDTH), 1.0, np.float32), matrix, np.eye(4))
    assert covisibility(wall, wall) == 1.0
    assert covisibility(wall, curtain) == 0.0


def test_that_tum_sequences_are_tied_by_time(tmp_path: Path) -> None:
    root = tmp_path / "rgbd_freiburg1_desk"
    names = pictures(root / "rgb", 5)
    x, y, z, w = QUATERNION[1], QUATERNION[2], QUATERNION[3], QUATERNION[0]
    (root / "rgb.txt").write_text("# colour\n" + "".join(f"{n}.000 rgb/{name}\n" for n, name in enumerate(names)))
    (root / "depth.txt").write_text("".join(f"{n}.010 depth/{name}\n" for n, name in enumerate(names)))
    times = [0.005, 1.005, 2.5, 3.001, 4.0]
    rows = [f"{time} {1 + 0.1 * n} 2 3 {x} {y} {z} {w}\n" for n, time in enumerate(times)]
    (root / "groundtruth.txt").write_text("# time tx ty tz qx qy qz qw\n" + "".join(rows))
    for name in names:
        write_depth(root / "depth" / name, np.full((HEIGHT, WIDTH), 7500))
    listing = list_sources([root.parent])
    chosen = VIEWS.settings(views=4)
    survey = VIEWS.survey(listing, ImportOptions(), chosen)
    assert [each.path.rsplit("/", 1)[-1] for each in survey.skipped] == ["002.png"]
    unit = survey.units[0]
    values = dict(next(iter(VIEWS.read_unit(unit, tuple(entry.path for entry in unit.sources), chosen))))
    assert (values["views_depth"] == 1.5).all()
    check_axis(values, (318.6 * WIDTH / 640, 255.3 * HEIGHT / 480))


def test_that_a_list_of_pairs_is_read_and_missing_partners_are_named(tmp_path: Path) -> None:
    root = tmp_path / "d"
    pictures(root / "a", 4)
    (root / "pairs.txt").write_text("a/000.png a/001.png\na/002.png a/009.png\na/002.png a/003.png\n")
    dataset = imported(root)
    assert dataset.schema.fields[0].kind == "pair"
    assert len(dataset) == 2
    assert any("a/009.png" in each.reason for each in dataset.info.skipped)


def test_that_left_and_right_are_pairs_only_when_asked(tmp_path: Path) -> None:
    for side in ("left", "right"):
        pictures(tmp_path / "d" / side, 3)
        for number in range(3):
            (tmp_path / "d" / side / f"{number:03d}.png").write_bytes(
                encoded(number + 10 * len(side), size=(WIDTH, HEIGHT))
            )
    plan, _ = plan_import([tmp_path / "d"], ImportOptions(), Workspace(tmp_path / "w"))
    assert plan.importer == "images"
    assert "pair" in plan.kinds
    assert len(imported(tmp_path / "d", kind="pair")) == 3


def test_that_cameras_win_over_plain_pictures(tmp_path: Path) -> None:
    plan, shown = plan_import([nerf(tmp_path / "d", 8)], ImportOptions(), Workspace(tmp_path / "w"))
    assert (plan.importer, plan.records, len(shown)) == ("views", 1, 1)
    assert any("OpenGL" in warning for warning in plan.warnings)


def test_that_bad_frames_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    root = nerf(tmp_path / "d", 9)
    said = json.loads((root / "transforms_train.json").read_text())
    said["frames"][0]["file_path"] = "./train/missing"
    said["frames"][1]["transform_matrix"] = [[1, 2], [3, 4]]
    said["frames"][2]["transform_matrix"][0][0] = float("nan")
    said["frames"][3].pop("transform_matrix")
    said["frames"][4] = "nothing"
    (root / "transforms_train.json").write_text(json.dumps(said))
    survey = VIEWS.survey(list_sources([root]), ImportOptions(), VIEWS.settings(views=4))
    assert [each.path for each in survey.skipped] == [f"transforms_train.json frame {n}" for n in range(5)]
    assert len(survey.units) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("transforms.json", b"{"),
        ("transforms.json", b'{"frames": 3, "camera_angle_x": 1}'),
        ("transforms.json", b'{"frames": [{"file_path": "000", "transform_matrix": []}], "fl_x": 0}'),
        ("sparse/cameras.bin", b"\1"),
        ("sparse/cameras.txt", b"1 UNKNOWN 3 3 1 1 1"),
    ],
)
def test_that_a_damaged_model_is_refused_with_a_reason(tmp_path: Path, name: str, content: bytes) -> None:
    pictures(tmp_path / "d", 3)
    path = tmp_path / "d" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    if "cameras" in name:
        path.with_name(path.name.replace("cameras", "images")).write_bytes(b"\1\2")
    with pytest.raises(DataError, match="no pictures with cameras"):
        VIEWS.survey(list_sources([tmp_path / "d"]), ImportOptions(), VIEWS.settings())


def test_that_a_damaged_picture_costs_its_pairs_only(tmp_path: Path) -> None:
    root = scannet(tmp_path / "d", 10)
    (root / "color" / "003.jpg").write_bytes(b"no picture")
    dataset = imported(root, kind="pair", size_px=16, settings={"stride": 1})
    assert len(dataset) >= 3
    assert any("003.jpg" in each.path or "003.jpg" in each.reason for each in dataset.info.skipped)


def test_that_pictures_alone_have_no_cameras(tmp_path: Path) -> None:
    pictures(tmp_path / "d", 5)
    assert VIEWS.recognise(list_sources([tmp_path / "d"])) == 0
    assert VIEW_PAIRS.recognise(list_sources([tmp_path / "d"])) == 0
