"""Renders training images of synthetic streets: a street and a rig of its own for every seed.

Six cameras look around a vehicle, with random places, directions and fields of view. Depth is exact, sky infinite.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.synthetic.source import OPTICAL, SyntheticStreet
from fsmde_training.sets.cache import Sample
from fsmde_training.sets.parallel import parallel_map

CAMERAS = 6
FOCAL_PER_WIDTH = (0.42, 1.16)
"""Range of fx over image width: 100 to 47 degrees of view, what surround cameras have."""
HEIGHT = (1.25, 2.3)
PITCH, ROLL = np.radians(5.0), np.radians(1.5)


def random_rig(rng: Generator, width: int, height: int) -> Rig:
    cameras = []
    for number in range(CAMERAS):
        yaw = -2 * np.pi * (number + rng.uniform(-0.3, 0.3)) / CAMERAS
        focal = width * np.exp(rng.uniform(*np.log(FOCAL_PER_WIDTH)))
        K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        place = [1.2 * np.cos(yaw) + 0.6, 0.6 * np.sin(yaw), rng.uniform(*HEIGHT)]
        R = _rotation(2, yaw) @ _rotation(1, rng.uniform(-PITCH, PITCH)) @ _rotation(0, rng.uniform(-ROLL, ROLL))
        cameras.append(Camera(f"camera_{number}", width, height, K, rigid(R @ OPTICAL, place)))
    return Rig(tuple(cameras))


def _rotation(axis: int, angle: float) -> NDArray[np.float64]:
    """Make the (3, 3) rotation about x, y or z (0, 1, 2)."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.eye(3)
    rotation[i, i], rotation[i, j], rotation[j, i], rotation[j, j] = c, -s, s, c
    return rotation


def render_street(seed: int, width: int, height: int) -> list[Sample]:
    rig = random_rig(np.random.default_rng((seed, 1)), width, height)
    street = SyntheticStreet(seed, frames=1, rig=rig)
    samples = []
    for camera in rig.cameras:
        rgb, depth = street.render(0, camera.name)
        samples.append((rgb, np.where(np.isnan(depth), np.inf, depth).astype(np.float16), camera.fx))
    return samples


def street_samples(seeds: range, width: int, height: int, processes: int) -> Iterator[Sample]:
    for samples in parallel_map(partial(render_street, width=width, height=height), seeds, processes):
        yield from samples
