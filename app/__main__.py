"""`python -m app [PATH…]`: opens the window; PATHs are treated as if they had been dropped on it."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Open the window and return the exit code."""
    parser = argparse.ArgumentParser(prog="selfsight", description="The window of Selfsight.")
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders to import")
    parser.add_argument("--workspace", type=Path, help="folder of datasets and runs")
    parser.add_argument("--engine", default="", metavar="HOST", help="use the engine of a computer reached by ssh")
    parser.add_argument("--verbose", action="store_true", help="log more to standard error")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    missing = [str(path) for path in options.paths if not path.exists()]
    if missing:
        sys.stderr.write(f"There is no such file or folder: {', '.join(missing)}\n")
        return 2
    try:
        from app.start import NoDisplay, open_window
    except ImportError as error:
        sys.stderr.write(f"The window cannot be loaded: {error}. Install it with: pip install 'selfsight[app]'\n")
        return 2
    try:
        window, _stall = open_window(options.workspace, options.paths, options.engine)
    except NoDisplay as error:
        sys.stderr.write(f"{error}\n")
        return 2
    from PySide6.QtWidgets import QApplication

    code = QApplication.exec()
    window.deleteLater()
    return code


if __name__ == "__main__":
    raise SystemExit(main())
