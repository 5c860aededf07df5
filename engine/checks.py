"""The contract that every method must keep, as small named checks that anyone can run.

    from engine.checks import all_checks

    @pytest.mark.parametrize("check", all_checks(METHOD), ids=str)
    def test_that_the_method_keeps_its_contract(check):
        check.run()

A check raises `MethodError` and says what is wrong and what to do. A known failure is declared in the record, with
its reason; `Check.known_failure` carries it, to be made a strict expected failure. Nothing here needs pytest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.contract import looking, paper, training
from engine.method import Method

CHECKS: dict[str, Callable[[Method], None]] = {
    "record": paper.check_record,
    "config": paper.check_config,
    "views": training.check_views,
    "loss": training.check_loss,
    "gradients": training.check_gradients,
    "learns": training.check_learns,
    "no-collapse": training.check_no_collapse,
    "deterministic": training.check_deterministic,
    "resumes": training.check_resumes,
    "embed": looking.check_embed,
    "inspections": looking.check_inspections,
    "device": looking.check_device,
    "form": paper.check_form,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of one method; `run` raises `MethodError` where it is broken."""

    method: str
    name: str
    what: str  # the promise, a sentence
    run: Callable[[], None]
    known_failure: str = ""  # why the method is known to break it; "" = it must hold

    def __str__(self) -> str:
        """Return a name for test reports."""
        return f"{self.method}-{self.name}"


def all_checks(method: Method, *, tests: Path | None = None) -> tuple[Check, ...]:
    """Return every check of `method`; with the folder of its tests, also that a reference test exists there."""
    functions = dict(CHECKS)
    if tests is not None:
        functions["reference"] = functools.partial(paper.check_reference, tests=tests)
    return tuple(
        Check(
            method=method.id,
            name=name,
            what=(getattr(function, "func", function).__doc__ or "").strip(),
            run=functools.partial(function, method),
            known_failure=method.known_failures.get(name, ""),
        )
        for name, function in functions.items()
    )
