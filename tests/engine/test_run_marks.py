"""Tags and archive: kept in the run, seen by the list, set from the shell; the bin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli import main
from engine.errors import ConfigError, RunError
from engine.protocol.messages import RunSpec
from engine.run_marks import MARKS_FILE, MOST_TAGS, Marks, mark_run, read_marks
from engine.runs import RunFolder, bin_run, list_runs
from engine.workspace import Workspace

SPEC = RunSpec(method="cae", dataset="/data/textures.h5", training={"steps": 100})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def run(workspace: Workspace) -> RunFolder:
    return RunFolder.create(workspace, SPEC)


def test_that_tags_are_kept_in_order_and_once(run: RunFolder) -> None:
    mark_run(run.path, add=("paper", "Ablation", " paper "))
    mark_run(run.path, add=("ablation 2",), remove=("Ablation",))
    assert read_marks(run.path) == Marks(tags=("ablation 2", "paper"))


def test_that_tagging_leaves_the_archive_as_it_is_and_the_other_way_round(run: RunFolder) -> None:
    mark_run(run.path, archived=True)
    mark_run(run.path, add=("paper",))
    assert read_marks(run.path) == Marks(tags=("paper",), archived=True)
    assert mark_run(run.path, archived=False) == Marks(tags=("paper",))


def test_that_a_run_is_tagged_while_another_process_owns_it(run: RunFolder) -> None:
    with run.lock():
        mark_run(run.path, add=("paper",))
        assert RunFolder.open(run.path).summary().tags == ("paper",)


@pytest.mark.parametrize("tag", ["", " ", "a,b", "two\nlines", "x" * 41])
def test_that_what_cannot_be_a_tag_is_refused_and_changes_nothing(run: RunFolder, tag: str) -> None:
    mark_run(run.path, add=("paper",))
    with pytest.raises(ConfigError, match="cannot be a tag"):
        mark_run(run.path, add=("fine", tag))
    assert read_marks(run.path).tags == ("paper",)


def test_that_too_many_tags_are_refused(run: RunFolder) -> None:
    mark_run(run.path, add=[f"tag {number}" for number in range(MOST_TAGS)])
    with pytest.raises(ConfigError, match="33 tags"):
        mark_run(run.path, add=("one more",))


@pytest.mark.parametrize("content", [b"", b"{", b'{"tags": 3}', b'{"tags": ["a,b"]}', b"[]"])
def test_that_damaged_marks_are_no_marks_and_the_run_is_still_listed(
    workspace: Workspace, run: RunFolder, content: bytes
) -> None:
    (run.path / MARKS_FILE).write_bytes(content)
    assert [(row.run, row.tags) for row in list_runs(workspace)] == [(run.name, ())]


def test_that_the_list_sees_a_tag_that_came_after_the_index_was_written(workspace: Workspace, run: RunFolder) -> None:
    assert list_runs(workspace)[0].tags == ()
    mark_run(run.path, add=("paper",), archived=True)
    assert (list_runs(workspace)[0].tags, list_runs(workspace)[0].archived) == (("paper",), True)


def test_that_a_run_in_use_does_not_go_to_the_bin(workspace: Workspace, run: RunFolder) -> None:
    with run.lock(), pytest.raises(RunError, match="in use"):
        bin_run(workspace, run.path)
    assert run.path.is_dir()


def _json(capsys: pytest.CaptureFixture[str], workspace: Workspace, *arguments: str) -> list[dict[str, object]]:
    assert main(["--workspace", str(workspace.root), "runs", *arguments, "--json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_that_the_shell_tags_puts_away_and_finds_runs(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, run: RunFolder
) -> None:
    other = RunFolder.create(workspace, SPEC)
    _json(capsys, workspace, run.name, "--tag", "paper", "--tag", "best")
    _json(capsys, workspace, other.name, "--archive")
    assert [(row["run"], row["tags"]) for row in _json(capsys, workspace)] == [(run.name, ["best", "paper"])]
    assert [row["run"] for row in _json(capsys, workspace, "--all", "--filter", "CAE queued")] == [other.name, run.name]
    assert [row["run"] for row in _json(capsys, workspace, "--all", "--tagged", "paper")] == [run.name]


def test_that_the_shell_deletes_into_the_bin(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, run: RunFolder
) -> None:
    (deleted,) = _json(capsys, workspace, run.name, "--delete")
    assert not run.path.exists()
    assert RunFolder.open(Path(str(deleted["folder"]))).spec == run.spec
    assert Path(str(deleted["folder"])).parent == workspace.bin


def test_that_one_bad_tag_changes_no_run(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, run: RunFolder
) -> None:
    assert main(["--workspace", str(workspace.root), "runs", run.name, "--tag", "fine", "--tag", "a,b"]) == 2
    assert "cannot be a tag" in capsys.readouterr().err
    assert read_marks(run.path) == Marks()
