"""All methods, built in, installed and added as files, as one dict.

Built-in methods are the modules of `engine.methods` with a `METHOD`; others announce themselves by entry point,
group `selfsight.methods`, value `package.module:METHOD`, or are files that the user added. Two packages with one id
are an error; a file with the id of another method, or a plug-in that cannot be loaded, is listed as broken, with its
traceback, and harms nothing else.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import pkgutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from engine import method_files
from engine import methods as builtin_methods
from engine.errors import MethodError
from engine.method import Method
from engine.protocol.messages import Failure

ENTRY_POINT_GROUP = "selfsight.methods"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Registered:
    """A method and where it comes from; `failure` says why a plug-in is broken, `method` is then None."""

    id: str
    source: str
    method: Method | None
    failure: Failure | None = None


def load_methods(*, plugins: bool = True) -> dict[str, Registered]:
    """Return every method by id; built-in ones first, each group sorted.

    Raises:
        MethodError: two methods have one id.
    """
    found: dict[str, Registered] = {}
    for module_info in sorted(pkgutil.iter_modules(builtin_methods.__path__), key=lambda info: info.name):
        name = f"{builtin_methods.__name__}.{module_info.name}"
        registered = _load(module_info.name.replace("_", "-"), "built in", partial(_import_method, name))
        found[registered.id] = registered
    if plugins:
        for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
            package = point.dist.name if point.dist else point.value
            registered = _load(point.name, package, point.load)
            if registered.id in found:
                raise MethodError(
                    f"Two methods are called {registered.id!r}: one is {found[registered.id].source}, "
                    f"one comes from {package}.",
                    f"Uninstall {package}, or rename its method.",
                )
            found[registered.id] = registered
        for path in method_files.list_files():
            registered = load_from_file(path)
            if registered.id in found:
                name = f"{registered.id} ({path.name})"
                failure = Failure(
                    kind="method",
                    message=method_files.taken(str(path), registered.id, found[registered.id].source),
                    hint="Give it another id, or remove the file.",
                )
                registered = Registered(id=name, source=registered.source, method=None, failure=failure)
            found[registered.id] = registered
    return found


def load_from_file(path: Path) -> Registered:
    """Return the method of a file of the user's; a broken one says why."""
    return _load(path.stem.replace("_", "-"), method_files.source_of(path), partial(method_files.load_file, path))


def _import_method(module: str) -> object:
    return importlib.import_module(module).METHOD


def _load(name: str, package: str, load: Callable[[], object]) -> Registered:
    try:
        method = load()
        if not isinstance(method, Method):
            msg = f"{name} of {package} is a {type(method).__name__}, not a Method"
            raise TypeError(msg)  # noqa: TRY301
    except Exception as error:  # a plug-in may fail in any way; the others must not suffer
        logger.exception("the method %s of %s cannot be loaded", name, package)
        failure = Failure(
            kind="method",
            message=f"The method {name!r} ({package}) cannot be loaded: {error}",
            hint=what_to_do(package),
            traceback=traceback.format_exc(),
        )
        return Registered(id=name, source=package, method=None, failure=failure)
    return Registered(id=method.id, source=package, method=method)


def what_to_do(source: str) -> str:
    """Return what helps against a broken method that comes from there."""
    if source == "built in":
        return "Reinstall Selfsight."
    if source.startswith("file "):
        return "Mend the file and add it again, or remove it: selfsight methods --remove ID."
    return f"Update or uninstall {source}."


def find_method(method_id: str) -> Method:
    """Return the method called `method_id`; imports only that one where it is built in.

    Raises:
        MethodError: there is none, or it is broken.
    """
    name = f"{builtin_methods.__name__}.{method_id.replace('-', '_')}"
    if method_id.replace("-", "_").isidentifier() and importlib.util.find_spec(name) is not None:
        method: Method = importlib.import_module(name).METHOD
        return method
    path = method_files.method_folder() / f"{method_id.replace('-', '_')}.py"
    if path in method_files.list_files():  # a file that is called like its method is the only one that is run
        registered = load_from_file(path)
        if registered.method is not None and registered.id == method_id:
            return registered.method
    methods = load_methods()
    found = methods.get(method_id)
    if found is None:
        raise MethodError(f"There is no method {method_id!r}.", f"Known: {', '.join(methods)}.")
    if found.method is None:
        message = found.failure.message if found.failure else f"{method_id} is broken."
        raise MethodError(message, "See `selfsight methods --json` for the traceback.")
    return found.method
