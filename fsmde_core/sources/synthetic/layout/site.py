"""A street under construction: what its parts draw from and add to."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.layout.style import Style
from fsmde_core.sources.synthetic.shapes.solids import Solid
from fsmde_core.sources.synthetic.shapes.vehicles import StreetObject

BEFORE, BEYOND = 170.0, 260.0
"""Metres of street behind the start and beyond the end of the drive."""
KERB = 0.14
"""Height of kerbs in metres."""


class Site:
    """The objects so far: `solids` of each, and `rows` of s, offset, z, yaw, wheelbase and speed along s."""

    def __init__(self, style: Style, rng: Generator, duration: float) -> None:
        self.style, self.rng, self.duration = style, rng, duration
        self.start, self.end = -BEFORE, style.ego_speed * duration + BEYOND
        self.solids: list[list[Solid]] = []
        self.rows: list[tuple[float, ...]] = []
        self.junctions = self._draw_junctions()
        """(n, 2) position and half width of side streets."""

    def add(
        self, thing: StreetObject, s: float, offset: float, z: float = 0.0, yaw: float = 0.0, speed: float = 0.0
    ) -> None:
        self.solids.append(thing.solids)
        self.rows.append((s, offset, z, yaw, thing.wheelbase, speed))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def is_junction(self, s: float, margin: float) -> bool:
        return bool(np.any(np.abs(self.junctions[:, 0] - s) < self.junctions[:, 1] + margin))

    def frontage(self, side: int) -> float:
        """Metres from the centre line to where the lots begin."""
        return self.style.edge(side) + self.style.verge + self.style.sidewalk

    def _draw_junctions(self) -> NDArray[np.float64]:
        rng, rows, s = self.rng, [], self.start + self.rng.uniform(0, 120)
        while s < self.end:
            if rng.random() < 0.75:
                rows.append((s, rng.uniform(3.5, 8.0)))
            s += rng.uniform(50, 170)
        return np.array(rows).reshape(-1, 2)
