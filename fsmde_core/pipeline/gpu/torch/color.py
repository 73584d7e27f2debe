"""Converts raw camera pixels to RGB in torch, as `fsmde_core.images.encodings.to_rgb` does with OpenCV.

Colour that neighbours share is rounded to whole numbers, as the CPU's is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fsmde_core.images.encodings import PixelLayout, find_encoding


def rgb_planes(pixels: Tensor, encoding: str) -> Tensor:
    # (H, W, C) uint8, with YUV420 (3/2 H, W, 1), rows any number of bytes apart -> (3, H, W) float32, 0 to 255.
    described = find_encoding(encoding)
    if described.layout is PixelLayout.YUV422:
        return _from_yuv422(pixels.to(torch.float32), *described.positions)
    if described.layout is PixelLayout.YUV420:
        return _from_yuv420(pixels[..., 0].to(torch.float32), *described.positions[1:])
    if described.layout is PixelLayout.BAYER:
        return _from_bayer(pixels[..., 0].to(torch.float32), described.pattern)
    if described.to_rgb is None:
        return pixels.permute(2, 0, 1).to(torch.float32)
    return torch.stack([pixels[..., channel] for channel in described.positions]).to(torch.float32)


def _from_yuv422(pixels: Tensor, y_at: int, u_at: int, v_at: int) -> Tensor:
    height, width, _ = pixels.shape
    pairs = pixels.reshape(height, width // 2, 4)
    rgb = _from_yuv(pairs[..., y_at::2], pairs[..., u_at, None], pairs[..., v_at, None])
    return rgb.reshape(3, height, width)


def _from_yuv420(rows: Tensor, u_at: int, v_at: int) -> Tensor:
    height, width = rows.shape[0] * 2 // 3, rows.shape[1]
    luma = rows[:height].reshape(height // 2, 2, width // 2, 2)
    colour = rows[height:].reshape(height // 2, 1, width // 2, 1, 2)
    return _from_yuv(luma, colour[..., u_at], colour[..., v_at]).reshape(3, height, width)


def _from_yuv(luma: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Convert by BT.601, studio range: luma 16 to 235; the result has the shape of `luma` behind its three colours."""
    y, u, v = 1.164 * torch.clamp(luma - 16, min=0), u - 128, v - 128
    return _round(torch.stack([y + 1.596 * v, y - 0.391 * u - 0.813 * v, y + 2.018 * u])).clamp(0, 255)


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
