"""The protocol of inference engines: six images in, depth and its uncertainty out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fsmde_core.engines.model import ModelInfo
from fsmde_core.errors import FsmdeError


@dataclass(frozen=True, eq=False)
class DepthBatch:
    """depth, sigma: (N, H, W) float32 metres; sigma is the standard deviation of the depth-bin distribution.

    The arrays may be the engine's own buffers: valid until the next `infer`.
    """

    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]


class Engine(Protocol):
    """One loaded model on one device. Not thread-safe: one caller at a time.

    precision: of the arithmetic, `f32` or a shorter one; it decides how closely the engine must follow the reference.
    """

    name: str
    device: str
    precision: str
    info: ModelInfo

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        """images: (N, H, W, 3) uint8 RGB at the model's size, N >= 1; focal: (N,) float32 fx in pixels at that size."""
        ...

    def close(self) -> None:
        """Release the device; the engine is not used afterwards."""
        ...


@dataclass(frozen=True)
class EngineReport:
    """What one engine is on this machine. devices: what it can run on. reason: why it cannot be used, else empty."""

    name: str
    version: str = ""
    devices: tuple[str, ...] = ()
    reason: str = ""

    @property
    def available(self) -> bool:
        return not self.reason


def check_batch(info: ModelInfo, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> None:
    """Raise FsmdeError unless the arrays are what the model takes."""
    expected = (info.height, info.width, 3)
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images) or images.shape[1:] != expected:
        raise FsmdeError(f"images are {images.shape} {images.dtype}, the model takes (N >= 1, *{expected}) uint8")
    if focal.dtype != np.float32 or focal.shape != images.shape[:1]:
        raise FsmdeError(f"focal is {focal.shape} {focal.dtype}, the model takes ({len(images)},) float32")


def first_line(error: Exception) -> str:
    """A library's exception in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
