"""What the tests of the CUDA kernels share: both drivers, a network that gives what it was told to, samplings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fsmde_core.cuda.driver import Driver
from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import ENCODINGS, RawImage, to_rgb
from fsmde_core.pipeline.gpu.backend import Sampling
from fsmde_core.rig.rig import Camera
from support.cuda_host import HostDriver


def gpu_driver() -> Driver:
    """The real one, or skip."""
    try:
        return Driver.shared()
    except FsmdeError as error:
        pytest.skip(str(error))


on_each_driver = pytest.mark.parametrize(
    "make_driver", [pytest.param(HostDriver, id="host"), pytest.param(gpu_driver, id="gpu", marks=pytest.mark.gpu)]
)


class GivenDepth:
    """A network that answers with fixed depth and sigma (N, H, W), and notes what it was asked."""

    def __init__(self, driver: Any, depth: NDArray[np.float32], sigma: NDArray[np.float32]) -> None:
        self._driver = driver
        self.depth, self.sigma = depth, sigma
        self.info = SimpleNamespace(width=depth.shape[2], height=depth.shape[1])
        self.images = np.zeros((*depth.shape, 3), np.uint8)
        self.focal = np.zeros(len(depth), np.float32)

    def enqueue(self, stream: Any, images: int, focal: int, depth: int, sigma: int, count: int) -> None:
        self._driver.to_host(self.images[:count], images, stream)
        self._driver.to_host(self.focal[:count], focal, stream)
        self._driver.to_device(depth, self.depth[:count], stream)
        self._driver.to_device(sigma, self.sigma[:count], stream)


def given_depth(driver: Any, cameras: int, width: int, height: int, depth: float = 10.0) -> GivenDepth:
    shape = (cameras, height, width)
    return GivenDepth(driver, np.full(shape, depth, np.float32), np.full(shape, 1.0, np.float32))


def plain_sampling(width: int, height: int) -> Sampling:
    """Takes an image of the network's size as it is."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Sampling(0, 1, np.stack([x, y], -1).astype(np.float32), None)


def sampling_of(camera: Camera, width: int, height: int, halvings: int, supersample: int) -> Sampling:
    """From the camera's pixels to its rectified view at width x height."""
    target = camera.rectified(width * supersample, height * supersample)
    undistort = (
        cv2.fisheye.initUndistortRectifyMap if camera.distortion_model == "equidistant" else cv2.initUndistortRectifyMap
    )
    coefficients = camera.D if camera.D.size else np.zeros(4)
    x, y = undistort(camera.K, coefficients, np.eye(3), target.K, (target.width, target.height), cv2.CV_32FC1)
    beyond = (x < -0.5) | (x > camera.width - 0.5) | (y < -0.5) | (y > camera.height - 0.5)
    outside = beyond.reshape(height, supersample, width, supersample).any((1, 3))
    maps = (np.stack([x, y], -1) + 0.5) / 2**halvings - 0.5
    return Sampling(halvings, supersample, maps.astype(np.float32), outside if outside.any() else None)


def plain_sample(image: RawImage, sampling: Sampling) -> NDArray[np.uint8]:
    """The definition of `Sampling`, in float64: (H, W, 3) uint8 RGB."""
    pixels = to_rgb(image.pixels(), image.encoding).astype(np.int64)
    for _ in range(sampling.halvings):
        even = pixels[: len(pixels) // 2 * 2, : pixels.shape[1] // 2 * 2]
        pixels = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2] + 2) >> 2
    last = np.array([pixels.shape[1] - 1, pixels.shape[0] - 1])
    place = np.clip(sampling.maps.astype(np.float64), 0, last)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, last)
    right, down = np.moveaxis(place - low, -1, 0)[..., None]
    top = pixels[low[..., 1], low[..., 0]] * (1 - right) + pixels[low[..., 1], high[..., 0]] * right
    bottom = pixels[high[..., 1], low[..., 0]] * (1 - right) + pixels[high[..., 1], high[..., 0]] * right
    fine = top * (1 - down) + bottom * down
    side = sampling.supersample
    height, width = fine.shape[0] // side, fine.shape[1] // side
    return np.floor(fine.reshape(height, side, width, side, 3).mean((1, 3)) + 0.5).astype(np.uint8)


def noise_image(encoding: str, width: int, height: int, padding: int = 0, seed: int = 0) -> RawImage:
    """Random bytes, also between the rows; of a height one more where the encoding needs an even one."""
    height += ENCODINGS[encoding].rows(2) == 3 and height % 2
    step = width * ENCODINGS[encoding].channels + padding
    data = np.random.default_rng(seed).integers(0, 256, step * ENCODINGS[encoding].rows(height), dtype=np.uint8)
    return RawImage(data.tobytes(), encoding, width, height, step)
