"""The datasets of the workspace: which files there are, and what the librarian says of them."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from engine.errors import DataError
from engine.protocol import messages as m
from engine.protocol.schema import DatasetInfo
from engine.supervisor.core import Core
from engine.supervisor.librarians import Librarian

logger = logging.getLogger(__name__)
Mark = tuple[int, int]


class Datasets:
    """All datasets of the workspace, by name."""

    def __init__(self, core: Core, librarian: Librarian) -> None:
        self._core, self._librarian = core, librarian
        self.rows: dict[str, DatasetInfo] = {}
        self._marks: dict[str, Mark] = {}
        self._edited: set[str] = set()

    def rescan(self) -> None:
        """Take in files that are new or different, and let go of those that are gone."""
        self._core.disk.do(self._list, self._compare, _log)

    def _list(self) -> dict[str, Mark]:
        found = {}
        with os.scandir(self._core.workspace.datasets) as entries:
            for entry in entries:
                if entry.name.endswith(".h5") and entry.is_file():
                    status = entry.stat()
                    found[entry.path] = (status.st_mtime_ns, status.st_size)
        return found

    def _compare(self, found: dict[str, Mark]) -> None:
        for name, info in list(self.rows.items()):
            if info.path not in found and not Path(info.path).exists():
                self._forget(name)
        for path, mark in found.items():
            if self._marks.get(path) != mark:
                self.describe(path)
        self._marks = found

    def describe(self, path: str, failed: Callable[[m.Failure], None] | None = None) -> None:
        """Ask the librarian about a file and tell the windows if something changed."""

        def then(reply: m.Reply, _: object) -> None:
            if isinstance(reply, m.DatasetDescribed):
                self.take(reply.info)
            elif isinstance(reply, m.Failed):
                logger.warning("%s: %s", path, reply.failure.message)
                if failed is not None:
                    failed(reply.failure)

        self._librarian.ask(m.DescribeDataset(id=f"engine-{uuid.uuid4().hex}", dataset=path), then)

    def take(self, info: DatasetInfo) -> None:
        """Keep what is known of a dataset, if it lies in the workspace."""
        if Path(info.path).parent == self._core.workspace.datasets and self.rows.get(info.name) != info:
            self.rows[info.name] = info
            self._core.audience.publish(m.DatasetChanged(info=info))

    def _forget(self, name: str) -> None:
        if self.rows.pop(name, None) is not None:
            self._core.audience.publish(m.DatasetRemoved(name=name))

    def find(self, dataset: str) -> DatasetInfo | None:
        """Return a dataset of the workspace by name or path."""
        if dataset in self.rows:
            return self.rows[dataset]
        return next((info for info in self.rows.values() if info.path == dataset), None)

    def with_info(self, dataset: str, then: Callable[[DatasetInfo], None], failed: Callable[[m.Failure], None]) -> None:
        """Call `then(info)` of any dataset, of the workspace or not, or `failed(failure)`."""
        known = self.find(dataset)
        if known is not None:
            then(known)
            return

        def answered(reply: m.Reply, _: object) -> None:
            if isinstance(reply, m.DatasetDescribed):
                then(reply.info)
            elif isinstance(reply, m.Failed):
                failed(reply.failure)

        self._librarian.ask(m.DescribeDataset(id=f"engine-{uuid.uuid4().hex}", dataset=dataset), answered)

    def free_file(self, name: str, source: str) -> Path:
        """Return the file for a new dataset called `name`; "" makes a name from its source.

        Raises:
            DataError: there is one of that name, or it cannot be a name.
        """
        workspace = self._core.workspace
        if name:
            path = workspace.dataset_file(name)
            if path.exists():
                raise DataError(f"There is a dataset called {name} already.", "Choose another name.")
            return path
        words = "".join(character if character.isalnum() or character in " +-_" else "-" for character in source)
        base = words.strip(" -+_")[:80] or "data"
        path, number = workspace.dataset_file(base), 2
        while path.exists():
            path, number = workspace.dataset_file(f"{base}-{number}"), number + 1
        return path


def _log(error: Exception) -> None:
    logger.error("the folder of datasets cannot be read", exc_info=error)
