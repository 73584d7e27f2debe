"""Builds MobileNetV2-1.0 (Sandler et al. 2018) as an encoder: batch norm is folded, keys have torchvision's names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fsmde_core.errors import FsmdeError

# expansion, output channels, repeats, stride of the first
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
TAPS = {3: 24, 6: 32, 13: 96, 17: 320}
"""Index in `features` -> channels of the maps handed to the decoder: strides 4, 8, 16, 32."""


class SameConv2d(nn.Conv2d):
    """Pads as TensorFlow's 'SAME' does: at stride 2 an even size gets its row and column right and below.

    The ImageNet weights were trained so; symmetric padding would shift every stride-2 layer by a pixel.
    """

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Convolution with bias that keeps the size (stride 1) or halves it (stride 2)."""
    if stride == 1:
        return nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, groups=groups)
    return SameConv2d(inputs, outputs, kernel, stride, groups=groups)


def _conv_relu6(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs, kernel, stride, groups), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Applies 1x1 expansion, 3x3 depthwise and linear 1x1 projection; has a shortcut where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [_conv_relu6(inputs, hidden)] if expansion != 1 else []
        self.conv = nn.Sequential(*expand, _conv_relu6(hidden, hidden, 3, stride, hidden), _conv(hidden, outputs))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """Makes four maps (B, C, H/s, W/s), s = 4, 8, 16, 32, of (B, 3, H, W) float RGB in [-1, 1].

    H and W are multiples of 32.
    """

    channels = tuple(TAPS.values())

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_conv_relu6(3, 32, 3, 2)]
        inputs = 32
        for expansion, outputs, repeats, stride in STAGES:
            for i in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.features = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for index, block in enumerate(self.features):
            x = block(x)
            if index in TAPS:
                maps.append(x)
        return maps

    def load_imagenet(self, path: str | Path) -> None:
        """Initialise from an .npz of folded layers in network order (`NN.*.weight`, `NN.*.bias`); the rest is ignored.

        FsmdeError tells of a missing file, or of a layer whose shape differs.
        """
        path = Path(path)
        if not path.is_file():
            raise FsmdeError(f"encoder weights {path} do not exist; give the .npz file, or null to train from scratch")
        layers = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        with np.load(path) as arrays:
            keys = sorted(arrays.files, key=lambda key: (key.partition(".")[0], key.endswith("bias")))
            values = [torch.from_numpy(arrays[key].astype(np.float32)) for key in keys[: 2 * len(layers)]]
        with torch.no_grad():
            for number, layer in enumerate(layers):
                for parameter, value in zip((layer.weight, layer.bias), values[2 * number :], strict=False):
                    if parameter is None or parameter.shape != value.shape:
                        raise FsmdeError(
                            f"{path}: layer {number} has shape {tuple(value.shape)}, not of MobileNetV2-1.0"
                        )
                    parameter.copy_(value)
