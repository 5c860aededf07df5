"""All methods as data: what the window needs to show a card, a form and a figure without importing a method.

`python -m engine.describe` prints the list as JSON; the supervisor runs it in a short-lived child process, so
that a plug-in that misbehaves while it is imported harms nobody. Measured claims stand in
`resources/claims/ID.json`, written by `engine.claims`.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.inspections.generic import view_infos
from engine.method import Method
from engine.protocol.forms import describe_form
from engine.protocol.messages import ClaimInfo, ClaimResult, Failure, MethodInfo, Preset
from engine.registry import Registered, load_from_file, load_methods, what_to_do
from engine.training.settings import TrainingSettings

CLAIMS = Path(__file__).resolve().parents[1] / "resources" / "claims"
logger = logging.getLogger(__name__)


def describe_methods(*, plugins: bool = True) -> tuple[MethodInfo, ...]:
    """Return every method as data, built-in ones first; one that cannot be loaded or described is marked broken.

    Raises:
        MethodError: two methods have one id.
    """
    return tuple(_describe(registered) for registered in load_methods(plugins=plugins).values())


def describe_method(method: Method, source: str = "built in") -> MethodInfo:
    """Return one method as data.

    Raises:
        TypeError: a setting has a type that a form cannot show, or lacks an explanation.
    """
    return MethodInfo(
        id=method.id,
        title=method.title,
        idea=method.idea,
        year=method.paper.year,
        venue=method.paper.venue,
        paper=method.paper.title,
        authors=method.paper.authors,
        url=method.paper.url,
        families=method.families,
        needs=method.needs,
        form=describe_form(method.config),
        training_form=describe_form(TrainingSettings),
        presets={
            name: Preset(config=_plain(preset.config), training=_plain(preset.training))
            for name, preset in method.presets.items()
        },
        views=view_infos(method),
        nodes=method.nodes,
        edges=method.edges,
        good_at=method.good_at,
        bad_at=method.bad_at,
        suggested_sample=method.suggested_sample,
        claim=_describe_claim(method),
        differs=read_header(method).get("differs", ""),
        source=source,
    )


def read_header(method: Method) -> dict[str, str]:
    """Return the named paragraphs of the docstring of a method's file, by lower-case name: paper, differs, ….

    A paragraph begins with `Name:` at the start of a line and goes on in indented lines.
    """
    module = inspect.getmodule(method.config)
    lines = inspect.cleandoc((module.__doc__ if module else "") or "").splitlines()
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in lines:
        start = re.match(r"([A-Z][a-z]+):\s*(.*)", line)
        if start:
            current = found.setdefault(start.group(1).lower(), [])
            current.append(start.group(2).strip())
        elif current is not None and line[:1].isspace():
            current.append(line.strip())
        else:
            current = None
    return {name: " ".join(part for part in parts if part) for name, parts in found.items()}


def load_measured(method_id: str) -> ClaimResult | None:
    """Return what was measured for a method's claim, or None where nothing (readable) is on file."""
    path = CLAIMS / f"{method_id}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClaimResult)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, OSError) as error:
        logger.warning("%s cannot be read and is left out: %s", path, error)
        return None


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they arrive on the other side of the wire: tuples become lists."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dict(settings)))
    return plain


def _describe_claim(method: Method) -> ClaimInfo | None:
    claim = method.claim
    if claim is None:
        return None
    return ClaimInfo(
        statement=claim.statement,
        metric=claim.primary,
        arms=tuple(arm.name for arm in claim.arms),
        expected=claim.expected,
        measured=load_measured(method.id),
    )


def _describe(registered: Registered) -> MethodInfo:
    if registered.method is None:
        return _broken(registered, registered.failure)
    try:
        return describe_method(registered.method, registered.source)
    except Exception as error:  # part of loading a plug-in, which may fail in any way
        logger.exception("the method %s of %s cannot be described", registered.id, registered.source)
        failure = Failure(
            kind="method",
            message=f"The method {registered.id!r} ({registered.source}) cannot be described: {error}",
            hint="Mend its record; `python -m pytest tests/methods` names what is wrong."
            if registered.source == "built in"
            else what_to_do(registered.source),
            traceback=traceback.format_exc(),
        )
        return _broken(registered, failure)


def _broken(registered: Registered, failure: Failure | None) -> MethodInfo:
    return MethodInfo(
        id=registered.id,
        title=registered.id,
        idea="This method cannot be loaded.",
        year=0,
        venue="",
        paper="",
        authors="",
        url="",
        families=(),
        needs=(),
        form=(),
        training_form=(),
        presets={},
        views=(),
        source=registered.source,
        broken=failure or Failure(kind="method", message=f"The method {registered.id!r} cannot be loaded."),
    )


def describe_file(path: Path) -> MethodInfo:
    """Return the method of a file; one that cannot be loaded or described is marked broken."""
    return _describe(load_from_file(path))


def main() -> None:
    """Write the list of methods, or the method of the file that is named, as JSON to standard output.

    Whatever methods print goes to standard error.
    """
    with contextlib.redirect_stdout(sys.stderr):
        found = tuple(describe_file(Path(name)) for name in sys.argv[1:]) or describe_methods()
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
