"""Turns a frame into depth and a cloud, for the node, the replay and the benchmark alike."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

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
    """Holds the depth of one set of images; the arrays are buffers of the pipeline, valid until its next inference.

    cameras: rectified, at the depth's size; names: theirs. rgb: (N, H, W, 3) uint8, the network's input. depth, sigma:
    (N, H, W) float32 metres; depth is NaN where a rectified pixel looks past the edge of its image.
    stage_ms: milliseconds of `infer`, of its parts `gpu_*` where a GPU measured them, and of `preprocess` where `run`
    did that too.
    """

    names: tuple[str, ...]
    cameras: tuple[Camera, ...]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]
    stage_ms: dict[str, float]


class _HasCamera(Protocol):
    """An image that a pipeline has rectified, as a dataclass. camera: rectified, at the network's size."""

    @property
    def camera(self) -> Camera: ...


Rectified = TypeVar("Rectified", bound=_HasCamera)


class DepthPipeline(ABC, Generic[Rectified]):
    """Turns images of any subset of a rig's cameras into depth; a missing camera is simply not in the batch.

    `rectify` and `rectify_all` may be called by any thread, as images arrive; the other methods by one at a time.
    They raise FsmdeError for an image that does not decode or is not of its camera's calibrated size, `rectify_all` and
    `run` also for one of no camera of the rig.
    `pool` rectifies, for `run` and for callers that work ahead; threads: of the pool, 0 for one per CPU core that this
    process may use.
    """

    def __init__(self, engine: Engine, threads: int = 0) -> None:
        self.engine = engine
        self._preprocessor = Preprocessor(engine.info.width, engine.info.height)
        self._packer = CloudPacker(CloudSettings())
        self.pool = ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)), thread_name_prefix="rectify")

    @abstractmethod
    def warm_up(self, cameras: int) -> None:
        """Run on `cameras` to 1 black images, so that no engine compiles or allocates when a camera drops out."""

    @abstractmethod
    def rectify(self, image: AnyImage, camera: Camera) -> Rectified:
        """Rectify one camera's image to the network's input.

        Args:
            image: Raw, JPEG or PNG.
            camera: The camera as calibrated.

        Returns:
            The image for `infer`.
        """

    @abstractmethod
    def infer(self, images: Sequence[Rectified]) -> DepthSet:
        """Estimate the depth of at least one rectified image, in one batch."""

    def packer(self, settings: CloudSettings) -> CloudPacker:
        """Return the CPU's packer of these settings; the same one until others are asked for."""
        if self._packer.settings != settings:
            self._packer = CloudPacker(settings)
        return self._packer

    def pack(self, result: DepthSet, settings: CloudSettings) -> PackedCloud:
        """Pack the fused cloud of the last `infer`, as `CloudPacker.pack` does.

        Args:
            result: Of the last `infer`.
            settings: Which depths become points.

        Returns:
            The cloud; its data are valid until the next call.
        """
        return self.packer(settings).pack(result.cameras, result.rgb, result.depth, result.sigma)

    def with_mount(self, image: Rectified, camera: Camera) -> Rectified:
        """Give a rectified image the pose of its camera as it is now.

        Args:
            image: From `rectify`.
            camera: As calibrated now.

        Returns:
            A copy with the new camera; `image` itself where the intrinsics have changed, which its pixels do not fit.
        """
        target = self._preprocessor.target(camera)
        fits = np.array_equal(target.K, image.camera.K)
        return replace(image, camera=target) if fits else image  # type: ignore[type-var]

    def run(self, images: Mapping[str, AnyImage], rig: Rig) -> DepthSet:
        """Estimate the depth of one set of images, rectified in parallel.

        Args:
            images: By the name of the camera; any subset of the rig.
            rig: The cameras as calibrated.

        Returns:
            The depth, in ring order.

        Raises:
            FsmdeError: There is no image, one of no camera of the rig or of another size, or one that does not decode.
        """
        rectified, preprocess_ms = self.rectify_all(images, rig)
        result = self.infer(rectified)
        return replace(result, stage_ms={"preprocess": preprocess_ms, **result.stage_ms})

    def rectify_all(self, images: Mapping[str, AnyImage], rig: Rig) -> tuple[list[Rectified], float]:
        """Rectify the images of several cameras in parallel.

        Args:
            images: By the name of the camera.
            rig: The cameras as calibrated.

        Returns:
            The rectified images in ring order, and the milliseconds that it took.
        """
        unknown = sorted(set(images) - set(rig.names))
        if unknown or not images:
            raise FsmdeError(f"images of {unknown or 'no camera'} given, the rig has {list(rig.names)}")
        start = time.perf_counter()
        cameras = [camera for camera in rig.cameras if camera.name in images]
        rectified = list(self.pool.map(lambda camera: self.rectify(images[camera.name], camera), cameras))
        return rectified, 1e3 * (time.perf_counter() - start)

    def close(self) -> None:
        """Finish the images at hand, drop those that wait, and release the threads and the engine."""
        self.pool.shutdown(cancel_futures=True)
        self.engine.close()


class CpuPipeline(DepthPipeline[RectifiedImage]):
    """Rectifies and packs on the CPU, for every engine."""

    def __init__(self, engine: Engine, threads: int = 0) -> None:
        super().__init__(engine, threads)
        self._rgb = np.zeros((0, engine.info.height, engine.info.width, 3), np.uint8)

    def warm_up(self, cameras: int) -> None:
        info = self.engine.info
        for count in range(cameras, 0, -1):
            images = np.zeros((count, info.height, info.width, 3), np.uint8)
            self.engine.infer(images, np.full(count, info.focal_canonical, np.float32))

    def rectify(self, image: AnyImage, camera: Camera) -> RectifiedImage:
        return self._preprocessor.rectify(image, camera)

    def infer(self, images: Sequence[RectifiedImage]) -> DepthSet:
        start = time.perf_counter()
        cameras = tuple(image.camera for image in images)
        if len(images) > len(self._rgb):
            self._rgb = np.empty((len(images), *self._rgb.shape[1:]), np.uint8)
        rgb = np.stack([image.rgb for image in images], out=self._rgb[: len(images)])
        result = self.engine.infer(rgb, np.array([camera.fx for camera in cameras], np.float32))
        depth = _mask_outside(result.depth, images)
        stage_ms = {"infer": 1e3 * (time.perf_counter() - start)}
        return DepthSet(tuple(c.name for c in cameras), cameras, rgb, depth, result.sigma, stage_ms)


def _mask_outside(depth: NDArray[np.float32], images: Sequence[RectifiedImage]) -> NDArray[np.float32]:
    """Return (N, H, W) depth with NaN where an image has nothing; the array itself where that is nowhere."""
    if all(image.outside is None for image in images):
        return depth
    inside = np.zeros(depth.shape[1:], bool)
    outside = np.stack([inside if image.outside is None else image.outside for image in images])
    return np.where(outside, np.float32("nan"), depth)
