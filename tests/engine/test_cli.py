"""The command line: exit codes, JSON, and what it says about bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli import main
from engine.commands import parse_assignments
from engine.errors import ConfigError
from tests.engine.data.making import make_dataset


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_that_an_unknown_command_ends_with_2_and_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "trane")
    assert (code, out) == (2, "")
    assert "'trane'" in err
    assert "train" in err


def test_that_a_missing_option_is_also_an_error_document(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "evaluate", "somewhere", "--json")
    assert code == 2
    assert json.loads(out)["error"]["kind"] == "config"
    assert "--protocol" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--method", "mae", "--data", "nowhere.h5"), "no dataset at nowhere.h5"),
        (("train", "--method", "mae"), "Which method, which data?"),
        (("data", "nowhere.h5"), "no dataset at nowhere.h5"),
        (("resume", "nowhere"), "no run at nowhere"),
        (("import", "nowhere", "--out", "x.h5"), "no file or folder at nowhere"),
        (("sample", "digits", "--out", "digits.txt"), "must end in .h5"),
        (("sample", "no-such-sample", "--out", "x.h5"), "no-such-sample"),
        (("claim", "no-such-method"), "no-such-method"),
    ],
)
def test_that_bad_input_ends_with_2_and_is_named(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 2
    assert words in err
    assert json.loads(out)["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_that_a_text_file_as_dataset_is_refused_and_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "notes.h5"
    path.write_text("not a dataset")
    code, _, err = run(capsys, "data", str(path))
    assert code == 2
    assert "notes.h5" in err
    assert path.read_text() == "not a dataset"


def test_that_settings_are_split_at_the_first_equals_sign() -> None:
    assert parse_assignments(["a=1", "b.c=x=y"]) == {"a": "1", "b.c": "x=y"}
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        parse_assignments(["a"])


def test_that_a_sample_is_made_described_and_verified(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "digits.h5"
    code, out, _ = run(capsys, "sample", "digits", "--out", str(path), "--json")
    assert (code, json.loads(out)["records"]) == (0, 1797)
    code, out, _ = run(capsys, "data", str(path), "--verify", "--json")
    document = json.loads(out)
    assert (code, document["records"], document["problems"]) == (0, 1797, [])
    assert {"image", "label", "split"} <= {field["name"] for field in document["fields"]}
    assert run(capsys, "sample", "digits", "--out", str(path))[0] == 2


def test_that_the_window_without_a_display_says_so_and_ends_with_2(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    bare.pop("QT_QPA_PLATFORM", None)
    done = subprocess.run(
        [sys.executable, "-m", "engine", "--workspace", str(tmp_path)],
        env=bare,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "display" in done.stderr


def test_that_the_doctor_names_what_it_checked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "--workspace", str(tmp_path), "doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(out)}
    assert code in {0, 1}
    assert {"python", "memory", "device", "disk", "torch", "display"} <= set(findings)
    assert all(finding["fix"] for finding in findings.values() if finding["level"] == "error")


def test_that_datasets_are_combined_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        make_dataset(tmp_path / f"{name}.h5", 30).close()
    both = str(tmp_path / "both.h5")
    sources = [str(tmp_path / "one.h5"), str(tmp_path / "two.h5")]
    code, out, _ = run(capsys, "combine", *sources, "--dry-run", "--where", "label = ant", "--json")
    assert (code, json.loads(out)["records"]) == (0, 20)
    assert not Path(both).exists()
    code, out, _ = run(capsys, "combine", *sources, "--out", both, "--where", "label = ant", "--json")
    assert (code, json.loads(out)["records"]) == (0, 20)
    code, out, _ = run(capsys, "data", both, "--export", str(tmp_path / "plain"), "--format", "png", "--json")
    told = json.loads(out)
    assert (code, told["records"], told["skipped"]) == (0, 20, [])
    assert len(list((tmp_path / "plain").rglob("*.png"))) == 20


def test_that_the_formats_of_a_dataset_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_dataset(tmp_path / "one.h5", 5).close()
    code, out, _ = run(capsys, "data", str(tmp_path / "one.h5"), "--format", "?", "--json")
    assert code == 0
    assert [one["id"] for one in json.loads(out)["formats"]] == ["png", "tiff", "jpeg", "npz-all"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Where should the dataset go?"),
        (("--dry-run", "--records", "a-b"), "no number"),
        (("--dry-run", "--rename", "cat"), "OLD=NEW"),
        (("--out", "one.h5"), "exists already"),
    ],
)
def test_that_a_combination_that_cannot_be_ends_with_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_dataset(tmp_path / "one.h5", 5).close()
    code, _, err = run(capsys, "combine", "one.h5", *arguments)
    assert code == 2
    assert words in err
