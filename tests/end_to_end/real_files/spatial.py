"""Point clouds and meshes, posed views and pairs of views, radiance grids."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import laspy
import numpy as np
from PIL import Image

from engine.protocol.schema import FieldKind
from tests.end_to_end.real_files.making import RealFiles, sample, shipped
from tests.engine.data.importers.test_points import write_pcd, write_ply


def room(number: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return points (N, 3) of a furnished room in m, and their colours (N, 3) uint8: its views unprojected."""
    columns = sample("rooms")
    points, colours = [], []
    for place in range(4):
        depth = columns["views_depth"][number][place]
        rows, across = np.mgrid[: depth.shape[0], : depth.shape[1]]
        matrix = columns["views_intrinsics"][number][place]
        rays = np.stack([across, rows, np.ones_like(rows)], -1) @ np.linalg.inv(matrix).T
        own = (rays * depth[..., None]).reshape(-1, 3)
        pose = columns["views_poses"][number][place]
        points.append(own @ pose[:3, :3].T + pose[:3, 3])
        colours.append(columns["views"][number][place].reshape(3, -1).T)
    return np.concatenate(points), np.concatenate(colours).astype(np.uint8)


def ply(folder: Path) -> None:
    """Write coloured points."""
    for number in range(2):
        points, colours = room(number)
        names = [(axis, "f4") for axis in "xyz"] + [(colour, "u1") for colour in ("red", "green", "blue")]
        rows = np.zeros(len(points), names)
        for place, axis in enumerate("xyz"):
            rows[axis] = points[:, place]
        for place, colour in enumerate(("red", "green", "blue")):
            rows[colour] = colours[:, place]
        write_ply(folder / f"room{number}.ply", rows)


def pcd(folder: Path) -> None:
    """Write compressed points with a packed colour."""
    points, colours = room()
    rows = np.zeros(len(points), [*((axis, "f4") for axis in "xyz"), ("rgb", "u4")])
    for place, axis in enumerate("xyz"):
        rows[axis] = points[:, place]
    rows["rgb"] = colours.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    write_pcd(folder / "room.pcd", "binary_compressed", rows)


def las(folder: Path) -> None:
    """Write LAS with classes and colours."""
    for number in range(2):
        points, colours = room(number)
        header = laspy.LasHeader(point_format=2, version="1.2")
        header.scales, header.offsets = np.full(3, 0.001), np.zeros(3)
        file = laspy.LasData(header)
        file.x, file.y, file.z = points.T
        file.red, file.green, file.blue = (colours.astype(np.uint16) * 257).T
        file.classification = (points[:, 1] > points[:, 1].mean()).astype(np.uint8) + 1
        file.write(folder / f"room{number}.las")


def meshes(folder: Path) -> None:
    """Write a torus as OBJ and as OFF."""
    count = 48
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    u, v = np.meshgrid(turn, turn, indexing="ij")
    points = np.stack([(2 + np.cos(v)) * np.cos(u), (2 + np.cos(v)) * np.sin(u), np.sin(v)], -1).reshape(-1, 3)
    at = np.arange(count * count).reshape(count, count)
    corners = np.stack([at, np.roll(at, -1, 0), np.roll(at, (-1, -1), (0, 1)), np.roll(at, -1, 1)], -1).reshape(-1, 4)
    lines = [" ".join(f"{value:.5f}" for value in point) for point in points]
    faces = [f"f {' '.join(str(each + 1) for each in face)}" for face in corners]
    (folder / "torus.obj").write_text("\n".join([*(f"v {line}" for line in lines), *faces]))
    flat = [f"4 {' '.join(map(str, face))}" for face in corners]
    (folder / "torus.off").write_text("\n".join(["OFF", f"{len(points)} {len(corners)} 0", *lines, *flat]))


def modelnet(folder: Path) -> None:
    """Write HDF5 as ModelNet40 ships it."""
    columns = sample("shapes3d")
    with h5py.File(folder / "ply_data_train0.h5", "w") as file:
        file["data"] = columns["points"][:12]
        file["label"] = columns["label"][:12, None].astype(np.uint8)


def events(folder: Path) -> None:
    """Write HDF5 as PILArNet-M ships it: events of different length with energies."""
    columns = sample("tracks")
    with h5py.File(folder / "generic_v2_6_v1.h5", "w") as file:
        point = file.create_dataset("point", (6,), h5py.vlen_dtype(np.float32))
        cluster = file.create_dataset("cluster", (6,), h5py.vlen_dtype(np.float32))
        for number in range(6):
            order = np.argsort(columns["points_instances"][number], kind="stable")
            rows = np.zeros((len(order), 8), np.float32)
            rows[:, :4] = columns["points"][number][order]
            kinds, instances = (columns[f"points_{what}"][number][order] for what in ("labels", "instances"))
            starts = np.flatnonzero(np.diff(instances, prepend=instances[0] - 1))
            sizes = np.diff(np.append(starts, len(order)))
            point[number] = rows.reshape(-1)
            numbers = np.arange(len(sizes))
            told = np.stack([sizes, numbers, numbers, np.zeros_like(numbers), kinds[starts]], axis=1)
            cluster[number] = told.astype(np.float32).reshape(-1)


