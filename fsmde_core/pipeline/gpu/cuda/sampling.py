"""Host side of kernels/sample.cu: uploaded camera images to the network's input batch, all cameras in one launch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsmde_core.cuda.driver import Driver
from fsmde_core.pipeline.gpu.cuda.images import DeviceImage

SOURCE = np.dtype(
    [("image", "u8"), ("maps", "u8"), ("outside", "u8"), ("step", "i8")]
    + [(name, "i4") for name in ("width", "height", "kind", "channels", "first", "second", "halvings", "supersample")],
    align=True,
)
BATCH = np.dtype([("sources", "u8"), ("rgb", "u8"), ("depth", "u8"), ("width", "i4"), ("height", "i4")], align=True)

_INTERLEAVED, _YUV422, _BAYER = range(3)
_UYVY, _YUYV = (_YUV422, 2, 1, 0), (_YUV422, 2, 0, 0)
# kind, channels, and `first` and `second` as struct Source has them.
LAYOUTS = {
    "rgb8": (_INTERLEAVED, 3, 0, 2),
    "bgr8": (_INTERLEAVED, 3, 2, 0),
    "rgba8": (_INTERLEAVED, 4, 0, 2),
    "bgra8": (_INTERLEAVED, 4, 2, 0),
    "mono8": (_INTERLEAVED, 1, 0, 0),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "bayer_rggb8": (_BAYER, 1, 0, 0),
    "bayer_bggr8": (_BAYER, 1, 1, 1),
    "bayer_gbrg8": (_BAYER, 1, 0, 1),
    "bayer_grbg8": (_BAYER, 1, 1, 0),
}

_BLOCK = (32, 8)


class CudaSampler:
    """Fills the network's input and marks what no image shows. One caller at a time.

    cameras: the most in one batch. width, height: of the network's input, pixels.
    """

    def __init__(self, driver: Driver, cameras: int, width: int, height: int) -> None:
        self._driver = driver
        self._module = driver.module(Path(__file__).parent / "kernels" / "sample.cu")
        self._table = driver.pinned((cameras,), SOURCE)
        self._sources = driver.device(self._table.nbytes)
        self._size = (width, height)

    def sample(self, images: Sequence[DeviceImage], rgb: int, stream: Any) -> None:
        """Put on `stream`: the batch (N, H, W, 3) uint8 RGB at address `rgb` from N uploaded images."""
        for row, image in zip(self._table, images, strict=False):
            _describe(row, image)
        self._driver.to_device(int(self._sources), self._table[: len(images)], stream)
        self._launch("sample", len(images), stream, rgb=rgb)

    def mark_outside(self, images: Sequence[DeviceImage], depth: int, stream: Any) -> None:
        """Put on `stream`: NaN at address `depth`, (N, H, W) float32, where the images of the last `sample` end."""
        if any(image.maps.outside is not None for image in images):
            self._launch("mark_outside", len(images), stream, depth=depth)

    def _launch(self, kernel: str, count: int, stream: Any, rgb: int = 0, depth: int = 0) -> None:
        width, height = self._size
        grid = (-(-width // _BLOCK[0]), -(-height // _BLOCK[1]), count)
        parameters = np.array([(int(self._sources), rgb, depth, width, height)], BATCH)[0]
        self._module.launch(kernel, grid, _BLOCK, stream, parameters)

    def close(self) -> None:
        """Give the device memory back."""
        self._sources.free()


def _describe(row: np.void, image: DeviceImage) -> None:
    """Fill one row of the table for the kernel."""
    maps = image.maps
    outside = 0 if maps.outside is None else int(maps.outside)
    row["image"], row["maps"], row["outside"] = int(image.slot.memory), int(maps.maps), outside
    row["step"], row["width"], row["height"] = image.step, image.width, image.height
    row["kind"], row["channels"], row["first"], row["second"] = LAYOUTS[image.encoding]
    row["halvings"], row["supersample"] = image.sampling.halvings, image.sampling.supersample
