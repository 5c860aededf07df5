"""Speech, motion and words that happen at one time arrive in one record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.data.importers import plan_import, run_import
from engine.data.importers.motion import MOTIONS
from engine.data.importers.motion_bvh import read_bvh
from engine.data.importers.motion_sound import inspect_sound, read_sound
from engine.data.importers.motion_transcripts import Spoken, read_transcript, said_between
from engine.data.importers.sources import list_sources
from engine.data.store import Dataset
from engine.errors import DataError
from engine.protocol.inspections import Array
from engine.protocol.messages import ImportOptions
from engine.workspace import Workspace
from tests.engine.data.making import silent

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 100 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Arm
  {
    OFFSET 10 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT Hand
    {
      OFFSET 0 0 20
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 0 5 0
      }
    }
  }
  JOINT Head
  {
    OFFSET 0 80 0
    CHANNELS 3 Zrotation Xrotation Yrotation
  }
}
MOTION
Frames: %d
Frame Time: %f
%s
"""


def bvh(rows: Array, seconds: float = 0.04) -> str:
    """Return a BVH file with these rows (T, 15)."""
    return BVH % (len(rows), seconds, "\n".join(" ".join(f"{value:.6f}" for value in row) for row in rows))


def click(path: Path, at_s: float, seconds: float = 4.0, rate: int = 44_100) -> None:
    """Write stereo sound with a short tone at a known time."""
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.5 * np.sin(2 * np.pi * 500 * time) * ((time >= at_s) & (time < at_s + 0.05))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([tone, np.zeros_like(tone)], axis=1), rate, subtype="PCM_16")


def recording(root: Path, name: str, seconds: float = 4.0, at_s: float = 2.5) -> None:
    """Write sound and motion: the hips jump by 1 m when the tone sounds; words say where they are."""
    click(root / "wav" / f"{name}.wav", at_s, seconds)
    rows = np.zeros((round(seconds * 25), 15))
    rows[round(at_s * 25) :, 0] = 100.0
    (root / "bvh").mkdir(exist_ok=True)
    (root / "bvh" / f"{name}.bvh").write_text(bvh(rows))
    words = "\n".join(f"{at:.1f},{at + 0.2:.1f},word{at:.0f}" for at in np.arange(0.5, seconds, 1.0))
    (root / "words").mkdir(exist_ok=True)
    (root / "words" / f"{name}.csv").write_text("start,end,word\n" + words)


def imported(root: Path, **options: object) -> Dataset:
    """Import and open the result."""
    out = root.with_suffix(".h5")
    run_import([root], ImportOptions(**options), out, silent)  # type: ignore[arg-type]
    return Dataset.open(out)


def test_that_rotations_apply_in_the_order_of_the_channels(tmp_path: Path) -> None:
    rows = np.zeros((2, 15))
    rows[1, :3] = (1, 2, 3)
    rows[1, 3:6] = (90, 0, 0)  # hips about z: x → y
    rows[1, 6:9] = (90, 90, 0)  # arm about z, then about its own x
    (tmp_path / "a.bvh").write_text(bvh(rows))
    head, places = read_bvh(tmp_path / "a.bvh")
    assert head.skeleton.names == ("Hips", "Arm", "Hand", "Head")
    assert head.skeleton.parents.tolist() == [-1, 0, 1, 0]
    assert places[0].tolist() == [[0, 100, 0], [10, 100, 0], [10, 100, 20], [0, 180, 0]]
    # arm: Rz(90) (10, 0, 0) = (0, 10, 0); hand: Rz(180) Rx(90) (0, 0, 20) = Rz(180) (0, -20, 0) = (0, 20, 0)
    assert places[1] == pytest.approx(np.array([[1, 102, 3], [1, 112, 3], [1, 132, 3], [-79, 102, 3]]), abs=1e-9)


def test_that_sound_is_resampled_without_moving_in_time(tmp_path: Path) -> None:
    click(tmp_path / "a.wav", 2.5)
    header = inspect_sound(tmp_path / "a.wav")
    whole = read_sound(tmp_path / "a.wav", header, 0.0, 4.0, 16_000)
    assert whole.shape == (1, 64_000)
    loud = np.flatnonzero(np.abs(whole[0]) > 0.1)
    assert loud[0] / 16_000 == pytest.approx(2.5, abs=0.002)
    assert loud[-1] / 16_000 == pytest.approx(2.55, abs=0.002)
    part = read_sound(tmp_path / "a.wav", header, 2.0, 1.0, 16_000)
    assert part == pytest.approx(whole[:, 32_000:48_000], abs=2e-3)


