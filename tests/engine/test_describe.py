"""Methods as data: complete for built-in ones, and honest about those that cannot be loaded."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engine import describe
from engine.describe import describe_method, describe_methods, load_measured, read_header
from engine.methods import mae
from engine.protocol.messages import Failure, MethodInfo
from engine.registry import Registered, load_methods


def test_that_every_built_in_method_is_described_and_none_is_broken() -> None:
    found = describe_methods(plugins=False)
    assert {info.id for info in found} >= {"mae", "simclr", "dino", "cae"}
    assert [info.id for info in found if info.broken] == []


@pytest.mark.parametrize("registered", list(load_methods(plugins=False).values()), ids=lambda one: one.id)
def test_that_a_card_has_all_that_it_shows(registered: Registered) -> None:
    info = describe_method(registered.method)
    assert info.form
    assert info.training_form
    assert set(info.presets) == {"tiny", "small", "paper"}
    assert "embedding" in {view.name for view in info.views}
    assert all((info.nodes, info.edges, info.good_at, info.bad_at, info.differs, info.claim))


def test_that_the_description_survives_the_trip_to_the_window() -> None:
    arrived = msgspec.msgpack.decode(
        msgspec.msgpack.encode(describe_methods(plugins=False)), type=tuple[MethodInfo, ...]
    )
    assert arrived == msgspec.msgpack.decode(msgspec.msgpack.encode(arrived), type=tuple[MethodInfo, ...])
    assert [info.broken for info in arrived] == [None] * len(arrived)


def test_that_the_header_is_read_paragraph_by_paragraph() -> None:
    header = read_header(mae.METHOD)
    assert header["paper"].startswith("He, Chen")
    assert "arXiv:2111.06377" in header["paper"]
    assert header["differs"].startswith("`embed` pools")


def test_that_a_plugin_that_failed_to_load_is_listed_with_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = Failure(kind="method", message="No module named 'nowhere'", traceback="Traceback …")
    registered = Registered(id="odd", source="odd-package", method=None, failure=failure)
    monkeypatch.setattr(describe, "load_methods", lambda *, plugins: {"odd": registered})
    (info,) = describe_methods()
    assert (info.id, info.source, info.broken) == ("odd", "odd-package", failure)


def test_that_a_plugin_whose_record_is_wrong_harms_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = dataclasses.replace(mae.METHOD, id="odd", config=dict)
    both = {
        "odd": Registered(id="odd", source="odd-package", method=odd),
        "mae": Registered(id="mae", source="built in", method=mae.METHOD),
    }
    monkeypatch.setattr(describe, "load_methods", lambda *, plugins: both)
    first, second = describe_methods()
    assert first.broken is not None
    assert "odd-package" in first.broken.message
    assert second.broken is None


def test_that_a_damaged_measurement_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "CLAIMS", tmp_path)
    (tmp_path / "mae.json").write_text("{", encoding="utf-8")
    assert load_measured("mae") is None


def test_that_the_child_process_prints_nothing_but_the_list() -> None:
    root = Path(describe.__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-m", "engine.describe"],
        capture_output=True,
        check=True,
        cwd=root,
        env=environment,
        timeout=200,
    )
    found = msgspec.json.decode(done.stdout, type=tuple[MethodInfo, ...])
    assert {info.id for info in found} >= {"mae", "simclr", "dino", "cae"}
