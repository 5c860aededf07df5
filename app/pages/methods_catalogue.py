"""Which methods there are, which fit the chosen data, in which order: what the cards and the table show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from app.widgets import numbers
from engine.protocol.messages import MethodInfo, RunSummary
from engine.protocol.schema import FieldKind, Schema, misfit

EntryRole: Final = Qt.ItemDataRole.UserRole + 1
SortKey = Literal["family", "year", "title", "runs"]
SORTS: Final[dict[SortKey, str]] = {
    "family": "family, then year",
    "year": "newest first",
    "title": "name",
    "runs": "most runs",
}
COLUMNS: Final = ("Method", "Year", "Venue", "Family", "Data", "Runs", "Idea")
RIGHT: Final = frozenset({1, 5})
MODALITIES: Final[dict[str, tuple[FieldKind, ...]]] = {
    "image": (FieldKind.IMAGE,),
    "channels": (FieldKind.CHANNELS,),
    "volume": (FieldKind.VOLUME,),
    "clip and cine": (FieldKind.CLIP, FieldKind.CINE),
    "points, grid": (FieldKind.POINTS, FieldKind.GRID),
    "views and pairs": (FieldKind.VIEWS, FieldKind.PAIR),
    "text": (FieldKind.TEXT,),
    "waveform": (FieldKind.WAVEFORM,),
    "motion": (FieldKind.MOTION,),
    "bag": (FieldKind.BAG,),
}
YEARS: Final = ("2024 and later", "2021 to 2023", "before 2021")
Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


@dataclass(frozen=True, slots=True)
class MethodEntry:
    """One card: a method, why it does not fit the chosen data (or ""), and how many runs of it there are."""

    info: MethodInfo
    misfit: str = ""
    runs: int = 0

    @property
    def greyed(self) -> bool:
        """Whether the method cannot be run now."""
        return bool(self.misfit) or self.info.broken is not None


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked for; an empty set lets everything through."""

    words: str = ""
    only_fitting: bool = False
    families: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
    years: frozenset[str] = frozenset()


def year_group(year: int) -> str:
    """Return the group of years that a year belongs to."""
    return YEARS[0] if year >= 2024 else YEARS[1] if year >= 2021 else YEARS[2]


def modalities_of(info: MethodInfo) -> tuple[str, ...]:
    """Return the kinds of data that a method can take, as the filter names them."""
    kinds = {kind for need in info.needs if not need.optional for kind in need.kinds}
    return tuple(name for name, members in MODALITIES.items() if kinds & set(members))


