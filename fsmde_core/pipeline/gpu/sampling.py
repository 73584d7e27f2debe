"""The CPU's rectification of a camera as the look-up that a GPU backend works with."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fsmde_core.images.rectify import RectifyMaps
from fsmde_core.pipeline.gpu.backend import Sampling

_FRACTIONS = 32
"""Steps per pixel of OpenCV's fixed-point maps."""


@lru_cache(maxsize=64)
def sampling(way: RectifyMaps, width: int, height: int, halved: bool) -> Sampling:
    """The same look-up as `way`, from an image of width x height pixels; one object per calibration.

    halved: the image has its first halving behind it, and width and height are those after it.
    """
    first = _first(way, width << halved, height << halved)
    return replace(first, halvings=first.halvings - 1) if halved else first


def _first(way: RectifyMaps, width: int, height: int) -> Sampling:
    """From the whole image."""
    maps = _resize_maps(way, width, height) if way.maps is None else _decoded_maps(*way.maps)
    return Sampling(way.halvings, way.supersample, maps, way.outside)


def _decoded_maps(whole: NDArray[np.int16], fraction: NDArray[np.uint16]) -> NDArray[np.float32]:
    """OpenCV's fixed-point maps as pixels: (h, w, 2) whole ones, (h, w) of the rest in x and, above it, in y."""
    rest = np.stack([fraction % _FRACTIONS, fraction // _FRACTIONS], axis=-1)
    return (whole + rest / np.float32(_FRACTIONS)).astype(np.float32)


def _resize_maps(way: RectifyMaps, width: int, height: int) -> NDArray[np.float32]:
    """Centres of the pixels of the grid in an image of width x height after its halvings."""
    columns, rows = (
        (np.arange(count) + 0.5) * (size >> way.halvings) / count - 0.5
        for count, size in zip(way.grid, (width, height), strict=True)
    )
    return np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float32)
