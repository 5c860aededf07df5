"""OME-TIFF, ImageJ, plain stacks, OME-Zarr and plates become channels with names and pixel sizes."""

from __future__ import annotations

import json
import shutil
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from engine.data.importers.channels import CHANNELS, count_channel_files
from engine.data.importers.channels_plates import find_sites
from engine.data.importers.channels_settings import ChannelSettings, settle_axes, stack_records
from engine.data.importers.channels_tiff import opened_series, opened_tiff, read_tiff_headers
from engine.data.importers.channels_vendors import CziPlanes, missing_package, nd2_header
from engine.data.importers.sources import list_sources
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from tests.engine.data.importers.reading_here import ReadHere
from tests.engine.data.making import silent

MICRONS = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}


def values(*shape, seed=0, top=4096, dtype="uint16"):
    return np.random.default_rng(seed).integers(0, top, shape).astype(dtype)


def ome(path, array, axes="CYX", names=("DAPI", "GFP", "RFP"), **metadata):
    tifffile.imwrite(path, array, ome=True, metadata={"axes": axes, "Channel": {"Name": list(names)}, **metadata})
    return path


def imported(source, tmp_path, **options):
    """Return what an import of `source` holds, and its count and left-out files; read in this process."""
    here = ReadHere(CHANNELS, source, ImportOptions(**options))
    return here, here


def pixels(dataset, record=0):
    return dataset.read("channels", [record])[0]


def test_that_ome_tiff_keeps_values_names_and_pixel_size(tmp_path):
    array = values(3, 32, 40)
    path = ome(tmp_path / "a.ome.tif", array, **MICRONS)
    dataset, _ = imported(path, tmp_path)
    spec = dataset.schema.get("channels")
    assert np.array_equal(pixels(dataset), tifffile.imread(path))
    assert np.array_equal(pixels(dataset), array)
    assert (spec.channels, spec.dtype, spec.shape) == (("DAPI", "GFP", "RFP"), "uint16", (3, 32, 40))
    assert spec.spacing_mm == pytest.approx((0.00025, 0.0005))


def test_that_depth_is_projected_and_every_frame_is_a_record(tmp_path):
    array = values(2, 3, 4, 32, 40)
    dataset, info = imported(ome(tmp_path / "a.ome.tif", array, "TCZYX"), tmp_path)
    assert info.records == 2
    assert np.array_equal(pixels(dataset, 1), array[1].max(axis=1))
    assert dataset.texts("name", np.arange(2)) == ["a.ome.tif t0", "a.ome.tif t1"]


def test_that_depth_and_time_can_be_treated_otherwise(tmp_path):
    array = values(2, 3, 4, 32, 40)
    path = ome(tmp_path / "a.ome.tif", array, "TCZYX")
    middle, _ = imported(path, tmp_path, settings={"depth": "middle plane", "time": "first frame"})
    assert np.array_equal(pixels(middle), array[0, :, 2])
    every, info = imported(path, tmp_path, settings={"depth": "every plane", "time": "middle frame"})
    assert info.records == 4
    assert np.array_equal(pixels(every, 3), array[1, :, 3])


def test_that_imagej_hyperstacks_keep_values_labels_and_pixel_size(tmp_path):
    array = values(3, 32, 40)
    path = tmp_path / "a.tif"
    metadata = {"axes": "CYX", "unit": "um", "Labels": ["blue", "green", "red"]}
    tifffile.imwrite(path, array, imagej=True, resolution=(2.0, 4.0), metadata=metadata)
    dataset, _ = imported(path, tmp_path)
    spec = dataset.schema.get("channels")
    assert np.array_equal(pixels(dataset), tifffile.imread(path))
    assert spec.channels == ("blue", "green", "red")
    assert spec.spacing_mm == pytest.approx((0.00025, 0.0005))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_that_pages_of_a_plain_tiff_are_what_the_settings_say(tmp_path, byteorder):
    array = values(5, 32, 40)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack", byteorder=byteorder)
    as_channels, _ = imported(path, tmp_path)
    assert np.array_equal(pixels(as_channels), array)
    as_depth, _ = imported(path, tmp_path, settings={"pages": "depth"})
    assert np.array_equal(pixels(as_depth), array.max(axis=0)[None])


