"""Places what moves on the street, what stands at its junctions, road works and bridges."""

from __future__ import annotations

import numpy as np

from fsmde_core.sources.synthetic.layout.site import KERB, Site
from fsmde_core.sources.synthetic.shapes import buildings, roadside_objects
from fsmde_core.sources.synthetic.shapes.road_users import cyclist, pedestrian, random_vehicle


def place_traffic(site: Site) -> None:
    """Place vehicles in every lane; those in the lane of the cameras keep its speed."""
    rng, style = site.rng, site.style
    for lane in range(-style.backward_lanes, style.forward_lanes):
        is_own, direction = lane == style.ego_lane, 1 if lane >= 0 else -1
        speed = style.ego_speed if is_own else rng.uniform(0, 1.3) * max(style.ego_speed, 5)
        reach = speed * site.duration
        s = site.start - reach
        while s < site.end + reach:
            s += style.traffic_gap * (0.35 + rng.exponential())
            vehicle = cyclist(rng) if site.chance(0.06) else random_vehicle(site.rng, 0.82)
            s += vehicle.length
            if is_own and abs(s) < vehicle.length / 2 + 8:
                continue
            yaw = 0.0 if direction > 0 else np.pi
            site.add(vehicle, s, style.lane_centre(lane) + rng.normal(0, 0.15), yaw=yaw, speed=direction * speed)


def place_junctions(site: Site) -> None:
    """Place signals, waiting cars and crossing pedestrians; elsewhere road works and a bridge."""
    rng, style = site.rng, site.style
    for s, half in site.junctions:
        has_signals = site.chance(0.45)
        for side in (-1, 1):
            edge = style.edge(side)
            if has_signals:
                ahead = side == style.drive_side
                at = s + (half + 1) * (1 if ahead else -1)
                site.add(roadside_objects.traffic_light(rng), at, side * (edge + 0.8), KERB, site.facing_road(side))
            if site.chance(0.5):
                yaw = rng.choice([-1, 1]) * np.pi / 2
                waiting = random_vehicle(site.rng, 0.85)
                site.add(waiting, s + rng.uniform(-1, 1), side * (edge + rng.uniform(5, 25)), yaw=yaw)
        for _ in range(rng.integers(0, 4)):
            side = rng.choice([-1, 1])
            at = s + rng.choice([-1, 1]) * (half + 2.5)
            offset = side * rng.uniform(max(style.edge(side) - 4, 1), style.edge(side) + 3)
            if abs(offset - style.lane_centre(style.ego_lane)) > 2:
                site.add(pedestrian(rng), at, offset, yaw=np.pi / 2)
    if style.has_road_works:
        side, s0 = style.drive_side, rng.uniform(10, 60)
        line = style.edge(side) - 0.4
        for k in range(rng.integers(5, 15)):
            site.add(roadside_objects.traffic_cone(rng), s0 + 3.0 * k, side * line)
    if site.chance(0.12):
        span = max(style.edge(1), style.edge(-1)) + style.sidewalk + style.verge + 0.8
        site.add(buildings.overpass(rng, span), rng.uniform(30, 150), 0)
