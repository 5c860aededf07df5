"""The command line: `selfsight`. A thin caller of `engine.commands`.

Human text goes to standard output, progress and logs to standard error; with --json, standard output is one JSON
document. Exit codes: 0 success, 2 wrong usage or unusable input, 1 any other failure, 130 stopped by Ctrl+C.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from engine.errors import ConfigError, SelfsightError
from engine.protocol.messages import EXPORT_FORMATS, TABLE_FORMATS

STOPPED = 130
Add = Callable[[str, str], argparse.ArgumentParser]


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are `ConfigError`s, so that --json can report them."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments."""
        raise ConfigError(f"{self.prog}: {message}.", f"See `{self.prog} --help`.")


def build_parser() -> Parser:
    """Return the parser of all subcommands."""
    parser = Parser(
        prog="selfsight",
        description="Self-supervised representation learning. Without a command, opens the window.",
        epilog="selfsight [PATH …] opens the window and drops PATHs on it.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    parser.add_argument("--workspace", type=Path, help="folder of datasets and runs (default: $SELFSIGHT_WORKSPACE)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="print one JSON document on standard output")
        return command

    _add_data_commands(add)
    _add_run_commands(add)
    _add_explore_commands(add)
    _add_other_commands(add)
    return parser


def _add_data_commands(add: Add) -> None:
    methods = add("methods", "list the methods, what they need and what they claim")
    change = methods.add_mutually_exclusive_group()
    change.add_argument("--add", type=Path, metavar="FILE.py", help="try a method file and keep a copy for later")
    change.add_argument("--remove", metavar="ID", help="delete the copy of a method file that was added")
    add("samples", "list the bundled sample datasets")

    sample = add("sample", "make a bundled sample dataset")
    sample.add_argument("name")
    sample.add_argument("--out", type=Path, required=True, metavar="FILE.h5")

    importing = add("import", "import files or folders into a dataset")
    importing.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    importing.add_argument("--out", type=Path, metavar="FILE.h5", help="dataset to write; needed without --dry-run")
    importing.add_argument("--kind", default="", help="kind of field to read the files as (default: as recognised)")
    importing.add_argument("--dry-run", action="store_true", help="recognise and report, write nothing")
    importing.add_argument(
        "--size", type=int, default=0, metavar="PX", help="bring pictures to PX × PX (default: keep)"
    )
    importing.add_argument("--keep-encoded", action="store_true", help="keep JPEG and PNG bytes as they are")
    importing.add_argument("--labels", choices=("folders", "table", "none"), default="folders")
    importing.add_argument("--table", type=Path, help="CSV or JSONL with columns path, label, split")
    importing.add_argument("--left-out", type=Path, metavar="FILE.csv", help="list what was left out, with reasons")
    importing.add_argument("--val", type=float, default=0.1, metavar="SHARE", help="validation share (default 0.1)")
    importing.add_argument("--test", type=float, default=0.0, metavar="SHARE", help="test share (default 0)")

    data = add("data", "describe a dataset; verify its checksums")
    data.add_argument("file", type=Path, metavar="FILE.h5")
    data.add_argument("--verify", action="store_true", help="compare the file with its checksums")
    data.add_argument("--left-out", type=Path, metavar="FILE.csv", help="list what was left out at import")
    data.add_argument("--statistics", action="store_true", help="sizes, lengths, spacings, intensities, classes")
    data.add_argument("--examine", action="store_true", help="look for leaks between splits, twins and empty records")
    data.add_argument(
        "--export", type=Path, metavar="FOLDER", help="write the records as plain files into a new folder"
    )
    data.add_argument("--format", default="", help="of the export (default: the usual one of the kind; ? lists them)")
    data.add_argument("--where", default="", metavar="FILTER", help='which records to export, as in "label = brick"')

    combine = add("combine", "make a dataset of one or several others")
    combine.add_argument("files", nargs="+", type=Path, metavar="FILE.h5")
    combine.add_argument("--out", type=Path, metavar="FILE.h5", help="dataset to write; needed without --dry-run")
    combine.add_argument("--dry-run", action="store_true", help="say what would come out, write nothing")
    combine.add_argument(
        "--as", choices=("concatenate", "join", "stream"), default="concatenate", dest="how",
        help="records one after the other; records that may lack a field (2D with 3D); a stream of tasks",
    )  # fmt: skip
    combine.add_argument("--where", default="", metavar="FILTER", help='records to take, as in "label = brick"')
    combine.add_argument("--records", default="", metavar="LIST", help="numbers of one dataset, as in 0-99,150")
    combine.add_argument(
        "--relabel", type=Path, metavar="TABLE.csv", help="columns name (or record) and label or split"
    )
    combine.add_argument(
        "--rename", action="append", default=[], metavar="OLD=NEW", help="rename a label; one name twice merges"
    )
    combine.add_argument(
        "--split-by", default="", metavar="WHAT", help="divide anew by records, label or a group field"
    )
    combine.add_argument("--val", type=float, default=0.1, metavar="SHARE", help="validation share (default 0.1)")
    combine.add_argument("--test", type=float, default=0.1, metavar="SHARE", help="test share (default 0.1)")
    combine.add_argument("--seed", type=int, default=0, help="of the new splits")
    combine.add_argument("--tasks-by", default="", metavar="LABEL", help="stream: its classes are the tasks")
    combine.add_argument("--parts", type=int, default=1, help="stream: each dataset in so many tasks")
    combine.add_argument("--with-excluded", action="store_true", help="take records in that were excluded")


