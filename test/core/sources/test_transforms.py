"""The tree of frames: chains, motion between poses by a second computation, and where motion is not known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import invert, rigid, rotation_from_quaternion
from fsmde_core.sources.rosbag.transforms import Track, TransformTree
from support.bags import MS
from support.small_rig import OPTICAL, yaw

A, B, C = rigid(yaw(20), (1, 2, 3)), rigid(yaw(-50), (0, 1, 0)), rigid(OPTICAL, (4, 4, 4))


def track(poses: dict[int, np.ndarray]) -> Track:
    made = Track("odom", "base_link")
    for stamp, pose in poses.items():
        made.add(stamp, pose)
    return made


def between(T0: np.ndarray, T1: np.ndarray, share: float) -> np.ndarray:
    """The pose in between by the rotation vector of the turn from one to the other (cv2.Rodrigues)."""
    turn, _ = cv2.Rodrigues(T0[:3, :3].T @ T1[:3, :3])
    part, _ = cv2.Rodrigues(turn * share)
    return rigid(T0[:3, :3] @ part, T0[:3, 3] + share * (T1[:3, 3] - T0[:3, 3]))


quaternions = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1)


@given(st.lists(quaternions, min_size=2, max_size=5), st.integers(0, 100), st.randoms())
def test_motion_between_poses(turns: list[list[float]], share: int, order: object) -> None:
    poses = {k * 100 * MS: rigid(rotation_from_quaternion(*q), (k * k, -k, 0)) for k, q in enumerate(turns)}
    shuffled = list(poses.items())
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    moving = track(dict(shuffled))
    for stamp, pose in poses.items():
        np.testing.assert_allclose(moving.pose_at(stamp), pose, atol=1e-12)
    T0, T1 = poses[0], poses[100 * MS]
    if np.trace(T0[:3, :3].T @ T1[:3, :3]) > -0.999:  # half a turn has two equal ways
        # cv2.Rodrigues gives no turn at all below 1e-5 rad.
        np.testing.assert_allclose(moving.pose_at(share * MS), between(T0, T1, share / 100), atol=1e-5)


def circling(stamp: int) -> np.ndarray:
    """Constant speed and turning rate, so that motion goes on as it was."""
    return rigid(yaw(40e-9 * stamp), (10e-9 * stamp, 3, 0))


def test_motion_goes_on_for_half_a_second_and_no_longer() -> None:
    moving = track({k * 20 * MS: circling(k * 20 * MS) for k in range(100, 151)})  # from 2 s to 3 s
    for stamp in (1500, 1990, 3001, 3500):
        np.testing.assert_allclose(moving.pose_at(stamp * MS), circling(stamp * MS), atol=1e-9)
    for stamp, said in ((1499, "0.501 s after"), (3501, "0.501 s before"), (9000, "6.000 s before")):
        with pytest.raises(FsmdeError, match=rf"'base_link' in 'odom' within 0.5 s of stamp .*{said}"):
            moving.pose_at(stamp * MS)
    with pytest.raises(FsmdeError, match="none at all"):
        Track("odom", "base_link").pose_at(0)


def test_motion_across_a_gap_is_that_of_the_nearer_side() -> None:
    still = {k * 50 * MS: circling(1000 * MS) for k in range(10, 21)}  # stands until 1 s, is moved elsewhere, drives on
    driving = {k * 50 * MS: circling(k * 50 * MS) for k in range(60, 71)}  # from 3 s on
    moving = track(still | driving)
    np.testing.assert_allclose(moving.pose_at(1499 * MS), circling(1000 * MS), atol=1e-12)
    np.testing.assert_allclose(moving.pose_at(2600 * MS), circling(2600 * MS), atol=1e-9)
    with pytest.raises(FsmdeError, match=r"1.000 s before and 1.000 s after"):
        moving.pose_at(2000 * MS)
    lone = track({0: A, 600 * MS: B})
    np.testing.assert_array_equal(lone.pose_at(299 * MS), A)
    np.testing.assert_array_equal(lone.pose_at(301 * MS), B)


def test_noise_of_neighbouring_poses_does_not_grow() -> None:
    """A millimetre of noise on the last of the 200 Hz poses moves the pose half a second later by millimetres."""
    poses = {k * 5 * MS: circling(k * 5 * MS) for k in range(101)}
    poses[500 * MS] = poses[500 * MS] @ rigid(np.eye(3), (0.001, 0, 0))
    error = track(poses).pose_at(1000 * MS)[:3, 3] - circling(1000 * MS)[:3, 3]
    assert 0.001 < np.linalg.norm(error) < 0.0065


def test_the_last_pose_of_a_stamp_holds_and_old_ones_are_let_go() -> None:
    moving = track({k * 100 * MS: A for k in range(10)})
    moving.add(400 * MS, B)
    np.testing.assert_array_equal(moving.pose_at(400 * MS), B)
    moving.add(10_399 * MS, A)
    np.testing.assert_array_equal(moving.pose_at(400 * MS), B)
    with pytest.raises(FsmdeError, match=r"0.501 s after"):
        moving.pose_at(-101 * MS)  # those before 0.399 s are gone
    moving.add(0, B)  # the recording was looped: what comes now is the past of the poses that are known
    np.testing.assert_array_equal(moving.pose_at(400 * MS), B)
    assert moving.newest_ns == 0


def tree() -> TransformTree:
    made = TransformTree()
    made.add_fixed("root", "base", A)
    made.add_fixed("root", "mast", B)
    made.add_fixed("mast", "eye", C)
    return made


def test_frames_are_joined_over_their_common_ancestor() -> None:
    made = tree()
    np.testing.assert_allclose(made.lookup("base", "eye"), invert(A) @ B @ C, atol=1e-12)
    np.testing.assert_array_equal(made.lookup("eye", "eye"), np.eye(4))
    made.add_moving("odom", "root", 5, A)
    np.testing.assert_allclose(made.lookup("base", "eye"), invert(A) @ B @ C, atol=1e-12)  # what moves is above
    assert made.tracks_between("base", "eye") == []
    with pytest.raises(FsmdeError, match=r"does not join 'eye' to 'chassis'.*'base', 'eye', 'mast', 'odom', 'root'"):
        made.lookup("chassis", "eye")
    made.add_fixed("eye", "odom", np.eye(4))
    with pytest.raises(FsmdeError, match="circle"):
        made.lookup("base", "eye")


def test_moving_frames_need_a_moment() -> None:
    made = tree()
    for k in range(3):
        made.add_moving("eye", "pupil", k * 100 * MS, rigid(yaw(10 * k), (k, 0, 0)))
    expected = invert(A) @ B @ C @ rigid(yaw(15), (1.5, 0, 0))
    np.testing.assert_allclose(made.lookup("base", "pupil", 150 * MS), expected, atol=1e-9)
    np.testing.assert_allclose(made.lookup("pupil", "base", 150 * MS), invert(expected), atol=1e-9)
    (moving,) = made.tracks_between("base", "pupil")
    assert moving.newest_ns == 200 * MS
    with pytest.raises(FsmdeError, match=r"'pupil' moves in 'eye'.*must be fixed"):
        made.lookup("base", "pupil")
    empty = made.without_poses()
    with pytest.raises(FsmdeError, match="none at all"):
        empty.lookup("base", "pupil", 150 * MS)
    made.add_moving("mast", "pupil", 150 * MS, A)  # another parent: what was said before no longer holds
    np.testing.assert_allclose(made.lookup("mast", "pupil", 150 * MS), A)


def test_a_fixed_transform_goes_before_a_moving_one() -> None:
    made = tree()
    made.add_moving("odom", "eye", 0, A)
    np.testing.assert_allclose(made.lookup("base", "eye"), invert(A) @ B @ C, atol=1e-12)