def test_that_sound_motion_and_words_lie_at_the_same_time(tmp_path: Path) -> None:
    root = tmp_path / "d"
    recording(root, "one")
    dataset = imported(root, settings={"window_s": 1.0, "overlap": 0.0})
    assert [name.split("@")[1] for name in dataset.column("name")] == ["0.00s", "1.00s", "2.00s", "3.00s"]
    wave, motion = dataset.read("waveform", range(4)), dataset.read("motion", range(4))
    assert wave.shape == (4, 1, 16_000)  # type: ignore[union-attr]
    assert motion.shape == (4, 25, 4, 3)  # type: ignore[union-attr]
    heard = np.flatnonzero(np.abs(np.asarray(wave)[2, 0]) > 0.1)[0] / 16_000
    moved = np.flatnonzero(np.asarray(motion)[2, :, 0, 0] > 0.5)[0] / 25
    assert heard == pytest.approx(moved, abs=0.04)
    assert np.asarray(motion)[3, -1, 3].tolist() == pytest.approx([1.0, 1.8, 0.0])
    assert list(dataset.column("text")) == ["word0", "word2", "word2", "word4"]
    spec = dataset.schema.get("motion")
    assert spec is not None
    assert spec.channels == ("Hips", "Arm", "Hand", "Head")
    assert np.asarray(dataset.read("motion_parents", [0])[0]).tolist() == [-1, 0, 1, 0]
    assert np.asarray(dataset.column("motion_rate_hz"))[0] == pytest.approx(25.0)


def test_that_spans_of_one_recording_stay_in_one_split(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for number, name in enumerate("abcd"):
        recording(root, name, at_s=1.0 + 0.3 * number)
    dataset = imported(root, settings={"window_s": 1.0}, val_share=0.3)
    pairs = set(zip(dataset.column("recording"), np.asarray(dataset.column("split")).tolist(), strict=True))
    assert len(pairs) == 4
    assert {split for _, split in pairs} == {0, 1}


def test_that_npy_motion_needs_its_rate_and_takes_joints_from_a_file_beside(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    np.save(root / "a.npy", np.random.default_rng(0).normal(size=(100, 3, 3)))
    click(root / "a.wav", 1.0)
    with pytest.raises(DataError, match="frames a second"):
        imported(root)
    said = {"fps": 25, "joints": ["hip", "left", "right"], "parents": [-1, 0, 0], "unit": "mm"}
    (root / "a.json").write_text(json.dumps(said))
    dataset = imported(root)
    spec = dataset.schema.get("motion")
    assert spec is not None
    assert spec.channels == ("hip", "left", "right")
    assert np.abs(np.asarray(dataset.read("motion", [0])[0])).max() < 0.01


TEXTGRID = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 2
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2
            text = "AH0"
    item [2]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.0
            text = "say ""hello"""
        intervals [3]:
            xmin = 1.0
            xmax = 2
            text = "2 times"
'''


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_that_a_textgrid_gives_words_with_times(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.TextGrid").write_bytes(TEXTGRID.encode(encoding))
    spoken = read_transcript(tmp_path / "a.TextGrid")
    assert spoken == (Spoken('say "hello"', 0.5, 1.0), Spoken("2 times", 1.0, 2.0))
    assert said_between(spoken, 0.0, 1.0) == 'say "hello"'


def test_that_a_table_for_all_recordings_gives_texts(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for number in range(3):
        click(root / "wavs" / f"s{number}.wav", 0.1 + 0.2 * number, 1.0)
    (root / "metadata.csv").write_text("file,text\ns0,hello there\ns1,good day\ns2,bye now\n")
    dataset = imported(root, settings={"window_s": 0})
    assert list(dataset.column("text")) == ["hello there", "good day", "bye now"]
    assert dataset.schema.get("motion") is None


def test_that_bad_files_are_named_with_reasons_and_the_rest_is_imported(tmp_path: Path) -> None:
    root = tmp_path / "d"
    recording(root, "good")
    for name in ("zero", "text", "cutbvh", "nanbvh", "other", "short"):
        recording(root, name, at_s=1.5)
    recording(root, "alone")
    (root / "bvh" / "alone.bvh").unlink()
    (root / "wav" / "zero.wav").write_bytes(b"")
    (root / "wav" / "text.wav").write_bytes(b"RIFF but no more")
    whole = (root / "bvh" / "cutbvh.bvh").read_text()
    (root / "bvh" / "cutbvh.bvh").write_text(whole[: len(whole) // 2])
    rows = np.zeros((100, 15))
    rows[3, 3] = np.nan
    (root / "bvh" / "nanbvh.bvh").write_text(bvh(rows))
    (root / "bvh" / "other.bvh").write_text(whole.replace("Hand", "Paw"))
    click(root / "wav" / "short.wav", 0.1, 0.5)
    dataset = imported(root)
    assert {Path(each.path).stem for each in dataset.info.skipped} == {
        "zero", "text", "cutbvh", "nanbvh", "other", "short", "alone",
    }  # fmt: skip
    assert all(each.reason for each in dataset.info.skipped)
    assert len(dataset) == 1


@pytest.mark.parametrize("text", ["", "ROOT", "HIERARCHY ROOT a {", "HIERARCHY MOTION Frames: 1 Frame Time: 1"])
def test_that_a_damaged_hierarchy_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.bvh").write_text(text)
    with pytest.raises(DataError):
        read_bvh(tmp_path / "a.bvh")


def test_that_the_plan_says_the_unit_it_judged(tmp_path: Path) -> None:
    recording(tmp_path / "d", "one")
    plan, _ = plan_import([tmp_path / "d"], ImportOptions(), Workspace(tmp_path / "w"))
    assert (plan.importer, plan.records) == ("speech and motion", 1)
    assert plan.warnings == ("Motion is taken to be in cm.",)


def test_that_plain_arrays_are_no_motion(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 9, 3)))
    assert MOTIONS.recognise(list_sources([tmp_path])) == 0
