"""A source for tests: four tiny cameras around a turning car."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.rig.geometry import rigid, rotation_from_quaternion
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.counts import ReadingCounts

MS = 1_000_000
OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
YAWS = {"front": 0, "right": -90, "back": 180, "left": 90}


def yaw(degrees: float) -> np.ndarray:
    half = np.radians(degrees) / 2
    return rotation_from_quaternion(np.cos(half), 0, 0, np.sin(half))


class SmallRig:
    """Four tiny cameras, 15 ms apart, 10 Hz, lidar in every second frame 20 ms after the last camera, a turning car."""

    name = "small"
    notes = ()
    counts = ReadingCounts()

    def __init__(self, frames: int = 6, missing: tuple[int, str] | None = None) -> None:
        K = np.array([[30.0, 0, 16], [0, 30.0, 10], [0, 0, 1]])
        self.rig = Rig(
            tuple(Camera(name, 32, 20, K, rigid(yaw(a) @ OPTICAL, (0.1 * a, 1, 2))) for name, a in YAWS.items())
        )
        self.length, self.missing = frames, missing

    def __len__(self) -> int:
        return self.length

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for index in range(*slice(start, stop).indices(self.length)):
            rng = np.random.default_rng(index)
            names = [name for name in self.rig.names if (index, name) != self.missing]
            stamps = {name: (1000 + 100 * index + 15 * k) * MS for k, name in enumerate(self.rig.names)}
            points = rng.normal(size=(50, 3)).astype(np.float32)
            sweep = (1065 + 100 * index) * MS
            yield Frame(
                index,
                self.rig,
                {n: CameraImage(stamps[n], pixels=rng.integers(0, 255, (20, 32, 3), np.uint8)) for n in names},
                {n: self.pose(stamps[n]) for n in names},
                LidarSweep(sweep, points, self.pose(sweep)) if index % 2 == 0 else None,
            )

    @staticmethod
    def pose(stamp_ns: int) -> np.ndarray:
        seconds = stamp_ns * 1e-9
        return rigid(yaw(30 * seconds), (10 * seconds, 3, 0))


class Scanned(SmallRig):
    """With sweeps dense enough for every camera to see some of each."""

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for frame in super().frames(start, stop):
            points = np.random.default_rng(frame.index).uniform((-40, -40, -1), (40, 40, 6), (4000, 3))
            sweep = frame.lidar and replace(frame.lidar, points=points.astype(np.float32))
            yield replace(frame, lidar=sweep)
