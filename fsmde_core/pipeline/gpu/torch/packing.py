"""Depth to packed point records in torch, as `CloudPacker` packs them; waits for the count alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsmde_core.clouds.loops import CELL_BITS, MOST_CELLS
from fsmde_core.clouds.packer import COLOR_FIELDS, PLAIN_FIELDS, CloudSettings
from fsmde_core.engines.torch.engine import DeviceBatch
from fsmde_core.engines.torch.stream import DeviceStream, pinned_tensor
from fsmde_core.errors import FsmdeError


class TorchPacker:
    """Packs the images of `batch`, all of them at once, with one kind of settings: recorded when first run.

    To be made and called in the lane's `current()`. Rows of the batch that hold no image must have NaN for depth.
    Floating-point sums are those of the CPU up to the last digits.
    """

    def __init__(self, lane: DeviceStream, batch: DeviceBatch, settings: CloudSettings) -> None:
        step, device = settings.stride, lane.device
        self._lane, self.settings = lane, settings
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
        # One place more than there are pixels: what fails a gate goes there.
        self._packed = torch.zeros((pixels + 1, fields), device=device)
        self._count = torch.zeros(1, dtype=torch.int64, device=device)
        self._host_count = pinned_tensor((1,), torch.int64, device)
        self._run: Callable[[], None] | None = None

    def __call__(self, rays: NDArray[np.floating], origins: NDArray[np.floating]) -> Tensor:
        """(points, fields) float32 records on the device, in row-major order of the images: valid until the next call.

        rays: (N, 3, 3), origins: (N, 3) of the first N images; pixel (u, v) of those that the stride leaves, of depth
        d, is the point origin + d * rays @ (u, v, 1). Waits for the count.
        """
        part = self._host_geometry[: len(rays)].numpy()
        part[..., :3], part[..., 3] = rays, origins
        self._geometry.copy_(self._host_geometry, non_blocking=True)
        if self._run is None:
            self._run = self._lane.recorded(self._pack)
        self._run()
        self._host_count.copy_(self._count, non_blocking=True)
        self._lane.finish()
        packed = self._packed[: int(self._host_count)]
        return first_per_voxel(packed, self.settings.voxel_size) if self.settings.voxel_size else packed

    def _pack(self) -> None:
        self._place()
        if self.settings.color:
            red, green, blue = self._rgb.to(torch.int32).unbind(-1)
            self._images()[..., 3].view(torch.int32).copy_(red * 65536 + green * 256 + blue)
        self._images()[..., -1].copy_(self._sigma)
        keep = self._keep().reshape(-1)
        places = torch.cumsum(keep, 0)
        self._count.copy_(places[-1:])
        self._packed.index_copy_(0, torch.where(keep, places - 1, len(keep)), self._records)

    def _images(self) -> Tensor:
        """(N, h, w, fields) view of the records."""
        return self._records.view(*self._depth.shape, len(self.fields))

    def _place(self) -> None:
        geometry = self._geometry[:, None]
        across = geometry[..., 0] * self._columns
        down = geometry[..., 1] * self._rows + geometry[..., 2]
        points = (across[:, None] + down[:, :, None]) * self._depth[..., None]
        torch.add(points, geometry[:, None, ..., 3], out=self._images()[..., :3])

    def _keep(self) -> Tensor:
        """Where all gates hold; every comparison with NaN fails."""
        limits, depth, sigma = self.settings, self._depth, self._sigma
        keep = (depth >= limits.min_range) & (depth <= limits.max_range)
        return keep & (sigma >= 0) & (sigma <= limits.max_relative_sigma * depth)


def first_per_voxel(records: Tensor, size: float) -> Tensor:
    """The first of the records (points, fields) in every cube of edge `size` metres, in their order."""
    cells = torch.floor(records[:, :3] * (1 / size)).long() + MOST_CELLS
    if bool(((cells < 0) | (cells >= 2 * MOST_CELLS)).any()):
        farthest = float(records[:, :3].abs().max())
        raise FsmdeError(
            f"cloud voxel_size is {size} m, too small for points {farthest:.0f} m away; "
            f"expected at least {farthest / MOST_CELLS:.2g} m"
        )
    keys = (cells[:, 0] << 2 * CELL_BITS) | (cells[:, 1] << CELL_BITS) | cells[:, 2]
    ordered, index = torch.sort(keys, stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return records[torch.sort(index[first]).values]
