"""Actors of a VTK scene: points in colours, line segments, pictures standing in space. Arrays in, actors out."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.viewers.vtk_host import as_vtk, as_vtk_ids
from engine.protocol.inspections import Array


def points_actor(points: Array, colours: Array, size: float) -> Any:
    """Return points (N, 3) in colours (N, 3) uint8, each `size` pixels wide."""
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    data = vtkPolyData()
    data.SetPoints(_places(points))
    data.SetVerts(_cells(np.arange(len(points)).reshape(-1, 1)))
    colour(data, colours)
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(data)
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetPointSize(size)
    actor.GetProperty().LightingOff()
    return actor


def colour(data: Any, colours: Array) -> None:
    """Give the points of a vtkPolyData colours (N, 3) uint8."""
    table = as_vtk(np.ascontiguousarray(colours, np.uint8))
    table.SetName("colours")
    data.GetPointData().SetScalars(table)
    data.Modified()


def ellipsoids_actor(centres: Array, radii: Array, rotations: Array, rgba: Array) -> Any:
    """Return ellipsoids at centres (N, 3) with radii (N, 3) along their axes, turned by unit quaternions (N, 4).

    rotations: w, x, y, z. rgba: (N, 4), 0…1; ellipsoids that are seen through are sorted by the graphics card.
    """
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkFiltersSources import vtkSphereSource
    from vtkmodules.vtkRenderingCore import vtkActor, vtkGlyph3DMapper

    data = vtkPolyData()
    data.SetPoints(_places(centres))
    tables: dict[str, Array] = {
        "radii": np.ascontiguousarray(radii, np.float32),
        "rotations": np.ascontiguousarray(rotations, np.float32),
        "colours": np.ascontiguousarray(np.clip(rgba, 0, 1) * 255 + 0.5, np.uint8),
    }
    for name, table in tables.items():
        column = as_vtk(table)
        column.SetName(name)
        data.GetPointData().AddArray(column)
    data.GetPointData().SetActiveScalars("colours")
    ball = vtkSphereSource()
    ball.SetRadius(1.0)
    ball.SetThetaResolution(12)
    ball.SetPhiResolution(9)
    mapper = vtkGlyph3DMapper()
    mapper.SetInputData(data)
    mapper.SetSourceConnection(ball.GetOutputPort())
    mapper.SetScaleArray("radii")
    mapper.SetScaleModeToScaleByVectorComponents()
    mapper.SetOrientationArray("rotations")
    mapper.SetOrientationModeToQuaternion()
    actor = vtkActor()
    actor.SetMapper(mapper)
    return actor


def lines_actor(points: Array, lines: Array, rgb: tuple[float, float, float], width: float = 1.5) -> Any:
    """Return segments between points (N, 3): lines (M, 2) of indices, in one colour of 0…1."""
    from vtkmodules.vtkCommonDataModel import vtkPolyData
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    data = vtkPolyData()
    data.SetPoints(_places(points))
    data.SetLines(_cells(lines))
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(data)
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*rgb)
    actor.GetProperty().SetLineWidth(width)
    actor.GetProperty().LightingOff()
    return actor


def picture_actor(corners: Array, pixels: Array) -> Any:
    """Return a picture (H, W, 3) uint8 with its corners (4, 3) at top left, top right, bottom right, bottom left."""
    from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper, vtkTexture

    image = vtkImageData()
    height, width = pixels.shape[:2]
    image.SetDimensions(width, height, 1)
    flat = np.ascontiguousarray(pixels[::-1].reshape(-1, 3), np.uint8)
    image.GetPointData().SetScalars(as_vtk(flat))
    data = vtkPolyData()
    data.SetPoints(_places(corners))
    data.SetPolys(_cells(np.arange(4).reshape(1, 4)))
    places = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    data.GetPointData().SetTCoords(as_vtk(places))
    texture = vtkTexture()
    texture.SetInputData(image)
    texture.InterpolateOn()
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(data)
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.SetTexture(texture)
    actor.GetProperty().LightingOff()
    return actor


def _places(points: Array) -> Any:
    from vtkmodules.vtkCommonCore import vtkPoints

    made = vtkPoints()
    made.SetData(as_vtk(np.ascontiguousarray(points, np.float32)))
    return made


def _cells(indices: Array) -> Any:
    """Return cells (M, k) of indices."""
    from vtkmodules.vtkCommonDataModel import vtkCellArray

    count, corners = indices.shape
    made = vtkCellArray()
    ends = as_vtk_ids(np.arange(0, (count + 1) * corners, corners, dtype=np.int64))
    made.SetData(ends, as_vtk_ids(np.ascontiguousarray(indices, np.int64).reshape(-1)))
    return made
