"""Records from the device to the bytes that are published, in pieces: one is copied while the next is on the bus."""

from __future__ import annotations

import os
import time
from array import array
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from fsmde_core.clouds.packer import sized
from fsmde_core.engines.torch.stream import DeviceStream, StreamEvent, pinned_tensor

_PIECE = 1 << 22
"""Bytes: some 80 microseconds of the bus, enough to hide what a piece costs besides."""


class TorchDownload:
    """Copies up to `most` bytes at a time through page-locked memory into an array of its own, which rclpy takes
    without a look at every byte.
    """

    def __init__(self, lane: DeviceStream, most: int) -> None:
        self._lane = lane
        self._staging = pinned_tensor((most,), torch.uint8, lane.device)
        self._data = array("B")
        self._pool = ThreadPoolExecutor(min(4, len(os.sched_getaffinity(0))), thread_name_prefix="download")

    def __call__(self, records: Tensor) -> tuple[array[int], dict[str, float]]:
        """The bytes of contiguous `records`, valid until the next call; milliseconds of the bus and of all together."""
        start = time.perf_counter()
        source = records.view(torch.uint8).reshape(-1)
        size = source.numel()
        self._data = sized(self._data, size)
        begun = done = self._lane.mark()
        copies = []
        for at in range(0, size, _PIECE):
            piece = slice(at, min(at + _PIECE, size))
            self._staging[piece].copy_(source[piece], non_blocking=True)
            done = self._lane.mark()
            copies.append(self._pool.submit(self._take, done, piece))
        for copy in copies:
            copy.result()
        done.reached()  # without records nobody has waited yet
        whole = 1e3 * (time.perf_counter() - start)
        return self._data, {"cloud_down": done.ms_since(begun), "cloud_copied": whole}

    def _take(self, there: StreamEvent, piece: slice) -> None:
        """From the page-locked memory to the array, once it is `there`."""
        there.reached()
        # The view ends with the call: a future would keep it for a moment, and the array from being resized.
        np.copyto(np.frombuffer(self._data, np.uint8)[piece], self._staging.numpy()[piece])

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
