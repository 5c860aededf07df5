"""Whether images have texts: judged by names, the first rows of tables and the first members of shards."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterable, Sequence

from engine.data.importers.image_survey import IMAGE_SUFFIXES
from engine.data.importers.pairs_matching import ImageIndex, image_column, key_of
from engine.data.importers.sources import Entry, Listing, list_sources
from engine.data.importers.texts_finding import PLAIN_SUFFIXES
from engine.data.importers.texts_rows import TextTable
from engine.data.importers.texts_tables import TABLE_SUFFIXES, glance_at_table, open_table
from engine.errors import DataError

CAPTION_SUFFIXES = PLAIN_SUFFIXES | {".caption", ".json"}
_MOST_TABLES = 20
_PEEKED_MEMBERS = 60
_MOST_PEEKED_TARS = 4


def entries_of(listing: Listing) -> tuple[list[Entry], set[str]]:
    """Return the entries, those inside tar shards of folders among them, and the names of these shards."""
    shards = [entry for entry in listing.entries if entry.suffix == ".tar" and not entry.member]
    if not shards:
        return listing.entries, set()
    opened = {entry.name for entry in shards if _is_shard(entry)}
    entries: list[Entry] = []
    for entry in listing.entries:
        if entry.name not in opened:
            entries.append(entry)
            continue
        inside = list_sources([entry.path])
        entries += [
            Entry(f"{entry.name}/{each.name}", each.size, each.path, each.member, each.changed_ns)
            for each in inside.entries
        ]
    return entries, opened


def _is_shard(entry: Entry) -> bool:
    try:
        with tarfile.open(entry.path, "r:") as archive:
            names = [member.name for member, _ in zip(archive, range(_PEEKED_MEMBERS), strict=False) if member.isreg()]
    except (tarfile.TarError, OSError, EOFError):
        return False
    return _stem_pairs(names) > 0


def _stem_pairs(names: Iterable[str]) -> int:
    """Return how many files have an image and a text of one name."""
    images: set[tuple[str, str]] = set()
    texts: set[tuple[str, str]] = set()
    for name in names:
        dot = name.rpartition(".")[2].lower()
        if f".{dot}" in IMAGE_SUFFIXES:
            images.add(key_of(name))
        elif f".{dot}" in CAPTION_SUFFIXES:
            texts.add(key_of(name))
    return len(images & texts)


def recognise_pairs(listing: Listing) -> int:
    """Return how many entries are images with texts, together with those texts; 0 = hardly any image has one."""
    if not listing.suffixes() & (CAPTION_SUFFIXES | TABLE_SUFFIXES | {".tar"}):
        return 0
    shards = [entry for entry in listing.entries if entry.suffix == ".tar" and not entry.member]
    count = len(shards) if any(_is_shard(entry) for entry in shards[:_MOST_PEEKED_TARS]) else 0
    images = [entry for entry in listing.entries if entry.suffix in IMAGE_SUFFIXES]
    tables = [entry for entry in listing.entries if entry.suffix in TABLE_SUFFIXES and not entry.member]
    count += 2 * sum(image_bytes_column(entry) != "" for entry in tables[:_MOST_TABLES])
    if not images:
        return count
    beside = _stem_pairs(entry.name for entry in listing.entries) or _loose_pairs(listing.entries)
    if 2 * beside >= len(images):
        return count + len(images) + beside
    index = ImageIndex(images)
    named = sum(_names_images(listing, entry, index) for entry in tables[:_MOST_TABLES])
    named += sum(is_coco(listing, entry) for entry in listing.entries if entry.suffix == ".json")
    return count + len(images) + named if named else count


def _loose_pairs(entries: Sequence[Entry]) -> int:
    """Count pairs of one name in different folders, as in images/1.jpg and captions/1.txt."""
    images = Counter(key_of(entry.name)[1] for entry in entries if entry.suffix in IMAGE_SUFFIXES)
    texts = Counter(key_of(entry.name)[1] for entry in entries if entry.suffix in PLAIN_SUFFIXES)
    return sum(images[key] == 1 and texts[key] == 1 for key in images)


def _names_images(listing: Listing, entry: Entry, index: ImageIndex) -> bool:
    if entry.suffix in {".parquet", ".pq"}:
        try:
            table: TextTable | None = open_table(entry.path)
        except DataError:
            return False
    else:
        table = glance_at_table(listing.head(entry), entry.suffix)
    return table is not None and bool(caption_columns(table, "")) and bool(image_column(table, index))


def caption_columns(table: TextTable, asked: str) -> tuple[str, ...]:
    """Return the columns of texts; a table of labels has none, so only known names and real texts count."""
    columns = table.text_columns(asked)
    if asked or not columns or columns[0].strip().lower() not in {"title", "labels", "query", "raw", "content"}:
        return columns
    return ()


def image_bytes_column(entry: Entry) -> str:
    """Return the column of a Parquet file that holds images; "" = none."""
    if entry.suffix not in {".parquet", ".pq"}:
        return ""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(entry.path)
    except (pa.ArrowException, OSError, ValueError):
        return ""
    for one in schema:
        plain = pa.types.is_binary(one.type) or pa.types.is_large_binary(one.type)
        nested = pa.types.is_struct(one.type) and any(each.name == "bytes" for each in one.type)
        if (plain or nested) and one.name.lower() in {"image", "img", "image_bytes", "jpg", "png", "bytes", "picture"}:
            return str(one.name)
    return ""


def is_coco(listing: Listing, entry: Entry) -> bool:
    """Whether a JSON file seems to be one of captions in the manner of COCO."""
    return not entry.member and ("caption" in entry.name.lower() or b'"caption"' in listing.head(entry))
