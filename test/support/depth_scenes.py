"""Depth that clouds are packed from, with everything in it that a gate must stop."""

from __future__ import annotations

import numpy as np


def depth_scene(cameras: int, height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """rgb, depth, sigma of (cameras, height, width); a share of the values is no number, infinite, zero or negative."""
    generator = np.random.default_rng(seed)
    shape = (cameras, height, width)
    depth = generator.uniform(0.5, 90, shape).astype(np.float32)
    sigma = (depth * generator.uniform(0.01, 0.6, shape)).astype(np.float32)
    for values in (depth, sigma):
        for bad in (np.nan, np.inf, -np.inf, 0.0, -1.0):
            values[generator.random(shape) < 0.03] = bad
    return generator.integers(0, 256, (*shape, 3), dtype=np.uint8), depth, sigma