def test_that_a_tiff_with_six_values_a_pixel_has_six_channels(tmp_path):
    array = values(32, 40, 6, dtype="uint8", top=256)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack", planarconfig="contig")
    dataset, _ = imported(path, tmp_path)
    assert np.array_equal(pixels(dataset), array.transpose(2, 0, 1))


def test_that_pictures_stay_with_the_images(tmp_path):
    tifffile.imwrite(tmp_path / "rgb.tif", values(32, 40, 3, dtype="uint8", top=256), photometric="rgb")
    tifffile.imwrite(tmp_path / "grey.tif", values(32, 40))
    tifffile.imwrite(tmp_path / "one.tif", values(32, 40), imagej=True)
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(values(64, 64), tile=(16, 16))
        file.write(values(32, 32), tile=(16, 16), subfiletype=1)
    for number in range(10):
        Image.fromarray(values(8, 8, 3, dtype="uint8", top=256)).save(tmp_path / f"{number:03d}.png")
    assert count_channel_files(list_sources([tmp_path])) == 0


def test_that_records_may_differ_in_channels_names_and_pixel_size(tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    ome(folder / "a.ome.tif", values(3, 32, 40), **MICRONS)
    ome(folder / "b.ome.tif", values(2, 24, 24, seed=1), names=("GFP", "Cy5"))
    dataset, _ = imported(folder, tmp_path)
    spec, names = dataset.schema.get("channels"), dataset.schema.get("channels_names")
    assert spec.shape == (None, None, None)
    assert names.classes == ("Cy5", "DAPI", "GFP", "RFP")
    assert dataset.read("channels_names", [1])[0].tolist() == [2, 0]
    assert dataset.read("channels_spacing_mm", [0])[0] == pytest.approx([0.00025, 0.0005])
    assert np.isnan(dataset.read("channels_spacing_mm", [1])[0]).all()
    assert pixels(dataset, 1).shape == (2, 24, 24)


def test_that_an_ome_set_of_several_files_is_one_picture(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    array = values(2, 32, 40)
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{0}"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="40" SizeY="32" SizeZ="1" SizeC="2" '
        'SizeT="1"><Channel ID="Channel:0:0" Name="A"/><Channel ID="Channel:0:1" Name="B"/>'
        '<TiffData FirstC="0" IFD="0" PlaneCount="1"><UUID FileName="c0.ome.tif">urn:uuid:0</UUID></TiffData>'
        '<TiffData FirstC="1" IFD="0" PlaneCount="1"><UUID FileName="c1.ome.tif">urn:uuid:1</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    for channel in range(2):
        tifffile.imwrite(folder / f"c{channel}.ome.tif", array[channel], description=xml.format(channel), metadata=None)
    dataset, info = imported(folder, tmp_path)
    assert info.records == 1
    assert np.array_equal(pixels(dataset), array)
    (folder / "c1.ome.tif").unlink()
    with pytest.raises(DataError, match=r"belongs to c1\.ome\.tif, which is not beside it"):
        imported(folder, tmp_path)


def write_zarr(folder, array, version, names=("DAPI", "GFP"), axes="czyx", levels=1):
    """Write an OME-Zarr picture as version 0.4 (Zarr 2) or 0.5 (Zarr 3)."""
    group = zarr.open_group(str(folder), mode="w", zarr_format=2 if version == "0.4" else 3)
    for level in range(levels):
        piece = array[..., :: 2**level, :: 2**level]
        options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if version == "0.4" else {}
        stored = group.create_array(str(level), shape=piece.shape, chunks=piece.shape, dtype=piece.dtype, **options)
        stored[...] = piece
    kinds = {"c": "channel", "t": "time"}
    units = {"y": {"unit": "micrometer"}, "x": {"unit": "micrometer"}}
    scales = {"y": 0.25, "x": 0.5}
    said = {
        "multiscales": [
            {
                "axes": [{"name": axis, "type": kinds.get(axis, "space"), **units.get(axis, {})} for axis in axes],
                "datasets": [
                    {
                        "path": str(level),
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [scales.get(axis, 1.0) * 2**level for axis in axes]}
                        ],
                    }
                    for level in range(levels)
                ],
            }
        ],
        "omero": {"channels": [{"label": name} for name in names]},
    }
    group.attrs.update(said if version == "0.4" else {"ome": {"version": "0.5", **said}})
    return folder


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_that_ome_zarr_of_both_versions_is_one_unit_a_folder(tmp_path, version):
    array = values(2, 3, 32, 40)
    folder = write_zarr(tmp_path / "images" / "a.zarr", array, version, levels=2)
    assert count_channel_files(list_sources([tmp_path / "images"])) > 0
    dataset, info = imported(tmp_path / "images", tmp_path, settings={"depth": "middle plane"})
    spec = dataset.schema.get("channels")
    reference = zarr.open_array(str(folder / "0"), mode="r")[:]
    assert info.records == 1
    assert np.array_equal(pixels(dataset), reference[:, 1])
    assert spec.channels == ("DAPI", "GFP")
    assert spec.spacing_mm == pytest.approx((0.00025, 0.0005))


