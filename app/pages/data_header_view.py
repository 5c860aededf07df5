"""What the open dataset is, in one line of facts."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.pages.data_list import describe_shape, main_field, split_counts
from app.pages.data_model import DataModel
from app.theme import Theme
from app.widgets import numbers
from app.widgets.panel import ElidedLabel, label


class DatasetHeader(QWidget):
    """Records, field, splits, size, checksum."""

    def __init__(self, model: DataModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self.theme = model, theme
        self._facts: list[tuple[QLabel, ElidedLabel]] = []
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 12, 12, 8)
        row.setSpacing(28)
        for _ in range(5):
            name, value = label("", "small"), ElidedLabel("", "title")
            column = QVBoxLayout()
            column.setSpacing(0)
            column.addWidget(name)
            column.addWidget(value)
            row.addLayout(column)
            self._facts.append((name, value))
        row.addStretch(1)

    def refresh(self) -> None:
        """Write the facts."""
        info = self.model.current
        if info is None:
            return
        field = main_field(info)
        names, counts = split_counts(info)
        shape = f"{describe_shape(field)}, {field.dtype}" if field and field.shape else field.dtype if field else "—"
        checksum = "verified" if self.model.is_verified(info) else "not verified" if info.checksum else "none yet"
        if info.problems:
            checksum = numbers.plural(len(info.problems), "problem")
        facts = (
            ("records", numbers.count(info.records)),
            (f"field {field.name}" if field else "fields", shape),
            (names or "splits", " / ".join(numbers.count(count) for count in counts) or "none"),
            ("size on disk", numbers.size(info.size_bytes)),
            ("checksum", checksum),
        )
        for (name, value), (name_text, value_text) in zip(self._facts, facts, strict=True):
            name.setText(name_text)
            value.setText(value_text)
        self._facts[4][1].setToolTip(info.checksum)
