"""Reports: CT-like chest volumes around the heart, each with a short report and its findings.

Five findings come independently: bright specks of calcium on the vessels, a bright aortic ring, a dark rim around the
heart, a large heart, a wide pulmonary trunk. A report has a sentence on each, in one of several wordings; many people
share the same findings, which is what soft labels are for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.data.samples.noise import seeded, smooth_noise, to_bytes
from engine.data.samples.sample import Columns, Sample, annotation_fields, number_field, pieces_of, split_columns
from engine.protocol.inspections import Array
from engine.protocol.messages import SampleInfo
from engine.protocol.schema import FieldKind, FieldSpec, Schema

SHAPE, SPACING_MM = (32, 36, 36), 5.0
WINDOW = (-200.0, 800.0)  # HU of black and of white
COUNTS = (1000, 100, 200)
FINDINGS = ("coronary calcium", "aortic ring calcium", "pericardial effusion", "large heart", "wide pulmonary trunk")
PREVALENCE = (0.4, 0.25, 0.25, 0.3, 0.2)
REGIONS = ("air", "body", "lung", "heart", "aorta", "pulmonary trunk", "effusion", "calcium", "spine")
CLASSES = ("nothing found", "one finding", "two findings", "three or more findings")
_SEED = 20_251_919
_PRESENT = (
    ("Calcified plaques are seen along the coronary arteries.", "There is coronary calcification.",
     "The coronary vessels show bright calcium."),
    ("The wall of the aorta is calcified.", "A ring of calcium surrounds the aorta.", "Aortic calcification is noted."),
    ("A pericardial effusion is present.", "Fluid surrounds the heart.", "There is fluid in the pericardium."),
    ("The heart is enlarged.", "Cardiomegaly is present.", "The cardiac silhouette is wide."),
    ("The pulmonary trunk is dilated.", "The main pulmonary artery is wide.", "A widened pulmonary trunk is seen."),
)  # fmt: skip
_ABSENT = (
    ("No coronary calcium.", "The coronary arteries are free of plaques."),
    ("The aorta is unremarkable.", "No calcium in the aortic wall."),
    ("No pericardial effusion.", "The pericardium is dry."),
    ("Heart size is normal.", "The heart is not enlarged."),
    ("The pulmonary trunk is of normal width.", "Normal main pulmonary artery."),
)


def make_volumes(random: np.random.Generator, findings: Array) -> tuple[Array, Array]:
    """Return volumes (n, 1, 32, 36, 36) and regions (n, 32, 36, 36), uint8, for findings (n, 5).

    0…255 of a volume stands for −200…800 HU.
    """
    count = len(findings)

    def draw(low: float, high: float) -> Array:
        return random.uniform(low, high, (count, 1, 1, 1)).astype(np.float32)

    calcium, ring, effusion, large, wide = ((findings[:, number] == 1)[:, None, None, None] for number in range(5))
    axes = [((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32) for side in SHAPE]
    warp = 0.035 * smooth_noise(random, (3, count), 3, SHAPE)
    grid = np.meshgrid(*axes, indexing="ij")
    z, y, x = (each + bent + draw(-0.06, 0.06) for each, bent in zip(grid, warp, strict=True))
    body = (x / draw(0.93, 1.0)) ** 2 + (y / draw(0.84, 0.92)) ** 2 < 1
    side = np.abs(x)
    lung = ((side - 0.52) / 0.36) ** 2 + (y / 0.66) ** 2 < 1
    size = draw(0.34, 0.4) * np.where(large, np.float32(1.3), np.float32(1))
    turn = draw(0.3, 0.7)
    u = np.cos(turn) * (x + 0.12) + np.sin(turn) * (z + 0.15)
    w = np.cos(turn) * (z + 0.15) - np.sin(turn) * (x + 0.12)
    away = np.sqrt((u / 1.15) ** 2 + (w / 0.95) ** 2 + ((y - 0.12) / 0.95) ** 2) / size
    heart = away < 1
    fluid = (away >= 1) & (away < 1 + draw(0.2, 0.32)) & effusion
    from_aorta = np.hypot(x + 0.08 + 0.05 * z, y + 0.36)
    aorta = (from_aorta < 0.13) & body
    trunk_radius = draw(0.12, 0.14) * np.where(wide, np.float32(1.6), np.float32(1))
    trunk = (np.hypot(x - 0.05, y - 0.18) < trunk_radius) & (z > 0.22) & (z < 0.85)
    spine = (np.hypot(x / 1.15, y + 0.68) < 0.18) & body

    density: Array = np.where(body, np.float32(45), np.float32(-1000))
    density = np.where(body & ((x / 0.9) ** 2 + (y / 0.78) ** 2 > 1), -90, density)
    regions = body.astype(np.uint8)
    texture = smooth_noise(random, (count,), 12, SHAPE)
    specks = _specks(random, away, count) & calcium & heart
    shell = aorta & (from_aorta > 0.085) & ring
    drawn = (
        (2, lung & body, -800 + 35 * texture),
        (8, spine, 350 + 120 * np.sign(np.sin(z * 16))),
        (6, fluid & body, 8),
        (3, heart, draw(130, 190) + 12 * texture),
        (4, aorta, draw(230, 300)),
        (5, trunk, draw(250, 310)),
        (7, shell, 650),
        (7, specks, 750),
    )
    for number, there, hounsfield in drawn:
        density = np.where(there, hounsfield, density)
        regions[there] = number
    density += 25 * random.standard_normal(density.shape, np.float32)
    return to_bytes((density - WINDOW[0]) / (WINDOW[1] - WINDOW[0]))[:, None], regions


def _specks(random: np.random.Generator, away: Array, count: int) -> Array:
    """Return voxels along two vessels on the front of the heart, (n, 32, 36, 36) bool; two or three each."""
    z, y, x = (np.arange(side) for side in SHAPE)
    found = np.zeros((count, *SHAPE), bool)
    for number in range(count):
        rim = np.argwhere((away[number] > 0.72) & (away[number] < 0.98) & (y[None, :, None] > SHAPE[1] * 0.55))
        for centre in rim[random.choice(len(rim), 5, replace=False)]:
            near = [np.abs(each - middle) for each, middle in zip((z, y, x), centre, strict=True)]
            found[number] |= near[0][:, None, None] + near[1][None, :, None] + near[2][None, None, :] <= 1
    return found


def say(random: np.random.Generator, findings: Array) -> str:
    """Return a report of findings (5,) in random order and wording; what is absent may be left out."""
    sentences = []
    for number in random.permutation(len(FINDINGS)):
        if findings[number]:
            sentences.append(str(random.choice(_PRESENT[number])))
        elif random.random() < 0.5:
            sentences.append(str(random.choice(_ABSENT[number])))
    return " ".join(sentences) or "Normal findings."


def make_pieces() -> Iterator[Columns]:
    """Yield the columns, fifty volumes at a time."""
    for split, first, count in pieces_of(COUNTS, 50):
        random = seeded(_SEED, first)
        findings = (random.random((count, len(FINDINGS))) < np.array(PREVALENCE)).astype(np.uint8)
        volume, regions = make_volumes(random, findings)
        yield {
            "volume": volume,
            "report": [say(random, each) for each in findings],
            "mask": regions[:, ::2, ::2, ::2],
            "findings": findings,
            "label": np.minimum(findings.sum(axis=1), 3).astype(np.int64),
            **split_columns(split, first, count),
        }


REPORTS = Sample(
    info=SampleInfo(
        name="reports",
        kinds=("volume", "text"),
        records=sum(COUNTS),
        real=False,
        description="CT-like volumes around the heart, 32 × 36 × 36 voxels of 5 mm, −200…800 HU as 0…255, with a "
        "short report, five findings (0 or 1) and regions at every second voxel. Generated; no real patient.",
        size_bytes=61_000_000,
    ),
    schema=Schema(
        fields=(
            FieldSpec(
                name="volume",
                kind=FieldKind.VOLUME,
                shape=(1, *SHAPE),
                channels=("density",),
                spacing_mm=(SPACING_MM,) * 3,
            ),
            FieldSpec(name="report", kind=FieldKind.TEXT, dtype="str"),
            FieldSpec(name="mask", kind=FieldKind.MASK, shape=tuple(side // 2 for side in SHAPE), classes=REGIONS),
            number_field("findings", "", (len(FINDINGS),), "uint8"),
            *annotation_fields(CLASSES),
        )
    ),
    source="generated",
    licence="CC0",
    make=make_pieces,
)
