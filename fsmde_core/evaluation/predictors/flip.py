"""Flip averaging: the model sees each image and its mirror image, and the two depths are combined."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGE, RAMP = 0.05, 0.05
"""Shares of the width: the strip at either border that one of the two predictions has alone, and the way out of it."""


def average_flipped(
    depth: NDArray[np.float32],
    sigma: NDArray[np.float32],
    mirrored_depth: NDArray[np.float32],
    mirrored_sigma: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, H, W) float32 depth and sigma, metres, of images and of their mirror images (these as predicted: mirrored).

    Means of inverse depth, as SurroundDepth (Wei et al. 2022) takes them at test time, after Godard et al. 2017: at the
    left border only the mirrored prediction counts and at the right one only the plain one. sigma over depth is
    averaged with the same weights.
    """
    share = _mirrored_share(depth.shape[-1])
    other, other_sigma = mirrored_depth[..., ::-1], mirrored_sigma[..., ::-1]
    combined = np.reciprocal((1 - share) / depth + share / other)
    return combined, combined * ((1 - share) * sigma / depth + share * other_sigma / other)


def _mirrored_share(width: int) -> NDArray[np.float32]:
    """(W,) weight of the mirrored prediction: 1 at the left border, 1/2 inside, 0 at the right border."""
    place = np.linspace(0, 1, width, dtype=np.float32)
    left, right = (1 - np.clip((x - EDGE) / RAMP, 0, 1) for x in (place, place[::-1]))
    return ((1 + left - right) / 2).astype(np.float32)
