"""A GPU in NumPy behind the interface of `fsmde_core.cuda.driver.Driver`, as unordered as a GPU may be.

Work on a stream runs as late as possible, when something waits for it: what nothing orders is seen in the wrong order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fsmde_core.errors import FsmdeError

Work = Callable[[], None]


class Stream:
    """A queue of work, or while `graph` is set, a recording."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.graph: Graph | None = None
        self._queue: list[Work] = []
        self.done = 0

    @property
    def length(self) -> int:
        return len(self._queue)

    def put(self, work: Work) -> None:
        (self.graph.work if self.graph else self._queue).append(work)

    def run_to(self, length: int) -> None:
        while self.done < length:
            self.done += 1
            self._queue[self.done - 1]()

    def synchronize(self) -> None:
        assert self.graph is None, "a stream that is captured cannot be waited for"
        self.run_to(self.length)

    def wait_for_event(self, event: Event) -> None:
        recorded = event.recorded
        assert recorded is not None, "an event that was never recorded orders nothing"
        self.put(lambda: recorded[0].run_to(recorded[1]))


class Event:
    """A place in a stream's queue."""

    def __init__(self) -> None:
        self.recorded: tuple[Stream, int] | None = None

    def record(self, stream: Stream) -> None:
        self.recorded = (stream, stream.length)

    def synchronize(self) -> None:
        assert self.recorded is not None
        self.recorded[0].run_to(self.recorded[1])

    @property
    def passed(self) -> bool:
        return self.recorded is not None and self.recorded[0].done >= self.recorded[1]


class Graph:
    """Recorded work."""

    def __init__(self) -> None:
        self.work: list[Work] = []
        self.launches = 0

    def launch(self, stream: Stream) -> None:
        assert self.work, "nothing was recorded"
        self.launches += 1
        for work in self.work:
            stream.put(work)


class Memory:
    """Memory on the GPU."""

    def __init__(self, address: int, nbytes: int) -> None:
        self._address, self.nbytes = address, nbytes

    def __int__(self) -> int:
        return self._address


class FakeDriver:
    """allocations: how often memory, streams and events were made. failing: a call's name -> what it fails with."""

    def __init__(self, name: str = "Fake GPU", compute_capability: tuple[int, int] = (9, 0)) -> None:
        self.name, self.compute_capability = name, compute_capability
        self.multiprocessors, self.total_memory = 132, 1 << 34
        self.allocations = 0
        self.failing: dict[str, str] = {}
        self.calls: set[str] = set()
        self.graphs: list[Graph] = []
        self.streams: dict[int, Stream] = {}
        self._memory: dict[int, NDArray[np.uint8]] = {}
        self._depth = threading.local()

    @contextmanager
    def as_current(self) -> Iterator[None]:
        self._depth.value = getattr(self._depth, "value", 0) + 1
        try:
            yield
        finally:
            self._depth.value -= 1

    def create_stream(self) -> Stream:
        self.call("cuStreamCreate", self._allocate)
        stream = Stream(handle=1000 + len(self.streams))
        self.streams[stream.handle] = stream
        return stream

    def create_event(self) -> Event:
        self.call("cuEventCreate", self._allocate)
        return Event()

    def allocate_pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        self.call("cuMemHostAlloc", self._allocate)
        return np.zeros(shape, dtype)

    def allocate(self, nbytes: int) -> Memory:
        self.call("cuMemAlloc", self._allocate)
        address = 0x1000_0000 * (1 + len(self._memory))
        self._memory[address] = np.full(nbytes, 0xCD, np.uint8)
        return Memory(address, nbytes)

    def to_device(self, address: int, array: NDArray[Any], stream: Stream) -> None:
        self.call("cuMemcpyHtoDAsync", stream.put, lambda: self.write(address, array))

    def to_host(self, array: NDArray[Any], address: int, stream: Stream) -> None:
        def copy() -> None:
            array.reshape(-1).view(np.uint8)[:] = self.read(address, array.nbytes)

        self.call("cuMemcpyDtoHAsync", stream.put, copy)

    def record_event(self, event: Event, stream: Stream) -> None:
        self.call("cuEventRecord", event.record, stream)

    def wait_event(self, stream: Stream, event: Event) -> None:
        self.call("cuStreamWaitEvent", stream.wait_for_event, event)

    def synchronize(self, event: Event) -> None:
        self.call("cuEventSynchronize", event.synchronize)

    def elapsed_ms(self, start: Event, end: Event) -> float:
        assert start.passed and end.passed
        return self.call("cuEventElapsedTime", lambda: 0.5)

    @contextmanager
    def capture(self, stream: Stream) -> Iterator[Graph]:
        self.call("cuStreamBeginCapture_v2", lambda: None)
        graph = stream.graph = Graph()
        try:
            yield graph
        finally:
            stream.graph = None
        self.call("cuStreamEndCapture", self.graphs.append, graph)

    def call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        assert getattr(self._depth, "value", 0), f"{name} outside of driver.as_current()"
        self.calls.add(name)
        if name in self.failing:
            raise FsmdeError(f"GPU call {name} failed: {self.failing[name]}")
        return function(*arguments)

    def read(self, address: int, nbytes: int) -> NDArray[np.uint8]:
        """Bytes of the GPU's memory; outside of what was allocated is an error."""
        for base, memory in self._memory.items():
            if base <= address and address + nbytes <= base + memory.nbytes:
                return memory[address - base : address - base + nbytes]
        raise AssertionError(f"{nbytes} bytes at {address:#x} were not allocated")

    def write(self, address: int, array: NDArray[Any]) -> None:
        """Set bytes of the GPU's memory."""
        self.read(address, array.nbytes)[:] = array.reshape(-1).view(np.uint8)

    def _allocate(self) -> None:
        self.allocations += 1
