"""The plan of a street: every object with its place along the course, drawn from a style."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from fsmde_core.sources.synthetic.layout import lots, roadside, traffic
from fsmde_core.sources.synthetic.layout.ground import RoadMarking
from fsmde_core.sources.synthetic.layout.site import Site
from fsmde_core.sources.synthetic.layout.style import Style
from fsmde_core.sources.synthetic.shapes.vehicles import StreetObject
from fsmde_core.sources.synthetic.shapes.world import World, assemble


class Plan:
    """A street for a drive of `duration` seconds. Object 0 is the ground: the first `ground_solids` solids."""

    def __init__(self, style: Style, rng: Generator, duration: float) -> None:
        site = Site(style, rng, duration)
        ground = roadside.ground(site)
        site.add(StreetObject(ground, 0), 0, 0)
        for side in (-1, 1):
            roadside.lay_sidewalk(site, side)
            lots.lay_lots(site, side)
            roadside.lay_row(site, side)
            roadside.park_vehicles(site, side)
            if style.barrier and not style.parking[int(side > 0)]:
                roadside.lay_barrier(site, side)
        traffic.lay_traffic(site)
        traffic.lay_junctions(site)
        lots.lay_backdrop(site)
        self.ground_solids = len(ground)
        self.marking = RoadMarking.of(style, site.junctions, rng)
        self._course, self._world, self._rows = style.course, assemble(site.solids), np.array(site.rows)

    def at(self, seconds: float) -> World:
        """Everything where it is `seconds` after the start."""
        s, offset, z, yaw, wheelbase, speed = self._rows.T
        poses = self._course.poses(s + speed * seconds, offset, z, yaw, wheelbase)
        poses[0] = np.eye(4)
        return self._world.placed(poses)
