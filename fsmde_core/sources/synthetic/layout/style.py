"""What kind of street a seed draws: its cross-section, what stands along it, its traffic and its light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from fsmde_core.sources.synthetic.layout.street import Course
from fsmde_core.sources.synthetic.shapes.solids import Colour

LOTS = ("block", "house", "hall", "park", "parking", "empty", "wall")
# Shares of the kinds of lot, setback range in metres, usual number of floors
DISTRICTS = {
    "downtown": ((10, 0, 1, 0.6, 0.7, 0.3, 0.3), (0.0, 3.0), (4, 14)),
    "town": ((6, 2, 1, 1, 1, 1, 0.5), (0.0, 6.0), (2, 5)),
    "residential": ((0.7, 8, 0, 1.5, 0.3, 1, 0.6), (4.0, 10.0), (2, 3)),
    "industrial": ((0.8, 0.2, 6, 0.3, 2.5, 2, 1.5), (2.0, 20.0), (2, 4)),
    "suburban": ((0.3, 1.5, 0.5, 6, 1.5, 3, 0.5), (10.0, 30.0), (1, 4)),
    "open": ((0.2, 0.3, 0.7, 1.5, 0.7, 6, 0.7), (8.0, 40.0), (1, 6)),
}


@dataclass(frozen=True, eq=False)
class Style:
    """One street. Lengths in metres, shares from 0 to 1, speeds in m/s; drive_side: -1 on the right, 1 on the left."""

    district: str
    course: Course
    drive_side: int
    forward_lanes: int
    backward_lanes: int
    lane_width: float
    parking: tuple[bool, bool]
    sidewalk: float
    verge: float
    median: float
    tree_gap: float
    tree_kind: str
    foliage: Colour
    parked_share: float
    traffic_gap: float
    pedestrian_gap: float
    ego_lane: int
    ego_speed: float
    works: bool
    barrier: bool

    def edge(self, side: int) -> float:
        """Metres from the centre line to the kerb on `side` (1 left, -1 right)."""
        lanes = self.forward_lanes if side == self.drive_side else self.backward_lanes
        return self.median / 2 + lanes * self.lane_width + 2.2 * self.parking[int(side > 0)]

    def lane_centre(self, lane: int) -> float:
        """Offset of forward lane 0, 1, ... or backward lane -1, -2, ..., counted from the centre line."""
        number, side = (lane, self.drive_side) if lane >= 0 else (-1 - lane, -self.drive_side)
        return side * (self.median / 2 + (number + 0.5) * self.lane_width)


def draw_style(rng: Generator, length: float) -> Style:
    """A street for a drive of up to `length` metres."""
    district = str(rng.choice(list(DISTRICTS)))
    forward = int(rng.choice([1, 1, 2, 3] if district != "residential" else [1, 1, 1, 2]))
    one_way = rng.random() < 0.12
    side = -1 if rng.random() < 0.8 else 1
    can_park = district in ("downtown", "town", "residential", "industrial")
    parking = (bool(can_park and rng.random() < 0.7), bool(can_park and rng.random() < 0.7))
    urban = district in ("downtown", "town")
    speed = 0.0 if rng.random() < 0.1 else rng.uniform(3, 9 if district == "residential" else 14)
    r, g, b = np.array([0.1, 0.155, 0.05]) * rng.uniform(0.5, 1.4) * rng.uniform(0.8, 1.25, 3)
    if rng.random() < 0.12:
        r, g, b = rng.choice([(0.25, 0.13, 0.03), (0.2, 0.06, 0.02), (0.22, 0.18, 0.04)])
    return Style(
        district=district,
        course=_draw_course(rng, length),
        drive_side=side,
        forward_lanes=forward,
        backward_lanes=0 if one_way else int(np.clip(forward + rng.integers(-1, 2), 1, 3)),
        lane_width=rng.uniform(2.9, 3.7),
        parking=parking,
        sidewalk=rng.uniform(1.5, 4.5) if rng.random() < (1.0 if urban else 0.6) else 0.0,
        verge=0.0 if urban and rng.random() < 0.7 else rng.uniform(0.5, 4.0),
        median=rng.uniform(1.5, 5) if not one_way and rng.random() < 0.15 else 0.0,
        tree_gap=rng.uniform(7, 30) if rng.random() < 0.8 else 1000.0,
        tree_kind=str(rng.choice(["tree", "conifer", "palm", "bare_tree"], p=[0.72, 0.1, 0.06, 0.12])),
        foliage=(float(r), float(g), float(b)),
        parked_share=rng.uniform(0.1, 0.95),
        traffic_gap=float(np.exp(rng.uniform(np.log(9), np.log(80)))),
        pedestrian_gap=float(np.exp(rng.uniform(np.log(8), np.log(120)))),
        ego_lane=int(rng.integers(forward)),
        ego_speed=float(speed),
        works=rng.random() < 0.15,
        barrier=rng.random() < 0.2,
    )


def _draw_course(rng: Generator, length: float) -> Course:
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
