"""Forms made from declared settings."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox
from pytestqt.qtbot import QtBot

from app.editors import EDITORS, find_problem, make_editor, range_text
from app.forms import SettingsForm
from app.theme import Theme
from app.widgets.number_box import NumberBox
from engine.protocol.forms import FormField
from tests.app.fake_engine import sample_form, sample_training_form


@pytest.fixture
def form(qtbot: QtBot, theme: Theme) -> SettingsForm:
    made = SettingsForm(theme, sample_form() + sample_training_form())
    made.set_preset({"mask_ratio": 0.5})
    qtbot.addWidget(made)
    made.resize(480, 700)
    made.finish()
    made.show()
    return made


def type_into(qtbot: QtBot, form: SettingsForm, name: str, text: str) -> None:
    box = form.rows[name].editor.inputs[0]
    box.selectAll()  # type: ignore[attr-defined]
    qtbot.keyClicks(box, text)


def test_that_there_is_an_editor_for_every_kind(qtbot: QtBot, theme: Theme) -> None:
    kinds = FormField.__annotations__["kind"]
    assert all(kind in kinds for kind in EDITORS)
    assert len(EDITORS) == 6


@pytest.mark.parametrize("field", sample_form() + sample_training_form(), ids=lambda field: field.name)
def test_that_an_editor_gives_back_what_it_was_given(qtbot: QtBot, theme: Theme, field: FormField) -> None:
    editor = make_editor(field)
    qtbot.addWidget(editor)
    editor.set_value(field.default)
    assert editor.value() == field.default


def test_that_the_preset_is_shown_and_nothing_counts_as_changed(form: SettingsForm) -> None:
    assert form.values()["mask_ratio"] == 0.5
    assert form.changes() == {}


def test_that_a_changed_value_offers_the_way_back(form: SettingsForm, qtbot: QtBot) -> None:
    type_into(qtbot, form, "depth", "6")
    row = form.rows["depth"]
    assert row.reset.text() == "preset: 4"
    qtbot.mouseClick(row.reset, Qt.MouseButton.LeftButton)
    assert form.changes() == {}


def test_that_editing_tells(form: SettingsForm, qtbot: QtBot) -> None:
    with qtbot.waitSignal(form.values_changed):
        type_into(qtbot, form, "learning_rate", "3e-4")
    assert form.changes() == {"learning_rate": 3e-4}


def test_that_a_value_out_of_range_is_named_with_its_limit(form: SettingsForm, qtbot: QtBot) -> None:
    type_into(qtbot, form, "mask_ratio", "1.2")
    assert [p.message for p in form.problems] == ["Mask share must be at most 0.9; 1.2 is too large."]
    assert form.rows["mask_ratio"].problem.isVisible()


def test_that_text_where_a_number_belongs_is_a_problem_and_not_a_crash(form: SettingsForm, qtbot: QtBot) -> None:
    type_into(qtbot, form, "batch_size", "many")
    assert [p.name for p in form.problems] == ["batch_size"]


def test_that_a_warning_of_the_engine_is_shown_until_the_setting_is_edited(form: SettingsForm, qtbot: QtBot) -> None:
    form.show_problem("batch_size", "Above 448 it ran out of GPU memory.", "warn")
    assert form.rows["batch_size"].problem.isVisible()
    assert form.problems == []
    type_into(qtbot, form, "batch_size", "128")
    assert not form.rows["batch_size"].problem.isVisible()


def test_that_jumping_to_the_first_error_opens_its_fold_and_focuses_it(form: SettingsForm) -> None:
    form.show_problem("key_bias", "This encoder has no keys.")
    assert form.jump_to_first_error()
    assert form.rows["key_bias"].isVisible()


def test_that_the_fold_counts_changed_advanced_settings(form: SettingsForm) -> None:
    box = form.rows["key_bias"].editor.inputs[0]
    assert isinstance(box, QCheckBox)
    box.setChecked(False)
    assert form._groups[1].fold.text() == "2 advanced, 1 changed"


def test_that_focus_opens_the_explanation_of_one_setting(form: SettingsForm, qtbot: QtBot) -> None:
    form._focus(form.rows["mask_ratio"])
    qtbot.waitUntil(form.rows["mask_ratio"].explanation.isVisible)
    form._focus(form.rows["depth"])
    qtbot.waitUntil(form.rows["depth"].explanation.isVisible)
    assert not form.rows["mask_ratio"].explanation.isVisible()


def test_that_reset_goes_back_to_the_preset(form: SettingsForm) -> None:
    form.set_values({"depth": 9, "mask_shape": "grid", "crop_area": [0.1, 0.5]})
    form.reset()
    assert form.changes() == {}


def test_that_other_fields_replace_the_form(form: SettingsForm) -> None:
    form.set_fields(sample_training_form(), {"steps": 200})
    assert form.values() == {"steps": 200, "batch_size": 64, "learning_rate": 1.5e-4}


@pytest.mark.parametrize(
    ("start", "steps", "end"), [("1.5e-4", 1, 2e-4), ("1e-3", -1, 5e-4), ("1e-2", 1, 1e-2), ("1e-6", -1, 1e-6)]
)
def test_that_arrows_over_powers_of_ten_go_1_2_5_and_stop_at_the_ends(
    qtbot: QtBot, theme: Theme, start: str, steps: int, end: float
) -> None:
    box = NumberBox(whole=False, minimum=1e-6, maximum=1e-2)
    qtbot.addWidget(box)
    box.lineEdit().setText(start)
    box.stepBy(steps)
    assert box.value() == pytest.approx(end)


def test_that_a_tuple_of_the_wrong_length_says_how_many_it_takes() -> None:
    field = FormField(name="x", title="Widths", kind="tuple", item_kind="int", length=3, description="Widths.")
    assert find_problem(field, [1, 2]) == "Widths takes 3 values; there are 2."


def test_that_ranges_read_as_words() -> None:
    assert [range_text(field) for field in sample_form()[:1] + sample_training_form()] == [
        "0.1 to 0.9",
        "at least 1",
        "1 to 65\u202f536",
        "1e-6 to 0.01",
    ]