def table_of_points(folder: Path) -> None:
    """Write points with an energy as a table."""
    rows = sample("tracks")["points"][1]
    np.savetxt(folder / "event.csv", rows, delimiter=",", header="x,y,z,energy", comments="")


def nerf(folder: Path) -> None:
    """Write pictures and transforms.json as NeRF has them, with OpenGL's axes."""
    columns = sample("rooms")
    (folder / "images").mkdir()
    frames = []
    for place in range(4):
        pixels = columns["views"][0][place].transpose(1, 2, 0)
        Image.fromarray(pixels).resize((256, 256)).save(folder / "images" / f"{place}.png")
        turned = columns["views_poses"][0][place] @ np.diag([1, -1, -1, 1])
        frames.append({"file_path": f"images/{place}.png", "transform_matrix": turned.tolist()})
    focal = float(columns["views_intrinsics"][0][0][0, 0]) * 4
    said = {"fl_x": focal, "fl_y": focal, "cx": 128.0, "cy": 128.0, "w": 256, "h": 256, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(said))


def colmap(folder: Path) -> None:
    """Write a COLMAP model as text."""
    columns = sample("rooms")
    (folder / "images").mkdir()
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    matrix = columns["views_intrinsics"][1][0]
    focal, middle = float(matrix[0, 0]), float(matrix[0, 2])
    (model / "cameras.txt").write_text(f"1 PINHOLE 64 64 {focal} {focal} {middle} {middle}\n")
    lines = []
    for place in range(4):
        Image.fromarray(columns["views"][1][place].transpose(1, 2, 0)).save(folder / "images" / f"{place}.png")
        inverse = np.linalg.inv(columns["views_poses"][1][place])
        turn = quaternion(inverse[:3, :3])
        numbers = " ".join(repr(float(each)) for each in (*turn, *inverse[:3, 3]))
        lines += [f"{place + 1} {numbers} 1 {place}.png", " ".join(f"1.0 1.0 {n}" for n in range(place, place + 10))]
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    (model / "points3D.txt").write_text("# points\n")


def quaternion(turn: np.ndarray[Any, Any]) -> tuple[float, float, float, float]:
    """Return a rotation matrix as (w, x, y, z)."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(turn).as_quat()
    return float(w), float(x), float(y), float(z)


def rgbd(folder: Path) -> None:
    """Write a scan with depth in mm and a pose for each picture, as ScanNet has it."""
    columns = sample("rooms")
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir()
    camera = np.eye(4)
    camera[:3, :3] = columns["views_intrinsics"][2][0]
    np.savetxt(folder / "intrinsic" / "intrinsic_color.txt", camera)
    for place in range(4):
        picture = Image.fromarray(columns["views"][2][place].transpose(1, 2, 0))
        picture.save(folder / "color" / f"{place:03d}.jpg", quality=95)
        np.savetxt(folder / "pose" / f"{place:03d}.txt", columns["views_poses"][2][place])
        depth = (columns["views_depth"][2][place] * 1000).astype(np.uint16)
        (folder / "depth" / f"{place:03d}.png").write_bytes(imagecodecs.png_encode(depth))


def stereo(folder: Path) -> None:
    """Copy the stereo pair that scikit-image ships, and a pair of the sample rooms."""
    for place, side in enumerate(("left", "right")):
        (folder / side).mkdir()
        shutil.copy(shipped("skimage", "data", f"motorcycle_{side}.png"), folder / side / "motorcycle.png")
        pixels = sample("rooms")["views"][0][place].transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / side / "room.png")


def grids(folder: Path) -> None:
    """Write radiance and density of furnished rooms."""
    for number in range(2):
        values = np.asarray(sample("grids")["grid"][number], np.float32).transpose(3, 2, 1, 0) / 255.0
        np.savez_compressed(folder / f"room{number}.npz", rgbsigma=values, resolution=np.array(values.shape[:3]))


SPATIAL = (
    RealFiles("ply", FieldKind.POINTS, ply, "PointsViewer", fast=True),
    RealFiles("pcd", FieldKind.POINTS, pcd, "PointsViewer"),
    RealFiles("las", FieldKind.POINTS, las, "PointsViewer"),
    RealFiles("meshes", FieldKind.POINTS, meshes, "PointsViewer", settings={"surface_points": 8192}),
    RealFiles("modelnet", FieldKind.POINTS, modelnet, "PointsViewer"),
    RealFiles("pilarnet", FieldKind.POINTS, events, "PointsViewer"),
    RealFiles("point-table", FieldKind.POINTS, table_of_points, "PointsViewer", asked="points"),
    RealFiles("nerf", FieldKind.VIEWS, nerf, "ViewsViewer", settings={"views": 4}),
    RealFiles("colmap", FieldKind.VIEWS, colmap, "ViewsViewer", settings={"views": 4}),
    RealFiles("rgbd-scan", FieldKind.VIEWS, rgbd, "ViewsViewer", settings={"views": 4, "stride": 1}),
    RealFiles("stereo", FieldKind.PAIR, stereo, "ViewsViewer", asked="pair"),
    RealFiles("grids", FieldKind.GRID, grids, "VolumeViewer", settings={"density": "alpha"}),
)
