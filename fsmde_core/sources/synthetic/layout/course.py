"""Defines the course of a street: an arc on the plane, or a straight line over gentle slopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Course:
    """Describes the centre line, parametrised by s in metres; an offset from it is positive to the left.

    curvature: 1/m, positive turns left. knots: (n, 2) s and height of a piecewise linear profile in metres, increasing
    in s; a curved course is flat.
    """

    curvature: float
    knots: Array

    def heading(self, s: ArrayLike) -> Array:
        return self.curvature * np.asarray(s, dtype=np.float64)

    def height(self, s: ArrayLike) -> Array:
        return np.interp(np.asarray(s), self.knots[:, 0], self.knots[:, 1])

    def xy(self, s: ArrayLike, offset: ArrayLike) -> tuple[Array, Array]:
        # world coordinates of the point `offset` metres to the left of s
        s, offset = np.asarray(s, dtype=np.float64), np.asarray(offset, dtype=np.float64)
        theta = self.heading(s)
        x = s * np.sinc(theta / np.pi) - offset * np.sin(theta)
        y = s * np.sinc(theta / (2 * np.pi)) * np.sin(theta / 2) + offset * np.cos(theta)
        return x, y

    def locate(self, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
        # s and offset of world points, the inverse of `xy`; keeps the dtype
        if self.curvature == 0:
            return x, y
        radius = 1 / self.curvature
        sign = np.sign(radius)
        theta = np.arctan2(sign * x, sign * (radius - y))
        return theta * x.dtype.type(radius), x.dtype.type(radius) - x.dtype.type(sign) * np.hypot(x, radius - y)

    def poses(self, s: ArrayLike, offset: ArrayLike, z: ArrayLike, yaw: ArrayLike, wheelbase: ArrayLike) -> Array:
        """Place N objects on the street.

        Args:
            s, offset, z: (N,) metres along the centre line, to its left and above the road.
            yaw: (N,) radians from the street's direction.
            wheelbase: (N,) metres; an object with one lies on the slope between its axles, others (0) stand upright.

        Returns:
            (N, 4, 4) T_world_object.
        """
        s, offset, z, yaw, wheelbase = np.broadcast_arrays(*map(np.atleast_1d, (s, offset, z, yaw, wheelbase)))
        heading = self.heading(s) + yaw
        ahead = 0.5 * wheelbase * np.cos(yaw)
        front, back = self.height(s + ahead), self.height(s - ahead)
        slope = np.where(wheelbase > 0, (front - back) / np.where(wheelbase > 0, wheelbase, 1), 0)
        pitch = np.arctan(slope)  # nose up
        T = np.zeros((len(s), 4, 4))
        (sin, cos), (sin_pitch, cos_pitch) = ((np.sin(angle), np.cos(angle)) for angle in (heading, pitch))
        T[:, 0, 0], T[:, 1, 0], T[:, 2, 0] = cos * cos_pitch, sin * cos_pitch, sin_pitch
        T[:, 0, 1], T[:, 1, 1] = -sin, cos
        T[:, 0, 2], T[:, 1, 2], T[:, 2, 2] = -cos * sin_pitch, -sin * sin_pitch, cos_pitch
        T[:, 0, 3], T[:, 1, 3] = self.xy(s, offset)
        T[:, 2, 3] = np.where(wheelbase > 0, (front + back) / 2, self.height(s)) + z
        T[:, 3, 3] = 1
        return T
