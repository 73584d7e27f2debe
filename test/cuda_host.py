"""A stand-in for `fsmde_core.cuda.driver.Driver` on the CPU: the same kernels, compiled by g++, on lazy streams."""

from __future__ import annotations

import ctypes
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from fsmde_core.errors import FsmdeError

_GUARD = 64
_GUARD_BYTE = 0xA5
_scratch = tempfile.TemporaryDirectory(prefix="cuda_host_")


@cache
def compile_for_host(source: Path) -> ctypes.CDLL:
    """A library with `run_<kernel>` for every kernel of a .cu file."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed, which runs the CUDA kernels on the CPU")
    kernels = re.findall(r'extern "C" __global__ void (\w+)\(', source.read_text())
    runners = "\n".join(
        f'extern "C" bool run_{kernel}(const unsigned *shape, const void *parameters, unsigned seed) '
        f"{{ return host::run({kernel}, shape, parameters, seed); }}"
        for kernel in kernels
    )
    header = Path(__file__).with_name("cuda_host.h")
    unit = Path(_scratch.name) / f"{source.stem}.cpp"
    unit.write_text(f'#include "{header}"\n#include "{source}"\n{runners}\n')
    library = unit.with_suffix(".so")
    # As nvcc -fmad=false: no fused multiply-add. Undefined behaviour ends the test run.
    flags = ["-O1", "-std=c++17", "-ffp-contract=off", "-fPIC", "-shared", "-Wno-unknown-pragmas"]
    checks = ["-fsanitize=undefined", "-fno-sanitize-recover=all", "-static-libubsan"]
    subprocess.run(["g++", *flags, *checks, "-o", str(library), str(unit)], check=True)
    return ctypes.CDLL(str(library))


class HostEvent:
    """recorded: how often it was put on a stream; done: up to which of them the work has come."""

    def __init__(self) -> None:
        self.recorded = self.done = 0
        self._time = 0.0

    def reach(self, number: int) -> None:
        self.done, self._time = number, time.perf_counter()

    def time_since(self, start: HostEvent) -> float:
        assert self.done == self.recorded > 0, "a time was asked for before the event had happened"
        return 1e3 * (self._time - start._time)


class HostStream:
    """Work to be done in order: (when it may start, what it does)."""

    def __init__(self) -> None:
        self.work: deque[tuple[Callable[[], bool], Callable[[], None]]] = deque()

    def put(self, action: Callable[[], Any], ready: Callable[[], bool] = lambda: True) -> None:
        self.work.append((ready, action))


class HostMemory:
    """Guarded memory: a kernel that writes past its ends is found when it is given back, with the object at last."""

    def __init__(self, driver: HostDriver, nbytes: int) -> None:
        self.nbytes = nbytes
        self._bytes = np.full(nbytes + 2 * _GUARD, _GUARD_BYTE, np.uint8)
        self._bytes[_GUARD:-_GUARD] = 0xCB  # as undefined as it is on a GPU
        driver.allocated.append(nbytes)
        driver.in_use += nbytes
        self.free = weakref.finalize(self, _give_back, driver, self._bytes)

    def __int__(self) -> int:
        return int(self._bytes[_GUARD:].ctypes.data)


def _give_back(driver: HostDriver, memory: NDArray[np.uint8]) -> None:
    driver.in_use -= len(memory) - 2 * _GUARD
    assert (memory[:_GUARD] == _GUARD_BYTE).all() and (memory[-_GUARD:] == _GUARD_BYTE).all()


class HostModule:
    def __init__(self, driver: HostDriver, source: Path) -> None:
        self._driver = driver
        self._library = compile_for_host(source)

    def launch(
        self, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], stream: HostStream, parameters: np.void
    ) -> None:
        shape = (ctypes.c_uint * 6)(*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3])
        run = getattr(self._library, f"run_{kernel}")
        run.restype = ctypes.c_bool
        data, seed = parameters.tobytes(), self._driver.random.randrange(2**31)

        def action() -> None:
            assert run(shape, data, ctypes.c_uint(seed)), f"{kernel}: not all threads came to a barrier"

        stream.put(action)


class HostDriver:
    """Streams run only when somebody waits, in an order drawn at random among what the events allow.

    allocated: bytes of every allocation so far, of both kinds. in_use: bytes of device memory not given back.
    """

    name = "host"
    compute_capability = (0, 0)

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.allocated: list[int] = []
        self.in_use = 0
        self.current_depth = threading.local()
        self._pinned: list[tuple[int, int]] = []
        self._streams: list[HostStream] = []
        self._lock = threading.RLock()

    @contextmanager
    def current(self) -> Iterator[None]:
        depth = getattr(self.current_depth, "value", 0)
        self.current_depth.value = depth + 1
        try:
            yield
        finally:
            self.current_depth.value = depth

    def _check_current(self) -> None:
        assert getattr(self.current_depth, "value", 0), "the context is not current in this thread"

    def stream(self) -> HostStream:
        self._check_current()
        self._streams.append(HostStream())
        return self._streams[-1]

    def event(self) -> HostEvent:
        self._check_current()
        return HostEvent()

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        self._check_current()
        array = np.frombuffer(bytearray(b"\xcb" * (int(np.prod(shape)) * np.dtype(dtype).itemsize)), dtype)
        self.allocated.append(array.nbytes)
        self._pinned.append((array.ctypes.data, array.ctypes.data + array.nbytes))
        return array.reshape(shape)

    def device(self, nbytes: int) -> HostMemory:
        self._check_current()
        return HostMemory(self, nbytes)

    def module(self, source: Path) -> HostModule:
        self._check_current()
        return HostModule(self, source)

    def to_device(self, address: int, array: NDArray[Any], stream: HostStream) -> None:
        self._check_current()
        self._copy(address, array.ctypes.data, array, stream)

    def to_host(self, array: NDArray[Any], address: int, stream: HostStream) -> None:
        self._check_current()
        assert array.flags.writeable
        self._copy(array.ctypes.data, address, array, stream)

    def _copy(self, target: int, source: int, array: NDArray[Any], stream: HostStream) -> None:
        assert array.flags.c_contiguous
        with self._lock:
            stream.put(lambda: ctypes.memmove(target, source, array.nbytes))
            if not any(low <= array.ctypes.data < high for low, high in self._pinned):
                self._run_until(lambda: not stream.work)  # a copy of pageable memory is over when the call returns

    def fill(self, address: int, value: int, nbytes: int, stream: HostStream) -> None:
        self._check_current()
        stream.put(lambda: ctypes.memset(address, value, nbytes))

    def record(self, event: HostEvent, stream: HostStream) -> None:
        self._check_current()
        event.recorded += 1
        number = event.recorded
        stream.put(lambda: event.reach(number))

    def follow(self, stream: HostStream, event: HostEvent) -> None:
        self._check_current()
        number = event.recorded
        stream.put(lambda: None, lambda: event.done >= number)

    def wait(self, event: HostEvent) -> None:
        self._check_current()
        number = event.recorded
        with self._lock:
            self._run_until(lambda: event.done >= number)

    def elapsed_ms(self, start: HostEvent, end: HostEvent) -> float:
        return end.time_since(start)

    def _run_until(self, done: Callable[[], bool]) -> None:
        while not done():
            ready = [stream for stream in self._streams if stream.work and stream.work[0][0]()]
            if not ready:
                raise FsmdeError("the streams wait for each other")
            self.random.choice(ready).work.popleft()[1]()
