"""Samples the network's input batch from uploaded camera images in one launch: the host side of kernels/sample.cu."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsmde_core.cuda.driver import Driver
from fsmde_core.images.encodings import ENCODINGS, Encoding, PixelLayout
from fsmde_core.pipeline.gpu.cuda.uploads import CudaUpload

SOURCE = np.dtype(
    [("image", "u8"), ("maps", "u8"), ("outside", "u8"), ("step", "i8")]
    + [(name, "i4") for name in ("width", "height", "kind", "channels", "first", "second", "halvings", "supersample")],
    align=True,
)
BATCH = np.dtype([("sources", "u8"), ("rgb", "u8"), ("depth", "u8"), ("width", "i4"), ("height", "i4")], align=True)


def _kernel_layout(encoding: Encoding) -> tuple[int, int, int, int]:
    """Return the kind, the channels, and `first` and `second` as struct Source has them."""
    first, second = encoding.positions[0], encoding.positions[2]
    if encoding.layout is PixelLayout.BAYER:
        second, first = divmod(encoding.pattern.index("r"), 2)
    elif encoding.layout is PixelLayout.YUV420:
        first = encoding.positions[1]
    return encoding.layout, encoding.channels, first, second


LAYOUTS = {name: _kernel_layout(encoding) for name, encoding in ENCODINGS.items()}
_BLOCK = (32, 8)


class CudaSampler:
    """Fills the network's input and masks the depth that no image shows. One caller at a time.

    cameras: the most in one batch. width, height: of the network's input, pixels. rgb, depth: device addresses of
    (N, H, W, 3) uint8 and (N, H, W) float32 metres; stream: what the work is put on.
    """

    def __init__(self, driver: Driver, cameras: int, width: int, height: int) -> None:
        self._driver = driver
        self._module = driver.load_module(Path(__file__).parent / "kernels" / "sample.cu")
        self._table = driver.allocate_pinned((cameras,), SOURCE)
        self._sources = driver.allocate(self._table.nbytes)
        self._size = (width, height)

    def sample(self, uploads: Sequence[CudaUpload], rgb: int, stream: Any) -> None:
        for row, upload in zip(self._table, uploads, strict=False):
            outside = 0 if upload.outside is None else int(upload.outside)
            row["image"], row["maps"], row["outside"] = int(upload.buffer.memory), int(upload.maps), outside
            row["step"], row["width"], row["height"] = upload.step, upload.width, upload.height
            row["kind"], row["channels"], row["first"], row["second"] = LAYOUTS[upload.encoding]
            row["halvings"], row["supersample"] = upload.sampling.halvings, upload.sampling.supersample
        self._driver.to_device(int(self._sources), self._table[: len(uploads)], stream)
        self._launch("sample", len(uploads), stream, rgb=rgb)

    def mask_outside(self, uploads: Sequence[CudaUpload], depth: int, stream: Any) -> None:
        if any(upload.outside is not None for upload in uploads):
            self._launch("mask_outside", len(uploads), stream, depth=depth)

    def _launch(self, kernel: str, count: int, stream: Any, rgb: int = 0, depth: int = 0) -> None:
        width, height = self._size
        grid = (-(-width // _BLOCK[0]), -(-height // _BLOCK[1]), count)
        parameters = np.array([(int(self._sources), rgb, depth, width, height)], BATCH)[0]
        self._module.launch(kernel, grid, _BLOCK, stream, parameters)

    def close(self) -> None:
        self._sources.free()
