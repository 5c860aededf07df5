"""Texts of tables and plain files arrive whole, in any encoding; rows and files that hold none are named."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.data.importers import plan_import, run_import
from engine.data.importers.sources import list_sources
from engine.data.importers.texts import TEXTS, survey_texts
from engine.data.importers.texts_finding import TextSettings
from engine.data.importers.units import Values
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.engine.data.making import silent

SENTENCES = ["The heart is of normal size.", "No pleural effusion is seen.", "Ein größerer Befund – nichts Neues."]


def read_here(root: Path, **settings: object) -> list[Values]:
    """Read everything in this process."""
    chosen = TextSettings(**settings)  # type: ignore[arg-type]
    units = survey_texts(list_sources([root]), ImportOptions(), chosen).units
    return [row for unit in units for row in TEXTS.read_unit(unit, tuple(each.path for each in unit.sources), chosen)]


def write(path: Path, content: str | bytes) -> Path:
    """Write a file, and the folder it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_that_quotes_commas_and_line_breaks_inside_a_cell_are_kept(tmp_path: Path) -> None:
    text = 'He said ""no"",\nthen left; twice.'
    write(tmp_path / "a.csv", f'id,report,label\n007,"{text}",ill\n008,plain words here,well\n')
    rows = read_here(tmp_path)
    assert [row["text"] for row in rows] == [text.replace('""', '"'), "plain words here"]
    assert [row["label"] for row in rows] == ["ill", "well"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_that_every_encoding_gives_the_same_letters(tmp_path: Path, encoding: str) -> None:
    write(tmp_path / "a.tsv", ("id\ttext\n" + "".join(f"{n}\t{s}\n" for n, s in enumerate(SENTENCES))).encode(encoding))
    assert [row["text"] for row in read_here(tmp_path)] == SENTENCES


def test_that_a_guessed_encoding_is_told(tmp_path: Path) -> None:
    write(tmp_path / "d" / "a.csv", ("text,n\n" + "".join(f"{s},1\n" for s in SENTENCES)).encode("cp1252"))
    plan, _ = plan_import([tmp_path / "d"], ImportOptions(), Workspace(tmp_path / "w"))
    assert any("Windows-1252" in warning for warning in plan.warnings)


def test_that_a_large_table_is_read_in_pieces_without_losing_a_row(tmp_path: Path) -> None:
    texts = [f"row {number} says {'a lot ' * (number % 7)}\nand ends" for number in range(7001)]
    rows = "".join(f'"{text}",{number}\r\n' for number, text in enumerate(texts))
    write(tmp_path / "a.csv", "text,number\r\n" + rows)
    units = survey_texts(list_sources([tmp_path]), ImportOptions(), TextSettings()).units
    assert len(units) == 4
    assert [row["text"] for row in read_here(tmp_path)] == texts


def test_that_json_lines_arrive_and_damaged_ones_are_named(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text, "split": "test"}) for text in SENTENCES]
    write(tmp_path / "d" / "a.jsonl", "\n".join([lines[0], "{broken", lines[1], "[1]", lines[2]]))
    out = tmp_path / "d.h5"
    info = run_import([tmp_path / "d"], ImportOptions(), out, silent)
    assert list(Dataset.open(out).column("text")) == SENTENCES
    assert info.splits == {"test": 3}
    assert [each.path for each in info.skipped] == ["a.jsonl#1", "a.jsonl#3"]


def test_that_parquet_row_groups_arrive(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(30)), "document": [f"text number {n}" for n in range(30)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7)
    assert [row["text"] for row in read_here(tmp_path)] == [f"text number {n}" for n in range(30)]


def test_that_several_columns_become_several_fields_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "sent0,sent1,hard_neg\none thing,same thing,another\n")
    row = read_here(tmp_path, column="sent0, sent1, hard_neg")[0]
    assert (row["text"], row["sent1"], row["hard_neg"]) == ("one thing", "same thing", "another")


