"""The check of the mounts: exact geometry of a synthetic ring."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fsmde_core.mounts import MountCheck
from fsmde_core.mounts.estimate import EdgeMatches, rank_suspects
from fsmde_core.mounts.matching import Matches, Overlap
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig
from support.turned_rigs import AXES, with_turned

NAMES = ("front", "front_right", "back_right", "back", "back_left", "front_left")
STAGGER_S = {name: 0.015 * place for place, name in enumerate(NAMES)}


def ring() -> Rig:
    """Six cameras 60 degrees apart that see 90 degrees each, a metre from the middle, 1.5 m up."""
    cameras = []
    for index, name in enumerate(NAMES):
        yaw = -np.radians(60 * index)
        forward, right = np.array([np.cos(yaw), np.sin(yaw), 0]), np.array([np.sin(yaw), -np.cos(yaw), 0])
        K = np.array([[80.0, 0, 79.5], [0, 80.0, 47.5], [0, 0, 1]])
        pose = rigid(np.stack([right, [0, 0, -1], forward], axis=1), forward + np.array([0, 0, 1.5]))
        cameras.append(Camera(name, 160, 96, K, pose))
    return Rig(tuple(cameras))


def points_seen(truth: Rig, believed: Rig, speed: float, seed: int) -> list[EdgeMatches]:
    """Exact matches of a cloud of points, with rays as `believed` has them and distances 10 % off."""
    rng = np.random.default_rng(seed)
    angle, distance = rng.uniform(-np.pi, np.pi, 600), rng.uniform(4, 40, 600)
    points = np.stack([distance * np.cos(angle), distance * np.sin(angle), rng.uniform(0, 4, 600)], axis=1)
    check = []
    for first, second in truth.edges:
        rays, seen = [], np.ones(len(points), bool)
        for name in (first, second):
            T = truth[name].T_base_camera
            moved = points - T[:3, 3] - [speed * STAGGER_S[name], 0, 0]
            local = moved @ T[:3, :3]
            seen &= (np.abs(local[:, 0]) < local[:, 2]) & (np.abs(local[:, 1]) < 0.6 * local[:, 2])
            rays.append(local / np.linalg.norm(local, axis=1, keepdims=True) @ believed[name].T_base_camera[:3, :3].T)
        away = np.linalg.norm(points - truth[first].T_base_camera[:3, 3], axis=1) * rng.uniform(0.9, 1.1, len(points))
        gap = STAGGER_S[second] - STAGGER_S[first]
        matches = Matches(rays[0][seen], rays[1][seen], away[seen])
        check.append(EdgeMatches(NAMES.index(first), NAMES.index(second), gap, matches))
    return check


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", NAMES)
def test_the_turned_camera_of_a_driving_ring_is_named(name: str, axis: str) -> None:
    """The rig believes a mount 2 degrees off; the vehicle drives 8 m/s, cameras expose 15 ms one after the other."""
    truth = ring()
    believed = with_turned(truth, name, axis, -2.0)
    found = rank_suspects(believed.cameras, [points_seen(truth, believed, speed=8.0, seed=seed) for seed in range(3)])
    assert found[0].camera == name
    assert found[0].gain > 2 * found[1].gain
    measured = [found[0].pitch, found[0].yaw, found[0].roll]
    np.testing.assert_allclose(measured, 2.0 * np.eye(3)[AXES[axis]], atol=0.4)


def test_a_rig_as_it_is_explains_everything() -> None:
    found = rank_suspects(ring().cameras, [points_seen(ring(), ring(), speed=8.0, seed=seed) for seed in range(3)])
    assert {suspect.camera for suspect in found} == set(NAMES)
    assert max(suspect.gain for suspect in found) < 0.5
    assert max(suspect.degrees for suspect in found) < 0.3


def test_nothing_to_see_accuses_nobody() -> None:
    assert rank_suspects(ring().cameras, [[], []]) == []


def test_cameras_that_share_nothing_have_no_matches() -> None:
    front, back = ring()["front"], ring()["back"]
    overlap = Overlap(front, back)
    grey = np.random.default_rng(0).integers(0, 255, (96, 160), np.uint8)
    assert not overlap.exists
    assert overlap.match((grey, grey), (np.full((96, 160), 5, np.float32),) * 2) is None


def test_nothing_is_matched_where_a_camera_has_no_depth() -> None:
    """Two cameras at one place see the same picture; the right half of one's is the own vehicle."""
    front = ring()["front"]
    overlap = Overlap(front, replace(front, name="beside"))
    noise = np.random.default_rng(0).integers(0, 255, (96, 160), np.uint8)
    grey = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    seen = np.full((96, 160), 5, np.float32)
    half = seen.copy()
    half[:, 80:] = np.nan
    every = overlap.match((grey, grey), (seen, seen))
    assert every is not None and (every.first @ front.T_base_camera[:3, 0] > 0).sum() > 10
    for depth in ((seen, half), (half, seen)):
        found = overlap.match((grey, grey), depth)
        assert found is not None and len(found.first) > 10
        assert (np.concatenate([found.first, found.second]) @ front.T_base_camera[:3, 0] < 0).all()


def test_the_report_has_every_edge_even_of_blank_images() -> None:
    rig = ring()
    check = MountCheck(rig)
    stamps = dict.fromkeys(NAMES, 0)
    for _ in range(10):
        report = check.update(
            rig.cameras, np.zeros((6, 96, 160, 3), np.uint8), np.full((6, 96, 160), 8, np.float32), stamps
        )
    assert list(report.edges) == ["/".join(edge) for edge in rig.edges]
    assert all(edge.matches == 0 and np.isnan(edge.epipolar_deg) for edge in report.edges.values())
    assert report.misaligned == ()
    assert report.unjudged == NAMES
    assert report.checks == 10
    five = check.update(
        rig.cameras[1:], np.zeros((5, 96, 160, 3), np.uint8), np.full((5, 96, 160), 8, np.float32), stamps
    )
    assert len(five.edges) == 4


def test_another_calibration_starts_the_check_anew() -> None:
    rig = ring()
    check = MountCheck(rig)
    images, depth, stamps = (
        np.zeros((6, 96, 160, 3), np.uint8),
        np.full((6, 96, 160), 8, np.float32),
        dict.fromkeys(NAMES, 0),
    )
    assert [check.update(rig.cameras, images, depth, stamps).checks for _ in range(3)] == [1, 2, 3]
    assert check.update([replace(camera) for camera in rig.cameras], images, depth, stamps).checks == 4
    assert check.update(with_turned(rig, "back", "yaw", 1).cameras, images, depth, stamps).checks == 1
