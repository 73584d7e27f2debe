"""What moves on the street, and what happens at its junctions."""

from __future__ import annotations

import numpy as np

from fsmde_core.sources.synthetic.layout.site import KERB, Site
from fsmde_core.sources.synthetic.shapes import buildings, things, vehicles
from fsmde_core.sources.synthetic.shapes.vehicles import some_vehicle


def lay_traffic(site: Site) -> None:
    """Vehicles in every lane; those in the vehicle's own lane keep its speed."""
    rng, style = site.rng, site.style
    for lane in range(-style.backward_lanes, style.forward_lanes):
        own, direction = lane == style.ego_lane, 1 if lane >= 0 else -1
        speed = style.ego_speed if own else rng.uniform(0, 1.3) * max(style.ego_speed, 5)
        reach = speed * site.duration
        s = site.start - reach
        while s < site.end + reach:
            s += style.traffic_gap * (0.35 + rng.exponential())
            thing = vehicles.cyclist(rng) if site.chance(0.06) else some_vehicle(site.rng, 0.82)
            s += thing.length
            if own and abs(s) < thing.length / 2 + 8:
                continue
            yaw = 0.0 if direction > 0 else np.pi
            site.add(thing, s, style.lane_centre(lane) + rng.normal(0, 0.15), yaw=yaw, speed=direction * speed)


def lay_junctions(site: Site) -> None:
    """Signals, people crossing, waiting cars; road works and bridges elsewhere."""
    rng, style = site.rng, site.style
    for s, half in site.junctions:
        has_signals = site.chance(0.45)
        for side in (-1, 1):
            edge = style.edge(side)
            if has_signals:
                ahead = side == style.drive_side
                at = s + (half + 1) * (1 if ahead else -1)
                site.add(things.traffic_light(rng), at, side * (edge + 0.8), KERB, 0.0 if side > 0 else np.pi)
            if site.chance(0.5):
                yaw = rng.choice([-1, 1]) * np.pi / 2
                site.add(
                    some_vehicle(site.rng, 0.85), s + rng.uniform(-1, 1), side * (edge + rng.uniform(5, 25)), yaw=yaw
                )
        for _ in range(rng.integers(0, 4)):
            side = rng.choice([-1, 1])
            at = (
                s + rng.choice([-1, 1]) * (half + 2.5),
                side * rng.uniform(max(style.edge(side) - 4, 1), style.edge(side) + 3),
            )
            if abs(at[1] - style.lane_centre(style.ego_lane)) > 2:
                site.add(vehicles.person(rng), *at, yaw=np.pi / 2)
    if style.works:
        side, s0 = style.drive_side, rng.uniform(10, 60)
        line = style.edge(side) - 0.4
        for k in range(rng.integers(5, 15)):
            site.add(vehicles.cone(rng), s0 + 3.0 * k, side * line)
    if site.chance(0.12):
        span = max(style.edge(1), style.edge(-1)) + style.sidewalk + style.verge + 0.8
        site.add(buildings.overpass(rng, span), rng.uniform(30, 150), 0)
