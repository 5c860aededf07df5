"""Which run or job starts next: one training run to a device, a few other jobs beside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from engine.durable import write_atomic

JOBS_BESIDE = 2


class RunQueue:
    """Order of the waiting runs, kept in the workspace, and the device that each running one holds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.waiting: list[str] = []
        self.placed: dict[str, str] = {}  # run → device

    def restore(self, queued: Iterable[str]) -> None:
        """Take over the runs that are queued, in the order that was kept; unknown ones come last, oldest first."""
        known = sorted(queued)
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=list[str])
        except (OSError, msgspec.MsgspecError):
            kept = []
        self.waiting = [run for run in kept if run in known] + [run for run in known if run not in kept]

    def add(self, run: str, *, first: bool = False) -> None:
        """Queue a run, or move it to the front."""
        self.remove(run)
        self.waiting.insert(0 if first else len(self.waiting), run)
        self._keep()

    def remove(self, run: str) -> bool:
        """Take a run out of the queue; return whether it was in it."""
        if run not in self.waiting:
            return False
        self.waiting.remove(run)
        self._keep()
        return True

    def release(self, run: str) -> None:
        """Free the device of a run that ended."""
        self.placed.pop(run, None)

    def next(self, devices: Sequence[str], wanted: dict[str, str]) -> tuple[str, str] | None:
        """Return the first waiting run whose device is free, with that device, and mark both as taken.

        `wanted` says what each run asked for; "auto" takes any accelerator, or the CPU where there is none. A run
        that asks for a device that does not exist gets it all the same, and fails with its own words.
        """
        accelerators = [device for device in devices if device != "cpu"]
        for run in self.waiting:
            asked = wanted.get(run, "auto")
            asked = "cuda:0" if asked == "cuda" else asked
            allowed = (accelerators or ["cpu"]) if asked == "auto" else [asked]
            free = [device for device in allowed if device not in self.placed.values()]
            if free:
                self.remove(run)
                self.placed[run] = free[0]
                return run, free[0]
        return None

    def _keep(self) -> None:
        write_atomic(self._path, msgspec.json.encode(self.waiting))
