"""Builds vehicles, cyclists and pedestrians: x forward from the middle, on the road at z = 0."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from fsmde_core.sources.synthetic.shapes.appearance import WHITE, Appearance, Colour, to_colour
from fsmde_core.sources.synthetic.shapes.solids import Solid, StreetObject, box, column, disc, ellipsoid, frustum
from fsmde_core.sources.synthetic.shapes.textures import random_variant

PAINTS: tuple[Colour, ...] = (
    *[(0.75, 0.75, 0.75), (0.8, 0.8, 0.78), (0.03, 0.03, 0.035), (0.06, 0.065, 0.07), (0.3, 0.31, 0.32)] * 2,
    *[(0.45, 0.46, 0.47), (0.16, 0.17, 0.18), (0.3, 0.02, 0.02), (0.02, 0.05, 0.2), (0.05, 0.12, 0.3)],
    *[(0.25, 0.2, 0.12), (0.02, 0.1, 0.05), (0.6, 0.45, 0.05), (0.5, 0.15, 0.03)],
)
RUBBER = Appearance((0.02, 0.02, 0.02))
TRIM = Appearance((0.025, 0.025, 0.028))
PLATE = Appearance((0.7, 0.7, 0.6))
HEADLIGHT, TAILLIGHT = Appearance((0.9, 0.9, 0.85), "paint"), Appearance((0.5, 0.01, 0.01), "paint")


def _paint(rng: Generator) -> Colour:
    return to_colour(np.array(PAINTS[rng.integers(len(PAINTS))]) * rng.uniform(0.8, 1.15))


def _wheels(positions: tuple[float, ...], half_width: float, radius: float, width: float = 0.22) -> list[Solid]:
    hub = Appearance((0.6, 0.6, 0.6), "wheel", None)
    solids = []
    for x in positions:
        for side in (-1, 1):
            outer, inner = side * (half_width + 0.02), side * (half_width - width)
            solids.append(disc(x, (min(outer, inner), max(outer, inner)), radius, radius, hub, RUBBER))
            arch = side * (half_width + 0.006), side * (half_width - width)
            solids.append(disc(x, (min(arch), max(arch)), radius, 1.16 * radius, TRIM, TRIM))
    return solids


def _lights(half_length: float, half_width: float, z: float, rng: Generator) -> list[Solid]:
    w, h = rng.uniform(0.2, 0.42), rng.uniform(0.08, 0.2)
    low, high = half_width - w - 0.06, half_width - 0.06
    solids = []
    for y in ((low, high), (-high, -low)):
        solids.append(box((half_length - 0.1, half_length + 0.012), y, (z - h / 2, z + h / 2), HEADLIGHT))
        solids.append(box((-half_length - 0.012, -half_length + 0.1), y, (z - h / 3, z + h), TAILLIGHT))
    solids.append(box((-half_length - 0.015, -half_length), (-0.26, 0.26), (z - 0.2, z - 0.09), PLATE))
    solids.append(box((half_length, half_length + 0.013), (-0.45, 0.45), (z - 0.24, z - 0.06), TRIM))
    return solids


def car(rng: Generator) -> StreetObject:
    """Make a hatchback, saloon, estate or off-roader."""
    is_tall = rng.random() < 0.4
    length, width = rng.uniform(3.7, 5.0), rng.uniform(1.7, 1.95)
    height = rng.uniform(1.62, 1.9) if is_tall else rng.uniform(1.38, 1.55)
    x, y = length / 2, width / 2
    sill, belt = 0.16 * height, 0.6 * height
    nose, tail = rng.uniform(0.16, 0.24) * length, rng.choice([0.02, 0.02, 0.14]) * length
    paint = _paint(rng)
    body, side = Appearance(paint, "paint"), Appearance(paint, "car_side", None)
    glass, screen = Appearance(paint, "car_glass", None), Appearance(paint, "windscreen", None)
    waist = 0.42 * height
    roof = (-x + tail + rng.uniform(0.2, 0.6), x - nose - rng.uniform(0.75, 1.0), -0.8 * y, 0.8 * y)
    solids = [
        frustum((-x + 0.1, x - 0.12, -0.94 * y, 0.94 * y), (-x, x, -y, y), (sill, waist), side, TRIM, body),
        frustum((-x, x, -y, y), (-x + 0.06, x - 0.45, -0.93 * y, 0.93 * y), (waist, belt), side, body, body),
        frustum((-x + tail + 0.05, x - nose, -0.92 * y, 0.92 * y), roof, (belt, height), glass, body, screen),
        box((-x - 0.02, x + 0.02), (-0.9 * y, 0.9 * y), (sill, sill + 0.16), TRIM if rng.random() < 0.5 else body),
        *_wheels((-0.29 * length, 0.31 * length), y, rng.uniform(0.3, 0.38)),
        *_lights(x, y, 0.4 * height + 0.02, rng),
    ]
    for s in (-1, 1):
        mirror = sorted((s * 0.97 * y, s * (y + 0.16)))
        solids.append(box((x - nose - 0.45, x - nose - 0.3), (mirror[0], mirror[1]), (belt, belt + 0.14), body))
    return StreetObject(solids, length, 0.6 * length)


def van(rng: Generator) -> StreetObject:
    """Make a delivery van or minibus."""
    length, width, height = rng.uniform(4.8, 6.5), rng.uniform(1.9, 2.1), rng.uniform(1.9, 2.7)
    x, y = length / 2, width / 2
    paint = _paint(rng) if rng.random() < 0.5 else (0.75, 0.75, 0.74)
    body, screen = Appearance(paint, "paint"), Appearance(paint, "windscreen", None)
    side = Appearance(paint, "bus_side", None) if rng.random() < 0.3 else Appearance(paint, "car_side", None)
    roof = (-x + 0.05, x - 1.5, -0.93 * y, 0.93 * y)
    solids = [
        box((-x, x - 0.9), (-y, y), (0.3, 0.5 * height), side, body),
        frustum((-x, x - 1.0, -y, y), roof, (0.5 * height, height), side, body, screen),
        frustum((x - 1.0, x, -y, y), (x - 1.0, x - 0.35, -0.95 * y, 0.95 * y), (0.3, 0.55 * height), body),
        box((-x - 0.02, x + 0.02), (-0.95 * y, 0.95 * y), (0.28, 0.5), TRIM),
        *_wheels((-0.3 * length, 0.32 * length), y, 0.36),
        *_lights(x, y, 0.85, rng),
    ]
    return StreetObject(solids, length, 0.6 * length)


def truck(rng: Generator) -> StreetObject:
    """Make a lorry with a box, a tanker's tub or a flat load."""
    length, width, height = rng.uniform(6.5, 11.0), 2.45, rng.uniform(2.9, 3.8)
    x, y = length / 2, width / 2
    cab = Appearance(_paint(rng), "paint")
    load = Appearance(_paint(rng), str(rng.choice(["plain", "corrugated"])), (3.0, 3.0))
    side = Appearance(WHITE, random_variant("poster", rng), None) if rng.random() < 0.5 else load
    screen = Appearance(cab.colour, "windscreen", None)
    kind, rear = rng.integers(3), x - 2.1
    solids = [
        box((rear, x), (-0.95 * y, 0.95 * y), (0.5, 1.5), cab),
        frustum((rear, x, -0.95 * y, 0.95 * y), (rear, x - 0.3, -0.9 * y, 0.9 * y), (1.5, 2.6), screen, cab, screen),
        box((-x, rear - 0.1), (-0.4, 0.4), (0.6, 1.0), TRIM),
        *_wheels((-0.36 * length, -0.36 * length + 1.2, x - 1.2), y - 0.03, 0.48, 0.3),
        *_lights(x, y, 0.75, rng),
    ]
    if kind == 0:
        solids.append(frustum((-x, rear - 0.2, -y, y), (-x, rear, -y, y), (1.0, 0.55 * height), load))
    else:
        solids.append(frustum((-x, rear - 0.1, -y, y), (-x, rear - 0.1, -y, y), (1.0, height), side, load, load))
    return StreetObject(solids, length, 0.6 * length)


