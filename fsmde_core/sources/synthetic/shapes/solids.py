"""The two kinds of solid that the street is built of: convex polytopes and ellipsoids, with the look of their faces.

Solids live in the frame of the object they belong to: x forward, y left, z up, metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
Array = NDArray[np.float64]
Bounds = tuple[float, float, float, float]
WHITE: Colour = (0.8, 0.8, 0.8)


@dataclass(frozen=True)
class Appearance:
    """How a face looks: its linear reflectance (red, green, blue), multiplied by a texture of the atlas.

    tile: metres per tile to the right and upwards; None stretches one tile over the face. shift: offset in tiles.
    is_cutout: the texture's holes are holes of the solid.
    """

    colour: Colour = WHITE
    texture: str = "plain"
    tile: tuple[float, float] | None = (4.0, 4.0)
    shift: tuple[float, float] = (0.0, 0.0)
    is_cutout: bool = False


@dataclass(frozen=True, eq=False)
class Solid:
    """A convex solid of k faces.

    points: (m, 3) metres. Of a polytope the corners face by face, sizes[f] of them each, anticlockwise seen from
    outside; of an ellipsoid points on its surface. looks: k of them. unit: (4, 4) takes an ellipsoid to the unit
    sphere; None for polytopes.
    """

    points: Array
    sizes: tuple[int, ...]
    looks: tuple[Appearance, ...]
    unit: Array | None = None

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0, scale: float = 1.0) -> Solid:
        """The solid enlarged about the origin, turned by `yaw` radians about its z axis, then shifted."""
        c, s = np.cos(yaw), np.sin(yaw)
        R, t = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), np.array([x, y, z])
        inverse = np.eye(4)
        inverse[:3, :3], inverse[:3, 3] = R.T / scale, -R.T @ t / scale
        unit = None if self.unit is None else self.unit @ inverse
        return replace(self, points=scale * self.points @ R.T + t, unit=unit)


def polytope(faces: list[Array], looks: list[Appearance] | Appearance) -> Solid:
    """The convex solid of planar faces, each (>= 3, 3) corners, anticlockwise seen from outside."""
    looks = looks if isinstance(looks, list) else [looks] * len(faces)
    return Solid(np.concatenate(faces), tuple(map(len, faces)), tuple(looks))


def frustum(
    bottom: Bounds,
    top: Bounds,
    z: tuple[float, float],
    side: Appearance,
    roof: Appearance | None = None,
    ends: Appearance | None = None,
) -> Solid:
    """From rectangle `bottom` = (x0, x1, y0, y1) at z[0] to `top` at z[1]; `ends` are the faces front and back."""
    b, t = (
        np.array([[x0, y0, h], [x1, y0, h], [x1, y1, h], [x0, y1, h]], dtype=np.float64)
        for (x0, x1, y0, y1), h in ((bottom, z[0]), (top, z[1]))
    )
    quads = [np.array([b[i], b[(i + 1) % 4], t[(i + 1) % 4], t[i]]) for i in range(4)]
    ends, roof = ends or side, roof or side
    if top[0] == top[1] or top[2] == top[3]:  # a ridge has no face of its own
        return polytope([*quads, b[::-1]], [side, ends, side, ends, roof])
    return polytope([*quads, t, b[::-1]], [side, ends, side, ends, roof, roof])


def box(
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    look: Appearance,
    roof: Appearance | None = None,
) -> Solid:
    """An upright box between the given limits."""
    return frustum((*x, *y), (*x, *y), z, look, roof)


def column(radius: tuple[float, float], z: tuple[float, float], look: Appearance, sides: int = 8) -> Solid:
    """A prism about the z axis whose radius goes from radius[0] at z[0] to radius[1] at z[1]: poles, trunks, cones."""
    angles = 2 * np.pi * np.arange(sides) / sides
    ring = np.column_stack([np.cos(angles), np.sin(angles)])
    low, high = (np.column_stack([r * ring, np.full(sides, h)]) for r, h in zip(radius, z, strict=True))
    quads = [np.array([low[i - 1], low[i], high[i], high[i - 1]]) for i in range(sides)]
    return polytope([*quads, high, low[::-1]], look)


def disc(
    x: float, y: tuple[float, float], z: float, radius: float, side: Appearance, rim: Appearance, sides: int = 12
) -> Solid:
    """A prism about an axis along y: wheels (`side` is what one sees from the side)."""
    angles = 2 * np.pi * np.arange(sides) / sides
    ring = np.column_stack([x + radius * np.cos(angles), np.zeros(sides), z + radius * np.sin(angles)])
    near, far = (ring + np.array([0, at, 0]) for at in y)
    quads = [np.array([near[i], near[i - 1], far[i - 1], far[i]]) for i in range(sides)]
    return polytope([*quads, near, far[::-1]], [rim] * sides + [side] * 2)


_SPHERE = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z], np.float64)
_SPHERE /= np.linalg.norm(_SPHERE, axis=1, keepdims=True)


def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float], look: Appearance) -> Solid:
    """An ellipsoid with axes along x, y and z."""
    t, r = np.array(centre), np.array(radii)
    unit = np.diag([*(1 / r), 1.0])
    unit[:3, 3] = -t / r
    return Solid(_SPHERE * r + t, (len(_SPHERE),), (look,), unit)
