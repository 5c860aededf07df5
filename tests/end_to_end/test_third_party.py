"""A method of somebody else's package: installed by pip, announced by an entry point, used in the window."""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from engine.data.samples import make_sample
from engine.protocol import messages as m
from tests.end_to_end.conftest import Desk

pytestmark = pytest.mark.timeout(300)
SOURCE = Path(__file__).parents[1] / "data" / "plugin" / "selfsight_vicreg"
NAME = "selfsight_vicreg-1.0"


def build_wheel(folder: Path) -> Path:
    """Pack the package as a wheel; one that is broken lies in it, too."""
    files = {f"selfsight_vicreg/{file.name}": file.read_bytes() for file in SOURCE.glob("*.py")}
    files["selfsight_vicreg/broken.py"] = b"import a_module_that_nobody_has\n"
    files[f"{NAME}.dist-info/METADATA"] = b"Metadata-Version: 2.1\nName: selfsight-vicreg\nVersion: 1.0\n"
    files[f"{NAME}.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{NAME}.dist-info/entry_points.txt"] = (
        b"[selfsight.methods]\nvicreg = selfsight_vicreg.vicreg:METHOD\nbroken-one = selfsight_vicreg.broken:METHOD\n"
    )
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    files[f"{NAME}.dist-info/RECORD"] = "\n".join([*rows, f"{NAME}.dist-info/RECORD,,"]).encode()
    wheel = folder / f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return wheel


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the package where the engine's processes look for packages."""
    place = tmp_path / "packages"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(place)]
    subprocess.run([*command, str(build_wheel(tmp_path))], check=True, capture_output=True, timeout=120)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])]))
    return place


def test_that_a_method_file_is_tried_added_trained_and_removed_in_the_window(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFSIGHT_METHODS", str(tmp_path / "methods"))
    data = desk.home / "datasets" / "digits.h5"
    data.parent.mkdir(parents=True)
    make_sample("digits", data)
    window = desk.open()
    workspace, notices = window.workspace, window.notices
    window.go("methods", dataset="digits")
    page = window.places.pages["methods"]
    wrong, right = tmp_path / "wrong.py", tmp_path / "vicreg.py"
    wrong.write_text("import a_module_that_nobody_has\nMETHOD = 1\n")
    right.write_bytes((SOURCE / "vicreg.py").read_bytes())
    page.files.add(str(wrong))
    desk.wait(lambda: notices.items[-1].level == "error")
    assert "a_module_that_nobody_has" in notices.items[-1].text
    assert "Traceback" in notices.items[-1].details
    page.files.add(str(right))
    desk.wait(lambda: "vicreg" in workspace.methods)
    desk.wait(lambda: page.model.method == "vicreg")
    replies: list[object] = []
    client = window.context.client
    spec = m.RunSpec(method="vicreg", dataset=str(data), preset="tiny", training={"steps": 2, "batch_size": 16})
    client.send(m.StartRun(id=client.new_id(), spec=spec), lambda reply, _: replies.append(reply))
    desk.wait(lambda: replies)
    assert isinstance(replies[0], m.RunAccepted), replies
    run = replies[0].run
    desk.wait(lambda: run in workspace.runs and workspace.runs[run].state in {"finished", "failed"})
    assert workspace.runs[run].state == "finished", workspace.runs[run].failure
    page.settings.paper.remove_button.click()
    desk.wait(lambda: "vicreg" not in workspace.methods)
    assert not list((tmp_path / "methods").glob("*.py"))


@pytest.mark.usefixtures("installed")
def test_that_an_installed_method_appears_in_the_window_and_trains(desk: Desk) -> None:
    path = desk.home / "datasets" / "digits.h5"
    path.parent.mkdir(parents=True)
    make_sample("digits", path)
    window = desk.open()
    methods = window.workspace.methods
    assert {"mae", "vicreg", "broken-one"} <= methods.keys()
    assert "a_module_that_nobody_has" in methods["broken-one"].broken.traceback
    window.go("methods", dataset="digits", method="vicreg")
    page = window.places.pages["methods"]
    desk.wait(lambda: page.model.info is not None and page.model.info.id == "vicreg")
    assert page.settings.form.values()["covariance"] == 1.0
    replies: list[object] = []
    client = window.context.client
    spec = m.RunSpec(method="vicreg", dataset=str(path), preset="tiny", training={"steps": 4, "batch_size": 16})
    client.send(m.StartRun(id=client.new_id(), spec=spec), lambda reply, _: replies.append(reply))
    desk.wait(lambda: replies)
    assert isinstance(replies[0], m.RunAccepted), replies
    run = replies[0].run
    desk.wait(lambda: run in window.workspace.runs and window.workspace.runs[run].state in {"finished", "failed"})
    summary = window.workspace.runs[run]
    assert (summary.state, summary.step) == ("finished", 4), summary.failure
    history = window.workspace.history(run)
    desk.wait(lambda: "loss/variance" in history.names())
