"""Varies single views in training, and mirrors whole rings. Pure functions; randomness comes in as a generator."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


@dataclass(frozen=True)
class Augmentation:
    """Describes how views are varied in training.

    zoom: Range of the focal length relative to the network's input; a zoom resizes the image and leaves metres alone.
    aspect: Largest relative change of width against height.
    flip: Probability of a mirror image.
    colour: Strength of changes of saturation, white balance, exposure, contrast and gamma (0 none, 1 strong).
    damage: Probability of each of blur, sensor noise and JPEG artefacts.
    """

    zoom: tuple[float, float] = (0.75, 1.6)
    aspect: float = 0.08
    flip: float = 0.5
    colour: float = 1.0
    damage: float = 0.25


def crop_zoom(
    rgb: NDArray[np.uint8],
    depth: NDArray[np.floating],
    focal: float,
    zoom: tuple[float, float],  # in x and y; metres stay, the focal length is multiplied by that of x
    size: tuple[int, int],  # (height, width) of the piece
    rng: Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
    rows, columns = rgb.shape[:2]
    height, width = (min(round(n / z), limit) for n, z, limit in zip(size, zoom[::-1], (rows, columns), strict=True))
    top, left = rng.integers(rows - height + 1), rng.integers(columns - width + 1)
    piece = (slice(top, top + height), slice(left, left + width))
    method = cv2.INTER_AREA if width > size[1] else cv2.INTER_LINEAR
    out = cv2.resize(rgb[piece], size[::-1], interpolation=method)
    nearest = cv2.resize(depth[piece].astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return out, nearest, focal * size[1] / width  # type: ignore[return-value]


def jitter_colour(rgb: NDArray[np.uint8], strength: float, rng: Generator) -> NDArray[np.uint8]:
    """Vary saturation, white balance, exposure, contrast and gamma at random.

    Args:
        rgb: (H, W, 3) uint8.
        strength: 0 for no change, 1 for strong changes.
        rng: Draws the changes.

    Returns:
        (H, W, 3) uint8.
    """
    saturation = 0.0 if rng.random() < 0.05 * strength else np.exp(strength * rng.uniform(-0.5, 0.4))
    gain = np.exp(strength * (rng.uniform(-0.35, 0.35) + rng.uniform(-0.12, 0.12, 3)))
    contrast, gamma = np.exp(strength * rng.uniform(-0.3, 0.3)), np.exp(strength * rng.uniform(-0.4, 0.4))
    mix = contrast * gain[:, None] * (saturation * np.eye(3) + (1 - saturation) / 3)
    offset = (1 - contrast) * float(rgb[::4, ::4].mean())
    rgb = cv2.transform(rgb, np.column_stack([mix, np.full(3, offset)]))  # type: ignore[assignment]
    curve = 255 * (np.arange(256) / 255) ** gamma
    return cv2.LUT(rgb, curve.round().astype(np.uint8))  # type: ignore[return-value]


def damage(rgb: NDArray[np.uint8], probability: float, rng: Generator) -> NDArray[np.uint8]:
    if rng.random() < probability:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.3, 1.2))  # type: ignore[assignment]
    if rng.random() < probability:
        noise = rng.uniform(1, 8) * rng.standard_normal(rgb.shape, dtype=np.float32)
        rgb = cv2.add(rgb, noise, dtype=cv2.CV_8U)  # type: ignore[assignment]
    if rng.random() < probability:
        _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        rgb = cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return rgb


def augment(
    rgb: NDArray[np.uint8],
    depth: NDArray[np.floating],
    focal: float,
    settings: Augmentation,
    size: tuple[int, int],
    network_scale: float,  # width of the network's input over that of `rgb`
    rng: Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
    zoom = network_scale * np.exp(rng.uniform(*np.log(settings.zoom)))
    stretch = 1 + rng.uniform(-settings.aspect, settings.aspect)
    rgb, depth, focal = crop_zoom(rgb, depth, focal, (zoom * stretch, zoom), size, rng)
    if rng.random() < settings.flip:
        rgb, depth = rgb[:, ::-1], depth[:, ::-1]
    rgb = damage(jitter_colour(rgb, settings.colour, rng), settings.damage, rng)
    return np.ascontiguousarray(rgb), np.ascontiguousarray(depth, dtype=np.float32), focal


def flip_ring(views: NDArray) -> NDArray:
    """Make of a ring, (V, H, W) or (V, H, W, C) in ring order, what the mirrored world would give.

    Every view is mirrored and the ring runs the other way: the first view (front) stays first, the view to its right
    becomes the view to its left, and so on around. Neighbours stay neighbours.
    """
    return np.concatenate([views[:1], views[:0:-1]])[:, :, ::-1]
