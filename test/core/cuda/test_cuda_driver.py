"""The driver on a stand-in of pycuda: contexts, memory that goes back in any thread, errors by name, graphs."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fsmde_core.cuda import graph
from fsmde_core.cuda.driver import Driver
from fsmde_core.errors import FsmdeError


class FakePycuda(ModuleType):
    """pycuda.driver on host memory. allocated: pieces of memory not freed. failing: calls that fail, and why."""

    class Error(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("pycuda.driver")
        self.failing: dict[str, str] = {}
        self.stacks = threading.local()
        self.allocated = 0
        self.launches: list[tuple[Any, ...]] = []
        fake = self

        class Allocation:
            def __init__(self, nbytes: int) -> None:
                fake.called("cuMemAlloc")
                self.bytes = np.zeros(nbytes, np.uint8)
                fake.allocated += 1

            def __int__(self) -> int:
                return int(self.bytes.ctypes.data)

            def free(self) -> None:
                assert fake.depth() > 0, "freed without a context"
                fake.allocated -= 1

        class Device:
            def __init__(self, ordinal: int) -> None:
                fake.called("cuDeviceGet")
                assert ordinal == 0

            def name(self) -> str:
                return "Fake GPU"

            def compute_capability(self) -> tuple[int, int]:
                return (9, 0)

            def get_attribute(self, attribute: str) -> int:
                return {"how many multiprocessors": 132}[attribute]

            def total_memory(self) -> int:
                return 1 << 30

            def retain_primary_context(self) -> Any:
                fake.called("cuDevicePrimaryCtxRetain")
                return SimpleNamespace(push=fake.push, pop=fake.pop, detach=fake.pop)

        class Function:
            def __init__(self, name: str) -> None:
                fake.called("cuModuleGetFunction")
                self.name = name

            def prepare(self, format: str) -> Function:
                self.format = format
                return self

            def prepared_async_call(self, grid: Any, block: Any, stream: Any, parameters: bytes) -> None:
                fake.called("cuLaunchKernel")
                fake.launches.append((self.name, self.format, grid, block, stream, parameters))

        self.mem_alloc, self.Device = Allocation, Device
        self.pagelocked_empty = lambda n, dtype: SimpleNamespace(
            base=(owner := Allocation(n)), __array_interface__=owner.bytes.__array_interface__
        )
        self.module_from_buffer = lambda cubin: SimpleNamespace(get_function=Function, cubin=cubin)
        self.device_attribute = SimpleNamespace(MULTIPROCESSOR_COUNT="how many multiprocessors")
        self.init = lambda: self.called("cuInit")
        self.Stream = lambda flags: SimpleNamespace(handle=7, flags=flags)

    def called(self, name: str) -> None:
        if name in self.failing:
            raise self.Error(f"{name} failed: {self.failing[name]}")

    def depth(self) -> int:
        return getattr(self.stacks, "depth", 0)

    def push(self) -> None:
        self.called("cuCtxPushCurrent")
        self.stacks.depth = self.depth() + 1

    def pop(self) -> None:
        self.stacks.depth = self.depth() - 1


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakePycuda:
    fake = FakePycuda()
    package = ModuleType("pycuda")
    package.driver = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake)
    return fake


def in_thread(action: Any) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def test_what_the_gpu_is(cuda: FakePycuda) -> None:
    driver = Driver()
    assert (driver.name, driver.compute_capability) == ("Fake GPU", (9, 0))
    assert (driver.multiprocessors, driver.total_memory) == (132, 1 << 30)
    with driver.as_current():
        assert driver.create_stream().flags == 1  # CU_STREAM_NON_BLOCKING


def test_the_context_is_current_inside_only_in_every_thread_and_nested(cuda: FakePycuda) -> None:
    driver = Driver()
    depths: list[int] = []

    def nest() -> None:
        with driver.as_current(), driver.as_current():
            depths.append(cuda.depth())
        with pytest.raises(ZeroDivisionError), driver.as_current():
            raise ZeroDivisionError
        depths.append(cuda.depth())

    nest()
    in_thread(nest)
    assert depths == [2, 0, 2, 0]


def test_memory_goes_back_with_the_last_that_holds_it_in_any_thread(cuda: FakePycuda) -> None:
    driver = Driver()
    held: list[Any] = []
    with driver.as_current():
        held.append(driver.allocate(100))
        held.append(driver.allocate_pinned((3, 4), np.float32))
    array = held[1]
    assert (array.shape, array.dtype, array.flags.writeable) == ((3, 4), np.float32, True)
    array[:] = np.arange(12).reshape(3, 4)
    held.append(array[1:].reshape(-1)[::2])
    del array
    held.pop(1)
    assert cuda.allocated == 2  # a view still looks at the page-locked memory
    assert held[1].tolist() == [4, 6, 8, 10]
    in_thread(held.clear)
    gc.collect()
    assert cuda.allocated == 0


def test_freed_memory_is_not_freed_again(cuda: FakePycuda) -> None:
    driver = Driver()
    with driver.as_current():
        memory = driver.allocate(10)
        memory.free()
        memory.free()
    del memory
    assert cuda.allocated == 0


@pytest.mark.parametrize("name", ["cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain"])
def test_errors_at_the_start_name_the_call(name: str, cuda: FakePycuda) -> None:
    cuda.failing[name] = "no CUDA-capable device is detected"
    with pytest.raises(FsmdeError, match=rf"^GPU call {name} failed: no CUDA-capable device is detected$"):
        Driver()


def test_errors_name_the_call(cuda: FakePycuda) -> None:
    driver = Driver()
    cuda.failing = {"cuMemAlloc": "out of memory"}
    with driver.as_current(), pytest.raises(FsmdeError, match=r"^GPU call cuMemAlloc failed: out of memory$"):
        driver.allocate(1 << 60)
    cuda.failing = {"cuCtxPushCurrent": "context is destroyed"}
    with (
        pytest.raises(FsmdeError, match=r"^GPU call cuCtxPushCurrent failed: context is destroyed$"),
        driver.as_current(),
    ):
        pass
    cuda.failing = {}  # the driver lets go of the context at the end


def test_kernels_get_their_struct_whole(cuda: FakePycuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("fsmde_core.cuda.driver.load_or_compile", lambda source, capability: b"cubin")
    driver = Driver()
    parameters = np.array([(1, 2.5)], np.dtype([("a", "u8"), ("b", "f4")], align=True))[0]
    with driver.as_current():
        module = driver.load_module(tmp_path / "any.cu")
        module.launch("kernel", (5,), (32, 8), "stream", parameters)
        assert cuda.launches == [("kernel", "16s", (5, 1, 1), (32, 8, 1), "stream", parameters.tobytes())]
        cuda.failing = {"cuLaunchKernel": "invalid configuration argument"}
        with pytest.raises(FsmdeError, match=r"^GPU call cuLaunchKernel\(kernel\) failed: invalid configuration"):
            module.launch("kernel", (0,), (32,), "stream", parameters)
        cuda.failing = {"cuModuleGetFunction": "named symbol not found"}
        with pytest.raises(FsmdeError, match=r"^GPU call cuModuleGetFunction\(other\) failed: named symbol"):
            module.launch("other", (1,), (32,), "stream", parameters)


def test_without_pycuda_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(FsmdeError, match=r"needs the Python package 'pycuda.*': pip install pycuda"):
        Driver()


class FakeLibrary:
    """libcuda's graph calls, noted; `failing` answers with an error code."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failing = ""

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            return 900 if name == self.failing else 0

        return call

    def cuGetErrorName(self, status: int, text: Any) -> int:
        ctypes.cast(text, ctypes.POINTER(ctypes.c_char_p))[0] = b"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
        return 0


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLibrary]:
    fake = FakeLibrary()
    monkeypatch.setattr(graph, "_library", lambda: fake)
    yield fake
    gc.collect()


STREAM = SimpleNamespace(handle=5)


def test_a_graph_is_recorded_launched_and_destroyed(library: FakeLibrary) -> None:
    with graph.capture(STREAM) as recorded:
        library.calls.append("work")
    recorded.launch(STREAM)
    recorded.launch(STREAM)
    del recorded
    assert library.calls == [
        "cuStreamBeginCapture_v2",
        "work",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphDestroy",
        "cuGraphLaunch",
        "cuGraphLaunch",
        "cuGraphExecDestroy",
    ]


@pytest.mark.parametrize("name", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"])
def test_errors_of_graphs_name_the_call(name: str, library: FakeLibrary) -> None:
    library.failing = name
    expected = rf"^GPU call {name} failed: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED \(900\)$"
    with pytest.raises(FsmdeError, match=expected), graph.capture(STREAM):
        pass


def test_a_failure_while_recording_ends_the_recording_and_is_the_one_reported(library: FakeLibrary) -> None:
    library.failing = "cuStreamEndCapture"
    with pytest.raises(FsmdeError, match="the network failed"), graph.capture(STREAM):
        raise FsmdeError("the network failed")
    assert library.calls == ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphDestroy"]
