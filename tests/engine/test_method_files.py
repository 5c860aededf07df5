"""Method files of the user's: kept, listed, replaced, refused, removed."""

import json
from pathlib import Path

import pytest

from engine import method_files
from engine.cli import main
from engine.errors import MethodError
from engine.registry import find_method, load_methods

VICREG = (Path(__file__).parents[1] / "data" / "plugin" / "selfsight_vicreg" / "vicreg.py").read_text("utf-8")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a folder of method files of its own."""
    monkeypatch.setenv(method_files.FOLDER_VARIABLE, str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_that_a_file_that_was_kept_is_found_and_can_be_built(folder: Path) -> None:
    assert method_files.list_files() == []
    method_files.keep("vicreg.py", VICREG)
    registered = load_methods()["vicreg"]
    assert registered.source == f"file {folder / 'vicreg.py'}"
    assert find_method("vicreg").config().covariance == 1.0  # type: ignore[attr-defined]


def test_that_a_method_whose_file_is_called_otherwise_is_found() -> None:
    method_files.keep("my_try.py", VICREG)
    assert find_method("vicreg").title == "VICReg"


def test_that_a_file_that_was_replaced_is_read_anew() -> None:
    method_files.keep("vicreg.py", VICREG)
    assert find_method("vicreg").title == "VICReg"
    method_files.keep("vicreg.py", VICREG.replace('title="VICReg"', 'title="VICReg, mine"'))
    assert find_method("vicreg").title == "VICReg, mine"


def test_that_a_file_that_breaks_later_is_listed_as_broken_and_harms_no_other(folder: Path) -> None:
    method_files.keep("vicreg.py", VICREG)
    (folder / "vicreg.py").write_text("import a_module_that_nobody_has\nMETHOD = 1\n")
    methods = load_methods()
    broken = methods["vicreg"]
    assert broken.method is None
    assert broken.failure is not None
    assert "a_module_that_nobody_has" in broken.failure.message
    assert methods["mae"].method is not None
    with pytest.raises(MethodError, match="a_module_that_nobody_has"):
        find_method("vicreg")


def test_that_a_file_with_the_id_of_another_method_is_listed_as_broken() -> None:
    method_files.keep("mine.py", VICREG.replace('id="vicreg"', 'id="mae"'))
    methods = load_methods()
    assert methods["mae"].source == "built in"
    assert methods["mae (mine.py)"].failure is not None
    assert find_method("mae").title == "MAE"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("My method.py", "METHOD = 1", "cannot be the name"),
        ("../up.py", "METHOD = 1", "cannot be the name"),
        ("syntax.py", "METHOD = (", r"no Python file: .*line 1"),
        ("null.py", "METHOD = 1\0", "no Python file"),
        ("empty.py", "", "has no METHOD"),
        ("other.py", "def f():\n    METHOD = 1\n", "has no METHOD"),
        ("large.py", "METHOD = 1\n" + "#" * method_files.MOST_BYTES, "larger than"),
    ],
)
def test_that_what_is_no_method_file_is_refused_before_it_runs(name: str, text: str, words: str) -> None:
    with pytest.raises(MethodError, match=words):
        method_files.check_text(name, text)


def test_that_the_shell_adds_lists_and_removes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vicreg.py"
    path.write_text(VICREG)
    assert main(["methods", "--add", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "vicreg"
    assert main(["methods", "--remove", "vicreg", "--json"]) == 0
    assert method_files.list_files() == []
    assert path.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import a_module_that_nobody_has\nMETHOD = 1\n", "a_module_that_nobody_has"),
        ("METHOD = 1\n", "not a Method"),
        (VICREG.replace('id="vicreg"', 'id="mae"'), "there is one already"),
    ],
)
def test_that_the_shell_keeps_no_file_that_does_not_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path = tmp_path / "vicreg.py"
    path.write_text(text)
    assert main(["methods", "--add", str(path)]) == 2
    assert words in capsys.readouterr().err
    assert method_files.list_files() == []


def test_that_built_in_methods_cannot_be_removed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--remove", "mae"]) == 2
    assert "not from a file of yours" in capsys.readouterr().err
