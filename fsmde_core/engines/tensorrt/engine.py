"""Runs TensorRT engines: CUDA graphs for every number of cameras, page-locked buffers, a stream per stage."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.cuda.driver import Driver
from fsmde_core.engines.base import DepthBatch, EngineReport, check_batch
from fsmde_core.engines.model import ModelInfo
from fsmde_core.engines.precision import ENGINE_PRECISIONS
from fsmde_core.engines.tensorrt.bindings import LOG, VERSION, require, run, trt
from fsmde_core.engines.tensorrt.build import load_or_build_plan, max_cameras
from fsmde_core.engines.tensorrt.cache import EngineCache
from fsmde_core.engines.tensorrt.network import buildable_precisions
from fsmde_core.engines.tensorrt.progress import LogProgress
from fsmde_core.errors import FsmdeError

log = logging.getLogger(__name__)


class RefusedPlanError(FsmdeError):
    """Reports that TensorRT does not take a serialised engine, though it is whole and of this machine."""


class TensorRtEngine:
    """Takes 1 to `cameras` images. Any thread may call it, one at a time; after construction nothing is allocated.

    Results lie in the engine's page-locked buffers; those that someone still holds stay valid after `close`.
    """

    name = "tensorrt"

    def __init__(self, info: ModelInfo, precision: str, plan: bytes, cameras: int) -> None:
        self.info = info
        self.precision = ENGINE_PRECISIONS[precision]
        self.cameras = cameras
        self._driver = driver = Driver.shared()
        self.device = driver.name
        size = (info.height, info.width)
        shapes = {"images": ((*size, 3), np.uint8), "focal": ((), np.float32)}
        shapes |= dict.fromkeys(("depth", "sigma"), (size, np.float32))
        with driver.as_current():
            self._network = _Network(driver, plan, size, cameras)
            # By the tensors' names: page-locked arrays, and as many bytes on the GPU.
            self._host = {name: driver.allocate_pinned((cameras, *rest), kind) for name, (rest, kind) in shapes.items()}
            self._memory = {name: driver.allocate(array.nbytes) for name, array in self._host.items()}
            self._addresses = {name: int(memory) for name, memory in self._memory.items()}
            self._streams = [driver.create_stream() for _ in range(3)]
            self._events = [driver.create_event() for _ in range(4)]
            for count in range(1, cameras + 1):
                self._network.capture(count, self._addresses)

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        check_batch(self.info, images, focal)
        count = self._checked(len(images))
        driver, host, addresses = self._driver, self._host, self._addresses
        upload, compute, download = self._streams
        begun, uploaded, computed, done = self._events
        with driver.as_current():
            driver.record_event(begun, upload)
            for name, values in (("images", images), ("focal", focal)):
                host[name][:count] = values
                driver.to_device(addresses[name], host[name][:count], upload)
            driver.record_event(uploaded, upload)
            driver.wait_event(compute, uploaded)
            self._network.launch(compute, count, addresses)
            driver.record_event(computed, compute)
            driver.wait_event(download, computed)
            for name in ("depth", "sigma"):
                driver.to_host(host[name][:count], addresses[name], download)
            driver.record_event(done, download)
            driver.synchronize(done)
        return DepthBatch(host["depth"][:count], host["sigma"][:count])

    def enqueue(self, stream: Any, images: int, focal: int, depth: int, sigma: int, count: int) -> None:
        """Put the network on a stream, between buffers on the GPU.

        Every new combination of addresses and `count` is captured in a CUDA graph that is kept until `close`: that
        first call waits for the GPU and overwrites depth and sigma, so make it while warming up. Launches of one
        engine must follow each other, on one stream or by events: they share working memory.

        Args:
            stream: A pycuda Stream.
            images, focal, depth, sigma: Addresses of buffers laid out as the arrays of `infer`.
            count: Number of images.
        """
        addresses = {"images": images, "focal": focal, "depth": depth, "sigma": sigma}
        with self._driver.as_current():
            self._network.launch(stream, self._checked(count), addresses)

    def stage_ms(self) -> dict[str, float]:
        """Return the milliseconds of the last `infer` by the GPU's events; `upload` has the copy to pinned memory."""
        with self._driver.as_current():
            spans = [self._driver.elapsed_ms(start, end) for start, end in pairwise(self._events)]
        return dict(zip(("upload", "infer", "download"), spans, strict=True))

    def close(self) -> None:
        with self._driver.as_current():  # pycuda destroys streams and events in a thread that has their context only
            del self._network, self._host, self._memory, self._streams, self._events

    def _checked(self, count: int) -> int:
        if not 1 <= count <= self.cameras:
            raise FsmdeError(
                f"{count} images in one batch, the TensorRT engine takes 1 to {self.cameras}; load it for more cameras"
            )
        return count


