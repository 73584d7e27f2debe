"""Defines the GPU backends: `torch` runs all in PyTorch, `cuda` runs our own kernels around TensorRT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds.packer import CloudSettings, PackedCloud
from fsmde_core.images.encodings import RawImage
from fsmde_core.rig.rig import Camera


@dataclass(frozen=True, eq=False)
class Sampling:
    """Describes how one camera's raw pixels become the network's input, as `fsmde_core.images.rectify` makes it.

    Every output pixel is the mean of `supersample` x `supersample` bilinear samples of the image after `halvings` 2x2
    averages. maps: (supersample * H, supersample * W, 2) float32 x, y in pixels of the image after its halvings,
    centres at integers; beyond the edge the nearest pixel counts. outside: (H, W) bool, None where every pixel lies in
    the image.
    """

    halvings: int
    supersample: int
    maps: NDArray[np.float32]
    outside: NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class HostResult:
    """Holds the results in page-locked buffers of the backend, valid until its next `infer`.

    rgb: (N, H, W, 3) uint8, the network's input. depth, sigma: (N, H, W) float32 metres; depth is NaN outside the
    images. stage_ms: milliseconds by the GPU's own events, of `upload` and `sample` summed over the images, `infer` and
    `download`; `pack` of the same backend adds its own.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]
    stage_ms: dict[str, float]


class GpuBackend(Protocol):
    """Does memory, sampling, network and packing on one GPU; nothing is allocated after the first frames.

    `upload` may be called by several threads at once, as images arrive; `infer` and `pack` by one at a time.
    """

    def upload(self, image: RawImage, sampling: Sampling) -> Any:
        """Start the copy of an image to the GPU; its memory is not touched after the call returns.

        Args:
            image: Of any encoding and step.
            sampling: One object per calibration; its maps go up once.

        Returns:
            A handle for `infer`, which may be given there more than once; dropped, it gives its memory back.
        """

    def infer(self, uploads: Sequence[Any], focal: NDArray[np.float32]) -> HostResult:
        """Run the network on all sampled images in one batch and wait for depth, sigma and RGB.

        Args:
            uploads: N handles from `upload`.
            focal: (N,) pixels.

        Returns:
            The results of the N images.
        """

    def pack(self, cameras: Sequence[Camera], settings: CloudSettings) -> PackedCloud:
        """Pack the fused cloud of the last `infer` in the base frame, in `CloudPacker.pack`'s layout and order.

        Args:
            cameras: Those of the last `infer`.
            settings: Which depths become points; with voxels the first of each cube in that order.

        Returns:
            The cloud, valid until the next call.
        """

    def close(self) -> None:
        """Release the GPU's memory."""
