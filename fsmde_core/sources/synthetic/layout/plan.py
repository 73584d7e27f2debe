"""Lays out a street: places every object along the course of a style."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from fsmde_core.sources.synthetic.layout import lots, roadside, traffic
from fsmde_core.sources.synthetic.layout.road_marking import RoadMarking
from fsmde_core.sources.synthetic.layout.site import Site
from fsmde_core.sources.synthetic.layout.style import Style
from fsmde_core.sources.synthetic.shapes.solids import StreetObject
from fsmde_core.sources.synthetic.shapes.world import World, assemble


class Plan:
    """Holds a street for a drive of `duration` seconds. Object 0 is the ground: the first `ground_solids` solids."""

    def __init__(self, style: Style, rng: Generator, duration: float) -> None:
        site = Site(style, rng, duration)
        ground = roadside.ground_slabs(site)
        site.add(StreetObject(ground, 0), 0, 0)
        for side in (-1, 1):
            roadside.place_sidewalk(site, side)
            lots.place_lots(site, side)
            roadside.place_roadside_objects(site, side)
            roadside.place_parked_vehicles(site, side)
            if style.has_barrier and not style.parking[int(side > 0)]:
                roadside.place_barriers(site, side)
        traffic.place_traffic(site)
        traffic.place_junctions(site)
        lots.place_backdrop(site)
        self.ground_solids = len(ground)
        self.marking = RoadMarking(style, site.junctions, rng)
        self.course, self._world, self._rows = style.course, assemble(site.solids), np.array(site.rows)

    def world_at(self, seconds: float) -> World:
        """Return everything where it is `seconds` after the start."""
        s, offset, z, yaw, wheelbase, speed = self._rows.T
        poses = self.course.poses(s + speed * seconds, offset, z, yaw, wheelbase)
        poses[0] = np.eye(4)
        return self._world.moved(poses)
