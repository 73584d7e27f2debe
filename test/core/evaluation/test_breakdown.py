"""Bands, thirds, sigma and steadiness against numbers worked out by hand, and streamed against computed at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.breakdown import band_names, sums_by_part
from fsmde_core.evaluation.measures.loops import add_to_bins
from fsmde_core.evaluation.measures.means import Percentiles
from fsmde_core.evaluation.measures.metrics import Metrics, depth_metrics, error_sums
from fsmde_core.evaluation.measures.pixels import Pixels, SparseDepth
from fsmde_core.evaluation.measures.steadiness import DepthView, depth_views, relative_changes, steadiness
from fsmde_core.evaluation.measures.uncertainty import REMOVED, SigmaSums, sigma_sums
from fsmde_core.evaluation.predictors.predictors import Prediction
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_core.frames import CameraImage, Frame
from fsmde_core.rig.geometry import Matrix, rigid
from fsmde_core.rig.rig import Camera, Rig

MS = 1_000_000


def pixels(truth: list[float], depth: list[float], sigma: list[float] | None = None, third: int = 0) -> Pixels:
    spread = None if sigma is None else np.array(sigma, np.float32)
    thirds = np.full(len(truth), third, np.uint8)
    return Pixels(np.array(truth, np.float32), np.array(depth, np.float32), spread, thirds)


# Bands and thirds


def test_bands_end_at_the_cap() -> None:
    assert band_names(80) == ["0-10", "10-20", "20-40", "40-80"]
    assert band_names(200)[-1] == "80-200"
    assert band_names(50) == ["0-10", "10-20", "20-40", "40-50"]
    assert band_names(8) == ["0-8"]


def test_pixels_fall_into_the_band_of_their_true_depth_and_into_their_third() -> None:
    some = pixels([5, 10, 19, 79], [10, 20, 19, 79], third=2)
    sums = sums_by_part(some, 80)
    assert sums.shape == (4, 3, 8)
    assert sums[:, :2].sum() == 0
    assert sums[:, 2, -1].tolist() == [1, 2, 0, 1]
    assert Metrics.of(sums[0, 2]).abs_rel == 1
    assert Metrics.of(sums[1, 2]).abs_rel == pytest.approx(0.5)  # 10 m belongs to 10-20
    np.testing.assert_allclose(sums.sum(axis=(0, 1)), error_sums(some.truth, some.depth)[0])


def test_thirds_are_counted_from_the_top_row() -> None:
    truth = SparseDepth.from_map(np.full((6, 1), 5, np.float32))
    found = SurroundDepthProtocol().pixels(truth, Prediction(np.full((6, 1), 5, np.float32)))
    assert found is not None and found.third.tolist() == [0, 0, 1, 1, 2, 2]


@given(st.lists(st.tuples(st.floats(0.5, 79), st.floats(0.5, 79)), min_size=1, max_size=40))
def test_the_parts_together_are_the_whole(pairs: list[tuple[float, float]]) -> None:
    some = pixels(*map(list, zip(*pairs, strict=True)))  # type: ignore[arg-type]
    whole, expected = Metrics.of(sums_by_part(some, 80).sum(axis=(0, 1))), depth_metrics(some.truth, some.depth)
    assert whole.n == expected.n
    assert (whole.rmse, whole.abs_rel) == (pytest.approx(expected.rmse), pytest.approx(expected.abs_rel))


# Sigma


def test_coverage_counts_errors_within_one_and_two_sigma() -> None:
    found = sigma_sums(pixels([10, 10, 10, 10], [11, 12, 13, 10], [1, 1.5, 1, 0.1]))
    assert found is not None
    document = found.document()
    assert document is not None
    assert document["coverage"] == {"1": 0.5, "2": 0.75}
    assert document["n"] == 4
    assert sigma_sums(pixels([10], [11])) is None
    assert SigmaSums.zeros().document() is None


def sparsification(key: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Mean error of what is left when the largest keys go, from all pixels at once."""
    ordered = np.concatenate([[0], np.cumsum(error[np.argsort(key)])])
    kept = (1 - REMOVED) * len(error)
    return np.interp(kept, np.arange(len(error) + 1), ordered) / kept


def between(curve: np.ndarray | float, oracle: np.ndarray) -> float:
    """Mean distance of two curves over the shares removed, by the trapezoid rule."""
    distance = curve - oracle
    return float((distance[1:] + distance[:-1]).mean() / 2)


