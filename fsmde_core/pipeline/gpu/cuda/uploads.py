"""Copies camera images and the sampling maps of their calibrations to the GPU."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fsmde_core.cuda.driver import Driver, Memory
from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.gpu.backend import Sampling
from fsmde_core.pipeline.gpu.uploads import BufferPool

MOST_HALVINGS = 4
"""That kernels/sample.cu has code for: images up to 64 times the network's size."""


class _UploadBuffer:
    """Memory of one image on both sides. started, arrived: events around its copy."""

    def __init__(self, driver: Driver, nbytes: int) -> None:
        self.staging = driver.allocate_pinned((nbytes,), np.uint8)
        self.memory = driver.allocate(nbytes)
        self.started, self.arrived = driver.create_event(), driver.create_event()

    def close(self) -> None:
        """Give the memory back, and the events, which can only be destroyed in a current context."""
        self.memory.free()
        del self.staging, self.started, self.arrived


@dataclass(frozen=True, eq=False)
class CudaUpload:
    """Holds one uploaded image; its buffer is used again when the object goes.

    step: bytes per row. maps, outside: the arrays of the sampling, on the GPU.
    """

    buffer: _UploadBuffer
    encoding: str
    width: int
    height: int
    step: int
    sampling: Sampling
    maps: Memory
    outside: Memory | None


class CudaUploader:
    """Copies images to the GPU on a stream of its own; any thread may call it.

    Buffers are kept by size: with cameras of fixed sizes nothing is allocated once enough images have been in use at a
    time. Maps are copied once per `Sampling` and kept as long as it lives. width, height: of the network, pixels.
    """

    def __init__(self, driver: Driver, width: int, height: int) -> None:
        self._driver = driver
        self._size = (width, height)
        self._stream = driver.create_stream()
        self._buffers: list[_UploadBuffer] = []
        self._pools: dict[int, BufferPool[_UploadBuffer]] = {}
        self._copy_lock = threading.Lock()
        self._maps: WeakKeyDictionary[Sampling, tuple[Memory, Memory | None]] = WeakKeyDictionary()
        self._maps_lock = threading.Lock()

    def upload(self, image: RawImage, sampling: Sampling) -> CudaUpload:
        maps, outside = self._find_maps(sampling)
        nbytes = image.nbytes
        pool = self._pools.setdefault(nbytes, BufferPool())
        buffer = pool.acquire(partial(self._allocate, nbytes))
        size = image.width, image.height, image.step
        uploaded = CudaUpload(buffer, image.encoding, *size, sampling, maps, outside)
        pool.release_with(uploaded, buffer)
        # A buffer whose last image was dropped before it was used is written over at once: nobody reads that image any
        # more, and its copy is over before that of the new one, which comes later on the same stream.
        np.copyto(buffer.staging, np.frombuffer(image.data, np.uint8)[:nbytes])  # without the GIL
        with self._copy_lock:  # nothing else between the events of one copy
            self._driver.record_event(buffer.started, self._stream)
            self._driver.to_device(int(buffer.memory), buffer.staging, self._stream)
            self._driver.record_event(buffer.arrived, self._stream)
        return uploaded

    def _allocate(self, nbytes: int) -> _UploadBuffer:
        buffer = _UploadBuffer(self._driver, nbytes)  # by name: the last of the list may be another thread's by now
        self._buffers.append(buffer)
        return buffer

    def _find_maps(self, sampling: Sampling) -> tuple[Memory, Memory | None]:
        with self._maps_lock:
            found = self._maps.get(sampling)
            if found is None:
                self._check(sampling)
                maps = self._copy(sampling.maps)
                outside = None if sampling.outside is None else self._copy(sampling.outside)
                found = self._maps[sampling] = (maps, outside)
            return found

    def _copy(self, array: NDArray[Any]) -> Memory:
        memory = self._driver.allocate(array.nbytes)
        self._driver.to_device(int(memory), np.ascontiguousarray(array), self._stream)
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
        for buffer in self._buffers:
            buffer.close()
        self._buffers.clear()
        self._pools.clear()
        self._maps.clear()
        del self._stream
