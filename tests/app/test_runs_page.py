"""The Runs page on a faked engine: what it shows, what it sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from app.actions import ActionRegistry
from app.context import AppContext
from app.notices import Notices
from app.pages.exporting import export
from app.pages.run_evaluations import evaluation_rows
from app.pages.run_facts import banner, progress_line
from app.pages.run_page import RunPage
from app.pages.runs_table import NAME, STATE, STEPS, RunTableModel
from app.pages.runs_view import RunsView
from app.theme import Theme
from app.viewers.step_time import newest_times
from app.workspace_model import WorkspaceModel
from engine.protocol import messages
from engine.protocol.evaluations import BY_NAME, EVALUATIONS
from engine.protocol.messages import Failure, JobSummary, MetricsRow, Watch
from tests.app.fake_engine import FakeEngine, empty_snapshot, sample_run, sample_snapshot, sample_spec
from tests.app.run_data import LATEST, attention, embedding, reconstruction, running_engine

RUN = "2025-11-20-cae-textures-3"


class Opened:
    """A Runs view on a faked engine with one run, opened."""

    def __init__(self, qtbot: QtBot, theme: Theme, *, engine: FakeEngine | None = None, **changes: Any) -> None:
        self.engine = engine or running_engine()
        self.went: list[tuple[str, dict[str, Any]]] = []
        workspace = WorkspaceModel(self.engine)
        self.context = AppContext(
            self.engine,
            workspace,
            theme,
            ActionRegistry(),
            Notices(),
            lambda place, **item: self.went.append((place, item)),
        )
        self.summary = sample_run(**{"latest": LATEST} | changes)
        others = sample_snapshot().runs[1:]
        self.engine.connect_with(sample_snapshot(runs=(self.summary, *others)))
        self.view = RunsView(self.context)
        qtbot.addWidget(self.view)
        self.view.resize(1500, 900)
        self.view.show()
        qtbot.waitExposed(self.view)
        self.view.show_item(run=RUN)
        qtbot.waitUntil(lambda: len(self.context.actions) > 0 and self.page.is_laid_out)

    @property
    def page(self) -> RunPage:
        return self.view.page

    def viewer(self, view: str) -> Any:
        return self.page.docks.viewers[view]

    def watches(self, view: str) -> list[Watch]:
        return [watch for watch in self.engine.requests(Watch) if watch.view == view]

    def change(self, **changes: Any) -> None:
        self.summary = sample_run(**{"latest": LATEST} | changes)
        self.engine.emit_event(messages.RunChanged(summary=self.summary))


@pytest.fixture
def opened(qtbot: QtBot, theme: Theme) -> Opened:
    return Opened(qtbot, theme)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────


def test_that_the_bar_says_step_speed_time_left_and_what_is_saved(opened: Opened) -> None:
    line = progress_line(opened.summary, opened.context.workspace.methods).replace("\u202f", " ")
    assert line == "step 1 240 of 5 000 · 312 images/s · 12 min 51 s left · saved at step 1 200"


def test_that_a_failure_says_what_happened_to_what_and_what_to_do() -> None:
    run = sample_run(state="failed", failure=Failure(kind="disk", message="The disk is full.", hint="Free 3 GB."))
    level, sentence, button = banner(run)
    assert level == "error"
    assert "failed at step 1\u202f240" in sentence
    assert "The disk is full. Free 3 GB." in sentence
    assert button == "Resume from step 1\u202f200"


# ── live page ────────────────────────────────────────────────────────────────────────────────────────


def test_that_opening_a_run_shows_its_name_state_and_curves(opened: Opened, qtbot: QtBot) -> None:
    assert opened.page.header.title.text() == "CAE · textures · #3"
    assert opened.page.bar.chip.text() == "Training"
    assert set(opened.page.docks.loss.plot.value_texts()) == {"total", "reconstruction", "alignment"}


def test_that_new_metrics_reach_the_chart(opened: Opened, qtbot: QtBot) -> None:
    rows = tuple(
        MetricsRow(step=step, time_s=1.0, values={"loss": 0.25, "loss/alignment": 0.1}) for step in (1241, 1242)
    )
    opened.engine.emit_event(messages.MetricsAppended(run=RUN, first_line=1240, rows=rows))
    qtbot.waitUntil(lambda: opened.page.docks.loss.plot.value_texts()["total"] == "0.250")


def test_that_a_loss_that_is_not_finite_is_a_gap_with_a_mark(opened: Opened, qtbot: QtBot) -> None:
    row = MetricsRow(step=1241, time_s=1.0, values={"loss": None})
    opened.engine.emit_event(messages.MetricsAppended(run=RUN, first_line=1240, rows=(row,)))
    qtbot.waitUntil(lambda: opened.page.docks.loss.plot.value_texts()["total"] == "not finite")
    assert opened.page.docks.loss.plot.series[0].invalid.tolist() == [1241.0]


def test_that_only_visible_views_of_an_active_run_are_watched(opened: Opened) -> None:
    assert opened.page.watch.watched == {"reconstruction", "attention"}
    assert opened.watches("reconstruction")[-1].credits == 1


def test_that_a_closed_panel_is_not_watched_any_more(opened: Opened) -> None:
    opened.page.docks.panels["view-attention"].close()
    assert opened.watches("attention")[-1].on is False
    assert opened.page.watch.watched == {"reconstruction"}


def test_that_a_hidden_page_watches_nothing_and_goes_on_when_shown(opened: Opened) -> None:
    opened.view.show_list()
    assert opened.page.watch.watched == frozenset()
    opened.view.open_run(RUN)
    assert opened.page.watch.watched == {"reconstruction", "attention"}


def test_that_a_finished_run_is_not_watched_and_shows_what_was_stored(qtbot: QtBot, theme: Theme) -> None:
    opened = Opened(qtbot, theme, state="finished", step=5000)
    assert opened.engine.requests(Watch) == []
    assert opened.viewer("reconstruction").inspection.step == 1200


def test_that_a_live_view_replaces_the_stored_one(opened: Opened) -> None:
    opened.engine.emit_view(RUN, reconstruction(step=1240))
    assert opened.viewer("reconstruction").inspection.step == 1240


def test_that_a_click_on_a_patch_sends_watch_with_that_query(opened: Opened, qtbot: QtBot) -> None:
    opened.engine.emit_view(RUN, attention(step=1240))
    viewer = opened.viewer("attention")
    viewer.canvas.repaint()
    qtbot.mouseClick(viewer.canvas, Qt.MouseButton.LeftButton, pos=viewer.patch_centre(6, 1).toPoint())
    watch = opened.watches("attention")[-1]
    assert (watch.on, watch.run, watch.choice.query) == (True, RUN, 6 * 8 + 1)


def test_that_a_patch_of_a_run_that_rests_is_asked_of_the_engine_and_only_that(qtbot: QtBot, theme: Theme) -> None:
    opened = Opened(qtbot, theme, state="finished", step=5000)
    assert opened.engine.requests(Watch) == []
    opened.viewer("attention").choose_query(1, 1)
    assert opened.page.watch.watched == {"attention"}
    assert opened.watches("attention")[-1].choice.query == opened.viewer("attention").choice.query
    assert "computing" in opened.viewer("attention").qualifier()


def test_that_a_view_that_cannot_be_computed_says_why_and_keeps_the_old_picture(qtbot: QtBot, theme: Theme) -> None:
    opened = Opened(qtbot, theme, state="finished", step=5000)
    viewer = opened.viewer("attention")
    qtbot.waitUntil(lambda: viewer.inspection is not None)
    viewer.choose_query(1, 1)
    with qtbot.waitSignal(viewer.qualifier_changed, check_params_cb=lambda text: "dataset is gone" in text):
        opened.engine.emit_event(messages.ViewRefused(run=RUN, view="attention", text="The dataset is gone."))
    assert viewer.inspection is not None


def test_that_the_scrubber_fetches_stored_steps_of_every_view(opened: Opened) -> None:
    opened.viewer("embedding").scrubber.go_first()
    asked = {(request.view, request.step) for request in opened.engine.requests(messages.FetchInspection)}
    assert {("embedding", 200), ("attention", 200), ("reconstruction", 200)} <= asked
    assert opened.viewer("attention").inspection.step == 200


def test_that_a_step_that_was_read_is_not_fetched_again(opened: Opened) -> None:
    scrubber = opened.viewer("embedding").scrubber
    scrubber.go_first()
    before = len(opened.engine.requests(messages.FetchInspection))
    scrubber.go_live()
    scrubber.go_first()
    assert len(opened.engine.requests(messages.FetchInspection)) == before


def test_that_live_views_wait_while_an_old_step_is_looked_at(opened: Opened) -> None:
    opened.viewer("embedding").scrubber.go_first()
    opened.engine.emit_view(RUN, reconstruction(step=1240))
    assert opened.viewer("reconstruction").inspection.step == 200


def test_that_a_newly_stored_map_is_shown_while_live(opened: Opened) -> None:
    opened.engine.emit_event(messages.InspectionStored(run=RUN, view="embedding", step=1300))
    assert opened.viewer("embedding").inspection.step == 1300


def test_that_umap_is_computed_only_when_asked_and_then_shown(opened: Opened) -> None:
    assert opened.engine.requests(messages.Project) == []
    opened.engine.answer(
        messages.FetchInspection,
        lambda r: (
            messages.InspectionData(id=r.id, run=r.run, view=r.view, step=r.step),
            _packed(embedding(step=r.step, view=r.view)),
        ),
    )
    opened.viewer("embedding").projection_chosen.emit("UMAP")
    assert opened.engine.last(messages.Project).projection == "UMAP"
    job = JobSummary(
        job="j",
        kind="project",
        title="UMAP",
        state="done",
        subject=RUN,
        result={"view": "embedding-umap", "step": 1200},
    )
    opened.engine.emit_event(messages.JobChanged(job=job))
    assert opened.viewer("embedding").inspection.projection == "UMAP"


def _packed(inspection: Any) -> list[Any]:
    from engine.protocol.wire import pack_inspection

    return pack_inspection(inspection)


# ── what can be done ─────────────────────────────────────────────────────────────────────────────────


def test_that_pause_becomes_resume(opened: Opened, qtbot: QtBot) -> None:
    qtbot.mouseClick(opened.page.bar.pause, Qt.MouseButton.LeftButton)
    assert opened.engine.last(messages.ControlRun).action == "pause"
    opened.change(state="paused")
    assert opened.page.bar.pause.text() == "Resume"
    qtbot.mouseClick(opened.page.bar.pause, Qt.MouseButton.LeftButton)
    assert opened.engine.last(messages.ControlRun).action == "resume"


def test_that_an_interrupted_run_offers_resume_and_sends_it(qtbot: QtBot, theme: Theme) -> None:
    opened = Opened(qtbot, theme, state="interrupted")
    assert opened.page.bar.banner.isVisible()
    assert "interrupted at step 1\u202f240" in opened.page.bar.banner.text.text()
    assert opened.page.bar.banner.action.text() == "Resume from step 1\u202f200"
    qtbot.mouseClick(opened.page.bar.banner.action, Qt.MouseButton.LeftButton)
    sent = opened.engine.last(messages.ControlRun)
    assert (sent.run, sent.action) == (RUN, "resume")


def test_that_details_show_the_end_of_the_log(qtbot: QtBot, theme: Theme) -> None:
    opened = Opened(qtbot, theme, state="failed", failure=Failure(kind="x", message="It broke."))
    qtbot.mouseClick(opened.page.bar.details, Qt.MouseButton.LeftButton)
    assert opened.page.docks.log.toPlainText() == "Traceback …"
    assert opened.page.docks.panels["log"].isVisible()


def test_that_a_refused_action_is_told_in_place(opened: Opened, qtbot: QtBot) -> None:
    opened.page.control("checkpoint")
    opened.engine.fail(opened.engine.last(messages.ControlRun), "The disk is full.", "Free 3 GB.")
    assert opened.page.bar.failure.isVisible()
    assert opened.page.bar.failure.text.text() == "The disk is full. Free 3 GB."


def test_that_duplicate_opens_methods_with_the_same_settings(opened: Opened, qtbot: QtBot) -> None:
    qtbot.mouseClick(opened.page.bar.duplicate, Qt.MouseButton.LeftButton)
    place, item = opened.went[-1]
    assert place == "methods"
    assert (item["spec"].config, item["spec"].copied_from, item["spec"].name) == (sample_spec().config, RUN, "")


def test_that_continue_for_longer_asks_in_place_and_sends(qtbot: QtBot, theme: Theme) -> None:
    opened = Opened(qtbot, theme, state="finished", step=5000)
    opened.page.bar.entries["continue"].trigger()
    opened.page.bar.continue_bar.steps.setValue(2500)
    qtbot.mouseClick(opened.page.bar.continue_bar.go_button, Qt.MouseButton.LeftButton)
    sent = opened.engine.last(messages.ContinueRun)
    assert (sent.run, sent.steps) == (RUN, 2500)


def test_that_delete_asks_names_the_loss_and_keeps_by_default(qtbot: QtBot, theme: Theme) -> None:
    opened = Opened(qtbot, theme, state="finished", step=5000, saved_step=5000)
    opened.page.ask_delete()
    box = opened.page.findChild(QMessageBox)
    assert "checkpoints up to step 5\u202f000" in box.text()
    assert box.defaultButton().text() == "Keep"
    assert opened.engine.requests(messages.DeleteRun) == []
    lose = next(button for button in box.buttons() if button.text() == "Delete run and checkpoints")
    qtbot.mouseClick(lose, Qt.MouseButton.LeftButton)
    assert opened.engine.last(messages.DeleteRun).run == RUN


def test_that_copy_as_command_fills_the_clipboard(opened: Opened) -> None:
    opened.page.copy_command()
    assert QGuiApplication.clipboard().text().startswith("selfsight train --method cae")


def test_that_an_evaluation_becomes_a_job_with_its_result(opened: Opened) -> None:
    opened.page.evaluate("knn")
    assert opened.engine.last(messages.Evaluate).protocol == "knn"
    result = {
        "protocol": "knn",
        "metric": "accuracy",
        "value": 0.714,
        "interval": [0.705, 0.723],
        "details": {"untrained": 0.31, "chance": 0.1},
    }
    job = JobSummary(job="e", kind="evaluate", title="kNN", state="done", subject=RUN, result=result)
    opened.engine.emit_event(messages.JobChanged(job=job))
    row = [
        opened.page.docks.evaluations.index(0, column).data().replace("\u202f", " ")
        for column in range(opened.page.docks.evaluations.columnCount())
    ]
    assert row == ["kNN, k = 20", "accuracy", "71.4 %", "± 0.9", "31.0 %", "10.0 %", "", "", "done"]


KEPT = {
    "run": RUN,
    "protocol": "linear",
    "metric": "accuracy",
    "value": 0.5,
    "interval": [0.4, 0.6],
    "details": {"step": 1200},
    "dataset": "textures",
    "time": "2026-11-20T10:00:00+00:00",
}


def kept_job(state: Any = "done", **changes: Any) -> JobSummary:
    result = {name: value for name, value in KEPT.items() if name not in {"dataset", "time"}} | changes
    title = f"Evaluate {RUN}: {result['protocol']}"
    return JobSummary(job="e", kind="evaluate", title=title, state=state, subject=RUN, result=result)


def test_that_evaluations_kept_in_a_run_stand_beside_those_of_jobs_and_once() -> None:
    _, rows = evaluation_rows([kept_job(), kept_job("running", protocol="knn")], [KEPT])
    assert [row[0] for row in rows] == ["kNN, k = 20", BY_NAME["linear"].title]
    assert [text.replace("\u202f", " ") for text in rows[1][6:8]] == ["textures", "1 200"]


def test_that_a_result_of_another_step_is_a_row_of_its_own() -> None:
    _, rows = evaluation_rows([kept_job(details={"step": 2400})], [KEPT])
    assert [row[7].replace("\u202f", " ") for row in rows] == ["2 400", "1 200"]


def test_that_kept_evaluations_are_asked_for_when_a_run_opens_and_again_when_a_job_ends(opened: Opened) -> None:
    assert [request.run for request in opened.engine.requests(messages.ListEvaluations)] == [RUN]
    kept = messages.Evaluations(id="", run=RUN, results=(KEPT,))
    opened.engine.answer(messages.ListEvaluations, lambda _request: (kept, []))
    opened.engine.emit_event(messages.JobChanged(job=kept_job()))
    assert opened.page.docks.evaluations.rowCount() == 1
    assert opened.page.docks.evaluations.index(0, 6).data() == "textures"


def test_that_the_evaluate_menu_lists_what_fits_and_says_why_the_rest_does_not(opened: Opened) -> None:
    actions = {action.text(): action for action in opened.page.bar.evaluate_menu.actions() if action.text()}
    assert set(actions) == {info.title for info in EVALUATIONS}
    assert actions["kNN, k = 20"].isEnabled()
    assert not actions["Cross-modal retrieval"].isEnabled()
    assert "reads no texts" in actions["Cross-modal retrieval"].toolTip()
    enabled = [action.isEnabled() for action in actions.values()]
    assert enabled == sorted(enabled, reverse=True)
    actions["Clustering"].trigger()
    assert opened.engine.last(messages.Evaluate).protocol == "clustering"


def test_that_a_run_that_was_deleted_leads_back_to_the_list(opened: Opened) -> None:
    opened.engine.emit_event(messages.RunRemoved(run=RUN))
    assert opened.view.stack.currentWidget() is opened.view.list


def test_that_panels_can_be_closed_and_come_back_by_the_views_menu(opened: Opened) -> None:
    panel = opened.page.docks.panels["events"]
    panel.close()
    opened.page._fill_views_menu()
    action = next(action for action in opened.page.bar.views_menu.actions() if action.text() == "Events")
    action.trigger()
    assert panel.isVisible()


# ── the list ─────────────────────────────────────────────────────────────────────────────────────────


def test_that_an_empty_list_says_what_to_do(qtbot: QtBot, context: AppContext, engine: FakeEngine) -> None:
    engine.connect_with(empty_snapshot())
    view = RunsView(context)
    qtbot.addWidget(view)
    assert view.list._stack.currentWidget() is view.list.empty


def test_that_runs_come_in_the_order_of_the_queue(context: AppContext, theme: Theme) -> None:
    model = RunTableModel(context.workspace, theme)
    states = [model.index(row, STATE).data() for row in range(model.rowCount())]
    assert states == ["Training", "Queued", "Finished"]


def test_that_the_filter_takes_words_of_name_and_state(context: AppContext, theme: Theme) -> None:
    model = RunTableModel(context.workspace, theme)
    model.set_filter("mae finished")
    assert [model.index(row, NAME).data() for row in range(model.rowCount())] == ["MAE · textures · #1"]


def test_that_a_changed_run_changes_its_row_only(
    qtbot: QtBot, context: AppContext, engine: FakeEngine, theme: Theme
) -> None:
    model = RunTableModel(context.workspace, theme)
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    with qtbot.waitSignal(model.dataChanged) as changed:
        engine.emit_event(messages.RunChanged(summary=sample_run(step=1300)))
    assert changed.args[0].row() == changed.args[1].row() == 0
    assert model.index(0, STEPS).data().replace("\u202f", " ") == "1 300 of 5 000"


def test_that_ten_thousand_runs_are_listed_sorted_and_filtered(context: AppContext, theme: Theme) -> None:
    context.workspace.runs = {
        f"run-{number}": sample_run(f"run-{number}", "finished", step=number) for number in range(10_000)
    }
    model = RunTableModel(context.workspace, theme)
    model.sort(STEPS, Qt.SortOrder.DescendingOrder)
    assert model.rowCount() == 10_000
    assert model.run_at(0) == "run-9999"
    model.set_filter("#4321")
    assert model.rowCount() == 1


def test_that_enter_on_a_row_opens_the_run(qtbot: QtBot, opened: Opened) -> None:
    opened.view.show_list()
    table = opened.view.list.table
    table.selectRow(1)
    table.activated.emit(table.model().index(1, 0))
    qtbot.waitUntil(lambda: opened.view.stack.currentWidget() is opened.page)
    assert opened.page.run == "2025-11-20-dino-textures-1"


def test_that_an_export_that_fails_says_why(opened: Opened, tmp_path: Path) -> None:
    viewer = opened.viewer("reconstruction")
    export(tmp_path / "missing" / "view", viewer.export_to, opened.context.notices)
    notice = opened.context.notices.items[-1]
    assert notice.level == "error"
    assert "Choose another folder" in notice.text


def test_that_only_what_is_possible_is_offered(opened: Opened) -> None:
    assert opened.page.bar.stop.isVisible()
    assert not opened.page.bar.continue_button.isVisible()
    opened.change(state="finished", step=5000)
    assert not opened.page.bar.stop.isVisible()
    assert opened.page.bar.continue_button.isVisible()


def test_that_the_bar_of_times_takes_one_row_only(opened: Opened) -> None:
    rows = [
        MetricsRow(step=1, time_s=1, values={"time/prepare": 0.6, "time/forward": 0.4}),
        MetricsRow(step=2, time_s=2, values={"time/forward": 1.0}),
        MetricsRow(step=2, time_s=2, values={"quality/knn": 0.5}),
    ]
    assert newest_times(rows) == {"time/forward": 1.0}
