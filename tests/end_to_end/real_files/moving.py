"""Clips: videos, frames, ultrasound loops, tracks."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from engine.protocol.schema import FieldKind
from tests.end_to_end.real_files.making import RealFiles, heart, photograph, shipped
from tests.engine.data.importers.dicom_files import write_file

WIDTH, HEIGHT, FRAMES = 192, 128, 48
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.3.1"


def flight(name: str, frames: int = FRAMES) -> list[np.ndarray[Any, Any]]:
    """Return frames (H, W, 3) of a camera that flies over a photograph."""
    whole = photograph(name)
    rows, columns = whole.shape[0] - HEIGHT, whole.shape[1] - WIDTH
    return [
        np.ascontiguousarray(
            whole[(top := n * rows // frames) : top + HEIGHT, (left := n * columns // frames) : left + WIDTH]
        )
        for n in range(frames)
    ]


def write_video(path: Path, frames: list[np.ndarray[Any, Any]], codec: str, pixels: str) -> None:
    """Write a video of 24 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def videos(folder: Path) -> None:
    """Write one video in each container."""
    write_video(folder / "coffee.mp4", flight("coffee.png"), "libx264", "yuv420p")
    write_video(folder / "rocket.webm", flight("rocket.jpg"), "libvpx", "yuv420p")
    write_video(folder / "chelsea.mkv", flight("chelsea.png"), "ffv1", "bgr0")
    write_video(folder / "retina.avi", flight("retina.jpg"), "mpeg4", "yuv420p")


def gifs(folder: Path) -> None:
    """Copy the moving GIF that scikit-image ships, and write one."""
    shutil.copy(shipped("skimage", "data", "no_time_for_that_tiny.gif"), folder / "shipped.gif")
    frames = [Image.fromarray(frame) for frame in flight("coffee.png", 24)]
    frames[0].save(folder / "coffee.gif", save_all=True, append_images=frames[1:], duration=40)


def frame_folders(folder: Path) -> None:
    """Write numbered frames."""
    for name in ("coffee", "astronaut"):
        (folder / name).mkdir()
        for number, frame in enumerate(flight(f"{name}.png", 24)):
            Image.fromarray(frame).save(folder / name / f"frame_{number:04d}.png")


def echo_loops(folder: Path) -> None:
    """Write ultrasound loops."""
    for number in range(2):
        frames = heart(number)[:, 1]
        said = {"Modality": "US", "NumberOfFrames": len(frames), "SeriesDescription": "A4C", "FrameTime": 33.3}
        write_file(folder / f"loop{number}.dcm", frames, SOPClassUID=ULTRASOUND, PatientID=f"P{number}", **said)


def tracks(folder: Path) -> None:
    """Write a video with boxes of two identities beside it."""
    frames = []
    for number in range(32):
        frame = photograph("brick.png")[:HEIGHT, :WIDTH].copy()
        for left, top, colour in ((8 + 4 * number, 20, (220, 60, 40)), (150 - 4 * number, 70, (60, 90, 220))):
            frame[top : top + 40, left : left + 24] = colour
            frame[top : top + 12, left + 6 : left + 18] = (230, 190, 150)
        frames.append(frame)
    write_video(folder / "street.mp4", frames, "libx264", "yuv420p")
    with (folder / "street.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("frame", "identity", "x", "y", "width", "height"))
        for number in range(32):
            rows.writerow((number, "red", 8 + 4 * number, 20, 24, 40))
            rows.writerow((number, "blue", 150 - 4 * number, 70, 24, 40))


MOVING = (
    RealFiles("videos", FieldKind.CLIP, videos, "ClipViewer", fast=True),
    RealFiles("gifs", FieldKind.CLIP, gifs, "ClipViewer"),
    RealFiles("frames", FieldKind.CLIP, frame_folders, "ClipViewer", asked="clip"),
    RealFiles("echo-loops", FieldKind.CLIP, echo_loops, "ClipViewer"),
    RealFiles("tracklets", FieldKind.CLIP, tracks, "ClipViewer"),
)
