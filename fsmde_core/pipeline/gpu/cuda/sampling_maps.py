"""The sampling maps of every calibration, on the GPU once."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from fsmde_core.cuda.driver import Driver, Memory
from fsmde_core.errors import FsmdeError
from fsmde_core.pipeline.gpu.backend import Sampling

MOST_HALVINGS = 4
"""That kernels/sample.cu has code for: images up to 64 times the network's size."""


@dataclass(frozen=True, eq=False)
class DeviceSampling:
    """The arrays of one `Sampling` on the GPU."""

    maps: Memory
    outside: Memory | None


class DeviceSamplings:
    """The maps on the GPU, once per `Sampling` and for as long as it lives. Any thread."""

    def __init__(self, driver: Driver, width: int, height: int) -> None:
        self._driver = driver
        self._size = (width, height)
        self._known: WeakKeyDictionary[Sampling, DeviceSampling] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def find(self, sampling: Sampling, stream: Any) -> DeviceSampling:
        """The arrays; when new, their copy is put on `stream`. FsmdeError when they are not for this size."""
        with self._lock:
            found = self._known.get(sampling)
            if found is None:
                self._check(sampling)
                found = DeviceSampling(self._copy(sampling.maps, stream), self._copy(sampling.outside, stream))
                self._known[sampling] = found
            return found

    def _copy(self, array: Any, stream: Any) -> Any:
        if array is None:
            return None
        memory = self._driver.device(array.nbytes)
        self._driver.to_device(int(memory), np.ascontiguousarray(array), stream)
        return memory

    def _check(self, sampling: Sampling) -> None:
        width, height = self._size
        expected = (sampling.supersample * height, sampling.supersample * width, 2)
        if sampling.maps.shape != expected or sampling.maps.dtype != np.float32:
            raise FsmdeError(f"maps are {sampling.maps.shape} {sampling.maps.dtype}, expected {expected} float32")
        if sampling.halvings > MOST_HALVINGS:
            raise FsmdeError(
                f"an image must be halved {sampling.halvings} times for the network, the GPU does {MOST_HALVINGS}; "
                "let the camera send smaller images"
            )

    def close(self) -> None:
        """Give all memory back."""
        self._known.clear()
