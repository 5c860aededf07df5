"""Every method keeps the contract; what is known not to hold is declared in its record, and must go on failing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checks import Check, all_checks
from engine.registry import load_methods


def every_check() -> Iterator[object]:
    for registered in load_methods(plugins=False).values():
        assert registered.method is not None
        for check in all_checks(registered.method, tests=Path(__file__).parent):
            reason = check.known_failure
            marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
            yield pytest.param(check, id=str(check), marks=marks)


@pytest.mark.parametrize("check", list(every_check()))
def test_that_the_method_keeps_its_contract(check: Check) -> None:
    check.run()
