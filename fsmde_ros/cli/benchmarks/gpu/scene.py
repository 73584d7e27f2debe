"""Generates what the benchmark feeds: six cameras around a vehicle, and raw images that no cache holds any more."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import cv2
import numpy as np

from fsmde_core.images.encodings import RawImage
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig

NAMES = ("front", "front_right", "back_right", "back", "back_left", "front_left")
WIDTH, HEIGHT = 1600, 900
_DISTORTION = [-0.30, 0.09, 0.0, 0.0, 0.0]
"""A barrel, so that every pixel of the rectified view lies in the image."""
_SETS = 4
"""104 MB in turn: more than the last-level cache of a server's core complex."""


def surround_rig() -> Rig:
    """Build six cameras of 1600x900 pixels, 60 degrees apart, clockwise from above, with distortion."""
    K = np.array([[1260, 0, 799.5], [0, 1260, 449.5], [0, 0, 1.0]])
    cameras = []
    for index, name in enumerate(NAMES):
        yaw = -np.deg2rad(60 * index)
        c, s = np.cos(yaw), np.sin(yaw)
        rotation = np.array([[s, 0, c], [-c, 0, s], [0, -1, 0]])
        cameras.append(Camera(name, WIDTH, HEIGHT, K, rigid(rotation, [c, s, 1.5]), D=np.array(_DISTORTION)))
    return Rig(tuple(cameras))


def endless_sets() -> Iterator[dict[str, RawImage]]:
    """Generate sets of six rgb8 images in ordinary host memory, a few different ones in turn."""
    random = np.random.default_rng(0)

    def random_image() -> RawImage:
        coarse = random.integers(0, 256, (HEIGHT // 20, WIDTH // 20, 3), dtype=np.uint8)
        return RawImage.from_rgb(np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)))

    return cycle([{name: random_image() for name in NAMES} for _ in range(_SETS)])
