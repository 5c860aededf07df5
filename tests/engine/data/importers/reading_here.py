"""Reading with an importer in the process of the test: what a dataset of it would hold, without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.data.importers.sources import list_sources
from engine.data.importers.units import UnitImporter
from engine.data.importers.units_importing import schema_of
from engine.data.importers.units_reading import UnitRequest, read_task
from engine.data.importers.units_unpacking import Unpacked
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from engine.protocol.schema import Skipped


class ReadHere:
    """Records of an importer, asked for like those of a dataset."""

    def __init__(self, importer: UnitImporter, source: Path, options: ImportOptions) -> None:
        listing = list_sources([source])
        settings = importer.settings_of(options)
        survey = importer.survey(listing, options, settings)
        self.survey = survey
        self.schema = schema_of(survey)
        self.skipped = list(survey.skipped)
        self._rows: list[dict[str, Any]] = []
        request = UnitRequest(importer.read_unit, settings, survey.fields)
        with Unpacked() as unpacked:
            for number, unit in enumerate(survey.units):
                outcome = read_task(unpacked.task(number, unit), request)
                if outcome.reason:
                    self.skipped.append(Skipped(path=unit.name, reason=outcome.reason))
                self.skipped += [Skipped(path=path, reason=reason) for path, reason in outcome.left_out]
                several = len(outcome.records) > 1
                for place, values in enumerate(outcome.records):
                    name = values.get("name") or (f"{unit.name}#{place}" if several else unit.name)
                    row = {**values, "name": name, "label": values.get("label") or unit.label}
                    if survey.group:
                        row[survey.group] = values.get("group") or unit.group or name
                    self._rows.append(row)
        if not self._rows:
            first = self.skipped[0]
            raise DataError(f"None could be read; the first, {first.path}: {first.reason}.")

    @property
    def records(self) -> int:
        """How many there are."""
        return len(self._rows)

    def read(self, field: str, records: list[int]) -> list[Any]:
        """Return the values of a field."""
        return [self._rows[record][field] for record in records]

    def column(self, field: str) -> Any:
        """Return the values of a field of all records."""
        return np.array([row[field] for row in self._rows])

    def texts(self, field: str, records: Any) -> list[str]:
        """Return the texts of a field."""
        return [self._rows[record][field] for record in records]
