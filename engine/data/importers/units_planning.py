"""The plan of an import that reads unit by unit: what there is, a few pictures, what it will take."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.data.importers.amounts import counted
from engine.data.importers.sources import Entry, Listing
from engine.data.importers.units import Survey, UnitImporter
from engine.data.importers.units_reading import UnitRequest, unit_pool
from engine.data.importers.units_unpacking import Unpacked
from engine.data.layout import is_encoded, is_text
from engine.protocol.forms import describe_form
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, ImportPlan, Recognised
from engine.protocol.schema import FieldSpec, Skipped

PREVIEWS = 8
_PREVIEW_S = 20.0
_MOST_LISTED = 2000


def plan_units(
    importer: UnitImporter, listing: Listing, options: ImportOptions, out: Path
) -> tuple[ImportPlan, list[Array]]:
    """Return what an import would do, and preview pictures (3, H, W) uint8; see `UnitImporter.plan`."""
    settings = importer.settings_of(options)
    survey = importer.survey(listing, options, settings)
    pictures, names, unreadable = _previews(importer, survey, settings)
    skipped = [*listing.skipped, *survey.skipped, *unreadable]
    others = [entry for entry in listing.entries if entry.name not in survey.explained]
    read = {entry.name for unit in survey.units for entry in unit.sources}
    told = read | {each.path for each in skipped}
    unloaded = [entry for entry in others if entry.name not in told]
    folder = out.parent if out.parent.is_dir() else out.parent.parent
    labels = Counter(unit.label for unit in survey.units if unit.label)
    plan = ImportPlan(
        paths=(),
        options=options,
        importer=importer.name,
        files=len(listing.entries) + len(listing.skipped) + listing.junk,
        bytes=sum(unit.size for unit in survey.units),
        records=max(0, survey.records - len(unreadable)),
        complete=listing.complete and survey.complete,
        recognised=(*survey.recognised, *_left_out(skipped, unloaded, listing.junk)),
        classes=dict(sorted(labels.items())) if survey.labelled else {},
        skipped=tuple(skipped[:_MOST_LISTED]),
        sizes=survey.sizes,
        schema_text=", ".join(_field_text(spec) for spec in survey.fields if not spec.is_annotation),
        will_write=str(out),
        will_take_bytes=int(survey.records * (survey.record_bytes + 64)),
        free_bytes=shutil.disk_usage(folder).free if folder.is_dir() else 0,
        preview_names=tuple(names),
        warnings=survey.warnings,
        form=describe_form(importer.settings),
    )
    return plan, pictures


def _previews(importer: UnitImporter, survey: Survey, settings: Any) -> tuple[list[Array], list[str], list[Skipped]]:
    """Return pictures of a few records and their names, and units among them that cannot be read."""
    step = max(1, len(survey.units) // PREVIEWS)
    chosen = list(survey.units[::step][:PREVIEWS])
    pictures: list[Array] = []
    names: list[str] = []
    unreadable: list[Skipped] = []
    request = UnitRequest(importer.read_unit, settings, survey.fields, preview=True)
    with Unpacked() as unpacked, unit_pool(importer, request, processes=2, limit_s=_PREVIEW_S) as pool:
        tasks = [[unpacked.task(number, unit)] for number, unit in enumerate(chosen)]
        for outcomes in pool.decode(tasks):
            for outcome in outcomes:
                if outcome.reason:
                    unit = chosen[outcome.number]
                    unreadable.append(Skipped(path=unit.told or unit.name, reason=outcome.reason))
                elif outcome.picture is not None:
                    pictures.append(outcome.picture)
                    names.append(chosen[outcome.number].name)
    return pictures, names, unreadable


def _field_text(spec: FieldSpec) -> str:
    sides = " × ".join("any" if side is None else str(side) for side in spec.shape)
    what = "as in the files" if is_encoded(spec) else "" if is_text(spec) else spec.dtype
    return ", ".join(part for part in (f"{spec.name} {sides}".strip(), what) if part)


def _left_out(skipped: Sequence[Skipped], unloaded: Sequence[Entry], junk: int) -> tuple[Recognised, ...]:
    found = []
    if skipped:
        text = f"{counted(len(skipped), 'file')} cannot be read or used"
        found.append(Recognised(kind="", count=len(skipped), text=text, detail=skipped[0].reason, level="warn"))
    if unloaded or junk:
        suffixes = Counter(entry.suffix or "no extension" for entry in unloaded)
        detail = ", ".join(f"{name} {count}" for name, count in suffixes.most_common(6))
        count = len(unloaded) + junk
        found.append(Recognised(kind="", count=count, text=f"{counted(count, 'file')} not loaded", detail=detail))
    return tuple(found)
