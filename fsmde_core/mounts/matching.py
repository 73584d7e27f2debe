"""Matches points of two neighbouring views: SIFT on a view of their overlap, guided by calibration and depth."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.rig.rig import Camera

FEATURES = 300
CONTRAST = 0.01
RATIO = 0.85
"""Lowe's ratio: the best match must be nearer than this times the second best."""
SEARCH_RADIUS = np.radians(5.0)
"""How far from its expected place a match is searched, beside half of its parallax. Larger than any error to find."""
BORDER = 4.0
"""Degrees by which points at infinity may miss the other view; nearer points fall into it from there."""
MARGIN_PX = 3
MIN_SHARED = 16


class Matches(NamedTuple):
    """Holds M points that two cameras see. first, second: (M, 3) float64 unit rays of either, in the base frame.

    distance: (M,) float64 metres from the first camera, as predicted.
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    distance: NDArray[np.float64]


class Overlap:
    """Shows two rectified cameras through one upright virtual camera that looks at the middle of what both see.

    Rotated onto the same axis, views 60 degrees apart look alike; what remains is parallax.
    """

    def __init__(self, first: Camera, second: Camera) -> None:
        self.cameras = (first, second)
        self._sift = cv2.SIFT_create(FEATURES, contrastThreshold=CONTRAST)  # type: ignore[attr-defined]
        rays = _shared_rays(first, second)
        self.exists = rays.shape[1] >= MIN_SHARED and not _is_vertical(rays.mean(axis=1))
        if not self.exists:
            return
        self._rotation = _looking_at(rays.mean(axis=1))
        focal = float(np.sqrt(first.fx * second.fx))
        local = self._rotation.T @ rays
        local = focal * local[:2] / np.maximum(local[2], 0.2)
        low, high = np.floor(local.min(axis=1)), np.ceil(local.max(axis=1))
        self._size = (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1)
        self._K = np.array([[focal, 0, -low[0]], [0, focal, -low[1]], [0, 0, 1]])
        self._masks = tuple(self._mask(c, np.ones((c.height, c.width), np.bool_)) for c in self.cameras)

    def match(
        self, grey: tuple[NDArray[np.uint8], NDArray[np.uint8]], depth: tuple[NDArray[np.float32], NDArray[np.float32]]
    ) -> Matches | None:
        # (H, W) uint8 images and (H, W) float32 metres of both cameras; None without a match. Nothing is matched where
        # a camera has no depth, past the edge of its image and on the own vehicle, which stands still in all views.
        if not self.exists:
            return None
        seen = [
            mask if np.isfinite(metres).all() else self._mask(camera, np.isfinite(metres))
            for camera, metres, mask in zip(self.cameras, depth, self._masks, strict=True)
        ]
        described = [
            self._sift.detectAndCompute(self._view(camera, image), mask)
            for camera, image, mask in zip(self.cameras, grey, seen, strict=True)
        ]
        if any(len(points) < 2 for points, _ in described):
            return None
        rays_first, rays_second = (self._rays(points) for points, _ in described)
        distance = self._distance(rays_first, depth[0])
        near = self._within_reach(rays_first, rays_second, distance)
        chosen = _mutual_matches(described[0][1], described[1][1], near)
        if not len(chosen[0]):
            return None
        return Matches(rays_first[chosen[0]], rays_second[chosen[1]], distance[chosen[0]])

    def _view(self, camera: Camera, image: NDArray[np.uint8], how: int = cv2.INTER_LINEAR) -> NDArray[np.uint8]:
        homography = camera.K @ camera.T_base_camera[:3, :3].T @ self._rotation @ np.linalg.inv(self._K)
        return cv2.warpPerspective(image, homography, self._size, flags=how | cv2.WARP_INVERSE_MAP)  # type: ignore[return-value]

    def _mask(self, camera: Camera, seen: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Find where the virtual camera shows what is `seen`, (H, W), less a margin: descriptors look around."""
        inside = self._view(camera, np.where(seen, np.uint8(255), np.uint8(0)), cv2.INTER_NEAREST)
        kernel = np.ones((2 * MARGIN_PX + 1, 2 * MARGIN_PX + 1), np.uint8)
        return cv2.erode(inside, kernel, borderValue=0)  # type: ignore[return-value]

    def _rays(self, points: tuple[cv2.KeyPoint, ...]) -> NDArray[np.float64]:
        pixels = np.array([(*point.pt, 1.0) for point in points])
        rays = pixels @ np.linalg.inv(self._K).T @ self._rotation.T
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)

    def _distance(self, rays: NDArray[np.float64], depth: NDArray[np.float32]) -> NDArray[np.float64]:
        """Compute (M,) metres along the first camera's rays, NaN where its depth is."""
        camera = self.cameras[0]
        local = rays @ camera.T_base_camera[:3, :3]
        pixels = np.rint(local @ camera.K.T / local[:, 2:])[:, :2].astype(int)
        column, row = np.clip(pixels, 0, (camera.width - 1, camera.height - 1)).T
        return depth[row, column] / local[:, 2]

    def _within_reach(
        self, first: NDArray[np.float64], second: NDArray[np.float64], distance: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Tell (M, N) whether the second camera may see point i of the first where its own point j is."""
        expected = first * distance[:, None] - baseline(*self.cameras)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        parallax = _angle(np.sum(first * expected, axis=1))
        return _angle(expected @ second.T) < SEARCH_RADIUS + 0.5 * parallax[:, None]


def baseline(first: Camera, second: Camera) -> NDArray[np.float64]:
    # (3,) metres from the first camera to the second, in the base frame.
    return second.T_base_camera[:3, 3] - first.T_base_camera[:3, 3]


def _angle(cosine: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.arccos(np.clip(cosine, -1, 1))


def _shared_rays(first: Camera, second: Camera) -> NDArray[np.float64]:
    """Compute (3, M) unit rays of the first camera, in the base frame, that the second sees too, or nearly."""
    v, u = np.mgrid[0 : first.height : 4, 0 : first.width : 4]
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    rays = first.T_base_camera[:3, :3] @ np.linalg.solve(first.K, pixels)
    rays /= np.linalg.norm(rays, axis=0)
    x, y, z = second.K @ second.T_base_camera[:3, :3].T @ rays
    pad = second.fx * np.tan(np.radians(BORDER))
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = (
            (z > 0) & (x / z > -pad) & (x / z < second.width + pad) & (y / z > -pad) & (y / z < second.height + pad)
        )
    return rays[:, inside]


def _is_vertical(direction: NDArray[np.float64]) -> bool:
    return bool(np.hypot(direction[0], direction[1]) < 0.1 * np.linalg.norm(direction))


def _looking_at(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute (3, 3) base <- optical frame (REP-103) that looks along `direction`, its rows level."""
    forward = direction / np.linalg.norm(direction)
    right = np.array([forward[1], -forward[0], 0.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward], axis=1)


def _mutual_matches(
    first: NDArray[np.float32], second: NDArray[np.float32], allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find rows of both descriptor arrays that are each other's best among those allowed and pass the ratio test."""
    square = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    distance = np.where(allowed, np.sqrt(np.maximum(square, 0)), np.inf)
    rows = np.arange(len(distance))
    best = distance.argmin(axis=1)
    nearest, next_best = np.partition(distance, 1, axis=1)[:, :2].T
    good = np.isfinite(nearest) & (nearest < RATIO * next_best) & (distance.argmin(axis=0)[best] == rows)
    return rows[good], best[good]
