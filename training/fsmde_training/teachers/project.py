"""Defines the project's own teacher, a larger network at twice the student's resolution, without a foundation model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fsmde_training.networks.decoder import Pyramid, upsample
from fsmde_training.networks.mobilenet_v2 import MobileNetV2
from fsmde_training.teachers.base import Teacher, TeacherOutput, normalised, resize, student_size

ENLARGEMENT = 2
"""Teacher's image over student's: the pyramid's strides are 8, 16, 32, 64 of what the teacher itself sees."""


def _norm_conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class ResidualBlock(nn.Module):
    """Applies two full 3x3 convolutions with a shortcut (He et al., 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _norm_conv(channels, channels, 3)
        self.second = _norm_conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class ProjectTeacher(Teacher):
    """Joins a MobileNetV2 encoder, a top-down decoder of full convolutions, and depth at a quarter of its image.

    Per image 12 times the student's multiply-adds and 3 times its parameters (our choice: as much as two CPU cores can
    train in a quarter of an hour). Strides 4 to 32 of its image come from the encoder; 64 is one more convolution.
    widths: Of the decoder, from stride 4 of the teacher's image to 64.
    focal_canonical: Pixels at the teacher's image.
    min_depth, max_depth: Range of the depth head, metres at that focal length.
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 192, 256, 256),
        focal_canonical: float = 300.0,
        min_depth: float = 0.5,
        max_depth: float = 250.0,
    ) -> None:
        super().__init__()
        self.architecture = {
            "widths": list(widths),
            "focal_canonical": focal_canonical,
            "min_depth": min_depth,
            "max_depth": max_depth,
        }
        """What rebuilds this network; stored in checkpoints."""
        self.channels = tuple(widths[1:])
        self.focal_canonical, self.min_depth, self.max_depth = focal_canonical, min_depth, max_depth
        self.encoder = MobileNetV2()
        encoded = self.encoder.channels
        self.coarsest = _norm_conv(encoded[-1], widths[-1], 3, stride=2)
        self.laterals = nn.ModuleList(_norm_conv(c, w) for c, w in zip(encoded, widths[:-1], strict=True))
        self.reduce = nn.ModuleList(_norm_conv(coarse, fine) for fine, coarse in pairwise(widths))
        self.blocks = nn.ModuleList(ResidualBlock(width) for width in widths)
        self.depth_head = nn.Conv2d(widths[0], 1, 3, padding=1)

    def _decode(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1], sizes multiples of 64 -> maps at strides 4, 8, 16, 32, 64."""
        encoded = self.encoder(x)
        maps = [self.blocks[-1](F.relu(self.coarsest(encoded[-1])))]
        for level in range(len(encoded) - 1, -1, -1):
            above = F.interpolate(self.reduce[level](maps[0]), scale_factor=2.0, mode="bilinear", align_corners=False)
            maps.insert(0, self.blocks[level](F.relu(above + self.laterals[level](encoded[level]))))
        return maps

    def _log_depth(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 1, h, w) float32 log of canonical metres, within the range."""
        position = torch.sigmoid(self.depth_head(features).float())
        return math.log(self.min_depth) + position * math.log(self.max_depth / self.min_depth)

    def canonical_depth(self, images: Tensor) -> Tensor:
        """Compute (B, H, W) metres at focal_canonical of (B, H, W, 3) uint8 images as the teacher sees them."""
        return torch.exp(upsample(self._log_depth(self._decode(_signed(images))[0]))[:, 0])

    def forward(self, images: Tensor, size: tuple[int, int] | None = None) -> TeacherOutput:
        height, width = student_size(images, size)
        own_size = (ENLARGEMENT * height, ENLARGEMENT * width)  # images of another size are resized to it
        finest, *maps = self._decode(resize(_signed(images), own_size))
        relative = F.avg_pool2d(torch.exp(-self._log_depth(finest)), 2)[:, 0]
        pyramid: Pyramid = tuple(level.float() for level in maps)
        return TeacherOutput(pyramid, normalised(relative))


def _signed(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1], as the encoder takes it."""
    return images.permute(0, 3, 1, 2).to(torch.float32) * (2 / 255) - 1