@pytest.mark.parametrize("skill", [0.0, 0.3, 1.0])
def test_streamed_curves_are_those_of_all_pixels_at_once(skill: float) -> None:
    """skill: how much sigma knows of the error."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(2, 80, 30_000)
    depth = truth * np.exp(rng.normal(0, 0.2, truth.size))
    sigma = depth * np.exp(skill * np.log(np.abs(depth / truth - 1) + 1e-3) + rng.normal(-1, 0.3, truth.size))
    whole = pixels(list(truth), list(depth), list(sigma))
    assert whole.sigma is not None
    total = SigmaSums.zeros()
    for part in np.array_split(np.arange(truth.size), 7):
        found = sigma_sums(Pixels(whole.truth[part], whole.depth[part], whole.sigma[part], whole.third[part]))
        assert found is not None
        total += SigmaSums.from_lists(found.to_lists())
    document = total.document()
    assert document is not None
    error = np.abs(whole.truth - whole.depth) / whole.truth
    curve, oracle = sparsification(whole.sigma / whole.depth, error), sparsification(error, error)
    np.testing.assert_allclose(document["sparsification"]["abs_rel"], curve, rtol=0.01, atol=1e-4)
    np.testing.assert_allclose(document["sparsification"]["oracle"], oracle, rtol=0.01, atol=1e-4)
    assert document["sparsification"]["random"] == pytest.approx(error.mean(), rel=1e-6)
    assert document["ause"] == pytest.approx(between(curve, oracle), abs=2e-3)
    knows_nothing = between(error.mean(), oracle)
    assert (document["ause"] < 0.8 * knows_nothing) == (skill > 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sigma_must_be_a_number_where_it_is_measured(bad: float) -> None:
    truth, depth = SparseDepth.from_map(np.full((2, 3), 5, np.float32)), np.full((2, 3), 4, np.float32)
    sigma = np.ones((2, 3), np.float32)
    sigma[0, 1:] = bad
    with pytest.raises(FsmdeError, match="sigma is NaN or infinite at 2 of 6 measured pixels"):
        SurroundDepthProtocol().pixels(truth, Prediction(depth, sigma))


def test_nothing_is_counted_beside_the_histogram() -> None:
    memory = np.zeros(30)
    histogram = memory[10:20].reshape(2, 5)
    add_to_bins(np.array([-np.inf, -3, 0.5, 3.9, 4, 1e300, np.inf, np.nan]), np.ones(8), histogram)
    assert histogram.tolist() == [[3, 0, 0, 1, 4]] * 2
    assert memory.sum() == 16


# Steadiness

K = np.array([[20.0, 0, 19.5], [0, 20.0, 9.5], [0, 0, 1]])
FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
CAMERA = Camera("front", 40, 20, K, rigid(FORWARD, [0, 0, 1]))


def view(depth: float, ahead: float = 0.0, stamp_ms: int = 0) -> DepthView:
    """A wall at `depth` metres, seen from `ahead` metres further on."""
    T_world_camera = rigid(np.eye(3), [ahead, 0, 0]) @ CAMERA.T_base_camera
    return DepthView(stamp_ms * MS, CAMERA, T_world_camera, np.full((20, 40), depth, np.float32))


def test_a_wall_that_comes_nearer_as_the_vehicle_moves_is_steady() -> None:
    found = relative_changes(view(20), view(15, ahead=5), 80)
    assert found.size > 20 and np.abs(found).max() < 1e-6


def test_a_wall_that_does_not_is_not() -> None:
    """15 m expected, 20 m predicted: 5 / 17.5, whatever the pixel."""
    found = relative_changes(view(20), view(20, ahead=5), 80)
    assert found == pytest.approx(5 / 17.5)


def test_a_turn_is_taken_out() -> None:
    """After a quarter turn to the left the camera sees nothing of what it saw."""
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    after = DepthView(0, CAMERA, rigid(turn, [0, 0, 0]) @ CAMERA.T_base_camera, np.full((20, 40), 20, np.float32))
    assert relative_changes(view(20), after, 80).size == 0


def test_depth_from_the_cap_on_and_holes_do_not_count() -> None:
    assert relative_changes(view(80), view(20), 80).size == 0
    assert relative_changes(view(20), view(80), 80).size == 0
    assert relative_changes(view(float("nan")), view(20), 80).size == 0
    assert relative_changes(view(20), view(float("nan")), 80).size == 0


def test_only_frames_close_in_time_are_compared() -> None:
    near, interval_s = steadiness({"front": view(20)}, {"front": view(22, stamp_ms=500)}, 80)
    assert near["front"][0] / near["front"][1] == pytest.approx(2 / 21) and interval_s == 0.5
    assert steadiness({"front": view(20)}, {"front": view(22, stamp_ms=700)}, 80) == ({}, None)
    assert steadiness({"front": view(20)}, {"front": view(22)}, 80) == ({}, None)
    assert steadiness({}, {"front": view(22)}, 80) == ({}, None)


@pytest.mark.parametrize(("pose", "known"), [(np.eye(4), False), (rigid(np.eye(3), [1, 0, 0]), True)])
def test_a_recording_without_odometry_has_no_steadiness(pose: Matrix, known: bool) -> None:
    image = CameraImage(5, pixels=np.zeros((20, 40, 3), np.uint8))
    frame = Frame(0, Rig((CAMERA,)), {"front": image}, {"front": pose})
    found = depth_views(frame, {"front": Prediction(np.full((10, 20), 5, np.float32))})
    assert bool(found) == known
    if known:
        assert (found["front"].camera.width, found["front"].stamp_ns) == (20, 5)


# Percentiles


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=60))
@settings(max_examples=50)
def test_percentiles_are_those_of_all_values_to_half_a_percent(values: list[float]) -> None:
    found = Percentiles()
    for value in values:
        found.add(value)
    for percent in (50, 95, 99):
        expected = np.percentile(values, percent, method="inverted_cdf")
        assert found(percent) == pytest.approx(expected, rel=0.0051)
