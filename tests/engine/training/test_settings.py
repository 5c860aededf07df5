"""Settings of the loop: as a form, completed from presets, refused with every reason at once."""

from __future__ import annotations

import msgspec
import pytest

from engine.errors import ConfigError, MethodError
from engine.protocol.forms import describe_form
from engine.protocol.messages import RunSpec
from engine.training.settings import TrainingSettings, check_spec, complete_spec, freeze_spec, sort_settings
from tests.engine.training import toy

SPEC = RunSpec(method="toy", dataset="toys.h5")


def test_that_every_setting_has_title_description_and_group() -> None:
    form = describe_form(TrainingSettings)
    assert {field.group for field in form} == {"Training"}
    assert all(field.title and field.description.endswith(".") for field in form)


def test_that_the_defaults_pass_their_own_ranges() -> None:
    defaults = TrainingSettings()
    assert msgspec.convert(msgspec.to_builtins(defaults), TrainingSettings) == defaults
    assert defaults.problems() == []


def test_that_changes_go_before_the_preset_and_the_preset_before_the_defaults() -> None:
    _, training = complete_spec(msgspec.structs.replace(SPEC, training={"learning_rate": 0.5}))
    assert (training.learning_rate, training.batch_size, training.accumulate) == (0.5, 16, 1)


def test_that_a_frozen_spec_no_longer_depends_on_presets() -> None:
    frozen = freeze_spec(SPEC)
    assert set(frozen.training) == set(TrainingSettings.__struct_fields__)
    assert complete_spec(frozen) == complete_spec(SPEC)
    assert freeze_spec(frozen) == frozen


def test_that_all_problems_are_found_at_once() -> None:
    spec = msgspec.structs.replace(
        SPEC, preset="huge", config={"width": -1}, training={"momentum": 2, "stepps": 1, "final_learning_rate": 9.0}
    )
    _, _, problems = check_spec(spec)
    assert [name for name, _ in problems] == ["preset", "width", "momentum", "stepps", "training"]
    assert "tiny" not in problems[0][1]
    assert "small" in problems[0][1]


def test_that_text_from_the_command_line_is_read_as_its_type() -> None:
    _, training = complete_spec(msgspec.structs.replace(SPEC, training={"clip_each": "yes", "betas": "0.8, 0.9"}))
    assert training.clip_each
    assert training.betas == (0.8, 0.9)


def test_that_settings_are_sorted_into_method_and_loop() -> None:
    config, training = sort_settings(toy.METHOD, {"width": "8", "steps": "5", "training.batch_size": "2"})
    assert (config, training) == ({"width": "8"}, {"steps": "5", "batch_size": "2"})


def test_that_an_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no setting called learning_rat") as error:
        sort_settings(toy.METHOD, {"learning_rat": "1"})
    assert "learning_rate" in error.value.hint
    assert "width" in error.value.hint


def test_that_an_unknown_method_is_refused() -> None:
    with pytest.raises(MethodError, match="no method 'nothing'"):
        complete_spec(msgspec.structs.replace(SPEC, method="nothing"))
