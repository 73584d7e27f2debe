"""Estimates the rotation of one camera that aligns its predicted depth with the lidar.

The network sees one image and knows nothing of the mount, so that its depth says where things are in the image; the
lidar says where they are on the vehicle. Predicted depth may be wrong by a factor that varies over the image, a rotated
mount may not: what counts is how depth and lidar change from place to place within a tile of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.rig.rig import Camera

Array = NDArray[np.float64]

TILES = (8, 6)
"""Columns and rows of the image within each of which the prediction is off by one factor of its own."""
SCHEDULE = (*[(0.4, 1.0)] * 3, (0.4, 0.5), (0.3, 0.5), (0.2, 0.5), (0.15, 0.5), *[(0.1, 0.5)] * 3)
"""Steps of the fit: scale of the robust cost in log depth, and degrees to either side that slopes are taken over.
Wide while the rotation is unknown, in the end as narrow as depth is good; outlines are about half a degree wide.
"""
REWEIGHTINGS = 5
"""Updates of weights and tiles' factors, which depend on each other, in every step."""
MAX_STEP_DEG = 1.0
"""Degrees about an axis that one step of the fit may change."""
MIN_POINTS = 500
NEAR_M = 0.5


class SweepView(NamedTuple):
    """Pairs one sweep with one view. points: (N, 3) float32 metres in the camera's optical frame, as the rig has it.

    log_depth: (H, W) float32 logarithm of the predicted depth in metres, NaN where there is none.
    """

    points: NDArray[np.float32]
    log_depth: NDArray[np.float32]


@dataclass(frozen=True)
class SweepAlignment:
    """Holds the result of a fit.

    rotation_deg: (3,) rotation vector in degrees about the optical axes that brings the lidar's points, as the rig has
    them, to where they are seen. covariance: (3, 3) of it, square degrees.
    error: median |log depth - log lidar| that remains, less the tiles' factors.
    """

    rotation_deg: Array
    covariance: Array
    error: float


def align(
    camera: Camera, views: Sequence[SweepView], start: tuple[float, float, float] = (0, 0, 0)
) -> SweepAlignment | None:
    """Fit the rotation of one camera over a few sweeps by Gauss-Newton with Cauchy weights.

    All errors of a tile, over all sweeps, are taken as one when the covariance is estimated: neighbouring pixels, and
    the frames of a standing vehicle, err alike.

    Args:
        camera: Rectified, at the size of the views' depth.
        views: The sweeps.
        start: Rotation vector to begin with, degrees.

    Returns:
        The alignment; None where too few points are seen.
    """
    found: SweepAlignment | None = SweepAlignment(np.array(start), np.zeros((3, 3)), float("inf"))
    for scale, delta in SCHEDULE:
        if found is not None:
            found = _step(camera, views, found.rotation_deg, scale, delta)
    return found


def _step(
    camera: Camera, views: Sequence[SweepView], rotation_deg: Array, scale: float, delta: float
) -> SweepAlignment | None:
    """Make one step from `rotation_deg`; covariance and error are those at its beginning."""
    linear = (_linearized(camera, view, rotation_deg, delta) for view in views)
    errors, slopes, tiles = (np.concatenate(parts) for parts in zip(*linear, strict=True))
    if len(errors) < MIN_POINTS:
        return None
    weights = _cauchy(errors - np.median(errors), scale)
    for _ in range(REWEIGHTINGS):
        residuals = errors - _tile_means(errors, tiles, weights)
        weights = _cauchy(residuals, scale)
    slopes = slopes - np.stack([_tile_means(slope, tiles, weights) for slope in slopes.T], axis=1)
    # einsum, for a matrix product of these shapes would start threads
    inverse = np.linalg.pinv(np.einsum("mi,mj->ij", slopes * weights[:, None], slopes))
    gradients = np.zeros((TILES[0] * TILES[1], 3))
    np.add.at(gradients, tiles, slopes * (weights * residuals)[:, None])
    change = -inverse @ gradients.sum(axis=0)
    change *= MAX_STEP_DEG / max(MAX_STEP_DEG, float(np.abs(change).max()))
    covariance = inverse @ gradients.T @ gradients @ inverse
    return SweepAlignment(rotation_deg + change, covariance, float(np.median(np.abs(residuals))))


def _cauchy(errors: Array, scale: float) -> Array:
    return 1 / (1 + (errors / scale) ** 2)  # type: ignore[no-any-return]


def _linearized(
    camera: Camera, view: SweepView, rotation_deg: Array, delta: float
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Compute, of the M points that fall on depth, (M,) errors, their (M, 3) slopes per degree, and (M,) tiles."""
    errors, pixels = _errors(camera, view, rotation_deg)
    slopes = [
        (_errors(camera, view, rotation_deg + step)[0] - _errors(camera, view, rotation_deg - step)[0]) / (2 * delta)
        for step in delta * np.eye(3)
    ]
    table = np.stack([errors, *slopes], axis=1)
    seen = np.isfinite(table).all(axis=1)
    column, row = (pixels[seen] * TILES // (camera.width, camera.height)).astype(np.int64).T
    tile = np.clip(column, 0, TILES[0] - 1) * TILES[1] + np.clip(row, 0, TILES[1] - 1)
    return table[seen, 0], table[seen, 1:], tile


def _errors(camera: Camera, view: SweepView, rotation_deg: Array) -> tuple[Array, NDArray[np.float32]]:
    """Compute (N,) log depth - log z of the rotated points, NaN where they fall on no depth, and (N, 2) pixels."""
    rotation = cv2.Rodrigues(np.radians(rotation_deg))[0].astype(np.float32)
    x, y, z = np.einsum("ij,nj->in", rotation, view.points)
    z = np.maximum(z, NEAR_M)
    pixels = np.stack([camera.fx * x / z + camera.K[0, 2], camera.K[1, 1] * y / z + camera.K[1, 2]]).astype(np.float32)
    outside: dict[str, Any] = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": float("nan")}
    predicted = cv2.remap(view.log_depth, pixels[0][None], pixels[1][None], cv2.INTER_LINEAR, **outside)[0]
    return predicted - np.log(z), pixels.T


def _tile_means(values: Array, tiles: NDArray[np.int64], weights: Array) -> Array:
    total = np.bincount(tiles, weights)
    return (np.bincount(tiles, weights * values) / np.maximum(total, 1e-12))[tiles]
