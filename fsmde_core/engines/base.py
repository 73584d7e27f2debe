"""The protocol of inference engines: six images in, depth and its uncertainty out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fsmde_core.model import ModelInfo


@dataclass(frozen=True, eq=False)
class DepthBatch:
    """depth, sigma: (N, H, W) float32 metres; sigma is the standard deviation of the depth-bin distribution.

    The arrays may be the engine's own buffers: valid until the next `infer`.
    """

    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]


class Engine(Protocol):
    """One loaded model on one device. Not thread-safe: one caller at a time."""

    name: str
    device: str
    info: ModelInfo

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        """images: (N, H, W, 3) uint8 RGB at the model's size, N >= 1; focal: (N,) float32 fx in pixels at that size."""
        ...

    def close(self) -> None:
        """Release the device; the engine is not used afterwards."""
        ...
