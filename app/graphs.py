"""pyqtgraph as the window imports it: without CUDA's bindings, which come with torch.

pyqtgraph asks for them as it is imported, for a widget that nothing here uses. That holds the interpreter for more than
100 ms, and with it the window, whichever thread imports.
"""

from __future__ import annotations

import sys
from typing import Any, cast

_modules = cast("dict[str, Any]", sys.modules)
_is_free = "cuda" not in _modules
if _is_free:
    _modules["cuda"] = None  # an import of it fails at once, as where it is not installed
try:
    import pyqtgraph as pg
finally:
    if _is_free:
        del _modules["cuda"]

__all__ = ["pg"]
