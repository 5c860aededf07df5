"""One viewer per kind of inspection, and the table of which draws what."""

from __future__ import annotations

from typing import Final

from app.theme import Theme
from app.viewers.attention import AttentionViewer
from app.viewers.base import Viewer
from app.viewers.curve_lines import CurvesViewer
from app.viewers.embedding import EmbeddingViewer
from app.viewers.feature_map import FeatureMapViewer
from app.viewers.histogram import HistogramViewer
from app.viewers.matches import MatchesViewer
from app.viewers.motion import MotionViewer
from app.viewers.neighbours import NeighboursViewer
from app.viewers.pictures import PicturesViewer
from app.viewers.point_cloud import GaussiansViewer, PointCloudViewer
from app.viewers.prototypes import PrototypesViewer
from app.viewers.reconstruction import ReconstructionViewer
from app.viewers.samples import SamplesViewer
from app.viewers.similarity import SimilarityViewer
from app.viewers.text_table import TextTableViewer
from app.viewers.unsupported import UnsupportedViewer
from app.viewers.volume_stack import VolumeStackViewer

VIEWERS: Final[dict[str, type[Viewer]]] = {
    # tag of the inspection kind: viewer
    "attention": AttentionViewer,
    "curves": CurvesViewer,
    "embedding": EmbeddingViewer,
    "feature-map": FeatureMapViewer,
    "gaussians": GaussiansViewer,
    "histogram": HistogramViewer,
    "matches": MatchesViewer,
    "motion": MotionViewer,
    "neighbours": NeighboursViewer,
    "pictures": PicturesViewer,
    "point-cloud": PointCloudViewer,
    "prototypes": PrototypesViewer,
    "reconstruction": ReconstructionViewer,
    "samples": SamplesViewer,
    "similarity": SimilarityViewer,
    "text-table": TextTableViewer,
    "volume-stack": VolumeStackViewer,
}


def make_viewer(kind: str, theme: Theme) -> Viewer:
    """Return a viewer for a kind of inspection; unknown kinds get one that says so."""
    return VIEWERS.get(kind, UnsupportedViewer)(theme)
