"""The Methods page: which methods it offers, what its form asks the engine, what starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QGuiApplication, QImage, QPainter
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from app.context import AppContext
from app.pages.methods_catalogue import CatalogueModel, modalities_of
from app.pages.methods_model import LOOP
from app.pages.methods_view import MethodsView
from app.theme import Theme
from app.widgets.pipeline import Figure, paint_pipeline
from engine.protocol.forms import FormField
from engine.protocol.messages import (
    ArmResult,
    CheckSettings,
    ClaimInfo,
    ClaimResult,
    DryRun,
    DryRunResult,
    Failure,
    JobAccepted,
    JobChanged,
    JobSummary,
    PipelineNode,
    RunAccepted,
    SettingsChecked,
    StartRun,
)
from tests.app.fake_engine import (
    FakeEngine,
    empty_snapshot,
    image_schema,
    sample_method,
    sample_methods,
    sample_spec,
)

COMMAND = "selfsight train --method cae --data textures.h5 --preset small"


def accept(engine: FakeEngine, *problems: tuple[str, str]) -> None:
    engine.answer(CheckSettings, lambda r: (SettingsChecked(id=r.id, problems=problems, command=COMMAND), []))


@pytest.fixture
def view(qtbot: QtBot, engine: FakeEngine, context: AppContext) -> MethodsView:
    accept(engine)
    made = MethodsView(context)
    qtbot.addWidget(made)
    made.resize(1524, 934)
    made.show()
    return made


def measured(view: MethodsView, engine: FakeEngine, **changes: Any) -> None:
    """Do a dry run that fits."""
    view.settings.dry_run.run_button.click()
    request = engine.last(DryRun)
    values: dict[str, Any] = {
        "parameters": 5_500_000,
        "trainable": 5_500_000,
        "memory_bytes": 17 * 2**30,
        "memory_total_bytes": 24 * 2**30,
        "samples_per_second": 312.0,
        "step_seconds": 0.2,
        "seconds_per_epoch": 60.0,
        "seconds_total": 4080.0,
        "disk_bytes": 900_000_000,
        "device": "cuda:0",
        "precision": "bf16",
        "fits": True,
    }
    result = msgspec.to_builtins(DryRunResult(**values | changes))
    engine.reply(request, JobAccepted(id=request.id, job="dry-1"))
    job = JobSummary(job="dry-1", kind="dry-run", title="Dry run", state="done", result=result)
    engine.emit_event(JobChanged(job=job))


# ── catalogue ────────────────────────────────────────────────────────────────────────────────────────


def test_that_the_catalogue_keeps_the_rules_of_item_models(qtmodeltester: ModelTester) -> None:
    model = CatalogueModel()
    model.set_contents(sample_methods(), image_schema(), [])
    qtmodeltester.check(model)


def test_that_methods_that_do_not_fit_come_last_with_the_reason() -> None:
    model = CatalogueModel()
    model.set_contents(sample_methods(), image_schema(), [])
    assert model.place_of("alice") == model.rowCount() - 1
    entry = model.entry("alice")
    assert entry is not None
    assert entry.misfit == "needs volume; this data has image"


def test_that_only_what_fits_hides_the_rest_and_says_so() -> None:
    model = CatalogueModel()
    model.set_contents(sample_methods(), image_schema(), [])
    model.set_filter(only_fitting=True)
    assert model.place_of("alice") == -1
    assert model.summary() == "3 shown of 4; 1 hidden by filters"


def test_that_filters_of_different_groups_must_all_pass() -> None:
    model = CatalogueModel()
    model.set_contents(sample_methods(), image_schema(), [])
    model.set_filter(families=frozenset({"masked modelling"}), years=frozenset({"2021 to 2023"}), words="quarter")
    assert [model.index(row, 0).data() for row in range(model.rowCount())] == ["MAE"]


def test_that_methods_are_counted_by_kind_of_data() -> None:
    model = CatalogueModel()
    model.set_contents(sample_methods(), image_schema(), [])
    assert model.counts()["modalities"] == {"image": 3, "volume": 1}
    assert modalities_of(sample_method()) == ("image",)


def test_that_a_broken_plug_in_is_listed_as_broken() -> None:
    broken = sample_method("odd", "Odd", broken=Failure(kind="method", message="No module named 'odd'."))
    model = CatalogueModel()
    model.set_contents((broken, sample_method()), image_schema(), [])
    assert model.place_of("odd") == 1
    assert "1 plug-in could not be loaded" in model.summary()


# ── page ─────────────────────────────────────────────────────────────────────────────────────────────


def test_that_the_page_shows_a_card_for_each_method_and_counts_them(view: MethodsView) -> None:
    assert view.stack.currentWidget() is view.cards
    assert view.cards.model().rowCount() == 4
    assert view.count_text.text() == "4 methods"
    assert view.filter_view.boxes["families"].keys() == {"masked modelling", "self-distillation"}


def test_that_another_dataset_greys_other_methods(view: MethodsView) -> None:
    view.data.setCurrentIndex(view.data.findData("thorax-ct"))
    view.data.activated.emit(view.data.currentIndex())
    entry = view.model.catalogue.entry("cae")
    assert entry is not None
    assert entry.greyed
    assert not view.settings.start_button.isEnabled()
    assert "needs image" in view.settings.banner.text.text()


def test_that_resetting_the_filter_shows_everything(view: MethodsView) -> None:
    view.filter_view.only_fitting.setChecked(True)
    view.filter_view.boxes["families"]["self-distillation"].setChecked(True)
    view.words.setText("nothing has this")
    assert view.stack.currentWidget() is view.nothing
    view.nothing.action.click()
    assert view.model.catalogue.rowCount() == 4


def test_that_choosing_a_card_shows_its_settings(qtbot: QtBot, view: MethodsView) -> None:
    place = view.model.catalogue.place_of("dino")
    qtbot.mouseClick(view.cards.viewport(), Qt.MouseButton.LeftButton, pos=view.cards.cell_rect(place).center())
    qtbot.waitUntil(lambda: view.model.method == "dino")
    assert view.inspector.header.title.text() == "DINO"


def test_that_the_table_shows_the_same_methods_and_the_same_choice(view: MethodsView) -> None:
    view.show_item(method="mae")
    view.look.choose("Table")
    assert view.stack.currentWidget() is view.table
    assert view.table.currentIndex().row() == view.model.catalogue.place_of("mae")


def test_that_a_list_that_cannot_be_had_says_so_and_can_be_asked_for_again(
    view: MethodsView, engine: FakeEngine, context: AppContext
) -> None:
    context.workspace.methods = {}
    context.workspace.methods_failure = "The list of methods could not be made. Look at the engine's log."
    context.workspace.methods_changed.emit()
    assert view.stack.currentWidget() is view.failed
    before = len(engine.sent)
    view.failed.action.click()
    assert len(engine.sent) > before


def test_that_a_broken_plug_in_shows_its_details_instead_of_a_form(view: MethodsView, context: AppContext) -> None:
    failure = Failure(kind="method", message="odd raised while it was imported.", traceback="Traceback …")
    context.workspace.methods["odd"] = sample_method("odd", "Odd", broken=failure)
    context.workspace.methods_changed.emit()
    view.show_item(method="odd")
    assert view.settings.stack.currentWidget() is view.settings.broken
    assert view.settings.broken.details.toPlainText() == "Traceback …"
    assert not view.settings.start_button.isVisible()


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────


def test_that_the_form_starts_from_the_preset_and_counts_what_was_changed(view: MethodsView) -> None:
    view.show_item(method="cae")
    form = view.settings.form
    assert form.values()["mask_ratio"] == 0.5
    form.set_values({"depth": 6})
    assert view.settings.changed_text.text() == "1 setting changed"
    view.settings.reset_button.click()
    assert view.settings.changed_text.text() == ""


def test_that_another_preset_changes_method_and_loop(view: MethodsView) -> None:
    view.show_item(method="cae")
    view.settings.presets.choose("tiny")
    spec = view.model.spec()
    assert spec is not None
    assert (spec.preset, spec.config["depth"], spec.training["steps"]) == ("tiny", 1, 200)


def test_that_settings_of_one_name_in_method_and_loop_stay_apart(view: MethodsView, context: AppContext) -> None:
    momentum = FormField(name="steps", title="Inner steps", kind="int", default=3, description="Of the inner loop.")
    context.workspace.methods["twin"] = sample_method("twin", "Twin", form=(momentum,), presets={})
    context.workspace.methods_changed.emit()
    view.show_item(method="twin")
    view.settings.form.set_values({"steps": 9})
    spec = view.model.spec()
    assert spec is not None
    assert (spec.config, spec.training["steps"]) == ({"steps": 9}, 5000)


def test_that_changed_settings_are_checked_and_problems_stand_at_their_fields(
    qtbot: QtBot, view: MethodsView, engine: FakeEngine
) -> None:
    accept(engine, ("batch_size", "Batch size 64 leaves one record over; use 50."))
    view.show_item(method="cae")
    view.settings.form.set_values({"depth": 5})
    qtbot.waitUntil(lambda: bool(engine.requests(CheckSettings)))
    row = view.settings.form.rows[LOOP + "batch_size"]
    assert row.problem_text.text() == "Batch size 64 leaves one record over; use 50."


def test_that_start_with_a_wrong_value_jumps_to_it_and_starts_nothing(view: MethodsView, engine: FakeEngine) -> None:
    view.show_item(method="cae")
    view.settings.form.set_values({"depth": 99})
    view.settings.start_button.click()
    assert engine.requests(StartRun) == []
    assert view.settings.form.rows["depth"].problem_text.text() != ""


def test_that_start_sends_the_whole_settings_once_and_opens_the_run(
    view: MethodsView, engine: FakeEngine, went: list[tuple[str, dict[str, object]]]
) -> None:
    view.show_item(method="cae", dataset="textures")
    view.settings.seed.setValue(3)
    view.settings.start_button.click()
    assert not view.settings.start_button.isEnabled()
    request = engine.last(StartRun)
    assert (request.spec.method, request.spec.seed, request.spec.config["mask_ratio"]) == ("cae", 3, 0.5)
    assert request.spec.dataset.endswith("textures.h5")
    engine.reply(request, RunAccepted(id=request.id, run="2025-11-21-cae-textures-1"))
    assert went == [("runs", {"run": "2025-11-21-cae-textures-1"})]


def test_that_a_queued_run_leaves_the_page_as_it_is(
    view: MethodsView, engine: FakeEngine, went: list[tuple[str, dict[str, object]]], context: AppContext
) -> None:
    view.settings.queue_button.click()
    request = engine.last(StartRun)
    engine.reply(request, RunAccepted(id=request.id, run="run-7"))
    assert went == []
    assert context.notices.items[-1].text == "run-7 waits in the queue."


def test_that_a_refused_start_says_why(view: MethodsView, engine: FakeEngine) -> None:
    view.settings.start_button.click()
    engine.fail(engine.last(StartRun), "The disk has room for 2 of 9 GB.", "Keep fewer checkpoints.")
    assert view.settings.banner.text.text() == "The disk has room for 2 of 9 GB. Keep fewer checkpoints."
    assert view.settings.start_button.isEnabled()


def test_that_without_data_the_page_asks_for_data(
    view: MethodsView, engine: FakeEngine, went: list[tuple[str, dict[str, object]]]
) -> None:
    engine.snapshot_received.emit(empty_snapshot())
    assert "Choose data first" in view.settings.banner.text.text()
    view.settings.banner.action.click()
    assert went == [("data", {})]


def test_that_a_duplicated_run_fills_the_form_with_its_settings(view: MethodsView) -> None:
    spec = sample_spec("mae", config={"mask_ratio": 0.8, "depth": 2}, training={"steps": 77}, seed=5)
    view.show_item(spec=spec)
    shown = view.model.spec()
    assert shown is not None
    assert (shown.method, shown.config["mask_ratio"], shown.training["steps"], shown.seed) == ("mae", 0.8, 77, 5)
    assert shown.copied_from == spec.name
    assert spec.name in view.settings.changed_text.toolTip()


def test_that_a_file_of_settings_fills_the_form(view: MethodsView, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(msgspec.yaml.encode(sample_spec("mae", training={"steps": 77})))
    view.show_item(settings=str(file))
    assert view.model.method == "mae"
    assert view.model.training["steps"] == 77


def test_that_a_file_without_settings_is_refused_with_a_reason(
    view: MethodsView, tmp_path: Path, context: AppContext
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("colour: blue", encoding="utf-8")
    view.show_item(settings=str(file))
    assert "holds no settings of a run" in context.notices.items[-1].text


def test_that_the_command_line_is_copied_exactly(qtbot: QtBot, view: MethodsView, engine: FakeEngine) -> None:
    qtbot.waitUntil(view.settings.command_button.isEnabled)
    view.settings.command_button.click()
    assert QGuiApplication.clipboard().text() == COMMAND


def test_that_the_yaml_reads_back_as_the_same_run(view: MethodsView) -> None:
    spec = view.model.spec()
    read = msgspec.yaml.decode(view.settings.yaml.toPlainText(), type=type(spec))
    assert read == spec


# ── dry run, claim, figure ───────────────────────────────────────────────────────────────────────────


def test_that_a_dry_run_shows_what_was_measured(view: MethodsView, engine: FakeEngine) -> None:
    measured(view, engine)
    values = view.settings.dry_run.values
    assert values["whole run"].text().replace("\u202f", " ") == "1 h 8 min"
    assert values["memory"].text().startswith("17.0 of 24")
    assert not view.settings.dry_run.stale.isVisible()


def test_that_changed_settings_make_a_dry_run_out_of_date_and_a_seed_does_not(
    view: MethodsView, engine: FakeEngine
) -> None:
    measured(view, engine)
    view.settings.seed.setValue(9)
    assert not view.settings.dry_run.stale.isVisible()
    view.settings.form.set_values({LOOP + "batch_size": 512})
    assert view.settings.dry_run.stale.isVisible()


def test_that_a_dry_run_that_does_not_fit_gives_its_advice(view: MethodsView, engine: FakeEngine) -> None:
    measured(view, engine, fits=False, advice="Above 448 it ran out of GPU memory.")
    assert view.settings.dry_run.note.text() == "Above 448 it ran out of GPU memory."


def test_that_a_failed_dry_run_says_why(view: MethodsView, engine: FakeEngine) -> None:
    view.settings.dry_run.run_button.click()
    engine.fail(engine.last(DryRun), "The method raised ValueError.", "Report it to its author.")
    assert view.settings.dry_run.note.text() == "The method raised ValueError. Report it to its author."


def test_that_an_unmeasured_claim_is_called_so(view: MethodsView) -> None:
    view.show_item(method="cae")
    assert view.settings.claim.verdict.text() == "not measured yet"


def test_that_a_measured_claim_shows_arms_with_intervals_and_its_verdict(
    view: MethodsView, context: AppContext
) -> None:
    result = ClaimResult(
        method="cae",
        arms=(ArmResult(name="with", seeds=(0, 1, 2), values=(0.78, 0.79, 0.8), mean=0.79, interval=(0.77, 0.81)),),
        metric="linear probe accuracy",
        effect=0.06,
        interval=(0.03, 0.09),
        expected="with > without",
        verdict="shown",
        seconds=600.0,
    )
    claim = ClaimInfo(statement="It helps.", metric="m", arms=("with",), expected="with > without", measured=result)
    context.workspace.methods["cae"] = sample_method(claim=claim)
    context.workspace.methods_changed.emit()
    view.show_item(method="mae")
    view.show_item(method="cae")
    shown = view.settings.claim
    assert shown.verdict.text() == "shown"
    assert shown.arms.data(shown.arms.index(0, 1)) == "0.79"
    assert shown.arms.data(shown.arms.index(0, 2)) == "± 0.02"


def test_that_a_figure_keeps_its_boxes_inside_and_apart(theme: Theme) -> None:
    info = sample_method()
    rect = QRectF(0, 0, 236, 78)
    boxes = list(Figure(info.nodes, rect, theme).boxes.values())
    assert all(rect.adjusted(-1, -1, 1, 1).contains(box) for box in boxes)
    assert not any(one.intersects(other) for one in boxes for other in boxes if one is not other)


@pytest.mark.parametrize("kind", ["image", "volume", "points", "text", "waveform"])
def test_that_every_kind_of_data_has_a_picture_in_figures(theme: Theme, kind: str) -> None:
    image = QImage(240, 80, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.white)
    blank = image.copy()
    painter = QPainter(image)
    node = PipelineNode(id="x", text="masked picture", column=0, row=0, role="data")
    paint_pipeline(painter, QRectF(0, 0, 240, 80), (node,), (), theme, kind)
    painter.end()
    assert image != blank


def test_that_the_first_list_of_methods_opens_the_first_that_fits(view: MethodsView) -> None:
    first = view.model.catalogue.first()
    assert first is not None
    assert view.model.method == first.info.id