class _Network:
    """Holds the deserialised engine, an execution context per number of cameras, and the CUDA graphs made with them.

    Graphs of other shapes have other contexts, as their kernels may read what a context holds for its shapes. The
    contexts never run at the same time, so they share one block of working memory.
    """

    def __init__(self, driver: Driver, plan: bytes, size: tuple[int, int], cameras: int) -> None:
        self._driver = driver
        self._stream = driver.create_stream()
        self._runtime = require(trt.Runtime, LOG)
        try:
            self._engine = require(self._runtime.deserialize_cuda_engine, plan)
        except FsmdeError as error:
            raise RefusedPlanError(str(error)) from error
        self._memory = driver.allocate(max(self._engine.device_memory_size_v2, 1))
        self._contexts = {count: self._context(count, size) for count in range(1, cameras + 1)}
        self._graphs: dict[tuple[int, ...], Any] = {}

    def launch(self, stream: Any, count: int, addresses: dict[str, int]) -> None:
        key = (count, *addresses.values())
        if key not in self._graphs:
            self.capture(count, addresses)
        self._graphs[key].launch(stream)

    def capture(self, count: int, addresses: dict[str, int]) -> None:
        context, stream = self._contexts[count], self._stream
        for name, address in addresses.items():
            require(context.set_tensor_address, name, address)
        # Run once outside: what TensorRT puts off until a first run, such as loading kernels, cannot be captured.
        require(context.execute_async_v3, stream.handle)
        self._driver.call("cuStreamSynchronize", stream.synchronize)
        with self._driver.capture(stream) as graph:
            require(context.execute_async_v3, stream.handle)
        self._graphs[(count, *addresses.values())] = graph

    def _context(self, count: int, size: tuple[int, int]) -> Any:
        context = require(self._engine.create_execution_context, trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        run(context.set_device_memory, int(self._memory), self._engine.device_memory_size_v2)
        require(context.set_input_shape, "images", (count, *size, 3))
        require(context.set_input_shape, "focal", (count,))
        missing = require(context.infer_shapes)
        if missing:
            raise FsmdeError(f"the TensorRT engine has inputs that the model contract does not know: {missing}")
        return context


def variants(info: ModelInfo, threads: int, cameras: int) -> Iterator[TensorRtEngine]:
    for precision in buildable_precisions(info):
        yield _load(info, precision, cameras)


def _load(info: ModelInfo, precision: str, cameras: int) -> TensorRtEngine:
    """Load or build; build again where TensorRT refuses what is there, as after a change of the driver."""
    cache, most = EngineCache(), max_cameras(cameras)
    plan = load_or_build_plan(info, precision, cameras, cache, LogProgress())
    try:
        return TensorRtEngine(info, precision, plan, most)
    except RefusedPlanError as error:
        log.warning("the engine is built anew: %s", error)
    plan = load_or_build_plan(info, precision, cameras, cache, LogProgress(), refused=plan)
    return TensorRtEngine(info, precision, plan, most)


def describe() -> EngineReport:
    return EngineReport("tensorrt", VERSION, (Driver.shared().name,))
