"""Settings as data: a config's fields with unit, range, explanation and choices, from which the form is made.

A setting is declared once, on the method's `Config`, as `Annotated[type, Meta(...)]`::

    mask_ratio: Annotated[float, Meta(ge=0.1, le=0.9, title="Mask share", description="How many …",
                                      extra={"unit": "of patches", "group": "Views"})] = 0.75

`describe_form` turns the struct into `FormField`s (they cross the wire); `apply_settings` checks and applies
`key → value` changes and collects every error at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

Value = bool | int | float | str | tuple["Value", ...] | list["Value"] | None
S = TypeVar("S", bound=msgspec.Struct)


class FormField(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One setting as a form shows it."""

    name: str
    title: str
    kind: Literal["bool", "int", "float", "str", "choice", "tuple"]
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    item_kind: Literal["", "int", "float", "str"] = ""  # of a tuple
    length: int | None = None  # of a tuple; None = any
    unit: str = ""
    description: str = ""
    group: str = "Method"
    advanced: bool = False


class SettingProblem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wrong with one setting, as a sentence that names the limit."""

    name: str
    message: str


_KINDS: dict[type, Literal["bool", "int", "float", "str"]] = {
    msgspec.inspect.BoolType: "bool",
    msgspec.inspect.IntType: "int",
    msgspec.inspect.FloatType: "float",
    msgspec.inspect.StrType: "str",
}


def describe_form(config: type[msgspec.Struct]) -> tuple[FormField, ...]:
    """Return the form fields of a config struct, in the order of its fields.

    Raises:
        TypeError: a field has a type that a form cannot show, or lacks a description.
    """
    info = msgspec.inspect.type_info(config)
    if not isinstance(info, msgspec.inspect.StructType):
        msg = f"{config.__name__} is not a struct"
        raise TypeError(msg)
    return tuple(_describe_field(config.__name__, field) for field in info.fields)


def _describe_field(owner: str, field: msgspec.inspect.Field) -> FormField:
    kind_info, schema, extra = _unwrap(field.type)
    description = str(schema.get("description", ""))
    if not description:
        msg = f"{owner}.{field.name} has no description"
        raise TypeError(msg)
    minimum, maximum = _range(kind_info)
    choices: tuple[str, ...] = ()
    item_kind: Literal["", "int", "float", "str"] = ""
    length: int | None = None
    kind: Literal["bool", "int", "float", "str", "choice", "tuple"]
    if isinstance(kind_info, msgspec.inspect.LiteralType):
        kind, choices = "choice", tuple(extra.get("choices", kind_info.values))
        if not all(isinstance(choice, str) for choice in choices):
            msg = f"{owner}.{field.name}: choices are texts, not {choices}; take a number with a range instead"
            raise TypeError(msg)
    elif isinstance(kind_info, msgspec.inspect.TupleType | msgspec.inspect.VarTupleType):
        kind = "tuple"
        items = kind_info.item_types if isinstance(kind_info, msgspec.inspect.TupleType) else (kind_info.item_type,)
        length = len(items) if isinstance(kind_info, msgspec.inspect.TupleType) else None
        inner, _, _ = _unwrap(items[0])
        found = _KINDS[type(inner)]
        item_kind = "int" if found == "bool" else found
        minimum, maximum = _range(inner)
    elif type(kind_info) in _KINDS:
        kind = _KINDS[type(kind_info)]
    else:
        msg = f"{owner}.{field.name}: a form cannot show {type(kind_info).__name__}"
        raise TypeError(msg)
    return FormField(
        name=field.name,
        title=str(schema.get("title") or field.name.replace("_", " ").capitalize()),
        kind=kind,
        default=None if field.default is msgspec.NODEFAULT else msgspec.to_builtins(field.default),
        minimum=minimum,
        maximum=maximum,
        choices=choices,
        item_kind=item_kind,
        length=length,
        unit=str(extra.get("unit", "")),
        description=description,
        group=str(extra.get("group", "Method")),
        advanced=bool(extra.get("advanced", False)),
    )


def _unwrap(info: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, dict[str, Any], dict[str, Any]]:
    schema: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    while isinstance(info, msgspec.inspect.Metadata):
        schema |= info.extra_json_schema or {}
        extra |= info.extra or {}
        info = info.type
    return info, schema, extra


def _range(info: msgspec.inspect.Type) -> tuple[float | None, float | None]:
    if not isinstance(info, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        return None, None
    low = info.ge if info.ge is not None else info.gt
    high = info.le if info.le is not None else info.lt
    return (None if low is None else float(low)), (None if high is None else float(high))


def apply_settings(config: S, changes: Mapping[str, Value]) -> tuple[S, list[SettingProblem]]:
    """Return `config` with `changes` applied, and every problem found; a problem's key keeps its old value.

    Text values are read as the field's type where that is possible ("0.5", "true", "1,2").
    """
    known = {field.name: field for field in describe_form(type(config))}
    problems: list[SettingProblem] = []
    values = msgspec.to_builtins(config)
    for name, raw in changes.items():
        if name not in known:
            near = ", ".join(sorted(known))
            problems.append(SettingProblem(name=name, message=f"There is no setting {name!r}. Known: {near}."))
            continue
        trial = values | {name: parse_value(known[name], raw)}
        try:
            msgspec.convert(trial, type(config))
        except msgspec.ValidationError as error:
            problems.append(SettingProblem(name=name, message=_explain(known[name], raw, str(error))))
        else:
            values = trial
    return msgspec.convert(values, type(config)), problems


def parse_value(field: FormField, raw: Value) -> Value:
    """Return `raw` as the field's type if it is text that reads as such, else unchanged."""
    if not isinstance(raw, str):
        return list(raw) if isinstance(raw, tuple) else raw
    text = raw.strip()
    if field.kind == "bool":
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower(), raw)
    if field.kind == "tuple":
        parts = [part.strip() for part in text.strip("()[]").split(",") if part.strip()]
        return [_number(part, field.item_kind) for part in parts]
    return _number(text, field.kind)


