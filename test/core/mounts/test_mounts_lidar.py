"""The check of the mounts against lidar: a scene drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.mounts import LidarMisalignment, LidarMountCheck, Suspect, misalignment_sentence
from fsmde_core.mounts.alignment import SweepView, align
from fsmde_core.mounts.lidar import MIN_SWEEPS, sweep_view
from fsmde_core.rig.rig import Camera, Rig
from support.turned_rigs import AXES, turn

WIDTH, HEIGHT, FOCAL = 448, 256, 217.0
EYE_M = 1.5
PANELS = (  # left, right, top, bottom, distance, metres in the optical frame
    (-6.0, -4.0, -3.0, EYE_M, 7.0),
    (-2.0, -1.2, -0.5, EYE_M, 5.0),
    (0.5, 1.0, -2.0, EYE_M, 9.0),
    (2.5, 5.0, -1.0, EYE_M, 12.0),
    (5.5, 7.0, -4.0, EYE_M, 8.0),
    (-40.0, 40.0, -9.0, EYE_M, 30.0),
)


def camera() -> Camera:
    K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    return Camera("front", WIDTH, HEIGHT, K)


def depth_at(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Metres at pixels of the scene: a road, six upright panels, sky at 80 m."""
    x, y = (u - WIDTH / 2) / FOCAL, (v - HEIGHT / 2) / FOCAL
    depth = np.where(y > 1e-3, EYE_M / np.maximum(y, 1e-3), np.inf)
    for left, right, top, bottom, z in PANELS:
        hit = (x * z >= left) & (x * z <= right) & (y * z >= top) & (y * z <= bottom)
        depth = np.minimum(depth, np.where(hit, z, np.inf))
    return np.minimum(depth, 80.0)


