"""Computes the look of the ground from street coordinates: asphalt, lane lines, crossings and side streets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.layout.style import Style
from fsmde_core.sources.synthetic.shapes.appearance import Colour
from fsmde_core.sources.synthetic.shapes.textures import INDEX

Array = NDArray[np.float32]
Rows = NDArray[np.int64]


class RoadLine(NamedTuple):
    """Describes a lane line in metres; without a period it is unbroken, and what is not yellow is white."""

    offset: float
    width: float
    dash: float
    period: float
    yellow: bool


class RoadMarking:
    """Samples and holds everything that is painted on the ground plane of one street.

    edges: offset of the right and the left kerb, metres. asphalt: texture and grey. sides: texture, colour and metres
    per tile of the land to the right and left. junctions: (n, 2) s and half width of side streets, metres. wear: loss
    of paint from 0 to 1.
    """

    def __init__(self, style: Style, junctions: NDArray[np.float64], rng: Generator) -> None:
        land: list[tuple[str, Colour, float]] = [
            ("grass", style.foliage, 3.0),
            ("grass", (0.28, 0.23, 0.11), 3.0),
            ("soil", (0.3, 0.24, 0.17), 4.0),
            ("paving", (0.35, 0.34, 0.32), 3.0),
            ("asphalt1", (0.17, 0.17, 0.17), 4.0),
            ("plaster", (0.38, 0.37, 0.35), 6.0),
        ]
        is_hard = style.district in ("downtown", "industrial", "town")
        weights = np.array([1, 0.5, 1, 2, 2, 2] if is_hard else [5, 1.5, 1, 0.3, 0.4, 0.4])
        self.sides = [land[i] for i in rng.choice(len(land), 2, p=weights / weights.sum())]
        self.edges = (-style.edge(-1), style.edge(1))
        self.asphalt = ("asphalt0", float(rng.uniform(0.1, 0.34)))
        self.lines = _sample_lines(style, rng)
        self.junctions = junctions
        self.has_crossings = bool(rng.random() < 0.7)
        self.wear = float(rng.uniform(0.1, 0.7))

    def apply(self, s: Array, offset: Array, footprint: Array, noise: Array) -> tuple[NDArray[np.int32], Array, Array]:
        """Look up the ground at N street coordinates.

        Args:
            s, offset: (N,) metres along the centre line, and to its left.
            footprint: (N, 2) metres of a pixel along s and across.
            noise: (N,) in [0, 1], multiplies the wear of the paint.

        Returns:
            Texture (N,), colour (N, 3) and metres per tile (N,).
        """
        count = len(s)
        texture, tile = np.full(count, INDEX[self.asphalt[0]], np.int32), np.full(count, 3.0, np.float32)
        shade = np.full((count, 3), self.asphalt[1], np.float32)
        side_street = np.zeros(count, bool)
        for at, half in self.junctions:
            side_street |= np.abs(s - np.float32(at)) < half
        beside = (offset < self.edges[0], offset > self.edges[1])
        for (name, colour, size), land in zip(self.sides, beside, strict=True):
            land &= ~side_street
            texture[land], tile[land], shade[land] = INDEX[name], size, colour
        road = (offset > self.edges[0]) & (offset < self.edges[1])
        self._paint_lines(shade, np.flatnonzero(road), s, offset, footprint, noise, side_street)
        return texture, shade, tile

    def _paint_lines(
        self, shade: Array, rows: Rows, s: Array, offset: Array, footprint: Array, noise: Array, junction: NDArray
    ) -> None:
        s, offset, intact = s[rows], offset[rows], (1 - self.wear * noise[rows])
        along, across = footprint[rows].T
        open_road = ~junction[rows]
        cover = np.zeros(len(rows), np.float32)
        yellow = np.zeros(len(rows), bool)
        for line in self.lines:
            part = _band_coverage(np.abs(offset - line.offset), line.width / 2, across)
            if line.period:
                phase = np.abs((s % line.period) - line.period / 2)
                part = part * _band_coverage(phase, line.dash / 2, along)
            if line.yellow:
                yellow |= part > 0
            np.maximum(cover, part * open_road, out=cover)
        if self.has_crossings:
            for at, half in self.junctions:
                distance = np.abs(np.abs(s - at) - (half + 2.6))
                zebra = _band_coverage(distance, 1.4, along) * _band_coverage(np.abs(offset % 1.1 - 0.55), 0.27, across)
                stop = _band_coverage(np.abs(np.abs(s - at) - (half + 5.2)), 0.2, along)
                np.maximum(cover, np.maximum(zebra, stop), out=cover)
        cover *= intact
        marked = np.flatnonzero(cover > 0)
        paint = np.where(yellow[marked, None], (0.6, 0.36, 0.04), (0.68, 0.68, 0.66)).astype(np.float32)
        mix = cover[marked, None]
        shade[rows[marked]] = shade[rows[marked]] * (1 - mix) + mix * paint


def _band_coverage(distance: Array, half: float, footprint: Array) -> Array:
    """Fraction of a pixel of this footprint that a band of half width `half` covers, `distance` from its middle."""
    size = np.maximum(footprint, 1e-3)
    return np.clip((half - distance) / size + 0.5, 0, np.minimum(2 * half / size, 1))


def _sample_lines(style: Style, rng: Generator) -> tuple[RoadLine, ...]:
    width, yellow = float(rng.uniform(0.1, 0.18)), bool(rng.random() < 0.5)
    dash, period = float(rng.uniform(1.5, 4)), float(rng.uniform(6, 13))
    lines = []
    if style.backward_lanes and not style.median:
        kind = rng.integers(3)
        for offset in (-0.14, 0.14) if kind == 0 else (0.0,):
            lines.append(RoadLine(offset, width, dash if kind == 1 else 0.0, period if kind == 1 else 0.0, yellow))
    for lanes, side in ((style.forward_lanes, style.drive_side), (style.backward_lanes, -style.drive_side)):
        for k in range(1, lanes):
            lines.append(RoadLine(side * (style.median / 2 + k * style.lane_width), width, dash, period, False))
        if lanes and rng.random() < 0.6:
            edge = style.median / 2 + lanes * style.lane_width
            inset = 0.0 if style.parking[int(side > 0)] else 0.3
            lines.append(RoadLine(side * (edge - inset), width, 0.0, 0.0, bool(yellow and rng.random() < 0.3)))
    return tuple(lines)
