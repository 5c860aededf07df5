"""Imports real files and opens a record of each in its viewer in the real window, in a process of its own.

Arguments: a folder to work in, then names of `REAL_FILES` (none = all). Everything that was seen is written to
`seen.json` in that folder, a line to standard output for each kind, and a picture of the window for each kind.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
from PIL import Image
from PySide6.QtCore import QSettings
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton, QWidget

from app.main_window import MainWindow
from app.pages.data_record_page import MOST_TABS
from app.pages.data_view import DataView
from app.start import open_window
from app.viewers.records.views import DEPTH, SCENE, ViewsViewer
from app.viewers.records.volume import FOUR, SOLID, VolumeViewer
from engine.data.importers import run_import
from engine.protocol.connection import read_connection
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.end_to_end.real_files import REAL_FILES
from tests.end_to_end.real_files.making import RealFiles

SIZE = (1600, 1000)
HELP = Path(__file__).parents[2] / "resources" / "help" / "pictures"
HELP_PICTURES = {  # name in the help → what shows it
    "record-volume": "nifti-organs-4-up",
    "record-clip": "videos",
    "record-channels": "ome-tiff",
    "record-points": "pilarnet",
    "record-views": "rgbd-scan-Scene",
    "record-motion": "talks-motion",
}
HELP_PX, HELP_COLOURS = 800, 160
TURN_MS, SETTLE_TURNS, PATIENCE_S = 10, 15, 120.0


def prepare(files: RealFiles, home: Path) -> dict[str, Any]:
    """Write the files, unless they are there, and import them; return what was imported."""
    folder, out = home / "files" / files.name, Workspace(home / "workspace").dataset_file(files.name)
    if not out.exists():
        folder.mkdir(parents=True, exist_ok=True)
        files.write(folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        options = ImportOptions(name=files.name, kind=files.asked, settings=dict(files.settings))
        run_import([folder], options, out, lambda *_: None)
    return {"file": str(out)}


def wait(until: Callable[[], object], what: str) -> None:
    """Turn the event loop until something holds.

    Raises:
        TimeoutError: it did not come to hold.
    """
    end = time.monotonic() + PATIENCE_S
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(what)
        QTest.qWait(TURN_MS)


def settle() -> None:
    """Turn the event loop until layouts have followed what changed; a turn may take as long as a 3D picture."""
    for _ in range(SETTLE_TURNS):
        QTest.qWait(TURN_MS)


def look(window: MainWindow, files: RealFiles, home: Path, modes: tuple[str, ...]) -> dict[str, Any]:
    """Open the first record of a dataset, take a picture, return what is shown."""
    window.go("data", dataset=files.name)
    page: Any = window.places.pages["data"]
    assert isinstance(page, DataView)
    wait(lambda: page.model.current is not None and page.model.current.name == files.name, f"{files.name} opens")
    wait(lambda: page.model.records.rowCount() > 0, f"{files.name} is listed")
    wait(page.browse.grid.isVisible, f"{files.name} is seen")
    page.open_record(0)
    record = page.record_page
    wait(lambda: record.viewer is not None or record.model.problem, f"a record of {files.name} opens")
    found: dict[str, Any] = {"viewers": [], "problem": record.model.problem, "facts": record.facts.as_text()}
    for number, value in enumerate(record.model.record.drawn()[:MOST_TABS]):
        name = value.spec.name
        if number:
            record.fields.choose(name)
        found["viewers"].append(examine(record, files))
        picture(window, home, f"{files.name}-{name}" if number else files.name, modes)
        for other, show in other_views(record.viewer).items():
            show()
            settle()
            found["viewers"][-1][other] = colours(record.viewer)
            picture(window, home, f"{files.name}-{other}", modes)
    record.leave()
    return found


def other_views(viewer: Any) -> dict[str, Callable[[], object]]:
    """Return what else a viewer can show, by name."""
    if isinstance(viewer, VolumeViewer) and min(viewer.shape) > 1:
        return {name: partial(viewer.show_direction, name) for name in (SOLID, FOUR)}
    if isinstance(viewer, ViewsViewer) and viewer.choice.isVisible():
        parts = [button.text() for button in viewer.choice.findChildren(QPushButton)]
        return {name: partial(viewer.show_part, name) for name in (DEPTH, SCENE) if name in parts}
    return {}


def picture(window: MainWindow, home: Path, name: str, modes: tuple[str, ...]) -> None:
    """Save what the window shows, in each theme."""
    theme = window.context.theme
    for mode in modes:
        if theme.mode != mode:
            theme.set_mode(mode)  # type: ignore[arg-type]
            wait(lambda: not theme.is_dressing(), "the theme is changed")
            settle()
        window.grab().save(str(home / "pictures" / f"{name}-{mode}.png"))
    page: Any = window.places.pages["data"]
    if name in HELP_PICTURES.values():
        page.record_page.grab().save(str(home / "pictures" / f"{name}-page.png"))


def write_help(home: Path) -> None:
    """Write the pictures of the help pages, with few colours so that they stay small."""
    for name, shown in HELP_PICTURES.items():
        source = home / "pictures" / f"{shown}-page.png"
        if source.exists():
            with Image.open(source) as image:
                size = HELP_PX, round(image.height * HELP_PX / image.width)
                small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            small.quantize(HELP_COLOURS, dither=Image.Dither.NONE).save(HELP / f"{name}.png", optimize=True)


def examine(record: Any, files: RealFiles) -> dict[str, Any]:
    """Return what a viewer shows once it is filled."""
    viewer = record.viewer
    wait(lambda: not getattr(viewer, "is_busy", lambda: False)(), f"{files.name} is drawn")
    settle()
    return {
        "viewer": type(viewer).__name__,
        "kind": str(viewer.value.spec.kind),
        "sentence": viewer.accessibleName(),
        "qualifier": record.qualifier.text(),
        "colours": colours(viewer),
    }


def colours(widget: QWidget) -> int:
    """Return how many different colours a widget shows."""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), -1)[:, : image.width()]
    return len(np.unique(pixels))


def end_engine(home: Path) -> None:
    """End the engine of the workspace and what it started."""
    engine = psutil.Process(read_connection(home / "workspace").pid)
    family = [*engine.children(recursive=True), engine]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=10)


def main() -> None:
    """Do it for the kinds that were asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--modes", default="light")
    parser.add_argument("--help-pictures", action="store_true", help="renew the pictures of the help pages")
    asked = parser.parse_args()
    home: Path = asked.home
    chosen = [files for files in REAL_FILES if not asked.names or files.name in asked.names]
    (home / "pictures").mkdir(parents=True, exist_ok=True)
    seen: dict[str, Any] = {files.name: prepare(files, home) for files in chosen}
    settings = QSettings(str(home / "settings.ini"), QSettings.Format.IniFormat)
    settings.setValue("look/mode", asked.modes.split(",")[0])
    window, stall = open_window(home / "workspace", settings=settings)
    window.resize(*SIZE)
    wait(lambda: window.workspace.loaded and set(seen) <= set(window.workspace.datasets), "the datasets are listed")
    for files in chosen:
        stall.stalls.clear()
        seen[files.name] |= look(window, files, home, tuple(asked.modes.split(",")))
        seen[files.name]["busy_ms"] = max((1000 * each.span.busy_s for each in stall.stalls), default=0.0)
        sys.stdout.write(f"{files.name}: {seen[files.name]['viewers']} busy {seen[files.name]['busy_ms']:.0f} ms\n")
        sys.stdout.flush()
    (home / "seen.json").write_bytes(msgspec.json.encode(seen))
    if asked.help_pictures:
        write_help(home)
    stall.stop()
    window.close()
    end_engine(home)
    sys.stdout.write(json.dumps({"ended": True}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # graphics libraries end as they like; what is tested has been written


if __name__ == "__main__":
    main()
