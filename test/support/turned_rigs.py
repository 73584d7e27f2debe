"""Rigs with a camera that is turned against its calibration, and predictions for recordings seen through them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from fsmde_core.engines import load_engine
from fsmde_core.engines.model import default_model_path
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.source import IndexedSource

Sets = list[tuple[np.ndarray, np.ndarray, dict[str, int]]]
AXES = {"pitch": 0, "yaw": 1, "roll": 2}


def turn(*degrees: float) -> np.ndarray:
    """(3, 3) rotation by a vector of pitch, yaw and roll."""
    return cv2.Rodrigues(np.radians(degrees))[0]


def turned(camera: Camera, axis: str, degrees: float) -> Camera:
    """As its mount turns about an axis of its own."""
    T = camera.T_base_camera.copy()
    T[:3, :3] = T[:3, :3] @ turn(*degrees * np.eye(3)[AXES[axis]])
    return replace(camera, T_base_camera=T)


def with_turned(rig: Rig, name: str, axis: str, degrees: float) -> Rig:
    cameras = tuple(turned(c, axis, degrees) if c.name == name else c for c in rig.cameras)
    return replace(rig, cameras=cameras)


@lru_cache(maxsize=1)
def pipeline() -> CpuPipeline:
    return CpuPipeline(load_engine("auto", default_model_path(), 1, 6), 1)


@lru_cache(maxsize=4)
def predicted(source: IndexedSource, frames: tuple[int, ...]) -> Sets:
    sets = []
    for index in frames:
        frame = source.frame(index)
        images = {name: RawImage.from_rgb(image.rgb()) for name, image in frame.images.items()}
        result = pipeline().run(images, frame.rig)
        stamps = {name: image.stamp_ns for name, image in frame.images.items()}
        sets.append((result.rgb.copy(), result.depth.copy(), stamps))
    return sets
