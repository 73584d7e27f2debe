"""Reuses the memory that images are uploaded through, so that nothing is allocated after the first frames."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

Buffer = TypeVar("Buffer")


class BufferPool(Generic[Buffer]):
    """Holds the upload buffers of one kind that no image uses; any thread may call it.

    It grows with the number of images in use at once; a buffer comes back as soon as its upload is dropped.
    """

    def __init__(self) -> None:
        self._free: list[Buffer] = []

    def acquire(self, allocate: Callable[[], Buffer]) -> Buffer:
        try:
            return self._free.pop()
        except IndexError:
            return allocate()

    def release_with(self, upload: object, buffer: Buffer) -> None:
        weakref.finalize(upload, self._free.append, buffer)