def _add_run_commands(add: Add) -> None:
    train = add("train", "train a method on a dataset")
    train.add_argument("--config", type=Path, metavar="RUN.yaml", help="a run.yaml, instead of --method and --data")
    train.add_argument("--method")
    train.add_argument("--data", type=Path, metavar="FILE.h5")
    train.add_argument("--preset", default="")
    train.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    train.add_argument("--steps", type=int)
    train.add_argument("--run", type=Path, metavar="DIR", help="run folder to make (default: in the workspace)")
    train.add_argument("--device", default="auto")
    train.add_argument("--seed", type=int)

    runs = add("runs", "list runs; tag them, put them away, delete them")
    runs.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="name or folder; none: list")
    runs.add_argument("--filter", default="", metavar="WORDS", help="only runs in whose row every word occurs")
    runs.add_argument("--tagged", default="", metavar="TAG", help="only runs with this tag")
    runs.add_argument("--all", action="store_true", help="also runs that were put away")
    runs.add_argument("--tag", action="append", default=[], metavar="TAG", help="add a tag; may be repeated")
    runs.add_argument("--untag", action="append", default=[], metavar="TAG", help="remove a tag; may be repeated")
    away = runs.add_mutually_exclusive_group()
    away.add_argument("--archive", action="store_true", help="put away: kept, but not listed")
    away.add_argument("--unarchive", action="store_true", help="list again")
    away.add_argument("--delete", action="store_true", help="move into the workspace's bin")

    resume = add("resume", "go on from a run's last checkpoint")
    resume.add_argument("run", type=Path, metavar="DIR")
    resume.add_argument("--steps", type=int, help="train until this step")

    evaluate = add("evaluate", "evaluate a run's features")
    evaluate.add_argument("run", type=Path, metavar="DIR")
    evaluate.add_argument("--protocol", required=True, help="knn, linear, health, …; list: which ones fit")
    evaluate.add_argument("--data", type=Path, metavar="FILE.h5", help="other data than the run's own")

    embed = add("embed", "write the features of every record")
    embed.add_argument("run", type=Path, metavar="DIR")
    embed.add_argument("--data", type=Path, metavar="FILE.h5")
    embed.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=".parquet, .npz or .csv; for projector a new folder"
    )
    embed.add_argument("--format", default="", choices=("", *TABLE_FORMATS), help="default: by the ending")

    export = add("export", "hand a run's result to other tools")
    export.add_argument("runs", type=Path, nargs="+", metavar="DIR", help="run folder; a report takes several")
    export.add_argument("--format", required=True, choices=tuple(EXPORT_FORMATS))
    export.add_argument("--out", type=Path, required=True, metavar="PATH", help="a file, or for timm a new folder")
    export.add_argument("--data", type=Path, metavar="FILE.h5", help="examples to check with (default: the run's)")
    export.add_argument("--step", type=int, help="of the checkpoint (default: the newest)")

    inspect = add("inspect", "write the pictures and arrays that the window shows")
    inspect.add_argument("run", type=Path, metavar="DIR")
    inspect.add_argument("--view", required=True)
    inspect.add_argument("--data", type=Path, metavar="FILE.h5")
    inspect.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    inspect.add_argument("--layer", type=int, default=-1)
    inspect.add_argument("--query", type=int, default=-1, help="token index in the grid; -1 = class token or centre")
    inspect.add_argument("--records", type=int, nargs="*", default=[])


