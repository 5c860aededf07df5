"""Whole slides become tiles of tissue at a given resolution."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import tiffslide
from PIL import Image

from engine.data.importers.slides import SLIDES, SlideSettings, count_slide_files
from engine.data.importers.slides_opening import SlideHeader, pixel_size, read_whole
from engine.data.importers.slides_tissue import clean_mask, lay_grid, tissue_mask, tissue_shares
from engine.data.importers.sources import list_sources
from engine.data.store import Dataset
from engine.errors import ConfigError, DataError
from engine.protocol.messages import ImportOptions
from tests.engine.data.importers.reading_here import ReadHere
from tests.engine.data.making import silent

WIDTH, HEIGHT = 1280, 1024
TISSUE = (600, 500, 350, 300)  # centre and radii of an ellipse


def slide_pixels():
    """Return glass with an ellipse of pink tissue (H, W, 3) and where it is."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    inside = ((x - TISSUE[0]) / TISSUE[2]) ** 2 + ((y - TISSUE[1]) / TISSUE[3]) ** 2 < 1
    pixels = np.full((HEIGHT, WIDTH, 3), 245, np.uint8)
    pink = np.random.default_rng(0).integers(110, 170, (inside.sum(), 3)) + np.array([60, 0, 40])
    pixels[inside] = pink
    return pixels, inside


def write_svs(path, pixels=None, said="|AppMag = 20|MPP = 0.5", compression=None):
    pixels = slide_pixels()[0] if pixels is None else pixels
    options = {"tile": (256, 256), "photometric": "rgb", "metadata": None, "compression": compression}
    name = "Aperio Image Library v12.0.15\n"
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(pixels, description=f"{name}{WIDTH}x{HEIGHT} (256x256) {said}", **options)
        file.write(pixels[::8, ::8], photometric="rgb", metadata=None, description=name)
        file.write(pixels[::4, ::4], description=f"{name}{WIDTH}x{HEIGHT} -> 320x256", **options)
    return path