def scene_depth() -> np.ndarray:
    """As a network gives it: its outlines are those of an image of a quarter of the size."""
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    small = cv2.resize(np.log(depth_at(u, v)), (WIDTH // 4, HEIGHT // 4), interpolation=cv2.INTER_AREA)
    return np.exp(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)).astype(np.float32)


def scene_points(seed: int, count: int = 1000) -> np.ndarray:
    """(N, 3) points of the scene where a lidar may have them, in the true optical frame."""
    rng = np.random.default_rng(seed)
    u, v = rng.uniform(0, WIDTH - 1, count), rng.uniform(0, HEIGHT - 1, count)
    z = depth_at(u, v)
    points = np.stack([z * (u - WIDTH / 2) / FOCAL, z * (v - HEIGHT / 2) / FOCAL, z], axis=1)
    return points[z < 60]


def views(rotation: np.ndarray, depth: np.ndarray, count: int = 6) -> list[SweepView]:
    """Points of a camera whose mount is turned by `rotation` from where the rig has it."""
    return [SweepView((scene_points(n) @ rotation.T).astype(np.float32), np.log(depth)) for n in range(count)]


@pytest.mark.parametrize("degrees", [2.0, -2.0])
@pytest.mark.parametrize("axis", AXES)
def test_a_turn_about_each_axis_is_measured(axis: str, degrees: float) -> None:
    mount = degrees * np.eye(3)[AXES[axis]]
    found = align(camera(), views(turn(*mount), scene_depth()))
    assert found is not None
    np.testing.assert_allclose(found.rotation_deg, -mount, atol=0.25)
    assert found.error < 0.01


@settings(max_examples=8, deadline=None)
@given(st.tuples(*[st.floats(-2, 2)] * 3))
def test_any_turn_is_measured(mount: tuple[float, float, float]) -> None:
    """The blur of the outlines moves the result of every mount alike."""
    straight = align(camera(), views(np.eye(3), scene_depth()))
    found = align(camera(), views(turn(*mount), scene_depth()))
    assert straight is not None
    assert found is not None
    np.testing.assert_allclose(
        turn(*found.rotation_deg) @ turn(*mount), turn(*straight.rotation_deg), atol=np.radians(0.15)
    )


def test_depth_that_is_wrong_by_a_smooth_factor_turns_nothing() -> None:
    """By 40 % at the left and right, by 15 % at the bottom."""
    v, u = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    found = align(camera(), views(np.eye(3), scene_depth() * (1 + 0.4 * u**2 - 0.15 * v).astype(np.float32)))
    assert found is not None
    assert np.linalg.norm(found.rotation_deg) < 0.5


def test_few_points_are_no_evidence() -> None:
    assert align(camera(), views(np.eye(3), scene_depth(), count=1)[:1]) is not None
    few = SweepView(scene_points(0)[:300].astype(np.float32), np.log(scene_depth()))
    assert align(camera(), [few]) is None
    behind = SweepView(-scene_points(0).astype(np.float32), np.log(scene_depth()))
    assert align(camera(), [behind]) is None


def frame_of(points: np.ndarray, believed: Camera) -> Frame:
    """A frame whose lidar sits in the camera's true optical frame, the base."""
    image = CameraImage(0, pixels=np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    sweep = LidarSweep(0, points.astype(np.float32), np.eye(4))
    return Frame(0, Rig((believed,)), {"front": image}, {"front": np.eye(4)}, sweep)


def test_what_the_camera_cannot_see_is_left_out() -> None:
    """A point at 20 m straight behind one at 5 m, one too near, one too far, and one in the open."""
    points = np.array([[0, 0, 5.0], [0.01, 0, 20.0], [0.1, 0.1, 0.5], [30, 0, 70.0], [-3, 0.5, 10.0]])
    view = sweep_view(frame_of(points, camera()), camera(), scene_depth())
    np.testing.assert_allclose(sorted(view.points[:, 2]), [5.0, 10.0], atol=1e-5)
    np.testing.assert_allclose(view.points[view.points[:, 2] == 10.0], points[4:], atol=1e-5)


def judged(mount: np.ndarray, depth: np.ndarray, sweeps: int = MIN_SWEEPS) -> list[LidarMisalignment]:
    """By a rig that has the camera straight while its mount is turned by `mount`."""
    check = LidarMountCheck()
    for number in range(sweeps):
        check.add(frame_of(scene_points(number, 3000) @ mount.T, camera()), [camera()], depth[None])
    return check.judge()


def test_a_verdict_needs_sweeps_and_names_the_turn_of_the_mount() -> None:
    assert judged(turn(0, 2, 0), scene_depth(), MIN_SWEEPS - 1) == []
    (aligned,) = judged(turn(0, 2, 0), scene_depth())
    assert aligned.is_misaligned
    np.testing.assert_allclose([aligned.pitch, aligned.yaw, aligned.roll], [0, 2, 0], atol=0.25)
    (straight,) = judged(np.eye(3), scene_depth())
    assert straight.is_trusted
    assert not straight.is_misaligned
    assert straight.degrees < 0.3


def test_a_camera_that_no_point_falls_into_is_not_judged() -> None:
    check = LidarMountCheck()
    for _ in range(MIN_SWEEPS):
        check.add(frame_of(-scene_points(0), camera()), [camera()], scene_depth()[None])
    assert check.judge() == []


def test_depth_that_does_not_fit_the_lidar_is_no_witness() -> None:
    """A depth of noise fits at no turn, so whatever the fit says counts for nothing."""
    noise = np.exp(cv2.GaussianBlur(np.random.default_rng(0).normal(0, 3, (HEIGHT, WIDTH)), (0, 0), 3))
    (aligned,) = judged(turn(0, 3, 0), (scene_depth() * noise).astype(np.float32))
    assert not aligned.is_trusted
    assert not aligned.is_misaligned


def test_a_turn_counts_less_its_doubt() -> None:
    aligned = LidarMisalignment("front", pitch=0.0, yaw=1.6, roll=0.0, std=0.1, error=0.03)
    assert aligned.is_misaligned
    assert not replace(aligned, std=0.2).is_misaligned
    assert not replace(aligned, error=0.07).is_misaligned


def test_a_verdict_is_one_sentence_that_names_its_witness() -> None:
    aligned = LidarMisalignment("back", pitch=0.0, yaw=-3.0, roll=4.0, std=0.1, error=0.03)
    assert misalignment_sentence([aligned]) == (
        "camera 'back' is turned by 5.0 degrees against the rig, as the lidar shows (pitch +0.0, yaw -3.0, roll +4.0); "
        "check its mount, then calibrate it anew"
    )
    suspects = [Suspect(name, pitch=2.0, yaw=0.0, roll=0.0, gain=9.0) for name in ("left", "front_left")]
    assert misalignment_sentence(suspects).startswith(
        "camera 'left' or 'front_left' is turned by 2.0 degrees against the rig, as the overlap with its neighbours "
    )
