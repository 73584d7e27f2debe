"""Bytes of varying number from the GPU to an array of just that length, as publishers take it."""

from __future__ import annotations

import os
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fsmde_core.clouds.packer import sized
from fsmde_core.cuda.driver import Driver

_PIECE = 1 << 22
"""Bytes: some 80 microseconds of the bus, several times what a piece costs besides."""


class CudaDownload:
    """Copies up to `most` bytes at a time through page-locked memory, in pieces: the host copies one while the next
    comes. An array that changes its length cannot be page-locked itself.
    """

    def __init__(self, driver: Driver, most: int) -> None:
        self._driver = driver
        self._staging = driver.pinned((most,), np.uint8)
        self._started = driver.event()
        self._came = [driver.event() for _ in range(-(-most // _PIECE))]
        self._data = array("B")
        self._pool = ThreadPoolExecutor(min(4, len(os.sched_getaffinity(0))), thread_name_prefix="download")

    def fetch(self, address: int, nbytes: int, stream: Any) -> tuple[array[int], dict[str, float]]:
        """The bytes, valid until the next call. Milliseconds: `cloud_down` on the bus, `cloud_copied` in all."""
        start = time.perf_counter()
        self._data = sized(self._data, nbytes)
        self._driver.record(self._started, stream)
        last, copies = self._started, []
        for at, came in zip(range(0, nbytes, _PIECE), self._came, strict=False):
            piece = slice(at, min(at + _PIECE, nbytes))
            self._driver.to_host(self._staging[piece], address + at, stream)
            self._driver.record(came, stream)
            last = came
            copies.append(self._pool.submit(self._take, came, piece))
        for copy in copies:
            copy.result()
        self._driver.wait(last)
        bus = self._driver.elapsed_ms(self._started, last)
        return self._data, {"cloud_down": bus, "cloud_copied": 1e3 * (time.perf_counter() - start)}

    def _take(self, came: Any, piece: slice) -> None:
        with self._driver.current():
            self._driver.wait(came)
        # The view ends with the call: kept any longer, it would keep the array from changing its length.
        np.copyto(np.frombuffer(self._data, np.uint8)[piece], self._staging[piece])

    def close(self) -> None:
        """End the threads and let go of the events, which can only be destroyed in a current context."""
        self._pool.shutdown()
        self._came.clear()
        del self._started, self._staging
