"""The filter language of record lists: "label = brick and split = train", or words to find in the name.

    filter     := clauses ("or" clauses)*
    clauses    := clause ("and" clause)*
    clause     := FIELD ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~") VALUE | WORD
    VALUE      := WORD | "quoted words"

A field is any annotation of the dataset, `index` or `excluded`. "~" means "contains". A word alone must occur in
the record's name. Upper and lower case are the same.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.schema import FieldKind

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|==|!=|<=|>=|[=<>~]|[^\s"=<>~!]+|!)')
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def filter_records(dataset: Dataset, *texts: str) -> Array:
    """Return the numbers of the records that pass every filter, ascending int64; all for an empty one.

    Raises:
        DataError: a field is unknown, or a comparison is incomplete or makes no sense.
    """
    passing = np.ones(len(dataset), bool)
    for text in texts:
        some = np.zeros(len(dataset), bool)
        for clauses in parse_filter(text):
            every = np.ones(len(dataset), bool)
            for field, sign, value in clauses:
                every &= _clause(dataset, field, sign, value)
            some |= every
        passing &= some
    return np.flatnonzero(passing).astype(np.int64)


def parse_filter(text: str) -> list[list[tuple[str, str, str]]]:
    """Return the alternatives, each a list of (field, sign, value); a word alone becomes ("name", "~", word).

    Raises:
        DataError: a comparison lacks its field or its value, or "or" has nothing on one side.
    """
    words = _TOKEN.findall(text)
    clauses: list[tuple[str, str, str]] = []
    alternatives = [clauses]
    place = 0
    while place < len(words):
        word = words[place]
        following = words[place + 1] if place + 1 < len(words) else ""
        if word.lower() == "and":
            place += 1
        elif word.lower() == "or":
            if not clauses or place + 1 == len(words):
                raise DataError(
                    'The filter has "or" with nothing on one side.', 'Write "label = brick or label = moss".'
                )
            clauses = []
            alternatives.append(clauses)
            place += 1
        elif word in _COMPARE or word == "~":
            raise DataError(f"The filter has {word!r} without a field before it.", 'Write "label = brick".')
        elif following in _COMPARE or following == "~":
            if place + 2 >= len(words):
                raise DataError(f"The filter ends after {following!r}.", 'Write "label = brick".')
            clauses.append((word.lower(), following, _plain(words[place + 2])))
            place += 3
        else:
            clauses.append(("name", "~", _plain(word)))
            place += 1
    return alternatives


def _plain(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') and word.endswith('"') else word


def _clause(dataset: Dataset, field: str, sign: str, value: str) -> Array:
    if field == "index":
        return _numbers(np.arange(len(dataset)), sign, value)
    if field == "excluded":
        return _texts(["yes" if each else "no" for each in dataset.excluded], sign, _yes_or_no(value))
    spec = next((each for each in dataset.schema.fields if each.name.lower() == field), None)
    if spec is None and field == "name":
        return np.array([value in str(number) for number in range(len(dataset))], bool)
    if spec is None or not spec.is_annotation or spec.shape != ():
        known = [each.name for each in dataset.schema.fields if each.is_annotation and each.shape == ()]
        raise DataError(f"There is no field {field!r} to filter by.", f"There are: {', '.join([*known, 'index'])}.")
    column = dataset.column(spec.name)
    if isinstance(column, list):
        return _texts(column, sign, value)
    if spec.kind in {FieldKind.LABEL, FieldKind.SPLIT}:
        passing = _texts(["", *spec.classes], sign, "" if value.lower() == "none" else value)
        return passing[np.clip(np.asarray(column, np.int64), -1, len(spec.classes) - 1) + 1]
    return _numbers(column, sign, value)


def _numbers(column: Array, sign: str, value: str) -> Array:
    if sign == "~":
        return np.array([value in str(each) for each in column.tolist()], bool)
    try:
        number = float(value)
    except ValueError as error:
        raise DataError(f"{value!r} is not a number.", 'Write "index < 100".') from error
    return np.asarray(_COMPARE[sign](column, number), bool)


def _texts(column: list[str], sign: str, value: str) -> Array:
    wanted = value.casefold()
    if sign == "~":
        return np.array([wanted in each.casefold() for each in column], bool)
    compare = _COMPARE[sign]
    return np.array([compare(each.casefold(), wanted) for each in column], bool)


def _yes_or_no(value: str) -> str:
    return {"true": "yes", "1": "yes", "false": "no", "0": "no"}.get(value.lower(), value)
