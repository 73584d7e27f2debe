"""The GPU backend around a network that runs on device addresses: TensorRT's, or any other."""

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
from fsmde_core.pipeline.gpu.cuda.images import CudaUploads, DeviceImage
from fsmde_core.pipeline.gpu.cuda.packing import CudaPacker
from fsmde_core.pipeline.gpu.cuda.sampling import CudaSampler
from fsmde_core.pipeline.gpu.cuda.sampling_maps import DeviceSamplings
from fsmde_core.rig.rig import Camera


class DeviceEngine(Protocol):
    """A network on the GPU."""

    info: ModelInfo

    def enqueue(self, stream: Any, images: int, focal: int, depth: int, sigma: int, count: int) -> None:
        """Put the network on `stream`, for `count` images. Device addresses: images (N, H, W, 3) uint8 RGB; focal (N,)
        float32 pixels; depth and sigma (N, H, W) float32 metres, to be written.
        """
        ...


class CudaBackend:
    """See `GpuBackend`. Three streams: copies up, kernels and network, copies down; the RGB goes down while the network
    runs.

    cameras: the most in one batch.
    """

    def __init__(self, engine: DeviceEngine, cameras: int, driver: Driver | None = None) -> None:
        self._driver = driver or Driver.shared()
        self._engine = engine
        self._cameras = cameras
        with self._driver.current():
            self._build(engine.info.width, engine.info.height)

    def _build(self, width: int, height: int) -> None:
        driver, cameras = self._driver, self._cameras
        self._images = CudaUploads(driver)
        self._samplings = DeviceSamplings(driver, width, height)
        self._sampler = CudaSampler(driver, cameras, width, height)
        self._packer = CudaPacker(driver, cameras, width, height)
        self._compute, self._download = driver.stream(), driver.stream()
        self._events = {name: driver.event() for name in ("sample", "sampled", "inferred", "downloaded")}
        self._record("sampled", self._compute)
        shape = (cameras, height, width)
        self._host_rgb = driver.pinned((*shape, 3), np.uint8)
        self._host_depth, self._host_sigma = driver.pinned(shape, np.float32), driver.pinned(shape, np.float32)
        self._host_focal = driver.pinned((cameras,), np.float32)
        self._rgb, self._focal = driver.device(self._host_rgb.nbytes), driver.device(self._host_focal.nbytes)
        self._depth, self._sigma = (driver.device(self._host_depth.nbytes) for _ in range(2))
        self._result: HostResult | None = None

    def upload(self, image: RawImage, sampling: Sampling) -> DeviceImage:
        """See `GpuBackend.upload`."""
        with self._driver.current():
            maps = self._samplings.find(sampling, self._images.stream)
            return self._images.upload(image, sampling, maps)

    def infer(self, uploads: Sequence[DeviceImage], focal: NDArray[np.float32]) -> HostResult:
        """See `GpuBackend.infer`."""
        count = len(uploads)
        if not 1 <= count <= self._cameras:
            raise FsmdeError(
                f"a set of {count} images, this engine takes 1 to {self._cameras}; build it for more cameras"
            )
        with self._driver.current():
            self._start_sampling(uploads, focal)
            self._fetch(self._host_rgb[:count], int(self._rgb), "sampled")
            self._start_network(uploads)
            self._fetch(self._host_depth[:count], int(self._depth), "inferred")
            self._fetch(self._host_sigma[:count], int(self._sigma), "inferred")
            self._record("downloaded", self._download)
            self._driver.wait(self._events["downloaded"])
            self._result = HostResult(
                self._host_rgb[:count], self._host_depth[:count], self._host_sigma[:count], self._stage_ms(uploads)
            )
        return self._result

    def _start_sampling(self, uploads: Sequence[DeviceImage], focal: NDArray[np.float32]) -> None:
        self._driver.wait(self._events["sampled"])  # a set whose network failed may still be read from where we write
        for image in uploads:
            self._driver.follow(self._compute, image.slot.arrived)
        self._record("sample", self._compute)
        self._host_focal[: len(uploads)] = focal
        self._driver.to_device(int(self._focal), self._host_focal, self._compute)
        self._sampler.sample(uploads, int(self._rgb), self._compute)
        self._record("sampled", self._compute)

    def _start_network(self, uploads: Sequence[DeviceImage]) -> None:
        depth, sigma = int(self._depth), int(self._sigma)
        self._engine.enqueue(self._compute, int(self._rgb), int(self._focal), depth, sigma, len(uploads))
        self._sampler.mark_outside(uploads, depth, self._compute)
        self._record("inferred", self._compute)

    def _fetch(self, host: NDArray[Any], address: int, after: str) -> None:
        self._driver.follow(self._download, self._events[after])
        self._driver.to_host(host, address, self._download)

    def _record(self, event: str, stream: Any) -> None:
        self._driver.record(self._events[event], stream)

    def _stage_ms(self, uploads: Sequence[DeviceImage]) -> dict[str, float]:
        """download: of depth and sigma, as the RGB comes while the network runs."""
        ms, events = self._driver.elapsed_ms, self._events
        return {
            "upload": sum(ms(image.slot.started, image.slot.arrived) for image in uploads),
            "sample": ms(events["sample"], events["sampled"]),
            "infer": ms(events["sampled"], events["inferred"]),
            "download": ms(events["inferred"], events["downloaded"]),
        }

    def pack(self, cameras: Sequence[Camera], settings: CloudSettings) -> PackedCloud:
        """See `GpuBackend.pack`. Its times are added to `stage_ms` of the last result."""
        if self._result is None or len(cameras) != len(self._result.depth):
            count = 0 if self._result is None else len(self._result.depth)
            raise FsmdeError(f"a cloud of {len(cameras)} cameras was asked for, the last set has {count}")
        with self._driver.current():
            addresses = int(self._rgb), int(self._depth), int(self._sigma)
            cloud, stage_ms = self._packer.pack(cameras, settings, *addresses, self._compute)
            self._result.stage_ms.update(stage_ms)
        return cloud

    def close(self) -> None:
        """See `GpuBackend.close`. Results stay valid until they are dropped."""
        with self._driver.current():
            for part in (self._images, self._samplings, self._sampler, self._packer):
                part.close()
            for memory in (self._rgb, self._focal, self._depth, self._sigma):
                memory.free()
            self._events.clear()
            del self._compute, self._download
