"""Settings declared once: their form, and how changes are checked."""

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from engine.protocol.forms import apply_settings, describe_form


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ratio: Annotated[
        float,
        Meta(
            ge=0.1, le=0.9, title="Mask share", description="How much.", extra={"unit": "of patches", "group": "Views"}
        ),
    ] = 0.75
    depth: Annotated[int, Meta(ge=1, le=24, description="Blocks.")] = 4
    shape: Annotated[Literal["random", "block"], Meta(description="Shape of the mask.")] = "random"
    crop: Annotated[tuple[float, float], Meta(description="Crop area.")] = (0.2, 1.0)
    flip: Annotated[bool, Meta(description="Mirror half of them.")] = True


def test_that_a_field_is_described_with_range_unit_group_and_text() -> None:
    ratio = describe_form(Example)[0]
    assert (ratio.title, ratio.kind, ratio.minimum, ratio.maximum) == ("Mask share", "float", 0.1, 0.9)
    assert (ratio.unit, ratio.group, ratio.description, ratio.default) == ("of patches", "Views", "How much.", 0.75)


def test_that_choices_and_tuples_are_described() -> None:
    _, _, shape, crop, flip = describe_form(Example)
    assert set(shape.choices) == {"random", "block"}
    assert (crop.kind, crop.item_kind, crop.length) == ("tuple", "float", 2)
    assert flip.kind == "bool"


def test_that_text_is_read_as_the_type_of_its_field() -> None:
    changed, problems = apply_settings(Example(), {"ratio": "0.5", "crop": "0.3, 0.8", "flip": "no", "depth": "6"})
    assert problems == []
    assert (changed.ratio, changed.crop, changed.flip, changed.depth) == (0.5, (0.3, 0.8), False, 6)


def test_that_all_problems_are_found_at_once_and_name_the_limit() -> None:
    changed, problems = apply_settings(Example(), {"ratio": 1.5, "depth": "many", "colour": 3, "shape": "star"})
    assert changed == Example()
    assert [problem.name for problem in problems] == ["ratio", "depth", "colour", "shape"]
    assert "at most 0.9" in problems[0].message
    assert "no setting 'colour'" in problems[2].message
    assert "block" in problems[3].message


def test_that_a_field_without_explanation_is_refused() -> None:
    class Bare(msgspec.Struct, frozen=True, kw_only=True):
        size: int = 3

    with pytest.raises(TypeError, match=r"Bare\.size has no description"):
        describe_form(Bare)


def test_that_choices_that_are_no_texts_are_refused_by_name() -> None:
    class Numbers(msgspec.Struct, frozen=True):
        patch: Annotated[Literal[2, 4], msgspec.Meta(description="Side of a patch.")] = 4

    with pytest.raises(TypeError, match=r"Numbers.patch: choices are texts, not \(2, 4\)"):
        describe_form(Numbers)