def test_that_a_column_without_a_known_name_is_found_by_its_texts(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "".join(["id,befund\n", *(f"{n},{s}\n" for n, s in enumerate(SENTENCES))]))
    assert [row["text"] for row in read_here(tmp_path)] == SENTENCES


@pytest.mark.parametrize(
    ("divide", "expected"),
    [("line", ["a b", "c d", "e f"]), ("paragraph", ["a b\nc d", "e f"]), ("file", ["a b\nc d\n\ne f"])],
)
def test_that_a_plain_text_is_divided_as_asked(tmp_path: Path, divide: str, expected: list[str]) -> None:
    write(tmp_path / "a.txt", "a b\r\nc d\r\n\r\ne f\r\n")
    assert [row["text"] for row in read_here(tmp_path, divide=divide)] == expected


def test_that_a_long_text_is_cut_into_pieces_at_records_only(tmp_path: Path) -> None:
    lines = [f"sentence {number} of a long corpus of many words" for number in range(60_000)]
    write(tmp_path / "a.txt", "\n".join(lines))
    units = survey_texts(list_sources([tmp_path]), ImportOptions(), TextSettings()).units
    assert len(units) > 1
    assert [row["text"] for row in read_here(tmp_path)] == lines


def test_that_many_small_files_are_a_record_each_with_the_folder_as_label(tmp_path: Path) -> None:
    for number in range(24):
        write(tmp_path / "d" / ("pos" if number % 2 else "neg") / f"{number}.txt", f"review {number}\nwith two lines")
    out = tmp_path / "d.h5"
    info = run_import([tmp_path / "d"], ImportOptions(), out, silent)
    assert info.records == 24
    assert info.labels["label"] == {"neg": 12, "pos": 12}


def test_that_a_document_stays_in_one_split_when_asked(tmp_path: Path) -> None:
    for name in "abcdef":
        write(tmp_path / "d" / f"{name}.txt", "\n".join(f"{name} line {n}" for n in range(9)))
    options = ImportOptions(split_by="document", val_share=0.3)
    run_import([tmp_path / "d"], options, tmp_path / "d.h5", silent)
    dataset = Dataset.open(tmp_path / "d.h5")
    splits = {(name, split) for name, split in zip(dataset.column("document"), dataset.column("split"), strict=True)}
    assert len(splits) == 6


def test_that_numbers_labels_and_notes_are_no_corpus(tmp_path: Path) -> None:
    write(tmp_path / "pose.txt", "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    write(tmp_path / "README.txt", "This is a text about the data.")
    write(tmp_path / "labels.csv", "file,label\na.png,cat\n")
    assert TEXTS.recognise(list_sources([tmp_path])) == 0


def test_that_bad_files_are_named_with_reasons_and_the_rest_is_imported(tmp_path: Path) -> None:
    root = tmp_path / "d"
    write(root / "good.csv", "id,text\n1,good words\n2,\n3,x,y\n4,other good words\n")
    write(root / "binary.csv", b"text,n\nabc\0def,1\n")
    write(root / "twice.csv", "text,text\na,b\n")
    write(root / "cut.parquet", b"PAR1 and no more")
    write(root / "empty.jsonl", "not json\n")
    write(root / "none.txt", b"")
    info = run_import([root], ImportOptions(kind="text"), tmp_path / "d.h5", silent)
    named = {each.path for each in info.skipped}
    assert {"good.csv#1", "good.csv#2", "cut.parquet", "none.txt"} <= named
    assert all(each.reason for each in info.skipped)
    assert info.records == 2


def test_that_a_missing_column_says_which_there_are(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "id,text\n1,some words\n")
    with pytest.raises(DataError, match="There are: id, text"):
        read_here(tmp_path, column="report")


def test_that_a_table_whose_quote_never_closes_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", 'id,text\n1,"an open quote\n' + "x" * 10)
    assert read_here(tmp_path)[0]["text"].startswith("an open quote")
