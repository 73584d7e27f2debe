"""The plan of a street: every object with its place along the course, drawn from a style."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsmde_core.sources.synthetic import buildings, things, vehicles
from fsmde_core.sources.synthetic.ground import Marking
from fsmde_core.sources.synthetic.solids import Look, Solid, box, ellipsoid, polytope
from fsmde_core.sources.synthetic.style import DISTRICTS, LOTS, Style
from fsmde_core.sources.synthetic.vehicles import Thing
from fsmde_core.sources.synthetic.world import World, assemble

BEFORE, BEYOND = 170.0, 260.0
"""Metres of street behind the start and beyond the end of the drive."""
KERB = 0.14


class Plan:
    """Objects in street coordinates. Object 0 is the ground; `drive` is the distance that the vehicle covers."""

    def __init__(self, style: Style, rng: Generator, duration: float) -> None:
        self.style, self._rng = style, rng
        self.duration = duration
        self.start, self.end = -BEFORE, style.ego_speed * duration + BEYOND
        self._things: list[list[Solid]] = []
        self._rows: list[tuple[float, float, float, float, float, float]] = []
        self.junctions = self._draw_junctions()
        self._add(Thing(self._ground(), 0), 0, 0)
        for side in (-1, 1):
            self._sidewalk(side)
            self._lots(side)
            self._row_beside_road(side)
            self._parked(side)
        self._traffic()
        self._junction_things()
        self._backdrop()
        self.world: World = assemble(self._things)
        self._table = np.array(self._rows)
        self.marking = Marking.of(style, self.junctions, rng)

    def at(self, seconds: float) -> World:
        """Everything where it is `seconds` after the start."""
        s, offset, z, yaw, wheelbase, speed = self._table.T
        poses = self.style.course.poses(s + speed * seconds, offset, z, yaw, wheelbase)
        poses[0] = np.eye(4)
        return self.world.placed(poses)

    def _add(self, thing: Thing, s: float, offset: float, z: float = 0.0, yaw: float = 0.0, speed: float = 0.0) -> None:
        self._things.append(thing.solids)
        self._rows.append((s, offset, z, yaw, thing.wheelbase, speed))

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)

    def _draw_junctions(self) -> NDArray[np.float64]:
        """(n, 2) position and half width of side streets."""
        rng, rows, s = self._rng, [], self.start + self._rng.uniform(0, 120)
        while s < self.end:
            if rng.random() < 0.75:
                rows.append((s, rng.uniform(3.5, 8.0)))
            s += rng.uniform(50, 170)
        return np.array(rows).reshape(-1, 2)

    def _is_junction(self, s: float, margin: float) -> bool:
        return bool(np.any(np.abs(self.junctions[:, 0] - s) < self.junctions[:, 1] + margin))

    def _ground(self) -> list[Solid]:
        look, far, knots = Look((0.15, 0.15, 0.15), "asphalt0"), 4000.0, self.style.course.knots
        ends = np.array([[-far, knots[0, 1]], [far + knots[-1, 0], knots[-1, 1]]])
        profile = np.vstack([ends[:1], knots, ends[1:]]) if np.ptp(knots[:, 1]) else ends
        slabs = []
        for (x0, z0), (x1, z1) in zip(profile[:-1], profile[1:], strict=True):
            top = np.array([[x0, -far, z0], [x1, -far, z1], [x1, far, z1], [x0, far, z0]])
            low = top * [1, 1, 0] + [0, 0, min(z0, z1) - 5.0]
            quads = [np.array([low[i], low[(i + 1) % 4], top[(i + 1) % 4], top[i]]) for i in range(4)]
            slabs.append(polytope([top, *quads], look))
        return slabs

    def _strip(self, side: int, near: float, width: float, height: float, look: Look, edge: Look) -> None:
        """A raised band along the road between the junctions, in short pieces that follow the course."""
        piece = 6.0 if self.style.course.curvature else 10.0
        overlap = 1 + abs(self.style.course.curvature) * (near + width)
        half, low, high = piece / 2 * overlap, *sorted((side * near, side * (near + width)))
        middle = (low + high) / 2
        for s in np.arange(self.start, self.end, piece):
            if not self._is_junction(float(s), piece / 2):
                solid = box((-half, half), (low - middle, high - middle), (-1.0, height), edge, look)
                self._add(Thing([solid], piece, piece), float(s), middle)

    def _sidewalk(self, side: int) -> None:
        style, rng = self.style, self._rng
        near = style.edge(side)
        grey = float(rng.uniform(0.22, 0.5))
        paving = Look((grey, 0.97 * grey, 0.92 * grey), str(rng.choice(["paving", "plaster", "asphalt0"])), (2.0, 2.0))
        kerb = Look((0.7, 0.7, 0.7), "kerb", (2.0, 2.0)) if self._chance(0.12) else Look((grey, grey, grey))
        if style.verge:
            lawn = Look(style.foliage, "grass", (3.0, 3.0)) if self._chance(0.75) else Look((0.25, 0.2, 0.14), "soil")
            self._strip(side, near, style.verge, KERB, lawn, kerb)
        if style.sidewalk:
            self._strip(side, near + style.verge, style.sidewalk, KERB, paving, kerb)
        if style.median and side > 0:
            self._strip(
                1, -style.median / 2 + 0.3, style.median - 0.6, KERB, Look(style.foliage, "grass", (3.0, 3.0)), kerb
            )

    def _frontage(self, side: int) -> float:
        return self.style.edge(side) + self.style.verge + self.style.sidewalk

    def _lots(self, side: int) -> None:
        rng, (shares, setbacks, floors) = self._rng, DISTRICTS[self.style.district]
        weights = np.array(shares) * rng.uniform(0.3, 1.7, len(shares))
        s, usual = self.start, rng.uniform(*setbacks)
        while s < self.end:
            kind = str(rng.choice(LOTS, p=weights / weights.sum()))
            width = float(rng.uniform(9, 32) if kind in ("block", "house") else rng.uniform(14, 45))
            if not self._is_junction(s + width / 2, width / 2 + 1):
                setback = usual if self._chance(0.6) else rng.uniform(*setbacks)
                near = self._frontage(side) + 0.3
                self._lot(kind, side, s + width / 2, near, width, setback, int(rng.integers(floors[0], floors[1] + 1)))
                s += width + (0.0 if self.style.district == "downtown" and self._chance(0.7) else rng.uniform(0.5, 8))
            else:
                s += 5.0

    def _lot(self, kind: str, side: int, s: float, near: float, width: float, setback: float, floors: int) -> None:
        rng, style = self._rng, self.style
        yaw = 0.0 if side > 0 else np.pi  # buildings face -y
        front = side * (near + setback)
        depth = float(rng.uniform(8, 24))
        makers: dict[str, Callable[[], Thing]] = {
            "block": lambda: buildings.block(rng, width, depth, floors),
            "house": lambda: buildings.house(rng, 0.7 * width, 0.8 * depth),
            "hall": lambda: buildings.hall(rng, width, depth),
        }
        if kind in makers:
            self._add(makers[kind](), s, front, yaw=yaw)
        elif kind == "park":
            for _ in range(int(width / 3)):
                at = near + rng.uniform(1, 45)
                self._plant(s + rng.uniform(-0.5, 0.5) * width, side * at)
        elif kind == "parking":
            self._car_park(side, s, near, width)
        elif kind == "wall":
            self._slope(side, s, near, width)
        if setback > 2.5 or kind not in makers:
            if self._chance(0.45):
                line = things.hedge(rng, width, style.foliage) if self._chance(0.35) else things.fence(rng, width)
                self._add(line, s, side * (near + 0.4))
            for _ in range(rng.integers(0, 4)):
                at = near + rng.uniform(1.5, max(setback, 3) - 0.5)
                self._plant(s + rng.uniform(-0.5, 0.5) * width, side * at, small=kind in makers)

    def _plant(self, s: float, offset: float, small: bool = False) -> None:
        rng, style = self._rng, self.style
        colour = things.green(rng, style.foliage)
        if self._chance(0.7 if small else 0.25):
            self._add(things.bush(rng, colour), s, offset)
            return
        kind = style.tree_kind if self._chance(0.75) else str(rng.choice(["tree", "conifer"]))
        height = float(rng.uniform(3, 6) if small else rng.uniform(5, 15))
        self._add(getattr(things, kind)(rng, height, colour), s, offset, yaw=rng.uniform(0, 6.3))

    def _car_park(self, side: int, s: float, near: float, width: float) -> None:
        rng = self._rng
        for row in range(rng.integers(1, 4)):
            for x in np.arange(-width / 2 + 1.5, width / 2 - 1, 2.7):
                if self._chance(self.style.parked_share):
                    yaw = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.03)
                    self._add(self._vehicle(0.9), s + x, side * (near + 4 + 8 * row + rng.normal(0, 0.2)), yaw=yaw)

    def _slope(self, side: int, s: float, near: float, width: float) -> None:
        """A retaining wall or a grassy bank."""
        rng, x, height = self._rng, width / 2, float(self._rng.uniform(1.0, 5.0))
        run = 0.01 if self._chance(0.4) else height * rng.uniform(1.0, 3.0)
        look = things.CONCRETE if run < 0.1 else Look(self.style.foliage, "grass", (3.0, 3.0))
        top = np.array([[-x, run, height], [x, run, height], [x, 60, height], [-x, 60, height]])
        low = np.array([[-x, 0, -1], [x, 0, -1], [x, 60, -1], [-x, 60, -1]])
        quads = [np.array([low[i], low[(i + 1) % 4], top[(i + 1) % 4], top[i]]) for i in range(4)]
        bank = polytope([top, *quads], [Look(self.style.foliage, "grass", (3.0, 3.0)), *[look] * 4])
        self._add(Thing([bank], width), s, side * near, yaw=0.0 if side > 0 else np.pi)
        for _ in range(rng.integers(0, 6)):
            at = s + rng.uniform(-0.9, 0.9) * x, side * (near + run + rng.uniform(1, 15))
            self._add(things.tree(rng, rng.uniform(4, 10), things.green(rng, self.style.foliage)), *at, z=height)

    def _row_beside_road(self, side: int) -> None:
        """Trees, lamps, poles, signs and people between kerb and lots."""
        rng, style = self._rng, self.style
        kerb, walk = style.edge(side) + 0.5, max(style.verge + style.sidewalk - 1.0, 0.5)
        yaw = 0.0 if side > 0 else np.pi
        rows: list[tuple[float, Callable[[], Thing], float]] = [
            (
                style.tree_gap,
                lambda: getattr(things, style.tree_kind)(rng, rng.uniform(4, 11), things.green(rng, style.foliage)),
                0.3,
            ),
            (rng.uniform(20, 60), lambda: things.lamp(rng), 0.0),
            (rng.choice([35.0, 1000.0]), lambda: things.utility_pole(rng), 0.5),
            (rng.uniform(15, 60), lambda: things.sign(rng), 0.2),
            (rng.uniform(10, 80), lambda: things.small_furniture(rng), 0.5),
            (rng.uniform(100, 400), lambda: things.billboard(rng), 4.0),
        ]
        for gap, make, inset in rows:
            s = self.start + rng.uniform(0, gap)
            while s < self.end:
                if not self._is_junction(s, 2):
                    turned = yaw + (np.pi if self._chance(0.3) and inset == 0.2 else 0.0)
                    self._add(make(), s, side * (kerb + inset), KERB * bool(walk > 0.5), turned)
                s += gap * rng.uniform(0.6, 1.5)
        s = self.start + rng.uniform(0, style.pedestrian_gap)
        while s < self.end:
            direction = rng.choice([-1, 1])
            at = side * (kerb + rng.uniform(0, walk))
            speed = direction * rng.uniform(0.7, 1.6) if self._chance(0.8) else 0.0
            self._add(vehicles.person(rng), s, at, KERB if walk > 0.5 else 0.0, np.pi * (direction < 0), speed)
            s += style.pedestrian_gap * rng.exponential()

    def _vehicle(self, cars: float) -> Thing:
        rng = self._rng
        if self._chance(cars):
            return vehicles.car(rng)
        return (vehicles.van, vehicles.van, vehicles.truck, vehicles.bus)[rng.integers(4)](rng)

    def _parked(self, side: int) -> None:
        rng, style = self._rng, self.style
        if not style.parking[int(side > 0)]:
            return
        forward = side == style.drive_side or style.backward_lanes == 0
        s = self.start
        while s < self.end:
            thing = self._vehicle(0.88)
            if self._chance(style.parked_share) and not self._is_junction(s + thing.length / 2, thing.length / 2 + 4):
                offset = side * (style.edge(side) - 1.1 - rng.normal(0, 0.08))
                yaw = (0.0 if forward else np.pi) + rng.normal(0, 0.02)
                self._add(thing, s + thing.length / 2, offset, yaw=yaw)
            s += thing.length + rng.uniform(0.6, 2.0)

    def _traffic(self) -> None:
        """Vehicles in every lane; those in the vehicle's own lane keep its speed."""
        rng, style = self._rng, self.style
        for lane in range(-style.backward_lanes, style.forward_lanes):
            own, direction = lane == style.ego_lane, 1 if lane >= 0 else -1
            speed = style.ego_speed if own else rng.uniform(0, 1.3) * max(style.ego_speed, 5)
            reach = speed * self.duration
            s = self.start - reach
            while s < self.end + reach:
                s += style.traffic_gap * (0.35 + rng.exponential())
                thing = vehicles.cyclist(rng) if self._chance(0.06) else self._vehicle(0.82)
                s += thing.length
                if own and abs(s) < thing.length / 2 + 8:
                    continue
                yaw = 0.0 if direction > 0 else np.pi
                self._add(thing, s, style.lane_centre(lane) + rng.normal(0, 0.15), yaw=yaw, speed=direction * speed)

    def _junction_things(self) -> None:
        """Signals, people crossing, waiting cars; road works and bridges elsewhere."""
        rng, style = self._rng, self.style
        for s, half in self.junctions:
            has_signals = self._chance(0.45)
            for side in (-1, 1):
                edge = style.edge(side)
                if has_signals:
                    ahead = side == style.drive_side
                    at = s + (half + 1) * (1 if ahead else -1)
                    self._add(things.traffic_light(rng), at, side * (edge + 0.8), KERB, 0.0 if side > 0 else np.pi)
                if self._chance(0.5):
                    yaw = rng.choice([-1, 1]) * np.pi / 2
                    self._add(self._vehicle(0.85), s + rng.uniform(-1, 1), side * (edge + rng.uniform(5, 25)), yaw=yaw)
            for _ in range(rng.integers(0, 4)):
                side = rng.choice([-1, 1])
                at = (
                    s + rng.choice([-1, 1]) * (half + 2.5),
                    side * rng.uniform(max(style.edge(side) - 4, 1), style.edge(side) + 3),
                )
                if abs(at[1] - style.lane_centre(style.ego_lane)) > 2:
                    self._add(vehicles.person(rng), *at, yaw=np.pi / 2)
        if style.works:
            side, s0 = style.drive_side, rng.uniform(10, 60)
            line = style.edge(side) - 0.4
            for k in range(rng.integers(5, 15)):
                self._add(vehicles.cone(rng), s0 + 3.0 * k, side * line)
        if self._chance(0.12):
            span = max(style.edge(1), style.edge(-1)) + style.sidewalk + style.verge + 0.8
            self._add(buildings.overpass(rng, span), rng.uniform(30, 150), 0)

    def _backdrop(self) -> None:
        """Woods, hills and a skyline around the street; sometimes nothing but the horizon."""
        rng, style = self._rng, self.style
        for side in (-1, 1):
            kind = rng.choice(["none", "trees", "hills", "skyline"], p=[0.3, 0.3, 0.15, 0.25])
            for s in np.arange(self.start - 150, self.end + 150, {"trees": 9.0, "hills": 140.0}.get(kind, 45.0)):
                far = self._frontage(side) + rng.uniform(50, 75)
                colour = things.green(rng, style.foliage)
                if kind == "trees":
                    r = rng.uniform(4, 8)
                    look = Look(colour, "leaves1", (5.0, 5.0), (float(rng.random()), 0.0))
                    crown = ellipsoid((0, 0, rng.uniform(3, 7)), (r, r, rng.uniform(4, 8)), look)
                    self._add(Thing([crown], 0), float(s), side * far)
                elif kind == "hills":
                    radii = rng.uniform(120, 350), rng.uniform(120, 300), rng.uniform(20, 80)
                    hill = ellipsoid((0, 0, -3), radii, Look(colour, "leaves0", (30.0, 30.0)))
                    self._add(Thing([hill], 0), float(s), side * (radii[1] + 90 + rng.uniform(0, 300)))
                elif kind == "skyline" and self._chance(0.7):
                    tower = buildings.block(rng, rng.uniform(15, 35), 20.0, int(rng.integers(4, 22)))
                    self._add(tower, float(s), side * (far + rng.uniform(0, 200)), yaw=0.0 if side > 0 else np.pi)
        for s in (self.start - 60, self.end + 30):
            kind = rng.choice(["none", "trees", "skyline"])
            for offset in np.arange(-120, 121, 10.0 if kind == "trees" else 32.0):
                if kind == "trees":
                    look = Look(things.green(rng, style.foliage), "leaves1", (5.0, 5.0), (float(rng.random()), 0.0))
                    self._add(
                        Thing([ellipsoid((0, 0, 5), (7, 7, rng.uniform(5, 9)), look)], 0),
                        s + rng.uniform(-9, 9),
                        offset,
                    )
                elif kind == "skyline":
                    tower = buildings.block(rng, 26, 20, int(rng.integers(2, 18)))
                    self._add(tower, s + rng.uniform(-60, 60), offset, yaw=-np.pi / 2)
