"""Synthetic training images: rigs that could exist, and samples that the same seed gives again."""

from __future__ import annotations

import numpy as np
import pytest

from fsmde_core.rig.rig import ring_order
from fsmde_training.sets.streets import HEIGHT, PITCH, random_rig, render_street, street_samples


@pytest.mark.parametrize("seed", range(5))
def test_random_rigs_look_around_upright(seed: int) -> None:
    rig = random_rig(np.random.default_rng(seed), 448, 256)
    assert len(rig.cameras) == 6
    for camera in rig.cameras:
        pose = camera.T_base_camera
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
        assert abs(pose[2, 2]) <= np.sin(PITCH) + 1e-9  # the optical axis is near the horizon
        assert pose[2, 1] < -0.99  # image rows run downwards
        assert HEIGHT[0] <= pose[2, 3] <= HEIGHT[1]
        assert 46 < 2 * np.degrees(np.arctan(224 / camera.fx)) < 101
    steps = np.diff([camera.yaw for camera in rig.cameras], append=rig.cameras[0].yaw)
    assert ((steps + 2 * np.pi) % (2 * np.pi) > np.pi).all()  # clockwise
    assert {c.name for c in ring_order(rig.cameras)} == set(rig.names)


def test_a_seed_gives_the_same_images_again_and_another_one_others() -> None:
    first, again, other = render_street(10_001, 64, 32), render_street(10_001, 64, 32), render_street(10_002, 64, 32)
    assert len(first) == 6
    for (rgb, depth, focal), (rgb_again, depth_again, focal_again) in zip(first, again, strict=True):
        np.testing.assert_array_equal(rgb, rgb_again)
        np.testing.assert_array_equal(depth, depth_again)
        assert focal == focal_again
        assert rgb.shape == (32, 64, 3)
        assert depth.shape == (32, 64)
        assert (depth > 0).all()  # metres or infinity, never unknown
        assert np.isfinite(depth[-1].astype(np.float32)).any()  # the road
    assert not np.array_equal(first[0][0], other[0][0])


def test_streets_follow_each_other_in_the_order_of_their_seeds() -> None:
    samples = list(street_samples(range(10_003, 10_005), 32, 32, processes=1))
    expected = render_street(10_003, 32, 32) + render_street(10_004, 32, 32)
    assert len(samples) == 12
    for (rgb, _, focal), (expected_rgb, _, expected_focal) in zip(samples, expected, strict=True):
        np.testing.assert_array_equal(rgb, expected_rgb)
        assert focal == expected_focal
