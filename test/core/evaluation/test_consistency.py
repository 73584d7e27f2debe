"""Cross-view consistency against distances worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.consistency import LEAST_POINTS, cross_view_consistency, lidar_differences
from fsmde_core.evaluation.predictors.predictors import Prediction, Predictor
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.rig.geometry import Matrix, rigid, rotation_from_quaternion
from fsmde_core.rig.rig import Camera, Rig

OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
SIZE = (20, 40)
POINT = np.array([10.0, 0, 0])


def camera(name: str, left_m: float, yaw: float = 0.0) -> Camera:
    """Looks along x, `left_m` to the left of the vehicle, turned by `yaw` radians."""
    height, width = SIZE
    K = np.array([[20.0, 0, (width - 1) / 2], [0, 20.0, (height - 1) / 2], [0, 0, 1]])
    turn = rotation_from_quaternion(np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
    return Camera(name, width, height, K, rigid(turn @ OPTICAL, (0, left_m, 0)))


class Street:
    """Frames of two cameras 2 m apart; the vehicle drives `moved` metres between their exposures."""

    name = "street"
    notes = ()

    def __init__(self, points: np.ndarray, moved: float = 0.0, yaws: tuple[float, float] = (0, 0)) -> None:
        self.rig = Rig((camera("left", 1, yaws[0]), camera("right", -1, yaws[1])))
        self.points, self.moved = points, moved

    def __len__(self) -> int:
        return 1

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        poses: dict[str, Matrix] = {"left": np.eye(4), "right": rigid(np.eye(3), (self.moved, 0, 0))}
        images = {name: CameraImage(0, pixels=np.zeros((*SIZE, 3), np.uint8)) for name in poses}
        yield Frame(0, self.rig, images, poses, LidarSweep(0, self.points.astype(np.float32), np.eye(4)))


class Depths(Predictor):
    """The same depth per camera everywhere."""

    name = "depths"

    def __init__(self, **metres: float) -> None:
        self.depth = {name: np.full(SIZE, value, np.float32) for name, value in metres.items()}

    def predict(self, frame: Frame) -> Mapping[str, Prediction]:
        return {name: Prediction(depth) for name, depth in self.depth.items()}


def difference(street: Street, **metres: float) -> np.ndarray:
    return lidar_differences(next(street.frames()), Depths(**metres).depth)["left/right"]


def test_true_depths_agree_although_the_vehicle_moves_between_the_exposures() -> None:
    street = Street(POINT[None], moved=3.0)
    np.testing.assert_allclose(difference(street, left=10, right=7), [0], atol=1e-6)
    assert difference(street, left=10, right=10)[0] > 0.3


def test_the_difference_is_that_of_the_two_moved_points() -> None:
    """Twice the depth in the left view: from (0, 1, 0) through (10, 0, 0) to (20, -1, 0)."""
    expected = np.hypot(10, 1) / ((np.hypot(20, 1) + 10) / 2)
    np.testing.assert_allclose(difference(Street(POINT[None]), left=20, right=10), [expected], rtol=1e-6)


@given(scale=st.floats(0.2, 5))
def test_a_common_scale_does_not_pass_for_agreement(scale: float) -> None:
    """Both views scaled about their own centres, 2 m apart: |scale - 1| times 2 m lie between the moved points."""
    middle = np.hypot(10 * scale, scale - 1)
    expected = 2 * abs(scale - 1) / middle
    np.testing.assert_allclose(
        difference(Street(POINT[None]), left=10 * scale, right=10 * scale), [expected], rtol=1e-4, atol=1e-6
    )


def test_only_points_within_both_views_and_the_cap_count() -> None:
    street = Street(np.array([POINT, [100.0, 0, 0], [1, 3, 0], [-5, 0, 0]]))
    assert difference(street, left=10, right=10).shape == (1,)
    assert difference(street, left=np.nan, right=10).shape == (0,)


def test_hidden_points_do_not_count() -> None:
    """Behind the first point, on the left camera's ray: one at three times its depth, one close to it."""
    street = Street(np.array([POINT, [30, -2, 0], [12, -0.2, 0]]))
    assert difference(street, left=10, right=10).shape == (2,)


def test_edges_are_averaged_and_the_points_counted() -> None:
    street = Street(np.array([POINT] * LEAST_POINTS))
    result = cross_view_consistency(street, Depths(left=20, right=10))
    expected = np.hypot(10, 1) / ((np.hypot(20, 1) + 10) / 2)
    assert result.edges == {"left/right": pytest.approx(expected, rel=1e-6)}
    assert result.mean == pytest.approx(expected, rel=1e-6)
    assert result.n == LEAST_POINTS


def test_a_few_shared_points_say_nothing_of_an_edge() -> None:
    with pytest.raises(FsmdeError, match="or too few are"):
        cross_view_consistency(Street(np.array([POINT] * (LEAST_POINTS - 1))), Depths(left=20, right=10))


def test_views_that_never_overlap_are_an_error() -> None:
    street = Street(POINT[None], yaws=(0, np.pi))
    with pytest.raises(FsmdeError, match="street is seen by two neighbouring cameras"):
        cross_view_consistency(street, Depths(left=10, right=10))
