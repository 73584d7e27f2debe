"""Holds the solids of all objects at one moment as flat arrays in world coordinates: what rays are cast at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.shapes.appearance import Appearance
from fsmde_core.sources.synthetic.shapes.solids import Solid
from fsmde_core.sources.synthetic.shapes.textures import INDEX


@dataclass(frozen=True, eq=False)
class World:
    """Holds S solids with F faces in all; solid s owns faces first[s] to first[s + 1]. World frame, metres.

    Of faces: normal (F, 3) and offset (F,), a polytope is inside n.x <= offset of its faces, zero for ellipsoids;
    uv (F, 2, 4) texture coordinates in tiles, u to the right and v downwards seen from outside, affine in (x, y, z, 1);
    texture (F,) index in the atlas; colour (F, 3); texels (F,) tiles per metre; wrap (F,) tiles per unit of the
    octahedron that the texture of an ellipsoid is folded over, zero for polytopes; solid (F,).
    Of solids: cutout (S,) bool; unit (S, 4, 4) to the unit sphere, zero for polytopes; is_round (S,) bool; box
    (S, 8, 3) corners of a box around each; owner (S,) object.
    points: (P, 3) spanning the solids, those of s from point_first[s] to point_first[s + 1]; point_owner (P,) object.
    """

    first: NDArray[np.int64]
    normal: NDArray[np.float64]
    offset: NDArray[np.float64]
    uv: NDArray[np.float64]
    texture: NDArray[np.int32]
    colour: NDArray[np.float32]
    texels: NDArray[np.float32]
    wrap: NDArray[np.float64]
    cutout: NDArray[np.bool_]
    unit: NDArray[np.float64]
    is_round: NDArray[np.bool_]
    box: NDArray[np.float64]
    owner: NDArray[np.int64]
    solid: NDArray[np.int64]
    points: NDArray[np.float64]
    point_first: NDArray[np.int64]
    point_owner: NDArray[np.int64]

    def tile_coordinates(self, face: NDArray[np.int32], points: NDArray) -> tuple[NDArray, NDArray]:
        # u, v (N,) in tiles of world points (N, 3) on their faces (N,)
        # the texture of an ellipsoid is folded over an octahedron, which stretches it nowhere
        uv = self.uv.astype(points.dtype, copy=False)[face]
        u, v = (np.einsum("ni,ni->n", uv[:, k, :3], points) + uv[:, k, 3] for k in (0, 1))
        round_rows = np.flatnonzero(self.wrap[face])
        if round_rows.size:
            at = self.to_unit_sphere(face[round_rows], points[round_rows])
            x, y = at[:, :2].T / np.abs(at).sum(axis=1)
            below = at[:, 2] < 0
            x, y = (np.where(below, (1 - np.abs(b)) * np.sign(a), a) for a, b in ((x, y), (y, x)))
            wrap = self.wrap[face[round_rows]].astype(points.dtype)
            u[round_rows] += wrap * x
            v[round_rows] += wrap * y
        return u, v

    def to_unit_sphere(self, face: NDArray[np.int32], points: NDArray) -> NDArray:
        # world points (N, 3) on ellipsoids, by their faces (N,)
        unit = self.unit.astype(points.dtype, copy=False)[self.solid[face]]
        return np.einsum("nij,nj->ni", unit[:, :3, :3], points) + unit[:, :3, 3]

    def moved(self, poses: NDArray[np.float64]) -> World:
        """Move object o by poses[o], (O, 4, 4)."""
        T = poses[self.owner]
        F = T[self.solid]
        inverse = np.linalg.inv(T)
        normal = np.einsum("fij,fj->fi", F[:, :3, :3], self.normal)
        P = poses[self.point_owner]
        return replace(
            self,
            normal=normal,
            offset=self.offset + np.einsum("fi,fi->f", normal, F[:, :3, 3]),
            uv=self.uv @ inverse[self.solid],
            unit=self.unit @ inverse,
            box=self.box @ T[:, :3, :3].swapaxes(1, 2) + T[:, None, :3, 3],
            points=np.einsum("pij,pj->pi", P[:, :3, :3], self.points) + P[:, :3, 3],
        )


def assemble(objects: Sequence[Sequence[Solid]]) -> World:
    """Assemble the world from objects, each a list of solids in its own frame."""
    solids = [solid for parts in objects for solid in parts]
    looks = [look for solid in solids for look in solid.looks]
    counts = [len(solid.looks) for solid in solids]
    point_counts = [len(solid.points) for solid in solids]
    owner = np.repeat(np.arange(len(objects)), [len(parts) for parts in objects])
    points = np.concatenate([solid.points for solid in solids])
    unit = np.array([np.zeros((4, 4)) if solid.unit is None else solid.unit for solid in solids])
    is_round = np.array([solid.unit is not None for solid in solids])
    sizes = np.array([size for solid in solids for size in solid.sizes])
    is_curved = np.repeat(is_round, counts)
    boxes = np.array([_box(solid) for solid in solids])
    normal, offset, uv = _planes(points, sizes, looks, is_curved)
    reach = np.ptp(boxes, axis=1).mean(axis=1)
    density = np.array([1 / look.tile[0] if look.tile else 1.0 for look in looks])
    texels = np.where(is_curved, density, np.linalg.norm(uv[:, :, :3], axis=2).max(axis=1))
    return World(
        first=_offsets(counts),
        normal=normal,
        offset=offset,
        uv=uv,
        texture=np.array([INDEX[look.texture] for look in looks], np.int32),
        colour=np.array([look.colour for look in looks], np.float32),
        texels=texels.astype(np.float32),
        wrap=np.repeat(0.75 * reach, counts) * is_curved * density,
        cutout=np.array([solid.looks[0].is_cutout for solid in solids]),
        unit=unit,
        is_round=is_round,
        box=boxes,
        owner=owner,
        solid=np.repeat(np.arange(len(solids)), counts),
        points=points,
        point_first=_offsets(point_counts),
        point_owner=np.repeat(owner, point_counts),
    )


def _offsets(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)])


def _planes(
    points: NDArray[np.float64], sizes: NDArray[np.int64], looks: Sequence[Appearance], is_round: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute outward normals (F, 3), offsets (F,) and texture coordinates (F, 2, 4) of faces of sizes[f] points each.

    Ellipsoids have no plane, and of the texture coordinates only the constant.
    """
    first = _offsets(sizes)[:-1]
    a, b, c, d = points[first], points[first + 1], points[first + 2], points[first + sizes - 1]
    normal = np.cross(c - a, d - b)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    is_level = np.abs(normal[:, 2]) > 0.99
    right = np.where(is_level[:, None], [1.0, 0, 0], np.column_stack([-normal[:, 1], normal[:, 0], 0 * first]))
    right /= np.maximum(np.linalg.norm(right, axis=1, keepdims=True), 1e-12)
    axes = np.stack([right, -np.cross(normal, right)], axis=1)
    uv = np.zeros((len(sizes), 2, 4))
    for k in range(2):
        along = np.einsum("pi,pi->p", points, np.repeat(axes[:, k], sizes, axis=0))
        low, high = np.minimum.reduceat(along, first), np.maximum.reduceat(along, first)
        fits = np.array([look.tile is None for look in looks])
        tile = np.where(fits, high - low, [look.tile[k] if look.tile else 1.0 for look in looks])
        uv[:, k, :3] = axes[:, k] / tile[:, None]
        uv[:, k, 3] = np.where(fits & ~is_round, -low / tile, 0) + [look.shift[k] for look in looks]
    normal[is_round] = 0
    uv[is_round, :, :3] = 0
    return normal, np.einsum("fi,fi->f", normal, a), uv


_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)


def _box(solid: Solid) -> NDArray[np.float64]:
    if solid.unit is None:
        low, high = solid.points.min(axis=0), solid.points.max(axis=0)
        return low + _CORNERS * (high - low)
    to_object = np.linalg.inv(solid.unit)
    return (2 * _CORNERS - 1) @ to_object[:3, :3].T + to_object[:3, 3]
