"""Which field of a dataset goes to which need of a method."""

from __future__ import annotations

from engine.protocol.schema import FieldKind, FieldSpec, Need, Schema, assign, misfit

CINE, MASK, NUMBER, TEXT = FieldKind.CINE, FieldKind.MASK, FieldKind.NUMBER, FieldKind.TEXT
HEART = Schema(
    fields=(
        FieldSpec(name="lax", kind=CINE, shape=(8, 1, 3, 32, 32)),
        FieldSpec(name="sax", kind=CINE, shape=(8, 1, 5, 32, 32)),
        FieldSpec(name="sax_mask", kind=MASK, shape=(2, 5, 32, 32)),
        FieldSpec(name="sax_present", kind=NUMBER, shape=(5,)),
        FieldSpec(name="note", kind=TEXT, dtype="str"),
        FieldSpec(name="condition", kind=TEXT, dtype="str"),
    )
)


def names(*needs: Need) -> dict[str, str]:
    """Return key → name of the field that was found for it."""
    return {key: field.name for key, field in assign(needs, HEART).items()}


def test_that_two_needs_of_one_kind_get_two_fields() -> None:
    assert names(Need(kinds=(TEXT,)), Need(kinds=(TEXT,), name="second")) == {"text": "note", "second": "condition"}


def test_that_a_field_asked_for_by_name_goes_to_who_asked() -> None:
    assert names(Need(kinds=(CINE,), name="any"), Need(kinds=(CINE,), name="short", fields=("short_axis", "lax"))) == {
        "any": "sax",
        "short": "lax",
    }


def test_that_another_name_does_only_where_the_need_says_so() -> None:
    strict = Need(kinds=(TEXT,), fields=("caption",))
    assert misfit((strict,), HEART) == "needs text called caption; this data has cine, text"
    assert names(Need(kinds=(TEXT,), fields=("caption",), or_any=True)) == {"text": "note"}


def test_that_companions_follow_the_field_that_their_owner_got() -> None:
    needs = (
        Need(kinds=(CINE,), name="short", fields=("sax",)),
        Need(kinds=(MASK,), of="short", suffix="mask"),
        Need(kinds=(NUMBER,), of="short", suffix="present", name="there"),
        Need(kinds=(NUMBER,), of="short", suffix="times_s", optional=True),
    )
    assert names(*needs) == {"short": "sax", "short_mask": "sax_mask", "there": "sax_present"}
    assert misfit(needs, HEART) == ""


def test_that_an_optional_need_takes_nothing_from_one_that_is_not() -> None:
    found = names(Need(kinds=(CINE,), name="extra", optional=True), Need(kinds=(CINE,)), Need(kinds=(CINE,), name="b"))
    assert found == {"cine": "lax", "b": "sax"}


def test_that_a_missing_second_field_and_a_missing_companion_are_said() -> None:
    three = tuple(Need(kinds=(TEXT,), name=name) for name in "abc")
    assert misfit(three, HEART) == "needs text; this data has only note, condition"
    pictures = Schema(fields=(FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 8, 8)),))
    assert misfit(three, pictures) == "needs text; this data has image"
    absent = Need(kinds=(CINE,)), Need(kinds=(NUMBER,), of="cine", suffix="times_s")
    assert misfit(absent, HEART).startswith("needs times_s of cine")


def test_that_pictures_of_varying_channels_fit_only_who_takes_them() -> None:
    cells = Schema(fields=(FieldSpec(name="image", kind=FieldKind.CHANNELS, shape=(None, 32, 32)),))
    assert "another number of channels" in misfit((Need(kinds=(FieldKind.CHANNELS,)),), cells)
    assert misfit((Need(kinds=(FieldKind.CHANNELS,), ragged=True),), cells) == ""
