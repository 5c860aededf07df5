"""All families of formats, in the order in which they are asked."""

from __future__ import annotations

from engine.data.importers.arrays import ARRAYS
from engine.data.importers.bags import BAGS
from engine.data.importers.channels import CHANNELS
from engine.data.importers.clips import CLIPS
from engine.data.importers.dicom import DICOM_CINES, DICOM_IMAGES, DICOM_VOLUMES
from engine.data.importers.episodes import EPISODES
from engine.data.importers.grids import GRIDS
from engine.data.importers.images import ImageImporter
from engine.data.importers.importer import Importer
from engine.data.importers.motion import MOTIONS
from engine.data.importers.pairs import PAIRS
from engine.data.importers.points import POINTS
from engine.data.importers.slides import SLIDES
from engine.data.importers.texts import TEXTS
from engine.data.importers.views import VIEW_PAIRS, VIEWS
from engine.data.importers.volumes import CINES, VOLUMES

# of two that would read equally many files, the first is taken
IMPORTERS: tuple[Importer, ...] = (
    CLIPS,
    CHANNELS,
    SLIDES,
    BAGS,
    ImageImporter(),
    PAIRS,
    TEXTS,
    POINTS,
    GRIDS,
    DICOM_VOLUMES,
    DICOM_CINES,
    DICOM_IMAGES,
    VOLUMES,
    CINES,
    MOTIONS,
    EPISODES,
    VIEWS,
    VIEW_PAIRS,
    ARRAYS,
)
