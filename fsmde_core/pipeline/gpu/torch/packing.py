"""Packs depth to point records in torch, as `CloudPacker` does, and downloads them."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsmde_core.clouds.loops import CELL_BITS, MOST_CELLS
from fsmde_core.clouds.packer import CloudSettings, voxel_size_error
from fsmde_core.engines.torch.engine import DeviceBatch
from fsmde_core.engines.torch.stream import DeviceStream, StreamEvent, pinned_tensor
from fsmde_core.messages.point_cloud import COLOR_FIELDS, PLAIN_FIELDS
from fsmde_core.pipeline.gpu.download import PiecewiseDownload


class TorchPacker:
    """Packs the images of `batch`, all of them at once, with one kind of settings: recorded when first run.

    It must be made and called in the stream's `as_current()`; rows of the batch that hold no image must have NaN for
    depth. Floating-point sums are those of the CPU up to the last digits. `pack` takes `pinhole_geometry` of the first
    N images, waits for the number of points alone, and gives (points, fields) float32 records on the device, in
    row-major order, valid until the next call.
    """

    def __init__(self, stream: DeviceStream, batch: DeviceBatch, settings: CloudSettings) -> None:
        step, device = settings.stride, stream.device
        self._stream, self.settings = stream, settings
        self.fields = COLOR_FIELDS if settings.color else PLAIN_FIELDS
        self._depth, self._sigma = batch.depth[:, ::step, ::step], batch.sigma[:, ::step, ::step]
        self._rgb = batch.images[:, ::step, ::step]
        cameras, height, width = self._depth.shape
        pixels, fields = self._depth.numel(), len(self.fields)
        self._rows = torch.arange(height, dtype=torch.float32, device=device)[None, :, None]
        self._columns = torch.arange(width, dtype=torch.float32, device=device)[None, :, None]
        self._geometry = torch.zeros((cameras, 3, 4), device=device)
        self._host_geometry = pinned_tensor((cameras, 3, 4), torch.float32, device)
        self._records = torch.zeros((pixels, fields), device=device)
        self._images = self._records.view(cameras, height, width, fields)
        # One place more than there are pixels: what fails a gate goes there.
        self._packed = torch.zeros((pixels + 1, fields), device=device)
        self._count = torch.zeros(1, dtype=torch.int64, device=device)
        self._host_count = pinned_tensor((1,), torch.int64, device)
        self._run: Callable[[], None] | None = None

    def pack(self, rays: NDArray[np.floating], origins: NDArray[np.floating]) -> Tensor:
        part = self._host_geometry[: len(rays)].numpy()
        part[..., :3], part[..., 3] = rays, origins
        self._geometry.copy_(self._host_geometry, non_blocking=True)
        if self._run is None:
            self._run = self._stream.capture_graph(self._write_records)
        self._run()
        self._host_count.copy_(self._count, non_blocking=True)
        self._stream.synchronize()
        packed = self._packed[: int(self._host_count)]
        return _first_per_voxel(packed, self.settings.voxel_size) if self.settings.voxel_size else packed

    def _write_records(self) -> None:
        self._write_points()
        if self.settings.color:
            red, green, blue = self._rgb.to(torch.int32).unbind(-1)
            self._images[..., 3].view(torch.int32).copy_(red * 65536 + green * 256 + blue)
        self._images[..., -1].copy_(self._sigma)
        keep = self._gate().reshape(-1)
        places = torch.cumsum(keep, 0)
        self._count.copy_(places[-1:])
        self._packed.index_copy_(0, torch.where(keep, places - 1, len(keep)), self._records)

    def _write_points(self) -> None:
        geometry = self._geometry[:, None]
        across = geometry[..., 0] * self._columns
        down = geometry[..., 1] * self._rows + geometry[..., 2]
        points = (across[:, None] + down[:, :, None]) * self._depth[..., None]
        torch.add(points, geometry[:, None, ..., 3], out=self._images[..., :3])

    def _gate(self) -> Tensor:
        """Return where all gates hold; every comparison with NaN fails."""
        limits, depth, sigma = self.settings, self._depth, self._sigma
        keep = (depth >= limits.min_range) & (depth <= limits.max_range)
        return keep & (sigma >= 0) & (sigma <= limits.max_relative_sigma * depth)


class TorchDownload(PiecewiseDownload):
    """Copies up to `most` bytes of a uint8 tensor from the device, within the stream's `as_current()`."""

    def __init__(self, device: torch.device, most: int) -> None:
        self._pinned = pinned_tensor((most,), torch.uint8, device)
        super().__init__(self._pinned.numpy(), StreamEvent.synchronize, StreamEvent.elapsed_ms)

    def fetch_tensor(self, source: Tensor, stream: DeviceStream) -> tuple[array[int], dict[str, float]]:
        def start_copy(piece: slice) -> None:
            self._pinned[piece].copy_(source[piece], non_blocking=True)

        return self.fetch(source.numel(), start_copy, lambda _: stream.record_event())


def _first_per_voxel(records: Tensor, voxel_size: float) -> Tensor:
    """Select the first of the records (points, fields) in every cube of `voxel_size` metres, in their order."""
    cells = torch.floor(records[:, :3] * (1 / voxel_size)).long() + MOST_CELLS
    if bool(((cells < 0) | (cells >= 2 * MOST_CELLS)).any()):
        raise voxel_size_error(voxel_size, float(records[:, :3].abs().max()))
    keys = (cells[:, 0] << 2 * CELL_BITS) | (cells[:, 1] << CELL_BITS) | cells[:, 2]
    ordered, index = torch.sort(keys, stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return records[torch.sort(index[first]).values]
