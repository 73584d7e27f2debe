"""What a GPU backend does for the GPU pipeline: torch without TensorRT, pycuda's kernels around TensorRT with it."""

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
    """How one camera's raw pixels become the network's input, as `fsmde_core.images.rectify` does it: every
    output pixel is the mean of `supersample` x `supersample` bilinear samples of the image after `halvings` 2x2
    averages.

    maps: (supersample * H, supersample * W, 2) float32 x, y in pixels of the image after its halvings, centres at
    integers; beyond the edge the nearest pixel counts. outside: (H, W) bool, None where every pixel lies in the image.
    """

    halvings: int
    supersample: int
    maps: NDArray[np.float32]
    outside: NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class HostResult:
    """rgb: (N, H, W, 3) uint8, the network's input. depth, sigma: (N, H, W) float32 metres; depth is NaN outside the
    images. Page-locked buffers of the backend: valid until its next `infer`.

    stage_ms: by the GPU's own events: `upload` and `sample`, summed over the images, `infer`, `download`; `pack` of the
    same backend adds its own.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]
    stage_ms: dict[str, float]


class GpuBackend(Protocol):
    """Memory, sampling, network and packing on one GPU; nothing is allocated after the first frames.

    `upload` may be called by several threads at once, as images arrive; `infer` and `pack` by one at a time.
    """

    def upload(self, image: RawImage, sampling: Sampling) -> Any:
        """Start the copy of the raw bytes, any encoding and step, to the GPU; returns a handle for `infer`, which may
        be given there more than once.

        The image's memory is not touched after the call returns. A handle that is dropped gives its memory back.
        sampling: one object per calibration; its maps go up once.
        """
        ...

    def infer(self, uploads: Sequence[Any], focal: NDArray[np.float32]) -> HostResult:
        """All sampled images in one batch through the network; copy depth, sigma and RGB back. focal: (N,) pixels."""
        ...

    def pack(self, cameras: Sequence[Camera], settings: CloudSettings) -> PackedCloud:
        """The fused cloud of the last `infer` in the base frame, in `CloudPacker.pack`'s layout; one copy back.

        cameras: those of the last `infer`.

        Points come in `CloudPacker.pack`'s order. With voxels one point per cube, the first in that order.
        """
        ...

    def close(self) -> None:
        """Release the GPU's memory."""
        ...
