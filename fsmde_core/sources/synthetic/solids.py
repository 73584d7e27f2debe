"""The two kinds of solid that the street is built of: convex polytopes and ellipsoids, with the look of their faces.

Solids live in the frame of the object they belong to (x forward, y left, z up, metres). Texture coordinates are affine
functions of the point, u to the right and v downwards seen from outside, in tiles.
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
class Look:
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
    """A convex solid.

    planes: (k, 4) outward unit normal n and offset c, inside is n.x <= c; an ellipsoid has one row of zeros.
    uv: (k, 2, 4) texture coordinates, affine in (x, y, z, 1). looks: k of them. points: (m, 3) whose convex hull is the
    solid, or nearly so for ellipsoids; the box around them holds the solid. unit: (4, 4) takes an ellipsoid to the unit
    sphere; None for polytopes.
    """

    planes: Array
    uv: Array
    looks: tuple[Look, ...]
    points: Array
    unit: Array | None = None

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> Solid:
        """The solid turned by `yaw` radians about its z axis, then shifted."""
        c, s = np.cos(yaw), np.sin(yaw)
        R, t = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), np.array([x, y, z])
        normals = self.planes[:, :3] @ R.T
        planes = np.column_stack([normals, self.planes[:, 3] + normals @ t])
        inverse = np.eye(4)
        inverse[:3, :3], inverse[:3, 3] = R.T, -R.T @ t
        unit = None if self.unit is None else self.unit @ inverse
        return replace(self, planes=planes, uv=self.uv @ inverse, points=self.points @ R.T + t, unit=unit)


def polytope(quads: list[Array], looks: list[Look] | Look) -> Solid:
    """The convex solid of planar faces, each (>= 3, 3) corners, anticlockwise seen from outside, lower edge first."""
    looks = looks if isinstance(looks, list) else [looks] * len(quads)
    planes, uv = zip(*(_face(corners, look) for corners, look in zip(quads, looks, strict=True)), strict=True)
    return Solid(np.array(planes), np.array(uv), tuple(looks), np.concatenate(quads))


def _face(corners: Array, look: Look) -> tuple[Array, Array]:
    diagonal, other = corners[2] - corners[0], corners[-1] - corners[1]
    normal = np.cross(diagonal, other)
    normal = normal / np.linalg.norm(normal)
    right = np.array([-normal[1], normal[0], 0.0]) if abs(normal[2]) < 0.99 else np.array([1.0, 0, 0])
    right = right / np.linalg.norm(right)
    up = np.cross(normal, right)
    across, height = corners @ right, corners @ up
    if look.tile is None:
        tile, origin = (np.ptp(across), np.ptp(height)), (across.min(), height.min())
    else:
        tile, origin = look.tile, (0.0, 0.0)
    u = np.append(right, -origin[0]) / tile[0]
    v = np.append(-up, origin[1]) / tile[1]
    u[3] += look.shift[0]
    v[3] += look.shift[1]
    return np.append(normal, normal @ corners[0]), np.array([u, v])


def frustum(
    bottom: Bounds, top: Bounds, z: tuple[float, float], side: Look, roof: Look | None = None, ends: Look | None = None
) -> Solid:
    """Between the rectangle `bottom` = (x0, x1, y0, y1) at z[0] and `top` at z[1]; `ends` are the faces front and back."""
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
    x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], look: Look, roof: Look | None = None
) -> Solid:
    """An upright box between the given limits."""
    return frustum((*x, *y), (*x, *y), z, look, roof)


def column(radius: tuple[float, float], z: tuple[float, float], look: Look, sides: int = 8) -> Solid:
    """A prism about the z axis whose radius goes from radius[0] at z[0] to radius[1] at z[1]: poles, trunks, cones."""
    angles = 2 * np.pi * np.arange(sides) / sides
    ring = np.column_stack([np.cos(angles), np.sin(angles)])
    low, high = (np.column_stack([r * ring, np.full(sides, h)]) for r, h in zip(radius, z, strict=True))
    quads = [np.array([low[i - 1], low[i], high[i], high[i - 1]]) for i in range(sides)]
    return polytope([*quads, high, low[::-1]], look)


def disc(x: float, y: tuple[float, float], z: float, radius: float, side: Look, rim: Look, sides: int = 12) -> Solid:
    """A prism about an axis along y: wheels (`side` is what one sees from the side)."""
    angles = 2 * np.pi * np.arange(sides) / sides
    ring = np.column_stack([x + radius * np.cos(angles), np.zeros(sides), z + radius * np.sin(angles)])
    near, far = ring + [0, y[0], 0], ring + [0, y[1], 0]
    quads = [np.array([near[i], near[i - 1], far[i - 1], far[i]]) for i in range(sides)]
    return polytope([*quads, near, far[::-1]], [rim] * sides + [side] * 2)


_SPHERE = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z], np.float64)
_SPHERE /= np.linalg.norm(_SPHERE, axis=1, keepdims=True)


def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float], look: Look) -> Solid:
    """An ellipsoid with axes along x, y and z. Its texture runs slantwise, so that no side shows it drawn out much."""
    t, r = np.array(centre), np.array(radii)
    unit = np.diag([*(1 / r), 1.0])
    unit[:3, 3] = -t / r
    width, height = look.tile or (1.0, 1.0)
    uv = np.array([[1, 0.62, 0.31, look.shift[0]], [-0.35, 0.55, -1, look.shift[1]]]) / [[width], [height]]
    return Solid(np.zeros((1, 4)), uv[None], (look,), _SPHERE * r + t, unit)
