"""Distorted cameras for tests, and the formulas of their lenses written down once more."""

from __future__ import annotations

import cv2
import numpy as np

from fsmde_core.rig.rig import Camera

DISTORTIONS = {
    "plumb_bob": [-0.3, 0.1, 0.001, -0.002, -0.02],
    "rational_polynomial": [0.3, 0.05, 0.001, -0.001, 0.01, 0.5, 0.1, 0.02],
    "equidistant": [-0.02, 0.01, -0.003, 0.001],
}


def camera(width: int = 640, height: int = 400, model: str = "plumb_bob", D: list[float] | None = None) -> Camera:
    K = np.array([[0.7 * width, 0, 0.49 * width], [0, 0.7 * width, 0.52 * height], [0, 0, 1]])
    return Camera("front", width, height, K, distortion_model=model, D=np.array(D or []))


def project(points: np.ndarray, source: Camera) -> np.ndarray:
    """(N, 3) camera-frame points to (N, 2) pixels by the distortion formulas of the ROS camera models."""
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    D = source.D
    r2 = x * x + y * y
    if source.distortion_model == "equidistant":
        r = np.sqrt(r2)
        theta = np.arctan(r)
        scale = theta * (1 + sum(k * theta ** (2 * i + 2) for i, k in enumerate(D))) / np.maximum(r, 1e-12)
        x, y = x * scale, y * scale
    elif D.size:
        k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(D, (0, 8 - D.size))
        radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    return np.stack([source.K[0, 0] * x + source.K[0, 2], source.K[1, 1] * y + source.K[1, 2]], axis=1)


def texture(width: int, height: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2))
