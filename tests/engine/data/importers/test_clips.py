"""Videos, GIFs, folders of frames and tracks become clips with true times."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset as DicomDataset
from pydicom import dcmread
from pydicom.sequence import Sequence as DicomSequence

from engine.data.importers.clips import CLIPS
from engine.data.importers.clips_finding import count_clip_files, frame_runs
from engine.data.importers.clips_settings import ClipSettings, chosen_frames, clip_place, count_clips
from engine.data.importers.clips_video import MOST_PIXELS, index_frames
from engine.data.importers.peeking import peek
from engine.data.importers.sources import list_sources
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.messages import ImportOptions
from tests.engine.data.importers.dicom_files import write_file
from tests.engine.data.importers.reading_here import ReadHere
from tests.engine.data.making import silent

SIZE = (64, 48)  # width, height


def numbered_frame(number, size=SIZE, colour=True):
    """Return a frame (H, W, 3) that shows its number as a bar code of eight squares."""
    frame = np.full((size[1], size[0], 3), 60, np.uint8)
    for bit in range(8):
        frame[8:24, 8 * bit : 8 * bit + 8] = 220 if number >> bit & 1 else 20
    if colour:
        frame[32:, :, 0] = 200
    return frame


def number_of(frame):
    """Return the number that a frame (C, H, W) shows."""
    return sum(int(frame[0, 12:20, 8 * bit + 2 : 8 * bit + 6].mean() > 120) << bit for bit in range(8))


def write_video(path, count=30, *, codec="libx264", pixels="yuv420p", times=None, size=SIZE, rotation=0, colour=True):
    """Write a video of numbered frames, 30 a second or at `times` in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.options = {"g": "12", "crf": "4"} if codec == "libx264" else {}
        if rotation:
            stream.set_display_rotation(rotation)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, size, colour), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, 30) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def reference_frames(path, form="rgb24"):
    """Return frames and times as PyAV gives them when it decodes the whole file."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [frame.to_ndarray(format=form) for frame in frames], [frame.time for frame in frames]


def imported(source, tmp_path, **options):
    """Return what an import of `source` holds, and its count and left-out files; read in this process."""
    here = ReadHere(CLIPS, source, ImportOptions(**options))
    return here, here


def clip_of(dataset, record):
    return dataset.read("clip", [record])[0], dataset.read("clip_times_s", [record])[0]


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "libx264", "yuv420p"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
    ],
)
def test_that_every_container_gives_the_frames_and_times_of_the_reference(tmp_path, name, codec, pixels):
    path = write_video(tmp_path / name, codec=codec, pixels=pixels)
    dataset, _ = imported(path, tmp_path)
    clip, times = clip_of(dataset, 0)
    frames, seconds = reference_frames(path)
    assert np.array_equal(clip, np.stack(frames).transpose(0, 3, 1, 2))
    assert np.allclose(times, np.array(seconds) - seconds[0], atol=1e-9)
    assert [number_of(frame) for frame in clip] == list(range(30))


def test_that_a_moving_gif_is_a_clip_and_a_still_one_is_not(tmp_path):
    frames = [Image.fromarray(numbered_frame(number)) for number in range(12)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=40)
    frames[0].save(tmp_path / "still.gif")
    listing = list_sources([tmp_path])
    assert count_clip_files(listing) == 1
    dataset, _ = imported(tmp_path, tmp_path)
    clip, times = clip_of(dataset, 0)
    assert [number_of(frame) for frame in clip] == list(range(12))
    assert np.allclose(times, np.arange(12) * 0.04)


def test_that_variable_frame_rates_keep_their_true_times(tmp_path):
    times = [33 * number for number in range(15)] + [15 * 33 + 100 * number for number in range(15)]
    path = write_video(tmp_path / "vfr.mkv", times=times, codec="ffv1", pixels="bgr0")
    dataset, _ = imported(path, tmp_path)
    assert np.allclose(clip_of(dataset, 0)[1], np.array(times) / 1000)


def test_that_a_frame_rate_picks_the_frame_on_screen_at_each_tick(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    dataset, _ = imported(path, tmp_path, settings={"frame_rate_hz": 10.0})
    clip, times = clip_of(dataset, 0)
    assert [number_of(frame) for frame in clip] == list(range(0, 30, 3))
    assert np.allclose(times, np.arange(10) / 10)


def test_that_chosen_frames_are_the_last_ones_shown():
    times = np.array([0.0, 0.4, 1.1, 1.9, 2.0])
    assert chosen_frames(times, 1.0).tolist() == [0, 1, 4]
    assert chosen_frames(times, 0.0).tolist() == [0, 1, 2, 3, 4]


def test_that_turned_videos_stand_upright(tmp_path):
    path = write_video(tmp_path / "turned.mp4", 4, rotation=90)
    dataset, _ = imported(path, tmp_path)
    clip, _ = clip_of(dataset, 0)
    frames, _ = reference_frames(path)
    assert clip.shape[2:] == (64, 48)
    assert np.array_equal(clip[2], np.rot90(frames[2], 1).transpose(2, 0, 1))


def test_that_grey_loops_keep_one_channel_without_loss(tmp_path):
    path = write_video(tmp_path / "grey.avi", codec="ffv1", pixels="gray", colour=False)
    dataset, _ = imported(path, tmp_path)
    clip, _ = clip_of(dataset, 0)
    assert dataset.schema.get("clip").channels == ("grey",)
    expected = [numbered_frame(number, colour=False)[..., 0] for number in range(30)]
    assert np.abs(clip[:, 0].astype(int) - np.stack(expected)).max() <= 1  # RGB to grey when it was written
    assert np.array_equal(clip[:, 0], np.stack(reference_frames(path, "gray")[0]))


def test_that_a_coloured_video_among_grey_ones_is_named_and_not_bleached(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.data.importers.clips._LOOKED_AT", 1)
    write_video(tmp_path / "a.avi", codec="ffv1", pixels="gray", colour=False)
    write_video(tmp_path / "b.mp4")
    _, info = imported(tmp_path, tmp_path)
    assert info.records == 1
    assert [(each.path, "shows colour" in each.reason) for each in info.skipped] == [("b.mp4", True)]


def test_that_a_long_video_becomes_clips_of_one_group_that_cover_it(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.data.importers.clips._UNIT_BYTES", 200_000)  # two clips a unit
    path = write_video(tmp_path / "long.mp4", 100)
    dataset, info = imported(path, tmp_path, settings={"clip_frames": 16})
    assert info.records == count_clips(100, ClipSettings(clip_frames=16)) == 7
    numbers = [[number_of(frame) for frame in clip_of(dataset, record)[0]] for record in range(7)]
    assert [shown[0] for shown in numbers] == [0, 16, 32, 48, 64, 80, 84]
    assert all(shown == list(range(shown[0], shown[0] + 16)) for shown in numbers)
    assert np.allclose(dataset.column("start"), np.array([0, 16, 32, 48, 64, 80, 84]) / 30)
    assert set(dataset.texts("video", np.arange(7))) == {"long.mp4"}


def test_that_clip_places_overlap_by_the_stride():
    settings = ClipSettings(clip_frames=8, stride_frames=4)
    assert [clip_place(number, 18, settings) for number in range(count_clips(18, settings))] == [
        (0, 8), (4, 12), (8, 16), (10, 18),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("short", "shown"),
    [
        ("keep", [0, 1, 2]),
        ("repeat last", [0, 1, 2, 2, 2, 2, 2]),
        ("start again", [0, 1, 2, 0, 1, 2, 0]),
    ],
)
def test_that_short_videos_are_treated_as_asked(tmp_path, short, shown):
    write_video(tmp_path / "short.mp4", 3)
    dataset, _ = imported(tmp_path / "short.mp4", tmp_path, settings={"clip_frames": 7, "short": short})
    assert [number_of(frame) for frame in clip_of(dataset, 0)[0]] == shown


def test_that_size_scales_the_shorter_side_and_cuts_out_the_centre(tmp_path):
    path = write_video(tmp_path / "a.mp4", 4)
    dataset, _ = imported(path, tmp_path, size_px=24)
    assert dataset.schema.get("clip").shape == (None, 3, 24, 24)
    assert clip_of(dataset, 0)[0].shape == (4, 3, 24, 24)


def frame_folder(folder, numbers, prefix="frame_"):
    folder.mkdir(parents=True)
    for number in numbers:
        Image.fromarray(numbered_frame(number)).save(folder / f"{prefix}{number:04d}.png")


def test_that_folders_of_frames_are_clips_with_times_by_their_numbers(tmp_path):
    frame_folder(tmp_path / "videos" / "one", [0, 1, 2, 3, 4, 6, 7, 8, 9])
    frame_folder(tmp_path / "videos" / "two", range(20, 30))
    dataset, info = imported(tmp_path / "videos", tmp_path, settings={"folder_rate_hz": 10.0})
    assert info.records == 2
    clip, times = clip_of(dataset, 0)
    assert [number_of(frame) for frame in clip] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert np.allclose(times, np.array([0, 1, 2, 3, 4, 6, 7, 8, 9]) / 10)
    assert np.array_equal(clip[5], numbered_frame(6).transpose(2, 0, 1))


def test_that_numbered_photographs_stay_pictures_unless_clips_are_asked_for(tmp_path):
    frame_folder(tmp_path / "photos", range(10), "img")
    listing = list_sources([tmp_path / "photos"])
    assert count_clip_files(listing) == 5 < len(listing.entries)
    assert [len(run.numbers) for run in frame_runs(listing)] == [10]
    dataset, _ = imported(tmp_path / "photos", tmp_path, kind="clip")
    assert len(clip_of(dataset, 0)[0]) == 10


def test_that_tracks_beside_a_video_become_clips_of_identities(tmp_path):
    folder = tmp_path / "street"
    folder.mkdir()
    path = write_video(folder / "street.mp4", 12)
    rows = ["frame,identity,x,y,width,height"]
    rows += [f"{number},anna,{number},4,20,20" for number in range(10)]
    rows += [f"{number},ben,30,10,16,16" for number in range(4, 12)]
    (folder / "street.csv").write_text("\n".join(rows))
    dataset, info = imported(folder, tmp_path, size_px=20)
    assert info.records == 2
    assert dataset.texts("identity", np.arange(2)) == ["anna", "ben"]
    clip, times = clip_of(dataset, 0)
    frames, _ = reference_frames(path)
    assert np.array_equal(clip[3], frames[3][4:24, 3:23].transpose(2, 0, 1))
    assert np.allclose(times, np.arange(10) / 30)
    assert dataset.column("start")[1] == pytest.approx(4 / 30)


def test_that_tracks_may_be_json_with_corners(tmp_path):
    folder = tmp_path / "street"
    folder.mkdir()
    write_video(folder / "street.mp4", 12)
    rows = [{"frame": n, "track_id": 7, "x1": 0, "y1": 0, "x2": 16, "y2": 16} for n in range(8)]
    (folder / "street.json").write_text(json.dumps(rows))
    dataset, _ = imported(folder, tmp_path, size_px=16)
    assert dataset.texts("identity", np.arange(1)) == ["street.mp4/7"]


def test_that_a_plan_names_what_is_there_and_writes_nothing(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mp4", 90)
    write_video(folder / "b.webm", codec="libvpx")
    plan, pictures = CLIPS.plan(list_sources([folder]), ImportOptions(), tmp_path / "out.h5")
    assert plan.recognised[0].text == "2 videos"
    assert plan.records == 3
    assert len(pictures) == 2
    assert {field.name for field in plan.form} >= {"clip_frames", "frame_rate_hz", "short"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["videos"]


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def bad_files(folder: Path):
    """Write a good video and seven bad files; return the bad ones' names and a word of the reason."""
    folder.mkdir()
    write_video(folder / "good.mp4")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.avi").write_text("this is no video at all")
    (folder / "header.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(400))
    cut(write_video(folder / "cut.mp4"), 0.6)
    cut(write_video(folder / "cut.avi", codec="mpeg4"), 0.5)
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    path = write_video(folder / "damaged.mp4")
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 300] = np.random.default_rng(0).bytes(300)
    path.write_bytes(data)
    return {
        "empty.mp4": "empty",
        "text.avi": "not a video",
        "header.mkv": "not a video",
        "cut.mp4": "cut",
        "cut.avi": "not a video",
        "sound.mp4": "only sound",
        "damaged.mp4": "damaged",
    }


