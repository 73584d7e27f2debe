"""Draws depth and its standard deviation in colours, fast enough for every frame."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NEAR_M, FAR_M = 2.0, 80.0  # ends of the scale of depths
DEPTH_TICKS_M = (2, 3, 5, 10, 20, 40, 80)
SURE_M, UNSURE_M = 0.1, 10.0  # ends of the scale of standard deviations
NO_VALUE_RGB = (0x2A, 0x2E, 0x35)

_STEPS = np.arange(256, dtype=np.uint8)[:, None]
_COLD_TO_WARM = np.asarray(cv2.applyColorMap(_STEPS, cv2.COLORMAP_TURBO)[:, 0, ::-1], np.uint8)
_WARM_TO_COLD = np.ascontiguousarray(_COLD_TO_WARM[::-1])


def depth_rgb(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour depths (*) float32 metres as (*, 3) uint8 RGB: logarithmic from 2 to 80 m, near warm and far cold.

    Dark grey where there is no depth. The colours are those of `views.matplotlib`, which this does without.
    """
    return _logarithmic(depth, NEAR_M, FAR_M, _WARM_TO_COLD)


def sigma_rgb(sigma: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour standard deviations (*) float32 metres as (*, 3) uint8 RGB: 0.1 m and less cold, 10 m and more warm."""
    return _logarithmic(sigma, SURE_M, UNSURE_M, _COLD_TO_WARM)


def _logarithmic(values: NDArray[np.float32], low: float, high: float, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    known = values > 0  # False for NaN
    fraction = np.log(np.where(known, values, 1) / np.float32(low)) * np.float32(1 / np.log(high / low))
    colors = table.take(np.clip(256 * fraction, 0, 255).astype(np.uint8), axis=0)
    colors[~known] = NO_VALUE_RGB
    return colors
