"""From a user's files to a dataset: recognise, plan, read; one file per format family.

Lives here: everything that knows a foreign format.
Must not live here: torch; anything that trusts what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.data.importers.importer import Importer, Progress
from engine.data.importers.sources import Listing, list_sources
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, ImportPlan
from engine.protocol.schema import DatasetInfo
from engine.workspace import Workspace

__all__ = ["Importer", "plan_import", "plan_listing", "run_import"]


def plan_import(
    paths: Sequence[str | Path], options: ImportOptions, workspace: Workspace
) -> tuple[ImportPlan, list[Array]]:
    """Return what an import of `paths` would do, and preview pictures (3, H, W) uint8; writes nothing.

    Raises:
        DataError: nothing can be read, a path is missing, or the options contradict the data.
    """
    return plan_listing(list_sources(paths), paths, options, workspace)


def plan_listing(
    listing: Listing, paths: Sequence[str | Path], options: ImportOptions, workspace: Workspace
) -> tuple[ImportPlan, list[Array]]:
    """Return the plan of what is listed so far; a large listing is judged by a part of it, and the plan says so.

    Raises:
        DataError: nothing can be read, or the options contradict the data.
    """
    from engine.data.importers.scaling import scaled  # its own imports cost time in every decoding process

    part = listing.sample()
    importer, kinds = _choose(part, options)
    name = options.name or suggest_name(paths)
    out = workspace.dataset_file(name)
    named = msgspec.structs.replace(options, name=name)
    if part is listing:
        plan, previews = importer.plan(listing, named, out)
    else:
        plan, previews = importer.plan(part, msgspec.structs.replace(named, drop_duplicates=False), out)
        plan = msgspec.structs.replace(scaled(plan, part, listing), options=named)
    taken = (f"A dataset {name} exists and would be replaced.",) if out.exists() else ()
    return (
        msgspec.structs.replace(
            plan,
            paths=tuple(str(path) for path in paths),
            importer=importer.name,
            warnings=(*taken, *plan.warnings),
            kinds=kinds,
        ),
        previews,
    )


def run_import(paths: Sequence[str | Path], options: ImportOptions, out: Path, progress: Progress) -> DatasetInfo:
    """Import `paths` into the dataset file `out`; an interrupted import of the same goes on where it stopped.

    Args:
        paths: files, folders, archives.
        options: what the user chose.
        out: path of the file, ending in .h5; an existing one is replaced once the new one is complete.
        progress: called with (done, total, unit, current); what it raises ends the import, which can be resumed.

    Raises:
        DataError: nothing can be read.
        DiskFull: the disk lacks the space, told before or on the way; after some is freed, it goes on.
    """
    listing = list_sources(paths, told=lambda count: progress(0.0, 0.0, "files", f"counted {count:,} files so far"))
    return _choose(listing.sample(), options)[0].read(listing, options, Path(out), progress)


def suggest_name(paths: Sequence[str | Path]) -> str:
    """Return a dataset name made from what was dropped."""
    first = Path(paths[0]).expanduser().resolve() if paths else Path("data")
    stem = (first.parent if len(paths) > 1 and first.is_file() else first).name
    stem = re.sub(r"(\.tar)?\.[A-Za-z0-9]{1,5}$", "", stem) if first.is_file() else stem
    stem = re.sub(r"[^\w .+-]+", "-", stem).strip(" .-_+")
    return stem[:60].rstrip(" .") or "data"


def _choose(listing: Listing, options: ImportOptions) -> tuple[Importer, tuple[str, ...]]:
    """Return the importer that reads the most, or the one of the kind asked for; and all kinds that could be read."""
    from engine.data.importers.families import IMPORTERS  # seconds, which processes that read one family do without

    counts = {importer: importer.recognise(listing) for importer in IMPORTERS}
    able = sorted((each for each in IMPORTERS if counts[each]), key=lambda each: -counts[each])
    kinds = tuple(dict.fromkeys(importer.kind for importer in able))
    if options.kind:
        named = [importer for importer in able if options.kind in {importer.kind, importer.name}]
        named = named or [importer for importer in IMPORTERS if options.kind in {importer.kind, importer.name}]
        if not named:
            known = ", ".join(sorted({importer.kind for importer in IMPORTERS}))
            raise DataError(f"Nothing imports {options.kind!r} data.", f"There are: {known}.")
        return named[0], kinds
    if not able:
        raise DataError(
            f"None of the {len((listing.whole or listing).entries)} files can be imported.",
            "The help page “Prepare your data” lists what can be; images can be JPEG, PNG, TIFF, WebP, BMP and GIF.",
        )
    return able[0], kinds
