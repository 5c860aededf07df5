"""For kinds of inspection that this window cannot draw yet: says so, and offers the arrays."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from app.theme import Theme
from app.viewers.base import Viewer
from app.widgets.panel import label
from engine.protocol.inspections import Inspection


class UnsupportedViewer(Viewer):
    """Names kind and shapes; *Export* still writes the arrays."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._text = label("", "second", wrap=True)
        self._text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._text.setMargin(24)
        self.set_body(self._text)

    @property
    def text(self) -> str:
        """What is said."""
        return self._text.text()

    def _render(self) -> None:
        if self.inspection is None:
            return
        kind = str(type(self.inspection).__struct_config__.tag)
        arrays = ", ".join(_shapes(self.inspection))
        self._text.setText(
            f"This window has no viewer for “{kind}” yet. It holds {arrays or 'no arrays'}; "
            "Export writes them as .npz, and selfsight inspect draws them as pictures."
        )


def _shapes(inspection: Inspection) -> list[str]:
    found = []
    for name in inspection.__struct_fields__:
        value = getattr(inspection, name)
        if isinstance(value, np.ndarray):
            found.append(f"{name} {' × '.join(str(side) for side in value.shape)}")
    return found
