"""Posed views as NeRF has them: PNG pictures, transforms.json with the cameras, depth in whole millimetres."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.exporting_pictures import write_png
from engine.data.exporting_record import Format, OneRecord
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind, Schema

_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # y down and z forward → y up and z back
_MM = 0.001


@dataclass(frozen=True)
class ViewsFormat(Format):
    """One folder for each record."""

    id: str = "transforms"
    title: str = "Pictures with transforms.json"
    keeps: str = "Pictures without loss, cameras, depth in whole millimetres."

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the views, where their cameras are known."""
        spec = schema.first(FieldKind.VIEWS)
        if spec is None or spec.dtype not in {"uint8", "uint16"} or spec.shape[1] not in {1, 3}:
            return ()
        known = all(schema.get(f"{spec.name}_{what}") is not None for what in ("intrinsics", "poses"))
        return (spec.name,) if known else ()

    def write(self, record: OneRecord, base: Path) -> list[Path]:
        """Write the folder of a record; transforms.json is its main file."""
        (name,) = self.fields(record.schema)
        views, depth = record.array(name), record.beside(name, "depth")
        matrices, poses = record.beside(name, "intrinsics"), record.beside(name, "poses")
        if matrices is None or poses is None or not len(views):
            raise DataError("it has no posed views")
        base.mkdir(parents=True, exist_ok=True)
        files = []
        frames: list[dict[str, Any]] = []
        scale = _MM if depth is None else max(_MM, float(np.nanmax(depth)) / 65535)
        for number, view in enumerate(views):
            files.append(write_png(base / f"view_{number:03d}.png", view))
            frame: dict[str, Any] = {"file_path": f"view_{number:03d}.png", **_camera(matrices[number], view.shape)}
            frame["transform_matrix"] = (poses[number] @ _TO_OPENGL).tolist()
            if depth is not None:
                picture = np.rint(np.nan_to_num(depth[number]) / scale).astype(np.uint16)
                files.append(write_png(base / f"depth_{number:03d}.png", picture))
                frame["depth_file_path"] = f"depth_{number:03d}.png"
            frames.append(frame)
        said = {"camera_model": "PINHOLE", "depth_unit_scale_factor": scale, "frames": frames}
        path = base / "transforms.json"
        path.write_text(json.dumps(said, indent=1), encoding="utf-8")
        return [path, *files]


def _camera(matrix: Array, shape: tuple[int, ...]) -> dict[str, float | int]:
    return {
        "w": shape[-1],
        "h": shape[-2],
        "fl_x": float(matrix[0, 0]),
        "fl_y": float(matrix[1, 1]),
        "cx": float(matrix[0, 2]),
        "cy": float(matrix[1, 2]),
    }  # fmt: skip
