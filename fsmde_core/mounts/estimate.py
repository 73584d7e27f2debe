"""Estimates which camera is not mounted as the rig says, and its rotation, from points that neighbours both see.

A rotation of one camera disturbs its two edges of the ring and leaves the others alone; that distinguishes it from its
neighbours. Each camera in turn may rotate freely while the others may be off by as much as rigs usually are; the one
that explains the most is the suspect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmde_core.mounts.matching import Matches, baseline
from fsmde_core.mounts.misalignment import Misalignment
from fsmde_core.rig.rig import Camera

Array = NDArray[np.float64]

MATCH_NOISE = np.radians(0.2)
MOUNT_SPREAD = np.radians(0.3)
"""Errors that every calibration has; those of the rigs of nuScenes, DDAD and PandaSet are of this size."""
FREE_SPREAD = np.radians(6.0)
SPEED_SPREAD = 4.0
YAW_RATE_SPREAD = np.radians(10.0)
"""Vehicle's speed (m/s) and yaw rate (rad/s). Cameras expose at different times: both are estimated per check."""
DEPTH_SPREAD = 0.3
"""Relative error of a predicted distance; it moves a match along its epipolar line by as much of its parallax."""
PARALLAX_NOISE = np.radians(0.4)
DEPTH_WEIGHT = 0.25
"""Errors of the depth are alike for all matches of an edge, so that they count less than as many independent ones."""
EDGE_MATCHES = 40
"""Matches that an edge counts for at most, over all checks: a standing vehicle sees the same again and again."""
MIN_MATCHES = 8
"""Per check, with its neighbours; a camera with fewer is not judged: a few wrong matches would seem to rotate it."""
_FORWARD, _UP = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
_FIRST_SCALE, _LAST_SCALE = 15.0, 1.5
"""Of the robust fit, in units of noise; at first a match that is 3 degrees off still has influence."""
_LINEARIZATIONS, _REWEIGHTINGS = 3, 4


class EdgeMatches(NamedTuple):
    """Holds the matches of one edge in one check.

    first, second: indices of its cameras in the rig. gap_s: time from the first's exposure to the second's.
    """

    first: int
    second: int
    gap_s: float
    matches: Matches


@dataclass(frozen=True)
class Suspect(Misalignment):
    """Adds how much the fit improves with this camera free: `gain`, in units of minus two log-likelihoods."""

    evidence = "the overlap with its neighbours"
    gain: float


def rank_suspects(cameras: Sequence[Camera], checks: Sequence[Sequence[EdgeMatches]]) -> list[Suspect]:
    """Estimate the rotation of every camera that shares enough with its neighbours to be judged.

    Args:
        cameras: All of the rig.
        checks: Of a few image sets, each with the edges that had matches.

    Returns:
        The cameras, the one that explains the matches best first.
    """
    if not any(len(check) for check in checks):
        return []
    table = _MatchTable(cameras, checks)
    usual = np.full(len(cameras), MOUNT_SPREAD)
    _, cost = _fit(table, usual)
    found = []
    matches = np.bincount(np.concatenate([table.first, table.second]), minlength=len(cameras))
    for index in np.flatnonzero(matches >= MIN_MATCHES * len(checks)).tolist():
        spread = usual.copy()
        spread[index] = FREE_SPREAD
        rotations, cost_freed = _fit(table, spread)
        about_axes = np.degrees(cameras[index].T_base_camera[:3, :3].T @ rotations[index])
        pitch, yaw, roll = map(float, about_axes)
        found.append(Suspect(cameras[index].name, pitch, yaw, roll, gain=cost - cost_freed))
    return sorted(found, key=lambda suspect: -suspect.gain)


