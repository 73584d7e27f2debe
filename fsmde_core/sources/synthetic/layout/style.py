"""Describes what kind of street a seed gives: its cross-section, what stands along it, and its traffic."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from fsmde_core.sources.synthetic.layout.course import Course
from fsmde_core.sources.synthetic.shapes.appearance import Appearance, to_colour

LOTS = ("block", "house", "hall", "park", "parking", "empty", "wall")
DISTRICTS = {
    "downtown": ((10, 0, 1, 0.6, 0.7, 0.3, 0.3), (0.0, 3.0), (4, 14)),
    "town": ((6, 2, 1, 1, 1, 1, 0.5), (0.0, 6.0), (2, 5)),
    "residential": ((0.7, 8, 0, 1.5, 0.3, 1, 0.6), (4.0, 10.0), (2, 3)),
    "industrial": ((0.8, 0.2, 6, 0.3, 2.5, 2, 1.5), (2.0, 20.0), (2, 4)),
    "suburban": ((0.3, 1.5, 0.5, 6, 1.5, 3, 0.5), (10.0, 30.0), (1, 4)),
    "open": ((0.2, 0.3, 0.7, 1.5, 0.7, 6, 0.7), (8.0, 40.0), (1, 6)),
}
"""Weights of the kinds of lot, range of setbacks in metres, range of the number of floors."""


class Style:
    """Samples one street, in metres, m/s and fractions from 0 to 1. drive_side: -1 on the right, 1 on the left."""

    def __init__(self, rng: Generator, length: float) -> None:
        self.district = district = str(rng.choice(list(DISTRICTS)))
        forward = int(rng.choice([1, 1, 2, 3] if district != "residential" else [1, 1, 1, 2]))
        one_way = rng.random() < 0.12
        self.drive_side = -1 if rng.random() < 0.8 else 1
        can_park = district in ("downtown", "town", "residential", "industrial")
        self.parking = (bool(can_park and rng.random() < 0.7), bool(can_park and rng.random() < 0.7))
        urban = district in ("downtown", "town")
        speed = 0.0 if rng.random() < 0.1 else rng.uniform(3, 9 if district == "residential" else 14)
        foliage = np.array([0.1, 0.155, 0.05]) * rng.uniform(0.5, 1.4) * rng.uniform(0.8, 1.25, 3)
        if rng.random() < 0.12:
            foliage = rng.choice([(0.25, 0.13, 0.03), (0.2, 0.06, 0.02), (0.22, 0.18, 0.04)])
        self.course = _sample_course(rng, length)
        self.forward_lanes = forward
        self.backward_lanes = 0 if one_way else int(np.clip(forward + rng.integers(-1, 2), 1, 3))
        self.lane_width = rng.uniform(2.9, 3.7)
        self.sidewalk = rng.uniform(1.5, 4.5) if rng.random() < (1.0 if urban else 0.6) else 0.0
        self.verge = 0.0 if urban and rng.random() < 0.7 else rng.uniform(0.5, 4.0)
        self.median = rng.uniform(1.5, 5) if not one_way and rng.random() < 0.15 else 0.0
        self.tree_gap = rng.uniform(7, 30) if rng.random() < 0.8 else 1000.0
        self.tree_kind = str(rng.choice(["tree", "conifer", "palm", "bare_tree"], p=[0.72, 0.1, 0.06, 0.12]))
        self.foliage = to_colour(foliage)
        self.parked_fraction = rng.uniform(0.1, 0.95)
        self.traffic_gap = float(np.exp(rng.uniform(np.log(9), np.log(80))))
        self.pedestrian_gap = float(np.exp(rng.uniform(np.log(8), np.log(120))))
        self.ego_lane = int(rng.integers(forward))
        self.ego_speed = float(speed)
        self.has_road_works = rng.random() < 0.15
        self.has_barrier = rng.random() < 0.2

    @property
    def lawn(self) -> Appearance:
        return Appearance(self.foliage, "grass", (3.0, 3.0))

    def edge(self, side: int) -> float:
        """Return the metres from the centre line to the kerb on `side` (1 left, -1 right)."""
        lanes = self.forward_lanes if side == self.drive_side else self.backward_lanes
        return self.median / 2 + lanes * self.lane_width + 2.2 * self.parking[int(side > 0)]

    def lane_centre(self, lane: int) -> float:
        """Return the offset of forward lane 0, 1, ... or backward lane -1, -2, ..., counted from the centre line."""
        number, side = (lane, self.drive_side) if lane >= 0 else (-1 - lane, -self.drive_side)
        return side * (self.median / 2 + (number + 0.5) * self.lane_width)


def _sample_course(rng: Generator, length: float) -> Course:
    flat = np.array([[-1.0, 0.0], [1.0, 0.0]])
    kind = rng.random()
    if kind < 0.35:
        return Course(0.0, flat)
    if kind < 0.65:
        radius = max(rng.uniform(120, 900), length / 2)
        return Course(float(rng.choice([-1, 1]) / radius), flat)
    s = np.arange(-200.0, length + 200.0, 40.0)
    grades = rng.uniform(0.01, 0.07) * np.convolve(rng.normal(size=len(s) + 2), [0.3, 0.4, 0.3], "valid")
    knots = np.column_stack([s, np.concatenate([[0], np.cumsum(40 * grades[:-1])])])
    return Course(0.0, knots)
