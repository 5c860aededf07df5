"""Images: JPEG, PNG, TIFF (8 and 16 bit), WebP, BMP, GIF; from folders and archives, with labels and splits.

What a file becomes is told in `pictures.py`, the same for every import, and counted in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.data.importers.channels_tiff import count_channel_tiffs
from engine.data.importers.decoding import DecodeRequest, Outcome, Task, decode_task
from engine.data.importers.image_plan import plan_images
from engine.data.importers.image_survey import IMAGE_SUFFIXES, ImageSurvey, survey_images
from engine.data.importers.importer import Progress
from engine.data.importers.pool import DecodingPool
from engine.data.importers.sources import ArchiveReader, Entry, Listing
from engine.data.importers.splits import UNDECIDED, assign_splits
from engine.data.importers.starting import fingerprint, origins, require_space
from engine.data.layout import is_fixed
from engine.data.writer import DatasetWriter
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions, ImportPlan
from engine.protocol.schema import SPLITS, DatasetInfo, FieldKind, FieldSpec, Schema, Skipped

_CHUNK_FILES = 32
_CHUNK_BYTES = 16 * 1024**2
_DIGEST = FieldSpec(name="digest", kind=FieldKind.NUMBER, shape=(16,), dtype="uint8")


class ImageImporter:
    """Imports image files."""

    name = "images"
    kind = FieldKind.IMAGE.value

    def recognise(self, listing: Listing) -> int:
        """Return how many entries are images by their names, less the TIFF files that hold channels."""
        pictures = listing.having(IMAGE_SUFFIXES)
        return len(pictures) - count_channel_tiffs(listing, pictures)

    def plan(self, listing: Listing, options: ImportOptions, out: Path) -> tuple[ImportPlan, list[Array]]:
        """Return what an import would do, and preview pictures; writes nothing.

        Raises:
            DataError: there is no image, or the table asked for does not fit.
        """
        survey = survey_images(listing, options, every_header=False)
        return plan_images(survey, listing, options, out)

    def read(self, listing: Listing, options: ImportOptions, out: Path, progress: Progress) -> DatasetInfo:
        """Import; an interrupted import of the same files with the same options goes on where it stopped.

        Raises:
            DataError: no image could be read.
            DiskFull: the disk lacks the space, told before or on the way; after some is freed, it goes on.
        """
        total = float(len(listing.having(IMAGE_SUFFIXES)))
        progress(0.0, total, "images", "looking at every file")
        pool = DecodingPool[Task, DecodeRequest, Outcome](None, decode=decode_task, failed=Outcome)
        with pool:
            pool.start(-(-int(total) // _CHUNK_FILES))  # they load what they need while headers are read
            return self._read(listing, options, out, progress, pool)

    def _read(
        self,
        listing: Listing,
        options: ImportOptions,
        out: Path,
        progress: Progress,
        pool: DecodingPool[Task, DecodeRequest, Outcome],
    ) -> DatasetInfo:
        survey = survey_images(listing, options, every_header=True)
        schema = survey.schema(options)
        expected = survey.bytes_needed(options)
        require_space(expected, out)
        provenance = {
            "importer": self.name,
            "source": origins(survey.entries),
            "options": msgspec.json.encode(options).decode(),
            "fingerprint": fingerprint(
                ((label, split), (entry,))
                for entry, label, split in zip(survey.entries, survey.labels, survey.splits, strict=True)
            ),
        }
        with DatasetWriter(
            out, schema, name=out.stem, provenance=provenance, scratch=(_DIGEST,), expected_bytes=expected
        ) as writer:
            skipped = _read_all(survey, options, schema, writer, progress, pool)
            pool.end()  # frees their memory
            if writer.records == 0:
                writer.discard()
                first = skipped[0] if skipped else Skipped(path="", reason="there was none")
                raise DataError(
                    f"None of {len(survey.entries)} images could be read; the first, {first.path}: {first.reason}.",
                    "Check the files.",
                )
            total = float(len(survey.entries))
            progress(total, total, "images", "putting the dataset together")
            _write_splits(survey, options, writer)
            return writer.finish(skipped=(*listing.skipped, *survey.left_apart, *skipped))


def _read_all(
    survey: ImageSurvey,
    options: ImportOptions,
    schema: Schema,
    writer: DatasetWriter,
    progress: Progress,
    pool: DecodingPool[Task, DecodeRequest, Outcome],
) -> list[Skipped]:
    """Decode and append what was not appended before; returns what was left out."""
    first = int(writer.note.get("next", 0))
    skipped = [Skipped(path=path, reason=reason) for path, reason in writer.note.get("skipped", ())]
    seen: dict[bytes, str] = {}
    if writer.records:
        names = writer.written("name")
        seen = {row.tobytes(): name for row, name in zip(np.asarray(writer.written("digest")), names, strict=True)}
    total = float(len(survey.entries))
    request = survey.request(options)
    codes = {name: code for code, name in enumerate(survey.classes)}
    with ArchiveReader() as reader:
        for outcomes in pool.decode(_chunks(survey.entries, first, reader), request):
            good: list[Outcome] = []
            for outcome in outcomes:
                entry = survey.entries[outcome.number]
                reason = outcome.reason or _misfit(outcome, schema.fields[0])
                if not reason and outcome.digest in seen and options.drop_duplicates:
                    reason = f"the same content as {seen[outcome.digest]}"
                if reason:
                    skipped.append(Skipped(path=entry.name, reason=reason))
                    continue
                seen.setdefault(outcome.digest, entry.name)
                good.append(outcome)
            done = outcomes[-1].number + 1
            note = {"next": done, "skipped": [[each.path, each.reason] for each in skipped]}
            if good:
                writer.extend(_columns(good, survey, request, codes, schema), note)
            else:
                writer.note = note
            progress(float(done), total, "images", survey.entries[done - 1].name)
    return skipped


def _chunks(entries: list[Entry], first: int, reader: ArchiveReader) -> Iterator[list[Task]]:
    chunk: list[Task] = []
    size = 0
    for number in range(first, len(entries)):
        entry = entries[number]
        chunk.append(_task(number, entry, reader))
        size += entry.size
        if len(chunk) >= _CHUNK_FILES or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _task(number: int, entry: Entry, reader: ArchiveReader) -> Task:
    if not entry.member:
        return Task(number, str(entry.place), size=entry.size)
    try:
        return Task(number, reader.read(entry), size=entry.size)
    except DataError as error:
        return Task(number, b"", error.message)


def _misfit(outcome: Outcome, image: FieldSpec) -> str:
    wanted = image.shape
    if all(side in {None, got} for side, got in zip(wanted, outcome.shape, strict=True)):
        return ""
    return f"turned out to be {' × '.join(map(str, outcome.shape))}, not what its header said"


def _columns(
    good: list[Outcome], survey: ImageSurvey, request: DecodeRequest, codes: Mapping[str, int], schema: Schema
) -> dict[str, Any]:
    places = [outcome.number for outcome in good]
    if request.keep_encoded:
        images: Any = [(outcome.kept, outcome.shape) for outcome in good]
    elif is_fixed(schema.fields[0]):
        images = np.stack([outcome.pixels for outcome in good if outcome.pixels is not None])
    else:
        images = [outcome.pixels for outcome in good]
    columns: dict[str, Any] = {
        "image": images,
        "split": np.zeros(len(good), np.int64),
        "name": [survey.entries[place].name for place in places],
        "digest": np.stack([np.frombuffer(outcome.digest, np.uint8) for outcome in good]),
    }
    if codes:
        columns["label"] = np.array([codes.get(survey.labels[place], -1) for place in places], np.int64)
    group = schema.first(FieldKind.GROUP)
    if group is not None:
        columns[group.name] = [survey.groups[place] for place in places]
    return columns


def _write_splits(survey: ImageSurvey, options: ImportOptions, writer: DatasetWriter) -> None:
    """Decide all splits, now that the content of every record is known."""
    decided = {
        entry.name: SPLITS.index(split) if split else UNDECIDED
        for entry, split in zip(survey.entries, survey.splits, strict=True)
    }
    given = np.array([decided[name] for name in writer.written("name")], np.int64)
    group = writer.schema.first(FieldKind.GROUP)
    if group is not None:
        units = [str(name).encode() for name in writer.written(group.name)]
    else:
        units = [row.tobytes() for row in np.asarray(writer.written("digest"))]
    strata = np.zeros(len(given), np.int64)
    if options.split_by == "label" and writer.schema.get("label") is not None:
        strata = np.asarray(writer.written("label"))
    shares = {"val_share": options.val_share, "test_share": options.test_share}
    writer.replace("split", assign_splits(given, units, strata, **shares))
