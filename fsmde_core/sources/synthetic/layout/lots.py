"""Places what stands on the land beside a street, and what closes the view."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fsmde_core.sources.synthetic.layout.site import Site
from fsmde_core.sources.synthetic.layout.style import DISTRICTS, LOTS
from fsmde_core.sources.synthetic.shapes import buildings
from fsmde_core.sources.synthetic.shapes.appearance import CONCRETE, Appearance
from fsmde_core.sources.synthetic.shapes.road_users import random_vehicle
from fsmde_core.sources.synthetic.shapes.roadside_objects import TREES, bush, fence, foliage_colour, hedge, thicket
from fsmde_core.sources.synthetic.shapes.solids import StreetObject, box, ellipsoid, slab

LAND = (
    ((0.1, 0.16, 0.05), "grass", (3.0, 3.0)),
    ((0.09, 0.13, 0.045), "grass", (3.0, 3.0)),
    ((0.3, 0.24, 0.17), "soil", (4.0, 4.0)),
    ((0.4, 0.38, 0.35), "paving", (3.0, 3.0)),
    ((0.2, 0.2, 0.2), "asphalt1", (4.0, 4.0)),
    ((0.42, 0.41, 0.39), "plaster", (6.0, 6.0)),
)
"""Colour, texture and metres per tile of the ground of a lot."""


def place_lots(site: Site, side: int) -> None:
    rng, (usual_weights, setbacks, floors) = site.rng, DISTRICTS[site.style.district]
    weights = np.array(usual_weights) * rng.uniform(0.3, 1.7, len(usual_weights))
    s, usual = site.start, rng.uniform(*setbacks)
    while s < site.end:
        kind = str(rng.choice(LOTS, p=weights / weights.sum()))
        width = float(rng.uniform(9, 32) if kind in ("block", "house") else rng.uniform(14, 45))
        if not site.is_junction(s + width / 2, width / 2 + 1):
            setback = usual if site.chance(0.6) else rng.uniform(*setbacks)
            near = site.frontage(side) + 0.3
            count = int(rng.integers(floors[0], floors[1] + 1))
            _fill_lot(site, kind, side, s + width / 2, near, width, setback, count)
            s += width + (0.0 if site.style.district == "downtown" and site.chance(0.7) else rng.uniform(0.5, 8))
        else:
            s += 5.0


def _fill_lot(
    site: Site, kind: str, side: int, s: float, near: float, width: float, setback: float, floors: int
) -> None:
    rng, style = site.rng, site.style
    yaw, depth = site.facing_road(side), float(rng.uniform(8, 24))
    makers: dict[str, Callable[[], StreetObject]] = {
        "block": lambda: buildings.block(rng, width, depth, floors),
        "house": lambda: buildings.house(rng, 0.7 * width, 0.8 * depth),
        "hall": lambda: buildings.hall(rng, width, depth),
    }
    if kind in makers:
        site.add(makers[kind](), s, side * (near + setback), yaw=yaw)
    elif kind == "park":
        for _ in range(int(width / rng.uniform(2, 6))):
            at = near + rng.uniform(1, 35)
            _place_plant(site, s + rng.uniform(-0.5, 0.5) * width, side * at)
    elif kind == "parking":
        _place_car_park(site, side, s, near, width)
    elif kind == "wall":
        _place_bank(site, side, s, near, width)
    if setback > 2.5 or kind not in makers:
        if site.chance(0.6):
            pad = Appearance(*LAND[rng.integers(len(LAND))])
            ground = box((-width / 2, width / 2), (0, 45), (-1, 0.05), pad)
            site.add(StreetObject([ground], width, width), s, side * near, yaw=yaw)
        if site.chance(0.45):
            boundary = hedge(rng, width, style.foliage) if site.chance(0.35) else fence(rng, width)
            site.add(boundary, s, side * (near + 0.4))
        for _ in range(rng.integers(0, 4)):
            at = near + rng.uniform(1.5, max(setback, 3) - 0.5)
            _place_plant(site, s + rng.uniform(-0.5, 0.5) * width, side * at, small=kind in makers)


def _place_plant(site: Site, s: float, offset: float, small: bool = False) -> None:
    rng, style = site.rng, site.style
    colour = foliage_colour(rng, style.foliage)
    if site.chance(0.7 if small else 0.25):
        site.add(bush(rng, colour), s, offset)
        return
    kind = style.tree_kind if site.chance(0.75) else str(rng.choice(["tree", "conifer"]))
    height = float(rng.uniform(3, 6) if small else rng.uniform(5, 18))
    site.add(TREES[kind](rng, height, colour), s, offset, yaw=rng.uniform(0, 6.3))


def _place_car_park(site: Site, side: int, s: float, near: float, width: float) -> None:
    rng = site.rng
    for row in range(rng.integers(1, 4)):
        for x in np.arange(-width / 2 + 1.5, width / 2 - 1, 2.7):
            if site.chance(site.style.parked_fraction):
                yaw = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.03)
                vehicle, offset = random_vehicle(site.rng, 0.9), near + 4 + 8 * row + rng.normal(0, 0.2)
                site.add(vehicle, s + x, side * offset, yaw=yaw)


def _place_bank(site: Site, side: int, s: float, near: float, width: float) -> None:
    """Place a retaining wall or a grassy bank."""
    rng, x, height, lawn = site.rng, width / 2, float(site.rng.uniform(1.0, 5.0)), site.style.lawn
    run = 0.01 if site.chance(0.4) else height * rng.uniform(1.0, 3.0)
    front = CONCRETE if run < 0.1 else lawn
    top = np.array([[-x, run, height], [x, run, height], [x, 60, height], [-x, 60, height]])
    low = np.array([[-x, 0, -1], [x, 0, -1], [x, 60, -1], [-x, 60, -1]])
    bank = slab(low, top, lawn, front)
    site.add(StreetObject([bank], width), s, side * near, yaw=site.facing_road(side))
    for _ in range(rng.integers(0, 6)):
        at = s + rng.uniform(-0.9, 0.9) * x, side * (near + run + rng.uniform(1, 15))
        tree = TREES["tree"](rng, rng.uniform(4, 10), foliage_colour(rng, site.style.foliage))
        site.add(tree, *at, z=height)


def place_backdrop(site: Site) -> None:
    """Close the view by woods, hills and a skyline around the street; sometimes by nothing but the horizon."""
    rng, style = site.rng, site.style
    for side in (-1, 1):
        kind = rng.choice(["none", "trees", "hills", "skyline"], p=[0.22, 0.42, 0.14, 0.22])
        distance = rng.uniform(20, 60)
        for s in np.arange(site.start - 150, site.end + 150, {"trees": 5.0, "hills": 140.0}.get(kind, 45.0)):
            far = site.frontage(side) + distance + rng.uniform(0, 25)
            colour = foliage_colour(rng, style.foliage)
            if kind == "trees":
                site.add(thicket(rng, colour), float(s), side * far)
            elif kind == "hills":
                radii = rng.uniform(120, 350), rng.uniform(120, 300), rng.uniform(20, 80)
                hill = ellipsoid((0, 0, -3), radii, Appearance(colour, "leaves0", (30.0, 30.0)))
                site.add(StreetObject([hill], 0), float(s), side * (radii[1] + 90 + rng.uniform(0, 300)))
            elif kind == "skyline" and site.chance(0.7):
                tower = buildings.block(rng, rng.uniform(15, 35), 20.0, int(rng.integers(4, 22)))
                site.add(tower, float(s), side * (far + rng.uniform(0, 200)), yaw=site.facing_road(side))
    for s in (site.start - 60, site.end + 30):
        kind = rng.choice(["none", "trees", "skyline"])
        for offset in np.arange(-120, 121, 6.0 if kind == "trees" else 32.0):
            if kind == "trees":
                woods = thicket(rng, foliage_colour(rng, style.foliage))
                site.add(woods, s + rng.uniform(-9, 9), offset)
            elif kind == "skyline":
                tower = buildings.block(rng, 26, 20, int(rng.integers(2, 18)))
                site.add(tower, s + rng.uniform(-60, 60), offset, yaw=-np.pi / 2)
