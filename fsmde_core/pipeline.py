"""Frame in, result out: preprocessing and inference, for the node, the replay and the benchmark alike."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsmde_core.encodings import RawImage
from fsmde_core.engines.base import Engine
from fsmde_core.preprocess import Preprocessor
from fsmde_core.rig import Camera, Rig


@dataclass(frozen=True, eq=False)
class SurroundDepth:
    """Depth of one set of images. names and cameras follow the ring; cameras are rectified, at the depth's size.

    rgb: (N, H, W, 3) uint8, the network's input. depth, sigma: (N, H, W) float32 metres; depth is NaN where a rectified
    pixel looks past the edge of its image. The arrays are buffers of the pipeline: valid until its next `run`.
    stage_ms: milliseconds of `preprocess` and `infer`.
    """

    names: tuple[str, ...]
    cameras: tuple[Camera, ...]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]
    stage_ms: dict[str, float]


class Pipeline:
    """Images of any subset of a rig's cameras to their depth; a missing camera is simply not in the batch.

    The preprocessor's size must be the engine's: `Preprocessor(engine.info.width, engine.info.height)`.
    Not thread-safe: one caller at a time.
    """

    def __init__(self, engine: Engine, preprocessor: Preprocessor) -> None:
        self.engine = engine
        self.preprocessor = preprocessor

    def warm_up(self, cameras: int) -> None:
        """Run on 1 to `cameras` black images: engines compile or allocate for a number of cameras when they first meet
        it, and that must not happen in the moment in which a camera drops out.
        """
        info = self.engine.info
        for count in range(1, cameras + 1):
            images = np.zeros((count, info.height, info.width, 3), np.uint8)
            self.engine.infer(images, np.full(count, info.focal_canonical, np.float32))

    def run(self, images: Mapping[str, RawImage], rig: Rig) -> SurroundDepth:
        """Depth of the cameras in `images`; raises FsmdeError for images that do not belong to `rig`."""
        start = time.perf_counter()
        batch = self.preprocessor.run(images, rig)
        prepared = time.perf_counter()
        result = self.engine.infer(batch.rgb, batch.focal)
        depth = result.depth if batch.outside is None else np.where(batch.outside, np.float32("nan"), result.depth)
        inferred = time.perf_counter()
        stage_ms = {"preprocess": 1e3 * (prepared - start), "infer": 1e3 * (inferred - prepared)}
        return SurroundDepth(batch.names, batch.cameras, batch.rgb, depth, result.sigma, stage_ms)

    def close(self) -> None:
        """Release the engine and the worker threads."""
        self.engine.close()
        self.preprocessor.close()
