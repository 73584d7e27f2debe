"""Builds a light top-down decoder, four encoder maps to four maps of known widths; and upsamples bilinearly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Pyramid = tuple[Tensor, ...]
"""Four maps (B, C, H/s, W/s), fine to coarse: strides s = 4, 8, 16, 32."""

WIDTHS = (48, 64, 96, 128)
"""Channels of the student's pyramid, and of what the binning module takes."""


class SeparableBlock(nn.Module):
    """Adds a depthwise and a pointwise convolution to its input: a wide receptive field at few multiplications."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.pointwise(self.depthwise(x))))


def _lateral(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class Decoder(nn.Module):
    """Turns encoder maps of `channels` into decoder maps of `widths`, both fine to coarse at strides 4, 8, 16, 32."""

    def __init__(self, channels: Sequence[int], widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(_lateral(c, w) for c, w in zip(channels, widths, strict=True))
        self.reduce = nn.ModuleList(_lateral(coarse, fine) for fine, coarse in pairwise(widths))
        self.blocks = nn.ModuleList(SeparableBlock(w, 3 if level == 0 else 5) for level, w in enumerate(widths))
        self.context = nn.Linear(widths[-1], widths[-1])

    def forward(self, maps: Sequence[Tensor]) -> Pyramid:
        x = F.relu(self.laterals[-1](maps[-1]))
        context = F.relu(self.context(x.mean((2, 3))))
        pyramid = [self.blocks[-1](x + context[:, :, None, None])]
        for level in range(len(maps) - 2, -1, -1):
            x = F.interpolate(self.reduce[level](pyramid[0]), scale_factor=2.0, mode="bilinear", align_corners=False)
            pyramid.insert(0, self.blocks[level](F.relu(x + self.laterals[level](maps[level]))))
        return tuple(pyramid)


UPSAMPLING = 4


def upsample(maps: Tensor) -> Tensor:
    """Upsample (..., h, w) to (..., 4h, 4w) float32, bilinearly, align_corners=False.

    Two products with constant matrices do it: OpenVINO needs a fifth of the time that its Interpolate takes.
    """
    rows, columns = (torch.from_numpy(_interpolation(size)).to(maps.device) for size in maps.shape[-2:])
    with torch.autocast(maps.device.type, enabled=False):  # depth would lose its digits in bfloat16
        return rows @ maps.float() @ columns.T


@lru_cache(maxsize=32)
def _interpolation(size: int) -> NDArray[np.float32]:
    """(4 size, size) weights: output i lies at (i + 1/2) / 4 - 1/2, between two inputs or beyond the outermost.

    NumPy's, because a tensor made while a graph is traced must not outlive the tracing.
    """
    position = ((np.arange(UPSAMPLING * size) + 0.5) / UPSAMPLING - 0.5).clip(0, size - 1)
    return np.maximum(1 - np.abs(position[:, None] - np.arange(size)), 0).astype(np.float32)
