"""Episodes arrive with every picture in its role; what lacks a partner is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.data.importers import plan_import, run_import
from engine.data.importers.episodes import EPISODES
from engine.data.importers.sources import list_sources
from engine.data.pictures import decode_picture
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.engine.data.making import encoded, silent

ENDS = ("pre", "post", "goal")


def write(root: Path, name: str, seed: int) -> None:
    """Write a picture."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(seed))


def triples(root: Path, count: int) -> None:
    """Write pictures before, after and of the object."""
    for number in range(count):
        for place, end in enumerate(ENDS):
            write(root, f"scene{number}_{end}.png", 10 * number + place)


def imported(root: Path, **options: object) -> Dataset:
    """Import and open the result."""
    out = root.with_suffix(".h5")
    run_import([root], ImportOptions(**options), out, silent)  # type: ignore[arg-type]
    return Dataset.open(out)


def test_that_the_ends_of_names_tell_the_roles(tmp_path: Path) -> None:
    triples(tmp_path / "d", 3)
    dataset = imported(tmp_path / "d")
    assert list(dataset.column("name")) == ["scene0", "scene1", "scene2"]
    for place, field in enumerate(("pregrasp", "postgrasp", "goal")):
        assert np.array_equal(dataset.read(field, [2])[0], decode_picture(encoded(20 + place)))


def test_that_folders_tell_the_roles(tmp_path: Path) -> None:
    for place, folder in enumerate(("before", "after", "object")):
        for number in range(3):
            write(tmp_path / "d", f"{folder}/{number}.png", 10 * number + place)
    dataset = imported(tmp_path / "d")
    assert np.array_equal(dataset.read("goal", [1])[0], decode_picture(encoded(12)))


def test_that_a_table_names_pictures_outcome_and_class(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for number in range(6):
        write(root, f"images/{number}.png", number)
    (root / "grasps.csv").write_text(
        "before,after,object,success,label,split\n0.png,1.png,2.png,yes,cup,train\n3.png,4.png,5.png,0,ball,test\n"
    )
    dataset = imported(root)
    assert np.asarray(dataset.column("success")).tolist() == [1, 0]
    assert dataset.info.labels["label"] == {"ball": 1, "cup": 1}
    assert dataset.info.splits == {"train": 1, "test": 1}
    assert np.array_equal(dataset.read("goal", [1])[0], decode_picture(encoded(5)))


def test_that_two_pictures_with_a_relation_are_a_record(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for number in range(4):
        write(root, f"{number}.png", number)
    (root / "changes.jsonl").write_text(
        '{"reference": "0.png", "target": "1.png", "condition": "with a red hat"}\n'
        '{"reference": "2.png", "target": "3.png", "condition": "on the beach"}\n'
    )
    dataset = imported(root)
    assert [spec.name for spec in dataset.schema.fields[:3]] == ["before", "after", "relation"]
    assert list(dataset.column("relation")) == ["with a red hat", "on the beach"]


def test_that_columns_of_any_name_can_be_said(tmp_path: Path) -> None:
    root = tmp_path / "d"
    triples(root, 1)
    (root / "a.csv").write_text("x,y,z\nscene0_pre.png,scene0_post.png,scene0_goal.png\n")
    assert len(imported(root, kind="episodes", settings={"columns": "x, y, z"})) == 1
    with pytest.raises(DataError, match="There are: x, y, z"):
        imported(root, kind="episodes", settings={"columns": "x, w"})


def test_that_bad_and_lacking_pictures_are_named_and_the_rest_is_imported(tmp_path: Path) -> None:
    root = tmp_path / "d"
    triples(root, 8)
    (root / "scene1_goal.png").unlink()
    (root / "scene2_post.png").unlink()
    (root / "scene3_pre.png").write_bytes(b"")
    (root / "scene4_post.png").write_bytes(encoded(1)[:80])
    (root / "scene5_goal.png").write_bytes(b"hello")
    write(root, "other.png", 99)
    dataset = imported(root)
    reasons = {each.path: each.reason for each in dataset.info.skipped}
    assert reasons.keys() == {"scene1_pre.png", "scene2_pre.png", "scene3", "scene4", "scene5", "other.png"}
    assert reasons["scene1_pre.png"] == "the episode has no picture of the object"
    assert reasons["scene3"].startswith("the picture before: ")
    assert len(dataset) == 3


def test_that_rows_with_missing_pictures_are_named(tmp_path: Path) -> None:
    root = tmp_path / "d"
    triples(root, 2)
    rows = ["scene0_pre.png,scene0_post.png,scene0_goal.png", "scene1_pre.png,nothing.png,scene1_goal.png"]
    (root / "a.csv").write_text("\n".join(["before,after,object", *rows]))
    dataset = imported(root)
    assert len(dataset) == 1
    assert any(each.path == "a.csv row 2" and "nothing.png" in each.reason for each in dataset.info.skipped)


def test_that_objects_may_be_lacking_when_they_are_not_needed(tmp_path: Path) -> None:
    root = tmp_path / "d"
    triples(root, 3)
    (root / "scene1_goal.png").unlink()
    dataset = imported(root, settings={"need_object": False})
    assert len(dataset) == 3
    assert dataset.schema.get("goal") is None


def test_that_a_size_brings_pictures_of_any_size_together(tmp_path: Path) -> None:
    root = tmp_path / "d"
    triples(root, 2)
    (root / "scene0_goal.png").write_bytes(encoded(5, size=(40, 50)))
    assert imported(root, size_px=16).read("goal", range(2)).shape == (2, 3, 16, 16)  # type: ignore[union-attr]


def test_that_episodes_win_over_pictures_only_where_they_are(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / "plain", f"{number}.png", number)
    assert EPISODES.recognise(list_sources([tmp_path / "plain"])) == 0
    with pytest.raises(DataError, match="no whole episode"):
        imported(tmp_path / "plain", kind="episodes")
    triples(tmp_path / "d", 3)
    plan, shown = plan_import([tmp_path / "d"], ImportOptions(), Workspace(tmp_path / "w"))
    assert (plan.importer, plan.records, len(shown)) == ("episodes", 3, 3)
