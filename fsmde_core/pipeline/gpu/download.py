"""Copies bytes of varying number from a GPU to an array of just that length, as publishers take it."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds.packer import resize_bytes

PIECE_BYTES = 1 << 22
"""Some 80 microseconds of the bus, several times what a piece costs besides."""


class PiecewiseDownload:
    """Copies through page-locked memory, in pieces: the host copies one while the next is on the bus.

    An array that changes its length cannot be page-locked itself. staging: page-locked, as long as the longest
    download. synchronize: waits for an event of the GPU, in any thread. elapsed_ms: between two that have happened.
    """

    def __init__(
        self, staging: NDArray[np.uint8], synchronize: Callable[[Any], None], elapsed_ms: Callable[[Any, Any], float]
    ) -> None:
        self._staging, self._synchronize, self._elapsed_ms = staging, synchronize, elapsed_ms
        self._data = array("B")
        self._pool = ThreadPoolExecutor(min(4, len(os.sched_getaffinity(0))), thread_name_prefix="download")

    def fetch(
        self, nbytes: int, start_copy: Callable[[slice], object], record_event: Callable[[int], Any]
    ) -> tuple[array[int], dict[str, float]]:
        """Copy bytes from the GPU and wait for them.

        Args:
            nbytes: Their number.
            start_copy: Puts the copy of one piece to the staging memory on a stream.
            record_event: Records on it the start of the download, number 0, or the arrival of piece 1, 2 and so on.

        Returns:
            The bytes, valid until the next call; milliseconds: `cloud_down` on the bus, `cloud_copied` in all.
        """
        begin = time.perf_counter()
        self._data = resize_bytes(self._data, nbytes)
        start = end = record_event(0)
        copies = []
        for number, offset in enumerate(range(0, nbytes, PIECE_BYTES), 1):
            piece = slice(offset, min(offset + PIECE_BYTES, nbytes))
            start_copy(piece)
            end = record_event(number)
            copies.append(self._pool.submit(self._copy_to_array, piece, end))
        for copy in copies:
            copy.result()
        self._synchronize(end)  # without any bytes nobody has waited yet
        total_ms = 1e3 * (time.perf_counter() - begin)
        return self._data, {"cloud_down": self._elapsed_ms(start, end), "cloud_copied": total_ms}

    def _copy_to_array(self, piece: slice, arrived: Any) -> None:
        self._synchronize(arrived)
        # The view ends with the call: kept any longer, it would keep the array from changing its length.
        np.copyto(np.frombuffer(self._data, np.uint8)[piece], self._staging[piece])

    def close(self) -> None:
        self._pool.shutdown()
