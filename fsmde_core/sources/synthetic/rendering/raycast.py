"""Computes exact visibility: every ray meets every solid whose outline may hold it, and the nearest solid wins.

Rays are o + t d. The buffer keeps w = 1/t, which for a plane n.x = c is linear in d: w = -(n.d) / (n.o - c). A polytope
is entered at the smallest w of the faces that look at o and left at the largest w of the others.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fsmde_core.rig.geometry import Matrix
from fsmde_core.rig.rig import Camera
from fsmde_core.sources.synthetic.shapes.textures import atlas
from fsmde_core.sources.synthetic.shapes.world import World

NEAR = 0.05
"""Metres; the outlines of solids are clipped in front of a camera here."""
_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1])


class Rays(Protocol):
    """Defines a grid of rays in the world frame. origin: (3,) metres. directions: (3, H, W) float32."""

    origin: NDArray[np.float64]
    directions: NDArray[np.float32]

    def windows(self, boxes: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return (M, 5) rows solid, top, bottom, left, right: where solids in `boxes` (S, 8, 3) may be hit."""
        ...


class Hits(NamedTuple):
    """Holds what rays hit. inverse: (H, W) float32 1/t, 0 for nothing. face: (H, W) int32 index, -1 for nothing."""

    inverse: NDArray[np.float32]
    face: NDArray[np.int32]


class PinholeRays:
    """Holds rays of a camera, so scaled that t is the depth along the optical axis.

    The grid has 2 size + 1 rays a side: odd ones go through pixel centres, even ones between pixels.
    """

    def __init__(self, camera: Camera, T_world_camera: Matrix) -> None:
        self.K, self.T_world_camera, self.origin = camera.K, T_world_camera, T_world_camera[:3, 3]
        columns, rows = (np.arange(2 * n + 1) * 0.5 - 0.5 for n in (camera.width, camera.height))
        K, R = camera.K, T_world_camera[:3, :3]
        x, y = (columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1]
        directions = R[:, 0, None, None] * x + R[:, 1, None, None] * y[:, None] + R[:, 2, None, None]
        self.directions: NDArray[np.float32] = directions.astype(np.float32)

    def windows(self, boxes: NDArray[np.float64]) -> NDArray[np.int64]:
        points = (boxes - self.origin) @ self.T_world_camera[:3, :3]
        a, b = points[:, _EDGES[:, 0]], points[:, _EDGES[:, 1]]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = a + (b - a) * ((NEAR - a[..., 2:]) / (b[..., 2:] - a[..., 2:]))
        cut = (a[..., 2] < NEAR) != (b[..., 2] < NEAR)
        candidates = np.concatenate([points, crossing], axis=1)
        seen = np.concatenate([points[..., 2] >= NEAR, cut], axis=1)
        z = np.where(seen, np.maximum(candidates[..., 2], NEAR), 1.0)
        limits = []
        for axis, size in ((1, self.directions.shape[1]), (0, self.directions.shape[2])):
            pixel = 2 * (self.K[axis, axis] * candidates[..., axis] / z + self.K[axis, 2]) + 1
            low = np.where(seen, pixel, np.inf).min(axis=1)
            high = np.where(seen, pixel, -np.inf).max(axis=1)
            limits += [np.clip(np.ceil(low - 1e-3), 0, size), np.clip(np.floor(high + 1e-3) + 1, 0, size)]
        table = np.column_stack([np.arange(len(boxes)), *limits]).astype(np.int64)
        return table[(table[:, 2] > table[:, 1]) & (table[:, 4] > table[:, 3])]


def cast(world: World, rays: Rays) -> Hits:
    """Find the nearest solid along every ray; solids that contain the origin are transparent.

    Args:
        world: The solids.
        rays: A grid of H x W rays.

    Returns:
        The hits, (H, W).
    """
    shape = rays.directions.shape[1:]
    hits = Hits(np.zeros(shape, np.float32), np.full(shape, -1, np.int32))
    height = world.normal @ rays.origin - world.offset  # of the origin above each face's plane
    height = np.where(np.abs(height) < 1e-9, 1e-9, height)
    slope = (-world.normal / height[:, None]).astype(np.float32)
    outside = height > 0
    for solid, top, bottom, left, right in rays.windows(world.box).tolist():
        window = (slice(top, bottom), slice(left, right))
        directions = rays.directions[:, top:bottom, left:right]
        first, last = world.first[solid], world.first[solid + 1]
        if world.is_round[solid]:
            inverse, face = _intersect_ellipsoid(world.unit[solid], rays.origin, directions), first
        else:
            inverse, face = _intersect_polytope(slope[first:last], outside[first:last], directions)
            face += first
        nearer = inverse > hits.inverse[window]
        if world.cutout[solid]:
            _apply_cutout(world, rays.origin, directions, inverse, face, nearer)
        np.copyto(hits.inverse[window], inverse, where=nearer)
        np.copyto(hits.face[window], face, where=nearer, casting="same_kind")
    return hits


def _intersect_polytope(
    slope: NDArray[np.float32], outside: NDArray[np.bool_], directions: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return w (H, W) where the rays enter, 0 for a miss, and the face (H, W) they enter by."""
    shape = directions.shape[1:]
    face = np.zeros(shape, np.int32)
    front = np.flatnonzero(outside)
    if not front.size:
        return np.zeros(shape, np.float32), face
    w = (slope @ directions.reshape(3, -1)).reshape(-1, *shape)
    enter = w[front[0]]
    face += front[0]
    for k in front[1:]:
        np.copyto(face, k, where=w[k] < enter, casting="same_kind")
        np.minimum(enter, w[k], out=enter)
    for k in np.flatnonzero(~outside):
        enter[w[k] > enter] = 0
    return enter, face


def _intersect_ellipsoid(
    unit: NDArray[np.float64], origin: NDArray[np.float64], directions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return w (H, W), 0 for a miss: the larger root of a w^2 + 2 b w + c = 0 on the unit sphere."""
    o = unit[:3, :3] @ origin + unit[:3, 3]
    a = o @ o - 1
    if a <= 1e-6:
        return np.zeros(directions.shape[1:], np.float32)
    d = unit[:3, :3].astype(np.float32) @ directions.reshape(3, -1)
    b = o.astype(np.float32) @ d
    discriminant = b * b - np.float32(a) * np.einsum("in,in->n", d, d)
    hit = (discriminant > 0) & (b < 0)
    w = np.where(hit, (np.sqrt(np.where(hit, discriminant, 0)) - b) / np.float32(a), 0)
    return w.reshape(directions.shape[1:])


def _apply_cutout(
    world: World,
    origin: NDArray[np.float64],
    directions: NDArray[np.float32],
    inverse: NDArray[np.float32],
    face: NDArray[np.int32] | np.int64,
    nearer: NDArray[np.bool_],
) -> None:
    """Clear `nearer` where the solid's texture has a hole."""
    rows, columns = np.nonzero(nearer)
    if not rows.size:
        return
    points = origin + (directions[:, rows, columns] / inverse[rows, columns]).T
    faces = np.broadcast_to(np.asarray(face, np.int32), nearer.shape)[rows, columns]
    nearer[rows, columns] = atlas().covers(int(world.texture[faces[0]]), *world.tile_coordinates(faces, points))
