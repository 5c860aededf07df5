"""kNN segmentation: each place takes the class of the training places that resemble it most.

Recipe: as Balažević et al. 2023 (Hummingbird, arXiv 2306.01667), a memory of labelled places that is only looked up;
here 8000 places drawn at random, 20 neighbours, weighted as in DINO. Scored like the linear segmentation.
"""

from __future__ import annotations

from engine.evaluation.protocols.segmentation import segment
from engine.evaluation.protocols.setting import Finding, Protocol, Setting
from engine.evaluation.segmentation import place_neighbours
from engine.protocol.evaluations import BY_NAME


def measure(setting: Setting) -> Finding:
    """Return the mean IoU of nearest places."""
    return segment(setting, place_neighbours)


PROTOCOL = Protocol(BY_NAME["segmentation-knn"], measure)
