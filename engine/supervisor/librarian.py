"""The child that opens datasets for the supervisor: a damaged file may take it down, never the supervisor.

It answers one request at a time, in order: a request comes in as frames, the reply goes out as frames.
"""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from engine.data.library import Library
from engine.errors import SelfsightError
from engine.protocol import messages as m
from engine.protocol import wire
from engine.protocol.inspections import Array
from engine.supervisor.channel import Channel, bind_to_parent
from engine.supervisor.jobfile import take_job_file
from engine.workspace import Workspace

logger = logging.getLogger(__name__)


def answer(library: Library, request: m.Request) -> tuple[m.Message, Sequence[Array]]:
    """Return the reply to a request and its arrays; every error becomes a `Failed`."""
    try:
        if isinstance(request, m.ListSamples):
            from engine.data.samples import list_samples

            return m.SampleList(id=request.id, samples=tuple(list_samples())), ()
        return library.answer(request)
    except SelfsightError as error:
        return m.Failed(id=request.id, failure=error.failure(traceback.format_exc())), ()
    except Exception as error:  # the border of the process: a file may be broken in any way
        logger.exception("%s failed", type(request).__name__)
        failure = m.Failure(
            kind="data",
            message=f"{subject_of(request)} cannot be read: {error}",
            hint="Check the file with `selfsight data FILE.h5 --verify`.",
            traceback=traceback.format_exc(),
        )
        return m.Failed(id=request.id, failure=failure), ()


def subject_of(request: m.Request) -> str:
    """Return what a request is about: a dataset, or the first of its paths."""
    dataset = getattr(request, "dataset", "")
    paths: tuple[str, ...] = getattr(request, "paths", ())
    return dataset or (paths[0] if paths else type(request).__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer until the supervisor ends."""
    parser = argparse.ArgumentParser(prog="python -m engine.supervisor.librarian")
    parser.add_argument("--job-file", type=Path, required=True)
    job = take_job_file(parser.parse_args(arguments).job_file)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s librarian: %(message)s")
    bind_to_parent(job.parent)
    library = Library(Workspace(Path(job.workspace)))
    channel = Channel(job)
    channel.start()
    while True:
        if not channel.wait(3600.0):
            continue
        for frames in channel.take():
            try:
                request = wire.decode_request(frames)
            except wire.WireError:
                logger.exception("not a request")
                continue
            reply, arrays = answer(library, request)
            channel.send(reply, arrays)


if __name__ == "__main__":
    sys.exit(main())