def test_that_a_zarr_dropped_by_itself_is_read(tmp_path):
    array = values(2, 32, 40)
    folder = write_zarr(tmp_path / "a.zarr", array, "0.4", axes="cyx")
    dataset, _ = imported(folder, tmp_path)
    assert np.array_equal(pixels(dataset), array)
    assert dataset.texts("name", np.arange(1)) == ["a.zarr"]


def test_that_fields_of_a_zarr_plate_are_grouped_by_well(tmp_path):
    root = tmp_path / "data" / "plate.zarr"
    plate = zarr.open_group(str(root), mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "B/2"}, {"path": "C/3"}]}
    for number, well in enumerate(("A/1", "B/2")):
        plate.create_group(well).attrs["well"] = {"images": [{"path": "0"}, {"path": "1"}]}
        for field in range(2):
            write_zarr(root / well / str(field), values(2, 16, 16, seed=2 * number + field), "0.4", axes="cyx")
    dataset, info = imported(tmp_path / "data", tmp_path)
    assert info.records == 4
    assert dataset.texts("well", np.arange(4)) == ["plate.zarr A1"] * 2 + ["plate.zarr B2"] * 2
    assert [each.path for each in info.skipped] == ["plate.zarr/C/3"]
    assert np.array_equal(pixels(dataset, 3), values(2, 16, 16, seed=3))


def write_plate(folder, names):
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        tifffile.imwrite(folder / name, values(16, 16, seed=number))


def test_that_a_plate_of_one_file_per_channel_is_put_together(tmp_path):
    names = [f"exp_{well}_s{field}_w{channel}.tif" for well in ("A01", "B02") for field in (1, 2) for channel in (1, 2)]
    write_plate(tmp_path / "plate1", names)
    dataset, info = imported(tmp_path / "plate1", tmp_path)
    assert info.records == 4
    assert np.array_equal(pixels(dataset, 0), np.stack([values(16, 16, seed=0), values(16, 16, seed=1)]))
    assert dataset.texts("well", np.arange(4)) == ["exp A01", "exp A01", "exp B02", "exp B02"]
    assert dataset.schema.get("channels").channels == ("1", "2")


def test_that_a_pattern_tells_channels_and_a_missing_one_leaves_fewer(tmp_path):
    names = [f"{site}-{colour}.tif" for site in ("x1", "x2") for colour in ("actin", "nuclei")]
    write_plate(tmp_path / "plate", names[:3])
    dataset, info = imported(tmp_path / "plate", tmp_path, settings={"pattern": "{field}-{channel}"})
    assert info.records == 2
    assert dataset.schema.get("channels_names").classes == ("actin", "nuclei")
    assert dataset.read("channels_names", [1])[0].tolist() == [0]


@pytest.mark.parametrize(
    "name",
    [
        "r01c02f01p01-ch{}sk1fk1fl1.tiff",
        "AssayPlate_A02_T0001F001L01A01Z01C0{}.tif",
        "plate_A02f00d{}.TIF",
        "A - 02(fld 1 wv {} - x).tif",
        "A02_f1_ch{}.tif",
        "img_channel00{}_position000_time000000000_z000.tif",
    ],
)
def test_that_the_names_of_usual_microscopes_are_known(tmp_path, name):
    for channel in (1, 2):
        (tmp_path / name.format(channel)).write_bytes(b"II*\0")
    (site,) = find_sites(list_sources([tmp_path]).entries, "")
    assert len(site.channels) == 2


def test_that_depth_of_a_plate_lies_in_its_files(tmp_path):
    names = [f"P_A02_T0001F001L01A01Z0{depth}C0{channel}.tif" for channel in (1, 2) for depth in (1, 2, 3)]
    write_plate(tmp_path / "plate", names)
    dataset, _ = imported(tmp_path / "plate", tmp_path)
    expected = [np.max([values(16, 16, seed=3 * channel + depth) for depth in range(3)], axis=0) for channel in (0, 1)]
    assert np.array_equal(pixels(dataset), np.stack(expected))