class CatalogueModel(QAbstractTableModel):
    """Filtered, sorted methods; column 0 with `EntryRole` is a card. Those that do not fit come last."""

    contents_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._entries: list[MethodEntry] = []
        self._shown: list[MethodEntry] = []
        self._sort: SortKey = "family"
        self.filter = Filter()

    # ── contents ─────────────────────────────────────────────────────────────────────────────────

    def set_contents(self, methods: Iterable[MethodInfo], schema: Schema | None, runs: Iterable[RunSummary]) -> None:
        """Show these methods; `schema` is that of the chosen data, None = no data was chosen."""
        counts: dict[str, int] = {}
        for run in runs:
            counts[run.spec.method] = counts.get(run.spec.method, 0) + 1
        entries = [
            MethodEntry(info, misfit(info.needs, schema) if schema is not None else "", counts.get(info.id, 0))
            for info in methods
        ]
        if entries != self._entries:
            self._entries = entries
            self._show()

    def set_filter(self, **changes: Any) -> None:
        """Ask for something else."""
        self.filter = replace(self.filter, **changes)
        self._show()

    def set_sort(self, key: SortKey) -> None:
        """Sort by another key."""
        self._sort = key
        self._show()

    @property
    def sort_key(self) -> SortKey:
        """What is sorted by."""
        return self._sort

    def place_of(self, method: str) -> int:
        """Return the row of a method, or -1."""
        return next((row for row, entry in enumerate(self._shown) if entry.info.id == method), -1)

    def entry(self, method: str) -> MethodEntry | None:
        """Return a method's entry whether the filter shows it or not."""
        return next((entry for entry in self._entries if entry.info.id == method), None)

    def first(self) -> MethodEntry | None:
        """Return the first entry that is shown."""
        return self._shown[0] if self._shown else None

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many methods each family, kind of data and group of years has, without the filter."""
        families: dict[str, int] = {}
        modalities = dict.fromkeys(MODALITIES, 0)
        years = dict.fromkeys(YEARS, 0)
        for entry in self._entries:
            for family in entry.info.families:
                families[family] = families.get(family, 0) + 1
            for name in modalities_of(entry.info):
                modalities[name] += 1
            if entry.info.year:
                years[year_group(entry.info.year)] += 1
        return {
            "families": dict(sorted(families.items(), key=lambda item: -item[1])),
            "modalities": {name: count for name, count in modalities.items() if count},
            "years": years,
        }

    def summary(self) -> str:
        """Return "19 shown of 46; 14 hidden by filters; 13 need other data and are listed last"."""
        total, shown = len(self._entries), len(self._shown)
        parts = [f"{shown} shown of {total}"]
        if total > shown:
            parts.append(f"{total - shown} hidden by filters")
        others = sum(bool(entry.misfit) for entry in self._shown)
        if others:
            parts.append(
                f"{others} need{'s' if others == 1 else ''} other data and {'is' if others == 1 else 'are'} listed last"
            )
        broken = sum(entry.info.broken is not None for entry in self._entries)
        if broken:
            parts.append(f"{numbers.plural(broken, 'plug-in')} could not be loaded")
        return "; ".join(parts)

    # ── the table ────────────────────────────────────────────────────────────────────────────────

    def rowCount(self, parent: Index = _ROOT) -> int:
        """Return how many methods are shown."""
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = _ROOT) -> int:
        """Return how many columns there are."""
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell, the entry of a row, or the reason why a method is greyed."""
        if not index.isValid():
            return None
        entry = self._shown[index.row()]
        if role == EntryRole:
            return entry
        if role == Qt.ItemDataRole.DisplayRole:
            return _cell(entry, index.column())
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        if role in {Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole}:
            state = refusal_text(entry)
            return f"{entry.info.title}: {entry.info.idea}" + (f" {state}" if state else "")
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a column's title."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return _alignment(section) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def _show(self) -> None:
        shown = sorted((entry for entry in self._entries if self._passes(entry)), key=self._rank)
        if shown != self._shown:
            self.beginResetModel()
            self._shown = shown
            self.endResetModel()
        self.contents_changed.emit()

    def _passes(self, entry: MethodEntry) -> bool:
        wanted, info = self.filter, entry.info
        if wanted.only_fitting and entry.greyed:
            return False
        if wanted.families and not wanted.families & set(info.families):
            return False
        if wanted.modalities and not wanted.modalities & set(modalities_of(info)):
            return False
        if wanted.years and year_group(info.year) not in wanted.years:
            return False
        text = " ".join(
            (info.title, info.id, info.idea, info.paper, info.authors, info.venue, *info.families)
        ).casefold()
        return all(word in text for word in wanted.words.casefold().split())

    def _rank(self, entry: MethodEntry) -> tuple[Any, ...]:
        info = entry.info
        family = info.families[0] if info.families else "~"
        keys: dict[SortKey, tuple[Any, ...]] = {
            "family": (family, -info.year),
            "year": (-info.year,),
            "title": (),
            "runs": (-entry.runs,),
        }
        return (info.broken is not None, bool(entry.misfit), *keys[self._sort], info.title.casefold())


def refusal_text(entry: MethodEntry) -> str:
    """Return why the method cannot be run on the chosen data, or ""."""
    if entry.info.broken is not None:
        return "This plug-in could not be loaded."
    return entry.misfit


def venue_text(info: MethodInfo) -> str:
    """Return "CVPR 2022", however the method writes it."""
    year = str(info.year) if info.year else ""
    return info.venue if year in info.venue else f"{info.venue} {year}".strip()


def _cell(entry: MethodEntry, column: int) -> str:
    info = entry.info
    return (
        info.title,
        str(info.year) if info.year else numbers.ABSENT,
        info.venue,
        ", ".join(info.families),
        ", ".join(modalities_of(info)),
        numbers.count(entry.runs) if entry.runs else numbers.ABSENT,
        refusal_text(entry) or info.idea,
    )[column]


def _alignment(column: int) -> int:
    side = Qt.AlignmentFlag.AlignRight if column in RIGHT else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)
