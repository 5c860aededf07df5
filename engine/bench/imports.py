"""Imports: ours against a plain loop in one process with the same library, its time divided by the cores; and memory.

The loop opens each file, decodes it and writes its values to an HDF5 file with h5py, as a script would that knows their
number and shape: no labels, no checks of the content, no checksums, no statistics, no resuming. Ours does all that, in
processes of its own, starting them included. Where other programs keep the cores busy, times say less than the
processor's work, which is told beside them: of ours, with all its processes, and of the loop. Memory is the largest
resident set of the importing process and of any that decodes for it, at a size and at ten times that size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from engine.bench.timing import in_turns, row
from engine.data.importers import run_import
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions

PICTURES, VOLUMES = 10_000, 200  # the larger of two sizes
GROWTH = 10
RUNS = 3
SIDE, DEPTH = 96, 96  # pixels of a picture, voxels of a volume
OPTIONS = ImportOptions(labels="none", drop_duplicates=False, val_share=0.0)
_DISTINCT = 500  # contents; more files repeat them

_CHILD = """
import json, resource, sys
from pathlib import Path
from engine.bench.imports import OPTIONS
from engine.data.importers import run_import
if __name__ == "__main__":
    run_import([sys.argv[1]], OPTIONS, Path(sys.argv[2]), lambda *_: None)
    print(json.dumps([resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]))
"""


def bench_imports(pictures: int = PICTURES, volumes: int = VOLUMES) -> list[dict[str, Any]]:
    """Measure files a second of pictures and of volumes, and memory at two sizes of each."""
    rows = []
    for noun, count, write, read in (
        ("pictures", pictures, _write_pictures, _read_pictures),
        ("volumes", volumes, _write_volumes, _read_volumes),
    ):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            large, small = folder / "large", folder / "small"
            write(large, count)
            write(small, count // GROWTH)
            rows += _speed(f"import of {count:,} {noun}", large, count, read)
            rows += _speed(f"import of {count // GROWTH:,} {noun}", small, count // GROWTH, read)
            rows += _memory(noun, small, large, count)
    return rows


def _speed(title: str, source: Path, count: int, read: Callable[[Path], Iterator[Array]]) -> list[dict[str, Any]]:
    out = source.with_suffix(".h5")
    cores = os.cpu_count() or 1

    def ours() -> None:
        run_import([source], OPTIONS, out, lambda *_: None)

    def peer() -> None:
        with h5py.File(source.with_suffix(".loop.h5"), "w") as file:
            for place, values in enumerate(read(source)):
                if place == 0:
                    file.create_dataset("values", (count, *values.shape), values.dtype)
                file["values"][place] = values

    work: dict[str, list[float]] = {"ours": [], "peer": []}
    ours_s, peer_s = in_turns(_counted(ours, work["ours"]), _counted(peer, work["peer"]), runs=RUNS)
    divided = [seconds / cores for seconds in peer_s]
    return [
        row(title, count, "files/s", (ours_s, divided), f"plain loop, its time divided by {cores} cores"),
        row(
            f"{title}, processor's work",
            count,
            "files/s of one core",
            (work["ours"][-RUNS:], work["peer"][-RUNS:]),
            "plain loop",
        ),
    ]


def _counted(work: Callable[[], object], seconds: list[float]) -> Callable[[], None]:
    """Return `work` so that it notes the processor's seconds that it takes, those of ended children included."""

    def counted() -> None:
        start = sum(os.times()[:4])
        work()
        seconds.append(sum(os.times()[:4]) - start)

    return counted


def _memory(noun: str, small: Path, large: Path, count: int) -> list[dict[str, Any]]:
    """Return rows of largest resident sets in MB at both sizes; the ratio is 1 where memory does not grow."""
    peaks = [_peaks(small), _peaks(large)]
    return [
        {
            "name": f"memory of {who}, {count:,} {noun}",
            "ours": peaks[1][place],
            "peer": peaks[0][place],
            "peer_name": f"ours at {count // GROWTH:,}",
            "ratio": peaks[0][place] / peaks[1][place],
            "unit": "MB",
            "runs": 1,
        }
        for place, who in enumerate(("the import", "a decoder"))
    ]


def _peaks(source: Path) -> tuple[float, float]:
    """Return the largest resident set of an import in a process of its own, and of its largest child, in MB."""
    with tempfile.TemporaryDirectory() as name:
        script = Path(name) / "import_once.py"  # a file, since the decoding processes import the main module
        script.write_text(_CHILD)
        command = [sys.executable, str(script), str(source), str(source.with_suffix(".h5"))]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        said = subprocess.run(command, check=True, capture_output=True, env=environment)
    own, child = json.loads(said.stdout)
    per_mb = 1024**2 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return own / per_mb, child / per_mb


def _write_pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:07d}.jpg"
        if number >= _DISTINCT:
            path.write_bytes((folder / f"{number % _DISTINCT:07d}.jpg").read_bytes())
            continue
        coarse = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=90)


def _read_pictures(folder: Path) -> Iterator[Array]:
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            yield np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def _write_volumes(folder: Path, count: int) -> None:
    import nibabel

    folder.mkdir()
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 900, (6, 6, 6)).astype(np.int16)
        voxels = coarse.repeat(DEPTH // 6, 0).repeat(DEPTH // 6, 1).repeat(DEPTH // 6, 2)
        voxels = voxels + np.random.default_rng(number).integers(0, 30, voxels.shape, np.int16)  # noise, as scans have
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 2.0, 1.0])), folder / f"case{number:05d}.nii.gz")


def _read_volumes(folder: Path) -> Iterator[Array]:
    import nibabel

    for path in sorted(folder.iterdir()):
        image = nibabel.as_closest_canonical(nibabel.load(path))
        yield np.asarray(image.dataobj).transpose(2, 1, 0)
