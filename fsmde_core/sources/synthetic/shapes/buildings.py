"""Builds buildings: the front at y = 0 faces -y, towards the road; the body is behind it, x along the road.

Every function takes what it does not state from `rng`; widths are along the road, depths away from it, in metres.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from fsmde_core.sources.synthetic.shapes.appearance import CONCRETE, DARK, WHITE, Appearance, Colour, to_colour
from fsmde_core.sources.synthetic.shapes.solids import Solid, StreetObject, box, column, frustum
from fsmde_core.sources.synthetic.shapes.textures import random_variant

BASE = -3.0
"""Metres; walls reach below the ground so that no slope shows a gap."""
WALLS: tuple[Colour, ...] = (
    *[(0.62, 0.6, 0.55), (0.7, 0.7, 0.68), (0.5, 0.42, 0.3), (0.42, 0.2, 0.13), (0.33, 0.14, 0.09), (0.3, 0.31, 0.33)],
    *[(0.6, 0.48, 0.28), (0.45, 0.5, 0.42), (0.35, 0.42, 0.5), (0.75, 0.7, 0.6), (0.2, 0.19, 0.18), (0.55, 0.3, 0.25)],
)


def _wall(rng: Generator) -> Colour:
    return to_colour(np.array(WALLS[rng.integers(len(WALLS))]) * rng.uniform(0.8, 1.15))


def _roof_look(rng: Generator) -> Appearance:
    colours: tuple[Colour, ...] = ((0.12, 0.12, 0.13), (0.3, 0.11, 0.07), (0.2, 0.15, 0.12))
    return Appearance(colours[rng.integers(3)], "shingles", (4.0, 4.0))


def block(rng: Generator, width: float, depth: float, floors: int) -> StreetObject:
    # a town house, office or tower with rows of windows, often with shops below and plant on the roof
    floor, bay, colour = rng.uniform(2.9, 3.8), rng.uniform(2.0, 4.2), _wall(rng)
    height, x = floors * floor + rng.uniform(0.2, 1.2), width / 2
    is_glass = floors > 4 and rng.random() < 0.35
    texture = random_variant("curtain", rng) if is_glass else random_variant("facade", rng)
    colour, shift = WHITE if is_glass else colour, (rng.integers(4) / 4, rng.integers(4) / 4)
    wall = Appearance(colour, texture, (4 * bay, 4 * floor), shift)
    top = Appearance(CONCRETE.colour, "plaster", (4.0, 4.0))
    solids = [box((-x, x), (0, depth), (BASE, height), wall, top)]
    if rng.random() < 0.55:
        shop = Appearance(_wall(rng), random_variant("shop", rng), (4 * bay, 1.0 * floor), (float(rng.random()), 0.0))
        solids.append(box((-x, x), (-0.15, 1.0), (0, floor), shop, top))
        solids.append(box((-x, x), (-0.15, 1.0), (BASE, 0), top))
        if rng.random() < 0.5:
            awning = Appearance(_wall(rng), "corrugated", (3.0, 3.0))
            left, right = sorted(rng.uniform(-x, x, 2))
            lower, upper = (left, right + 1, -1.4, -0.1), (left, right + 1, -0.2, -0.1)
            solids.append(frustum(lower, upper, (floor - 0.6, floor), awning))
    if rng.random() < 0.6:
        cornice = Appearance(_wall(rng), "plaster")
        solids.append(box((-x - 0.2, x + 0.2), (-0.3, depth), (height - 0.5, height + 0.3), cornice, top))
    if rng.random() < 0.4:
        for level in range(1, floors):
            left = -x + bay * rng.integers(0, 2)
            balcony, low = Appearance(_wall(rng)), level * floor
            solids.append(box((left, left + 2 * bay), (-1.2, 0), (low, low + 0.9), balcony))
    if rng.random() < 0.5:
        a, b = sorted(rng.uniform(-0.8 * x, 0.8 * x, 2))
        solids.append(box((a, b + 0.5), (0.3 * depth, 0.7 * depth), (height, height + rng.uniform(1, 3.5)), CONCRETE))
    return StreetObject(solids, width)


def house(rng: Generator, width: float, depth: float) -> StreetObject:
    # a family house with a pitched roof, a porch or a garage
    floors, floor, colour = int(rng.integers(1, 3)), 2.9, _wall(rng)
    height, x, rise = floors * floor, width / 2, rng.uniform(1.5, 3.5)
    wall = Appearance(
        colour, random_variant("facade", rng), (4 * rng.uniform(2.2, 3.4), 4 * floor), (float(rng.random()), 0)
    )
    roof, gable = _roof_look(rng), Appearance(colour, "siding", (3.0, 3.0))
    solids: list[Solid] = [box((-x, x), (0, depth), (BASE, height), wall)]
    eaves = (-x - 0.4, x + 0.4, -0.5, depth + 0.5)
    if rng.random() < 0.5:
        solids.append(frustum(eaves, (*eaves[:2], depth / 2, depth / 2), (height, height + rise), roof, roof, gable))
    else:
        solids.append(frustum(eaves, (0, 0, *eaves[2:]), (height, height + rise), gable, roof, roof))
    if rng.random() < 0.5:
        door, side = Appearance((0.7, 0.7, 0.68), "siding", (5.0, 5.0)), rng.choice([-1, 1]) * (x + 1.6)
        solids.append(box((side - 1.9, side + 1.9), (1, depth), (BASE, 2.6), door, roof))
        lid = (side - 2.1, side + 2.1, 0.7, depth)
        solids.append(frustum(lid, (side, side, 0.7, depth), (2.6, 3.6), gable, roof, roof))
    if rng.random() < 0.5:
        solids.append(box((-1.4, 1.4), (-1.6, 0), (2.4, 2.6), roof))
        solids += [column((0.08, 0.08), (BASE, 2.4), Appearance(), 6).moved(s * 1.2, -1.5) for s in (-1, 1)]
    solids.append(box((-0.5, 0.5), (-0.03, 0.1), (0, 2.1), Appearance(_wall(rng), "plain", None)))
    if rng.random() < 0.5:
        chimney, left, near = Appearance((0.3, 0.13, 0.09), "brick"), 0.5 * x, 0.6 * depth
        solids.append(box((left, left + 0.6), (near, near + 0.6), (height, height + rise + 0.6), chimney))
    return StreetObject(solids, width)


def hall(rng: Generator, width: float, depth: float) -> StreetObject:
    # a warehouse, workshop or supermarket: blank walls, gates, a strip of windows
    height, x = rng.uniform(4.5, 10), width / 2
    wall = Appearance(_wall(rng), str(rng.choice(["corrugated", "plaster", "brick", "siding"])), (5.0, 5.0))
    roof = Appearance((0.3, 0.3, 0.3), "corrugated", (6.0, 6.0))
    solids = [box((-x, x), (0, depth), (BASE, height), wall, roof)]
    if rng.random() < 0.5:
        eaves, ridge = (-x, x, -0.2, depth), (-x, x, depth / 2, depth / 2)
        solids.append(frustum(eaves, ridge, (height, height + rng.uniform(1, 3)), roof, roof, wall))
    strip = Appearance(WHITE, random_variant("curtain", rng), (8.0, 4.0))
    if rng.random() < 0.6:
        solids.append(box((-0.9 * x, 0.9 * x), (-0.05, 0.2), (0.62 * height, 0.85 * height), strip))
    gate = Appearance(_wall(rng), "siding", (3.5, 3.5))
    for left in np.arange(-x + 2, x - 5, rng.uniform(7, 14)):
        if rng.random() < 0.6:
            solids.append(box((left, left + 3.6), (-0.06, 0.2), (0, min(3.8, 0.7 * height)), gate))
        elif rng.random() < 0.5:
            solids.append(box((left, left + 1.1), (-0.05, 0.2), (0, 2.2), DARK))
    if rng.random() < 0.6:
        name = Appearance(WHITE, random_variant("poster", rng), None)
        left = rng.uniform(-0.7 * x, 0.2 * x)
        solids.append(box((left, left + rng.uniform(3, 7)), (-0.15, 0.1), (0.68 * height, 0.92 * height), name))
    return StreetObject(solids, width)


def overpass(rng: Generator, half_span: float) -> StreetObject:
    # a bridge across the street (along y), from abutment to abutment
    clearance, width = rng.uniform(5.0, 7.0), rng.uniform(8, 22)
    x, y = width / 2, half_span
    solids = [
        box((-x, x), (-300, 300), (clearance, clearance + rng.uniform(1.0, 1.8)), CONCRETE),
        *(box((s * x - 0.15, s * x + 0.15), (-300, 300), (clearance + 1, clearance + 2.6), CONCRETE) for s in (-1, 1)),
    ]
    for side in (-1, 1):
        for at in np.arange(-x + 1, x, 5):
            solids.append(column((0.6, 0.6), (BASE, clearance), CONCRETE, 10).moved(at, side * y))
    return StreetObject(solids, width)
