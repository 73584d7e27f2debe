"""Frame in, result out: preprocessing, inference and cloud, for the node, the replay and the benchmark alike."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds.packer import CloudPacker, CloudSettings, PackedCloud
from fsmde_core.engines.base import Engine
from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import AnyImage
from fsmde_core.images.rectify import Preprocessor, RectifiedImage
from fsmde_core.rig.rig import Camera, Rig


@dataclass(frozen=True, eq=False)
class DepthSet:
    """Depth of one set of images. cameras: rectified, at the depth's size; names: theirs.

    rgb: (N, H, W, 3) uint8, the network's input. depth, sigma: (N, H, W) float32 metres; depth is NaN where a rectified
    pixel looks past the edge of its image. The arrays are buffers of the pipeline: valid until its next inference.
    stage_ms: milliseconds of `infer`, of its parts `gpu_*` where a GPU measured them, and of `preprocess` where `run`
    did that too.
    """

    names: tuple[str, ...]
    cameras: tuple[Camera, ...]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]
    stage_ms: dict[str, float]


class _OfCamera(Protocol):
    """An image that a pipeline has taken; camera: rectified, at the network's size. A dataclass."""

    @property
    def camera(self) -> Camera: ...


Rectified = TypeVar("Rectified", bound=_OfCamera)


class AnyPipeline(ABC, Generic[Rectified]):
    """Images of any subset of a rig's cameras to their depth; a missing camera is simply not in the batch.

    `rectify` and `rectify_all` may be called by any thread, as images arrive; the other methods by one at a time.
    threads: that `run` rectifies with, 0 for one per CPU core that this process may use.
    """

    def __init__(self, engine: Engine, threads: int = 0) -> None:
        self.engine = engine
        self._preprocessor = Preprocessor(engine.info.width, engine.info.height)
        self._packer = CloudPacker(CloudSettings())
        self._pool = ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)), thread_name_prefix="preprocess")

    @abstractmethod
    def warm_up(self, cameras: int) -> None:
        """Run on `cameras` to 1 black images: engines compile or allocate for a number of cameras when they first meet
        it, and that must not happen in the moment in which a camera drops out.
        """

    @abstractmethod
    def rectify(self, image: AnyImage, camera: Camera) -> Rectified:
        """`image` on its way to the network, as the rectified `camera` sees it.

        FsmdeError when it is not of the camera's calibrated size, or does not decode.
        """

    @abstractmethod
    def infer(self, images: Sequence[Rectified]) -> DepthSet:
        """Depth of at least one rectified image, in one batch."""

    def packer(self, settings: CloudSettings) -> CloudPacker:
        """Of these settings; the same one until others are asked for."""
        if self._packer.settings != settings:
            self._packer = CloudPacker(settings)
        return self._packer

    def pack(self, result: DepthSet, settings: CloudSettings) -> PackedCloud:
        """The fused cloud of the last `infer`, see `CloudPacker.pack`. The data are valid until the next `pack`."""
        return self.packer(settings).pack(result.cameras, result.rgb, result.depth, result.sigma)

    def placed(self, image: Rectified, camera: Camera) -> Rectified:
        """`image` on the mount that `camera` has now; as it is where the intrinsics have changed since."""
        target = self._preprocessor.target(camera)
        moved: Any = image
        return replace(moved, camera=target) if np.array_equal(target.K, image.camera.K) else image

    def run(self, images: Mapping[str, AnyImage], rig: Rig) -> DepthSet:
        """Depth of the cameras of `rig` that are in `images`, in ring order; for errors see `rectify_all`."""
        rectified, preprocess_ms = self.rectify_all(images, rig)
        result = self.infer(rectified)
        return replace(result, stage_ms={"preprocess": preprocess_ms, **result.stage_ms})

    def rectify_all(self, images: Mapping[str, AnyImage], rig: Rig) -> tuple[list[Rectified], float]:
        """The cameras of `rig` that are in `images`, in ring order, and the milliseconds that it took.

        Raises FsmdeError when an image is not of its camera's calibrated size or of no camera of the rig.
        """
        unknown = sorted(set(images) - set(rig.names))
        if unknown or not images:
            raise FsmdeError(f"images of {unknown or 'no camera'} given, the rig has {list(rig.names)}")
        start = time.perf_counter()
        cameras = [camera for camera in rig.cameras if camera.name in images]
        rectified = list(self._pool.map(lambda camera: self.rectify(images[camera.name], camera), cameras))
        return rectified, 1e3 * (time.perf_counter() - start)

    def close(self) -> None:
        """Release the engine and the worker threads."""
        self.engine.close()
        self._pool.shutdown()


class Pipeline(AnyPipeline[RectifiedImage]):
    """Preprocessing and packing on the CPU, for every engine."""

    def __init__(self, engine: Engine, threads: int = 0) -> None:
        super().__init__(engine, threads)
        self._rgb = np.zeros((0, engine.info.height, engine.info.width, 3), np.uint8)

    def warm_up(self, cameras: int) -> None:
        """See `AnyPipeline.warm_up`."""
        info = self.engine.info
        for count in range(cameras, 0, -1):
            images = np.zeros((count, info.height, info.width, 3), np.uint8)
            self.engine.infer(images, np.full(count, info.focal_canonical, np.float32))

    def rectify(self, image: AnyImage, camera: Camera) -> RectifiedImage:
        """See `Preprocessor.rectify`."""
        return self._preprocessor.rectify(image, camera)

    def infer(self, images: Sequence[RectifiedImage]) -> DepthSet:
        """See `AnyPipeline.infer`."""
        start = time.perf_counter()
        cameras = tuple(image.camera for image in images)
        if len(images) > len(self._rgb):
            self._rgb = np.empty((len(images), *self._rgb.shape[1:]), np.uint8)
        rgb = np.stack([image.rgb for image in images], out=self._rgb[: len(images)])
        result = self.engine.infer(rgb, np.array([camera.fx for camera in cameras], np.float32))
        depth = _without_outside(result.depth, images)
        stage_ms = {"infer": 1e3 * (time.perf_counter() - start)}
        return DepthSet(tuple(c.name for c in cameras), cameras, rgb, depth, result.sigma, stage_ms)


def _without_outside(depth: NDArray[np.float32], images: Sequence[RectifiedImage]) -> NDArray[np.float32]:
    """(N, H, W) depth with NaN where an image has nothing; the array itself where that is nowhere."""
    if all(image.outside is None for image in images):
        return depth
    nowhere = np.zeros(depth.shape[1:], bool)
    outside = np.stack([nowhere if image.outside is None else image.outside for image in images])
    return np.where(outside, np.float32("nan"), depth)
