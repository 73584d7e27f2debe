"""One GPU through pycuda's driver API: its primary context, shared with TensorRT, and errors that name the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fsmde_core.errors import FsmdeError


class Driver:
    """The first GPU. Every use of its memory, streams and kernels happens inside `with driver.current()`.

    name: of the GPU. compute_capability: (major, minor). total_memory: bytes.
    """

    name: str
    compute_capability: tuple[int, int]
    total_memory: int

    @staticmethod
    @cache
    def shared() -> Driver:
        """The one of this process; raises FsmdeError where pycuda or a GPU is absent."""
        raise FsmdeError("pycuda is not installed")

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the primary context current in this thread; may be nested, from any thread."""
        yield

    def stream(self) -> Any:
        """A new pycuda Stream."""

    def event(self) -> Any:
        """A new pycuda Event, with timing."""

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A page-locked host array."""
        return np.empty(shape, dtype)

    def device(self, nbytes: int) -> Any:
        """Device memory; `int()` of it is the address."""

    def call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function(*arguments)`; an error of the driver becomes a FsmdeError that names the call."""
        return function(*arguments)
