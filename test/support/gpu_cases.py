"""Cameras, pictures and devices for the tests of the GPU pipeline."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from fsmde_core.clouds.packer import CloudSettings
from fsmde_core.images.encodings import RawImage
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig

LENSES = {
    "none": ("plumb_bob", []),
    "plumb_bob": ("plumb_bob", [-0.3, 0.1, 0.001, -0.002, -0.02]),
    "pincushion": ("plumb_bob", [0.4, 0, 0, 0]),
    "rational_polynomial": ("rational_polynomial", [0.3, 0.05, 0.001, -0.001, 0.01, 0.5, 0.1, 0.02]),
    "equidistant": ("equidistant", [-0.02, 0.01, -0.003, 0.001]),
}


OPEN = CloudSettings(0, 1000, 1)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def torch_device(name: str) -> Any:
    """Skips the test where there is no such device."""
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    return torch.device(name)


def camera(name: str, width: int, height: int, lens: str = "none", yaw: float = 0.0) -> Camera:
    K = np.array([[0.7 * width, 0, 0.49 * width], [0, 0.7 * width, 0.52 * height], [0, 0, 1]])
    c, s = np.cos(yaw), np.sin(yaw)
    pose = rigid(np.array([[s, 0, c], [-c, 0, s], [0, -1, 0]]), [c, s, 1.5])
    model, D = LENSES[lens]
    return Camera(name, width, height, K, pose, model, np.array(D))


RIG = Rig(
    (
        camera("front", 448, 256),
        camera("right", 450, 260, "plumb_bob", -1.6),
        camera("back", 640, 401, "pincushion", 3.1),
        camera("left", 112, 64, "none", 1.6),
    )
)


def texture(width: int, height: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2))


def raw(source: Camera, seed: int) -> RawImage:
    return RawImage.from_rgb(texture(source.width, source.height, seed))
