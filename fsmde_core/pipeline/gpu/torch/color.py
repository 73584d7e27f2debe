"""Converts raw camera pixels to RGB in torch, as `fsmde_core.images.encodings.to_rgb` does with OpenCV.

Colour that neighbours share is rounded to whole numbers, as the CPU's is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fsmde_core.images.encodings import PixelLayout, find_encoding


def rgb_planes(pixels: Tensor, encoding: str) -> Tensor:
    # (H, W, C) uint8, rows any number of bytes apart -> (3, H, W) float32, 0 to 255.
    described = find_encoding(encoding)
    if described.layout is PixelLayout.YUV422:
        return _from_yuv(pixels.to(torch.float32), *described.positions)
    if described.layout is PixelLayout.BAYER:
        return _from_bayer(pixels[..., 0].to(torch.float32), described.pattern)
    if described.to_rgb is None:
        return pixels.permute(2, 0, 1).to(torch.float32)
    return torch.stack([pixels[..., channel] for channel in described.positions]).to(torch.float32)


def _from_yuv(pixels: Tensor, y_at: int, u_at: int, v_at: int) -> Tensor:
    """Convert by BT.601, studio range: luma 16 to 235."""
    height, width, _ = pixels.shape
    pairs = pixels.reshape(height, width // 2, 4)
    y = 1.164 * torch.clamp(pairs[..., y_at::2] - 16, min=0)
    u, v = pairs[..., u_at, None] - 128, pairs[..., v_at, None] - 128
    rgb = torch.stack([y + 1.596 * v, y - 0.391 * u - 0.813 * v, y + 2.018 * u])
    return _round(rgb.reshape(3, height, width)).clamp(0, 255)


def _from_bayer(mosaic: Tensor, pattern: str) -> Tensor:
    """Interpolate bilinearly: what a pixel lacks is the mean of its two or four nearest neighbours that have it.

    The outermost pixels repeat the next ones. mosaic: (H, W) float32. pattern: colours of the first two rows' first two
    pixels, e.g. `rggb`.
    """
    centre, up, down = mosaic[1:-1, 1:-1], mosaic[:-2, 1:-1], mosaic[2:, 1:-1]
    left, right = mosaic[1:-1, :-2], mosaic[1:-1, 2:]
    along, across = (left + right) / 2, (up + down) / 2
    beside = (left + right + up + down) / 4
    diagonal = (mosaic[:-2, :-2] + mosaic[:-2, 2:] + mosaic[2:, :-2] + mosaic[2:, 2:]) / 4
    rgb = mosaic.new_empty((3, *centre.shape))
    for row in (0, 1):
        for column in (0, 1):
            # The interior begins at pixel (1, 1).
            here = pattern[2 * ((row + 1) % 2) + (column + 1) % 2]
            neighbour = pattern[2 * ((row + 1) % 2) + column]
            if here == "g":
                red, green, blue = (along, centre, across) if neighbour == "r" else (across, centre, along)
            else:
                red, green, blue = (centre, beside, diagonal) if here == "r" else (diagonal, beside, centre)
            for plane, values in zip(rgb, (red, green, blue), strict=True):
                plane[row::2, column::2] = values[row::2, column::2]
    return F.pad(_round(rgb)[None], (1, 1, 1, 1), mode="replicate")[0]


def _round(values: Tensor) -> Tensor:
    """Round to the nearest whole numbers, halves up."""
    return torch.floor(values + 0.5)
