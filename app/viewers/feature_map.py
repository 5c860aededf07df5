"""Dense features as colours: three components, the foreground or segments, over the input or beside it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QCheckBox, QWidget

from app.theme import Theme
from app.viewers import painting
from app.viewers.base import Canvas, Viewer
from app.viewers.colour_basis import ColourBasis
from app.viewers.records.controls import SliderRow
from app.viewers.side import SideColumn, WholeNumber
from app.viewers.solid import Layer, is_solid, on_voxels, picture_layer, spacing_of
from app.viewers.spatial import FlatOrSolid, LeadingAxes
from app.viewers.tiles import Tile, draw_tiles
from app.widgets.numbers import count
from app.widgets.segmented import Segmented
from engine.protocol.inspections import Array, FeatureMap

COMPONENTS, SEGMENTS = "Components", "Segments"
USUAL_SEGMENTS, MOST_SEGMENTS = 6, 64
BACKGROUND_SHARE = 0.25  # of its colour that the background keeps


class FeatureMapViewer(Viewer):
    """Pairs of input and colours; equal colours mean equal features, across records and from step to step."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._tiles: list[Tile] = []
        self._basis = ColourBasis()
        self._based_on: FeatureMap | None = None
        self._colours: Array = np.zeros(0)
        self.look = Segmented((COMPONENTS, SEGMENTS), COMPONENTS, small=True)
        self.look.chosen.connect(self._choose_look)
        self.canvas = Canvas(self._paint, QSize(240, 120))
        self.axes = LeadingAxes()
        self.axes.moved.connect(self._render)
        self.looks = FlatOrSolid(theme, self.canvas, self.axes)
        self.looks.wanted.connect(self._show_solid)
        self.set_body(self.looks, self._make_side())

    def _make_side(self) -> SideColumn:
        self.record = WholeNumber("Record")
        self.record.taken.connect(lambda record: self._ask(records=(record,)))
        self.fitted = WholeNumber("Fitted on records, 0 = the shown ones", maximum=4096)
        self.fitted.taken.connect(lambda amount: self._ask(fit_records=amount))
        self.first = WholeNumber("First component", minimum=1, maximum=64)
        self.first.taken.connect(lambda component: self._ask(components=component - 1))
        self.foreground = QCheckBox("Foreground only")
        self.foreground.setToolTip("The rarer side of the first component; the rest is dimmed")
        self.foreground.toggled.connect(lambda _on: self._render())
        self.amount = WholeNumber("Segments, k of k-means", minimum=2, maximum=MOST_SEGMENTS)
        self.amount.taken.connect(lambda amount: self._ask(segments=amount))
        self.opacity = SliderRow("Opacity over the input", "{} %".format, value=100)
        self.opacity.moved.connect(lambda _value: self._render())
        side = SideColumn()
        side.add(self.record, title="Sample")
        side.add(self.first, self.fitted, self.foreground, title="Colours")
        side.add(self.amount, title="Segments")
        side.add(self.opacity, title="Overlay")
        return side

    def header_widgets(self) -> list[QWidget]:
        """Return the choice between components and segments."""
        return [self.look]

    def qualifier(self) -> str:
        """Return step, variance explained, and what the colours were fitted on."""
        shown = self.inspection
        if not isinstance(shown, FeatureMap):
            return ""
        share = float(np.sum(shown.explained)) * 100
        return f"{super().qualifier()}, {share:.0f} % of the variance, fitted on {count(shown.fitted_on)} records"

    def _ask(self, **chosen: Any) -> None:
        self.choice = msgspec.structs.replace(self.choice, **chosen)
        self.choice_changed.emit(self.choice)

    def _choose_look(self, look: str) -> None:
        shown = self.inspection
        if look == SEGMENTS and isinstance(shown, FeatureMap) and shown.segments.size == 0:
            self._ask(segments=self.choice.segments or USUAL_SEGMENTS)
        self._render()

    def _render(self) -> None:
        shown = self.inspection
        if not isinstance(shown, FeatureMap):
            return
        if shown is not self._based_on:
            self._colours, self._based_on = self._basis.colours(shown), shown
        self.axes.show_axes(shown, shown.grid)
        self.record.show_value(int(shown.records[0]) if len(shown.records) == 1 else None)
        self.fitted.show_value(self.choice.fit_records)
        self.first.show_value(shown.first + 1)
        self.amount.show_value(self.choice.segments or USUAL_SEGMENTS)
        self.foreground.setEnabled(shown.foreground.size > 0)
        self._tiles = []
        for row, record in enumerate(shown.records):
            name = shown.labels[row] if row < len(shown.labels) else f"record {count(int(record))}"
            picture = painting.flat_picture(shown.input[row], self.axes.places())
            self._tiles += [Tile(painting.to_image(picture), name), self._coloured(shown, row, picture)]
        self.canvas.update()
        self.looks.set_solid(possible=is_solid(shown, shown.grid))

    def _show_solid(self) -> None:
        shown = self.inspection
        if not isinstance(shown, FeatureMap):
            return
        space, names = shown.input.shape[2:], ("red", "green", "blue")
        layers = [picture_layer(shown.input[0])]
        for place, name in enumerate(names):
            values = on_voxels(np.asarray(self._colours[0, place], np.float32), space)
            title = f"component {shown.first + place + 1}"
            shows = self.look.current() == COMPONENTS
            layers.append(Layer(title, values, name, (0.0, 1.0), 0.6, shows))  # type: ignore[arg-type]
        if shown.foreground.size:
            front = on_voxels(shown.foreground[0].astype(np.int32), space) - 1
            layers.append(Layer("foreground", front, "labels", visible=False))
        if shown.segments.size:
            segments = on_voxels(shown.segments[0].astype(np.int32), space)
            layers.append(Layer("segments", segments, "labels", visible=self.look.current() == SEGMENTS))
        self.looks.show_layers(int(shown.records[0]), tuple(layers), spacing_of(shown))

    def _coloured(self, shown: FeatureMap, row: int, picture: Array) -> Tile:
        places = self.axes.places()
        if self.look.current() == SEGMENTS:
            if shown.segments.size == 0:
                return Tile(None, "segments are computed…")
            segments = painting.flat_grid(shown.segments[row], places)
            colours = self._segment_colours(segments)
            amount = len(np.unique(shown.segments[row]))
            text = f"{amount} segment{'s' * (amount != 1)}"
        else:
            flat = painting.flat_picture(self._colours[row], places)
            colours = flat if flat.ndim == 3 else flat[:, None, :]
            text = f"components {shown.first + 1} to {shown.first + 3}"
        if self.foreground.isChecked() and shown.foreground.size:
            front = painting.flat_grid(shown.foreground[row], places)
            colours = np.where(front, colours, BACKGROUND_SHARE * colours.mean(axis=0))
        grid = f"{colours.shape[-2]} × {colours.shape[-1]}"
        return Tile(self._over(picture, colours), text, f"{grid} places")

    def _segment_colours(self, segments: Array) -> Array:
        inks = [self.theme.categorical(number % 12) for number in range(MOST_SEGMENTS)]
        table = np.array([(ink.redF(), ink.greenF(), ink.blueF()) for ink in inks])
        return np.moveaxis(table[segments], -1, 0)

    def _over(self, picture: Array, colours: Array) -> QImage:
        """Return colours (3, h, w) in blocks over a picture (C, H, W), at the chosen opacity."""
        cover = self.opacity.value / 100
        if cover >= 1:
            return painting.to_image(colours)
        rows = np.arange(picture.shape[-2]) * colours.shape[-2] // picture.shape[-2]
        columns = np.arange(picture.shape[-1]) * colours.shape[-1] // picture.shape[-1]
        blocks = colours[:, rows[:, None], columns[None, :]]
        grey = np.clip(picture, 0, 1).mean(axis=0, keepdims=True)
        return painting.to_image(grey * (1 - cover) + blocks * cover)

    def _paint(self, painter: QPainter, area: QRectF) -> None:
        columns = 4 if len(self._tiles) > 2 and 1.2 * area.width() > area.height() else 2  # pairs stay together
        draw_tiles(painter, area, self._tiles, self.theme, columns=columns, largest_px=420)

    def _redress(self) -> None:
        super()._redress()
        self._render()
