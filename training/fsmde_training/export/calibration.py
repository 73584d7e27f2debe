"""Loads images to calibrate a quantisation with, and labelled images of the same recording that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.sources import KINDS, open_source
from fsmde_core.sources.source import Source
from fsmde_training.sets import cache
from fsmde_training.sets.cache import TrainingSet
from fsmde_training.sets.labels import SweptFrame, label_ring

IMAGES = 60
"""At most about so many calibrate, evenly spread. Our choice."""
HELD_OUT_SHARE = 0.2
"""The end of a recording does not calibrate: frames 40-49 of the PandaSet sample."""


class CalibrationData(NamedTuple):
    """Holds images (M, H, W, 3) uint8, focal (M,) float32 pixels, and labelled images if there are any."""

    images: np.ndarray
    focal: np.ndarray
    held_out: TrainingSet | None


def load_calibration(place: str, size: tuple[int, int]) -> CalibrationData:
    """Load images of a cached training set or of a recording.

    Args:
        place: A folder that `fsmde_training.sets.cache` wrote, `KIND` for that kind's sample recording, `KIND:ROOT`, or
            the path of a bag.
        size: (height, width) of the images, pixels.

    Returns:
        The images. Raises FsmdeError where there are none.
    """
    if cache.is_complete(Path(place)):
        return _from_set(cache.load(Path(place)), size)
    kind, _, root = place.partition(":") if place.partition(":")[0] in KINDS else ("rosbag", "", place)
    try:
        source = open_source(kind, root or None)
    except FsmdeError as error:
        raise FsmdeError(
            f"no calibration images in '{place}': {error}; give a training set, KIND or KIND:ROOT"
        ) from error
    return _from_recording(source, size)


def _split(count: int) -> int:
    """Count the frames or images before the held-out ones: all of them where they are fewer than 5."""
    return count - int(HELD_OUT_SHARE * count)


def _spread(count: int, wanted: int) -> list[int]:
    """Choose at most `wanted` of the indices 0 to count - 1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist()


def _from_recording(source: Source, size: tuple[int, int]) -> CalibrationData:
    split = _split(len(source))
    frames = _spread(split, -(-IMAGES // len(source.rig.cameras)))
    samples = [sample for index in frames for sample in _samples(source.frames(index, index + 1), size)]
    if not samples:
        raise FsmdeError(f"the recording {source.name} has no image to calibrate with; give another")
    images, _, focal = _stacked(samples)
    rest = source.frames(split, len(source))
    labelled = list(_samples((frame for frame in rest if frame.lidar is not None or frame.depth), size))
    return CalibrationData(images, focal, TrainingSet(*_stacked(labelled)) if labelled else None)


def _samples(frames: Iterable[Frame], size: tuple[int, int]) -> Iterator[cache.Sample]:
    # As the node gives them to the network, with the depth of the frame's own sweep.
    for frame in frames:
        sweeps = () if frame.lidar is None else (frame.lidar,)
        yield from label_ring(SweptFrame(frame, sweeps), width=size[1], height=size[0], sky=False)


def _from_set(views: TrainingSet, size: tuple[int, int]) -> CalibrationData:
    split = _split(len(views))
    chosen = _resized(views, _spread(split, IMAGES), size)
    labelled = [split + i for i in _spread(len(views) - split, IMAGES)] if split < len(views) else []
    return CalibrationData(chosen.images, chosen.focal, _resized(views, labelled, size) if labelled else None)


def _resized(views: TrainingSet, indices: list[int], size: tuple[int, int]) -> TrainingSet:
    """Scale some images to the network's size; depth by nearest neighbour, focal length with the width."""
    height, width = size
    samples = [
        (
            cv2.resize(views.images[i], (width, height), interpolation=cv2.INTER_AREA),
            cv2.resize(views.depth[i].astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST),
            views.focal[i] * width / views.images.shape[2],
        )
        for i in indices
    ]
    return TrainingSet(*_stacked(samples))


def _stacked(samples: Iterable[tuple]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images, depth, focal = zip(*samples, strict=True)
    return np.stack(images), np.stack(depth), np.array(focal, np.float32)
