"""Builds what stands beside a road: plants, poles, signs, fences and barriers.

Every function takes what it does not state from `rng`; heights and lengths are metres, colours linear reflectances.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from fsmde_core.sources.synthetic.shapes.appearance import CONCRETE, DARK, WHITE, Appearance, Colour, to_colour
from fsmde_core.sources.synthetic.shapes.solids import Solid, StreetObject, box, column, disc, ellipsoid, frustum
from fsmde_core.sources.synthetic.shapes.textures import random_variant

STEEL = Appearance((0.35, 0.36, 0.37))
WOOD = Appearance((0.12, 0.08, 0.05), "bark", (0.7, 1.5))
SIGN_COLOURS = ((0.6, 0.03, 0.03), (0.02, 0.1, 0.45), (0.75, 0.55, 0.03), (0.75, 0.75, 0.75), (0.02, 0.25, 0.1))


def foliage_colour(rng: Generator, base: Colour) -> Colour:
    # mostly near the base, sometimes dry or dark
    return to_colour(np.array(base) * rng.uniform(0.6, 1.6) * rng.uniform(0.85, 1.15, 3))


def _foliage(rng: Generator, colour: Colour, tile: float) -> Appearance:
    shade = rng.uniform(0.75, 1.25)
    shift = float(rng.random()), float(rng.random())
    return Appearance(
        to_colour(c * shade for c in colour), random_variant("leaves", rng), (tile, tile), shift, is_cutout=True
    )


def tree(rng: Generator, height: float, colour: Colour) -> StreetObject:
    # broadleaved: a trunk and clumps of leaves, the inner ones dense
    trunk, crown = rng.uniform(0.25, 0.42) * height, rng.uniform(0.26, 0.42) * height
    radius, wood = 0.018 * height + rng.uniform(0.02, 0.1), Appearance(WOOD.colour, "bark", (0.8, 2.0))
    solids = [column((radius, 0.6 * radius), (-0.3, trunk + 0.3 * crown), wood)]
    middle = trunk + 0.75 * crown
    tile = float(rng.uniform(2.0, 4.0))
    core = replace(_foliage(rng, colour, tile), is_cutout=False)
    solids.append(ellipsoid((0, 0, middle), (0.6 * crown, 0.6 * crown, 0.62 * (height - middle)), core))
    for _ in range(rng.integers(5, 11)):
        direction = rng.normal(size=3) * (1, 1, 0.7)
        direction /= np.linalg.norm(direction)
        x, y, z = direction * crown * rng.uniform(0.35, 0.7)
        r = crown * rng.uniform(0.32, 0.58)
        solids.append(ellipsoid((x, y, max(middle + z, trunk + 0.4 * r)), (r, r, 0.8 * r), _foliage(rng, colour, tile)))
    return StreetObject(solids, 2 * crown)


def conifer(rng: Generator, height: float, colour: Colour) -> StreetObject:
    # cones of needles one above the other
    radius, layers = rng.uniform(0.16, 0.26) * height, int(rng.integers(3, 6))
    solids = [column((0.15, 0.1), (-0.3, 0.3 * height), WOOD, 6)]
    for layer in range(layers):
        low = height * (0.1 + 0.8 * layer / layers)
        high = min(low + 1.7 * height / layers, height)
        r = radius * (1 - 0.85 * layer / layers)
        solids.append(column((r, 0.12 * r), (low, high), _foliage(rng, colour, 2.5), 9))
    return StreetObject(solids, 2 * radius)


def palm(rng: Generator, height: float, colour: Colour) -> StreetObject:
    solids = [column((0.2, 0.14), (-0.3, height), WOOD)]
    for angle in np.arange(0, 2 * np.pi, 2 * np.pi / 9) + rng.uniform(0, 1):
        leaf = ellipsoid((1.2, 0, height - 0.1), (1.3, 0.35, 0.3), _foliage(rng, colour, 1.2))
        solids.append(leaf.moved(yaw=angle))
    return StreetObject(solids, 4.0)


def bare_tree(rng: Generator, height: float, colour: Colour) -> StreetObject:
    # a trunk, boughs and a haze of twigs
    wood = Appearance((0.1, 0.085, 0.07), "bark", (0.8, 2.0))
    trunk, crown = 0.35 * height, 0.35 * height
    solids = [column((0.02 * height + 0.05, 0.012 * height), (-0.3, 0.9 * height), wood)]
    for _ in range(rng.integers(5, 9)):
        reach, low = crown * rng.uniform(0.5, 1), rng.uniform(trunk, 0.7 * height)
        high = low + reach * rng.uniform(0.7, 1.5)
        bough = frustum((0, 0.16, -0.08, 0.08), (reach, reach + 0.05, -0.03, 0.03), (low, high), wood)
        solids.append(bough.moved(yaw=rng.uniform(0, 2 * np.pi)))
    for _ in range(rng.integers(5, 10)):
        x, y, z = rng.normal(size=3) * (0.4 * crown, 0.4 * crown, 0.12 * height)
        r = crown * rng.uniform(0.35, 0.6)
        twigs = Appearance((0.1, 0.085, 0.07), "twigs", (2.5, 2.5), (float(rng.random()), 0.0), is_cutout=True)
        solids.append(ellipsoid((x, y, 0.72 * height + z), (r, r, 1.1 * r), twigs))
    return StreetObject(solids, 2 * crown)


TREES = {"tree": tree, "conifer": conifer, "palm": palm, "bare_tree": bare_tree}
"""Kind -> maker, of a height and a foliage colour."""


def bush(rng: Generator, colour: Colour) -> StreetObject:
    solids = []
    for _ in range(rng.integers(2, 5)):
        r = rng.uniform(0.4, 0.9)
        x, y = rng.uniform(-0.6, 0.6, 2)
        solids.append(ellipsoid((x, y, 0.5 * r), (r, r, 0.8 * r), _foliage(rng, colour, 1.5)))
    return StreetObject(solids, 1.5)


def thicket(rng: Generator, colour: Colour) -> StreetObject:
    # a piece of the edge of a wood: a dense core and ragged crowns around it
    r, height = rng.uniform(3, 6), rng.uniform(6, 16)
    core = Appearance(colour, "leaves1", (5.0, 5.0), (float(rng.random()), 0.0))
    solids = [ellipsoid((0, 0, 0.4 * height), (r, r, 0.5 * height), core)]
    for _ in range(3):
        x, y = rng.uniform(-0.6, 0.6, 2) * r
        size = rng.uniform(0.4, 0.7) * r
        at = (x, y, height * rng.uniform(0.55, 0.85))
        solids.append(ellipsoid(at, (size, size, size), _foliage(rng, colour, 4.0)))
    return StreetObject(solids, 2 * r)


def hedge(rng: Generator, length: float, colour: Colour) -> StreetObject:
    # clipped: a closed core below a ragged skin
    height, depth = rng.uniform(0.7, 2.0), rng.uniform(0.5, 1.0)
    core = Appearance(colour, random_variant("leaves", rng), (1.2, 1.2))
    x, y = length / 2, depth / 2
    skin = frustum((-x, x, -y, y), (-x, x, -0.9 * y, 0.9 * y), (0, height), _foliage(rng, colour, 1.5))
    return StreetObject([skin, box((-x + 0.08, x - 0.08), (-0.8 * y, 0.8 * y), (0, height - 0.1), core)], length)


def fence(rng: Generator, length: float) -> StreetObject:
    # iron bars, pickets, boards or a wall
    height, x, kind = rng.uniform(1.0, 2.2), length / 2, rng.integers(4)
    brick = Appearance((0.35, 0.2, 0.14), "brick", (2.4, 2.4))
    thickness, panel = (
        (0.02, Appearance((0.03, 0.03, 0.03), "bars", (2.4, height), is_cutout=True)),
        (0.015, Appearance((0.6, 0.6, 0.58), "pickets", (1.6, height), is_cutout=True)),
        (0.04, Appearance((0.2, 0.13, 0.08), "siding", (2.0, 2.0))),
        (0.12, brick if kind == 3 and rng.random() < 0.5 else CONCRETE),
    )[kind]
    solids = [box((-x, x), (-thickness, thickness), (0, height), panel)]
    for post in np.arange(-x, x + 0.1, max(length / 4, 1.0)):
        look = DARK if kind == 0 else CONCRETE
        solids.append(box((post - 0.05, post + 0.05), (-0.06, 0.06), (0, height + 0.08), look))
    return StreetObject(solids, length)


def barrier(rng: Generator, length: float) -> StreetObject:
    # a Jersey barrier or a guard rail, along x
    x = length / 2
    if rng.random() < 0.6:
        look = CONCRETE if rng.random() < 0.6 else Appearance((0.6, 0.1, 0.05), "kerb", (3.0, 3.0))
        return StreetObject([frustum((-x, x, -0.3, 0.3), (-x, x, -0.09, 0.09), (0, 0.85), look)], length, 4.0)
    posts: list[Solid] = [box((p - 0.06, p + 0.06), (-0.08, 0.08), (0, 0.7), STEEL) for p in np.arange(-x, x, 2.5)]
    return StreetObject([box((-x, x), (0.08, 0.14), (0.4, 0.75), STEEL), *posts], length, 4.0)


def lamp(rng: Generator) -> StreetObject:
    """Make a street lamp whose arm reaches along -y."""
    height, arm = rng.uniform(5, 10), rng.uniform(0.8, 2.5)
    look = STEEL if rng.random() < 0.6 else DARK
    solids = [
        column((0.1, 0.06), (-0.2, height), look),
        column((0.16, 0.14), (-0.2, 0.7), look),
        box((-0.04, 0.04), (-arm, 0.0), (height - 0.1, height), look),
        box((-0.14, 0.14), (-arm - 0.6, -arm + 0.1), (height - 0.08, height + 0.06), STEEL),
    ]
    return StreetObject(solids, 0.3)


def utility_pole(rng: Generator) -> StreetObject:
    height = rng.uniform(8, 12)
    solids = [column((0.17, 0.12), (-0.2, height), WOOD)]
    for z in (height - 0.5, height - 1.6)[: rng.integers(1, 3)]:
        solids.append(box((-0.06, 0.06), (-1.3, 1.3), (z - 0.07, z + 0.07), WOOD))
    if rng.random() < 0.3:
        solids.append(column((0.25, 0.25), (height - 3.2, height - 2.2), STEEL).moved(y=0.35))
    return StreetObject(solids, 0.3)


def traffic_light(rng: Generator) -> StreetObject:
    """Make a signal on a mast, with an arm over the road (towards -y) or without; it faces -x."""
    look = DARK if rng.random() < 0.5 else STEEL
    arm = rng.uniform(3, 7) if rng.random() < 0.5 else 0.0
    height = 5.8 if arm else 3.4
    solids = [column((0.11, 0.09), (-0.2, height), look)]
    heads = [(0.0, 2.5)]
    if arm:
        solids.append(box((-0.06, 0.06), (-arm, 0), (height - 0.2, height - 0.06), look))
        heads.append((-arm + 0.3, height - 0.9))
    lit = int(rng.integers(3))
    for y, z in heads:
        solids.append(box((-0.3, -0.1), (y - 0.17, y + 0.17), (z, z + 1.0), DARK))
        for k, colour in enumerate(((0.02, 0.9, 0.3), (0.9, 0.6, 0.05), (0.95, 0.05, 0.03))):
            shade = 1.0 if k == lit else 0.12
            light = Appearance(to_colour(c * shade for c in colour))
            solids.append(box((-0.33, -0.3), (y - 0.1, y + 0.1), (z + 0.08 + 0.32 * k, z + 0.28 + 0.32 * k), light))
    return StreetObject(solids, 0.3)


def traffic_cone(rng: Generator) -> StreetObject:
    """Make a traffic cone or a barrel."""
    is_barrel = rng.random() < 0.4
    radius, height = (0.3, 1.0) if is_barrel else (0.18, 0.7)
    orange, band = Appearance((0.7, 0.13, 0.02)), Appearance((0.75, 0.75, 0.75))
    top = radius * (0.85 if is_barrel else 0.15)
    middle = (radius + top) / 2
    parts = [
        column((radius, 1.02 * middle), (0, height / 2), orange),
        column((1.02 * middle, middle), (height / 2, 0.7 * height), band),
        column((0.95 * middle, top), (0.7 * height, height), orange),
    ]
    return StreetObject(parts, 0.5)


def sign(rng: Generator) -> StreetObject:
    """Make a traffic sign on a post: round, square or a plate; it faces -x."""
    height, size = rng.uniform(2.0, 2.8), rng.uniform(0.3, 0.45)
    front = Appearance(SIGN_COLOURS[rng.integers(len(SIGN_COLOURS))])
    solids = [column((0.04, 0.04), (-0.2, height + size), STEEL, 6)]
    if rng.random() < 0.4:
        sides = int(rng.choice([3, 8, 16]))
        for y, radius, look in (((0.04, 0.07), size, front), ((0.07, 0.08), 0.6 * size, Appearance())):
            solids.append(disc(0, y, height + size, radius, look, STEEL, sides).moved(yaw=np.pi / 2))
    else:
        width = size * rng.uniform(0.7, 1.6)
        front = Appearance(WHITE, random_variant("poster", rng), None) if rng.random() < 0.3 else front
        solids.append(box((-0.07, -0.04), (-width, width), (height, height + 2 * size), front))
    return StreetObject(solids, 0.3)


def billboard(rng: Generator) -> StreetObject:
    low, width, height = rng.uniform(2.5, 7), rng.uniform(2, 5), rng.uniform(2, 4)
    face = Appearance((0.85, 0.85, 0.85), random_variant("poster", rng), None)
    board = box((-0.15, 0.15), (-width, width), (low, low + height), face, STEEL)
    return StreetObject([column((0.2, 0.2), (-0.2, low), STEEL), board], 0.5)


def street_furniture(rng: Generator) -> StreetObject:
    """Make a bin, hydrant, bollard, post box, control cabinet or bench."""
    look = Appearance(to_colour(rng.uniform(0.02, 0.4, 3)), "paint")
    kind = rng.integers(4)
    if kind == 0:
        return StreetObject([column((0.25, 0.28), (0, 1.0), look), column((0.3, 0.2), (1.0, 1.12), DARK)], 0.6)
    if kind == 1:
        return StreetObject([column((0.09, 0.09), (0, 0.9), look)], 0.3)
    if kind == 2:
        return StreetObject([box((-0.4, 0.4), (-0.25, 0.25), (0, rng.uniform(0.9, 1.6)), look)], 0.9)
    slats = Appearance((0.2, 0.12, 0.06), "siding", (1.0, 1.0))
    legs = [box((x - 0.05, x + 0.05), (-0.2, 0.2), (0, 0.42), DARK) for x in (-0.7, 0.7)]
    seat, back = ((-0.25, 0.25), (0.42, 0.48)), ((0.2, 0.26), (0.5, 0.9))
    return StreetObject([*legs, *(box((-0.9, 0.9), y, z, slats) for y, z in (seat, back))], 1.8)
