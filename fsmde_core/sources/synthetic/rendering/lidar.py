"""Simulates a spinning lidar in the street."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsmde_core.rig.geometry import Matrix, invert, rigid, transform
from fsmde_core.sources.synthetic.rendering.raycast import cast
from fsmde_core.sources.synthetic.shapes.world import World

BEAMS, AZIMUTHS = 64, 1800
ELEVATIONS = np.radians(
    np.concatenate([np.linspace(15, 3, 12, endpoint=False), np.linspace(3, -7, 34), np.linspace(-8, -25, 18)])
)
MOUNT = rigid(np.eye(3), (0.9, 0.0, 1.95))
"""T_base_lidar: on the roof, level."""
MAX_RANGE, RANGE_NOISE = 200.0, 0.02


class SpinningRays:
    """Holds the rays of one turn: rows are beams from the top, columns azimuths anticlockwise from behind; t: range."""

    def __init__(self, T_world_lidar: Matrix) -> None:
        self.T_world_lidar, self.origin = T_world_lidar, T_world_lidar[:3, 3]
        azimuth = -np.pi + 2 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS
        up, out = np.sin(ELEVATIONS)[:, None] * np.ones(AZIMUTHS), np.cos(ELEVATIONS)[:, None]
        local = np.stack([out * np.cos(azimuth), out * np.sin(azimuth), up])
        self.directions = np.tensordot(T_world_lidar[:3, :3], local, 1).astype(np.float32)

    def windows(self, boxes: NDArray[np.float64]) -> NDArray[np.int64]:
        # all beams, and the azimuths between the corners; what surrounds the lidar may be hit everywhere
        local = (boxes - self.origin) @ self.T_world_lidar[:3, :3]
        middle = local.mean(axis=1)
        bearing = np.arctan2(middle[:, 1], middle[:, 0])
        turn = np.arctan2(local[..., 1], local[..., 0]) - bearing[:, None]
        turn = (turn + np.pi) % (2 * np.pi) - np.pi
        low, high = bearing + turn.min(axis=1), bearing + turn.max(axis=1)
        step = 2 * np.pi / AZIMUTHS
        left, right = np.floor((low + np.pi) / step), np.ceil((high + np.pi) / step) + 1
        reach = np.linalg.norm(local[..., :2] - middle[:, None, :2], axis=2).max(axis=1)
        around = np.linalg.norm(middle[:, :2], axis=1) <= reach
        solid = np.arange(len(boxes))
        parts = []
        for shift in (-AZIMUTHS, 0, AZIMUTHS):
            a = np.where(around, 0 if shift == 0 else AZIMUTHS, left + shift)
            b = np.where(around, AZIMUTHS, right + shift)
            a, b = np.clip(a, 0, AZIMUTHS), np.clip(b, 0, AZIMUTHS)
            parts.append(np.column_stack([solid, np.zeros_like(a), np.full_like(a, BEAMS), a, b])[b > a])
        return np.concatenate(parts).astype(np.int64)


def sweep(world: World, T_world_base: Matrix, rng: Generator) -> NDArray[np.float32]:
    """Simulate one sweep: range noise of 2 cm, fewer returns from afar and at grazing angles.

    Args:
        world: The street at the moment of the sweep.
        T_world_base: (4, 4) pose of the vehicle.
        rng: Source of the noise.

    Returns:
        (N, 3) float32 points in the base frame, metres.
    """
    rays = SpinningRays(T_world_base @ MOUNT)
    hits = cast(world, rays)
    row, column = np.nonzero(hits.face >= 0)
    distance = 1 / hits.inverse[row, column].astype(np.float64)
    face, direction = hits.face[row, column], rays.directions[:, row, column].astype(np.float64)
    normal = world.normal[face]
    facing = np.abs(np.einsum("ni,in->n", normal, direction)) + world.is_round[world.solid[face]] * 0.7
    strength = np.minimum(facing, 1) * (0.1 + world.colour[face].mean(axis=1)) * (60 / np.maximum(distance, 1)) ** 2
    seen = (rng.random(len(distance)) < 0.97 * np.minimum(strength * 6, 1)) & (distance < MAX_RANGE) & (distance > 1.2)
    noisy = distance + rng.normal(0, RANGE_NOISE, len(distance))
    points = rays.origin + (direction * noisy).T[seen]
    return transform(invert(T_world_base), points).astype(np.float32)