def test_that_bad_files_are_named_and_the_good_one_is_read(tmp_path):
    expected = bad_files(tmp_path / "videos")
    _, info = imported(tmp_path / "videos", tmp_path)
    found = {each.path: each.reason for each in info.skipped}
    assert found.keys() == expected.keys()
    assert all(word in found[name] for name, word in expected.items()), found
    assert info.records == 1


def test_that_frames_of_absurd_size_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", 2)
    monkeypatch.setattr("engine.data.importers.clips_video.MOST_PIXELS", 1000)
    with pytest.raises(DataError, match="64 × 48 px"):
        index_frames(path)
    assert MOST_PIXELS == 1 << 26


def test_that_frames_of_different_size_in_one_folder_are_refused(tmp_path):
    frame_folder(tmp_path / "videos" / "one", range(9))
    Image.fromarray(numbered_frame(9)[:40]).save(tmp_path / "videos" / "one" / "frame_0009.png")
    with pytest.raises(DataError, match="differ in size"):
        imported(tmp_path / "videos", tmp_path)


def test_that_a_table_that_names_frames_beyond_the_video_is_named(tmp_path):
    folder = tmp_path / "street"
    folder.mkdir()
    write_video(folder / "street.mp4", 12)
    (folder / "street.csv").write_text("frame,identity,x,y,width,height\n40,anna,1,1,8,8\n")
    with pytest.raises(DataError, match="the video has 12 frames"):
        imported(folder, tmp_path)


