"""The paint of the ground: asphalt, lane lines, crossings and side streets, computed from street coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.layout.style import Style
from fsmde_core.sources.synthetic.shapes.solids import Colour
from fsmde_core.sources.synthetic.shapes.textures import INDEX

Array = NDArray[np.float32]


class RoadLine(NamedTuple):
    """A lane line: offset and width in metres, length of dash and period (0: unbroken), yellow or white."""

    offset: float
    width: float
    dash: float
    period: float
    yellow: bool


@dataclass(frozen=True, eq=False)
class RoadMarking:
    """Everything that is painted on the ground plane of one street.

    edges: offset of the right and the left kerb. sides: (texture, colour, tile) of the land to the right and left.
    """

    edges: tuple[float, float]
    asphalt: tuple[str, float]
    sides: tuple[tuple[str, Colour, float], tuple[str, Colour, float]]
    lines: tuple[RoadLine, ...]
    junctions: NDArray[np.float64]
    has_crossings: bool
    wear: float

    @classmethod
    def of(cls, style: Style, junctions: NDArray[np.float64], rng: Generator) -> RoadMarking:
        land: list[tuple[str, Colour, float]] = [
            ("grass", style.foliage, 3.0),
            ("grass", (0.28, 0.23, 0.11), 3.0),
            ("soil", (0.3, 0.24, 0.17), 4.0),
            ("paving", (0.35, 0.34, 0.32), 3.0),
            ("asphalt1", (0.17, 0.17, 0.17), 4.0),
            ("plaster", (0.38, 0.37, 0.35), 6.0),
        ]
        hard = style.district in ("downtown", "industrial", "town")
        shares = np.array([1, 0.5, 1, 2, 2, 2] if hard else [5, 1.5, 1, 0.3, 0.4, 0.4])
        right, left = (land[i] for i in rng.choice(len(land), 2, p=shares / shares.sum()))
        return cls(
            edges=(-style.edge(-1), style.edge(1)),
            asphalt=("asphalt0", float(rng.uniform(0.1, 0.34))),
            sides=(right, left),
            lines=_lines(style, rng),
            junctions=junctions,
            has_crossings=bool(rng.random() < 0.7),
            wear=float(rng.uniform(0.1, 0.7)),
        )

    def apply(self, s: Array, offset: Array, footprint: Array, noise: Array) -> tuple[NDArray[np.int32], Array, Array]:
        """Texture (N,), colour (N, 3) and metres per tile (N,) at street coordinates (N,).

        footprint: (N, 2) metres of a pixel along s and across. noise: (N,) in [0, 1], the wear of paint.
        """
        count = len(s)
        texture, tile = np.full(count, INDEX[self.asphalt[0]], np.int32), np.full(count, 3.0, np.float32)
        shade = np.full((count, 3), self.asphalt[1], np.float32)
        side_street = np.zeros(count, bool)
        for at, half in self.junctions:
            side_street |= np.abs(s - np.float32(at)) < half
        for (name, colour, size), land in zip(
            self.sides, (offset < self.edges[0], offset > self.edges[1]), strict=True
        ):
            land &= ~side_street
            texture[land], tile[land], shade[land] = INDEX[name], size, colour
        road = (offset > self.edges[0]) & (offset < self.edges[1])
        self._paint(shade, np.flatnonzero(road), s, offset, footprint, noise, side_street)
        return texture, shade, tile

    def _paint(
        self,
        shade: Array,
        rows: NDArray[np.int64],
        s: Array,
        offset: Array,
        footprint: Array,
        noise: Array,
        junction: NDArray,
    ) -> None:
        s, offset, worn = s[rows], offset[rows], (1 - self.wear * noise[rows])
        along, across = footprint[rows].T
        open_road = ~junction[rows]
        cover = np.zeros(len(rows), np.float32)
        yellow = np.zeros(len(rows), bool)
        for line in self.lines:
            part = _band(np.abs(offset - line.offset), line.width / 2, across)
            if line.period:
                phase = np.abs((s % line.period) - line.period / 2)
                part = part * _band(phase, line.dash / 2, along)
            if line.yellow:
                yellow |= part > 0
            np.maximum(cover, part * open_road, out=cover)
        if self.has_crossings:
            for at, half in self.junctions:
                distance = np.abs(np.abs(s - at) - (half + 2.6))
                zebra = _band(distance, 1.4, along) * _band(np.abs(offset % 1.1 - 0.55), 0.27, across)
                stop = _band(np.abs(np.abs(s - at) - (half + 5.2)), 0.2, along)
                np.maximum(cover, np.maximum(zebra, stop), out=cover)
        cover *= worn
        marked = np.flatnonzero(cover > 0)
        white = np.where(yellow[marked, None], (0.6, 0.36, 0.04), (0.68, 0.68, 0.66)).astype(np.float32)
        mix = cover[marked, None]
        shade[rows[marked]] = shade[rows[marked]] * (1 - mix) + mix * white


def _band(distance: Array, half: float, footprint: Array) -> Array:
    """Share of a pixel of the given footprint that a band of half width `half` covers, `distance` from its middle."""
    return np.clip(
        (half - distance) / np.maximum(footprint, 1e-3) + 0.5, 0, np.minimum(2 * half / np.maximum(footprint, 1e-3), 1)
    )


def _lines(style: Style, rng: Generator) -> tuple[RoadLine, ...]:
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
