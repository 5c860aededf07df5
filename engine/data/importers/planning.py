"""Plans that are asked for again and again: while files are being counted, and when options change."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.data.importers import plan_listing
from engine.data.importers.sources import Counting, Listing
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, ImportPlan
from engine.workspace import Workspace

FIRST_S, NEXT_S = 0.3, 1.0  # of counting before an answer
_GROWN = 2  # times as many files: what there is may have changed

Answer = tuple[ImportPlan, list[Array]]


class Planning:
    """One heap after another: the first answer comes at once, and later ones say more.

    An answer with `counting` holds what was found so far; asking again counts on. Once all is counted, other options
    are answered without counting again, and the same question once more looks at everything anew.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._paths: tuple[str, ...] = ()
        self._options = ImportOptions()
        self._counting: Counting | None = None
        self._done = False
        self._answer: Answer | None = None
        self._answered = 0  # files when the answer was made

    def plan(self, paths: Sequence[str], options: ImportOptions) -> Answer:
        """Return what an import would do as far as it is known, and preview pictures (3, H, W) uint8.

        Raises:
            DataError: nothing can be read, a path is missing, or the options contradict the data.
        """
        counting = self._counting_of(tuple(paths), options)
        listing = counting.listing
        was_done, is_first = self._done, self._answer is None
        try:
            self._done = self._done or counting.go_on(FIRST_S if is_first else NEXT_S)
        except DataError:
            self._counting = None
            raise
        count = len(listing.entries)
        if is_first or options != self._options or count >= _GROWN * self._answered or self._done > was_done:
            self._options, self._answered = options, count
            self._answer = self._planned(listing, tuple(paths), options)
        assert self._answer is not None
        plan, previews = self._answer
        if self._done:
            return plan, previews
        files = count + len(listing.skipped) + listing.junk
        size = sum(entry.size for entry in listing.entries)
        return msgspec.structs.replace(plan, files=files, bytes=size, complete=False, counting=True), previews

    def _counting_of(self, paths: tuple[str, ...], options: ImportOptions) -> Counting:
        if self._counting is None or paths != self._paths or (self._done and options == self._options):
            self._counting, self._paths, self._done, self._answer = Counting(paths), paths, False, None
        return self._counting

    def _planned(self, listing: Listing, paths: tuple[str, ...], options: ImportOptions) -> Answer:
        try:
            return plan_listing(listing, paths, options, self._workspace)
        except DataError:
            if self._done:
                self._counting = None
                raise
            nothing = ImportPlan(
                paths=paths, options=options, importer="", files=0, bytes=0, records=0, complete=False, recognised=()
            )
            return nothing, []  # so far
