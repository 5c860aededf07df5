"""What the palette offers: actions, runs, datasets, methods, settings and help."""

from __future__ import annotations

from collections.abc import Callable

from app.context import AppContext
from app.search import Entry
from app.shell.help_view import help_pages
from app.tokens import STATES
from app.widgets.numbers import plural

KIND_ICONS = {
    "image", "channels", "volume", "clip", "cine", "views", "pair", "points", "text", "waveform", "motion", "bag",
}  # fmt: skip
SETTINGS = ("Theme", "Text size", "Motion", "Live views' budget", "Another computer", "Workspace folder")


def collect_entries(context: AppContext) -> list[Entry]:
    """Return everything that can be found, newest runs first."""
    workspace = context.workspace

    def opener(place: str, **item: str) -> Callable[[], None]:
        return lambda: context.go(place, **item)

    entries = [
        Entry("Actions", each.title, each.place, each.icon, each.shortcut, run=each.run, refusal=each.refusal)
        for each in context.actions
        if each.listed
    ]
    for run in sorted(workspace.runs.values(), key=lambda run: run.started, reverse=True):
        icon, _, word = STATES[run.state]
        entries.append(Entry("Runs", run.run, word, icon, run=opener("runs", run=run.run)))
    for info in workspace.datasets.values():
        kinds = [field.kind.value for field in info.schema.fields]
        icon = next((kind for kind in kinds if kind in KIND_ICONS), "data")
        place = plural(info.records, "record")
        entries.append(Entry("Datasets", info.name, place, icon, run=opener("data", dataset=info.name)))
    for method in workspace.methods.values():
        place = f"{method.venue} {method.year} · {', '.join(method.families)}"
        entries.append(Entry("Methods", method.title, place, "methods", run=opener("methods", method=method.id)))
    entries += [Entry("Settings", name, "Settings", "settings", run=opener("settings")) for name in SETTINGS]
    for page, title in help_pages().items():
        entries.append(Entry("Help", title, "Help", "help", run=opener("help", page=page)))
    return entries
