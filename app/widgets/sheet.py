"""Pieces of the sheets that plan a job before anything is written."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget


def sheet_head(title: QWidget, facts: QWidget, written: QWidget) -> QFrame:
    """Return the head of a sheet: title over facts, and on the right whether anything was written."""
    head = QFrame()
    head.setProperty("kind", "soft")
    texts = QVBoxLayout()
    texts.setSpacing(0)
    texts.addWidget(title)
    texts.addWidget(facts)
    row = QHBoxLayout(head)
    row.setContentsMargins(12, 8, 12, 8)
    row.addLayout(texts, 1)
    row.addWidget(written)
    return head


def share_box(name: str) -> QSpinBox:
    """Return a box for the percentage that goes into a split."""
    box = QSpinBox()
    box.setRange(0, 90)
    box.setSingleStep(5)
    box.setKeyboardTracking(False)
    box.setFixedWidth(72)
    box.setAlignment(Qt.AlignmentFlag.AlignRight)
    box.setAccessibleName(f"{name}, percent")
    return box
