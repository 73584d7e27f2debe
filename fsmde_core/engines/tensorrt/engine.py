"""A TensorRT engine that serves: CUDA graphs for every number of cameras, page-locked buffers, a stream per stage."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.cuda.driver import Driver
from fsmde_core.engines.base import DepthBatch, check_batch
from fsmde_core.engines.model import ModelInfo
from fsmde_core.engines.precision import SHORT_NAMES
from fsmde_core.engines.tensorrt.bindings import LOG, require, run, trt
from fsmde_core.errors import FsmdeError


class RefusedPlanError(FsmdeError):
    """TensorRT does not take a serialised engine, though it is whole and of this machine."""


class TensorRtEngine:
    """Takes 1 to `cameras` images. Any thread may call it, one at a time; after construction nothing is allocated."""

    name = "tensorrt"

    def __init__(self, info: ModelInfo, precision: str, plan: bytes, cameras: int) -> None:
        self.info = info
        self.precision = SHORT_NAMES[precision]
        self.cameras = cameras
        self._driver = Driver.shared()
        self.device = self._driver.name
        with self._driver.current():
            self._network = Network(self._driver, plan, (info.height, info.width), cameras)
            self._buffers = Buffers(self._driver, (info.height, info.width), cameras)
            self._streams = [self._driver.stream() for _ in range(3)]
            self._events = [self._driver.event() for _ in range(4)]
            for count in range(1, cameras + 1):
                self._network.capture(count, self._buffers.addresses)

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        """See `Engine.infer`; the result lies in the engine's page-locked buffers."""
        check_batch(self.info, images, focal)
        count = self._checked(len(images))
        driver, host, addresses = self._driver, self._buffers.host, self._buffers.addresses
        upload, compute, download = self._streams
        begun, uploaded, computed, done = self._events
        with driver.current():
            driver.record(begun, upload)
            for name, values in (("images", images), ("focal", focal)):
                host[name][:count] = values
                driver.to_device(addresses[name], host[name][:count], upload)
            driver.record(uploaded, upload)
            driver.follow(compute, uploaded)
            self._network.launch(compute, count, addresses)
            driver.record(computed, compute)
            driver.follow(download, computed)
            for name in ("depth", "sigma"):
                driver.to_host(host[name][:count], addresses[name], download)
            driver.record(done, download)
            driver.wait(done)
        return DepthBatch(host["depth"][:count], host["sigma"][:count])

    def enqueue(self, stream: Any, images: int, focal: int, depth: int, sigma: int, count: int) -> None:
        """Put the network on `stream`, a pycuda Stream, between buffers on the GPU laid out as `infer`'s arrays.

        The four are addresses. Every new combination of them and `count` is captured in a CUDA graph that is kept
        until `close`: that first call waits for the GPU and overwrites depth and sigma, so make it while warming up.
        Launches of one engine must follow each other, on one stream or by events: they share working memory.
        """
        addresses = {"images": images, "focal": focal, "depth": depth, "sigma": sigma}
        with self._driver.current():
            self._network.launch(stream, self._checked(count), addresses)

    def stage_ms(self) -> dict[str, float]:
        """Milliseconds of the last `infer` by the GPU's events: upload (with the copy to page-locked memory), infer,
        download.
        """
        names = ("upload", "infer", "download")
        with self._driver.current():
            spans = [self._driver.elapsed_ms(start, end) for start, end in pairwise(self._events)]
        return dict(zip(names, spans, strict=True))

    def close(self) -> None:
        """See `Engine.close`. Results that someone still holds stay valid."""
        with self._driver.current():  # pycuda destroys streams and events in a thread that has their context only
            del self._network, self._buffers, self._streams, self._events

    def _checked(self, count: int) -> int:
        if not 1 <= count <= self.cameras:
            raise FsmdeError(
                f"{count} images in one batch, the TensorRT engine takes 1 to {self.cameras}; load it for more cameras"
            )
        return count


class Buffers:
    """Inputs and outputs by tensor name. host: page-locked arrays; addresses: of as many bytes on the GPU."""

    def __init__(self, driver: Driver, size: tuple[int, int], cameras: int) -> None:
        shapes = {"images": ((*size, 3), np.uint8), "focal": ((), np.float32)}
        shapes |= dict.fromkeys(("depth", "sigma"), (size, np.float32))
        self.host = {name: driver.pinned((cameras, *rest), dtype) for name, (rest, dtype) in shapes.items()}
        self._memory = {name: driver.device(array.nbytes) for name, array in self.host.items()}
        self.addresses = {name: int(memory) for name, memory in self._memory.items()}


class Network:
    """The deserialised engine, an execution context for each number of cameras, and the CUDA graphs made with them.

    Graphs of other shapes have other contexts, as their kernels may read what a context holds for its shapes. The
    contexts never run at the same time, so they share one block of working memory.
    """

    def __init__(self, driver: Driver, plan: bytes, size: tuple[int, int], cameras: int) -> None:
        self._driver = driver
        self._stream = driver.stream()
        self._runtime = require(trt.Runtime, LOG)
        try:
            self._engine = require(self._runtime.deserialize_cuda_engine, plan)
        except FsmdeError as error:
            raise RefusedPlanError(str(error)) from error
        self._memory = driver.device(max(self._engine.device_memory_size_v2, 1))
        self._contexts = {count: self._context(count, size) for count in range(1, cameras + 1)}
        self._graphs: dict[tuple[int, ...], Any] = {}

    def launch(self, stream: Any, count: int, addresses: dict[str, int]) -> None:
        """Run on `count` images at these addresses, captured before if it has not been."""
        key = (count, *addresses.values())
        if key not in self._graphs:
            self.capture(count, addresses)
        self._graphs[key].launch(stream)

    def capture(self, count: int, addresses: dict[str, int]) -> None:
        """Make the graph of `count` images at these addresses: name of the tensor -> address on the GPU."""
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
