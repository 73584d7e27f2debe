"""A light top-down decoder: from four encoder maps to one map at a quarter of the image, and a context vector."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F


class SeparableBlock(nn.Module):
    """Depthwise and pointwise convolution, batch norm, shortcut: a wide receptive field at few multiplications."""

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
    """Encoder maps of strides 4, 8, 16, 32 -> features (B, widths[0], H/4, W/4) and context (B, widths[-1]).

    channels: of the encoder maps, fine to coarse. widths: of the decoder at the same strides.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int] = (48, 64, 96, 128)) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.laterals = nn.ModuleList(_lateral(c, w) for c, w in zip(channels, widths, strict=True))
        self.reduce = nn.ModuleList(_lateral(coarse, fine) for fine, coarse in pairwise(widths))
        self.blocks = nn.ModuleList(SeparableBlock(w, 3 if level == 0 else 5) for level, w in enumerate(widths))
        self.context = nn.Linear(widths[-1], widths[-1])

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        x = F.relu(self.laterals[-1](maps[-1]))
        context = F.relu(self.context(x.mean((2, 3))))
        x = self.blocks[-1](x + context[:, :, None, None])
        for level in range(len(maps) - 2, -1, -1):
            x = F.interpolate(self.reduce[level](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.blocks[level](F.relu(x + self.laterals[level](maps[level])))
        return x, context


def upsample(maps: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, 4h, 4w), bilinear."""
    return F.interpolate(maps, scale_factor=4.0, mode="bilinear", align_corners=False)