def bus(rng: Generator) -> StreetObject:
    length, y, height = rng.uniform(10, 12.5), 1.27, rng.uniform(2.9, 3.3)
    x, paint = length / 2, _paint(rng)
    side, body = Appearance(paint, "bus_side", None), Appearance(paint, "paint")
    screen = Appearance(paint, "windscreen", None)
    solids = [
        frustum((-x, x, -y, y), (-x, x - 0.1, -y, y), (0.35, height), side, body, screen),
        *_wheels((-0.28 * length, 0.34 * length), y, 0.48, 0.3),
        *_lights(x, y, 0.75, rng),
    ]
    return StreetObject(solids, length, 0.6 * length)


def _clothes(rng: Generator) -> Colour:
    return to_colour(rng.uniform(0.02, 0.5) * rng.uniform(0.3, 1.0, 3))


def pedestrian(rng: Generator, lift: float = 0.0) -> StreetObject:
    # in mid-stride, `lift` metres above the ground
    scale = rng.uniform(0.85, 1.08)
    stride = rng.uniform(0.05, 0.3)
    coat, trousers = Appearance(_clothes(rng), "plain", (0.6, 0.6)), Appearance(_clothes(rng), "plain", (0.6, 0.6))
    skin = Appearance((0.42, 0.27, 0.19) if rng.random() < 0.6 else (0.16, 0.09, 0.06))
    solids = []
    for s in (-1, 1):
        foot, y = s * stride, s * 0.09
        shoe, hip = (foot - 0.1, foot + 0.1, y - 0.06, y + 0.06), (-0.09, 0.09, y - 0.08, y + 0.08)
        solids.append(frustum(shoe, hip, (0.0, 0.86), trousers))
        hand, y = -s * stride, s * 0.25
        wrist, shoulder = (hand - 0.05, hand + 0.05, y - 0.05, y + 0.05), (-0.07, 0.07, y - 0.09, y + 0.03)
        solids.append(frustum(wrist, shoulder, (0.75, 1.42), coat))
    solids.append(frustum((-0.13, 0.13, -0.19, 0.19), (-0.12, 0.12, -0.22, 0.22), (0.8, 1.45), coat))
    solids.append(column((0.07, 0.07), (1.4, 1.6), skin, 6))
    solids.append(ellipsoid((0.02, 0, 1.62), (0.11, 0.09, 0.13), skin))
    solids.append(ellipsoid((-0.01, 0, 1.67), (0.11, 0.1, 0.1), Appearance(_clothes(rng))))
    return StreetObject([solid.moved(z=lift, scale=scale) for solid in solids], 0.5)


def cyclist(rng: Generator) -> StreetObject:
    frame = Appearance(_paint(rng), "paint")
    solids = [
        *(disc(x, (-0.025, 0.025), 0.34, 0.34, RUBBER, RUBBER) for x in (-0.52, 0.52)),
        box((-0.5, 0.45), (-0.03, 0.03), (0.45, 0.52), frame),
        box((-0.2, -0.14), (-0.03, 0.03), (0.4, 0.95), frame),
        frustum((0.42, 0.5, -0.03, 0.03), (0.32, 0.4, -0.28, 0.28), (0.4, 1.05), frame),
    ]
    return StreetObject(solids + pedestrian(rng, 0.32).solids, 1.8, 1.0)


def random_vehicle(rng: Generator, car_fraction: float) -> StreetObject:
    # a car with probability `car_fraction`, else something bigger
    if rng.random() < car_fraction:
        return car(rng)
    return (van, van, truck, bus)[rng.integers(4)](rng)
