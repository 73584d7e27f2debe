"""Wraps pycuda's driver API for one GPU: its primary context, shared with TensorRT, and errors that name the call."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fsmde_core.cuda.compile import load_or_compile
from fsmde_core.cuda.graph import Graph, capture
from fsmde_core.errors import FsmdeError

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: a stream that does not wait for the default stream


class Memory:
    """Owns device memory, whose address is `int()` of it; frees it with the object, in whatever thread that is."""

    def __init__(self, driver: Driver, nbytes: int) -> None:
        allocation = driver.call("cuMemAlloc", driver.cuda.mem_alloc, nbytes)
        self.nbytes = nbytes
        self._address = int(allocation)
        self.free = weakref.finalize(self, _release, driver, allocation)

    def __int__(self) -> int:
        return self._address


class _Pinned:
    """Owns page-locked memory as the base of the arrays on it, and frees it with the last of them."""

    def __init__(self, driver: Driver, nbytes: int) -> None:
        block = driver.call("cuMemHostAlloc", driver.cuda.pagelocked_empty, nbytes, np.uint8)
        self.__array_interface__ = block.__array_interface__
        weakref.finalize(self, _release, driver, block.base)


def _release(driver: Driver, allocation: Any) -> None:
    with driver.as_current():  # pycuda cannot free in a thread in which the context is not current
        allocation.free()


class Module:
    """Launches the kernels of one source file. A kernel takes one struct, with its padding, by value."""

    def __init__(self, driver: Driver, cubin: bytes) -> None:
        self._driver = driver
        self._modules = [driver.call("cuModuleLoadData", driver.cuda.module_from_buffer, cubin)]
        self._functions: dict[str, Any] = {}
        weakref.finalize(self, _unload, driver, self._functions, self._modules)

    def launch(
        self, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], stream: Any, parameters: np.void
    ) -> None:
        call = self._driver.call
        if kernel not in self._functions:
            function = call(f"cuModuleGetFunction({kernel})", self._modules[0].get_function, kernel)
            self._functions[kernel] = function.prepare(f"{parameters.itemsize}s")
        blocks, threads = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
        start = self._functions[kernel].prepared_async_call
        call(f"cuLaunchKernel({kernel})", start, blocks, threads, stream, parameters.tobytes())


def _unload(driver: Driver, *parts: Any) -> None:
    with driver.as_current():
        for part in parts:
            part.clear()


class Driver:
    """Drives the first GPU. Every use of its memory, streams and kernels happens inside `with driver.as_current()`.

    compute_capability: (major, minor).
    total_memory: bytes.
    cuda: the module pycuda.driver.
    """

    def __init__(self) -> None:
        self.cuda = _import_driver()
        self.call("cuInit", self.cuda.init)
        device = self.call("cuDeviceGet", self.cuda.Device, 0)
        self.name: str = device.name()
        self.compute_capability: tuple[int, int] = device.compute_capability()
        self.multiprocessors: int = device.get_attribute(self.cuda.device_attribute.MULTIPROCESSOR_COUNT)
        self.total_memory: int = device.total_memory()
        self._context = self.call("cuDevicePrimaryCtxRetain", device.retain_primary_context)
        weakref.finalize(self, _detach, self._context)  # at exit the last of ours, as they run in reverse

    @staticmethod
    @cache
    def shared() -> Driver:
        """Return the one driver of this process; FsmdeError where pycuda or a GPU is absent."""
        return Driver()

    @contextmanager
    def as_current(self) -> Iterator[None]:
        """Make the primary context current in this thread, whichever it is, within the `with` block; may be nested."""
        self.call("cuCtxPushCurrent", self._context.push)
        try:
            yield
        finally:
            self._context.pop()

    def create_stream(self) -> Any:
        return self.call("cuStreamCreate", self.cuda.Stream, _NON_BLOCKING)

    def create_event(self) -> Any:
        return self.call("cuEventCreate", self.cuda.Event)

    def allocate_pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.asarray(_Pinned(self, nbytes)).view(dtype).reshape(shape)

    def allocate(self, nbytes: int) -> Memory:
        return Memory(self, nbytes)

    def load_module(self, source: Path) -> Module:
        """Load the kernels of a .cu file, compiled for this GPU once and then read from the user's cache folder."""
        return Module(self, load_or_compile(source, self.compute_capability))

    # Copies are of contiguous arrays, and asynchronous where those are page-locked.
    def to_device(self, address: int, array: NDArray[Any], stream: Any) -> None:
        self.call("cuMemcpyHtoDAsync", self.cuda.memcpy_htod_async, address, array, stream)

    def to_host(self, array: NDArray[Any], address: int, stream: Any) -> None:
        self.call("cuMemcpyDtoHAsync", self.cuda.memcpy_dtoh_async, array, address, stream)

    def memset(self, address: int, value: int, nbytes: int, stream: Any) -> None:
        self.call("cuMemsetD8Async", self.cuda.memset_d8_async, address, value, nbytes, stream)

    def record_event(self, event: Any, stream: Any) -> None:
        self.call("cuEventRecord", event.record, stream)

    def wait_event(self, stream: Any, event: Any) -> None:
        self.call("cuStreamWaitEvent", stream.wait_for_event, event)

    def synchronize(self, event: Any) -> None:
        """Block this thread until `event` has happened; errors of kernels come to light here."""
        self.call("cuEventSynchronize", event.synchronize)

    def elapsed_ms(self, start: Any, end: Any) -> float:
        return float(self.call("cuEventElapsedTime", end.time_since, start))

    def capture(self, stream: Any) -> AbstractContextManager[Graph]:
        """Capture what this thread puts on `stream` as a graph instead of running it; `Graph.launch` runs it."""
        return capture(stream)

    def call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        # An error of the driver becomes a FsmdeError that names the call.
        try:
            return function(*arguments)
        except self.cuda.Error as error:
            reason = str(error).split(" failed: ", 1)[-1]  # pycuda's own errors begin with the call's name
            raise FsmdeError(f"GPU call {name} failed: {reason}") from error


def _detach(context: Any) -> None:
    context.push()  # pycuda detaches in any thread only what is current there
    context.detach()


def _import_driver() -> Any:
    try:
        import pycuda.driver
    except ModuleNotFoundError as error:
        raise FsmdeError(
            f"the GPU needs the Python package '{error.name}': pip install pycuda, on a machine with the CUDA toolkit"
        ) from error
    except ImportError as error:
        raise FsmdeError(f"pycuda finds no NVIDIA driver on this machine ({error}); install the driver") from error
    return pycuda.driver
