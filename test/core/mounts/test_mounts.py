"""The check of the mounts: exact geometry of a synthetic ring, and the real recordings with a rig that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsmde_core.mounts import MountCheck, MountReport
from fsmde_core.mounts.estimate import EdgeMatches, rank_suspects
from fsmde_core.mounts.matching import Matches, Overlap
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.datasets.ddad import DdadSource
from fsmde_core.sources.datasets.nuscenes import NuScenesSource
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_core.sources.source import IndexedSource
from support.turned_rigs import AXES, Sets, predicted, with_turned

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
    assert overlap.match(grey, grey, np.full((96, 160), 5, np.float32)) is None


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


# Real recordings, with the shipped model's depth.


def reports(rig: Rig, sets: Sets) -> Iterator[MountReport]:
    height, width = sets[0][1].shape[1:]
    cameras = [camera.rectified(width, height) for camera in rig.cameras]
    check = MountCheck(rig)
    for rgb, depth, stamps in sets:
        yield check.update(cameras, rgb, depth, stamps)


@pytest.fixture(scope="module")
def pandaset(pandaset_root: Path) -> PandaSetSource:
    return PandaSetSource(pandaset_root)


def quarter(source: IndexedSource) -> tuple[int, ...]:
    """Twelve frames from one end of the recording to the other."""
    return tuple(np.linspace(0, len(source) - 1, min(12, len(source))).astype(int).tolist())


def test_views_agree_on_pandaset(pandaset: PandaSetSource) -> None:
    """Nobody is accused, and where neighbours overlap well their matches lie on the epipolar planes."""
    found = list(reports(pandaset.rig, predicted(pandaset, quarter(pandaset))))
    assert not any(report.misaligned for report in found)
    for edge in ("front/front_right", "front_right/right", "left/front_left", "front_left/front"):
        assert found[-1].edges[edge].matches > 10 * len(found)
        assert found[-1].edges[edge].epipolar_deg < 0.35
        assert found[-1].edges[edge].overlap < 0.3
    assert found[-1].edges["right/back"].matches == 0
    assert found[-1].unjudged == ("back",)


@pytest.mark.parametrize(
    ("name", "axis", "degrees"), [("front", "yaw", 2.0), ("left", "pitch", -2.0), ("front_right", "roll", 2.0)]
)
def test_a_turned_camera_is_named_on_pandaset(pandaset: PandaSetSource, name: str, axis: str, degrees: float) -> None:
    rig = with_turned(pandaset.rig, name, axis, degrees)
    turned = list(reports(rig, predicted(pandaset, quarter(pandaset))))[-1].misaligned
    assert turned[0].camera == name
    assert getattr(turned[0], axis) == pytest.approx(-degrees, abs=0.7)


@pytest.mark.slow
def test_nothing_is_raised_over_all_of_pandaset(pandaset: PandaSetSource) -> None:
    frames = tuple(range(len(pandaset)))
    assert not any(report.misaligned for report in reports(pandaset.rig, predicted(pandaset, frames)))


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [2.0, -2.0])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["front", "front_right", "right", "left", "front_left"])
def test_every_turn_is_named_on_pandaset(pandaset: PandaSetSource, name: str, axis: str, degrees: float) -> None:
    """Two degrees of every camera but the one that shares next to nothing with its neighbours; never another alone."""
    frames = tuple(range(0, len(pandaset), 2))
    found = list(reports(with_turned(pandaset.rig, name, axis, degrees), predicted(pandaset, frames)))
    named = [[suspect.camera for suspect in report.misaligned] for report in found if report.misaligned]
    assert len(named) > len(found) // 3
    assert all(name in cameras for cameras in named)


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [2.0, -2.0])
@pytest.mark.parametrize("axis", AXES)
def test_the_camera_without_overlap_accuses_nobody(pandaset: PandaSetSource, axis: str, degrees: float) -> None:
    """Lidar names it (test_mounts_lidar.py); here its neighbours must not be taken for it."""
    rig = with_turned(pandaset.rig, "back", axis, degrees)
    assert not any(report.misaligned for report in reports(rig, predicted(pandaset, tuple(range(0, len(pandaset), 2)))))


@pytest.mark.parametrize(("kind", "root"), [(NuScenesSource, "nuscenes_root"), (DdadSource, "ddad_root")])
def test_other_rigs_stay_silent(kind: type[IndexedSource], root: str, request: pytest.FixtureRequest) -> None:
    source = kind(request.getfixturevalue(root))  # type: ignore[call-arg]
    assert not any(report.misaligned for report in reports(source.rig, predicted(source, quarter(source))))
