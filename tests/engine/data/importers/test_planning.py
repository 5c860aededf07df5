"""Plans of heaps that are still being counted, and of those too large to be looked at whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data.importers import plan_import, planning, run_import, sources
from engine.data.importers.planning import Planning
from engine.data.importers.sources import list_sources
from engine.errors import DataError
from engine.protocol.messages import ImportOptions, ImportPlan
from engine.workspace import Workspace
from tests.engine.data.making import encoded

FOLDERS, PER_FOLDER = 12, 40


@pytest.fixture
def heap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write 480 pictures of twelve classes, with limits at which that is a very large heap."""
    monkeypatch.setattr(sources, "_COUNTED_AT_ONCE", 100)
    monkeypatch.setattr(sources, "LARGE_LISTING", 200)
    monkeypatch.setattr(sources, "_BLOCKS", 3)
    monkeypatch.setattr(sources, "_BLOCK", 30)
    monkeypatch.setattr(sources, "_RARE", 5)
    monkeypatch.setattr(planning, "FIRST_S", 0.0)
    monkeypatch.setattr(planning, "NEXT_S", 0.0)
    picture = encoded(1)
    for folder in range(FOLDERS):
        where = tmp_path / "heap" / f"class {folder:02d}"
        where.mkdir(parents=True)
        for number in range(PER_FOLDER):
            (where / f"{number:02d}.png").write_bytes(picture)
    return tmp_path / "heap"


def answers(planner: Planning, heap: Path, **options: int) -> list[ImportPlan]:
    """Ask until everything is counted."""
    plans: list[ImportPlan] = []
    while not plans or plans[-1].counting:
        plans.append(planner.plan((str(heap),), ImportOptions(**options))[0])  # type: ignore[arg-type]
    return plans


def test_that_each_answer_counts_further_until_all_is_counted(heap: Path, tmp_path: Path) -> None:
    plans = answers(Planning(Workspace(tmp_path / "w")), heap)
    assert [plan.files for plan in plans] == [100, 200, 300, 400, 480]
    assert [plan.counting for plan in plans] == [True, True, True, True, False]
    assert all(plan.recognised[0].kind == "image" for plan in plans)
    assert plans[-1].records == 480


def test_that_the_first_answer_has_pictures(heap: Path, tmp_path: Path) -> None:
    plan, pictures = Planning(Workspace(tmp_path / "w")).plan((str(heap),), ImportOptions())
    assert plan.counting
    assert len(pictures) == len(plan.preview_names) > 0


def test_that_a_plan_judged_by_a_part_says_so_and_counts_classes_by_folders(heap: Path, tmp_path: Path) -> None:
    plan, _ = plan_import([heap], ImportOptions(), Workspace(tmp_path / "w"))
    assert not plan.complete
    assert plan.warnings[0].startswith("Judged by 120 of 480 files")
    assert plan.recognised[0].text == "about 480 images"
    assert plan.classes == {f"class {folder:02d}": PER_FOLDER for folder in range(FOLDERS)}
    assert plan.recognised[1].text == "12 classes"
    assert plan.will_take_bytes == 4 * 120 * (24 * 18 * 3 + 256)


def test_that_a_rare_table_is_part_of_every_sample(heap: Path) -> None:
    (heap / "class 05" / "labels.csv").write_text("file,label\n")
    listing = list_sources([heap])
    part = listing.sample()
    assert len(part.entries) < len(listing.entries)
    assert [entry.name for entry in part.entries if entry.suffix == ".csv"] == ["class 05/labels.csv"]


def test_that_samples_of_small_folders_hold_whole_folders(heap: Path) -> None:
    part = list_sources([heap]).sample()
    assert set(part.folders().values()) == {PER_FOLDER}


def test_that_other_options_are_answered_without_counting_again(heap: Path, tmp_path: Path) -> None:
    planner = Planning(Workspace(tmp_path / "w"))
    answers(planner, heap)
    (heap / "class 00" / "00.png").unlink()
    plan, _ = planner.plan((str(heap),), ImportOptions(size_px=8))
    assert (plan.files, plan.counting, plan.schema_text) == (480, False, "image 3 × 8 × 8, uint8")


def test_that_the_same_question_again_looks_at_everything_anew(heap: Path, tmp_path: Path) -> None:
    planner = Planning(Workspace(tmp_path / "w"))
    answers(planner, heap)
    (heap / "class 00" / "00.png").unlink()
    assert answers(planner, heap)[-1].files == 479


def test_that_nothing_readable_so_far_is_no_failure_and_at_the_end_it_is(heap: Path, tmp_path: Path) -> None:
    for path in heap.rglob("*.png"):
        path.rename(path.with_suffix(".unknown"))
    planner = Planning(Workspace(tmp_path / "w"))
    plan, _ = planner.plan((str(heap),), ImportOptions())
    assert (plan.counting, plan.records, plan.recognised) == (True, 0, ())
    with pytest.raises(DataError, match="None of the 480 files"):
        answers(planner, heap)


def test_that_a_missing_path_fails_and_the_next_question_is_answered(heap: Path, tmp_path: Path) -> None:
    planner = Planning(Workspace(tmp_path / "w"))
    for _ in range(2):
        with pytest.raises(DataError, match="does not exist"):
            planner.plan((str(heap / "nothing"),), ImportOptions())
    assert planner.plan((str(heap),), ImportOptions())[0].files == 100


class _CancelledError(Exception):
    pass


def test_that_an_import_can_be_cancelled_while_it_counts(heap: Path, tmp_path: Path) -> None:
    told: list[str] = []

    def progress(done: float, total: float, unit: str, current: str) -> None:
        told.append(current)
        if len(told) == 3:
            raise _CancelledError

    with pytest.raises(_CancelledError):
        run_import([heap], ImportOptions(), tmp_path / "d.h5", progress)
    assert told == [f"counted {count} files so far" for count in (100, 200, 300)]
    assert not list(tmp_path.glob("d.*"))