def write_pyramid(path, um=0.5):
    pixels = slide_pixels()[0]
    options = {"tile": (256, 256), "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        per_cm = 1e4 / um
        file.write(pixels, subifds=1, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", **options)
        file.write(pixels[::4, ::4], subfiletype=1, **options)
    return path


def read(source, **options):
    return ReadHere(SLIDES, source, ImportOptions(**options))


SMALL = {"tile_px": 128, "um_per_px": 0.5, "least_piece_mm2": 0.001}


@pytest.mark.parametrize("write", [write_svs, write_pyramid])
def test_that_tiles_hold_what_the_reference_reads_there(tmp_path, write):
    path = write(tmp_path / ("a.svs" if write is write_svs else "a.tif"))
    found = read(path, settings=SMALL)
    slide = tiffslide.TiffSlide(path)
    assert found.records > 10
    for record in range(found.records):
        x, y = np.rint(found.read("position", [record])[0] / 0.5).astype(int).tolist()
        expected = slide.read_region((x, y), 0, (128, 128), as_array=True)
        assert np.array_equal(found.read("image", [record])[0], expected.transpose(2, 0, 1))
    slide.close()


def test_that_tiles_lie_on_tissue_and_cover_it(tmp_path):
    found = read(write_svs(tmp_path / "a.svs"), settings=SMALL)
    inside = slide_pixels()[1]
    places = {tuple(np.rint(each / 0.5).astype(int).tolist()) for each in found.column("position")}
    for top in range(0, HEIGHT - 127, 128):
        for left in range(0, WIDTH - 127, 128):
            share = inside[top : top + 128, left : left + 128].mean()
            if share > 0.75:
                assert (left, top) in places
            if share < 0.25:
                assert (left, top) not in places
    assert set(found.texts("slide", range(found.records))) == {"a.svs"}


def test_that_a_coarser_resolution_is_read_from_the_level_that_has_it(tmp_path):
    path = write_svs(tmp_path / "a.svs")
    found = read(path, settings={**SMALL, "tile_px": 32, "um_per_px": 2.0})
    slide = tiffslide.TiffSlide(path)
    x, y = np.rint(found.read("position", [3])[0] / 0.5).astype(int).tolist()
    expected = slide.read_region((x, y), 1, (32, 32), as_array=True)
    slide.close()
    assert np.array_equal(found.read("image", [3])[0], expected.transpose(2, 0, 1))
    assert found.schema.get("image").spacing_mm == (0.002, 0.002)


def test_that_jpeg_compressed_slides_are_read_as_the_reference_does(tmp_path):
    path = write_svs(tmp_path / "a.svs", compression="jpeg")
    found = read(path, settings=SMALL)
    slide = tiffslide.TiffSlide(path)
    x, y = np.rint(found.read("position", [0])[0] / 0.5).astype(int).tolist()
    expected = slide.read_region((x, y), 0, (128, 128), as_array=True)
    slide.close()
    assert np.array_equal(found.read("image", [0])[0], expected.transpose(2, 0, 1))


def test_that_large_grids_are_read_in_bands_of_rows(tmp_path, monkeypatch):
    path = write_svs(tmp_path / "a.svs")
    whole = read(path, settings=SMALL)
    monkeypatch.setattr("engine.data.importers.slides._UNIT_BYTES", 1_000_000)
    parts = read(path, settings=SMALL)
    assert len(whole.survey.units) == 1 < len(parts.survey.units)
    assert np.array_equal(whole.column("image"), parts.column("image"))


def test_that_every_tile_can_be_kept_and_tiles_may_overlap(tmp_path):
    path = write_svs(tmp_path / "a.svs")
    assert read(path, settings={**SMALL, "tissue": "all"}).records == 80
    assert read(path, settings={**SMALL, "tissue": "all", "overlap_px": 64}).records == 19 * 15


def test_that_the_size_asked_for_is_the_side_of_tiles(tmp_path):
    found = read(write_svs(tmp_path / "a.svs"), size_px=64, settings=SMALL)
    assert found.read("image", [0])[0].shape == (3, 64, 64)


def test_that_pixel_sizes_come_from_what_is_said_best():
    assert pixel_size({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.26"}) == (0.25, 0.26)
    assert pixel_size({"aperio.MPP": "0.499"}) == (0.499, 0.499)
    assert pixel_size({"openslide.objective-power": "40"}) == (0.25, 0.25)
    centimetres = {"tiff.ResolutionUnit": "CENTIMETER", "tiff.XResolution": 20000.0, "tiff.YResolution": 10000.0}
    assert pixel_size(centimetres) == (0.5, 1.0)
    assert pixel_size({"tiff.ResolutionUnit": "INCH", "tiff.XResolution": 72.0, "tiff.YResolution": 72.0}) == (0.0, 0.0)


def test_that_the_grid_never_reaches_beyond_the_slide():
    header = SlideHeader(1000, 700, (0.5, 0.5), (1.0,))
    grid = lay_grid(header, 0.7, 100, 20)
    x, y = grid.place(grid.rows - 1, grid.columns - 1)
    assert x + 140 <= 1000 < x + 140 + 112
    assert y + 140 <= 700 < y + 140 + 112


def test_that_glass_ink_and_specks_are_no_tissue():
    picture = np.full((100, 100, 3), 245, np.uint8)
    picture[20:60, 20:60] = (190, 110, 160)
    picture[80:90, 80:90] = (5, 5, 5)  # ink
    picture[5:7, 90:92] = (190, 110, 160)  # a speck, which the median filter takes
    mask = clean_mask(tissue_mask(picture, "saturation"), 8.0, 0.01)
    assert mask[24:56, 24:56].all()
    assert mask.sum() < 45 * 45


def test_that_weak_stains_are_found_by_their_distance_from_the_glass():
    picture = np.full((100, 100, 3), 240, np.uint8)
    picture[20:60, 20:60] = (200, 200, 205)
    mask = clean_mask(tissue_mask(picture, "background"), 8.0, 0.01)
    assert mask[22:58, 22:58].all()
    assert not mask[70:, 70:].any()


def test_that_tissue_shares_are_means_of_the_mask():
    mask = np.zeros((50, 50), bool)
    mask[:, :25] = True
    header = SlideHeader(500, 500, (1.0, 1.0), (1.0,))
    grid = lay_grid(header, 1.0, 100, 0)
    shares = tissue_shares(mask, 0.1, grid, range(grid.rows))
    assert np.allclose(shares, [[1, 1, 0.5, 0, 0]] * 5)


def test_that_levels_read_in_strips_are_the_same(tmp_path, monkeypatch):
    path = write_svs(tmp_path / "a.svs")
    slide = tiffslide.TiffSlide(path)
    whole = read_whole(slide, 0, (320, 256))
    monkeypatch.setattr("engine.data.importers.slides_opening._STRIP_PIXELS", 1 << 18)
    strips = read_whole(slide, 0, (320, 256))
    slide.close()
    assert np.abs(whole.astype(int) - strips).max() <= 1


def test_that_photographs_and_stacks_are_no_slides(tmp_path):
    tifffile.imwrite(tmp_path / "photo.tif", slide_pixels()[0], photometric="rgb")
    tifffile.imwrite(tmp_path / "tiled.tif", slide_pixels()[0][:512], photometric="rgb", tile=(256, 256))
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((3, 64, 64), np.uint16), photometric="minisblack")
    Image.fromarray(slide_pixels()[0]).save(tmp_path / "a.png")
    assert count_slide_files(list_sources([tmp_path])) == 0


def test_that_bad_files_are_named_and_the_good_one_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # as without openslide
    folder = tmp_path / "slides"
    folder.mkdir()
    write_svs(folder / "good.svs")
    (folder / "empty.svs").write_bytes(b"")
    (folder / "text.ndpi").write_text("no slide")
    (folder / "header.svs").write_bytes(b"II*\0" + bytes(60))
    write_svs(folder / "unsaid.svs", said="")
    write_svs(folder / "glass.svs", np.full((HEIGHT, WIDTH, 3), 245, np.uint8))
    (folder / "other.mrxs").write_bytes(b"\xff\xd8\xff" + bytes(100))
    path = write_svs(folder / "cut.svs", compression="zlib")
    path.write_bytes(path.read_bytes()[:20_000])
    found = read(folder, settings=SMALL)
    reasons = {each.path: each.reason for each in found.skipped}
    expected = {
        "empty.svs": "empty",
        "text.ndpi": "not a slide",
        "header.svs": "not a slide",
        "unsaid.svs": "µm",
        "glass.svs": "no tissue",
        "other.mrxs": "openslide",
        "cut.svs": "",
    }
    assert reasons.keys() == expected.keys(), reasons
    assert all(word in reasons[name] for name, word in expected.items()), reasons
    assert set(found.texts("slide", range(found.records))) == {"good.svs"}


def test_that_a_damaged_tile_is_refused_alone(tmp_path):
    path = write_svs(tmp_path / "a.svs", compression="zlib")
    whole = read(path, settings=SMALL).records
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].dataoffsets[6] + 200  # row 1, column 1 of the 256 px tiles: amid the tissue
    data[place : place + 2000] = bytes(2000)
    path.write_bytes(data)
    found = read(path, settings=SMALL)
    assert 0 < len(found.skipped) <= 4
    assert found.records == whole - len(found.skipped)


def test_that_absurd_sizes_are_refused_before_a_pixel_is_read(tmp_path, monkeypatch):
    write_svs(tmp_path / "a.svs")
    monkeypatch.setattr("engine.data.importers.slides_opening._MOST_PIXELS", 1000)
    with pytest.raises(DataError, match="declares 1280 × 1024 px"):
        read(tmp_path / "a.svs", settings=SMALL)


def test_that_settings_that_contradict_each_other_are_refused(tmp_path):
    write_svs(tmp_path / "a.svs")
    with pytest.raises(DataError, match="cannot overlap"):
        read(tmp_path / "a.svs", settings={**SMALL, "overlap_px": 128})
    with pytest.raises(ConfigError):
        read(tmp_path / "a.svs", settings={"um_per_px": 0.0})
    assert SlideSettings().um_per_px == 0.5


def test_that_tiles_reach_a_dataset_through_processes_of_their_own(tmp_path):
    folder = tmp_path / "slides"
    (folder / "tumour").mkdir(parents=True)
    (folder / "normal").mkdir()
    write_svs(folder / "tumour" / "a.svs")
    write_pyramid(folder / "normal" / "b.tif")
    listing, options = list_sources([folder]), ImportOptions(settings=SMALL, drop_duplicates=False)
    plan, pictures = SLIDES.plan(listing, options, tmp_path / "out.h5")
    info = SLIDES.read(listing, options, tmp_path / "out.h5", silent)
    dataset = Dataset.open(tmp_path / "out.h5")
    assert plan.recognised[0].text == "2 slides"
    assert len(pictures) == 2
    assert set(dataset.texts("slide", np.arange(info.records))) == {"tumour/a.svs", "normal/b.tif"}
    assert set(info.labels["label"]) == {"tumour", "normal"}
