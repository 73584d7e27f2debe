"""Runs the GPU pipeline's backend around a network that works on device addresses: TensorRT's, or any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds.packer import CloudSettings, PackedCloud
from fsmde_core.cuda.driver import Driver
from fsmde_core.engines.model import ModelInfo
from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.gpu.backend import HostResult, Sampling
from fsmde_core.pipeline.gpu.cuda.packing import CudaPacker
from fsmde_core.pipeline.gpu.cuda.sampling import CudaSampler
from fsmde_core.pipeline.gpu.cuda.uploads import CudaUpload, CudaUploader
from fsmde_core.rig.rig import Camera


class DeviceEngine(Protocol):
    """Puts its network on a pycuda stream, for `count` images between device addresses.

    images, focal: (N, H, W, 3) uint8 RGB and (N,) float32 pixels. depth, sigma: (N, H, W) float32 metres, written.
    """

    info: ModelInfo

    def enqueue(self, stream: Any, images: int, focal: int, depth: int, sigma: int, count: int) -> None: ...


class CudaBackend:
    """Implements `GpuBackend` on three streams: copies up, kernels and network, copies down.

    The RGB goes down while the network runs. cameras: the most in one batch.
    """

    def __init__(self, engine: DeviceEngine, cameras: int, driver: Driver | None = None) -> None:
        self._driver = driver = driver or Driver.shared()
        self._engine = engine
        self._cameras = cameras
        self._result: HostResult | None = None
        width, height = engine.info.width, engine.info.height
        shape = (cameras, height, width)
        with driver.as_current():
            self._uploader = CudaUploader(driver, width, height)
            self._sampler = CudaSampler(driver, cameras, width, height)
            self._packer = CudaPacker(driver, cameras, width, height)
            self._compute, self._download = driver.create_stream(), driver.create_stream()
            self._events = {name: driver.create_event() for name in ("sample", "sampled", "inferred", "downloaded")}
            self._record("sampled", self._compute)
            self._host_rgb = driver.allocate_pinned((*shape, 3), np.uint8)
            self._host_depth, self._host_sigma = (driver.allocate_pinned(shape, np.float32) for _ in range(2))
            self._host_focal = driver.allocate_pinned((cameras,), np.float32)
            self._rgb, self._focal = driver.allocate(self._host_rgb.nbytes), driver.allocate(self._host_focal.nbytes)
            self._depth, self._sigma = (driver.allocate(self._host_depth.nbytes) for _ in range(2))

    def upload(self, image: RawImage, sampling: Sampling) -> CudaUpload:
        with self._driver.as_current():
            return self._uploader.upload(image, sampling)

    def infer(self, uploads: Sequence[CudaUpload], focal: NDArray[np.float32]) -> HostResult:
        count = len(uploads)
        if not 1 <= count <= self._cameras:
            raise FsmdeError(
                f"a set of {count} images, this engine takes 1 to {self._cameras}; build it for more cameras"
            )
        with self._driver.as_current():
            self._start_sampling(uploads, focal)
            self._start_download(self._host_rgb[:count], int(self._rgb), "sampled")
            self._start_network(uploads)
            self._start_download(self._host_depth[:count], int(self._depth), "inferred")
            self._start_download(self._host_sigma[:count], int(self._sigma), "inferred")
            self._record("downloaded", self._download)
            self._driver.synchronize(self._events["downloaded"])
            self._result = HostResult(
                self._host_rgb[:count], self._host_depth[:count], self._host_sigma[:count], self._stage_ms(uploads)
            )
        return self._result

    def _start_sampling(self, uploads: Sequence[CudaUpload], focal: NDArray[np.float32]) -> None:
        # A set whose network failed may still be read from where this one is written.
        self._driver.synchronize(self._events["sampled"])
        for upload in uploads:
            self._driver.wait_event(self._compute, upload.buffer.arrived)
        self._record("sample", self._compute)
        self._host_focal[: len(uploads)] = focal
        self._driver.to_device(int(self._focal), self._host_focal, self._compute)
        self._sampler.sample(uploads, int(self._rgb), self._compute)
        self._record("sampled", self._compute)

    def _start_network(self, uploads: Sequence[CudaUpload]) -> None:
        depth, sigma = int(self._depth), int(self._sigma)
        self._engine.enqueue(self._compute, int(self._rgb), int(self._focal), depth, sigma, len(uploads))
        self._sampler.mask_outside(uploads, depth, self._compute)
        self._record("inferred", self._compute)

    def _start_download(self, host: NDArray[Any], address: int, after: str) -> None:
        self._driver.wait_event(self._download, self._events[after])
        self._driver.to_host(host, address, self._download)

    def _record(self, event: str, stream: Any) -> None:
        self._driver.record_event(self._events[event], stream)

    def _stage_ms(self, uploads: Sequence[CudaUpload]) -> dict[str, float]:
        elapsed_ms, events = self._driver.elapsed_ms, self._events
        return {
            "upload": sum(elapsed_ms(upload.buffer.started, upload.buffer.arrived) for upload in uploads),
            "sample": elapsed_ms(events["sample"], events["sampled"]),
            "infer": elapsed_ms(events["sampled"], events["inferred"]),
            "download": elapsed_ms(events["inferred"], events["downloaded"]),  # not of the RGB, which came before
        }

    def pack(self, cameras: Sequence[Camera], settings: CloudSettings) -> PackedCloud:
        if self._result is None or len(cameras) != len(self._result.depth):
            count = 0 if self._result is None else len(self._result.depth)
            raise FsmdeError(f"a cloud of {len(cameras)} cameras was asked for, the last set has {count}")
        with self._driver.as_current():
            addresses = int(self._rgb), int(self._depth), int(self._sigma)
            cloud, stage_ms = self._packer.pack(cameras, settings, *addresses, self._compute)
            self._result.stage_ms.update(stage_ms)
        return cloud

    def close(self) -> None:
        """Give the GPU's memory back; results stay valid until they are dropped."""
        with self._driver.as_current():
            for part in (self._uploader, self._sampler, self._packer):
                part.close()
            for memory in (self._rgb, self._focal, self._depth, self._sigma):
                memory.free()
            self._events.clear()
            del self._compute, self._download