class _MatchTable:
    """Holds all matches of all checks in M rows; the rays' errors follow from motion and mounts."""

    def __init__(self, cameras: Sequence[Camera], checks: Sequence[Sequence[EdgeMatches]]) -> None:
        entries = [(number, edge) for number, check in enumerate(checks) for edge in check]
        counts = [len(edge.matches.distance) for _, edge in entries]
        self.cameras, self.checks = len(cameras), len(checks)
        self.first, self.second, self.check = (
            np.repeat(values, counts)
            for values in zip(*[(edge.first, edge.second, number) for number, edge in entries], strict=True)
        )
        self.gap_s = np.repeat([edge.gap_s for _, edge in entries], counts)
        baselines = [baseline(cameras[edge.first], cameras[edge.second]) for _, edge in entries]
        self.baseline = np.repeat(baselines, counts, axis=0)
        self.ray_first = np.concatenate([edge.matches.first for _, edge in entries])
        self.ray_second = np.concatenate([edge.matches.second for _, edge in entries])
        self.distance = np.concatenate([edge.matches.distance for _, edge in entries])
        self.weight = self._weights()
        rotations = [3 * camera + axis for camera in (self.first, self.second) for axis in range(3)]
        motion = [3 * self.cameras + 2 * self.check + part for part in range(2)]
        self._columns = np.tile(np.stack([*rotations, *motion], axis=1), (2, 1))
        self._size = 3 * self.cameras + 2 * self.checks
        self._pairs = (self._columns[:, :, None] * self._size + self._columns[:, None, :]).ravel()

    def error_change(self, slope: Array, unknowns: Array) -> Array:
        return np.einsum("mk,mk->m", slope, unknowns[self._columns])  # type: ignore[no-any-return]

    def normal_equations(self, slope: Array, weight: Array, error: Array) -> tuple[Array, Array]:
        # Each row has eight unknowns of dozens: a product of the full tables would start the threads of the linear
        # algebra, which wait for each other on a vehicle's busy cores.
        weighted = slope * weight[:, None]
        products = weighted[:, :, None] * slope[:, None, :]
        matrix: Array = np.bincount(self._pairs, products.ravel(), self._size**2)  # type: ignore[assignment]
        vector: Array = np.bincount(self._columns.ravel(), (weighted * error[:, None]).ravel(), self._size)  # type: ignore[assignment]
        return matrix.reshape(self._size, self._size), vector

    def _weights(self) -> Array:
        """Weigh M matches: an edge counts for as many as it has per check, at most EDGE_MATCHES."""
        _, edge, total = np.unique(self.first * self.cameras + self.second, return_inverse=True, return_counts=True)
        seen = np.array([len(np.unique(self.check[edge == number])) for number in range(len(total))])
        return (np.minimum(total / seen, EDGE_MATCHES) / total)[edge]

    def errors(self, motion: Array) -> tuple[Array, Array, Array]:
        """Compute (2M,) errors in units of their noise, their (2M, 8) derivatives, and (2M,) weights.

        The argument is (checks, 2) speed and yaw rate. Unknowns are three of each camera's rotation vector in the base
        frame, then speed and yaw rate of every check; a match depends on those of its two cameras and of its check. The
        first M rows are distances of the second ray from its epipolar plane, which needs no depth; the others, along
        it, rest on the predicted depth.
        """
        speed, yaw_rate = motion[self.check].T
        second = self.ray_second + (yaw_rate * self.gap_s)[:, None] * np.cross(_UP, self.ray_second)
        offset = self.baseline + (speed * self.gap_s)[:, None] * _FORWARD
        normal = np.cross(offset, self.ray_first)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        normal /= length
        point = self.ray_first * self.distance[:, None] - offset
        away = np.linalg.norm(point, axis=1, keepdims=True)
        along = np.cross(normal, second)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        parallax = np.arccos(np.clip(np.sum(self.ray_first * point / away, axis=1), -1, 1))
        noise = np.concatenate([np.full(len(parallax), MATCH_NOISE), np.hypot(PARALLAX_NOISE, DEPTH_SPREAD * parallax)])

        error_across = np.sum(second * normal, axis=1)
        slope_across = self._derivatives(
            np.cross(self.ray_first, np.cross(second, offset)) / length,
            np.cross(second, normal),
            (np.cross(self.ray_first, second) / length) @ _FORWARD,
        )
        error_along = np.sum((second - point / away) * along, axis=1)
        slope_along = self._derivatives(
            -np.cross(self.ray_first, along) * (self.distance[:, None] / away),
            np.cross(second, along),
            along @ _FORWARD / away[:, 0],
        )
        error = np.concatenate([error_across, error_along]) / noise
        slope = np.concatenate([slope_across, slope_along]) / noise[:, None]
        return error, slope, np.concatenate([self.weight, DEPTH_WEIGHT * self.weight])

    def _derivatives(self, by_first: Array, by_second: Array, by_offset: Array) -> Array:
        motion = np.stack([by_offset, by_second @ _UP], axis=1) * self.gap_s[:, None]
        return np.concatenate([by_first, by_second, motion], axis=1)


def _fit(table: _MatchTable, spread: Array) -> tuple[Array, float]:
    """Fit with narrowing Cauchy weights: (cameras, 3) rotation vectors in radians in the base frame, and the cost.

    The spread is (cameras,) radians that each camera may well be off by.
    """
    count = 3 * table.cameras
    sigma = np.concatenate([np.repeat(spread, 3), np.tile([SPEED_SPREAD, YAW_RATE_SPREAD], table.checks)])
    unknowns: Array = np.zeros(len(sigma))
    motion: Array = np.zeros((table.checks, 2))
    scale = _FIRST_SCALE
    for _ in range(_LINEARIZATIONS):
        error, slope, weight = table.errors(motion)
        error -= table.error_change(slope, np.concatenate([np.zeros(count), motion.ravel()]))
        for _ in range(_REWEIGHTINGS):
            now = error + table.error_change(slope, unknowns)
            inlying = weight / (1 + (now / scale) ** 2)
            matrix, vector = table.normal_equations(slope, inlying, error)
            unknowns = np.linalg.solve(matrix + np.diag(sigma**-2), -vector)  # type: ignore[assignment]
            scale = max(0.6 * scale, _LAST_SCALE)
        motion = unknowns[count:].reshape(-1, 2)
    now = error + table.error_change(slope, unknowns)
    cost = np.sum(weight * scale**2 * np.log1p((now / scale) ** 2)) + np.sum((unknowns / sigma) ** 2)
    return unknowns[:count].reshape(-1, 3), float(cost)
