"""Training images on disk: rectified once as the node does it, stored as arrays that map into memory.

A folder per set: images.npy (M, H, W, 3) uint8 RGB, depth.npy (M, H, W) float16 metres (NaN unknown, inf sky),
focal.npy (M,) float32 pixels at W. Larger than the network's input, so that zooming in stays sharp.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.lidar import depth_map
from fsmde_core.preprocess import rectify_rgb
from fsmde_core.rig import Camera
from fsmde_training.sky import sky_mask

OCCLUSION_WINDOW = 11
OCCLUSION_RATIO = 1.5


@dataclass(frozen=True, eq=False)
class ImageSet:
    """images: (M, H, W, 3) uint8; depth: (M, H, W) float16 metres, NaN unknown, inf sky; focal: (M,) float32 pixels."""

    images: NDArray[np.uint8]
    depth: NDArray[np.float16]
    focal: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.focal)


def load(folder: Path) -> ImageSet:
    """Map a cached set into memory; FsmdeError when it is not there."""
    try:
        return ImageSet(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "depth", "focal")))
    except OSError as error:
        raise FsmdeError(f"no training set in {folder}; make it with 'python -m fsmde_training.prepare'") from error


def save(folder: Path, samples: Iterable[tuple[NDArray, NDArray, float]], count: int, width: int, height: int) -> None:
    """Write `count` samples (rgb, depth, focal) as one set; the focal file comes last and marks the set as complete."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "focal.npy").unlink(missing_ok=True)
    open_array = np.lib.format.open_memmap
    images = open_array(folder / "images.npy", "w+", np.uint8, (count, height, width, 3))
    depth = open_array(folder / "depth.npy", "w+", np.float16, (count, height, width))
    focal = np.empty(count, np.float32)
    for index, sample in enumerate(samples):
        images[index], depth[index], focal[index] = sample
    images.flush()
    depth.flush()
    np.save(folder / "focal.npy", focal)


def lidar_samples(
    frames: Sequence[Frame], width: int, height: int, sky: bool = True
) -> Iterator[tuple[NDArray, NDArray, float]]:
    """Every image of consecutive `frames` with the depth of the frame's own sweep, else of the sweeps next to it.

    Images that no sweep can label come out without a valid pixel. sky: label obvious sky as infinitely far.
    """
    for index, frame in enumerate(frames):
        beside = [frame] if frame.lidar is not None else list(frames[max(index - 1, 0) : index + 2])
        sweeps = [other.lidar for other in beside if other.lidar is not None]
        for name in frame.images:
            target = frame.rig[name].rectified(width, height)
            rgb = rectify_rgb(frame.images[name].rgb(), frame.rig[name], width, height)
            maps = [depth_map(replace(frame, lidar=sweep), name, width, height) for sweep in sweeps]
            depth = visible(np.fmin.reduce(maps))
            if sky:
                depth[sky_mask(rgb, depth)] = np.inf
            yield rgb, depth.astype(np.float16), target.fx


def dense_samples(frames: Iterable[Frame], width: int, height: int) -> Iterator[tuple[NDArray, NDArray, float]]:
    """Every image of synthetic `frames` with its exact depth; what has none is sky."""
    for frame in frames:
        for name, image in frame.images.items():
            camera: Camera = frame.rig[name]
            if (camera.width, camera.height) != (width, height) or camera.is_distorted:
                raise FsmdeError(f"camera '{name}': render training images without distortion at {width}x{height}")
            depth = frame.depth[name]
            yield image.rgb(), np.where(np.isnan(depth), np.inf, depth).astype(np.float16), camera.fx


def visible(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) sparse lidar depth without the points that a nearer neighbour hides from the camera.

    The lidar sits above the cameras and sees over things; such points land inside what stands before them. Dropped is
    what lies beyond 1.5 times the nearest depth within 5 pixels.
    """
    filled = np.where(np.isnan(depth), np.float32(np.inf), depth)
    nearest = cv2.erode(filled, np.ones((OCCLUSION_WINDOW, OCCLUSION_WINDOW), np.uint8))
    return np.where(depth / OCCLUSION_RATIO > nearest, np.float32(np.nan), depth)
