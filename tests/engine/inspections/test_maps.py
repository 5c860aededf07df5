"""Maps of embeddings: what is near stays near, maps do not turn, files are whole, further records find their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.data.writer import DatasetWriter
from engine.errors import ConfigError, MethodError, RunError
from engine.inspections.feature_cache import list_features
from engine.inspections.map_columns import map_columns
from engine.inspections.mapping import Frame, make_maps
from engine.inspections.maps import StoredMap, delete_map, list_maps, load_map, save_map
from engine.inspections.projectors import Projected, check_options, place, project
from engine.protocol.messages import FeatureChoice, MapColumn, MapInfo, MapOptions
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.runs import RunFolder
from tests.engine.inspections.conftest import make_pictures

UMAP = pytest.param("UMAP", marks=pytest.mark.slow)  # compiles for a quarter of a minute
ITERATIVE = ("t-SNE", "PaCMAP", UMAP)
PROJECTIONS = ("PCA", *ITERATIVE)
BLOB = 40


def blobs(count: int = 3 * BLOB, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, 12))
    return (6 * np.eye(3, 12)[np.arange(count) % 3] + noise).astype(np.float32)


def options(projection: str = "PCA", dimensions: int = 2) -> MapOptions:
    return MapOptions(projection=projection, dimensions=dimensions, neighbours=10, perplexity=10)


def nearest_blob(points: np.ndarray, reference: np.ndarray, own: bool) -> np.ndarray:
    """Return to which blob most of the 5 nearest of `reference` belong, of each point."""
    distances = ((points[:, None] - reference) ** 2).sum(axis=2)
    if own:
        np.fill_diagonal(distances, np.inf)
    votes = np.argsort(distances, axis=1)[:, :5] % 3
    return np.array([np.bincount(row, minlength=3).argmax() for row in votes])


@pytest.fixture(scope="module")
def made() -> dict[str, Projected]:
    return {}


def projected(made: dict[str, Projected], name: str) -> Projected:
    if name not in made:
        made[name] = project(blobs(), options(name), lambda *_: None)
    return made[name]


@pytest.mark.parametrize("name", PROJECTIONS)
def test_that_three_blobs_stay_three_blobs(made: dict[str, Projected], name: str) -> None:
    points = projected(made, name).points
    assert points.shape == (120, 2)
    assert points.dtype == np.float32
    assert (nearest_blob(points, points, own=True) == np.arange(120) % 3).mean() > 0.95


@pytest.mark.parametrize("name", PROJECTIONS)
def test_that_further_records_are_placed_with_those_they_resemble(made: dict[str, Projected], name: str) -> None:
    known = projected(made, name)
    placed = place(blobs(30, seed=1), options(name), known, blobs, lambda *_: None)
    assert placed.shape == (30, 2)
    assert (nearest_blob(placed, known.points, own=False) == np.arange(30) % 3).mean() > 0.9


@pytest.mark.parametrize("name", ITERATIVE)
def test_that_iterations_are_told_and_end_when_that_is_asked_for(name: str) -> None:
    told: list[tuple[float, float]] = []

    def cancel_on_the_way(done: float, total: float, unit: str, current: str) -> None:
        if total:
            told.append((done, total))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project(blobs(), options(name), cancel_on_the_way)
    assert 0 <= told[0][0] < told[0][1]


def test_that_principal_components_are_those_of_the_singular_value_decomposition() -> None:
    features = blobs()
    found = project(features, options(dimensions=3), lambda *_: None)
    centred = features - features.mean(axis=0)
    values, axes = np.linalg.svd(centred, full_matrices=False)[1:]
    expected = centred @ axes[:3].T
    assert np.allclose(np.abs(found.points), np.abs(expected), atol=1e-3)
    assert found.explained == pytest.approx((values**2 / (values**2).sum())[:3], rel=1e-4)
    assert np.allclose(place(features, options(dimensions=3), found, blobs, lambda *_: None), found.points, atol=1e-4)


def test_that_features_of_another_width_are_not_placed(made: dict[str, Projected]) -> None:
    with pytest.raises(MethodError, match="width"):
        place(np.zeros((2, 5), np.float32), options(), projected(made, "PCA"), blobs, lambda *_: None)


@pytest.mark.parametrize(
    "bad",
    [
        MapOptions(projection="UMAP", neighbours=100),
        MapOptions(projection="t-SNE", perplexity=40),
        MapOptions(projection="UMAP", neighbours=5, minimum_distance=1.5),
    ],
)
def test_that_settings_that_the_records_do_not_allow_are_named(bad: MapOptions) -> None:
    with pytest.raises(ConfigError):
        check_options(bad, 100)


def test_that_a_frame_turns_and_mirrors_but_keeps_distances() -> None:
    raw = np.random.default_rng(0).normal(size=(50, 2)) * [5, 1] + 40
    frame = Frame.of(raw)
    shown = frame.apply(raw)
    assert np.square(shown).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)
    angle = np.array([[0.6, 0.8], [0.8, -0.6]])  # a mirroring
    target = shown @ angle + 2
    turned = frame.toward(shown, target).apply(raw)
    assert np.allclose(turned, target, atol=1e-5)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────


def stored(key: str = "0000001-pca", created: str = "2026-01-01") -> StoredMap:
    info = MapInfo(
        key=key, run="r", step=1, dataset="d", path="/d.h5", checksum="c", split="", shown=4, total=9,
        chosen="at random (seed 0)", options=MapOptions(), created=created,
        columns=(MapColumn(name="label", kind="class"),),
    )  # fmt: skip
    points = np.arange(8, dtype=np.float32).reshape(4, 2)
    return StoredMap(info, points, np.arange(4), (np.array([0, 1, -1, 0], np.int32),), {"raw": points})


def test_that_a_map_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    save_map(tmp_path, stored())
    found = load_map(tmp_path, "0000001-pca")
    assert found.info == stored().info
    assert found.info.title == "showing 4 of 9, at random (seed 0)"
    assert np.array_equal(found.points, stored().points)
    assert found.columns[0].tolist() == [0, 1, -1, 0]
    assert found.fit == {}
    assert list(load_map(tmp_path, "0000001-pca", with_fit=True).fit) == ["raw"]


def test_that_maps_are_listed_newest_first_without_damaged_ones(tmp_path: Path) -> None:
    save_map(tmp_path, stored("old"))
    save_map(tmp_path, stored("new", "2026-01-02"))
    (tmp_path / "maps" / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0no json!")
    assert [info.key for info in list_maps(tmp_path)] == ["new", "old"]
    with pytest.raises(RunError, match="damaged"):
        load_map(tmp_path, "bad")


def test_that_only_maps_of_the_run_are_read_and_removed(tmp_path: Path) -> None:
    save_map(tmp_path, stored())
    for key in ("../run", "none"):
        with pytest.raises(RunError):
            load_map(tmp_path, key)
        with pytest.raises(RunError):
            delete_map(tmp_path, key)
    delete_map(tmp_path, "0000001-pca")
    assert list_maps(tmp_path) == ()


# ── the job ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def history(masked_run: RunFolder) -> list[StoredMap]:
    result = make_maps(masked_run.path, FeatureChoice(most=10, seed=1), MapOptions(), lambda *_: None, steps=(2, 4))
    assert result["run"] == masked_run.name
    return [load_map(masked_run.path, key) for key in result["keys"]]


def test_that_a_history_shows_the_same_records_at_each_step_turned_alike(history: list[StoredMap]) -> None:
    early, late = history
    assert (early.info.step, late.info.step) == (2, 4)
    assert np.array_equal(early.records, late.records)
    assert late.info.aligned_with == early.info.key
    assert late.info.title == "showing 10 of 12, at random (seed 1)"
    cross = early.points.T @ late.points
    assert np.allclose(cross, cross.T, atol=1e-3)  # no turn brings it nearer
    assert np.linalg.eigvalsh(cross).min() > -1e-3


def test_that_the_same_map_made_again_is_the_same(masked_run: RunFolder, history: list[StoredMap]) -> None:
    choice, options = FeatureChoice(step=2), MapOptions(projection="t-SNE", perplexity=2)
    made = [make_maps(masked_run.path, choice, options, lambda *_: None)["keys"] for _ in range(2)]
    assert made[0] == made[1]
    first = load_map(masked_run.path, made[0][0])
    later = make_maps(masked_run.path, choice, options, lambda *_: None, steps=(2, 4))["keys"]
    again, moved = (load_map(masked_run.path, key) for key in later)
    assert np.allclose(again.points, first.points, atol=1e-4)
    assert (again.info.started_from, moved.info.started_from) == ("", again.info.key)


def test_that_features_are_computed_once_for_many_maps(masked_run: RunFolder, history: list[StoredMap]) -> None:
    told: list[tuple[float, str]] = []
    choice = FeatureChoice(most=10, seed=1, step=4)
    make_maps(masked_run.path, choice, MapOptions(dimensions=3), lambda *said: told.append((said[0], said[3])))
    assert [done for done, what in told if what == "features"] == [10]
    assert {found.step for found in list_features(masked_run.path)} >= {2, 4}


def test_that_other_data_is_placed_into_an_existing_map(
    masked_run: RunFolder, history: list[StoredMap], tmp_path: Path
) -> None:
    base = history[1]
    copy = make_pictures(tmp_path / "copy.h5")  # the same pictures
    result = make_maps(
        masked_run.path, FeatureChoice(), MapOptions(), lambda *_: None, onto=base.info.key, dataset_path=str(copy)
    )
    found = load_map(masked_run.path, result["keys"][0])
    assert found.info.onto == base.info.key
    assert found.info.dataset == "copy"
    assert np.allclose(found.points[base.records], base.points, atol=1e-4)


def test_that_a_map_without_enough_records_is_refused(masked_run: RunFolder) -> None:
    with pytest.raises(ConfigError, match="records make no map"):
        make_maps(masked_run.path, FeatureChoice(most=3), MapOptions(), lambda *_: None)


def test_that_columns_hold_annotations_and_what_features_say(tmp_path: Path) -> None:
    from engine.data.store import Dataset

    schema = Schema(
        fields=(
            FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(1, 2, 2)),
            FieldSpec(name="label", kind=FieldKind.LABEL, dtype="int64", classes=("a", "b", "c")),
            FieldSpec(name="patient", kind=FieldKind.GROUP, dtype="str"),
            FieldSpec(name="age", kind=FieldKind.NUMBER, dtype="float64", unit="years"),
        )
    )
    with DatasetWriter(tmp_path / "d.h5", schema, name="d") as writer:
        for record in range(120):
            label = record % 3 if record != 7 else -1
            row = {"label": label, "patient": f"p{record % 4}", "age": float(record)}
            writer.append({"image": np.zeros((1, 2, 2), np.uint8), **row})
        writer.finish()
    features = blobs()
    features[6] = features[4]  # says a, lies among b
    with Dataset.open(tmp_path / "d.h5") as dataset:
        found = map_columns(dataset, np.arange(120), features, lambda *_: None)
    columns = dict(zip([spec.name for spec in found.specs], zip(found.specs, found.arrays, strict=True), strict=True))
    assert columns["age"][0].unit == "years"
    assert columns["patient"][1][:5].tolist() == [0, 1, 2, 3, 0]
    assert columns["label"][1][7] == -1
    clusters = columns["cluster"][1]
    assert (
        len(
            {(label, cluster) for label, cluster in zip(np.arange(120) % 3, clusters, strict=True)} - {(0, clusters[6])}
        )
        == 3
    )
    assert columns["prediction"][1][6] == 1
    assert columns["error"][1][6] > 0.9
    assert np.isnan(columns["agreement"][1][7])
    assert found.agreement > 0.95
