"""Obvious sky in real images: a cautious label where lidar has none, so that sky is never learnt as something near."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BRIGHTEST_SHARE = 0.7
"""Sky has at least so much of the blue of the image's brightest percent. Our choice: on the sample recordings sky has
from 0.75 on, facades that were taken for it have up to 0.65.
"""


def sky_mask(rgb: NDArray[np.uint8], depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """rgb: (H, W, 3) uint8; depth: (H, W) lidar metres, NaN where no point -> (H, W) bool.

    Sky is what hangs together with the top of the image, is smooth, bluish, bright for its image, and lies above every
    lidar return of its columns. Misses are fine: the rest stays unlabelled. A bright bluish facade above the lidar's
    field of view passes for sky.
    """
    height, width = depth.shape
    r, g, b = (cv2.GaussianBlur(rgb, (5, 5), 0)[..., i].astype(np.float32) for i in range(3))
    texture = cv2.dilate(cv2.morphologyEx(rgb.max(2), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), np.ones((3, 3)))
    bright = b > max(70.0, BRIGHTEST_SHARE * float(np.percentile(b, 99)))
    candidate = (b > 1.03 * r) & (b > 0.98 * g) & bright & (texture < 14)
    hit = cv2.dilate(np.isfinite(depth).astype(np.uint8), np.ones((5, 15), np.uint8)) > 0
    candidate &= ~np.maximum.accumulate(hit, axis=0)
    count, labels = cv2.connectedComponents(candidate.astype(np.uint8), connectivity=4)
    at_top = np.isin(np.arange(count), labels[:3]) & (
        np.bincount(labels.ravel(), minlength=count) > 0.005 * height * width
    )
    at_top[0] = False
    return at_top[labels]
