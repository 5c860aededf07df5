"""Method files of the user: copied into one folder, tried in a child process first, listed like all others.

The folder is `methods` in the user's data folder, not in a workspace: a workspace may come from somebody else, and
opening it must not run what lies in it. `SELFSIGHT_METHODS` names another folder.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import platformdirs

from engine.durable import write_atomic
from engine.errors import MethodError
from engine.protocol.messages import MethodInfo

FOLDER_VARIABLE = "SELFSIGHT_METHODS"
PACKAGE = "selfsight_method_files"  # what their modules are called while they are loaded
MOST_BYTES = 1_000_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\.py")


def method_folder() -> Path:
    """Return where the user's method files lie; it need not exist."""
    named = os.environ.get(FOLDER_VARIABLE, "")
    return Path(named) if named else platformdirs.user_data_path("Selfsight", appauthor=False) / "methods"


def list_files() -> list[Path]:
    """Return the method files in the order of their names."""
    return sorted(path for path in method_folder().glob("*.py") if _NAME.fullmatch(path.name))


def source_of(path: Path) -> str:
    """Return how a method says that it comes from a file."""
    return f"file {path}"


def taken(what: str, method: str, source: str) -> str:
    """Return the sentence that a method's id is that of another."""
    return f"{what} calls its method {method!r}; there is one already ({source})."


def check_described(name: str, info: MethodInfo, known: Iterable[MethodInfo]) -> None:
    """Refuse the method that a file called `name` holds where it does not work, or has the id of another of `known`.

    Raises:
        MethodError: says which.
    """
    if info.broken is not None:
        raise MethodError(info.broken.message, "Mend the file and add it again.", info.broken.traceback)
    source = source_of(method_folder() / name)
    other = next((each for each in known if each.id == info.id and each.source != source), None)
    if other is not None:
        raise MethodError(taken(name, info.id, other.source), "Give it another id.")


def load_file(path: Path) -> object:
    """Run a method file and return its `METHOD`.

    Raises:
        Exception: whatever the file raises.
    """
    name = f"{PACKAGE}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise MethodError(f"{path} is no Python file.", "A method file ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are resolved there
    try:
        spec.loader.exec_module(module)
        method: object = module.METHOD
    except BaseException:
        del sys.modules[name]
        raise
    return method


def check_text(name: str, text: str) -> None:
    """Refuse what cannot be a method file, before anything of it runs.

    Raises:
        MethodError: name, size or syntax are wrong, or nothing is called METHOD.
    """
    if not _NAME.fullmatch(name):
        raise MethodError(
            f"{name!r} cannot be the name of a method file.",
            "Use small letters, digits and _, and the ending .py: my_method.py.",
        )
    if len(text.encode()) > MOST_BYTES:
        raise MethodError(f"{name} is larger than {MOST_BYTES // 1_000_000} MB.", "Install a package instead.")
    try:
        tree = ast.parse(text, name)
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        raise MethodError(f"{name} is no Python file: {error}{line}.", "Mend it and add it again.") from error
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    if "METHOD" not in assigned:
        raise MethodError(
            f"{name} has no METHOD.", "A method file ends with METHOD = Method(…); the help page shows one."
        )


def read_text(path: Path) -> str:
    """Return the text of a file that is to be added.

    Raises:
        MethodError: it cannot be read as text.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise MethodError(f"{path} is larger than {MOST_BYTES // 1_000_000} MB.", "Install a package instead.")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MethodError(f"{path} cannot be read: {error}.", "Choose a Python file.") from error


def keep(name: str, text: str) -> Path:
    """Put a file that was checked among the others, in place of one of the same name; return where."""
    folder = method_folder()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / name, text.encode())
    return folder / name


def remove(source: str) -> Path:
    """Delete the file that a method says it comes from.

    Raises:
        MethodError: it does not come from a file of the user's.
    """
    for path in list_files():
        if source_of(path) == source:
            path.unlink()
            return path
    raise MethodError(
        f"This method comes with {source!r}, not from a file of yours.", "Uninstall its package to be rid of it."
    )