def test_that_a_folder_without_videos_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match="no video"):
        CLIPS.plan(list_sources([tmp_path]), ImportOptions(), tmp_path / "out.h5")


def test_that_a_damaged_stretch_costs_only_its_clips(tmp_path):
    path = write_video(tmp_path / "long.mp4", 96)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = np.random.default_rng(0).bytes(200)
    path.write_bytes(data)
    dataset, info = imported(path, tmp_path, settings={"clip_frames": 8})
    assert 0 < len(info.skipped) < 12
    assert info.records == 12 - len(info.skipped)
    assert all("long.mp4 from" in each.path for each in info.skipped)
    assert number_of(clip_of(dataset, 0)[0][0]) == 0


def test_that_clips_reach_a_dataset_through_processes_of_their_own(tmp_path):
    folder = tmp_path / "videos"
    (folder / "walk").mkdir(parents=True)
    (folder / "run").mkdir()
    write_video(folder / "walk" / "a.mp4", 40)
    write_video(folder / "run" / "b.webm", 20, codec="libvpx")
    options = ImportOptions(settings={"clip_frames": 16}, size_px=24)
    info = CLIPS.read(list_sources([folder]), options, tmp_path / "out.h5", silent)
    dataset = Dataset.open(tmp_path / "out.h5")
    assert info.records == 5
    assert info.labels["label"] == {"run": 2, "walk": 3}
    assert dataset.texts("video", np.arange(5)).count("walk/a.mp4") == 3
    assert dataset.read("clip", [0])[0].shape == (16, 3, 24, 24)


