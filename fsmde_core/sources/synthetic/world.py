"""The solids of all objects at one moment as flat arrays in world coordinates: what rays are cast at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.solids import Solid
from fsmde_core.sources.synthetic.textures import INDEX


@dataclass(frozen=True, eq=False)
class World:
    """S solids with F faces in all; solid s owns faces first[s] to first[s + 1]. World frame, metres.

    normal (F, 3), offset (F,): planes, zero for ellipsoids. uv: (F, 2, 4). texture: (F,) index in the atlas.
    colour: (F, 3). texels: (F,) tiles per metre. cutout: (S,) bool. unit: (S, 4, 4) to the unit sphere, zero for
    polytopes. is_round: (S,) bool. box: (S, 8, 3) corners of a box around each. owner: (S,) object of a solid. solid: (F,)
    solid of a face. points: (P, 3) spanning solids; those of s run from point_first[s] to point_first[s + 1].
    """

    first: NDArray[np.int64]
    normal: NDArray[np.float64]
    offset: NDArray[np.float64]
    uv: NDArray[np.float64]
    texture: NDArray[np.int32]
    colour: NDArray[np.float32]
    texels: NDArray[np.float32]
    cutout: NDArray[np.bool_]
    unit: NDArray[np.float64]
    is_round: NDArray[np.bool_]
    box: NDArray[np.float64]
    owner: NDArray[np.int64]
    solid: NDArray[np.int64]
    points: NDArray[np.float64]
    point_first: NDArray[np.int64]
    point_owner: NDArray[np.int64]

    def placed(self, poses: NDArray[np.float64]) -> World:
        """The world with object o moved by poses[o]: (O, 4, 4)."""
        T = poses[self.owner]
        F = T[self.solid]
        R, t = F[:, :3, :3], F[:, :3, 3]
        inverse = np.linalg.inv(T)
        normal = np.einsum("fij,fj->fi", R, self.normal)
        P = poses[self.point_owner]
        return World(
            first=self.first,
            normal=normal,
            offset=self.offset + np.einsum("fi,fi->f", normal, t),
            uv=self.uv @ inverse[self.solid],
            texture=self.texture,
            colour=self.colour,
            texels=self.texels,
            cutout=self.cutout,
            unit=self.unit @ inverse,
            is_round=self.is_round,
            box=self.box @ T[:, :3, :3].swapaxes(1, 2) + T[:, None, :3, 3],
            owner=self.owner,
            solid=self.solid,
            points=np.einsum("pij,pj->pi", P[:, :3, :3], self.points) + P[:, :3, 3],
            point_first=self.point_first,
            point_owner=self.point_owner,
        )


def assemble(objects: Sequence[Sequence[Solid]]) -> World:
    """The world of objects, each a list of solids in its own frame."""
    solids = [solid for parts in objects for solid in parts]
    looks = [look for solid in solids for look in solid.looks]
    counts = [len(solid.planes) for solid in solids]
    point_counts = [len(solid.points) for solid in solids]
    owner = np.repeat(np.arange(len(objects)), [len(parts) for parts in objects])
    planes, uv = np.concatenate([s.planes for s in solids]), np.concatenate([s.uv for s in solids])
    return World(
        first=np.concatenate([[0], np.cumsum(counts)]),
        normal=planes[:, :3],
        offset=planes[:, 3],
        uv=uv,
        texture=np.array([INDEX[look.texture] for look in looks], np.int32),
        colour=np.array([look.colour for look in looks], np.float32),
        texels=np.linalg.norm(uv[:, :, :3], axis=2).max(axis=1).astype(np.float32),
        cutout=np.array([solid.looks[0].is_cutout for solid in solids]),
        unit=np.array([np.zeros((4, 4)) if solid.unit is None else solid.unit for solid in solids]),
        is_round=np.array([solid.unit is not None for solid in solids]),
        box=np.array([_box(solid) for solid in solids]),
        owner=owner,
        solid=np.repeat(np.arange(len(solids)), counts),
        points=np.concatenate([solid.points for solid in solids]),
        point_first=np.concatenate([[0], np.cumsum(point_counts)]),
        point_owner=np.repeat(owner, point_counts),
    )


_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)


def _box(solid: Solid) -> NDArray[np.float64]:
    if solid.unit is None:
        low, high = solid.points.min(axis=0), solid.points.max(axis=0)
        return low + _CORNERS * (high - low)
    to_object = np.linalg.inv(solid.unit)
    return (2 * _CORNERS - 1) @ to_object[:3, :3].T + to_object[:3, 3]
