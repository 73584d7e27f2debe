"""Orders work on one torch device: a stream of a GPU with CUDA graphs; on the CPU, the calls as they are made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

_WARM_UPS = 3
"""Runs before a capture: libraries choose their algorithms and allocate their workspace in them."""

_capturing = threading.Lock()  # CUDA graphs are captured one at a time in a process


class StreamEvent:
    """Stands for a point in the order of a stream's work."""

    def __init__(self, event: torch.cuda.Event | None) -> None:
        self._event, self._time = event, time.perf_counter()

    def synchronize(self) -> None:
        """Wait until the work before the event is done."""
        if self._event is not None:
            self._event.synchronize()

    def elapsed_ms(self, end: StreamEvent) -> float:
        """Return the device's milliseconds from this event to `end`, of any stream; both must have happened."""
        if self._event is not None and end._event is not None:
            return float(self._event.elapsed_time(end._event))
        return 1e3 * (end._time - self._time)


class DeviceStream:
    """Runs work on `device` in one order; its graphs share their memory, as only one of them runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None
        self._pool = torch.cuda.graph_pool_handle() if on_gpu else None

    def as_current(self) -> AbstractContextManager[Any]:
        """Make this stream the one that torch's work of this thread goes to, within the `with` block."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def record_event(self) -> StreamEvent:
        """Return an event that happens once all work put on the stream so far is done."""
        if self._stream is None:
            return StreamEvent(None)
        event = torch.cuda.Event(enable_timing=True)
        event.record(self._stream)
        return StreamEvent(event)

    def wait_events(self, events: Iterable[StreamEvent]) -> None:
        """Let the work put on the stream from now on wait for `events` of other streams; does not block."""
        for event in events:
            if self._stream is not None and event._event is not None:
                self._stream.wait_event(event._event)

    def synchronize(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()

    def capture_graph(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return `work` as one CUDA graph, to be called within `as_current()`; on the CPU `work` itself.

        It is run a few times first. It must not wait for the device, and must use the same tensors every time.
        """
        if self._stream is None:
            return work
        with _capturing:
            with self.as_current():
                for _ in range(_WARM_UPS):
                    work()
            self.synchronize()
            graph = torch.cuda.CUDAGraph()
            # Other threads go on copying meanwhile: only this one may not do what a capture forbids.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                work()
        return graph.replay


def pinned_tensor(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    # Page-locked where the device is a GPU, so that copies need no detour.
    return torch.zeros(shape, dtype=dtype, pin_memory=device.type == "cuda")