def _add_explore_commands(add: Add) -> None:
    def chosen(parser: argparse.ArgumentParser, most: int, what: str) -> None:
        parser.add_argument("--data", type=Path, metavar="FILE.h5", help="other data than the run's own")
        parser.add_argument("--step", type=int, default=-1, help="of the checkpoint (default: the newest)")
        parser.add_argument("--split", default="", help="only its records (default: all)")
        parser.add_argument("--most", type=int, default=most, metavar="N", help=f"{what} (default {most or 'all'})")
        parser.add_argument("--seed", type=int, default=0, help="of the choice of records and of the projection")

    mapped = add("map", "make a map of a run's embeddings")
    mapped.add_argument("run", type=Path, metavar="DIR")
    mapped.add_argument("--projection", choices=("PCA", "UMAP", "t-SNE", "PaCMAP"), default="PCA")
    mapped.add_argument("--dimensions", type=int, choices=(2, 3), default=2)
    mapped.add_argument("--neighbours", type=int, default=15, help="of UMAP and PaCMAP (default 15)")
    mapped.add_argument("--minimum-distance", type=float, default=0.1, help="of UMAP (default 0.1)")
    mapped.add_argument("--perplexity", type=float, default=30.0, help="of t-SNE (default 30)")
    mapped.add_argument("--onto", default="", metavar="KEY", help="place the records into this stored map of the run")
    mapped.add_argument("--out", type=Path, metavar="FILE", help="write the points: .parquet, .csv or .npz")
    mapped.add_argument("--format", default="", choices=("", *TABLE_FORMATS), help="of --out; projector: a new folder")
    chosen(mapped, 10_000, "records to show at most; 0 = all")

    near = add("neighbours", "say which records are nearest to a record, a file or a text")
    near.add_argument("run", type=Path, metavar="DIR")
    near.add_argument("--record", type=int, metavar="N")
    near.add_argument("--file", type=Path, metavar="PATH")
    near.add_argument("--text", default="", metavar="WORDS", help="of methods that embed texts")
    near.add_argument("-k", type=int, default=10, help="how many (default 10)")
    chosen(near, 0, "records to search at most")

    alike = add("similarity", "compare the layers of two runs (linear CKA)")
    alike.add_argument("run", type=Path, metavar="DIR")
    alike.add_argument("other", type=Path, metavar="DIR")
    alike.add_argument("--other-step", type=int, default=-1, help="of the other's checkpoint (default: the newest)")
    chosen(alike, 1000, "records to compare on")


def _add_other_commands(add: Add) -> None:
    claim = add("claim", "run a method's claim experiment")
    claim.add_argument("method")
    claim.add_argument("--write", action="store_true", help="put the measured numbers on the method's card")

    bench = add("bench", "measure speed side by side with peers, as ratios")
    bench.add_argument("names", nargs="*", metavar="NAME")

    engine = add("engine", "the background engine")
    engine.add_argument("action", choices=("start", "status", "stop", "connect"))
    engine.add_argument("host", nargs="?", default="", help="for connect: a host that SSH knows")

    add("doctor", "check graphics card, display, disk and libraries; say what to fix")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("engine.training.link").setLevel(logging.INFO)
    # before torch is loaded: threads that spin while they wait take the cores from each other on a busy computer
    # (2 cores with 3 others at work: 110 pictures/s spinning, 410 sleeping)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # a few microseconds of spinning: a sixth faster when alone
    wants_json = "--json" in arguments
    try:
        return _run(arguments)
    except SelfsightError as error:
        return _report(error.kind, error.message, error.hint, wants_json=wants_json, code=error.exit_code)
    except KeyboardInterrupt:
        return _report("stopped", "Stopped.", "", wants_json=wants_json, code=STOPPED)
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 — the last place before the user: say what happened, with details
        traceback.print_exc()
        return _report(
            "unexpected",
            f"Selfsight failed unexpectedly: {type(error).__name__}: {error}.",
            "The lines above say where; please report them.",
            wants_json=wants_json,
            code=1,
        )


def _run(arguments: list[str]) -> int:
    parser = build_parser()
    choices = _command_names(parser)
    values = _values(arguments)
    first = next((one for one in arguments if not one.startswith("-") and one not in values), None)
    is_command = first in choices or any(argument in {"-h", "--help", "--version"} for argument in arguments)
    if not is_command:
        return _open_window(arguments, choices)
    options = parser.parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        sys.stdout.write(f"selfsight {version('selfsight')}\n")
        return 0
    from engine import commands
    from engine.commands_explore import EXPLORING
    from engine.commands_runs import KEEPING

    outcome = (commands.COMMANDS | EXPLORING | KEEPING)[options.command](options)
    if options.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(outcome.document), indent=2).decode() + "\n")
    elif outcome.text:
        sys.stdout.write(outcome.text.rstrip("\n") + "\n")
    sys.stdout.flush()
    return outcome.code


def _command_names(parser: argparse.ArgumentParser) -> list[str]:
    for action in parser._actions:  # noqa: SLF001 — argparse offers no other way to list subcommands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return list(action.choices)
    return []


def _open_window(arguments: list[str], choices: Sequence[str]) -> int:
    for argument in arguments:
        if not argument.startswith("-") and not Path(argument).exists() and argument not in _values(arguments):
            raise ConfigError(
                f"{argument!r} is neither a command nor an existing file or folder.",
                f"Commands: {', '.join(choices)}.",
            )
    # another process: the engine never imports Qt
    return subprocess.run([sys.executable, "-m", "app", *arguments], check=False).returncode


def _values(arguments: list[str]) -> set[str]:
    """Arguments that are the value of an option that may stand before a command."""
    return {value for option, value in itertools.pairwise(arguments) if option in {"--workspace", "--engine"}}


def _report(kind: str, message: str, hint: str, *, wants_json: bool, code: int) -> int:
    sys.stderr.write(f"{message} {hint}".rstrip() + "\n")
    if wants_json:
        document = {"error": {"kind": kind, "message": message, "hint": hint}}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
