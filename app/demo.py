"""The main job, done by the window itself: sample data, CAE, live views, evaluation, pictures of every page.

`python -m app.demo --out demo` works like a hand at the window: it waits for what it sees, and never for the clock
alone. With a display the window stays open at the end; on a virtual one (--quit) it closes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QSettings, QTimer
from PySide6.QtWidgets import QApplication

from app.main_window import MainWindow
from app.start import open_window
from app.widgets.stall import StallMonitor
from engine.protocol import messages
from engine.protocol.messages import Message

Condition = Callable[[], bool]
Script = Generator[Condition, None, None]
TICK_MS = 100
PATIENCE_S = 420.0
SETTLE_S = 1.5
STEPS = 400  # two to four minutes on two cores
DATASET = "textures"
METHOD = "cae"


class Demo(QObject):
    """Runs a script: each step yields what it waits for."""

    def __init__(self, window: MainWindow, out: Path, *, stall: StallMonitor, stays: bool, steps: int) -> None:
        super().__init__(window)
        self.window, self.context, self.out, self.stays, self.steps = window, window.context, out, stays, steps
        self.stall = stall
        self.run = ""
        self.results: dict[str, Any] = {}
        self.pictures: list[str] = []
        self.failure = ""
        self._script = self._play()
        self._waiting: Condition = lambda: True
        self._since = time.monotonic()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        if not self._waiting():
            if time.monotonic() - self._since > PATIENCE_S:
                self._end(f"waited {PATIENCE_S:.0f} s in vain: {self.context.client.detail}")
            return
        self._since = time.monotonic()
        try:
            self._waiting = next(self._script)
        except StopIteration:
            self._end("")
        except RuntimeError as error:
            self._end(str(error))

    def _end(self, failure: str) -> None:
        self._timer.stop()
        self.failure = failure
        if failure:
            self.say(f"The demo stopped: {failure}")
        self._write_summary()
        if failure or not self.stays:
            self.window.close()
            QApplication.exit(1 if failure else 0)

    # ── the script ───────────────────────────────────────────────────────────────────────────────

    def _play(self) -> Script:
        workspace, client = self.context.workspace, self.context.client
        self.say("Opening the window and reaching the engine …")
        yield lambda: workspace.loaded and bool(workspace.methods) and bool(workspace.samples)
        yield from self._picture("data", "data-empty")
        if DATASET not in workspace.datasets:
            self.say(f"Making the sample dataset {DATASET!r} …")
            self._ask(messages.MakeSample(id=client.new_id(), name=DATASET))
            yield lambda: DATASET in workspace.datasets
        yield from self._picture("data", "data", dataset=DATASET)
        yield from self._picture("methods", "methods", dataset=DATASET, method=METHOD)
        self.say(f"Training {METHOD} on {workspace.datasets[DATASET].records} pictures …")
        path = workspace.datasets[DATASET].path
        training: dict[str, Any] = {"steps": self.steps} if self.steps else {}
        spec = messages.RunSpec(method=METHOD, dataset=path, preset="tiny", training=training, seed=1)
        self._ask(messages.StartRun(id=client.new_id(), spec=spec), self._take_run)
        yield lambda: bool(self.run) and self.run in workspace.runs
        self.context.go("runs", run=self.run)
        yield lambda: self._share() > 0.6 or self._ended()
        yield from self._picture("runs", "runs-training", run=self.run)
        yield self._ended
        summary = workspace.runs[self.run]
        if summary.state != "finished":
            reason = summary.failure.message if summary.failure else ""
            msg = f"the run ended as {summary.state!r}: {reason}"
            raise RuntimeError(msg)
        for protocol in ("knn", "linear"):
            self.say(f"Evaluating: {protocol} …")
            self._ask(messages.Evaluate(id=client.new_id(), run=self.run, protocol=protocol), self._take_job)
            yield lambda protocol=protocol: protocol in self.results or self._job_failed()  # type: ignore[misc]
        for mode in ("light", "dark"):
            self.context.theme.set_mode(mode)
            for place in ("data", "methods", "runs", "explore", "compare"):
                item = {"runs": {"run": self.run}, "data": {"dataset": DATASET}, "explore": {"run": self.run}}
                yield from self._picture(place, f"{place}-{mode}", **item.get(place, {}))
        self.context.theme.set_mode("light")
        self.context.go("runs", run=self.run)
        if not self.stays:
            self._ask(messages.StopEngine(id=client.new_id()))
            yield lambda: client.state != "connected"

    def _picture(self, place: str, name: str, **item: str) -> Script:
        """Go to a page, let it settle, keep what it shows."""
        self.context.go(place, **item)
        until = time.monotonic() + SETTLE_S
        places, theme = self.window.places, self.context.theme
        yield lambda: time.monotonic() > until and places.place_shown() == place and not theme.is_dressing()
        self.out.mkdir(parents=True, exist_ok=True)
        with self.stall.excused():
            self.window.grab().save(str(self.out / f"{name}.png"))
        self.pictures.append(f"{name}.png")

    # ── helpers of the script ────────────────────────────────────────────────────────────────────

    def say(self, text: str) -> None:
        """Tell whoever started the demo."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def _ask(self, request: messages.Request, then: Callable[[Message], None] | None = None) -> None:
        def take(reply: Message, _arrays: Any) -> None:
            if isinstance(reply, messages.Failed):
                self._end(f"{reply.failure.message} {reply.failure.hint}")
            elif then is not None:
                then(reply)

        self.context.client.send(request, take)

    def _take_run(self, reply: Message) -> None:
        if isinstance(reply, messages.RunAccepted):
            self.run = reply.run

    def _take_job(self, reply: Message) -> None:
        if isinstance(reply, messages.JobAccepted):
            self.context.workspace.job_changed.connect(self._job_changed)
            self._job_changed(reply.job)

    def _job_changed(self, name: str) -> None:
        job = self.context.workspace.jobs.get(name)
        if job is not None and job.kind == "evaluate" and job.state == "done" and "protocol" in job.result:
            self.results[str(job.result["protocol"])] = job.result

    def _job_failed(self) -> bool:
        failed = [job for job in self.context.workspace.jobs.values() if job.state == "failed" and job.failure]
        if failed and failed[-1].failure:
            raise RuntimeError(failed[-1].failure.message)
        return False

    def _share(self) -> float:
        summary = self.context.workspace.runs[self.run]
        return summary.step / max(summary.steps, 1)

    def _ended(self) -> bool:
        return self.context.workspace.runs[self.run].state in {"finished", "failed", "stopped", "interrupted"}

    def _write_summary(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        workspace = self.context.workspace
        summary = workspace.runs.get(self.run)
        report = {
            "run": self.run,
            "failure": self.failure,
            "state": summary.state if summary else "",
            "steps": summary.step if summary else 0,
            "seconds": summary.seconds if summary else 0.0,
            "latest": summary.latest if summary else {},
            "evaluation": self.results,
            "stalls_over_100_ms": self.stall.count,
            "own_stalls_over_100_ms": self.stall.own_count,
            **stall_report(self.stall),
            "pictures": self.pictures,
        }
        (self.out / "summary.json").write_text(json.dumps(report, indent=2))
        if summary and summary.folder and Path(summary.folder).is_dir():
            shutil.rmtree(self.out / "run", ignore_errors=True)
            shutil.copytree(summary.folder, self.out / "run")
        for protocol, result in self.results.items():
            details = result.get("details", {})
            self.say(
                f"{protocol}: {100 * result['value']:.1f} % "
                f"(untrained network {100 * details.get('untrained', 0):.1f} %, "
                f"chance {100 * details.get('chance', 0):.1f} %)"
            )
        longest = self.stall.longest
        self.say(
            f"The window never kept anybody waiting longer than {1000 * self.stall.longest_own_s:.0f} ms by what it "
            f"did itself (wanted: {1000 * self.stall.budget_s:.0f}). With the computer's other work it once stood "
            f"still for {1000 * longest.seconds:.0f} ms."
        )
        self.say(f"Results, pictures and the run are in {self.out}.")


def stall_report(stall: StallMonitor) -> dict[str, float]:
    """Return the longest gap of the event loop, and the longest of each part of one, in milliseconds."""
    longest = stall.longest
    found = {
        "stall": longest.seconds,  # from one turn of the event loop to the next
        "own": stall.longest_own_s,  # working and in calls that wait: what is the window's fault
        "busy": longest.busy_s,
        "blocked": longest.blocked_s,
        "waited": longest.waited_s,  # other programs had the processor
        "stolen": longest.stolen_s,  # the host of this virtual machine had it
    }
    return {f"longest_{name}_ms": round(1000 * seconds, 1) for name, seconds in found.items()}


def main() -> int:
    """Open the window on a workspace of its own and play the script."""
    parser = argparse.ArgumentParser(prog="python -m app.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--workspace", type=Path, help="default: a new one inside --out")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps; 0: those of the preset")
    parser.add_argument("--quit", action="store_true", help="close the window at the end")
    options = parser.parse_args()
    out = options.out.resolve()
    workspace = options.workspace or out / "workspace"
    # the window as it is at first, whatever the user has arranged; and the user's arrangement stays as it is
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(out / "settings"))
    shutil.rmtree(out / "settings", ignore_errors=True)
    window, stall = open_window(workspace=workspace, paths=[])
    Demo(window, out, stall=stall, stays=not options.quit, steps=options.steps)
    return QApplication.exec()


if __name__ == "__main__":
    raise SystemExit(main())
