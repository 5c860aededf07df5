"""Pictures of records, fetched for what can be seen and kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from app.context import Client
from engine.protocol.messages import Failed, FetchThumbnails, Message, Thumbnails

BATCH: Final = 24
IN_FLIGHT: Final = 2
ROOM_BYTES: Final = 96 << 20


class TileCache(QObject):
    """The newest tiles of one dataset at one size in device pixels.

    `want` names the records that can be seen, most wanted first. It replaces what was wanted before, so that
    records that were scrolled past are never fetched.
    """

    arrived = Signal()
    failed = Signal(str)

    def __init__(self, client: Client, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._dataset = ""
        self._px = 64
        self._generation = 0
        self._tiles: OrderedDict[int, QImage] = OrderedDict()
        self._bytes = 0
        self._wanted: list[int] = []
        self._asked: set[int] = set()
        self._missing: set[int] = set()

    @property
    def px(self) -> int:
        """Side of the box that tiles fit in, device pixels."""
        return self._px

    def show(self, dataset: str, px: int) -> None:
        """Serve another dataset or another size; what was held is dropped."""
        if (dataset, px) == (self._dataset, self._px):
            return
        self._dataset, self._px = dataset, px
        self.clear()

    def clear(self) -> None:
        """Forget every tile, and every reply still on its way."""
        self._generation += 1
        self._tiles.clear()
        self._bytes = 0
        self._wanted.clear()
        self._asked.clear()
        self._missing.clear()

    def tile(self, record: int) -> QImage | None:
        """Return the picture of a record without its letterbox, or None if it is not here."""
        return self._tiles.get(record)

    def is_missing(self, record: int) -> bool:
        """Whether the engine could not make a picture of this record."""
        return record in self._missing

    def want(self, records: Sequence[int]) -> None:
        """Fetch these, the first ones first; forget what was wanted and not yet asked for."""
        for record in records:
            if record in self._tiles:
                self._tiles.move_to_end(record)
        self._wanted = [
            record
            for record in dict.fromkeys(records)
            if record not in self._tiles and record not in self._asked and record not in self._missing
        ]
        self._send_wanted()

    def _send_wanted(self) -> None:
        while self._wanted and len(self._asked) <= (IN_FLIGHT - 1) * BATCH:
            batch, self._wanted = tuple(self._wanted[:BATCH]), self._wanted[BATCH:]
            self._asked.update(batch)
            generation = self._generation
            request = FetchThumbnails(id=self._client.new_id(), dataset=self._dataset, records=batch, px=self._px)
            self._client.send(request, partial(self._take, generation, batch))

    def _take(self, generation: int, batch: tuple[int, ...], reply: Message, arrays: list[Any]) -> None:
        if generation != self._generation:
            return
        self._asked.difference_update(batch)
        if isinstance(reply, Thumbnails) and arrays:
            sizes = arrays[1] if len(arrays) > 1 else [None] * len(reply.records)
            for record, picture, size in zip(reply.records, arrays[0], sizes, strict=True):
                if size is not None and min(size) == 0:
                    self._missing.add(record)
                else:
                    self._keep(record, to_image(picture, size))
            self._missing.update(set(batch) - set(reply.records))
        else:
            self._missing.update(batch)
            if isinstance(reply, Failed):
                self.failed.emit(f"{reply.failure.message} {reply.failure.hint}".strip())
        self.arrived.emit()
        self._send_wanted()

    def _keep(self, record: int, image: QImage) -> None:
        self._tiles[record] = image
        self._bytes += image.sizeInBytes()
        while self._bytes > ROOM_BYTES and len(self._tiles) > 1:
            _, old = self._tiles.popitem(last=False)
            self._bytes -= old.sizeInBytes()


def to_image(picture: Any, size: Any = None) -> QImage:
    """Return (3, H, W) uint8 as a picture, cut to the (height, width) in its middle that is not letterbox."""
    pixels = np.asarray(picture)
    if size is not None:
        height, width = (int(side) for side in size)
        top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
        if 0 < height <= pixels.shape[1] and 0 < width <= pixels.shape[2]:
            pixels = pixels[:, top : top + height, left : left + width]
    rows = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    return QImage(rows.tobytes(), rows.shape[1], rows.shape[0], rows.shape[1] * 3, QImage.Format.Format_RGB888).copy()
