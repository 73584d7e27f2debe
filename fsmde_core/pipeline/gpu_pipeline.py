"""Runs the pipeline on a GPU, and chooses the pipeline that an engine runs in."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsmde_core.clouds.packer import CloudSettings, PackedCloud
from fsmde_core.engines.base import Engine
from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import AnyImage, RawImage
from fsmde_core.images.rectify import decode_image, rectify_maps
from fsmde_core.pipeline.gpu.backend import GpuBackend
from fsmde_core.pipeline.gpu.sampling import sampling_from_maps
from fsmde_core.pipeline.pipeline import CpuPipeline, DepthPipeline, DepthSet
from fsmde_core.rig.rig import Camera

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GpuImage:
    """Holds one camera's image on the GPU. camera: rectified, at the network's size. upload: the backend's handle."""

    camera: Camera
    upload: Any


class GpuPipeline(DepthPipeline[GpuImage]):
    """Does sampling, network and packing on the GPU; JPEG and PNG are decoded on the CPU."""

    def __init__(self, engine: Engine, backend: GpuBackend, threads: int = 0) -> None:
        super().__init__(engine, threads)
        self._backend = backend
        self._gpu_ms: dict[str, float] = {}

    def warm_up(self, cameras: int) -> None:
        info = self.engine.info
        K = np.array([[info.focal_canonical, 0, info.width / 2], [0, info.focal_canonical, info.height / 2], [0, 0, 1]])
        black = RawImage.from_rgb(np.zeros((info.height, info.width, 3), np.uint8))
        image = self.rectify(black, Camera("black", info.width, info.height, K))
        result = self.infer([image] * cameras)
        self.pack(result, CloudSettings())
        for count in range(cameras - 1, 0, -1):
            self.infer([image] * count)

    def rectify(self, image: AnyImage, camera: Camera) -> GpuImage:
        target = self._preprocessor.target(camera)
        maps = rectify_maps(camera, target)
        raw, halved = decode_image(image, camera, maps)
        return GpuImage(target, self._backend.upload(raw, sampling_from_maps(maps, raw.width, raw.height, halved)))

    def infer(self, images: Sequence[GpuImage]) -> DepthSet:
        start = time.perf_counter()
        cameras = tuple(image.camera for image in images)
        focal = np.array([camera.fx for camera in cameras], np.float32)
        batch = self._backend.infer([image.upload for image in images], focal)
        self._gpu_ms = batch.stage_ms
        stage_ms = {"infer": 1e3 * (time.perf_counter() - start), **_prefix(batch.stage_ms)}
        return DepthSet(tuple(c.name for c in cameras), cameras, batch.rgb, batch.depth, batch.sigma, stage_ms)

    def pack(self, result: DepthSet, settings: CloudSettings) -> PackedCloud:
        cloud = self._backend.pack(result.cameras, settings)
        result.stage_ms.update(_prefix(self._gpu_ms))
        return cloud

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)  # its threads use the backend
        self._backend.close()
        super().close()


def _prefix(stage_ms: dict[str, float]) -> dict[str, float]:
    return {f"gpu_{stage}": milliseconds for stage, milliseconds in stage_ms.items()}


def open_pipeline(engine: Engine, cameras: int, threads: int = 0) -> DepthPipeline[Any]:
    """Choose the pipeline of an engine: on the GPU where the engine works on the GPU's memory, else on the CPU.

    It is on the CPU as well, with a warning, where the GPU's other work cannot run: its kernels need a compiler once.

    Args:
        engine: Loaded; closed with the pipeline.
        cameras: The most in one batch.
        threads: That `run` rectifies with, 0 for one per CPU core that this process may use.

    Returns:
        The pipeline.
    """
    try:
        backend = _open_backend(engine, cameras)
    except FsmdeError as error:
        log.warning("images are rectified and clouds packed on the CPU: %s", error)
        backend = None
    return CpuPipeline(engine, threads) if backend is None else GpuPipeline(engine, backend, threads)


def _open_backend(engine: Any, cameras: int) -> GpuBackend | None:
    if engine.name == "tensorrt":
        from fsmde_core.pipeline.gpu.cuda.backend import CudaBackend

        return CudaBackend(engine, cameras)
    if engine.name == "torch" and engine.device != "cpu":
        from fsmde_core.pipeline.gpu.torch.backend import TorchBackend

        return TorchBackend(engine)
    return None
