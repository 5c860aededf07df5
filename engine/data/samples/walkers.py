"""Walkers: people in short videos, one tracklet each, drawn as simple figures; identities are known for evaluation.

A person is three colours, a texture and proportions; a video has a light and a background of its own. Over time legs
swing, crops jitter and change scale, strips are covered, and people come late or leave early. Two cameras differ in
tint and sharpness, and the second sees everything mirrored; people of the test part walk before both.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import seeded, smooth_noise, to_bytes
from engine.data.samples.sample import Columns, Sample, annotation_fields, label_field, number_field, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema, companion

HEIGHT, WIDTH, FRAMES = 64, 32, 6
VIDEOS = (150, 0, 40)  # train, val, test
PEOPLE = 6  # in a video
CAMERAS = ("street", "station")
BUILDS = ("slim", "normal", "broad")
COVERED = 0.2
COMES_OR_LEAVES = 0.3
_STEP_S = 0.8
_SEED = 20_251_616


def make_person(random: np.random.Generator) -> dict[str, Array]:
    """Return the looks of a person: colours (3 parts, 3), skin (3,), proportions (4,) and the texture of the coat."""
    colours = [colorsys.hsv_to_rgb(random.random(), random.uniform(0.3, 1), random.uniform(0.25, 0.95)) for _ in "abc"]
    tone = random.uniform(0.3, 0.9)
    return {
        "colours": np.array(colours),  # coat, trousers, hair
        "skin": np.array([tone, 0.75 * tone, 0.6 * tone]),
        "proportions": np.array(
            [random.uniform(0.16, 0.3), random.uniform(0.36, 0.5), random.uniform(0.85, 1.1), random.uniform(0.1, 0.13)]
        ),
        "stripes": np.array([random.integers(0, 3), random.uniform(14, 40)]),
    }


def draw_person(person: dict[str, Array], phase: float, scale: float, shift: Array, ground: Array) -> Array:
    """Return a crop (64, 32, 3) of 0…1 of a person who walks before `ground` (64, 32, 3)."""
    y, x = np.meshgrid(
        ((np.arange(HEIGHT) + 0.5) / HEIGHT * 2 - 1 - shift[1]) / scale,
        ((np.arange(WIDTH) + 0.5) / WIDTH - 0.5 - shift[0]) / scale,
        indexing="ij",
    )  # y −1 … 1 from head to feet, x in the same unit
    wide, torso, tall, head = person["proportions"]
    y = y / tall
    coat, trousers, hair = person["colours"]
    picture = ground.copy()
    swing = 0.16 * np.sin(phase)
    for side in (1.0, -1.0):
        knee = side * swing * (y - 0.2)
        leg = (np.abs(x - side * 0.075 - knee) < 0.055 + 0.1 * wide) & (y > 0.15) & (y < 0.92)
        picture[leg] = trousers * (0.82 if side > 0 else 1.0)
        arm = np.abs(x - side * (wide + 0.05) + side * swing * 0.5 * (y + 0.5)) < 0.045
        picture[arm & (y > -0.52) & (y < 0.12)] = coat * 0.75
    body = (np.abs(x) < wide * (1 - 0.25 * np.clip(-y - 0.2, 0, 1))) & (y > -0.6) & (y < -0.6 + 1.75 * torso)
    kind, wave = person["stripes"]
    along = y if kind == 1 else x * 2
    pattern = 1.0 if kind == 0 else 1 + 0.35 * np.sign(np.sin(along * wave))
    picture[body] = (coat * np.broadcast_to(np.asarray(pattern)[..., None], picture.shape))[body]
    face = (x / head) ** 2 + ((y + 0.76) / (1.35 * head)) ** 2 < 1
    picture[face] = person["skin"]
    picture[face & (y < -0.8)] = hair
    return np.clip(picture, 0, 1)


def make_video(random: np.random.Generator, people: list[dict[str, Array]], camera: int) -> dict[str, list[Array]]:
    """Return the crops, times and boxes of each person of a video, as long as they are in sight: a list of each."""
    tint, gain = random.uniform(0.8, 1.2, 3), random.uniform(0.75, 1.15)
    ground = np.clip(
        random.uniform(0.3, 0.7, 3) + 0.1 * smooth_noise(random, (3,), 5, (HEIGHT, 4 * WIDTH)).transpose(1, 2, 0), 0, 1
    )
    clips = np.zeros((len(people), FRAMES, HEIGHT, WIDTH, 3))
    boxes = np.zeros((len(people), FRAMES, 4))
    visible = np.ones((len(people), FRAMES), bool)
    for number, person in enumerate(people):
        if random.random() < COMES_OR_LEAVES:
            gone = int(random.integers(1, FRAMES - 1))
            visible[number, slice(0, gone) if random.random() < 0.5 else slice(FRAMES - gone, None)] = False
        start, speed, pace = random.uniform(0.05, 0.6), random.uniform(-0.06, 0.06), random.uniform(0.9, 1.6)
        for frame in range(FRAMES):
            scale = random.uniform(0.8, 1.2) * 0.92
            shift = random.uniform(-0.1, 0.1, 2) * (0.6, 1)
            place = float(np.clip(start + speed * frame, 0, 0.75))
            left = int(place * 4 * WIDTH)
            crop = draw_person(person, 6 * pace * frame + number, scale, shift, ground[:, left : left + WIDTH])
            if random.random() < COVERED:
                row, thick = int(random.integers(0, HEIGHT - 12)), int(random.integers(6, 16))
                crop[row : row + thick] = random.uniform(0.1, 0.9, 3)
            clips[number, frame] = crop
            boxes[number, frame] = place, 0.2, place + 0.25, 0.2 + 0.7 * scale
    clips = clips * tint * gain
    if camera == 1:
        clips = _blurred(clips[:, :, :, ::-1] * np.array([0.85, 0.95, 1.15]))
        boxes[..., [0, 2]] = 1 - boxes[..., [2, 0]]
    clips += 0.015 * random.standard_normal(clips.shape)
    pixels = to_bytes(clips).transpose(0, 1, 4, 2, 3)
    times = np.arange(FRAMES) * _STEP_S
    return {
        "clip": [each[seen] for each, seen in zip(pixels, visible, strict=True)],
        companion("clip", "times_s"): [times[seen] for seen in visible],
        "boxes": [each[seen].astype(np.float32) for each, seen in zip(boxes, visible, strict=True)],
    }


def _blurred(clips: Array) -> Array:
    """Return clips (n, T, H, W, 3) at half their sharpness."""
    soft = (clips + np.roll(clips, 1, axis=2)) / 2
    return (soft + np.roll(soft, 1, axis=3)) / 2


def make_pieces(splits: tuple[int, ...] = (0, 1, 2)) -> Iterator[Columns]:
    """Yield the columns, ten videos at a time; in the test part two videos, one a camera, show the same people."""
    first = 0
    for split in splits:
        videos = VIDEOS[split]
        for start in range(0, videos, 10):
            parts, persons, names, cameras, builds = [], [], [], [], []
            for video in range(start, start + 10):
                crowd = video // 2 if split == 2 else video  # who walks here
                looks = [make_person(seeded(_SEED, split, crowd, number)) for number in range(PEOPLE)]
                camera = video % 2
                parts.append(make_video(seeded(_SEED, 9, split, video), looks, camera))
                persons += [f"{'abc'[split]}{crowd:03d}-{number}" for number in range(PEOPLE)]
                names += [f"{'abc'[split]}{video:03d}"] * PEOPLE
                cameras += [camera] * PEOPLE
                builds += [int(np.digitize(look["proportions"][0], (0.205, 0.255))) for look in looks]
            count = len(persons)
            yield {
                **{name: [each for part in parts for each in part[name]] for name in parts[0]},
                "person": persons,
                "video": names,
                "camera": np.array(cameras, np.int64),
                "label": np.array(builds, np.int64),
                **split_columns(split, first, count),
            }
            first += count


WALKERS = Sample(
    info=SampleInfo(
        name="walkers",
        kinds=("clip",),
        records=sum(VIDEOS) * PEOPLE,
        real=False,
        description="Tracklets of walking figures, six to a video, up to 6 crops of 64 × 32 px, RGB, 0.8 s apart, with "
        "identity, video, camera, times and boxes; test people walk before both cameras. Generated.",
        size_bytes=37_000_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(
                name="clip",
                kind=FieldKind.CLIP,
                shape=(None, 3, HEIGHT, WIDTH),
                channels=("red", "green", "blue"),
            ),
            number_field(companion("clip", "times_s"), "s", (None,), "float64"),
            number_field("boxes", "", (None, 4)),  # left, top, right, bottom as shares of the frame
            FieldSpec(name="person", kind=FieldKind.GROUP, dtype="str"),
            FieldSpec(name="video", kind=FieldKind.GROUP, dtype="str"),
            label_field("camera", CAMERAS),
            *annotation_fields(BUILDS),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
