"""Defines what every teacher gives, and nothing of how it makes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fsmde_core.errors import FsmdeError
from fsmde_training.networks.decoder import Pyramid

STRIDES = (4, 8, 16, 32)


class TeacherOutput(NamedTuple):
    """Holds features and depth of B images that the student sees at H x W.

    pyramid: (B, channels[l], H/s, W/s) float32, s = 4, 8, 16, 32.
    relative: (B, H/4, W/4) float32 relative inverse depth, larger is nearer; per view its median is 0 and its mean
        absolute deviation 1, so that no metric scale passes from teacher to student.
    """

    pyramid: Pyramid
    relative: Tensor


class Teacher(nn.Module, ABC):
    """Is the base of all teachers. `channels` are those of the pyramid's maps, fine to coarse."""

    channels: tuple[int, ...]

    def __init__(self) -> None:
        super().__init__()
        self._frozen = False

    @abstractmethod
    def forward(self, images: Tensor, size: tuple[int, int] | None = None) -> TeacherOutput:
        """Compute features and relative inverse depth.

        Args:
            images: (B, h, w, 3) uint8 RGB; larger than `size` they let the teacher see more than the student does.
            size: (H, W) of the student's image, multiples of 32; None for that of `images`.

        Returns:
            The output at the student's size.
        """

    def freeze(self) -> Teacher:
        """Switch to evaluation mode for good, without gradients to the weights."""
        self._frozen = True
        return self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Teacher:
        """Switch to training, unless frozen: then the mode stays, inside any module."""
        return super().train(mode and not self._frozen)


def student_size(images: Tensor, size: tuple[int, int] | None) -> tuple[int, int]:
    height, width = size or (images.shape[1], images.shape[2])
    if height % STRIDES[-1] or width % STRIDES[-1]:
        raise FsmdeError(f"the student's image is {width}x{height}; width and height must be multiples of 32")
    return height, width


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps bilinearly; those that shrink are low-pass filtered.

    Args:
        maps: (B, C, h, w) float.
        size: The new (height, width).

    Returns:
        (B, C, *size).
    """
    shrinks = maps.shape[2] > size[0] or maps.shape[3] > size[1]
    return F.interpolate(maps, size, mode="bilinear", align_corners=False, antialias=shrinks)


def normalised(inverse_depth: Tensor) -> Tensor:
    """Scale and shift (B, h, w) inverse depth to median 0 and mean absolute deviation 1 per view.

    This is the normalisation of Ranftl et al. (MiDaS, 2022). A constant view gives 0.
    """
    flat = inverse_depth.float().flatten(1)
    shifted = flat - flat.median(dim=1, keepdim=True).values
    deviation = shifted.abs().mean(dim=1, keepdim=True)
    return (shifted / deviation.clamp_min(torch.finfo(torch.float32).tiny)).view_as(inverse_depth)
