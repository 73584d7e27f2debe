"""The overlap of neighbouring clouds against differences worked out by hand, and against the lidar projection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.clouds.packer import ray_table
from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.overlap import overlap_differences
from fsmde_core.lidar.projection import project
from fsmde_core.rig.geometry import Matrix, invert, rigid, rotation_from_quaternion
from fsmde_core.rig.rig import Camera

OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
SIZE = (20, 40)
EDGE = ("left", "right")


def camera(name: str, position: tuple[float, float, float], yaw: float = 0.0) -> Camera:
    height, width = SIZE
    K = np.array([[20.0, 0, (width - 1) / 2], [0, 20.0, (height - 1) / 2], [0, 0, 1]])
    turn = rotation_from_quaternion(np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
    return Camera(name, width, height, K, rigid(turn @ OPTICAL, position))


def walls(*metres: float) -> np.ndarray:
    return np.stack([np.full(SIZE, value, np.float32) for value in metres])


SIDE_BY_SIDE = [camera("left", (0, 1, 0)), camera("right", (0, -1, 0))]
ONE_BEHIND = [camera("left", (0, 0, 0)), camera("right", (-3, 0, 0))]


def test_walls_seen_in_parallel_differ_by_their_depths() -> None:
    found = overlap_differences(SIDE_BY_SIDE, walls(10, 8), [EDGE])
    assert set(found) == {"left/right"}
    np.testing.assert_allclose(found["left/right"], 2 / 9, rtol=1e-6)
    # 2 m aside at 10 m are 4 pixels, at 8 m 5: columns 4 to 39 of the left and 0 to 34 of the right are seen twice.
    assert len(found["left/right"]) == (18 + 18) * SIZE[0] / 2
    assert len(overlap_differences(SIDE_BY_SIDE, walls(10, 8), [EDGE], stride=1)["left/right"]) == (36 + 35) * SIZE[0]


def test_the_distance_between_the_cameras_is_taken_into_account() -> None:
    """A wall 10 m in front of one camera is 13 m in front of the one 3 m behind it."""
    np.testing.assert_allclose(overlap_differences(ONE_BEHIND, walls(10, 13), [EDGE])["left/right"], 0, atol=1e-6)


def test_the_vehicle_moves_between_the_exposures() -> None:
    """3 m ahead while the right camera waits: both cameras stand side by side, the wall is nearer for the second."""
    poses = {"left": np.eye(4), "right": rigid(np.eye(3), (3, 0, 0))}
    np.testing.assert_allclose(
        overlap_differences(SIDE_BY_SIDE, walls(10, 7), [EDGE], poses)["left/right"], 0, atol=1e-6
    )


def test_points_behind_something_nearer_do_not_count() -> None:
    """8 m against 16: the far wall's points are hidden, the near wall's are not and count."""
    found = overlap_differences(SIDE_BY_SIDE, walls(8, 16), [EDGE], stride=1)["left/right"]
    np.testing.assert_allclose(found, 2 * 8 / 24, rtol=1e-6)
    assert len(found) == 35 * SIZE[0]


def test_depths_that_are_none_or_beyond_the_cap_do_not_count() -> None:
    depth = walls(10, 10)
    depth[1] = np.nan
    assert overlap_differences(SIDE_BY_SIDE, depth, [EDGE])["left/right"].shape == (0,)
    assert overlap_differences(SIDE_BY_SIDE, walls(80, 70), [EDGE])["left/right"].shape == (0,)
    assert len(overlap_differences(SIDE_BY_SIDE, walls(80, 70), [EDGE], cap_m=100)["left/right"])


def test_edges_without_overlap_are_empty_and_without_a_camera_left_out() -> None:
    apart = [camera("left", (0, 1, 0)), camera("right", (0, -1, 0), np.pi)]
    found = overlap_differences(apart, walls(10, 10), [EDGE, ("right", "back")])
    assert set(found) == {"left/right"}
    assert len(found["left/right"]) == 0


def test_other_shapes_are_refused() -> None:
    with pytest.raises(FsmdeError, match=r"shape \(3, 20, 40\), expected one map of each camera's size"):
        overlap_differences(SIDE_BY_SIDE, walls(1, 2, 3), [EDGE])
    with pytest.raises(FsmdeError, match=r"shape \(20, 40\)"):
        overlap_differences(SIDE_BY_SIDE, walls(1)[0], [EDGE])
    bent = replace(SIDE_BY_SIDE[0], D=np.array([0.1, 0, 0, 0]))
    with pytest.raises(FsmdeError, match=r"\['left'\] are distorted"):
        overlap_differences([bent, SIDE_BY_SIDE[1]], walls(1, 1), [EDGE])


def by_points(cameras: list[Camera], depth: np.ndarray, T_world_base: dict[str, Matrix]) -> np.ndarray:
    """The same through explicit points in the world and the projection of the lidar."""
    parts = []
    for a, b in ((0, 1), (1, 0)):
        pose_a, pose_b = (T_world_base[cameras[i].name] @ cameras[i].T_base_camera for i in (a, b))
        rays, origin = ray_table(cameras[a], pose_a)
        world = (rays * depth[a].reshape(1, -1) + origin[:, None]).T
        seen = project(world, invert(pose_b), cameras[b])
        there = depth[b][seen.row, seen.column]
        visible = seen.z <= 1.5 * there
        parts.append(2 * np.abs(seen.z - there)[visible] / (seen.z + there)[visible])
    return np.concatenate(parts)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equals_the_way_through_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cameras = [camera(name, tuple(rng.uniform(-1, 1, 3)), rng.uniform(-0.5, 0.5)) for name in EDGE]
    poses = {name: rigid(np.eye(3), rng.uniform(-1, 1, 3)) for name in EDGE}
    depth = rng.uniform(5, 9, (2, *SIZE)).astype(np.float32)
    found = overlap_differences(cameras, depth, [EDGE], poses, stride=1)["left/right"]
    expected = by_points(cameras, depth, poses)
    # A point on the edge of a pixel may fall to either side in float32.
    assert len(found) == pytest.approx(len(expected), abs=3)
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=2e-3)
