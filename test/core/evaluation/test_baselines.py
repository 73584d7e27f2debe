"""The baselines that stand beside the model in every evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.evaluate import score_predictors
from fsmde_core.evaluation.predictors.predictors import CONSTANT_DEPTH_M, FAR_M, ConstantDepth, ground_depth
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera
from fsmde_core.sources.datasets.pandaset import PandaSetSource

K = np.array([[500.0, 0, 320], [0, 480.0, 200], [0, 0, 1]])
FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def test_ground_plane_of_a_level_camera_in_closed_form() -> None:
    """At height h, v rows below the horizon: depth = fy h / v, the same along a row."""
    depth = ground_depth(Camera("front", 640, 480, K, rigid(FORWARD, [1.0, 0.3, 1.6])))
    assert depth.shape == (480, 640) and depth.dtype == np.float32
    assert np.all(depth[:201] == FAR_M)
    below = np.arange(1, 280)
    expected = np.repeat((480 * 1.6 / below)[:, None], 640, axis=1)
    np.testing.assert_allclose(depth[201:], expected, rtol=1e-5)


def test_ground_plane_points_of_a_tilted_camera_lie_on_the_plane() -> None:
    pitch, yaw = 0.3, 2.0
    tilt = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    camera = Camera("any", 640, 480, K, rigid(turn @ tilt @ FORWARD, [1.0, 0.3, 1.6]))
    depth = ground_depth(camera)
    v, u = np.nonzero(depth < 0.9 * FAR_M)
    assert 0.5 < len(v) / depth.size < 1
    rays = np.linalg.inv(K) @ np.stack([u, v, np.ones(len(u))])
    points = camera.T_base_camera[:3, :3] @ (rays * depth[v, u]) + camera.T_base_camera[:3, 3:]
    near = depth[v, u] < 1000
    assert np.abs(points[2, near]).max() < 1e-3


def test_ground_plane_needs_a_camera_above_it() -> None:
    with pytest.raises(FsmdeError, match=r"'low' is 0.00 m above .* --no-baselines"):
        ground_depth(Camera("low", 640, 480, K, rigid(FORWARD, [0, 0, 0])))


def test_the_constant_is_the_best_one_for_the_training_frames(pandaset_root: Path) -> None:
    """AbsRel over frames 00-39 rises on both sides of it; a fifth of them shows it."""
    source = PandaSetSource(pandaset_root)
    predictors = []
    for factor in (0.7, 1.0, 1.3):
        predictors.append(ConstantDepth(factor * CONSTANT_DEPTH_M))
        predictors[-1].name = f"{factor}"
    sums = dict.fromkeys(("0.7", "1.0", "1.3"), 0.0)
    for start in (0, 12, 24, 36):
        for name, scores in score_predictors(
            source, predictors, SurroundDepthProtocol(), (start, start + 2)
        ).scores.items():
            sums[name] += scores.mean.abs_rel
    assert sums["1.0"] < min(sums["0.7"], sums["1.3"])
