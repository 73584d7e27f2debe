"""Places the ground, kerbs and sidewalks, and what stands or parks along them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from fsmde_core.sources.synthetic.layout.site import KERB, Site
from fsmde_core.sources.synthetic.shapes import roadside_objects
from fsmde_core.sources.synthetic.shapes.appearance import Appearance
from fsmde_core.sources.synthetic.shapes.road_users import pedestrian, random_vehicle
from fsmde_core.sources.synthetic.shapes.roadside_objects import foliage_colour
from fsmde_core.sources.synthetic.shapes.solids import Solid, StreetObject, box, slab


def ground_slabs(site: Site) -> list[Solid]:
    """Make the ground to the horizon, a slab for every stretch of even slope."""
    asphalt, far, knots = Appearance((0.15, 0.15, 0.15), "asphalt0"), 4000.0, site.style.course.knots
    ends = np.array([[-far, knots[0, 1]], [far + knots[-1, 0], knots[-1, 1]]])
    profile = np.vstack([ends[:1], knots, ends[1:]]) if np.ptp(knots[:, 1]) else ends
    slabs = []
    for (x0, z0), (x1, z1) in itertools.pairwise(profile):
        top = np.array([[x0, -far, z0], [x1, -far, z1], [x1, far, z1], [x0, far, z0]])
        low = top * [1, 1, 0] + [0, 0, min(z0, z1) - 5.0]
        slabs.append(slab(low, top, asphalt, asphalt))
    return slabs


def place_sidewalk(site: Site, side: int) -> None:
    # the median comes with the left side
    style, rng = site.style, site.rng
    near = style.edge(side)
    grey = float(rng.uniform(0.22, 0.5))
    texture = str(rng.choice(["paving", "plaster", "asphalt0"]))
    paving = Appearance((grey, 0.97 * grey, 0.92 * grey), texture, (2.0, 2.0))
    kerb = Appearance((0.7, 0.7, 0.7), "kerb", (2.0, 2.0)) if site.chance(0.12) else Appearance((grey, grey, grey))
    if style.verge:
        verge = style.lawn if site.chance(0.75) else Appearance((0.25, 0.2, 0.14), "soil")
        _place_strip(site, side, near, style.verge, verge, kerb)
    if style.sidewalk:
        _place_strip(site, side, near + style.verge, style.sidewalk, paving, kerb)
    if style.median and side > 0:
        _place_strip(site, 1, -style.median / 2 + 0.3, style.median - 0.6, style.lawn, kerb)


def _place_strip(site: Site, side: int, near: float, width: float, top: Appearance, edge: Appearance) -> None:
    """Place a raised band along the road between the junctions, in short pieces that follow the course."""
    piece = 6.0 if site.style.course.curvature else 10.0
    overlap = 1 + abs(site.style.course.curvature) * (near + width)
    half, low, high = piece / 2 * overlap, *sorted((side * near, side * (near + width)))
    middle = (low + high) / 2
    for s in np.arange(site.start, site.end, piece):
        if not site.is_junction(float(s), piece / 2):
            solid = box((-half, half), (low - middle, high - middle), (-1.0, KERB), edge, top)
            site.add(StreetObject([solid], piece, piece), float(s), middle)


def place_roadside_objects(site: Site, side: int) -> None:
    rng, style = site.rng, site.style
    kerb, walk = style.edge(side) + 0.5, max(style.verge + style.sidewalk - 1.0, 0.5)
    yaw = site.facing_road(side)
    tree = roadside_objects.TREES[style.tree_kind]
    # metres between two, maker, metres behind the kerb
    rows: list[tuple[float, Callable[[], StreetObject], float]] = [
        (style.tree_gap, lambda: tree(rng, rng.uniform(4, 11), foliage_colour(rng, style.foliage)), 0.3),
        (rng.uniform(20, 60), lambda: roadside_objects.lamp(rng), 0.0),
        (rng.choice([35.0, 1000.0]), lambda: roadside_objects.utility_pole(rng), 0.5),
        (rng.uniform(15, 60), lambda: roadside_objects.sign(rng), 0.2),
        (rng.uniform(10, 80), lambda: roadside_objects.street_furniture(rng), 0.5),
        (rng.uniform(100, 400), lambda: roadside_objects.billboard(rng), 4.0),
    ]
    for gap, make, inset in rows:
        s = site.start + rng.uniform(0, gap)
        while s < site.end:
            if not site.is_junction(s, 2):
                faces_away = site.chance(0.3) and inset == 0.2  # signs
                site.add(make(), s, side * (kerb + inset), KERB * bool(walk > 0.5), yaw + np.pi * faces_away)
            s += gap * rng.uniform(0.6, 1.5)
    s = site.start + rng.uniform(0, style.pedestrian_gap)
    while s < site.end:
        direction = rng.choice([-1, 1])
        at = side * (kerb + rng.uniform(0, walk))
        speed = direction * rng.uniform(0.7, 1.6) if site.chance(0.8) else 0.0
        site.add(pedestrian(rng), s, at, KERB if walk > 0.5 else 0.0, np.pi * (direction < 0), speed)
        s += style.pedestrian_gap * rng.exponential()


def place_barriers(site: Site, side: int) -> None:
    piece, s = 6.0, site.start
    state = site.rng.bit_generator.state
    while s < site.end:
        if not site.is_junction(s, piece):
            site.rng.bit_generator.state = state  # pieces of one kind
            site.add(roadside_objects.barrier(site.rng, 1.01 * piece), s, side * (site.style.edge(side) + 0.35))
        s += piece


def place_parked_vehicles(site: Site, side: int) -> None:
    rng, style = site.rng, site.style
    if not style.parking[int(side > 0)]:
        return
    forward = side == style.drive_side or style.backward_lanes == 0
    s = site.start
    while s < site.end:
        vehicle = random_vehicle(site.rng, 0.88)
        if site.chance(style.parked_fraction) and not site.is_junction(s + vehicle.length / 2, vehicle.length / 2 + 4):
            offset = side * (style.edge(side) - 1.1 - rng.normal(0, 0.08))
            yaw = (0.0 if forward else np.pi) + rng.normal(0, 0.02)
            site.add(vehicle, s + vehicle.length / 2, offset, yaw=yaw)
        s += vehicle.length + rng.uniform(0.6, 2.0)
