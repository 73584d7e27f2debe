"""A stand-in for `fsmde_core.cuda.driver.Driver` on the CPU: the same kernels, compiled by g++, on lazy streams."""

from __future__ import annotations

import ctypes
import random
import re
import shutil
import subprocess
import tempfile
import threading
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from support.fake_gpu import Event, FakeDriver, Stream

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


class HostMemory:
    """Guarded memory: a kernel that writes past its ends is found when it is given back, with the object at last."""

    def __init__(self, driver: HostDriver, nbytes: int) -> None:
        self.nbytes = nbytes
        guarded = np.full(nbytes + 2 * _GUARD, _GUARD_BYTE, np.uint8)
        guarded[_GUARD:-_GUARD] = 0xCB  # as undefined as it is on a GPU
        self._address = int(guarded[_GUARD:].ctypes.data)
        driver.hold(self._address, guarded[_GUARD:-_GUARD])
        self.free = weakref.finalize(self, _give_back, driver, self._address, guarded)

    def __int__(self) -> int:
        return self._address


def _give_back(driver: HostDriver, address: int, guarded: NDArray[np.uint8]) -> None:
    driver.let_go(address)
    assert (guarded[:_GUARD] == _GUARD_BYTE).all() and (guarded[-_GUARD:] == _GUARD_BYTE).all()


class HostModule:
    """See `Module`."""

    def __init__(self, driver: HostDriver, source: Path) -> None:
        self._driver = driver
        self._library = compile_for_host(source)

    def launch(
        self, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], stream: Stream, parameters: np.void
    ) -> None:
        """The threads come in an order drawn at random."""
        shape = (ctypes.c_uint * 6)(*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3])
        run = getattr(self._library, f"run_{kernel}")
        run.restype = ctypes.c_bool
        data, seed = parameters.tobytes(), ctypes.c_uint(self._driver.random.randrange(2**31))

        def work() -> None:
            assert run(shape, data, seed), f"{kernel}: not all threads came to a barrier"

        self._driver.call(f"cuLaunchKernel({kernel})", stream.put, work)


class HostDriver(FakeDriver):
    """The fake GPU with memory at true addresses, for kernels to work on, also with several threads. in_use: bytes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__("host")
        self.random = random.Random(seed)
        self._running = threading.RLock()

    @property
    def in_use(self) -> int:
        return sum(memory.nbytes for memory in self._memory.values())

    def allocate(self, nbytes: int) -> Any:
        self.call("cuMemAlloc", self._allocate)
        return HostMemory(self, nbytes)

    def hold(self, address: int, memory: NDArray[np.uint8]) -> None:
        self._memory[address] = memory

    def let_go(self, address: int) -> None:
        del self._memory[address]

    def allocate_pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        array = super().allocate_pinned(shape, dtype)
        array.reshape(-1).view(np.uint8)[:] = 0xCB
        return array

    def load_module(self, source: Path) -> HostModule:
        return self.call("cuModuleLoadData", HostModule, self, source)

    def memset(self, address: int, value: int, nbytes: int, stream: Stream) -> None:
        def work() -> None:
            self.read(address, nbytes)[:] = value

        self.call("cuMemsetD8Async", stream.put, work)

    def synchronize(self, event: Event) -> None:
        with self._running:
            super().synchronize(event)
