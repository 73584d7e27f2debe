"""Renders what the rays hit: texture, sun and sky, shadow, gloss, haze."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.layout.plan import Plan
from fsmde_core.sources.synthetic.rendering.light import Light
from fsmde_core.sources.synthetic.rendering.raycast import PinholeRays, cast
from fsmde_core.sources.synthetic.rendering.shadows import ShadowMap
from fsmde_core.sources.synthetic.shapes.textures import HAS_HOLES, INDEX, atlas

Array = NDArray[np.float32]


class Renderer:
    """Renders a street `seconds` after the start, from near `s` metres along it."""

    def __init__(self, plan: Plan, light: Light, seconds: float, s: float) -> None:
        self.world, self.course, self.marking, self.light = plan.world_at(seconds), plan.course, plan.marking, light
        self.shadows = ShadowMap(self.world, plan.course, light.sun, s, plan.ground_solids)
        self.ground_faces = int(self.world.first[plan.ground_solids])  # the first of the world

    def render(self, rays: PinholeRays, rng: Generator) -> tuple[NDArray[np.uint8], Array]:
        """Render one camera.

        Args:
            rays: Those of the camera.
            rng: Source of the sensor's noise.

        Returns:
            (H, W, 3) uint8 RGB, and (H, W) float32 depth in metres, NaN for sky.
        """
        hits = cast(self.world, rays)
        shape = hits.face.shape
        directions = rays.directions.reshape(3, -1).T
        radiance = np.empty((hits.face.size, 3), np.float32)
        flat = hits.face.ravel()
        sky = np.flatnonzero(flat < 0)
        if sky.size:
            radiance[sky] = self.light.sky_radiance(_unit(directions[sky]))
        solid = np.flatnonzero(flat >= 0)
        if solid.size:
            depth = np.float32(1) / hits.inverse.ravel()[solid]
            radiance[solid] = self._shade(flat[solid], directions[solid], depth, rays)
        image = self.light.expose(_downsample(radiance.reshape(*shape, 3)), rng)
        with np.errstate(divide="ignore"):  # odd rays go through pixel centres
            return image, np.where(hits.face[1::2, 1::2] < 0, np.float32(np.nan), 1 / hits.inverse[1::2, 1::2])

    def _shade(self, face: NDArray[np.int32], directions: Array, depth: Array, rays: PinholeRays) -> Array:
        """(N, 3) radiance of surfaces."""
        world, light = self.world, self.light
        origin = rays.origin.astype(np.float32)
        points = origin + directions * depth[:, None]
        view = _unit(directions)
        normal = self._normals(face, points)
        cosine = np.maximum(-np.einsum("ni,ni->n", normal, view), 0.05)
        pixel = depth * np.float32(1 / rays.K[0, 0])
        u, v = world.tile_coordinates(face, points)
        texture, colour = world.texture[face], world.colour[face]
        footprint = pixel * world.texels[face] / np.sqrt(cosine)
        s, offset = self.course.locate(points[:, 0], points[:, 1])
        clouds = np.full(len(face), INDEX["clouds"], np.int32)
        noise = atlas().sample(clouds, s / 23, offset / 23, pixel / (23 * cosine))[:, 0]
        ground = np.flatnonzero(face < self.ground_faces)
        if ground.size:
            sizes = self._ground_footprint(directions[ground], pixel[ground], cosine[ground], s[ground])
            wear = np.clip(2 * noise[ground] - 0.3, 0, 1)
            texture[ground], colour[ground], tile = self.marking.apply(s[ground], offset[ground], sizes, wear)
            u[ground], v[ground] = s[ground] / tile, -offset[ground] / tile
            footprint[ground] = pixel[ground] / (tile * np.sqrt(cosine[ground]))
        texel = atlas().sample(texture, u, v, footprint)
        albedo = colour * texel[:, :3] * (0.75 + 0.5 * noise[:, None])
        height = points[:, 2] - self.course.height(s).astype(np.float32) if len(self.course.knots) > 2 else points[:, 2]
        radiance = albedo * self._irradiance(normal, points, height, face)
        gloss = np.where(HAS_HOLES[texture], 0, texel[:, 3])
        self._reflect(radiance, gloss, normal, view, cosine)
        fade = np.exp(-depth / np.float32(light.haze))[:, None]
        return radiance * fade + 0.8 * light.horizon * (1 - fade)

    def _normals(self, face: NDArray[np.int32], points: Array) -> Array:
        world = self.world
        normal = world.normal.astype(np.float32)[face]
        solid = world.solid[face]
        curved = np.flatnonzero(world.is_round[solid])
        if curved.size:
            unit = world.unit.astype(np.float32)[solid[curved], :3, :3]
            normal[curved] = _unit(np.einsum("nji,nj->ni", unit, world.to_unit_sphere(face[curved], points[curved])))
        return normal

    def _ground_footprint(self, directions: Array, pixel: Array, cosine: Array, s: Array) -> Array:
        """(N, 2) metres of a pixel along and across the street on the ground."""
        heading = self.course.heading(s).astype(np.float32)
        level = directions[:, :2] / np.maximum(np.linalg.norm(directions[:, :2], axis=1, keepdims=True), 1e-6)
        ahead = np.abs(level[:, 0] * np.cos(heading) + level[:, 1] * np.sin(heading))
        side = np.sqrt(np.maximum(1 - ahead**2, 0))
        long = pixel / cosine
        return np.column_stack([long * ahead + pixel * side, long * side + pixel * ahead])

    def _irradiance(self, normal: Array, points: Array, height: Array, face: NDArray[np.int32]) -> Array:
        """(N, 3) irradiance: sun where it is seen, the sky's half space, and light from the ground."""
        light = self.light
        level = height < 0.3
        lost = self.shadows.sample(points, np.where(level, 0, height))
        hidden = np.where(level, lost[:, 0], lost[:, 1])
        direct = np.maximum(normal @ light.sun, 0) * (1 - hidden)
        is_leaf = self.world.cutout[self.world.solid[face]]
        direct = np.where(is_leaf, 0.45 * (1 - hidden) + 0.55 * direct, direct)
        contact = 1 - 0.75 * lost[:, 2] * np.clip(1 - height / 0.4, 0, 1)
        openness = (0.62 + 0.38 * normal[:, 2]) * contact * np.clip(0.7 + 0.12 * height, 0.7, 1)
        return direct[:, None] * light.sun_colour + openness[:, None] * light.ambient

    def _reflect(self, radiance: Array, gloss: Array, normal: Array, view: Array, cosine: Array) -> None:
        """Mirror the sky, or dark surroundings, in panes and paint; in place."""
        rows = np.flatnonzero(gloss > 0.05)
        if not rows.size:
            return
        n, d = normal[rows], view[rows]
        mirrored = d + 2 * cosine[rows, None] * n
        seen = self.light.sky_radiance(mirrored)
        seen *= np.where(mirrored[:, 2:] > 0.12, 1.0, 0.3)
        fresnel = gloss[rows] * (0.05 + 0.95 * (1 - cosine[rows]) ** 5 + 0.08 * gloss[rows])
        radiance[rows] += fresnel[:, None] * np.minimum(seen, 3)


def _downsample(doubled: Array) -> Array:
    """Average a doubled grid by a tent of 3 x 3 rays; highlights are clipped first, so that edges stay smooth."""
    clipped = np.minimum(doubled, 4)
    rows = clipped[:-2:2] + 2 * clipped[1:-1:2] + clipped[2::2]
    return (rows[:, :-2:2] + 2 * rows[:, 1:-1:2] + rows[:, 2::2]) / 16


def _unit(vectors: Array) -> Array:
    return vectors / np.sqrt(np.einsum("ni,ni->n", vectors, vectors))[:, None]
