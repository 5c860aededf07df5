"""Looking at stored checkpoints: any step, any data that fits, any record, other masks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.errors import DataError, MethodError, RunError
from engine.inspections.live import class_names
from engine.inspections.looking import Shelf, look_at
from engine.protocol.inspections import Choice, Pictures, Reconstruction
from engine.protocol.messages import WorkerCommand
from engine.runs import RunFolder
from tests.engine.inspections.conftest import make_pictures


def reconstruction(shelf: Shelf, choice: Choice) -> Reconstruction:
    run, views = shelf.at(choice)
    found = views.compute(run.model, "reconstruction", choice, run.step)
    assert isinstance(found, Reconstruction)
    return found


@pytest.fixture
def shelf(masked_run: RunFolder):
    with Shelf(masked_run.path) as opened:
        yield opened


def test_that_a_view_is_computed_of_the_checkpoint_that_was_chosen(shelf: Shelf) -> None:
    early, late = (reconstruction(shelf, Choice(step=step, records=(1,))) for step in (2, 4))
    assert (early.step, late.step) == (2, 4)
    assert np.array_equal(early.input, late.input)
    assert not np.array_equal(early.output, late.output)


def test_that_the_newest_checkpoint_is_looked_at_where_none_is_chosen(shelf: Shelf) -> None:
    assert reconstruction(shelf, Choice()).step == 4


def test_that_a_step_without_checkpoint_is_an_error(shelf: Shelf) -> None:
    with pytest.raises(RunError):
        shelf.at(Choice(step=3))


def test_that_other_data_that_fits_can_be_shown_by_record_number(shelf: Shelf, tmp_path: Path) -> None:
    other = make_pictures(tmp_path / "brighter.h5", brightness=50)
    found = reconstruction(shelf, Choice(dataset=str(other), records=(7,)))
    own = reconstruction(shelf, Choice(records=(7,)))
    assert found.records.tolist() == [7]
    assert found.input - own.input == pytest.approx(50 / 255, abs=0.01)


def test_that_data_that_does_not_fit_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not there"):
        shelf.at(Choice(dataset=str(tmp_path / "nowhere.h5")))


def test_that_few_models_are_held_and_the_one_used_last_stays(shelf: Shelf, tmp_path: Path) -> None:
    newest, _ = shelf.at(Choice())
    others = [make_pictures(tmp_path / f"{number}.h5", records=1) for number in range(Shelf.HELD)]
    for path in others[:-1]:
        shelf.at(Choice(dataset=str(path)))
    assert shelf.at(Choice())[0] is newest
    shelf.at(Choice(dataset=str(others[-1])))
    assert shelf.at(Choice())[0] is newest


def test_that_a_painted_mask_hides_exactly_the_painted_patches(shelf: Shelf) -> None:
    painted = (0, 5, 6, 15)
    found = reconstruction(shelf, Choice(records=(0, 3), hidden=painted))
    expected = np.zeros(16, bool)
    expected[list(painted)] = True
    assert found.takes_mask
    assert np.array_equal(found.mask, np.broadcast_to(expected.reshape(4, 4), (2, 4, 4)))


def test_that_a_painted_mask_leaves_visible_pixels_as_they_are(shelf: Shelf) -> None:
    found = reconstruction(shelf, Choice(records=(0,), hidden=(5,)))
    kept = np.ones((32, 32), bool)
    kept[8:16, 8:16] = False
    assert np.array_equal(found.output[0][:, kept], found.input[0][:, kept])
    assert not np.array_equal(found.output[0][:, ~kept], found.input[0][:, ~kept])


@pytest.mark.parametrize("painted", [(16,), tuple(range(16))])
def test_that_a_painted_mask_that_does_not_fit_says_so(shelf: Shelf, painted: tuple[int, ...]) -> None:
    run, views = shelf.at(Choice())
    with pytest.raises(Exception, match="painted mask"):
        views.compute(run.model, "reconstruction", Choice(hidden=painted), run.step)


def test_that_share_and_shape_of_the_mask_can_be_steered_and_are_told(shelf: Shelf) -> None:
    settings = (("mask_share", 0.25), ("mask_shape", "blocks"))
    found = reconstruction(shelf, Choice(records=(0,), settings=settings))
    assert found.mask.sum() == 4
    assert {field.name: field.default for field in found.steering} == dict(settings)


@pytest.mark.parametrize("setting", [("width", 8), ("mask_share", 7.0)])
def test_that_only_settings_of_the_view_within_their_range_are_steered(
    shelf: Shelf, setting: tuple[str, float]
) -> None:
    run, views = shelf.at(Choice())
    with pytest.raises(MethodError):
        views.compute(run.model, "reconstruction", Choice(settings=(setting,)), run.step)


def test_that_another_seed_draws_another_mask(shelf: Shelf) -> None:
    first, second = (reconstruction(shelf, Choice(records=(0,), mask_seed=seed)) for seed in (0, 1))
    assert not np.array_equal(first.mask, second.mask)


def test_that_a_view_that_cannot_be_opened_is_refused_and_others_go_on(masked_run: RunFolder) -> None:
    class Window:
        def __init__(self) -> None:
            self.said: list[str] = []
            self.orders = [
                [WorkerCommand(action="watch", view="reconstruction", choice=Choice(step=99))],
                [WorkerCommand(action="watch", view="feature-map", choice=Choice(count=1))],
                [],
                [WorkerCommand(action="stop")],
            ]

        def commands(self):
            return self.orders.pop(0)

        def view(self, run, inspection, cost_s):
            self.said.append(f"shown {inspection.view} {run}")

        def refuse(self, run, view, failure):
            self.said.append(f"refused {view} {run}")

        def questions(self):
            return []

        def reply(self, reply):
            self.said.append("answered")

    window = Window()
    look_at(masked_run.path, window)
    assert window.said == [f"refused reconstruction {masked_run.name}", f"shown feature-map {masked_run.name}"]


def test_that_a_choice_survives_its_way_to_the_worker() -> None:
    sent = Choice(step=4, dataset="/d.h5", hidden=(1, 2), settings=(("mask_share", 0.5), ("mask_shape", "grid")))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=Choice) == sent
    assert hash(sent) == hash(Choice(**{name: getattr(sent, name) for name in sent.__struct_fields__}))


@pytest.mark.parametrize(("shown", "names"), [([], ()), ([2, 0], ("", "disc"))])
def test_that_classes_are_named_for_the_records_that_are_shown_and_for_no_others(
    shown: list[int], names: tuple[str, ...]
) -> None:
    pictures = Pictures(
        view="filters", title="Filters", step=0, records=np.array(shown, np.int64), columns=("",),
        pictures=np.zeros((2, 1, 3, 4, 4), np.float32),
    )  # fmt: skip
    assert class_names(pictures, np.arange(3), np.array([0, 1, -1]), ("disc", "bar")) == names
