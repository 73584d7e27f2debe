"""Computes shadows on the ground: the outlines of all solids, projected along the sun and straight down."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.layout.course import Course
from fsmde_core.sources.synthetic.shapes.textures import sample_bilinear
from fsmde_core.sources.synthetic.shapes.world import World

PIXEL = 0.12
HALF_LENGTH, HALF_WIDTH = 110.0, 45.0
"""Metres, of a pixel and of the map."""
TALL = 4.5
"""Metres; what is taller shades everything, what is lower only the ground."""


class ShadowMap:
    """Maps the shadows around one place of the street, in street coordinates.

    Channels: sun hidden by anything, sun hidden by something tall, sky hidden by something low (contact shadow).
    """

    def __init__(self, world: World, course: Course, sun: NDArray, s: float, ground_solids: int) -> None:
        self._course, self._sun, self._s = course, sun.astype(np.float64), s
        size = int(2 * HALF_WIDTH / PIXEL), int(2 * HALF_LENGTH / PIXEL)
        layers: list[NDArray] = [np.zeros(size, np.uint8) for _ in range(3)]
        points, first = world.points, world.point_first
        at, _ = course.locate(points[:, 0], points[:, 1])
        height = points[:, 2] - course.height(at)
        along = self._pixels(*self._shadow_xy(points, height))
        below = self._pixels(points[:, 0], points[:, 1])
        low, high = (f.reduceat(height, first[:-1]) for f in (np.minimum, np.maximum))
        inside = (np.abs(along - np.array(size[::-1]) / 2 * 16) < np.array(size[::-1]) * 0.7 * 16).all(axis=1)
        near = np.logical_or.reduceat(inside, first[:-1])
        for solid in np.flatnonzero(near & (high > 0.2)):
            if solid < ground_solids:
                continue
            rows = slice(first[solid], first[solid + 1])
            outline = cv2.convexHull(along[rows])
            cv2.fillConvexPoly(layers[0], outline, 255, shift=4)
            if high[solid] > TALL:
                cv2.fillConvexPoly(layers[1], outline, 255, shift=4)
            if low[solid] < 0.5:
                cv2.fillConvexPoly(layers[2], cv2.convexHull(below[rows]), 255, shift=4)
        layers[0], layers[1] = (cv2.GaussianBlur(layer, (3, 3), 0) for layer in layers[:2])
        layers[2] = cv2.GaussianBlur(layers[2], (0, 0), 0.45 / PIXEL)
        self._image = np.dstack(layers)

    def _shadow_xy(self, points: NDArray, height: NDArray) -> tuple[NDArray, NDArray]:
        """World x and y where the shadow of a point falls on level ground `height` below it."""
        reach = np.minimum(np.maximum(height, 0) / max(self._sun[2], 0.05), 400).astype(points.dtype)
        sun = self._sun.astype(points.dtype)
        return points[:, 0] - reach * sun[0], points[:, 1] - reach * sun[1]

    def _pixels(self, x: NDArray, y: NDArray) -> NDArray[np.int32]:
        """(N, 2) column and row, in sixteenths."""
        s, offset = self._course.locate(x, y)
        place = np.column_stack([s - self._s + HALF_LENGTH, offset + HALF_WIDTH]) / PIXEL
        return np.clip(place * 16, -1e6, 1e6).astype(np.int32)

    def sample(self, points: NDArray[np.float32], height: NDArray[np.float32]) -> NDArray[np.float32]:
        # (N, 3) fraction of light that is lost at points (N, 3) that are `height` (N,) metres above the road
        s, offset = self._course.locate(*self._shadow_xy(points, height))
        x, y = (s - np.float32(self._s - HALF_LENGTH)) / PIXEL, (offset + np.float32(HALF_WIDTH)) / PIXEL
        return sample_bilinear(self._image, x, y).astype(np.float32) * np.float32(1 / 255)
