"""Where a map is looked at from: the part of the plane that is shown, and how a map in space is turned."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from engine.protocol.inspections import Array

MARGIN = 1.08


@dataclass(frozen=True, slots=True)
class Camera:
    """Centre and half height in data units; aspect is equal. Yaw and pitch (radians) turn points in space."""

    x: float = 0.0
    y: float = 0.0
    half: float = 1.0
    yaw: float = 0.0
    pitch: float = 0.0

    @classmethod
    def around(cls, low: Array, high: Array, width: int, height: int) -> Camera:
        """Return the camera that shows all between two corners (2,) or (3,) with a margin, in a picture of this size.

        Points in space are taken relative to the middle of their corners, and stay in sight however they are turned.
        """
        if len(low) == 3:
            radius = max(float(np.linalg.norm(high - low)) / 2, 1e-6)
            return cls(0.0, 0.0, radius * max(1.0, height / max(width, 1)) * 0.9, yaw=0.6, pitch=0.4)
        centre, span = (low + high) / 2, np.maximum(high - low, 1e-6)
        half = max(span[1] / 2, span[0] / 2 * height / max(width, 1))
        return cls(float(centre[0]), float(centre[1]), float(half) * MARGIN)

    def zoomed(self, factor: float, x: float, y: float) -> Camera:
        """Return the camera nearer by `factor` to the place (x, y) of the plane, which stays where it is."""
        return replace(
            self, x=x + (self.x - x) / factor, y=y + (self.y - y) / factor, half=max(self.half / factor, 1e-9)
        )

    def moved(self, right_px: float, down_px: float, height: int) -> Camera:
        """Return the camera after a drag by some pixels."""
        scale = 2 * self.half / height
        return replace(self, x=self.x - right_px * scale, y=self.y + down_px * scale)

    def turned(self, right_px: float, down_px: float) -> Camera:
        """Return the camera after a drag that turns: half a turn in 500 px."""
        pitch = min(max(self.pitch + down_px * math.pi / 500, -math.pi / 2), math.pi / 2)
        return replace(self, yaw=self.yaw + right_px * math.pi / 500, pitch=pitch)

    def axes(self) -> Array:
        """Return the directions to the right, upwards and towards the eye as rows of (3, 3) float32."""
        cos_yaw, sin_yaw = math.cos(self.yaw), math.sin(self.yaw)
        cos_pitch, sin_pitch = math.cos(self.pitch), math.sin(self.pitch)
        return np.array(
            [
                [cos_yaw, 0.0, sin_yaw],
                [sin_pitch * sin_yaw, cos_pitch, -sin_pitch * cos_yaw],
                [-cos_pitch * sin_yaw, sin_pitch, cos_pitch * cos_yaw],
            ],
            dtype=np.float32,
        )

    def plane(self, columns: tuple[Array, ...]) -> tuple[Array, Array, Array | None]:
        """Return places in the plane, and for points in space their depth (larger is nearer), of columns (N,)."""
        if len(columns) == 2:
            return columns[0], columns[1], None
        x, y, z = columns
        right, up, near = self.axes()
        flat_x = x * right[0] + z * right[2]
        flat_y = x * up[0] + y * up[1] + z * up[2]
        return flat_x, flat_y, x * near[0] + y * near[1] + z * near[2]

    def pixels(self, x: Array, y: Array, width: int, height: int) -> tuple[Array, Array]:
        """Return pixel positions, y down, of places in the plane."""
        scale = np.float32(height / (2 * self.half))
        return (x - np.float32(self.x)) * scale + np.float32(width / 2), (np.float32(self.y) - y) * scale + np.float32(
            height / 2
        )

    def place(self, x_px: float, y_px: float, width: int, height: int) -> tuple[float, float]:
        """Return the place in the plane under a pixel."""
        scale = height / (2 * self.half)
        return self.x + (x_px - width / 2) / scale, self.y + (height / 2 - y_px) / scale
