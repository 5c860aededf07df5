"""Real files of every format that is imported, written by the library that defines the format or shipped by it.

Their content is worth looking at: photographs of scikit-image, examples of nibabel and pydicom, and the bodies,
rooms, cells and hearts of the bundled samples.
"""

from __future__ import annotations

from tests.end_to_end.real_files.flat import FLAT
from tests.end_to_end.real_files.language import LANGUAGE
from tests.end_to_end.real_files.making import RealFiles
from tests.end_to_end.real_files.medical import MEDICAL
from tests.end_to_end.real_files.moving import MOVING
from tests.end_to_end.real_files.spatial import SPATIAL

REAL_FILES: tuple[RealFiles, ...] = (*MEDICAL, *MOVING, *FLAT, *SPATIAL, *LANGUAGE)