def test_that_tiles_cover_a_large_picture(tmp_path):
    array = values(2, 40, 50)
    dataset, info = imported(ome(tmp_path / "a.ome.tif", array, names=("A", "B")), tmp_path, settings={"tile_px": 32})
    assert info.records == 4
    assert np.array_equal(pixels(dataset, 3), array[:, 8:, 18:])


def test_that_a_size_scales_values_and_pixel_size(tmp_path):
    array = np.repeat(np.repeat(values(2, 16, 16), 2, axis=1), 2, axis=2)
    path = ome(tmp_path / "a.ome.tif", array, names=("A", "B"), **MICRONS)
    dataset, _ = imported(path, tmp_path, size_px=16)
    assert np.array_equal(pixels(dataset), array[:, ::2, ::2])
    assert dataset.read("channels_spacing_mm", [0])[0] == pytest.approx([0.0005, 0.001])


def test_that_large_series_read_plane_by_plane_are_the_same(tmp_path, monkeypatch):
    array = values(2, 3, 4, 32, 40)
    path = ome(tmp_path / "a.ome.tif", array, "TCZYX")
    monkeypatch.setattr("engine.data.importers.channels_tiff._IN_MEMORY_BYTES", 0)
    header = settle_axes(read_tiff_headers(path)[0], ChannelSettings())
    with opened_tiff(path) as file, opened_series(file, 0) as source:
        records = [pixels for _, pixels in stack_records(source, header, ChannelSettings())]
    assert np.array_equal(np.stack(records), array.max(axis=2))


def test_that_archives_of_ome_tiff_are_read(tmp_path):
    array = values(3, 16, 16)
    path = ome(tmp_path / "a.ome.tif", array)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "a.ome.tif")
    dataset, _ = imported(tmp_path / "a.zip", tmp_path)
    assert np.array_equal(pixels(dataset), array)


def test_that_microscope_files_without_their_package_are_named_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "a.nd2").write_bytes(b"\xda\xce\xbe\x0a" + bytes(64))
    assert missing_package("nd2") == ".nd2 files need the package nd2: pip install nd2"
    with pytest.raises(DataError, match=r"a\.nd2: \.nd2 files need the package nd2"):
        CHANNELS.plan(list_sources([tmp_path]), ImportOptions(), tmp_path / "out.h5")


def test_that_an_opened_nd2_tells_axes_names_and_pixel_size():
    channel = SimpleNamespace(channel=SimpleNamespace(name="DAPI"))
    file = SimpleNamespace(
        sizes={"P": 2, "C": 1, "Y": 8, "X": 9},
        metadata=SimpleNamespace(channels=[channel]),
        voxel_size=lambda: SimpleNamespace(x=0.5, y=0.25, z=1.0),
        dtype=np.dtype("uint16"),
    )
    header = nd2_header(file)
    assert (header.axes, header.shape, header.names, header.spacing_um) == (
        "PCYX", (2, 1, 8, 9), ("DAPI",), (0.25, 0.5),
    )  # fmt: skip


def test_that_planes_of_an_opened_czi_are_read_one_at_a_time():
    array = values(1, 2, 3, 8, 9)
    box = {"T": (0, 1), "C": (0, 2), "Z": (0, 3), "Y": (-4, 4), "X": (10, 19)}
    document = SimpleNamespace(
        total_bounding_box=box, read=lambda plane: array[plane["T"], plane["C"], plane["Z"]][..., None]
    )
    planes = CziPlanes(document)
    ((_, projected),) = stack_records(planes, planes.header, ChannelSettings())
    assert np.array_equal(projected, array[0].max(axis=1))


