"""Defines the two kinds of solid that the street is built of, convex polytopes and ellipsoids, and the looks of faces.

Solids live in the frame of the object they belong to: x forward, y left, z up, metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.shapes.appearance import Appearance

Array = NDArray[np.float64]
Limits = tuple[float, float]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Solid:
    """Holds a convex solid of k faces.

    points: (m, 3) metres; of a polytope the corners face by face, sizes[f] of them each, anticlockwise seen from
    outside; of an ellipsoid points on its surface. looks: k of them. unit: (4, 4) maps an ellipsoid to the unit sphere;
    None for polytopes.
    """

    points: Array
    sizes: tuple[int, ...]
    looks: tuple[Appearance, ...]
    unit: Array | None = None

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0, scale: float = 1.0) -> Solid:
        # enlarged about the origin, turned about the z axis by radians, then shifted
        c, s = np.cos(yaw), np.sin(yaw)
        R, t = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), np.array([x, y, z])
        inverse = np.eye(4)
        inverse[:3, :3], inverse[:3, 3] = R.T / scale, -R.T @ t / scale
        unit = None if self.unit is None else self.unit @ inverse
        return replace(self, points=scale * self.points @ R.T + t, unit=unit)


@dataclass(frozen=True, eq=False)
class StreetObject:
    """Holds the solids of one thing on the street in its own frame, and its length along x in metres.

    wheelbase: metres between the axles of an object that follows the road's slope; 0 where it stands upright.
    """

    solids: list[Solid]
    length: float
    wheelbase: float = 0.0


def polytope(faces: list[Array], looks: list[Appearance] | Appearance) -> Solid:
    # of planar faces, each (>= 3, 3) corners, anticlockwise seen from outside
    looks = looks if isinstance(looks, list) else [looks] * len(faces)
    return Solid(np.concatenate(faces), tuple(map(len, faces)), tuple(looks))


def frustum(
    bottom: Bounds,
    top: Bounds,
    z: Limits,
    side: Appearance,
    roof: Appearance | None = None,
    ends: Appearance | None = None,
) -> Solid:
    """Make a solid between two level rectangles.

    Args:
        bottom, top: Rectangles (x0, x1, y0, y1) at heights z[0] and z[1], metres; `top` may be a ridge.
        z: Heights in metres.
        side, roof, ends: Looks of the faces left and right, above, and front and back; `side` where None.

    Returns:
        The solid.
    """
    b, t = (
        np.array([[x0, y0, h], [x1, y0, h], [x1, y1, h], [x0, y1, h]], dtype=np.float64)
        for (x0, x1, y0, y1), h in ((bottom, z[0]), (top, z[1]))
    )
    quads = _side_quads(b, t)
    ends, roof = ends or side, roof or side
    if top[0] == top[1] or top[2] == top[3]:  # a ridge has no face of its own
        return polytope([*quads, b[::-1]], [side, ends, side, ends, roof])
    return polytope([*quads, t, b[::-1]], [side, ends, side, ends, roof, roof])


def slab(low: Array, top: Array, roof: Appearance, side: Appearance) -> Solid:
    # a solid between two quadrilaterals, anticlockwise seen from above; it needs no bottom, which nobody sees
    return polytope([top, *_side_quads(low, top)], [roof, *[side] * 4])


def _side_quads(low: Array, top: Array) -> list[Array]:
    return [np.array([low[i], low[(i + 1) % 4], top[(i + 1) % 4], top[i]]) for i in range(4)]


def box(x: Limits, y: Limits, z: Limits, look: Appearance, roof: Appearance | None = None) -> Solid:
    return frustum((*x, *y), (*x, *y), z, look, roof)


def column(radius: Limits, z: Limits, look: Appearance, sides: int = 8) -> Solid:
    # a prism about the z axis whose radius goes from radius[0] at z[0] to radius[1] at z[1]: poles, trunks, cones
    angles = 2 * np.pi * np.arange(sides) / sides
    ring = np.column_stack([np.cos(angles), np.sin(angles)])
    low, high = (np.column_stack([r * ring, np.full(sides, h)]) for r, h in zip(radius, z, strict=True))
    quads = [np.array([low[i - 1], low[i], high[i], high[i - 1]]) for i in range(sides)]
    return polytope([*quads, high, low[::-1]], look)


def disc(x: float, y: Limits, z: float, radius: float, side: Appearance, rim: Appearance, sides: int = 12) -> Solid:
    # a prism about an axis along y, such as a wheel; `side` is what one sees from the side
    angles = 2 * np.pi * np.arange(sides) / sides
    ring = np.column_stack([x + radius * np.cos(angles), np.zeros(sides), z + radius * np.sin(angles)])
    near, far = (ring + np.array([0, at, 0]) for at in y)
    quads = [np.array([near[i], near[i - 1], far[i - 1], far[i]]) for i in range(sides)]
    return polytope([*quads, near, far[::-1]], [rim] * sides + [side] * 2)


_SPHERE = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z], np.float64)
_SPHERE /= np.linalg.norm(_SPHERE, axis=1, keepdims=True)


def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float], look: Appearance) -> Solid:
    t, r = np.array(centre), np.array(radii)
    unit = np.diag([*(1 / r), 1.0])
    unit[:3, 3] = -t / r
    return Solid(_SPHERE * r + t, (len(_SPHERE),), (look,), unit)
