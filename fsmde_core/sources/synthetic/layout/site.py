"""Collects the objects of a street while it is laid out."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.layout.style import Style
from fsmde_core.sources.synthetic.shapes.solids import Solid, StreetObject

BEFORE, BEYOND = 170.0, 260.0
"""Metres of street behind the start and beyond the end of the drive."""
KERB = 0.14
"""Height of kerbs in metres."""


class Site:
    """Holds the objects placed so far: the solids of each, and rows of s, offset, z, yaw, wheelbase and speed along s.

    Metres, radians and m/s. junctions: (n, 2) s and half width of side streets. duration: seconds of the drive.
    """

    def __init__(self, style: Style, rng: Generator, duration: float) -> None:
        self.style, self.rng, self.duration = style, rng, duration
        self.start, self.end = -BEFORE, style.ego_speed * duration + BEYOND
        self.solids: list[list[Solid]] = []
        self.rows: list[tuple[float, ...]] = []
        self.junctions = self._sample_junctions()

    def add(
        self, placed: StreetObject, s: float, offset: float, z: float = 0.0, yaw: float = 0.0, speed: float = 0.0
    ) -> None:
        self.solids.append(placed.solids)
        self.rows.append((s, offset, z, yaw, placed.wheelbase, speed))

    def chance(self, probability: float) -> bool:
        """Decide at random, with the given probability of True."""
        return bool(self.rng.random() < probability)

    def is_junction(self, s: float, margin: float) -> bool:
        return bool(np.any(np.abs(self.junctions[:, 0] - s) < self.junctions[:, 1] + margin))

    def frontage(self, side: int) -> float:
        """Return the metres from the centre line to where the lots begin."""
        return self.style.edge(side) + self.style.verge + self.style.sidewalk

    @staticmethod
    def facing_road(side: int) -> float:
        """Return the yaw, in radians, that makes an object's -y side face the road from `side` (1 left, -1 right)."""
        return 0.0 if side > 0 else np.pi

    def _sample_junctions(self) -> NDArray[np.float64]:
        rng, rows, s = self.rng, [], self.start + self.rng.uniform(0, 120)
        while s < self.end:
            if rng.random() < 0.75:
                rows.append((s, rng.uniform(3.5, 8.0)))
            s += rng.uniform(50, 170)
        return np.array(rows).reshape(-1, 2)