def test_that_bad_files_are_named_and_the_good_one_is_read(tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    array = values(3, 32, 40)
    ome(folder / "good.ome.tif", array)
    (folder / "empty.ome.tif").write_bytes(b"")
    (folder / "text.ome.tif").write_text("no TIFF at all")
    path = ome(folder / "cut.ome.tif", values(3, 32, 40, seed=1))
    path.write_bytes(path.read_bytes()[:-4000])
    ome(folder / "complex.ome.tif", (array + 1j).astype("complex64"))
    bomb = write_zarr(folder / "bomb.zarr", values(2, 8, 8), "0.4", axes="cyx")
    meta = json.loads((bomb / "0" / ".zarray").read_text())
    (bomb / "0" / ".zarray").write_text(json.dumps({**meta, "shape": [2, 400_000, 400_000]}))
    lost = write_zarr(folder / "lost.zarr", values(2, 8, 8), "0.5", axes="cyx")
    shutil.rmtree(lost / "0")
    odd = write_zarr(folder / "odd.zarr", values(2, 8, 8), "0.4", axes="cyx")
    (odd / ".zattrs").write_text("{ not json")
    _, info = imported(folder, tmp_path)
    found = {each.path: each.reason for each in info.skipped}
    assert info.records == 1
    expected = {
        "empty.ome.tif": "empty",
        "text.ome.tif": "not a TIFF",
        "cut.ome.tif": "was cut",
        "complex.ome.tif": "complex",
        "bomb.zarr": "at most",
        "lost.zarr": "not there",
        "odd.zarr": "JSON",
    }
    assert found.keys() == expected.keys(), found
    assert all(word in found[name] for name, word in expected.items()), found


@pytest.mark.parametrize("options", [{"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 8}, {}])
@pytest.mark.parametrize("form", ["ome", "imagej", "plain"])
def test_that_no_cut_file_is_read_as_if_it_were_whole(tmp_path, options, form):
    path = tmp_path / "a.tif"
    if form == "imagej":
        metadata = {"axes": "CYX"}
        tifffile.imwrite(path, values(3, 64, 64), imagej=True, metadata=metadata)
    else:
        tifffile.imwrite(path, values(3, 64, 64), ome=form == "ome", photometric="minisblack", **options)
    data = path.read_bytes()
    for share in (0.2, 0.5, 0.7, 0.9, 0.99):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(DataError):
            imported(path, tmp_path)


def test_that_planes_an_ome_file_only_names_are_missed(tmp_path):
    array = values(2, 32, 40)
    path = ome(tmp_path / "a.ome.tif", array, names=("A", "B"))
    with tifffile.TiffFile(path) as file:
        xml = file.ome_metadata.replace('SizeC="2"', 'SizeC="4"').replace('PlaneCount="2"', 'PlaneCount="4"')
    tifffile.imwrite(path, array, description=xml, metadata=None, photometric="minisblack")
    with pytest.raises(DataError, match="lacks 2 of its 4 planes"):
        imported(path, tmp_path)


def test_that_a_site_of_planes_of_different_size_is_named(tmp_path):
    write_plate(tmp_path / "plate", ["A01_s1_w1.tif", "A01_s1_w2.tif", "A02_s1_w1.tif", "A02_s1_w2.tif"])
    tifffile.imwrite(tmp_path / "plate" / "A02_s1_w2.tif", values(8, 8))
    _, info = imported(tmp_path / "plate", tmp_path)
    assert info.records == 1
    assert ["8 × 8 px" in each.reason for each in info.skipped] == [True]


def test_that_an_unusable_pattern_is_refused(tmp_path):
    write_plate(tmp_path / "plate", ["a-b.tif"])
    for pattern in ("{wel}_{channel}", "{well}_{field}"):
        with pytest.raises(DataError, match="pattern"):
            imported(tmp_path / "plate", tmp_path, settings={"pattern": pattern})


def test_that_a_plan_names_what_is_there(tmp_path):
    ome(tmp_path / "a.ome.tif", values(3, 32, 40))
    plan, pictures = CHANNELS.plan(list_sources([tmp_path]), ImportOptions(), tmp_path / "out.h5")
    assert plan.recognised[0].text == "1 TIFF file"
    assert plan.recognised[0].detail == "3 channels, uint16"
    assert len(pictures) == 1


def test_that_channels_reach_a_dataset_through_processes_of_their_own(tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    ome(folder / "a.ome.tif", values(3, 32, 40))
    write_zarr(folder / "b.zarr", values(2, 16, 16, seed=1), "0.5", axes="cyx")
    info = CHANNELS.read(list_sources([folder]), ImportOptions(), tmp_path / "out.h5", silent)
    dataset = Dataset.open(tmp_path / "out.h5")
    assert info.records == 2
    assert sorted(pixels(dataset, record).shape for record in range(2)) == [(2, 16, 16), (3, 32, 40)]
    assert dataset.schema.get("channels_names").classes == ("DAPI", "GFP", "RFP")
