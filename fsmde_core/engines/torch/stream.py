"""Work in order on one torch device: a stream of a GPU with recorded graphs; on the CPU, the calls as they are made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

_WARM_UPS = 3
"""Runs before a recording: libraries choose their algorithms and take their work space in them."""

_recording = threading.Lock()  # CUDA graphs are recorded one at a time in a process


class StreamEvent:
    """A moment in the order of a lane."""

    def __init__(self, event: torch.cuda.Event | None) -> None:
        self._event, self._time = event, time.perf_counter()

    def reached(self) -> None:
        """Wait until the work before it is done."""
        if self._event is not None:
            self._event.synchronize()

    def ms_since(self, earlier: StreamEvent) -> float:
        """Milliseconds of the device between two moments that are reached, on the same or another lane."""
        if self._event is not None and earlier._event is not None:
            return float(earlier._event.elapsed_time(self._event))
        return 1e3 * (self._time - earlier._time)


class DeviceStream:
    """One order of work on `device`; what its graphs compute with is shared by them, as only one runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None
        self._pool = torch.cuda.graph_pool_handle() if on_gpu else None

    def current(self) -> AbstractContextManager[Any]:
        """Within it, torch's work of this thread goes to the lane."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def mark(self) -> StreamEvent:
        """This moment: all work sent to the lane so far."""
        if self._stream is None:
            return StreamEvent(None)
        event = torch.cuda.Event(enable_timing=True)
        event.record(self._stream)
        return StreamEvent(event)

    def after(self, marks: Iterable[StreamEvent]) -> None:
        """What is sent from now on begins when all `marks`, of other lanes, are reached."""
        for mark in marks:
            if self._stream is not None and mark._event is not None:
                self._stream.wait_event(mark._event)

    def finish(self) -> None:
        """Wait for all work of the lane."""
        if self._stream is not None:
            self._stream.synchronize()

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """`work` as one CUDA graph, to be called in `current()`; on the CPU `work` itself.

        It is run a few times first. It must not wait for the device, and read and write the same tensors every time.
        """
        if self._stream is None:
            return work
        with _recording:
            with self.current():
                for _ in range(_WARM_UPS):
                    work()
            self.finish()
            graph = torch.cuda.CUDAGraph()
            # Other threads go on copying meanwhile: only this one may not do what a recording forbids.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                work()
        return graph.replay


def pinned_tensor(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros in host memory; page-locked where `device` is a GPU, so that copies need no detour."""
    return torch.zeros(shape, dtype=dtype, pin_memory=device.type == "cuda")
