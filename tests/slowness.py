"""How much slower than the reference this machine makes widgets, so that limits hold on any machine."""

import time

from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

REFERENCE_S = 0.012  # on the computer that the budget was set on
LABELS = 400


def slowness() -> float:
    """Return how many times slower than the reference this machine makes labels; at least 1. Needs an application."""

    def make() -> float:
        began = time.thread_time()
        holder = QWidget()
        column = QVBoxLayout(holder)
        for number in range(LABELS):
            column.addWidget(QLabel(f"label {number}"))
        holder.ensurePolished()
        return time.thread_time() - began

    return max(1.0, sorted(make() for _ in range(7))[3] / REFERENCE_S)
