from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.supervisor.engine_process import EngineProcess, PlainWindow


@pytest.fixture
def engine_process(tmp_path: Path) -> Iterator[EngineProcess]:
    process = EngineProcess(tmp_path / "workspace")
    yield process
    process.close()


@pytest.fixture
def window(engine_process: EngineProcess) -> Iterator[PlainWindow]:
    window = PlainWindow(engine_process.info)
    yield window
    window.close()
