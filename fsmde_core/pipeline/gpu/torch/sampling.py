"""Samples the network's input from raw images on the device, in torch: colour, averages, look-up, average."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fsmde_core.images.encodings import find_encoding
from fsmde_core.pipeline.gpu.backend import Sampling
from fsmde_core.pipeline.gpu.torch.color import rgb_planes


class TorchSampler:
    """Applies one `Sampling` to raw images of one layout, with its constants on `device`.

    It stays within 2 grey levels of the CPU, which rounds after every step; here once, at the end. shape: (H, W).
    raw: (nbytes,) uint8. rgb: (H, W, 3) uint8, written.
    """

    def __init__(self, sampling: Sampling, width: int, height: int, step: int, encoding: str, device: torch.device):
        described = find_encoding(encoding)
        rows, channels = described.rows(height), described.channels
        self.nbytes = rows * step
        self._layout = ((rows, width, channels), (step, channels, 1))
        self._encoding = encoding
        self.shape = tuple(size // sampling.supersample for size in sampling.maps.shape[:2])
        self._halvings, self._supersample = sampling.halvings, sampling.supersample
        size = torch.tensor([width >> sampling.halvings, height >> sampling.halvings])
        # grid_sample counts from -1 at the image's left or upper edge to 1 at the other.
        grid = (2 * torch.from_numpy(sampling.maps).double() + 1) / size - 1
        self._grid = grid.to(device, torch.float32)[None]

    def sample(self, raw: Tensor, rgb: Tensor) -> None:
        x = rgb_planes(raw.as_strided(*self._layout), self._encoding)[None]
        for _ in range(self._halvings):
            x = F.avg_pool2d(x, 2)
        x = F.grid_sample(x, self._grid, "bilinear", "border", align_corners=False)
        if self._supersample > 1:
            x = F.avg_pool2d(x, self._supersample)
        rgb.copy_((x[0] + 0.5).permute(1, 2, 0))
