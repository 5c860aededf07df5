"""Real faults: an importing process killed at any moment, and a disk that is really full."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.data.importers import run_import
from engine.data.store import Dataset
from engine.data.writer import part_folder
from engine.errors import DiskFull
from engine.protocol.messages import ImportOptions
from tests.engine.data.making import encoded, silent

OPTIONS = ImportOptions(size_px=48, val_share=0.2)

# commits after every chunk, so that kills fall on every kind of moment, and says how far it is
_IMPORT = """
import sys
from pathlib import Path
from engine.data import writer
from engine.data.importers import run_import
from tests.engine.data.test_faults import OPTIONS

def tell(done, total, unit, current):
    print(int(done), flush=True)

if __name__ == "__main__":
    writer._COMMIT_EVERY_S = 0.0
    run_import([sys.argv[1]], OPTIONS, Path(sys.argv[2]), tell)
"""


def pictures(root: Path, count: int) -> Path:
    """Write `count` different PNG files of one class, and one damaged file."""
    (root / "ant").mkdir(parents=True)
    for number in range(count):
        (root / "ant" / f"{number:05d}.png").write_bytes(encoded(number, size=(60, 50)))
    (root / "ant" / "00100x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return root


def contents(path: Path) -> tuple[bytes, list[str], list[int]]:
    """Return pixels, names and splits of a dataset that verifies."""
    with Dataset.open(path) as dataset:
        assert dataset.verify() == []
        images = np.asarray(dataset.read("image", np.arange(len(dataset))))
        return images.tobytes(), list(dataset.column("name")), np.asarray(dataset.column("split")).tolist()


@pytest.mark.kill
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_that_an_import_killed_at_any_moment_goes_on_and_is_never_taken_for_finished(tmp_path: Path) -> None:
    root = pictures(tmp_path / "data", 400)
    straight, out = tmp_path / "straight.h5", tmp_path / "killed.h5"
    expected = run_import([root], OPTIONS, straight, silent)
    script = tmp_path / "importing.py"
    script.write_text(_IMPORT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    moments = random.Random(0)
    begun_at: list[int] = []
    for lines in (*(moments.randrange(1, 4) for _ in range(5)), 10_000):
        with subprocess.Popen([sys.executable, script, root, out], stdout=subprocess.PIPE, env=environment) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"0\n"
            begun_at.append(int(child.stdout.readline()))
            for _ in range(lines - 1):
                if child.stdout.readline() in {b"401\n", b""}:  # all are read: it is killed while it finishes
                    break
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        assert out.exists() or part_folder(out).is_dir()
        if out.exists():  # the rename was the last thing it did
            assert contents(out) == contents(straight)
    assert begun_at == sorted(begun_at)
    assert begun_at[-1] > begun_at[0]
    info = run_import([root], OPTIONS, out, silent)
    assert contents(out) == contents(straight)
    assert (info.checksum, info.skipped) == (expected.checksum, expected.skipped)
    assert not part_folder(out).exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 24 MB, and take it away again."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root of Linux can mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, leave: int) -> Path:
    """Take all of a disk's space but `leave` bytes."""
    ballast = place / "ballast"
    status = os.statvfs(place)
    ballast.write_bytes(bytes(status.f_bavail * status.f_frsize - leave))
    return ballast


@pytest.mark.parametrize("left_kb", [100, 900, 2000, 3000, 4500])
def test_that_a_disk_that_fills_up_on_the_way_loses_nothing_and_the_import_goes_on(
    tmp_path: Path, small_disk: Path, left_kb: int
) -> None:
    root = pictures(tmp_path / "data", 400)
    expected = run_import([root], OPTIONS, tmp_path / "straight.h5", silent)
    out = small_disk / "d.h5"
    ballast: list[Path] = []
    done: list[float] = []

    def fill_up(now: float, total: float, unit: str, current: str) -> None:
        done.append(now)
        if now > 0 and not ballast:  # behind the check of the free space
            ballast.append(fill(small_disk, left_kb * 1024))

    with pytest.raises(DiskFull, match=r"[\d,]+ bytes are needed") as caught:
        run_import([root], OPTIONS, out, fill_up)
    assert re.search(r"about (\d{1,3},)+\d{3} bytes", caught.value.message)
    assert not out.exists()
    before = max(done)
    ballast[0].unlink()
    done.clear()
    info = run_import([root], OPTIONS, out, fill_up)
    assert min(now for now in done if now) >= before
    assert contents(out) == contents(tmp_path / "straight.h5")
    assert (info.checksum, info.skipped) == (expected.checksum, expected.skipped)