def _number(text: str, kind: str) -> Value:
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        pass
    return text


def _explain(field: FormField, raw: Value, error: str) -> str:
    if field.kind == "choice":
        return f"{field.title} must be one of {', '.join(field.choices)}; {raw!r} is not."
    if field.minimum is not None or field.maximum is not None:
        low = "" if field.minimum is None else f"at least {field.minimum:g}"
        high = "" if field.maximum is None else f"at most {field.maximum:g}"
        return f"{field.title} must be {' and '.join(part for part in (low, high) if part)}; {raw!r} is not."
    return f"{field.title}: {error}."


def fill_form(
    form: tuple[FormField, ...], *changes: Mapping[str, Any]
) -> tuple[dict[str, Value], list[SettingProblem]]:
    """Return the value of every setting after `changes` (in order), and every problem, without the config class.

    For those that know a method only as data. Limits count as allowed values here; the method's own config has the
    last word.
    """
    known = {field.name: field for field in form}
    values: dict[str, Value] = {field.name: field.default for field in form}
    problems: list[SettingProblem] = []
    for change in changes:
        for name, raw in change.items():
            if name not in known:
                message = f"There is no setting {name!r}. Known: {', '.join(sorted(known))}."
                problems.append(SettingProblem(name=name, message=message))
                continue
            value = parse_value(known[name], raw)
            if _fits(known[name], value):
                values[name] = value
            else:
                problems.append(SettingProblem(name=name, message=_refuse(known[name], raw)))
    return values, problems


def _fits(field: FormField, value: Any) -> bool:
    if field.kind == "choice":
        return value in field.choices
    if field.kind == "tuple":
        if not isinstance(value, list | tuple) or (field.length is not None and len(value) != field.length):
            return False
        return all(_fits_kind(field, field.item_kind, item) for item in value)
    return _fits_kind(field, field.kind, value)


def _fits_kind(field: FormField, kind: str, value: Any) -> bool:
    if kind in {"bool", "str"}:
        return isinstance(value, bool if kind == "bool" else str)
    if isinstance(value, bool) and field.kind != "tuple":
        return False
    if not isinstance(value, int if kind == "int" else (int, float)) or not math.isfinite(value):
        return False
    return (field.minimum is None or value >= field.minimum) and (field.maximum is None or value <= field.maximum)


def _refuse(field: FormField, raw: Any) -> str:
    if field.choices or field.minimum is not None or field.maximum is not None:
        return _explain(field, raw, "")
    wanted = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}
    if field.kind == "tuple":
        count = f"{field.length} " if field.length else ""
        return f"{field.title} must be {count}values, each {wanted.get(field.item_kind, 'a value')}; {raw!r} is not."
    return f"{field.title} must be {wanted[field.kind]}; {raw!r} is not."
