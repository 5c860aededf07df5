"""What a method file must say, and in which order: record, config, form, reference test."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import msgspec

from engine.describe import describe_method, read_header
from engine.errors import MethodError
from engine.method import Config, Method
from engine.protocol.forms import FormField, apply_settings, describe_form
from engine.training.settings import TrainingSettings

HEADER = ("paper", "equations", "reference", "differs")
LICENCES = ("MIT", "Apache", "BSD", "CC BY", "GPL", "MPL", "no licence", "no code", "licence")
PRESETS = ("tiny", "small", "paper")
GROUPS = frozenset({"Views", "Network", "Losses", "Target", "Method", "Evaluation"})
FORBIDDEN = (
    "random", "engine.methods", "engine.training", "engine.runs", "engine.supervisor", "engine.worker", "engine.cli",
    "engine.claims", "engine.checks", "engine.contract", "engine.data.store", "engine.data.importers", "PySide6", "app",
)  # fmt: skip


def source_of(method: Method) -> tuple[Path, ast.Module]:
    """Return path and syntax tree of the file that a method's config stands in.

    Raises:
        MethodError: the file cannot be found.
    """
    path = inspect.getsourcefile(method.config)
    if path is None:
        raise MethodError(f"The file of {method.id} cannot be found.", "Define its config in the method's file.")
    return Path(path), ast.parse(Path(path).read_text(encoding="utf-8"))


def check_record(method: Method) -> None:
    """The record is complete: id, header, paper, presets, inspections, texts, figure, claim."""
    path, _ = source_of(method)
    if path.stem.replace("_", "-") != method.id:
        raise MethodError(f"The id {method.id!r} does not match the file {path.name}.", "Name one after the other.")
    header = read_header(method)
    if missing := [name for name in HEADER if not header.get(name)]:
        raise MethodError(f"The header lacks {', '.join(missing)}.", "Begin a line with `Name:` for each.")
    if not any(licence.lower() in header["reference"].lower() for licence in LICENCES):
        raise MethodError("The reference code's licence is missing.", "State it in brackets after `Reference:`.")
    paper = method.paper
    if not (paper.title and paper.authors and paper.venue and paper.url.startswith("https://") and paper.year > 1950):
        raise MethodError("The paper's record is incomplete.", "Give title, authors, year, venue and address.")
    if missing := [name for name in PRESETS if name not in method.presets]:
        raise MethodError(f"There is no preset {missing[0]!r}.", "Give tiny, small and paper.")
    texts = {"title": method.title, "idea": method.idea, "good_at": method.good_at, "bad_at": method.bad_at}
    if missing := [name for name, text in texts.items() if not text.strip()]:
        raise MethodError(f"The record lacks {', '.join(missing)}.", "Write a sentence each.")
    if not method.inspections or not method.needs or not method.families:
        raise MethodError("The record lacks inspections, needs or families.", "Declare at least one of each.")
    names = [look.name for look in method.inspections]
    for look in method.inspections:
        unknown = [name for name in look.steers if name not in method.config.__struct_fields__]
        if unknown:
            raise MethodError(
                f"View {look.name!r} steers {unknown}, which are no settings.", "Name fields of the config."
            )
    if len(set(names)) != len(names):
        raise MethodError("Two views have one name.", f"Known: {', '.join(names)}.")
    nodes = {node.id for node in method.nodes}
    if not nodes or any(edge.source not in nodes or edge.target not in nodes for edge in method.edges):
        raise MethodError("The figure has no boxes, or an arrow without ends.", "Mend `nodes` and `edges`.")
    _check_claim(method)
    describe_method(method)


def _check_claim(method: Method) -> None:
    claim = method.claim
    if claim is None:
        return
    if len(claim.arms) < 2 or claim.seeds < 2 or not claim.expected:
        raise MethodError("The claim has fewer than two arms or seeds, or no expectation.", "A claim compares.")
    for arm in claim.arms:
        if arm.method:
            continue
        changes = {**method.presets["tiny"].config, **claim.config, **arm.config}
        _refuse(apply_settings(method.config(), changes)[1], f"arm {arm.name!r} of the claim")
        training = {**method.presets["tiny"].training, **claim.training, **arm.training}
        _refuse(apply_settings(TrainingSettings(), training)[1], f"arm {arm.name!r} of the claim")


def _refuse(problems: list[Any], where: str) -> None:
    if problems:
        raise MethodError(f"In {where}: {problems[0].message}", "Correct the setting.")


def check_config(method: Method) -> None:
    """Settings are buildable, explained, bounded, strict, keyword-only, and survive a file; presets fit them."""
    config = method.config
    if not issubclass(config, Config):
        raise MethodError(f"{config.__name__} is not a Config.", "Derive it from engine.method.Config.")
    try:
        default = config()
    except TypeError as error:
        raise MethodError(
            f"The settings cannot be built by default: {error}.", "Give every field a default."
        ) from error
    parameters = inspect.signature(config).parameters.values()
    if any(parameter.kind is not inspect.Parameter.KEYWORD_ONLY for parameter in parameters):
        raise MethodError(f"{config.__name__} takes positional values.", "Declare it with kw_only=True.")
    fields = describe_form(config)
    for field in fields:
        _check_field(field)
    encoded = msgspec.json.encode(default)
    if msgspec.json.decode(encoded, type=config) != default:
        raise MethodError("The settings differ after a trip through a file.", "Use plain field types.")
    if not config.__struct_config__.forbid_unknown_fields:
        raise MethodError(f"{config.__name__} accepts unknown settings.", "Declare forbid_unknown_fields=True.")
    for name, preset in method.presets.items():
        _refuse(apply_settings(default, preset.config)[1], f"preset {name!r}")
        _refuse(apply_settings(TrainingSettings(), preset.training)[1], f"the training part of preset {name!r}")


def _check_field(field: FormField) -> None:
    if len(field.description) < 10:
        raise MethodError(f"{field.name} is not explained.", "Give Meta(description=…), a whole sentence.")
    numeric = field.kind in {"int", "float"} or (field.kind == "tuple" and field.item_kind in {"int", "float"})
    if numeric and (field.minimum is None or field.maximum is None):
        raise MethodError(f"{field.name} has no range.", "Give Meta(ge=…, le=…).")
    if field.kind == "choice" and len(field.choices) < 2:
        raise MethodError(f"{field.name} offers no choice.", "An option with one value is none.")
    if field.group not in GROUPS:
        raise MethodError(f"{field.name} stands in the unknown group {field.group!r}.", f"Known: {sorted(GROUPS)}.")


def check_form(method: Method) -> None:
    """The file is in order: config, views, model, record last; no forbidden import; public names documented."""
    _, tree = source_of(method)
    places = {
        node.name if isinstance(node, ast.ClassDef | ast.FunctionDef) else "METHOD": number
        for number, node in enumerate(tree.body)
        if isinstance(node, ast.ClassDef | ast.FunctionDef) or _assigns(node, "METHOD")
    }
    order = [method.config.__name__]
    if method.views.__module__ == method.config.__module__:
        order.append(method.views.__name__)
    if inspect.isclass(method.model) and method.model.__name__ in places:
        order.append(method.model.__name__)
    order.append("METHOD")
    found = [places.get(name, -1) for name in order]
    if found != sorted(found) or -1 in found:
        raise MethodError(
            f"The file is out of order: {', '.join(order)} should follow one another.", "See the help page."
        )
    if places["METHOD"] != len(tree.body) - 1:
        raise MethodError("Something stands after METHOD.", "The record comes last.")
    own = method.config.__module__
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name != own and any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN):
                raise MethodError(f"The file imports {name}.", "A method knows no loop, no disk, no other method.")
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            _check_documented(node)


def _check_documented(node: ast.ClassDef | ast.FunctionDef) -> None:
    if not ast.get_docstring(node):
        raise MethodError(f"{node.name} has no docstring.", "Say what it does, with shapes.")
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_") and not ast.get_docstring(inner):
            raise MethodError(f"{node.name}.{inner.name} has no docstring.", "Say what it does, with shapes.")


def _assigns(node: ast.stmt, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def check_reference(method: Method, tests: Path) -> None:
    """There is a `test_<id>.py` in `tests` with a test marked `reference`."""
    path = tests / f"test_{method.id.replace('-', '_')}.py"
    if not path.is_file():
        raise MethodError(f"There is no {path}.", "Compare the loss, mask or target with the paper's formula there.")
    tests_in_file = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    decorators = [ast.unparse(decorator) for test in tests_in_file for decorator in test.decorator_list]
    if not any("mark.reference" in decorator for decorator in decorators):
        raise MethodError(f"{path.name} has no test marked `reference`.", "Mark it with @pytest.mark.reference.")
