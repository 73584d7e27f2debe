"""Defines the protocol of inference engines: images in, depth and its uncertainty out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fsmde_core.engines.model import ModelInfo
from fsmde_core.errors import FsmdeError


@dataclass(frozen=True, eq=False)
class DepthBatch:
    """Holds depth and sigma, (N, H, W) float32 metres; sigma is the standard deviation of the depth-bin distribution.

    The arrays may be the engine's own buffers: valid until the next `infer`.
    """

    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]


class Engine(Protocol):
    """Runs one loaded model on one device. It is not thread-safe: one caller at a time.

    precision: of the arithmetic, `f32` or a shorter one; it decides how closely the engine must follow the reference.
    """

    name: str
    device: str
    precision: str
    info: ModelInfo

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        """Estimate the depth of every image.

        Args:
            images: (N, H, W, 3) uint8 RGB at the model's size, N >= 1.
            focal: (N,) float32 focal lengths fx in pixels at that size.

        Returns:
            Depth and sigma.

        Raises:
            FsmdeError: The arrays are not what the model takes.
        """
        ...

    def close(self) -> None:
        """Release the device; the engine is not used afterwards."""
        ...


@dataclass(frozen=True)
class EngineReport:
    """Describes one engine on this machine: its devices, or the reason why it cannot be used, else empty."""

    name: str
    version: str = ""
    devices: tuple[str, ...] = ()
    reason: str = ""

    @property
    def available(self) -> bool:
        """Whether the engine can be used."""
        return not self.reason


def check_batch(info: ModelInfo, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> None:
    """Raise unless the arrays are what the model takes.

    Args:
        info: The model.
        images, focal: What `Engine.infer` was given.

    Raises:
        FsmdeError: A dtype or shape differs, or there is no image.
    """
    expected = (info.height, info.width, 3)
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images) or images.shape[1:] != expected:
        raise FsmdeError(f"images are {images.shape} {images.dtype}, the model takes (N >= 1, *{expected}) uint8")
    if focal.dtype != np.float32 or focal.shape != images.shape[:1]:
        raise FsmdeError(f"focal is {focal.shape} {focal.dtype}, the model takes ({len(images)},) float32")


def first_line(error: Exception) -> str:
    """Return the first line of a library's exception, or its type where it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
