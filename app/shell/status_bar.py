"""The status bar: how the engine and its devices are, left; what runs, right."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app.theme import Theme
from app.widgets.numbers import THIN, memory, number, share, size
from app.widgets.panel import ElidedLabel, label
from app.workspace_model import WorkspaceModel
from engine.protocol.messages import DeviceInfo, JobSummary

HEIGHT = 27  # 26 and its line
VIEWS_SHARE = "time/live"  # share of step time, from the training loop
_STATES = {
    "starting": ("info", "Engine starting"),
    "connected": ("ok", "Engine on {place}"),
    "not responding": ("warn", "Engine does not respond"),
    "lost": ("error", "Engine not reachable"),
    "refused": ("error", "Engine refused"),
}


class _Dot(QWidget):
    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme, self.colour = theme, "info"
        self.setFixedSize(8, 8)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color(self.colour))
        painter.drawEllipse(QRectF(0.5, 0.5, 7, 7))


class Meter(QWidget):
    """A bar from 0 to 1."""

    def __init__(self, theme: Theme, width: int = 46) -> None:
        super().__init__()
        self._theme, self.value = theme, 0.0
        self.setFixedSize(width, 4)
        theme.changed.connect(self.update)

    def set_value(self, value: float) -> None:
        """Show another value."""
        self.value = min(max(value, 0.0), 1.0)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw track and bar."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color("line"))
        painter.drawRoundedRect(QRectF(self.rect()), 2, 2)
        painter.setBrush(self._theme.color("accent"))
        painter.drawRoundedRect(QRectF(0, 0, self.width() * self.value, self.height()), 2, 2)


class _Pictured(QWidget):
    """A picture and a text."""

    def __init__(self, theme: Theme, icon: str, meter: Meter | None = None) -> None:
        super().__init__()
        self._theme, self._icon = theme, icon
        self._picture = QLabel()
        self.before, self.text = label("", "small"), label("", "small")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self._picture)
        if meter is not None:
            row.addWidget(self.before)
            row.addWidget(meter)
        row.addWidget(self.text)
        theme.changed.connect(self._dress)
        self._dress()

    def _dress(self) -> None:
        self._picture.setPixmap(self._theme.icon(self._icon, "text3").pixmap(QSize(14, 14)))


class StatusBar(QWidget):
    """Engine, device, memory, disk; then what runs and waits."""

    engine_clicked = Signal()

    def __init__(self, theme: Theme, workspace: WorkspaceModel, place: str) -> None:
        super().__init__()
        self._workspace, self._place = workspace, place
        self._page_text = ""
        self.setProperty("kind", "status bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(HEIGHT)
        self._dot = _Dot(theme)
        self.engine = label("", "small")
        self._meter = Meter(theme)
        self.device = _Pictured(theme, "device", self._meter)
        self.memory = _Pictured(theme, "memory")
        self.disk = _Pictured(theme, "disk")
        self.now = ElidedLabel("", "small")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 1, 16, 0)
        row.setSpacing(6)
        row.addWidget(self._dot)
        row.addWidget(self.engine)
        for each in (self.device, self.memory, self.disk):
            row.addSpacing(14)
            row.addWidget(each)
        row.addStretch(1)
        row.addWidget(self.now, 2)
        self.now.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for signal in (workspace.connection_changed, workspace.devices_changed, workspace.runs_changed):
            signal.connect(self.render_all)
        workspace.jobs_changed.connect(self._render_now)
        workspace.run_changed.connect(lambda _run: self._render_now())
        self.render_all()

    def set_page_text(self, text: str) -> None:
        """Show what a page has to say about now, before what runs."""
        self._page_text = text
        self._render_now()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click on the engine's words asks about the engine."""
        if event.position().x() <= self.engine.geometry().right():
            self.engine_clicked.emit()

    def render_all(self) -> None:
        """Write everything."""
        workspace = self._workspace
        colour, words = _STATES.get(workspace.client.state, ("warn", workspace.client.state))
        self._dot.colour = colour
        self._dot.update()
        self.engine.setText(words.format(place=self._place))
        self.engine.setToolTip(workspace.client.detail)
        known = workspace.loaded and workspace.connected
        device = busiest(workspace.devices)
        self.device.setVisible(known and device is not None)
        self.memory.setVisible(known and device is not None)
        self.disk.setVisible(known)
        if device is not None:
            self._meter.set_value(device.busy_percent / 100)
            self.device.before.setText(device.name)
            self.device.text.setText(share(device.busy_percent / 100, 0))
            self.memory.text.setText(memory(device.used_bytes, device.memory_bytes))
            self.memory.setToolTip(f"Memory of {device.name}")
        self.disk.text.setText(f"{size(workspace.disk_free_bytes)} free")
        self._render_now()

    def _render_now(self) -> None:
        self.now.setText("  ·  ".join(what_runs(self._workspace, self._page_text)))


def busiest(devices: tuple[DeviceInfo, ...]) -> DeviceInfo | None:
    """Return the device to show: one that a run holds, else the first."""
    return next((device for device in devices if device.run), devices[0] if devices else None)


def what_runs(workspace: WorkspaceModel, page_text: str = "") -> list[str]:
    """Return the parts of the right side: the page's own, an import, live views' cost, running and queued."""
    if not workspace.connected:
        return ["What runs now is not known"] if workspace.running() else []
    parts = [page_text] if page_text else []
    parts += [_job_text(job) for job in workspace.active_jobs() if job.state == "running"][:1]
    running, queued = workspace.running(), workspace.queued()
    cost = next((run.latest[VIEWS_SHARE] for run in running if run.latest.get(VIEWS_SHARE) is not None), None)
    if cost is not None:
        budget = number(workspace.inspection_budget * 100)
        parts.append(f"Views {share(cost)} of step time, budget {budget}{THIN}%")
    counts = [f"{len(running)} running"] if running else []
    counts += [f"{len(queued)} queued"] if queued else []
    return parts + ([", ".join(counts)] if counts else [])


def _job_text(job: JobSummary) -> str:
    if job.total > 0:
        return f"{job.title}, {share(job.done / job.total, 0)}"
    return f"{job.title}, {job.current}" if job.current else job.title
