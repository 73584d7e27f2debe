"""Captures and launches CUDA graphs by calls of the driver library itself, as pycuda has none."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from fsmde_core.errors import FsmdeError

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may allocate and copy meanwhile


class Graph:
    """Holds captured work, to be launched any number of times; it is empty until its `capture` has ended."""

    def __init__(self) -> None:
        self._executable = ctypes.c_void_p()

    def launch(self, stream: Any) -> None:
        _call("cuGraphLaunch", self._executable, ctypes.c_void_p(stream.handle))

    def instantiate(self, captured: ctypes.c_void_p) -> None:
        _call("cuGraphInstantiateWithFlags", ctypes.byref(self._executable), captured, ctypes.c_ulonglong(0))
        weakref.finalize(self, _library().cuGraphExecDestroy, self._executable)


@contextmanager
def capture(stream: Any) -> Iterator[Graph]:
    """Capture what this thread puts on `stream` as a graph instead of running it; FsmdeError for what cannot be."""
    graph, captured, handle = Graph(), ctypes.c_void_p(), ctypes.c_void_p(stream.handle)
    _call("cuStreamBeginCapture_v2", handle, ctypes.c_int(_THREAD_LOCAL))
    try:
        yield graph
    except BaseException:
        _library().cuStreamEndCapture(handle, ctypes.byref(captured))  # the first error is the one to report
        _library().cuGraphDestroy(captured)
        raise
    _call("cuStreamEndCapture", handle, ctypes.byref(captured))
    try:
        graph.instantiate(captured)
    finally:
        _call("cuGraphDestroy", captured)


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")


def _call(name: str, *arguments: Any) -> None:
    status = getattr(_library(), name)(*arguments)
    if status:
        text = ctypes.c_char_p()
        _library().cuGetErrorName(status, ctypes.byref(text))
        raise FsmdeError(f"GPU call {name} failed: {(text.value or b'unknown error').decode()} ({status})")
