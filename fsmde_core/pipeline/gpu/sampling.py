"""Converts the CPU's rectification of a camera to the look-up that a GPU backend works with."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fsmde_core.images.rectify import RectifyMaps
from fsmde_core.pipeline.gpu.backend import Sampling

_FRACTIONS = 32
"""Steps per pixel of OpenCV's fixed-point maps."""


@lru_cache(maxsize=64)
def sampling_from_maps(rectify: RectifyMaps, width: int, height: int, halved: bool) -> Sampling:
    """Convert the CPU's look-up for one calibration to the same look-up of a GPU backend; cached.

    Args:
        rectify: The CPU's look-up.
        width, height: Pixels of the image that is uploaded.
        halved: Whether the decoder has done the first halving; width and height are those after it.

    Returns:
        One object per calibration.
    """
    whole_size = (width << halved, height << halved)
    maps = _resize_maps(rectify, *whole_size) if rectify.maps is None else _decode_maps(*rectify.maps)
    return Sampling(rectify.halvings - halved, rectify.supersample, maps, rectify.outside)


def _decode_maps(whole: NDArray[np.int16], fraction: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Convert OpenCV's maps to pixels: (h, w, 2) whole ones, (h, w) 1/32 in x and, above its five bits, in y."""
    rest = np.stack([fraction % _FRACTIONS, fraction // _FRACTIONS], axis=-1)
    return (whole + rest / np.float32(_FRACTIONS)).astype(np.float32)


def _resize_maps(rectify: RectifyMaps, width: int, height: int) -> NDArray[np.float32]:
    """Compute the centres of the grid's pixels in an image of width x height after its halvings."""
    columns, rows = (
        (np.arange(count) + 0.5) * (size >> rectify.halvings) / count - 0.5
        for count, size in zip(rectify.grid, (width, height), strict=True)
    )
    return np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float32)