ULTRASOUND = "1.2.840.10008.5.1.4.1.1.3.1"


def loop_pixels(count=12, colour=False):
    frames = np.random.default_rng(3).integers(0, 256, (count, 40, 50, 1), dtype=np.uint8)
    frames = np.repeat(frames, 3, axis=3)
    return frames if not colour else np.concatenate([frames[..., :2], 255 - frames[..., 2:]], axis=3)


def write_loop(path, frames, **elements):
    """Write a loop of frames (T, H, W) or (T, H, W, 3)."""
    usual = {"SOPClassUID": ULTRASOUND, "Modality": "US", "NumberOfFrames": len(frames), "SeriesDescription": "A4C"}
    if frames.ndim == 4:
        usual |= {"Rows": frames.shape[1], "Columns": frames.shape[2], "SamplesPerPixel": 3}
        usual |= {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    return write_file(path, frames, **(usual | elements))


def test_that_ultrasound_loops_keep_their_grey_values_and_frame_times(tmp_path):
    path = write_loop(tmp_path / "a.dcm", loop_pixels()[..., 0], FrameTime=20.0)
    dataset, info = imported(path, tmp_path)
    clip, times = clip_of(dataset, 0)
    assert np.array_equal(clip[:, 0], dcmread(path).pixel_array)
    assert np.allclose(times, np.arange(12) * 0.02)
    assert dataset.schema.get("clip").channels == ("grey",)
    assert "MRN" not in dataset.texts("name", [0])[0] + dataset.texts("patient", [0])[0]
    assert "names of patients" in info.survey.warnings[0]


def test_that_frame_time_vectors_are_true_times(tmp_path):
    steps = [0, 20, 20, 40, 40, 40, 20, 20, 20, 20, 20, 20]
    path = write_loop(tmp_path / "a.dcm", loop_pixels()[..., 0], FrameTimeVector=[float(step) for step in steps])
    dataset, _ = imported(path, tmp_path, settings={"clip_frames": 6})
    assert np.allclose(clip_of(dataset, 0)[1], np.cumsum(steps[:6]) / 1000)
    assert dataset.column("start")[1] == pytest.approx(sum(steps[:7]) / 1000)


def test_that_loops_in_colour_that_are_grey_take_one_channel_and_others_three(tmp_path):
    write_loop(tmp_path / "grey" / "a.dcm", loop_pixels())
    grey, _ = imported(tmp_path / "grey", tmp_path)
    assert np.array_equal(clip_of(grey, 0)[0][:, 0], loop_pixels()[..., 0])
    write_loop(tmp_path / "colour" / "a.dcm", loop_pixels(colour=True))
    colour, _ = imported(tmp_path / "colour", tmp_path)
    assert np.array_equal(clip_of(colour, 0)[0], loop_pixels(colour=True).transpose(0, 3, 1, 2))


def test_that_the_border_of_a_loop_is_cut_off(tmp_path):
    region = DicomDataset()
    region.RegionSpatialFormat = 1
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 10, 5
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 39, 34
    path = write_loop(tmp_path / "a.dcm", loop_pixels()[..., 0], SequenceOfUltrasoundRegions=DicomSequence([region]))
    cut_out, _ = imported(path, tmp_path)
    assert np.array_equal(clip_of(cut_out, 0)[0][:, 0], loop_pixels()[:, 5:35, 10:40, 0])
    whole, _ = imported(path, tmp_path, settings={"crop_loops": False})
    assert clip_of(whole, 0)[0].shape == (12, 1, 40, 50)


def test_that_a_loop_without_all_its_frames_is_named(tmp_path):
    write_loop(tmp_path / "a.dcm", loop_pixels()[..., 0])
    write_loop(tmp_path / "b.dcm", loop_pixels()[:5, ..., 0], NumberOfFrames=9, SeriesDescription="cut")
    _, info = imported(tmp_path, tmp_path)
    assert info.records == 1
    assert len(info.skipped) == 1
    assert "cut" in info.skipped[0].path


def test_that_a_glance_tells_videos_slides_channels_and_arrays(tmp_path):
    write_video(tmp_path / "a.mp4", 4)
    (tmp_path / "b.svs").write_bytes(b"II*\0" + bytes(300))
    (tmp_path / "c.ome.tif").write_bytes(b"II*\0" + bytes(300))
    (tmp_path / "d.mp4").write_text("no video")
    (tmp_path / "e.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(300))
    expected = "1 multi-channel picture and 1 slide and 1 video and 1 array file, 1 file not loaded."
    assert peek([tmp_path]).text == expected
