"""Rigid transforms: properties that hold for every rotation, and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import (
    Matrix,
    interpolate,
    invert,
    is_rigid,
    mean_pose,
    quaternion_from_rotation,
    rigid,
    rotation_from_quaternion,
    transform,
)

quaternions = arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 1e-3)
vectors = arrays(np.float64, 3, elements=st.floats(-1e3, 1e3))
poses = st.builds(lambda q, t: rigid(rotation_from_quaternion(*q), t), quaternions, vectors)


def angle_between(A: Matrix, B: Matrix) -> float:
    """Radians between two rotations; the chord, because arccos of the trace is blind below 1e-8."""
    return float(2 * np.arcsin(min(1.0, np.linalg.norm(A[:3, :3] - B[:3, :3]) / np.sqrt(8))))


@given(quaternions)
def test_rotation_is_proper_and_its_quaternion_comes_back(q: np.ndarray) -> None:
    R = rotation_from_quaternion(*q)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1)
    back = np.array(quaternion_from_rotation(R))
    assert back[0] >= 0
    assert np.linalg.norm(back) == pytest.approx(1)
    assert abs(back @ q) == pytest.approx(np.linalg.norm(q))


def test_quarter_turn_left_takes_forward_to_left() -> None:
    R = rotation_from_quaternion(np.sqrt(0.5), 0, 0, np.sqrt(0.5))
    np.testing.assert_allclose(R @ [1, 0, 0], [0, 1, 0], atol=1e-15)


@pytest.mark.parametrize("q", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 1)])
def test_quaternion_without_length_is_refused(q: tuple[float, ...]) -> None:
    with pytest.raises(FsmdeError, match="non-zero length"):
        rotation_from_quaternion(*q)


@given(poses, arrays(np.float64, (5, 3), elements=st.floats(-100, 100)))
def test_inverse_undoes_and_transform_is_the_matrix_product(T: Matrix, points: np.ndarray) -> None:
    moved = transform(T, points)
    np.testing.assert_allclose(moved, (T @ np.c_[points, np.ones(5)].T).T[:, :3], atol=1e-9)
    np.testing.assert_allclose(transform(invert(T), moved), points, atol=1e-9)
    assert is_rigid(T)


def test_mirrored_scaled_and_nan_matrices_are_not_rigid() -> None:
    assert not is_rigid(np.diag([1.0, 1.0, -1.0, 1.0]))
    assert not is_rigid(np.diag([2.0, 2.0, 2.0, 1.0]))
    assert not is_rigid(np.full((4, 4), np.nan))


def test_transform_keeps_the_dtype() -> None:
    assert transform(np.eye(4), np.zeros((2, 3), np.float32)).dtype == np.float32


@given(poses, poses, st.floats(0, 1))
def test_interpolation_runs_at_constant_rate_from_end_to_end(A: Matrix, B: Matrix, fraction: float) -> None:
    middle = interpolate(A, B, fraction)
    whole = angle_between(A, B)
    assert is_rigid(middle)
    assert angle_between(A, middle) == pytest.approx(fraction * whole, abs=1e-6)
    assert angle_between(middle, B) == pytest.approx((1 - fraction) * whole, abs=1e-6)
    np.testing.assert_allclose(middle[:3, 3], (1 - fraction) * A[:3, 3] + fraction * B[:3, 3], atol=1e-9)


def test_interpolation_by_hand() -> None:
    quarter = rigid(rotation_from_quaternion(1, 0, 0, 1), [2, 0, 0])
    expected = rigid(rotation_from_quaternion(np.cos(np.pi / 8), 0, 0, np.sin(np.pi / 8)), [1, 0, 0])
    np.testing.assert_allclose(interpolate(np.eye(4), quarter, 0.5), expected, atol=1e-12)


@given(poses, st.integers(0, 2**32 - 1))
def test_mean_pose_finds_the_mount_under_symmetric_noise_and_one_outlier(T: Matrix, seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.01, (20, 3))
    noise = np.concatenate([noise, -noise])
    samples = np.stack([T @ rigid(rotation_from_quaternion(1, *n), n) for n in noise])
    samples[0, :3, 3] += 50
    found = mean_pose(samples)
    assert is_rigid(found)
    assert angle_between(found, T) < 1e-3
    assert np.linalg.norm(found[:3, 3] - T[:3, 3]) < 0.01
